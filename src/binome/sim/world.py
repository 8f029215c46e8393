"""One night: sites with lookouts, etcd members, servers and people; faults, then peace; what was observed.

    0 s     lookouts and etcd start
    6 s     faults and people come
   66 s     the last fault has ended; within 120 s everything must have converged (I16)

Every random choice is drawn from a generator that is named after what draws, and begins with the seed.
"""

from __future__ import annotations

import gc
from collections.abc import Sequence
from random import Random

from binome.core.entry import decode
from binome.estate.model import PostgresqlService
from binome.ports import Change
from binome.sim.agent import Agent, SimulatedDriver
from binome.sim.asking import Mood, People, mood
from binome.sim.etcd import Cluster
from binome.sim.fault import BEGIN_S, END_S, Fault
from binome.sim.faults import plant
from binome.sim.hearing import SimulatedHearing
from binome.sim.history import Agreed, Ended, HandedOver, Held, History, Leads, Rebuilt, Ruled, Watched
from binome.sim.loop import SpinningError
from binome.sim.network import Link, Network
from binome.sim.node import Node
from binome.sim.oracle import Oracle
from binome.sim.pair import LEADER, Pair
from binome.sim.people import Wish, live, wishes
from binome.sim.servers import Server, Servers
from binome.sim.shape import ASKED, PLAIN, Place, Shape
from binome.sim.sights import Sights

CONVERGED_WITHIN_S = 120.0
SETTLED_FOR_S = 3.0


