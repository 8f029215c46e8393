"""How far an asynchronous standby was behind a primary that is lost, at most: from what both said in etcd.

Patroni publishes how far the primary has written (`status`), and each member how far it has received, once in every
round of `loop_wait` in which it changed. What a standby lacks of what was published shows when it had everything last:

    published    100    110    120    130  ✕ the primary is lost
                  1 s    2 s    3 s    4 s
    received     125                            it had everything at 3 s: it lacks what was written since then

    whole until   the newest moment whose published position it has received; where it has all of them, also the loss
                  less two rounds, since a primary that lived would have published more
    behind by     from then until the loss, and FENCED_MS longer: so long an isolated primary may go on to acknowledge

It is an upper bound, and no measure of bytes: a team can say how many seconds of writes it would lose, and how many
megabytes that is it would have to look up. A standby that nothing is known of is behind by nobody knows how much.
"""

from __future__ import annotations

from collections import deque
from typing import NamedTuple

from binome.core.decision import View
from binome.core.entry import Draft
from binome.core.lost import losses
from binome.core.takeover_facts import StandbyBehind
from binome.estate import Estate
from binome.estate.model import PostgresqlService

CAPABILITY = "lag"
FENCED_MS = 2_000
KEPT = 120
"""So many published positions are remembered: two minutes at the quickest pace of Patroni."""
ROUNDS, ROUND_MS = 2, 10_000
"""Of how many rounds nobody can tell, and how long one takes where Patroni's settings do not say."""


class _Published(NamedTuple):
    position: int
    at_ms: int


class Positions:
    """What was said of one database's positions, by a clock that does not go back (milliseconds).

    `round_ms` is how long a round of its Patroni takes.
    """

    def __init__(self) -> None:
        self.round_ms = ROUND_MS
        self._published: deque[_Published] = deque(maxlen=KEPT)
        self._received: dict[str, int] = {}

    def primary_wrote(self, position: int, at_ms: int) -> None:
        """The primary has published how far it has written. A smaller position is another primary's: begin anew."""
        if self._published and position < self._published[-1].position:
            self._published.clear()
        if not self._published or position > self._published[-1].position:
            self._published.append(_Published(position, at_ms))

    def member_received(self, member: str, position: int) -> None:
        """A member has said how far it has received."""
        self._received[member] = position

    def gone(self, member: str) -> None:
        """A member has no place any more."""
        self._received.pop(member, None)

    def behind_ms(self, member: str, lost_ms: int, now_ms: int) -> int | None:
        """How far a member is behind a primary that is lost since `lost_ms`, at most; None where nobody knows."""
        received = self._received.get(member)
        if received is None or not self._published or received < self._published[0].position:
            return None
        whole_ms = max(one.at_ms for one in self._published if one.position <= received)
        if received >= self._published[-1].position:
            whole_ms = max(whole_ms, lost_ms - ROUNDS * self.round_ms)
        return max(0, min(now_ms, lost_ms + FENCED_MS) - whole_ms)


def is_measured(service: object) -> bool:
    """Whether how far its standbys are behind decides anything of a service."""
    return isinstance(service, PostgresqlService) and service.replication == "asynchronous"


def drafts(
    estate: Estate, view: View, name: str, positions: Positions, now_ms: int, *, clock_ms: int
) -> list[Draft] | None:
    """What the journal does not say yet of standbys whose primary is lost; None where it is not lost.

    Once a loss and member; once more where it is less by then, and little enough. `now_ms` is wall clock time,
    `clock_ms` the clock of the positions.
    """
    service, database = estate.services[name], view.takeover.databases.get(name)
    if not isinstance(service, PostgresqlService) or database is None:
        return None
    loss = next((one for one in losses(estate, view, now_ms) if database.primary in one.servers), None)
    if loss is None:
        return None
    found = []
    for member in (one for one in service.on if one not in loss.servers):
        behind_ms = positions.behind_ms(member, clock_ms - loss.lasted_ms, clock_ms)
        before = view.takeover.behind_ms(name, loss.id, member)
        enough = behind_ms is not None and service.lag_ms is not None and behind_ms <= service.lag_ms
        if behind_ms is not None and (before is None or (enough and before > (service.lag_ms or 0))):
            fact = StandbyBehind(name, loss.id, member, behind_ms)
            found.append(Draft(f"{CAPABILITY}/{name}/{loss.id}/{member}/{behind_ms}", now_ms, CAPABILITY, fact))
    return found
