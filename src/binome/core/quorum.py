"""Quorum: what the vantage points believe together. No single place decides.

Vantage points are the servers of `lookout.on`. Those that share a physical fault domain (a site, building, power feed,
rack or hypervisor, however many steps away) may be blinded by one fault, so they are one *group* and have one vote.
Hosters, accounts, carriers and regions do not group: that would be a matter of contract or of geography.

    a member's word    its verdict; none while it is silent or unsure
    a group's vote     the word that its members have in common; none where they contradict each other, or have none
    agreed             what more than half of *all configured* groups vote for, not of those that are heard; else unsure

With fewer than three groups nothing is confirmed: one of two may be the one that is blind. What is agreed is told and
paged all the same, and never acted on.

`Tally` keeps the votes and what follows from them, target by target; a summary costs what it changes.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from itertools import combinations

import msgspec

from binome.analysis.domains import Domains
from binome.core.verdict import Judged, Verdict
from binome.estate import Estate

PHYSICAL = frozenset({"site", "building", "power", "rack", "hypervisor"})
"""Kinds of fault domain that can blind all vantage points in them at once."""
GROUPS_TO_CONFIRM = 3
SAID_KEPT = 60
"""So many characters of what a target said are agreed on; facts are small."""


class Agreed(msgspec.Struct, frozen=True, array_like=True):
    """What is believed of a target by quorum.

    `by` are the vantage points that say so; `dissent` has those that contradict it, with their word. `since_ms` is by
    the wall clock of the vantage point whose word made it a majority.
    """

    verdict: Verdict
    since_ms: int
    by: tuple[str, ...] = ()
    dissent: dict[str, Verdict] = {}
    said: str = ""


NOTHING_KNOWN = Agreed(Verdict.UNSURE, 0)


def groups(estate: Estate) -> tuple[tuple[str, ...], ...]:
    """The vantage points of an estate, grouped; in the order of the file."""
    if estate.lookout is None:
        return ()
    domains = Domains(estate)
    places = {
        vantage: {name for name in domains.around(vantage) if domains.kinds[name] in PHYSICAL}
        for vantage in estate.lookout.on
    }
    group_of = {vantage: {vantage} for vantage in places}
    for one, other in combinations(places, 2):
        if places[one] & places[other] and group_of[one] is not group_of[other]:
            group_of[one] |= group_of[other]
            for member in group_of[other]:
                group_of[member] = group_of[one]
    found = dict.fromkeys(tuple(name for name in places if name in group_of[vantage]) for vantage in places)
    return tuple(found)


class Tally:
    """The views of all vantage points, and what they come to."""

    def __init__(self, estate: Estate) -> None:
        self.groups = groups(estate)
        self.vantages = tuple(vantage for group in self.groups for vantage in group)
        self.majority = len(self.groups) // 2 + 1
        self.confirmed = len(self.groups) >= GROUPS_TO_CONFIRM
        self.silent: dict[str, int] = {}
        self.touched: dict[str, None] = {}  # targets whose views have changed since somebody last compared them
        self._index = {vantage: number for number, vantage in enumerate(self.vantages)}
        self._group_numbers = tuple(tuple(self._index[one] for one in group) for group in self.groups)
        self._views: dict[str, list[Judged | None]] = {}
        self._agreed: dict[str, Agreed] = {}

    def hear(self, vantage: str, judged: Mapping[str, Judged], *, whole: bool = False) -> None:
        """Takes in what a vantage point says of some targets, or, where it is `whole`, of all of them.

        Whoever is no vantage point of the estate has no vote.
        """
        number = self._index.get(vantage)
        if number is None:
            return
        if whole:
            for target, views in self._views.items():
                if views[number] is not None and target not in judged:
                    self._set(target, number, None)
        for target, one in judged.items():
            self._set(target, number, one)

    def quiet(self, silent: Mapping[str, int]) -> None:
        """Takes in which lookouts are silent now, each since when; what they said before is no word meanwhile."""
        changed = {self._index[one] for one in self.silent.keys() ^ silent.keys() if one in self._index}
        self.silent = {one: since_ms for one, since_ms in silent.items() if one in self._index}
        for target, views in self._views.items() if changed else ():
            if any(views[number] is not None for number in changed):
                self._touch(target)

    def agreed(self, target: str) -> Agreed:
        """What the views of a target come to."""
        known = self._agreed.get(target)
        if known is None:
            known = self._agreed[target] = self._combined(self._views.get(target, ()))
        return known

    def views(self, target: str) -> dict[str, Judged]:
        """What each vantage point said last of a target; whoever has said nothing is not in it."""
        views = self._views.get(target, ())
        return {vantage: one for vantage, one in zip(self.vantages, views, strict=False) if one is not None}

    def targets(self) -> Iterable[str]:
        """Every target that somebody has a view of."""
        return self._views.keys()

    def _set(self, target: str, number: int, judged: Judged | None) -> None:
        views = self._views.get(target)
        if views is None:
            views = self._views[target] = [None] * len(self.vantages)
        before = views[number]
        if before is not judged and before != judged:
            views[number] = judged
            self._touch(target)

    def _touch(self, target: str) -> None:
        self._agreed.pop(target, None)
        self.touched[target] = None

    def _combined(self, views: Iterable[Judged | None]) -> Agreed:
        words: dict[int, Judged] = {
            number: judged
            for number, judged in enumerate(views)
            if judged is not None
            and judged.verdict is not Verdict.UNSURE
            and (not self.silent or self.vantages[number] not in self.silent)
        }
        votes: dict[Verdict, list[int]] = {}
        for group in self._group_numbers:
            said = {words[number].verdict for number in group if number in words}
            if len(said) == 1:
                since_ms = min(words[number].since_ms for number in group if number in words)
                votes.setdefault(said.pop(), []).append(since_ms)
        for verdict, since in votes.items():
            if len(since) >= self.majority:
                return self._decided(verdict, sorted(since)[self.majority - 1], words)
        return self._undecided(words)

    def _decided(self, verdict: Verdict, since_ms: int, words: Mapping[int, Judged]) -> Agreed:
        agreeing = [number for number, judged in words.items() if judged.verdict is verdict]
        by = tuple(self.vantages[number] for number in agreeing)
        dissent = dict(self._named((number, words[number]) for number in words if number not in agreeing))
        return Agreed(verdict, since_ms, by, dissent, words[agreeing[0]].said[:SAID_KEPT])

    def _undecided(self, words: Mapping[int, Judged]) -> Agreed:
        if len({judged.verdict for judged in words.values()}) < 2:
            return NOTHING_KNOWN
        since_ms = max(judged.since_ms for judged in words.values())
        return Agreed(Verdict.UNSURE, since_ms, (), dict(self._named(words.items())))

    def _named(self, words: Iterable[tuple[int, Judged]]) -> Iterator[tuple[str, Verdict]]:
        return ((self.vantages[number], judged.verdict) for number, judged in words)
