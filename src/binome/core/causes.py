"""Causes: the fewest things that explain all that is down, and that nothing that is up contradicts.

What may be a cause, what it explains, and when it is possible at all:

    kind        explains                                  possible where
    target      one target                                it is a helper whose work is up, or a server that does not
                                                          answer while something on it is up; or it stands outside
    member      a member's work and its helpers           the work is not up
    service     every member's work and helpers           no member's work is up, and that of more than half is down
    server      all targets on a server                   none is up, and it does not answer, or more than half are down
    a place     all targets on the servers in a hoster,   none is up, and more than half are down
                region, site, building, power feed,
                rack, hypervisor, account or carrier

A service *cannot work* where more of its members are down than it can spare. What is down of the services that need it
is then its *effect*: it needs no explanation of its own, and is attached to the cause of that service.

Of all sets of possible causes that explain every target that is down and no effect, one of the fewest is taken (see
cover.py). Then each cause of it is replaced by the narrowest that still explains what no other one does: by the number
of targets that it speaks of, then by its kind in the order of `RANK`, then by name. So a site with one server in it is
that server, and a building that is all of a site is the site.

What stands outside (a URL out there, an internet name) shares nothing with the others, and explains itself. Where it is
looked at for a service that cannot work, or for one that needs such a service, it is that cause's effect.

Unsure targets contradict nothing and demand nothing. Flapping ones are explained in the same way, by themselves, as
causes that are *unsteady* instead of lost.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Collection, Container, Iterable
from dataclasses import dataclass, field
from enum import StrEnum

from binome.core.cover import smallest
from binome.core.graph import Graph, worked
from binome.core.verdict import Verdict


class Kind(StrEnum):
    """What kinds of cause there are: those of fault domains have the names that the estate gives them."""

    TARGET = "target"
    SERVICE = "service"
    MEMBER = "member"
    SERVER = "server"
    SITE = "site"
    HYPERVISOR = "hypervisor"
    RACK = "rack"
    POWER = "power"
    BUILDING = "building"
    REGION = "region"
    HOSTER = "hoster"
    CARRIER = "carrier"
    ACCOUNT = "account"
    NETWORK = "network"
    VANTAGE = "vantage"


RANK = {kind: number for number, kind in enumerate(Kind)}
"""Of two causes that speak of the same targets the one of the earlier kind is named."""

Key = tuple[Kind, str]
"""A cause by kind and subject: `(site, strasbourg)`, `(member, database@gra-db)`."""


@dataclass(slots=True)
class Found:
    """A cause that was found, with the fallen targets that it explains itself and those that are its effects."""

    kind: Kind
    subject: str
    own: list[str]
    effects: list[str] = field(default_factory=list)
    failed: list[str] = field(default_factory=list)  # services that cannot work because of it

    @property
    def key(self) -> Key:
        """Kind and subject."""
        return self.kind, self.subject


def found(
    graph: Graph,
    verdict: Callable[[str], Verdict],
    fallen: Iterable[str],
    manner: Verdict,
    settled: Collection[str] = (),
) -> list[Found]:
    """The causes of the targets among `fallen` whose verdict is `manner`: down, or flapping. In the order of `RANK`.

    `settled` are targets whose cause is known already: they demand nothing, but count as evidence as the others do.
    """
    all_bad = [one for one in fallen if verdict(one) is manner]
    bad = dict.fromkeys(one for one in all_bad if one in graph.targets)
    causes = _Search(graph, verdict, bad, frozenset(settled)).causes(manner) if bad else []
    alone = []
    for one in all_bad:
        if one in graph.outside:
            cause = _hurting(graph, causes, graph.outside[one].service)
            if cause is not None:
                cause.effects.append(one)
            elif one not in settled:
                alone.append(Found(Kind.TARGET, one, [one]))
    return [*sorted(alone, key=lambda one: one.subject), *causes]


def _hurting(graph: Graph, causes: list[Found], service: str) -> Found | None:
    """The cause because of which a service cannot work, by itself or through one that it needs."""
    for cause in causes:
        if any(service == one or service in graph.needed_by[one] for one in cause.failed):
            return cause
    return None


class _Search:
    def __init__(
        self, graph: Graph, verdict: Callable[[str], Verdict], bad: dict[str, None], settled: frozenset[str]
    ) -> None:
        self.graph, self.verdict, self.bad, self.settled = graph, verdict, bad, settled
        self.up_on: dict[str, int] = {}
        self.bad_on = Counter(graph.targets[one].server for one in bad)
        self._places_of: dict[tuple[str, ...], tuple[list[str], list[str]]] = {}
        self._place_keys: dict[tuple[str, ...], list[Key]] = {}
        up_in: Counter[str] = Counter()
        bad_in: Counter[str] = Counter()
        for server in self._beside_the_bad():
            up = self.up_on[server] = sum(verdict(one) is Verdict.UP for one in graph.on[server])
            for place in graph.places[server]:
                up_in[place] += up
                bad_in[place] += self.bad_on[server]
        self.lost = {place for place, count in bad_in.items() if not up_in[place] and count * 2 > graph.count[place]}
        touched = dict.fromkeys(graph.targets[one].service for one in bad if graph.targets[one].service)
        self.services = {name: None for name in touched if self._service_lost(name)}

    def _beside_the_bad(self) -> Iterable[str]:
        """The servers that stand in some place with a bad one: only their targets can contradict."""
        places = {place for server in self.bad_on for place in self.graph.places[server]}
        return [
            server
            for server, around in self.graph.places.items()
            if server in self.bad_on or not places.isdisjoint(around)
        ]

    def causes(self, manner: Verdict) -> list[Found]:
        """The fewest, each the narrowest."""
        failed = self._failed() if manner is Verdict.DOWN else {}
        effects = self._effects(failed)
        demanding = [one for one in self.bad if one not in effects and one not in self.settled]
        widest = {one: frozenset(map(_name, self._widest(one))) for one in demanding}
        chosen = self._narrowed([_key(name) for name in smallest(set(widest.values()))], demanding)
        causes = [Found(*key, []) for key in sorted(chosen, key=lambda key: (RANK[key[0]], key[1]))]
        self._attach(causes, effects, failed)
        return causes

    # -- what cannot work

    def _failed(self) -> dict[str, list[str]]:
        """Services that cannot work, each with its members' work that is down."""
        down: dict[str, list[str]] = {}
        for one in self.bad:
            if worked(one) == one and self.graph.targets[one].service:
                down.setdefault(self.graph.targets[one].service, []).append(one)
        on = self.graph.estate.services
        return {name: work for name, work in down.items() if len(on[name].on) - len(work) < self.graph.required[name]}

    def _effects(self, failed: dict[str, list[str]]) -> dict[str, str]:
        """Bad targets of services that need what cannot work, each with what it needs.

        Where all that cannot work there is settled, nothing new explains it; then it must be explained by itself.
        """
        effects: dict[str, str] = {}
        for name, work in failed.items():
            if all(one in self.settled for one in work):
                continue
            for dependent in self.graph.needed_by[name]:
                for one in self.graph.work.get(dependent, ()):
                    for target in self.graph.member[one]:
                        if target in self.bad:
                            effects.setdefault(target, name)
        return effects

    # -- what is possible

    def _service_lost(self, name: str) -> bool:
        work = self.graph.work.get(name, [])
        bad = sum(one in self.bad for one in work)
        return bad * 2 > len(work) and all(self.verdict(one) is not Verdict.UP for one in work)

    def _server_lost(self, server: str) -> bool:
        on = self.graph.on[server]
        return not self.up_on[server] and (server in self.bad or self.bad_on[server] * 2 > len(on))

    def _places(self, server: str) -> tuple[list[str], list[str]]:
        """The places around a server that may be lost, and of these the widest."""
        places = self.graph.places[server]
        known = self._places_of.get(places)
        if known is None:
            lost = [place for place in places if place in self.lost]
            widest = [one for one in lost if self.lost.isdisjoint(self.graph.domains.around(one))]
            known = self._places_of[places] = lost, widest
        return known

    def _widest(self, target: str) -> list[Key]:
        """The possible causes of a target that no other possible cause holds wholly."""
        one = self.graph.targets[target]
        keys = [self._place_key(place) for place in self._places(one.server)[1]]
        if not keys and self._server_lost(one.server):
            keys = [(Kind.SERVER, one.server)]
        if one.service in self.services:
            keys.append((Kind.SERVICE, one.service))
        return keys or [self._narrowest(target)]

    def _narrowest(self, target: str) -> Key:
        work = worked(target)
        if not self.graph.targets[target].service or (work != target and self.verdict(work) is Verdict.UP):
            return Kind.TARGET, target
        return Kind.MEMBER, work

    def _possible(self, target: str) -> list[Key]:
        """Every possible cause of a target."""
        one = self.graph.targets[target]
        keys = [self._place_key(place) for place in self._places(one.server)[0]]
        if self._server_lost(one.server):
            keys.append((Kind.SERVER, one.server))
        if one.service in self.services:
            keys.append((Kind.SERVICE, one.service))
        if one.service or not self._server_lost(one.server):
            keys.append(self._narrowest(target))
        return keys

    def _place_key(self, place: str) -> Key:
        return Kind(self.graph.domains.kinds[place]), place

    # -- which of them

    def _narrowed(self, chosen: list[Key], demanding: list[str]) -> list[Key]:
        """The same causes, each replaced by the narrowest that explains what no other of them does."""
        current = dict.fromkeys(sorted(chosen, key=self._width, reverse=True))
        held: dict[Key, list[str]] = {key: [] for key in current}
        holders: dict[str, int] = {}
        for target in demanding:
            keys = self._keys(target, current)
            holders[target] = len(keys)
            for key in keys:
                held[key].append(target)
        ahead = list(current)
        while ahead:
            key = ahead.pop(0)
            alone = [target for target in held[key] if holders[target] == 1]
            narrower = self._narrowest_of(alone) if alone else None
            if narrower == key:
                continue
            del current[key]
            for target in held.pop(key):
                holders[target] -= 1
            if narrower is not None and narrower not in current:
                current[narrower] = None
                held[narrower] = [one for one in holders if explains(self.graph, narrower, one)]
                for target in held[narrower]:
                    holders[target] += 1
        return list(current)

    def _narrowest_of(self, targets: list[str]) -> Key:
        """The narrowest possible cause of all of these at once."""
        servers = dict.fromkeys(self.graph.targets[one].server for one in targets)
        keys = [
            key
            for key in self._possible(targets[0])
            if (
                all(self.graph.stands_in(server, key[1]) for server in servers)
                if RANK[key[0]] >= RANK[Kind.SITE]
                else all(explains(self.graph, key, one) for one in targets)
            )
        ]
        return min(keys, key=self._width)

    def _width(self, key: Key) -> tuple[int, int, str]:
        return width(self.graph, key), RANK[key[0]], key[1]

    def _keys(self, target: str, among: Container[Key]) -> list[Key]:
        """Those of some causes that explain a target."""
        one = self.graph.targets[target]
        places = self.graph.places[one.server]
        keys = self._place_keys.get(places)
        if keys is None:
            keys = self._place_keys[places] = [self._place_key(place) for place in places]
        found = [key for key in (*keys, (Kind.SERVER, one.server)) if key in among]
        if one.service:
            found += [key for key in ((Kind.SERVICE, one.service), (Kind.MEMBER, worked(target))) if key in among]
        return [*found, (Kind.TARGET, target)] if (Kind.TARGET, target) in among else found

    # -- what belongs to which

    def _attach(self, causes: list[Found], effects: dict[str, str], failed: dict[str, list[str]]) -> None:
        by_key = {one.key: one for one in causes}
        owner: dict[str, Found | None] = {}
        for target in self.bad:
            own = self._keys(target, by_key)
            owner[target] = by_key[own[0] if len(own) == 1 else max(own, key=self._width)] if own else None

        def of_service(name: str) -> Found | None:
            votes = Counter(found.key for found in map(of_target, failed[name]) if found is not None)
            return by_key[min(votes, key=lambda key: (-votes[key], RANK[key[0]], key[1]))] if votes else None

        def of_target(target: str) -> Found | None:
            if owner[target] is None and target in effects:
                owner[target] = of_service(effects[target])
            return owner[target]

        for name in failed:
            cause = of_service(name)
            if cause is not None:
                cause.failed.append(name)
        for target in self.bad:
            cause = of_target(target)
            if cause is not None:
                (cause.own if explains(self.graph, cause.key, target) else cause.effects).append(target)


def explains(graph: Graph, key: Key, target: str) -> bool:
    """Whether a target is among those that a cause speaks of."""
    kind, subject = key
    if kind is Kind.TARGET or target in graph.outside:
        return target == subject
    one = graph.targets[target]
    match kind:
        case Kind.MEMBER:
            return bool(one.service) and worked(target) == subject
        case Kind.SERVICE:
            return one.service == subject
        case Kind.SERVER:
            return one.server == subject
        case Kind.NETWORK | Kind.VANTAGE:
            return False
    return graph.stands_in(one.server, subject)


def width(graph: Graph, key: Key) -> int:
    """How many targets a cause speaks of."""
    kind, subject = key
    match kind:
        case Kind.TARGET:
            return 1
        case Kind.MEMBER:
            return len(graph.member.get(subject, ()))
        case Kind.SERVICE:
            return graph.served.get(subject, 0)
        case Kind.SERVER:
            return len(graph.on.get(subject, ()))
        case Kind.NETWORK | Kind.VANTAGE:
            return 0
    return graph.count.get(subject, 0)


def _name(key: Key) -> str:
    return f"{key[0]} {key[1]}"


def _key(name: str) -> Key:
    kind, _, subject = name.partition(" ")
    return Kind(kind), subject
