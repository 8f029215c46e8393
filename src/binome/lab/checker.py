"""The judge: what the clients' logs, and nothing else, prove.

Held against the rows of the surviving primary, for writes:

    acknowledged, and the row is there            as it should be
    acknowledged, and the row is not there        lost: the one thing that must not happen
    never acknowledged, some attempt unknown      found or missing: both are right, and counted apart
    acknowledged on an older timeline after a     two primaries acknowledged: the old one was not fenced
    newer one had acknowledged, or by a second
    server on the same timeline

Every promotion of PostgreSQL starts a timeline of its own with a higher number, so an acknowledgement's timeline says
which primary gave it. An outage is the longest time without an acknowledgement, from a client's first record to its
last.
"""

from __future__ import annotations

from collections.abc import Collection, Iterable, Sequence
from dataclasses import dataclass
from itertools import pairwise

from binome.lab.record import OPERATIONS, Operation, Record


@dataclass(frozen=True, slots=True)
class Evidence:
    """What the logs prove, by ids of writes; `double_primary`: acknowledged by another than the one primary."""

    acknowledged: int
    lost: tuple[str, ...]
    unknown_found: int
    unknown_missing: int
    double_primary: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class Gap:
    """A time without acknowledgements, in seconds of the machine's monotonic clock."""

    begin_s: float
    end_s: float

    @property
    def seconds(self) -> float:
        """How long it was."""
        return self.end_s - self.begin_s


def check(records: Iterable[Record], held: Collection[str]) -> Evidence:
    """Judges the writes in the records of all clients against the ids that the surviving primary holds."""
    writes = [record for record in records if record.operation == "write"]
    acknowledged = {record.id for record in writes if record.state == "acknowledged"}
    failed = {(record.id, record.attempt) for record in writes if record.state == "failed"}
    unknown = {record.id for record in writes if (record.id, record.attempt) not in failed} - acknowledged
    found = sum(id_ in held for id_ in unknown)
    return Evidence(
        acknowledged=len(acknowledged),
        lost=tuple(sorted(id_ for id_ in acknowledged if id_ not in held)),
        unknown_found=found,
        unknown_missing=len(unknown) - found,
        double_primary=tuple(sorted(_acknowledged_twice(writes))),
    )


def _acknowledged_twice(writes: Sequence[Record]) -> set[str]:
    """Writes acknowledged by another than the one primary: on an older timeline, or beside it on the same."""
    newest = 0
    primary: dict[int, str] = {}  # timeline → the server that was the first to acknowledge on it
    others = set()
    for record in sorted((one for one in writes if one.state == "acknowledged"), key=lambda one: one.at_s):
        if record.timeline < newest or primary.setdefault(record.timeline, record.server) != record.server:
            others.add(record.id)
        newest = max(newest, record.timeline)
    return others


def outage(records: Sequence[Record], operation: Operation) -> Gap:
    """The longest time in which one client got no acknowledgement of an operation, whatever it tried.

    Silence at the beginning and at the end of the log counts. A log without records has an outage of no length.
    """
    if not records:
        return Gap(0, 0)
    begin, end = min(record.at_s for record in records), max(record.at_s for record in records)
    answers = (record.at_s for record in records if record.operation == operation and record.state == "acknowledged")
    times = [begin, *sorted(answers), end]
    return max((Gap(earlier, later) for earlier, later in pairwise(times)), key=lambda gap: gap.seconds)


def outages(records: Sequence[Record]) -> dict[str, float]:
    """The longest outage of each operation that one client saw, in seconds."""
    return {operation: round(outage(records, operation).seconds, 3) for operation in OPERATIONS}


def unanswered(records: Sequence[Record]) -> dict[str, int]:
    """How many operations of each kind never were acknowledged, whatever was tried."""
    asked = {operation: {one.id for one in records if one.operation == operation} for operation in OPERATIONS}
    answered = {one.id for one in records if one.state == "acknowledged"}
    return {operation: len(ids - answered) for operation, ids in asked.items()}
