"""Sight lines: causes that lie between the places, where what is looked at is well.

    network     a vantage point of one site sees most of the targets of another site down that are well, and nobody in
                its site sees any of them up
    vantage     a vantage point sees that of all other sites, two at least: it is cut off itself; or it is silent,
                though the server that it runs on is up

A target is *well* where it is agreed to be up, or where anybody sees it up: a leader at one end of a cut network does
not hear the other end, so that no majority may be left.

They are believed once they have lasted: when a site is lost its vantage points do not notice at the same moment. And
of a lookout that was silent only once it has had time to look again: until then it tells what it saw while it was cut
off, of one site longer than of another.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Iterator
from typing import NamedTuple

from binome.core.causes import Kind
from binome.core.graph import Graph
from binome.core.looking import LookingSlice
from binome.core.quorum import Agreed
from binome.core.target import Target
from binome.core.verdict import Verdict

BETWEEN = "~"
"""Stands between the two sites of a network: `gravelines~strasbourg`. It stands in no name of the estate."""
SILENCE_MS = 10_000
"""A lookout whose server is up may start again meanwhile. Where its server is looked at so seldom that it may have been
lost with it, longer: until that would be known."""


class Sighted(NamedTuple):
    """A cause between places. `silent` of `of` targets are seen down by `who` (sites or lookouts) since `since_ms`."""

    kind: Kind
    subject: str
    silent: int
    of: int
    since_ms: int
    who: tuple[str, ...]
    ready_ms: int
    """When it will have lasted long enough."""


def sighted(graph: Graph, looking: LookingSlice, settle_ms: int) -> list[Sighted]:
    """Every cause of these kinds that is possible, in the order of the estate."""
    blind = _blind(graph, looking) if looking.contradicted else {}
    found = []
    sites = [site for site, names in graph.in_site.items() if _well(looking, names)] if blind else []
    for vantage in dict.fromkeys(vantage for vantage, _ in blind):
        elsewhere = [site for site in sites if site != graph.site[vantage]]
        if len(elsewhere) > 1 and all((vantage, site) in blind for site in elsewhere):
            parts = [blind.pop((vantage, site)) for site in elsewhere]
            seen = _Blind(sum(one.down for one in parts), sum(one.of for one in parts), *_last(parts))
            ready_ms = max(seen.at_ms, seen.looked_ms) + settle_ms
            found.append(Sighted(Kind.VANTAGE, vantage, seen.down, seen.of, seen.at_ms, (vantage,), ready_ms))
    pairs: dict[tuple[str, str], dict[str, _Blind]] = {}
    for (vantage, site), seen in blind.items():
        own = graph.site[vantage]
        pairs.setdefault((min(own, site), max(own, site)), {})[own] = seen
    for pair, seen_by in pairs.items():
        at_ms, looked_ms = _last(seen_by.values())
        ready_ms = max(at_ms, looked_ms) + settle_ms
        down, of = sum(one.down for one in seen_by.values()), sum(one.of for one in seen_by.values())
        found.append(Sighted(Kind.NETWORK, BETWEEN.join(pair), down, of, at_ms, tuple(sorted(seen_by)), ready_ms))
    ends = {site for pair in pairs for site in pair}  # a leader at one end does not hear the other
    return found + [one for one in _silent(graph, looking, settle_ms) if graph.site[one.subject] not in ends]


class _Blind(NamedTuple):
    down: int
    of: int
    at_ms: int
    looked_ms: int
    """When the vantage point has looked anew at all of it, where it was silent before; else 0."""


def _last(seen: Iterable[_Blind]) -> tuple[int, int]:
    """Since when, and until when not yet, of several together."""
    every = list(seen)
    return max(one.at_ms for one in every), max(one.looked_ms for one in every)


def _well(looking: LookingSlice, names: list[str]) -> list[str]:
    return [one for one in names if one in looking.agreed and _is_well(looking.agreed[one])]


def _is_well(agreed: Agreed) -> bool:
    return agreed.verdict is Verdict.UP or Verdict.UP in agreed.dissent.values()


def _blind(graph: Graph, looking: LookingSlice) -> dict[tuple[str, str], _Blind]:
    """By vantage point and other site: where it sees down what is well, and nobody beside it sees it up."""
    down: Counter[tuple[str, str]] = Counter()
    newest: dict[tuple[str, str], int] = {}
    looked: dict[tuple[str, str], int] = {}
    for target, at_ms in looking.contradicted.items():
        agreed = looking.agreed[target]
        if target not in graph.targets or not _is_well(agreed):
            continue
        site = graph.site[graph.targets[target].server]
        for vantage, word in agreed.dissent.items():
            if word is Verdict.DOWN and graph.site.get(vantage, site) != site:
                down[vantage, site] += 1
                newest[vantage, site] = max(newest.get((vantage, site), 0), at_ms)
                if vantage in looking.returned:
                    anew_ms = looking.returned[vantage] + _rises_ms(graph.targets[target])
                    looked[vantage, site] = max(looked.get((vantage, site), 0), anew_ms)
    found = {}
    for (vantage, site), count in down.items():
        up = _well(looking, graph.in_site[site])
        beside = {one for one in graph.vantages if graph.site[one] == graph.site[vantage]}
        if count * 2 > len(up) and not any(_some_see_up(looking, target, beside) for target in up):
            found[vantage, site] = _Blind(count, len(up), newest[vantage, site], looked.get((vantage, site), 0))
    return found


def _rises_ms(target: Target) -> int:
    """How long a target that is well may still be called down by who has not looked at it for a while."""
    return (target.rise + 1) * target.every_ms + target.timeout_ms


def _some_see_up(looking: LookingSlice, target: str, vantages: set[str]) -> bool:
    agreed = looking.agreed[target]
    up = [one for one in agreed.by if one not in agreed.dissent] if agreed.verdict is Verdict.UP else []
    up += [one for one, word in agreed.dissent.items() if word is Verdict.UP]
    return any(one in vantages and one not in looking.silent for one in up)


def _silent(graph: Graph, looking: LookingSlice, settle_ms: int) -> Iterator[Sighted]:
    for vantage, since_ms in looking.silent.items():
        on = graph.on.get(vantage, [])
        if on and looking.verdict(on[0]) is Verdict.UP:
            target = graph.targets[on[0]]
            falls_ms = target.fall * target.every_ms + target.timeout_ms
            ready_ms = since_ms + max(SILENCE_MS, falls_ms + settle_ms)
            yield Sighted(Kind.VANTAGE, vantage, 0, 0, since_ms, (), ready_ms)
