"""The hands of whoever leads: by agents, or through etcd."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import msgspec

from binome.analysis.domains import Domains
from binome.core.entry import Draft
from binome.core.isolation import is_free
from binome.core.plan import Command, Outcome, StepCommitted
from binome.drivers.database.patroni.database import PatroniDatabase
from binome.estate import Estate
from binome.estate.model import HaproxyService, PostgresqlService
from binome.ports import Clock, Commit, Driver, Etcd
from binome.runtime.agents import Agents, Word
from binome.runtime.everywhere import AtServer, Everywhere
from binome.runtime.loop import Loop
from binome.runtime.peer_messages import Standing

_ARGUMENTS: Mapping[str, Mapping[str, str]] = {
    "database.takeover": {"survivor": "survivor", "lost": "primary"},
    "database.release": {"primary": "primary", "lost": "standby"},
    "database.switchover": {"primary": "primary", "to": "survivor"},
}
"""What is done through etcd: the hand's arguments, and those of the plan (core/takeover.py) that they come from."""


def drivers(
    estate: Estate, server: str, agents: Agents, clock: Clock, *, etcd: Etcd | None, commit: Commit | None
) -> dict[str, Driver]:
    """The drivers of a lookout's loop for databases and traffic."""
    edges = {one for service in estate.services.values() if isinstance(service, HaproxyService) for one in service.on}
    databases = {name: one for name, one in estate.services.items() if isinstance(one, PostgresqlService)}
    members = {name: service.on for name, service in databases.items()}
    scopes = {name: service.patroni.scope or name for name, service in databases.items()}
    by_agent = AtServer(agents)
    by_etcd: Driver | None = None
    if etcd is not None and commit is not None:

        def facts(command: Command) -> Sequence[Draft]:
            said = StepCommitted(command.plan, command.step, command.undoing)
            return [Draft(f"{command.id}/committed", clock.now_ms(), server, said)]

        by_etcd = PatroniDatabase(etcd, commit, facts)
    return {
        "traffic": Everywhere(agents, sorted(edges), members),
        "database": DatabaseVerbs(by_agent, by_etcd, scopes),
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
    """A `Driver` for databases: what belongs to one member goes to its agent, what belongs to all to etcd."""

    def __init__(self, by_agent: Driver, by_etcd: Driver | None, scopes: Mapping[str, str]) -> None:
        self._by_agent, self._by_etcd, self._scopes = by_agent, by_etcd, scopes

    async def carry_out(self, command: Command) -> Outcome:
        """Gives it to whom it belongs, in his words."""
        wanted = _ARGUMENTS.get(command.verb)
        if wanted is None:
            return await self._by_agent.carry_out(command)
        if self._by_etcd is None:
            return Outcome("failed", "there is no etcd to do it through")
        scope = self._scopes.get(command.arguments.get("service", ""), "")
        arguments = {theirs: command.arguments.get(ours, "") for theirs, ours in wanted.items()}
        return await self._by_etcd.carry_out(msgspec.structs.replace(command, arguments={"scope": scope, **arguments}))
