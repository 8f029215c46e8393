"""What lies in etcd, as values, and the times and sizes that the lookouts keep to."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence

import msgspec

from binome.core.entry import Draft, Head, UnknownFact
from binome.ports import Put, StoreError

LEASE_S = 2
RENEW_EVERY_S = 0.5
BELIEF_S = LEASE_S * 0.75
ASK_AGAIN_S = 0.1
"""How soon a leader asks an etcd again that has not answered: its own election may be over any moment."""
APPENDS_PER_S = 10
APPENDS_AT_ONCE = 10
"""So many may follow one another without a pause, so that there are never more than 20 in a second."""
TRY_AGAIN_S = 0.5
MARK_EVERY_S = 1.0
TRIM_EVERY_S = 30.0
TRIMMED_AT_ONCE = 100
KEPT_AT_MOST = 20_000
"""Entries in etcd that a mirror which is away does not keep from being trimmed."""
UPLOADED_AT_ONCE = 500
AT_ONCE, AT_ONCE_BYTES = 100, 512 * 1024
"""What one transaction holds of drafts: etcd takes 128 operations and 1.5 MiB."""
LARGEST_REQUEST_BYTES = 16 * 1024
ROLL_CALL_S = 1.0
LISTED_AT_ONCE = 500
LOOK_EVERY_S = 0.02
LARGE_BYTES = 1 << 30  # half of etcd's own quota
SLOW_S = 1.0
LEAP = 1_000_000
"""So many generations at most agents can be ahead of etcd and all mirrors."""
ANEW_EVERY_S = 60.0
"""How often a leader campaigns anew because an agent has seen a newer one: who lies shall not hold us up."""
NEWS_FOR_S = 60.0
"""For so long a slow append is told of."""


class ForkError(Exception):
    """Our mirror and etcd hold different entries under one number; a person must say which of them is right."""


class GapError(ForkError):
    """Etcd does not go on from where our mirror ends: what lies between was removed there before we had it."""


class Leader(msgspec.Struct, frozen=True):
    """The value of the leader's key."""

    name: str
    generation: int


class MirrorMark(msgspec.Struct, frozen=True):
    """How far a mirror has come, and the revision of the roll call that it has heard."""

    sequence: int
    generation: int
    called: int = 0


class Request(msgspec.Struct, frozen=True):
    """A draft that waits in etcd."""

    at_ms: int
    origin: str
    fact: msgspec.Raw


def request_put(root: str, draft: Draft) -> Put:
    """What puts a draft where the leader finds it. Raises StoreError where it is too long."""
    fact = msgspec.Raw(draft.fact.raw if isinstance(draft.fact, UnknownFact) else msgspec.json.encode(draft.fact))
    value = msgspec.json.encode(Request(draft.at_ms, draft.origin, fact))
    if len(value) > LARGEST_REQUEST_BYTES:
        raise StoreError(f"a request of {len(value):,} bytes; at most {LARGEST_REQUEST_BYTES:,} are taken")
    return Put(f"{root}request/{draft.id}", value)


def in_pieces(drafts: Sequence[Draft]) -> Iterator[Sequence[Draft]]:
    """The drafts in their order, as many at once as one transaction of etcd takes."""
    piece: list[Draft] = []
    size_bytes = 0
    for draft in drafts:
        fact = draft.fact.raw if isinstance(draft.fact, UnknownFact) else msgspec.json.encode(draft.fact)
        if piece and (len(piece) == AT_ONCE or size_bytes + len(fact) > AT_ONCE_BYTES):
            yield piece
            piece, size_bytes = [], 0
        piece.append(draft)
        size_bytes += len(fact)
    if piece:
        yield piece


def batch_key(root: str, first: int) -> str:
    """The key of the entries that were appended together, by the number of the first of them."""
    return f"{root}batch/{first:020d}"


def above(generation: int, seen: int) -> int:
    """A generation that is new to etcd and all mirrors, made new to agents as well, of which one has `seen` that.

    Agents are believed within LEAP of what else is known: one that lies may cost a number, and not all of them.
    """
    return max(generation, 1 + min(seen, generation + LEAP))


def is_majority(count: int, members: int) -> bool:
    """Whether so many are more than half of all that are configured."""
    return count > members // 2


def have_answered(answers: Mapping[str, MirrorMark], members: int) -> bool:
    """Whether enough lookouts answered a roll call: a majority.

    A mirror that begins anew knows nothing of what was: where another one knows, its word does not count, unless
    all have answered.
    """
    farthest = max(mark.sequence for mark in answers.values())
    votes = [mark for mark in answers.values() if mark.sequence or not farthest]
    return is_majority(len(votes), members) or len(answers) == members


def may_lead(ours: Head, etcds: Head | None, answers: Mapping[str, MirrorMark], members: int) -> bool:
    """Whether enough answered the roll call, and our mirror is as far as the farthest and as etcd itself."""
    farthest = max(mark.sequence for mark in answers.values())
    return have_answered(answers, members) and ours.sequence == max(farthest, etcds.sequence if etcds else 0)
