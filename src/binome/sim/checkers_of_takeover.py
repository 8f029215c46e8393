"""I1, I2, I4 and I15, from what databases did, what lookouts heard and what etcd committed."""

from __future__ import annotations

from collections.abc import Iterator

import msgspec

from binome.sim.history import Agreed, Decided, Event, HandedOver, Heard, Held, Promoted, Watched, Wrote

SWITCHOVER = "takeover/switch/"
MISSED_S = 0.2
"""Who was not heard for so long may be missed: 250 ms by a clock that is fast, and less by one that is slow."""
STALE_S = 1.5
"""What others said of whom they miss may be so old."""
SLOWEST = 0.85
"""A clock may count so much less time than another."""


def writes(events: list[tuple[float, Event]]) -> Iterator[tuple[float, str]]:
    """I1 and I2: what was acknowledged is in every database that is promoted later, and in the last primary.

    Once a database is promoted, what another one acknowledges can only be right if the promoted one had it before.
    """
    acknowledged: list[str] = []
    primary, had = "", set[str]()
    for at_s, event in events:
        match event:
            case Wrote(member, name):
                if primary and member != primary and name not in had:
                    yield at_s, f"{member} acknowledged {name} after {primary} was promoted"
                acknowledged.append(name)
            case Promoted(member, names):
                primary, had = member, set(names)
                if lost := [name for name in acknowledged if name not in had]:
                    yield at_s, f"{member} was promoted without {len(lost)} acknowledged writes, {lost[0]} the first"
            case Held(member, names):
                kept = set(names)
                if lost := [name for name in acknowledged if name not in kept]:
                    yield at_s, f"{member} is primary without {len(lost)} acknowledged writes, {lost[0]} the first"


def once(events: list[tuple[float, Event]]) -> Iterator[tuple[float, str]]:
    """I15: one takeover in a night, which is shorter than any cooldown; with its fact in the same transaction.

    A person may want another one. A switchover is none: it is what a person asked for, between the living.
    """
    taken = 0
    planned: set[str] = set()
    wanted: set[str] = set()
    asked = False
    handed: HandedOver | None = None
    for at_s, event in events:
        facts = [msgspec.json.decode(one.fact) for one in event.entries] if isinstance(event, Agreed) else []
        for fact in facts:
            asked |= fact["kind"] == "takeover-asked"
            if fact["kind"] == "plan-made":
                planned.add(fact["plan"])
                if asked and fact["plan"].startswith("takeover/loss/"):
                    wanted.add(fact["plan"])
                    asked = False
        if handed is not None:
            told = [fact for fact in facts if fact["kind"] == "database-moved" and fact["primary"] == handed.member]
            if not told:
                yield at_s, f"{handed.node} made {handed.member} primary, and the journal does not say so"
            if told and told[0]["plan"] not in planned:
                yield at_s, f"{handed.member} was made primary by {told[0]['plan']}, which is not in the journal"
            taken += not told or (told[0]["plan"] not in wanted and not told[0]["plan"].startswith(SWITCHOVER))
            if taken > 1:
                yield at_s, f"{handed.member} is the second to take over within the cooldown"
            handed = None
        if isinstance(event, HandedOver):
            handed = event


class _Beats:
    """When each lookout heard each other one last, and when it last began to hear it again after a silence."""

    def __init__(self, groups: dict[str, tuple[str, ...]]) -> None:
        self.groups = groups
        self._last_s: dict[tuple[str, str], float] = {}
        self._again_s: dict[tuple[str, str], float] = {}

    def heard(self, node: str, site: str, at_s: float) -> None:
        """A beat has come from a lookout of a site."""
        before_s = self._last_s.get((node, site), at_s)
        if at_s - before_s >= MISSED_S:
            self._again_s[node, site] = at_s
        self._last_s[node, site] = at_s

    def for_s(self, node: str, site: str, at_s: float) -> float:
        """How long a lookout has heard nothing from a site."""
        return at_s - self._last_s.get((node, site), at_s)

    def places(self, site: str, at_s: float) -> list[str]:
        """The places from which somebody misses a site, or did a moment ago."""
        return [
            place
            for place, names in self.groups.items()
            if any(
                self.for_s(name, site, at_s) >= MISSED_S or at_s - self._again_s.get((name, site), -STALE_S) < STALE_S
                for name in names
            )
        ]


def silence(events: list[tuple[float, Event]]) -> Iterator[tuple[float, str]]:
    """I4, I5: a site is called silent by a majority of all places, and no sooner than it has been so for so long."""
    beats: _Beats | None = None
    for at_s, event in events:
        match event:
            case Watched(groups):
                beats = _Beats(groups)
            case Heard(node, peer) if beats is not None:
                beats.heard(node, peer.partition("-")[2][0], at_s)
            case Decided(node, ids) if beats is not None:
                for name in ids:
                    kind, *rest = name.split("/")
                    if kind != "silence" or rest[-1] == "heard":
                        continue
                    site, length_s = rest[0], int(rest[-1]) / 1000
                    if len(beats.places(site, at_s)) * 2 <= len(beats.groups):
                        yield at_s, f"{node} calls {site} silent, and no majority misses it"
                    if beats.for_s(node, site, at_s) < length_s * SLOWEST:
                        yield at_s, f"{node} calls {site} silent for {length_s:g} s, and heard it since"
