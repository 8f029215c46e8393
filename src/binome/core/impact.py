"""Impact: which product cannot be used, since when until when. From quorum verdicts, and from who is primary.

    agreed verdicts ► services that cannot work ► products that need them ► ProductUnusable, ProductUsable ► intervals

A service *cannot work* where more of its members are down than it can spare (causes.py says the same), a database also
while nobody is its primary and nothing mends that by itself (stopped.py): whatever its standby looks like. A product
cannot be used while a service that it needs, however many steps away, cannot work. An interval begins with the first
look that went wrong at the member that was one too many, and ends with the first good look at the member that made them
enough again; both are in the verdicts, so no time is lost by how late they were agreed on. What is unsure begins no
interval, and ends none: nobody knows. That of a database ends no sooner than somebody is its primary again.

A product's unavailability is the union of its intervals. It says nothing of what no probe looks at: the second in which
a database moves to its standby is in the plan of the takeover, not here.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import NamedTuple

from binome.core.decision import Decision, View
from binome.core.entry import Draft, Fact
from binome.core.graph import Graph
from binome.core.looking import LookingSlice
from binome.core.scoping import graphs
from binome.core.stopped import stopped, without_primary
from binome.core.verdict import Verdict
from binome.estate import Estate

CAPABILITY = "impact"
INTERVALS_KEPT = 1000
"""Of each product; what is older is in the journal."""


class ProductUnusable(Fact, frozen=True, tag="product-unusable"):
    """A product cannot be used since `since_ms`: these services cannot work. `confirmed` as in VerdictsAgreed.

    Said again while it lasts where another service cannot work either.
    """

    product: str
    since_ms: int
    services: tuple[str, ...]
    confirmed: bool


class ProductUsable(Fact, frozen=True, tag="product-usable"):
    """A product can be used again, since `since_ms`."""

    product: str
    since_ms: int


FACTS = (ProductUnusable, ProductUsable)


class Interval(NamedTuple):
    """A time in which a product could not be used, in milliseconds since 1970; `until_ms` None: it still cannot."""

    since_ms: int
    until_ms: int | None
    services: tuple[str, ...] = ()
    confirmed: bool = True


class ImpactSlice:
    """The intervals of every product, the oldest first; of each at most the last is open."""

    def __init__(self) -> None:
        self.intervals: dict[str, list[Interval]] = {}
        self.numbers: dict[str, int] = {}  # product → how many intervals it has had
        self.looked_at: tuple[Graph, int, dict[str, int], set[str]] | None = None  # a note of decide's

    def apply(self, fact: Fact) -> None:
        """Takes in a fact of this capability."""
        match fact:
            case ProductUnusable() if self.open(fact.product) is None:
                known = self.intervals.setdefault(fact.product, [])
                known.append(Interval(fact.since_ms, None, fact.services, fact.confirmed))
                del known[:-INTERVALS_KEPT]
                self.numbers[fact.product] = self.numbers.get(fact.product, 0) + 1
            case ProductUnusable():
                before = self.intervals[fact.product][-1]
                services = tuple(dict.fromkeys((*before.services, *fact.services)))
                self.intervals[fact.product][-1] = before._replace(services=services)
            case ProductUsable():
                last = self.open(fact.product)
                if last is not None:
                    self.intervals[fact.product][-1] = last._replace(until_ms=fact.since_ms)

    def open(self, product: str) -> Interval | None:
        """The interval in which a product is now; None while it can be used."""
        known = self.intervals.get(product)
        return known[-1] if known and known[-1].until_ms is None else None

    def unusable(self) -> tuple[str, ...]:
        """The products that cannot be used now."""
        return tuple(product for product in self.intervals if self.open(product) is not None)


def union(intervals: Iterable[Interval], from_ms: int, until_ms: int) -> list[tuple[int, int]]:
    """The union of intervals, as far as it lies from `from_ms` until before `until_ms`: disjoint, in order."""
    cut = sorted(
        (max(one.since_ms, from_ms), min(until_ms if one.until_ms is None else one.until_ms, until_ms))
        for one in intervals
    )
    found: list[tuple[int, int]] = []
    for since_ms, end_ms in cut:
        if end_ms <= since_ms:
            continue
        if found and since_ms <= found[-1][1]:
            found[-1] = (found[-1][0], max(found[-1][1], end_ms))
        else:
            found.append((since_ms, end_ms))
    return found


def unavailable_ms(intervals: Iterable[Interval], from_ms: int, until_ms: int) -> int:
    """For how long a product could not be used in that time."""
    return sum(end_ms - since_ms for since_ms, end_ms in union(intervals, from_ms, until_ms))


def failed(graph: Graph, looking: LookingSlice) -> dict[str, int]:
    """The services that cannot work by what is agreed, each since when."""
    down: dict[str, list[int]] = {}
    for name in looking.fallen:
        target = graph.targets.get(name)
        if target is not None and name in graph.work.get(target.service, ()):
            agreed = looking.agreed[name]
            if agreed.verdict is Verdict.DOWN:
                down.setdefault(target.service, []).append(agreed.since_ms)
    found = {}
    for service, times in down.items():
        spare = len(graph.estate.services[service].on) - graph.required[service]
        if len(times) > spare:
            found[service] = sorted(times)[spare]
    return found


def decide(estate: Estate, view: View, now_ms: int) -> Decision:
    """Which products can no longer, or can again, be used. Costs little where nothing has changed."""
    impact, looking = view.impact, view.looking
    graph = graphs.of(estate)
    stuck = stopped(estate, view, now_ms)
    if looking.more or not (looking.fallen or stuck or impact.unusable()):
        return Decision()
    headless = without_primary(estate, view, now_ms) if impact.unusable() else set[str]()
    looked_at = graph, looking.count, stuck, headless
    if impact.looked_at == looked_at:
        return Decision()
    record = [*_ended(graph, view, headless, now_ms), *_begun(graph, view, stuck, now_ms)]
    if not record:
        impact.looked_at = looked_at
    return Decision(tuple(record))


def _begun(graph: Graph, view: View, stuck: Mapping[str, int], now_ms: int) -> Iterable[Draft]:
    impact = view.impact
    services: dict[str, dict[str, int]] = {}
    down = failed(graph, view.looking)
    both = {name: min(since_ms, down.get(name, since_ms)) for name, since_ms in stuck.items()}
    for service, since_ms in (down | both).items():
        for product in graph.products_of[service]:
            services.setdefault(product, {})[service] = since_ms
    for product, hurt in services.items():
        open_ = impact.open(product)
        if open_ is not None:
            also = tuple(service for service in hurt if service not in open_.services)
            if also:
                more = ProductUnusable(product, open_.since_ms, also, view.looking.confirmed)
                name = f"{CAPABILITY}/{product}/{impact.numbers[product]}/also/{also[0]}"
                yield Draft(name, now_ms, CAPABILITY, more)
            continue
        before = impact.intervals.get(product)
        earliest_ms = (before[-1].until_ms or 0) if before else 0
        since_ms = min(max(min(hurt.values()), earliest_ms), now_ms)
        fact = ProductUnusable(product, since_ms, tuple(hurt), view.looking.confirmed)
        yield Draft(f"{CAPABILITY}/{product}/{impact.numbers.get(product, 0) + 1}/began", now_ms, CAPABILITY, fact)


def _ended(graph: Graph, view: View, headless: set[str], now_ms: int) -> Iterable[Draft]:
    impact = view.impact
    for product in impact.unusable():
        interval = impact.open(product)
        if interval is None or not headless.isdisjoint(interval.services):
            continue
        working = _working(graph, view.looking, interval.services, now_ms)
        if working is None:
            continue
        hurt = [working[name] for name in interval.services if name in working]
        hurt += _led(view, interval, working, now_ms)
        since_ms = min(max([interval.since_ms, *hurt]), now_ms)
        fact = ProductUsable(product, since_ms)
        yield Draft(f"{CAPABILITY}/{product}/{impact.numbers[product]}/ended", now_ms, CAPABILITY, fact)


def _working(graph: Graph, looking: LookingSlice, services: Iterable[str], now_ms: int) -> Mapping[str, int] | None:
    """Since when each of these services that anybody looks at has enough members up; None where one has not."""
    found = {}
    for name in services:
        work = graph.work.get(name, ())
        if not work:
            continue
        up = sorted(looking.agreed[one].since_ms for one in work if looking.verdict(one) is Verdict.UP)
        enough = graph.required[name]
        if len(up) < enough:
            return None
        found[name] = up[enough - 1] if enough else now_ms
    return found


def _led(view: View, interval: Interval, working: Mapping[str, int], now_ms: int) -> Iterable[int]:
    """Since when each database of an interval has a primary again.

    Now, where its members were up and its primary the same all the time: it was out of reach, and no longer is.
    """
    for name in interval.services:
        known = view.takeover.databases.get(name)
        if known is not None:
            since_ms = max(known.primary_ms, working.get(name, 0))
            yield since_ms if since_ms > interval.since_ms else now_ms
