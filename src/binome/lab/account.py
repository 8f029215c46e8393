"""The account of a long load: the clients' logs as they grow, kept so small that hours of them fit into memory.

Of writes only the ends are kept, which is all that the judge (checker.py) needs of clients that ended what they began;
of all else only the longest time without an acknowledgement, and how many attempts had another end.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable
from dataclasses import replace
from sys import intern

from binome.lab.checker import Gap
from binome.lab.record import OPERATIONS, Operation, Record


class Account:
    """What the logs of several clients add up to. Times are of the machine's monotonic clock, in seconds."""

    def __init__(self) -> None:
        self.writes: list[Record] = []
        self.acknowledged = 0  # writes, since the beginning
        self.troubled: Counter[Operation] = Counter()  # attempts that failed or whose end is unknown
        self._answered_s: dict[tuple[str, Operation], float] = {}
        self._longest: dict[tuple[str, Operation], Gap] = {}
        self._newest_s: dict[str, float] = {}

    def begin(self) -> None:
        """Forgets what was measured; the writes stay, since they are judged."""
        self.acknowledged = 0
        for known in (self.troubled, self._answered_s, self._longest, self._newest_s):
            known.clear()

    def take(self, client: str, records: Iterable[Record]) -> None:
        """Takes in what a client wrote down since the last time."""
        for one in records:
            self._newest_s[client] = max(one.at_s, self._newest_s.get(client, one.at_s))
            for operation in OPERATIONS:
                self._answered_s.setdefault((client, operation), one.at_s)
            if one.state == "sent":
                continue
            if one.state == "acknowledged":
                self._answer(client, one)
            else:
                self.troubled[one.operation] += 1
            if one.operation == "write":
                self.acknowledged += one.state == "acknowledged"
                self.writes.append(_small(one))

    def longest(self, operation: Operation) -> Gap:
        """The longest time in which one of the clients got no acknowledgement, one that still lasts included."""
        lasting = [
            Gap(at_s, self._newest_s[client])
            for (client, known), at_s in self._answered_s.items()
            if known == operation and self._newest_s[client] > at_s
        ]
        ended = [gap for (_, known), gap in self._longest.items() if known == operation]
        return max((*ended, *lasting), key=lambda gap: gap.seconds, default=Gap(0, 0))

    def _answer(self, client: str, one: Record) -> None:
        of = client, one.operation
        gap = Gap(self._answered_s[of], one.at_s)
        if gap.seconds > self._longest.get(of, Gap(0, 0)).seconds:
            self._longest[of] = gap
        self._answered_s[of] = max(one.at_s, self._answered_s[of])


def _small(one: Record) -> Record:
    """The same record, with the words that all records have in common only once in memory."""
    return replace(one, operation="write", edge=intern(one.edge), server=intern(one.server), error=intern(one.error))
