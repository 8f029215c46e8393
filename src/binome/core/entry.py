"""Entries: facts in their order, each bound to all before it by a hash.

A *fact* is a small typed record of something that happened or was decided. Who wants it in the journal makes a
*draft* of it: the fact with an id, a time and an origin. The journal *seals* drafts into *entries*: a number, the
generation of the leader that appended it, and a hash over all of that and the hash before. Whoever holds one entry's
hash can prove every entry up to it.

Ids are derived from what they name, never drawn: the same decision made twice gives the same id. What a fact says is
kept as the bytes that were hashed, so that a version that does not know a kind of fact keeps it and passes it over.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from hashlib import sha256
from typing import Any, NamedTuple

import msgspec

ENCODING = 1
"""The version of the encoding of entries; a part of what is hashed."""


class Fact(msgspec.Struct, frozen=True, tag_field="kind", forbid_unknown_fields=False):
    """The base of every fact. Its `kind` is its name on the wire; fields may be added, with defaults, never changed."""


class UnknownFact(Fact, frozen=True, tag="unknown"):
    """What this version cannot read, for its kind or for what it says: kept, and passed over."""

    raw: bytes


class Draft(msgspec.Struct, frozen=True):
    """A fact on its way into the journal. `id` is unique in the journal for ever; `at_ms` is since 1970."""

    id: str
    at_ms: int
    origin: str
    fact: Fact


class Head(NamedTuple):
    """The end of a journal: number and hash of its last entry, and the newest generation in it."""

    sequence: int
    hash: str
    generation: int


EMPTY = Head(0, "0" * 64, 0)


class Entry(msgspec.Struct, frozen=True):
    """A fact in the journal. `sequence` counts from 1 without a gap; `hash` is SHA-256, in hexadecimal digits."""

    sequence: int
    id: str
    at_ms: int
    origin: str
    generation: int
    fact: msgspec.Raw
    hash: str

    @property
    def head(self) -> Head:
        """The head of a journal that ends with this entry."""
        return Head(self.sequence, self.hash, self.generation)


_entry_encoder = msgspec.json.Encoder()
_entries_decoder = msgspec.json.Decoder(list[Entry])


class _Kind(msgspec.Struct):
    kind: str


_kind_decoder = msgspec.json.Decoder(_Kind)


def seal(drafts: Iterable[Draft], head: Head, generation: int) -> list[Entry]:
    """The entries that follow `head`. Raises ValueError for a generation that is older than the head's."""
    if generation < head.generation:
        raise ValueError(f"generation {generation} is older than the journal's, {head.generation}")
    entries = []
    sequence, previous = head.sequence, head.hash
    for draft in drafts:
        sequence += 1
        fact = draft.fact.raw if isinstance(draft.fact, UnknownFact) else _entry_encoder.encode(draft.fact)
        previous = _hash(previous, sequence, draft.id, draft.at_ms, draft.origin, generation, fact)
        raw = msgspec.Raw(fact)
        entries.append(Entry(sequence, draft.id, draft.at_ms, draft.origin, generation, raw, previous))
    return entries


def _hash(previous: str, *parts: Any) -> str:
    *front, fact = parts
    return sha256(b"\n".join((_entry_encoder.encode([ENCODING, previous, *front]), bytes(fact)))).hexdigest()


def follows(entry: Entry, head: Head) -> str | None:
    """Why an entry does not follow `head`, in a word; None where it does."""
    if entry.sequence != head.sequence + 1:
        return "missing" if entry.sequence > head.sequence + 1 else "out of order"
    expected = _hash(
        head.hash, entry.sequence, entry.id, entry.at_ms, entry.origin, entry.generation, bytes(entry.fact)
    )
    if entry.hash != expected:  # before anything else is believed of it
        return "altered"
    return "of an older generation" if entry.generation < head.generation else None


def encode(entries: Sequence[Entry]) -> bytes:
    """Entries as one JSON document."""
    return _entry_encoder.encode(entries)


def decode(document: bytes) -> list[Entry]:
    """The entries of a document that `encode` made. Raises ValueError where it is none."""
    return _entries_decoder.decode(document)


class Vocabulary:
    """The kinds of fact that this version knows: every subclass of Fact that it is given."""

    def __init__(self, *kinds: type[Fact]) -> None:
        self.kinds = tuple(str(kind.__struct_config__.tag) for kind in kinds)
        self._decoders = {kind.__struct_config__.tag: msgspec.json.Decoder(kind) for kind in kinds}

    def read(self, entry: Entry) -> Fact:
        """What an entry says; an UnknownFact where this version cannot read it. Never raises: it is in the journal."""
        try:
            decoder = self._decoders.get(_kind_decoder.decode(entry.fact).kind)
            if decoder is not None:
                return decoder.decode(entry.fact)
        except (msgspec.MsgspecError, ValueError, RecursionError):
            pass
        return UnknownFact(bytes(entry.fact))


def broken(entries: Iterable[Entry], head: Head = EMPTY) -> Iterator[tuple[Entry, str]]:
    """The entries that do not follow the one before them, each with the reason; none where the chain is whole."""
    for entry in entries:
        reason = follows(entry, head)
        if reason is not None:
            yield entry, reason
        head = entry.head
