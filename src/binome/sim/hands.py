"""A simulated lookout's hands for databases and traffic: Patroni's production driver, and edges that do as told."""

from __future__ import annotations

import asyncio
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

from binome.core.entry import Draft
from binome.core.plan import Command, Outcome
from binome.core.takeover import moved
from binome.drivers.database.patroni import rest
from binome.drivers.database.patroni.database import PatroniDatabase
from binome.journal.ordered import OrderedJournal
from binome.ports import Driver
from binome.sim.etcd_client import SimulatedEtcd
from binome.sim.history import Begun, TookEffect
from binome.sim.process import current

if TYPE_CHECKING:
    from binome.sim.node import Node
    from binome.sim.pair import Pair

TRAFFIC_S = 0.05
ASK_S = 0.5


class DatabaseHands:
    """Takeover and release by the production driver; `database.verify` asks the member itself."""

    def __init__(self, node: Node, etcd: SimulatedEtcd, journal: OrderedJournal, pair: Pair) -> None:
        self._node, self._pair = node, pair

        def facts(command: Command) -> Sequence[Draft]:
            return [Draft(f"{command.id}/moved", node.clock.now_ms(), node.name, moved(command))]

        async def ask(place: rest.Place, *, timeout_s: float) -> Mapping[str, Any]:
            return await pair.ask(node.site, place, timeout_s)

        self._patroni: Driver = PatroniDatabase(etcd, journal.commit, facts, ask=ask)

    async def carry_out(self, command: Command) -> Outcome:
        """Does it as production does."""
        current()
        self._node.history.add(Begun(self._node.name, command))
        if command.verb != "database.verify":
            outcome = await self._patroni.carry_out(command)
            if self._pair.has_come_about(command):
                self._node.history.add(TookEffect("databases", command))
            return outcome
        try:
            said = await self._pair.ask(self._node.site, rest.Place(command.server, 8008), ASK_S)
        except rest.SilentError as error:
            return Outcome("unknown", str(error))
        if not rest.is_primary(said):
            return Outcome("unknown", "it takes no writes")
        self._node.history.add(TookEffect("databases", command))
        return Outcome("done")


class TrafficHands:
    """Edges that do as they are told, a little later."""

    def __init__(self, node: Node) -> None:
        self._node = node

    async def carry_out(self, command: Command) -> Outcome:
        """Does it."""
        current()
        self._node.history.add(Begun(self._node.name, command))
        await asyncio.sleep(TRAFFIC_S)
        self._node.history.note(command.verb)
        self._node.history.add(TookEffect("edges", command))
        return Outcome("done")
