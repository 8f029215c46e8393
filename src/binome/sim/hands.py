"""A simulated lookout's hands for databases and traffic: the production drivers, and a way to the agents."""

from __future__ import annotations

import asyncio
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

import msgspec

from binome.analysis.domains import Domains
from binome.core.entry import Draft
from binome.core.isolation import is_free
from binome.core.plan import Command, Outcome
from binome.core.takeover_facts import begun, moved
from binome.drivers.database.patroni import rest
from binome.drivers.database.patroni.database import PatroniDatabase, Stage
from binome.estate import Estate
from binome.journal.ordered import OrderedJournal
from binome.ports import Driver
from binome.runtime.agents import Word
from binome.runtime.everywhere import AtServer, Everywhere
from binome.runtime.loop import Loop
from binome.runtime.peer_messages import Job, Standing
from binome.sim.etcd_client import SimulatedEtcd
from binome.sim.history import Begun, TookEffect
from binome.sim.process import current

if TYPE_CHECKING:
    from binome.sim.node import Node
    from binome.sim.pair import Pair
    from binome.sim.servers import Servers

Drivers = dict[str, Driver]
LOST_AFTER_S = 2.0
"""A connection over which nothing comes is given up, and every order on it has an unknown outcome."""


def word(estate: Estate, loop: Loop) -> Word:
    """What who leads says to agents that have fenced themselves, as cli/leading.py has it, which stands above us."""
    domains = Domains(estate)

    def said(server: str) -> Standing | None:
        generation, state = loop.journal.generation, loop.state
        if generation is None or (state.leader, state.head.generation) != (loop.name, generation):
            return None
        return Standing(generation, is_free(state, server, domains.site(server, estate)))

    return said


class SimulatedAgents:
    """The agents as one lookout reaches them (`runtime.everywhere.Agents`)."""

    def __init__(self, node: Node, servers: Servers) -> None:
        self._node, self.servers = node, servers.all

    def is_connected(self, server: str) -> bool:
        """Whether an order could be sent now."""
        return self.servers[server].reached_from(self._node.site)

    def jobs(self, server: str) -> Sequence[Job] | None:
        """An agent's jobs, as its reports have them; None where it says nothing."""
        return self.servers[server].jobs() if self.is_connected(server) else None

    async def order(self, server: str, command: Command, timeout_s: float) -> Outcome:
        """What the agent says, or that nobody knows."""
        current()
        node, there = self._node, self.servers[server]
        if not self.is_connected(server):
            return Outcome("unknown", f"{server}: its agent is not connected")
        network, ordered = node.network, msgspec.structs.replace(command, server=server)
        answer: asyncio.Future[Outcome] = asyncio.get_running_loop().create_future()
        late_s, node.driver.late_s = node.driver.late_s, 0.0

        def settle(outcome: Outcome) -> None:
            if not answer.done():
                answer.set_result(outcome)

        def back(outcome: Outcome) -> None:
            network.request(there.site, node.site, lambda: settle(outcome))

        def travel() -> None:
            node.loop.after(late_s, there.receive, node.name, ordered, back)

        network.request(node.site, there.site, travel)
        until_s = node.clock.monotonic_s() + timeout_s
        while not answer.done() and (left_s := until_s - node.clock.monotonic_s()) > 0:
            await asyncio.wait({answer}, timeout=min(left_s, LOST_AFTER_S))
            if not answer.done() and not self.is_connected(server):
                return Outcome("unknown", f"{server}: the connection to its agent was lost")
        return answer.result() if answer.done() else Outcome("unknown", f"{server}: its agent gave no answer")


class Noted:
    """A driver, of which the history is told what it begins."""

    def __init__(self, node: Node, driver: Driver) -> None:
        self._node, self._driver = node, driver

    async def carry_out(self, command: Command) -> Outcome:
        """Does what the driver does."""
        current()
        self._node.history.add(Begun(self._node.name, command))
        return await self._driver.carry_out(command)


class DatabaseHands:
    """Takeover, release and switchover by the production driver; what is one member's is for its agent."""

    def __init__(self, node: Node, etcd: SimulatedEtcd, journal: OrderedJournal, pair: Pair, agents: AtServer) -> None:
        self._node, self._pair, self._agents = node, pair, agents

        def facts(command: Command, stage: Stage) -> Sequence[Draft]:
            fact = begun(command) if stage == "asked" else moved(command)
            return [Draft(f"{command.id}/{stage}", node.clock.now_ms(), node.name, fact)]

        async def ask(place: rest.Place, *, timeout_s: float) -> Mapping[str, Any]:
            return await pair.ask(node.site, place, timeout_s)

        async def refuses(url: str) -> bool:
            return await pair.refuses(node.site, url)

        self._patroni: Driver = PatroniDatabase(etcd, journal.commit, facts, ask=ask, refuses=refuses)

    async def carry_out(self, command: Command) -> Outcome:
        """Does it as production does; what has come about is noted, whatever the driver says."""
        if command.verb == "database.verify":
            return await self._agents.carry_out(command)
        outcome = await self._patroni.carry_out(command)
        if self._pair.has_come_about(command):
            self._node.history.add(TookEffect("databases", command))
        return outcome


def drivers(node: Node, etcd: SimulatedEtcd, journal: OrderedJournal, pair: Pair, agents: SimulatedAgents) -> Drivers:
    """The drivers of a lookout's loop for databases and traffic; every server but those of the database has an edge."""
    edges = [name for name in agents.servers if name not in pair.members]
    return {
        "database": Noted(node, DatabaseHands(node, etcd, journal, pair, AtServer(agents))),
        "traffic": Noted(node, Everywhere(agents, edges, {"db": tuple(pair.members)})),
    }
