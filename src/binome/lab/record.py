"""What a client writes down of each attempt: one line before it is sent, one when it has ended.

The log is the evidence, so it knows three ends. *Acknowledged*: the server said that it is done. *Failed*: it is
certain that nothing was done. *Unknown*: anything else, such as a timeout, a broken connection, or a commit whose wait
for the standby was cancelled. An attempt without an end is unknown too. Times are of the machine's monotonic clock, in
seconds, so that the logs of several clients and the lab's own events can be laid side by side.
"""

from __future__ import annotations

import json
from collections.abc import Iterable, Iterator
from dataclasses import MISSING, asdict, dataclass, fields
from typing import Literal

Operation = Literal["write", "read", "web"]
OPERATIONS: tuple[Operation, ...] = ("write", "read", "web")
State = Literal["sent", "acknowledged", "failed", "unknown"]


class LogError(Exception):
    """A client's log cannot be read; the message says which line and why."""


@dataclass(frozen=True, slots=True)
class Record:
    """One line of a client's log."""

    at_s: float
    operation: Operation
    id: str
    attempt: int  # from 1
    edge: str
    state: State
    server: str = ""  # the address of the server that acknowledged
    timeline: int = 0  # of the server that acknowledged a write: rises with every promotion
    error: str = ""

    def line(self) -> bytes:
        """The record as a line of the log; what is empty is left out."""
        filled = {key: value for key, value in asdict(self).items() if value != _EMPTY.get(key)}
        return json.dumps(filled).encode() + b"\n"


_EMPTY = {field.name: field.default for field in fields(Record) if field.default is not MISSING}


def parse(lines: Iterable[bytes], name: str) -> Iterator[Record]:
    """The records of a log. A last line without an end is passed over: its writer died while it wrote.

    Raises LogError, with the name and the number of the line, for anything else that is not a record.
    """
    for number, line in enumerate(lines, 1):
        if not line.endswith(b"\n"):
            return
        try:
            yield Record(**json.loads(line))
        except (ValueError, TypeError) as error:
            raise LogError(f"{name}:{number}: not a record: {error}") from None
