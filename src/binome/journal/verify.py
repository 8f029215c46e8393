"""Verification: the first entry at which a journal is not what was written, and what was done to it.

Two kinds of evidence are used. The chain: each entry's hash covers the entry and the hash before. It shows what was
changed by somebody who did not, or could not, make the hashes of all that follows anew. And signed heads, kept
elsewhere: they show what the chain alone cannot, an end that is gone and a chain that was made anew.

    edited      it does not give its hash: it was changed, or one before it was taken out and the rest renumbered
    deleted     its number is missing
    reordered   it is there, but stands as another number, or a number comes twice
    forked      the chain is whole, and is not the one whose head was signed; or one who no longer led appended to it
    cut off     a head was signed for an entry past the end
    damaged     the file cannot be read there

A chain proves itself from its beginning, so only the first finding is certain, and only it is named.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from enum import StrEnum
from itertools import chain
from typing import NamedTuple, Protocol

from msgspec.structs import replace

from binome.core.entry import EMPTY, Entry, Head, follows


class Fault(StrEnum):
    """What was done to a journal."""

    EDITED = "edited"
    DELETED = "deleted"
    REORDERED = "reordered"
    FORKED = "forked"
    CUT_OFF = "cut off"
    DAMAGED = "damaged"


class Finding(NamedTuple):
    """The first entry that is not as it was written; `detail` says how that is known."""

    fault: Fault
    sequence: int
    detail: str


class Witness(Protocol):
    """A head that somebody signed, whose signature is good."""

    @property
    def sequence(self) -> int:
        """The number of the entry that was the last."""

    @property
    def hash(self) -> str:
        """Its hash."""

    @property
    def signer(self) -> str:
        """The server that signed."""


class Verdict(NamedTuple):
    """What a verification found. `head` is the end of what is whole; `agreed` counts the witnesses up to there."""

    head: Head
    agreed: int
    finding: Finding | None


def verify(entries: Iterable[Entry], witnesses: Sequence[Witness] = ()) -> Verdict:
    """Follows a chain from its beginning and compares it with the heads that were signed."""
    waiting = sorted(witnesses, key=lambda witness: witness.sequence, reverse=True)
    head, agreed_head = EMPTY, EMPTY
    rest = iter(entries)
    for entry in chain([None], rest):  # heads of an empty journal come first
        if entry is not None:
            reason = follows(entry, head)
            if reason is not None:
                return Verdict(head, len(witnesses) - len(waiting), _finding(entry, reason, head, rest))
            head = entry.head
        while waiting and waiting[-1].sequence == head.sequence:
            if waiting[-1].hash != head.hash:
                finding = _forked(waiting[-1], agreed_head)
                return Verdict(agreed_head, len(witnesses) - len(waiting), finding)
            waiting.pop()
            agreed_head = head
    finding_or_none = _cut_off(waiting, head) if waiting else None
    return Verdict(head, len(witnesses) - len(waiting), finding_or_none)


def _finding(entry: Entry, reason: str, head: Head, rest: Iterator[Entry]) -> Finding:
    """What became of the entry that should follow `head`, where `entry` stands in its place."""
    number = head.sequence + 1
    for other in chain([entry], rest):
        if follows(replace(other, sequence=number), head) is None:
            return Finding(Fault.REORDERED, number, f"what was entry {number} stands as entry {other.sequence}")
    if reason == "missing":
        until = f" to {entry.sequence - 1}" if entry.sequence - 1 > number else ""
        return Finding(Fault.DELETED, number, f"entries {number}{until} are missing" if until else "it is missing")
    if reason == "out of order":
        return Finding(Fault.REORDERED, number, f"entry {entry.sequence} stands where it should be")
    if reason == "of an older generation":
        detail = f"it is of generation {entry.generation}, and generation {head.generation} led already"
        return Finding(Fault.FORKED, number, detail)
    return Finding(Fault.EDITED, number, "it, or its place after the one before it, does not give its hash")


def _forked(witness: Witness, agreed: Head) -> Finding:
    first = agreed.sequence + 1
    where = f"somewhere from entry {first} to {witness.sequence}" if first < witness.sequence else f"at entry {first}"
    detail = f"{witness.signer} signed another entry {witness.sequence}; they part {where}"
    return Finding(Fault.FORKED, min(first, witness.sequence), detail)


def _cut_off(waiting: Sequence[Witness], head: Head) -> Finding:
    last = waiting[0]
    return Finding(Fault.CUT_OFF, head.sequence + 1, f"{last.signer} signed entry {last.sequence}, past the end")
