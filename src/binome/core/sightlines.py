"""Sight lines: causes that lie between the places, where what is looked at is well.

    network     a vantage point of one site sees every target of another site down that is agreed to be up, and more
                than half of them at least; nobody in its site sees one of them up
    vantage     a vantage point sees that of all other sites, two at least: it is cut off itself; or it is silent,
                though the server that it runs on is up

They are believed once they have lasted: when a site is lost its vantage points do not notice at the same moment.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator
from typing import NamedTuple

from binome.core.causes import Kind
from binome.core.graph import Graph
from binome.core.looking import LookingSlice
from binome.core.verdict import Verdict

SILENCE_MS = 10_000
"""A lookout whose server is up may start again meanwhile."""


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
    sites = [site for site, names in graph.in_site.items() if _up(looking, names)]
    for vantage in graph.vantages:
        elsewhere = [site for site in sites if site != graph.site[vantage]]
        if len(elsewhere) > 1 and all((vantage, site) in blind for site in elsewhere):
            parts = [blind.pop((vantage, site)) for site in elsewhere]
            seen = _Blind(sum(one.down for one in parts), sum(one.of for one in parts), max(one.at_ms for one in parts))
            ready_ms = seen.at_ms + settle_ms
            found.append(Sighted(Kind.VANTAGE, vantage, seen.down, seen.of, seen.at_ms, (vantage,), ready_ms))
    pairs: dict[tuple[str, str], dict[str, _Blind]] = {}
    for (vantage, site), seen in blind.items():
        own = graph.site[vantage]
        pairs.setdefault((min(own, site), max(own, site)), {})[own] = seen
    for pair, seen_by in pairs.items():
        at_ms = max(one.at_ms for one in seen_by.values())
        down, of = sum(one.down for one in seen_by.values()), sum(one.of for one in seen_by.values())
        found.append(Sighted(Kind.NETWORK, "–".join(pair), down, of, at_ms, tuple(sorted(seen_by)), at_ms + settle_ms))
    return found + list(_silent(graph, looking))


class _Blind(NamedTuple):
    down: int
    of: int
    at_ms: int


def _up(looking: LookingSlice, names: list[str]) -> list[str]:
    return [one for one in names if looking.verdict(one) is Verdict.UP]


def _blind(graph: Graph, looking: LookingSlice) -> dict[tuple[str, str], _Blind]:
    """By vantage point and other site: where it sees down what is agreed to be up, and nobody beside it sees it up."""
    down: Counter[tuple[str, str]] = Counter()
    newest: dict[tuple[str, str], int] = {}
    for target, at_ms in looking.contradicted.items():
        agreed = looking.agreed[target]
        if target not in graph.targets or agreed.verdict is not Verdict.UP:
            continue
        site = graph.site[graph.targets[target].server]
        for vantage, word in agreed.dissent.items():
            if word is Verdict.DOWN and graph.site.get(vantage, site) != site:
                down[vantage, site] += 1
                newest[vantage, site] = max(newest.get((vantage, site), 0), at_ms)
    found = {}
    for (vantage, site), count in down.items():
        up = _up(looking, graph.in_site[site])
        beside = {one for one in graph.vantages if graph.site[one] == graph.site[vantage]}
        if count * 2 > len(up) and not any(_some_see_up(looking, target, beside) for target in up):
            found[vantage, site] = _Blind(count, len(up), newest[vantage, site])
    return found


def _some_see_up(looking: LookingSlice, target: str, vantages: set[str]) -> bool:
    agreed = looking.agreed[target]
    return any(one in vantages and one not in agreed.dissent and one not in looking.silent for one in agreed.by)


def _silent(graph: Graph, looking: LookingSlice) -> Iterator[Sighted]:
    for vantage, since_ms in looking.silent.items():
        on = graph.on.get(vantage, [])
        if on and looking.verdict(on[0]) is Verdict.UP:
            yield Sighted(Kind.VANTAGE, vantage, 0, 0, since_ms, (), since_ms + SILENCE_MS)
