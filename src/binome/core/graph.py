"""The graph: which target stands where, whose work it is, and what needs it. It follows from the estate alone.

A *place* is a fault domain above servers with targets in it. Targets of a service's member are its *work*
(`database@gra-db`) and its *helpers* (`database@gra-db/patroni`). What stands on no server of the estate (an
address out there, an internet name) is *outside*: it shares no fault domain with anything, and is no part of the search
for what they have in common.
"""

from __future__ import annotations

from functools import cached_property

from binome.analysis.domains import Domains
from binome.analysis.outcome import required
from binome.core.quorum import groups
from binome.core.target import Target, targets
from binome.estate import Estate


class Graph:
    """Everything about an estate that the search for causes asks again and again. Built once an estate."""

    def __init__(self, estate: Estate) -> None:
        self.estate = estate
        self.domains = Domains(estate)
        everything = {one.name: one for one in targets(estate)}
        self.targets: dict[str, Target] = {name: one for name, one in everything.items() if one.server}
        self.outside: dict[str, Target] = {name: one for name, one in everything.items() if not one.server}
        self.on: dict[str, list[str]] = {}  # server → its targets
        self.work: dict[str, list[str]] = {}  # service → the targets that are its members' work
        self.member: dict[str, list[str]] = {}  # a member's work → itself and its helpers
        self.served: dict[str, int] = {}  # service → how many targets its members have, helpers included
        for name, target in self.targets.items():
            self.on.setdefault(target.server, []).append(name)
            if target.service:
                work = worked(name)
                self.served[target.service] = self.served.get(target.service, 0) + 1
                self.member.setdefault(work, []).append(name)
                if work == name:
                    self.work.setdefault(target.service, []).append(name)
        self.places: dict[str, tuple[str, ...]] = {}  # server → the places that it stands in
        self.count: dict[str, int] = {}  # place → how many targets stand in it
        shared: dict[frozenset[str], tuple[str, ...]] = {}
        for server, names in self.on.items():
            around = self.domains.around(server)
            self.places[server] = shared.setdefault(around, tuple(sorted(around)))
            for place in around:
                self.count[place] = self.count.get(place, 0) + len(names)
        self.required = {name: required(service) for name, service in estate.services.items()}
        self.needed_by: dict[str, list[str]] = {name: [] for name in estate.services}
        for name, service in estate.services.items():
            for need in service.needs:
                if need in self.needed_by:
                    self.needed_by[need].append(name)
        self.vantages = tuple(one for group in groups(estate) for one in group)

    @cached_property
    def site(self) -> dict[str, str]:
        """The site that each server counts for; vantage points included."""
        return {server: self.domains.site(server, self.estate) for server in {*self.on, *self.vantages}}

    @cached_property
    def in_site(self) -> dict[str, list[str]]:
        """Site → the targets in it."""
        found: dict[str, list[str]] = {}
        for server, names in self.on.items():
            found.setdefault(self.site[server], []).extend(names)
        return found

    @cached_property
    def products_of(self) -> dict[str, tuple[str, ...]]:
        """Service → the products that need it, however many steps away."""
        found: dict[str, dict[str, None]] = {name: {} for name in self.estate.services}
        for product, one in self.estate.products.items():
            ahead = [need for need in one.needs if need in found]
            for service in ahead:
                if product not in found[service]:
                    found[service][product] = None
                    ahead.extend(need for need in self.estate.services[service].needs if need in found)
        return {name: tuple(products) for name, products in found.items()}

    def target(self, name: str) -> Target | None:
        """The target of a name, wherever it stands; None where the estate has none of that name (any more)."""
        return self.targets.get(name) or self.outside.get(name)

    def stands_in(self, server: str, place: str) -> bool:
        """Whether a server is lost with a place."""
        return place in self.domains.around(server)


def worked(target: str) -> str:
    """The work that a helper helps with; a work itself: `database@gra-db/patroni` → `database@gra-db`."""
    return target.partition("/")[0]


class Graphs:
    """The graph of the estate that was asked for last: there is one estate at a time."""

    def __init__(self) -> None:
        self._last: Graph | None = None

    def of(self, estate: Estate) -> Graph:
        """The graph of an estate."""
        if self._last is None or self._last.estate is not estate:
            self._last = Graph(estate)
        return self._last
