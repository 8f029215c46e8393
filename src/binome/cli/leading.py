"""The hands of whoever leads: by agents, or through etcd; and what it says to agents that have fenced themselves."""

from __future__ import annotations

from collections.abc import Sequence

from binome.analysis.domains import Domains
from binome.core.entry import Draft
from binome.core.isolation import is_free
from binome.core.plan import Command, Outcome
from binome.core.takeover import PROMOTE, RELEASE, SWITCH, moved
from binome.drivers.database.patroni.database import PatroniDatabase
from binome.estate import Estate
from binome.estate.model import HaproxyService, PostgresqlService
from binome.ports import Clock, Commit, Driver, Etcd
from binome.runtime.agents import Agents, Word
from binome.runtime.everywhere import AtServer, Everywhere
from binome.runtime.loop import Loop
from binome.runtime.peer_messages import Standing

THROUGH_ETCD = frozenset({PROMOTE, RELEASE, SWITCH})


def drivers(
    estate: Estate, server: str, agents: Agents, clock: Clock, *, etcd: Etcd | None, commit: Commit | None
) -> dict[str, Driver]:
    """The drivers of a lookout's loop for databases, traffic and routes."""
    edges = {one for service in estate.services.values() if isinstance(service, HaproxyService) for one in service.on}
    databases = {name: one.on for name, one in estate.services.items() if isinstance(one, PostgresqlService)}
    by_agent, by_etcd = AtServer(agents), None
    if etcd is not None and commit is not None:

        def facts(command: Command) -> Sequence[Draft]:
            return [Draft(f"{command.id}/moved", clock.now_ms(), server, moved(command))]

        by_etcd = PatroniDatabase(etcd, commit, facts)
    return {
        "traffic": Everywhere(agents, sorted(edges), databases),
        "database": DatabaseVerbs(by_agent, by_etcd),
        "routes": by_agent,
    }


def word(estate: Estate, loop: Loop) -> Word:
    """What the journal says of a server to its agent, once this lookout leads and has read all of it."""
    domains = Domains(estate)

    def said(server: str) -> Standing | None:
        generation, state = loop.journal.generation, loop.state
        if generation is None or (state.leader, state.head.generation) != (loop.name, generation):
            return None
        return Standing(generation, is_free(state, server, domains.site(server, estate)))

    return said


class DatabaseVerbs:
    """A `Driver` for databases: what belongs to one member goes to its agent, what belongs to all through etcd."""

    def __init__(self, by_agent: Driver, by_etcd: Driver | None) -> None:
        self._by_agent, self._by_etcd = by_agent, by_etcd

    async def carry_out(self, command: Command) -> Outcome:
        """Gives it to whom it belongs."""
        if command.verb not in THROUGH_ETCD:
            return await self._by_agent.carry_out(command)
        if self._by_etcd is None:
            return Outcome("failed", "there is no etcd to do it through")
        return await self._by_etcd.carry_out(command)