class World:
    """A night that is going on."""

    def __init__(
        self, seed: str, shape: Place, faults: Sequence[Fault], people: Sequence[Wish], asking: Mood | None = None
    ) -> None:
        self.history = History()
        self.loop = self.history.loop
        self.oracle = Oracle()
        self.acknowledged: set[str] = set()
        self.wanted = len(people) + sum(bool(wish.end_after_s) for wish in people)

        def chance(name: str) -> Random:
            return Random(f"{seed}/{name}")

        self.network = Network(self.loop, shape.sites, chance)
        self.cluster = Cluster(self.network, shape.sites, chance("etcd"), self._committed)
        self.agents = {
            name: Agent(name, shape.site_of(name), self.history, chance(f"agent/{name}")) for name in shape.servers
        }
        estate = self.estate = shape.estate()
        self.nodes: list[Node] = []
        self.sites, self._names = shape.sites, frozenset(shape.nodes)
        self.sights = Sights(estate, self.network, shape.site_of, chance, self._has_no_power)
        self.pair = Pair(shape.members, self, chance("pair"))
        self.servers = Servers({name: shape.site_of(name) for name in shape.servers if shape.members}, self, chance)
        self.sights.watch_services(self.pair.is_down)
        sites = {name: shape.site_of(name) for name in shape.nodes}
        if estate.lookout is not None:
            groups = {place: tuple(names) for place, names in shape.groups().items()}
            lookout = estate.lookout
            self.history.add(Watched(groups, tuple(self.sights.targets), lookout.fall, lookout.rise))
        if isinstance(service := estate.services.get("db"), PostgresqlService) and shape.members:
            self.history.add(Ruled(service.takeover, service.act_after_ms))
        self.nodes = [
            Node(
                name,
                site,
                shape.nodes,
                estate=estate,
                cluster=self.cluster,
                history=self.history,
                driver=SimulatedDriver(name, site, self.agents, self.network, self.history),
                chance=chance(f"disk/{name}"),
                sights=self.sights if shape.night != PLAIN else None,
                sites=sites,
                living=self._living,
                pair=self.pair if shape.members else None,
                servers=self.servers,
                beside_primary=site == shape.sites[0],
            )
            for name, site in sites.items()
        ]
        plant(self, faults)
        if asking is not None:
            People(asking, self, chance("asking/said"))
        for wish in people:
            self.loop.spawn(None, live(wish, self))

    def link(self, target: str) -> Link:
        """The link that a fault names as `from>to`."""
        source, _, end = target.partition(">")
        return self.network.links[source, end]

    def node(self, name: str) -> Node:
        """The lookout of that name."""
        return next(node for node in self.nodes if node.name == name)

    def agents_on(self, name: str) -> list[Agent | Server]:
        """What works for lookouts on a server: who holds it for people, and the agent, in nights that have one."""
        return [one for one in (self.agents.get(name), self.servers.all.get(name)) if one is not None]

    def _has_no_power(self, name: str) -> bool:
        return any(node.name == name and node.downs for node in self.nodes)

    def _living(self, name: str) -> SimulatedHearing | None:
        eyes = next((node.eyes for node in self.nodes if node.name == name), None)
        return eyes.hearing if eyes is not None else None

    def _committed(self, client: str, changes: Sequence[Change]) -> None:
        for change in changes:
            if change.key == "/binome/sim/leader":
                self.history.add(Leads(client if change.value is not None else ""))
            if change.key == LEADER and change.value is not None and client in self._names:
                self.history.add(HandedOver(client, change.value.decode()))
            if change.value is not None and change.value[:2] == b"[{":
                entries = tuple(decode(change.value))
                self.history.add(Agreed(client, entries))
                self.oracle.take_in(entries)

    def rebuild_etcd(self, until_s: float) -> None:
        """Etcd begins from nothing, at the next moment at which no lookout lacks anything that was promised."""
        if self.loop.now_s > until_s:
            return
        if self._nothing_only_in_etcd():
            self.forget_etcd()
        else:
            self.loop.after(0.1, self.rebuild_etcd, until_s)

    def forget_etcd(self) -> None:
        """All of etcd's data is gone, whatever it was."""
        self.history.add(Rebuilt())
        self.history.note("etcd rebuilt from nothing")
        self.cluster.rebuild()

    def _nothing_only_in_etcd(self) -> bool:
        return not self._requested() and not self._behind()

    def _requested(self) -> bool:
        """Whether requests of people wait in etcd: they are nowhere else."""
        return any("/request/" in one.key for one in self.cluster.state.range("/", prefix=True).keys)

    def holding(self, *without: Node) -> bool:
        """Whether a majority of all mirrors, on their disks, have every entry, though some count for nothing."""
        having = sum(node.mirrored == self.oracle.count for node in self.nodes if node not in without)
        return having > len(self.nodes) // 2

    def can_lose_etcd(self, *emptied: Node) -> bool:
        """Whether all that was promised outlives etcd and these mirrors: a majority has it, and none will be empty."""
        empty = [node for node in self.nodes if not node.mirrored or node in emptied]
        return self.holding() and len(empty) <= len(self.nodes) // 2 and not self._requested()

    def _barred(self) -> str:
        """Who does not serve as he did, unless a person has to see to that."""
        return "" if self.oracle.needs_person("db") else self.servers.unwell()

    def _behind(self) -> list[str]:
        """The lookouts that are not there, or whose mirrors lack something."""
        return [node.name for node in self.nodes if node.store is None or node.store.head().hash != self.oracle.head]

    # -- the course of the night

    def run(self, end_s: float = END_S) -> History:
        """Lets the night pass, of which the faults are over at `end_s`; what was observed."""
        collecting = gc.isenabled()
        gc.disable()  # what the collector finalizes, and when, must not be a part of the night
        try:
            self._run(end_s)
        finally:
            self.loop.dispose()
            self.servers.dispose()
            if collecting:
                gc.enable()
        return self.history

    def _run(self, end_s: float) -> None:
        lacking = "not run to its end"
        try:
            self.loop.run_until(end_s)
            settled_s = 0.0
            while self.loop.now_s < end_s + CONVERGED_WITHIN_S and settled_s < SETTLED_FOR_S:
                self.loop.run_until(self.loop.now_s + 1)
                lacking = self.lacking()
                settled_s = 0.0 if lacking else settled_s + 1
        except SpinningError as error:
            lacking = str(error)
        if (primary := self.pair.primary()) is not None:
            self.history.add(Held(primary.name, tuple(primary.writes)))
        for situation in sorted(self.oracle.covered):
            self.history.note(situation)
        self.history.add(
            Ended(
                lacking,
                {node.name: node.mirror() for node in self.nodes},
                {agent.name: agent.held_by for agent in self.agents.values() if agent.held_by},
            )
        )

    def lacking(self) -> str:
        """What has not converged yet, in a few words; nothing where all has."""
        if len(self.acknowledged) < self.wanted:
            return f"{self.wanted - len(self.acknowledged)} requests of people were not accepted"
        if missing := sorted(self.acknowledged - self.oracle.ids):
            return f"{missing[0]} is not in the journal"
        if unanswered := self.oracle.unanswered():
            return f"{unanswered[0]} has no answer"
        if going := self.oracle.going():
            return f"{going[0]} has not ended"
        if unseen := self.oracle.unwell(self.sights.targets):
            return unseen
        if torn := self.pair.unwell() or self._barred():
            return torn
        if behind := self._behind():
            return f"the mirror of {behind[0]} is behind"
        if all(node.journal is None or node.journal.generation is None for node in self.nodes):
            return "nobody leads"
        complaints = [
            (node.name, problem) for node in self.nodes if node.journal for problem in node.journal.problems()
        ]
        return " complains, though all is well: ".join(complaints[0]) if complaints else ""


def night(seed: str, faults: Sequence[Fault], *, asking: Mood | None = None, end_s: float = END_S) -> History:
    """The night of a seed under a schedule; with people of another mood than the seed's, or shorter, where wanted."""
    shape = Shape(seed)
    people = []
    if shape.night == PLAIN:
        people = wishes(seed, shape.servers, BEGIN_S, END_S - 5)
    elif shape.night == ASKED and asking is None:
        asking = mood(seed, shape.members)
        people = wishes(seed, shape.members, BEGIN_S, END_S - 5) if shape.has_maintenance else []
    return World(seed, shape, faults, people, asking).run(end_s)
