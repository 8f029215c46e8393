"""The hands of whoever leads: by agents, or through etcd; and what it says to agents that have fenced themselves."""

from __future__ import annotations

from collections.abc import Sequence

from binome.analysis.domains import Domains
from binome.core.attested import Proposal
from binome.core.backup_facts import CAPABILITY
from binome.core.entry import Draft
from binome.core.isolation import is_free
from binome.core.plan import Command, Outcome
from binome.core.takeover_facts import PROMOTE, RELEASE, SWITCH, TakeoverAttested, begun, moved
from binome.drivers.database.patroni.cluster import Change as Changed
from binome.drivers.database.patroni.cluster import Cluster, refounded, restarted, root_of
from binome.drivers.database.patroni.cluster import Refused as NotChanged
from binome.drivers.database.patroni.database import PatroniDatabase, Stage
from binome.estate import Estate
from binome.estate.model import HaproxyService, PostgresqlService
from binome.journal.agreed import request_put
from binome.ports import Clock, Commit, Delete, Driver, Etcd, EtcdError, EtcdUnknownError, Put
from binome.runtime.agents import Agents, Word
from binome.runtime.attest import Change
from binome.runtime.everywhere import AtServer, Everywhere
from binome.runtime.loop import Loop
from binome.runtime.peer_messages import Standing

CHANGED_S, AGAIN_S = 15.0, 0.2
BEGIN_S = 15.0
"""How long an agent may take to begin a backup: it may have to end an older one first."""
THROUGH_ETCD = frozenset({PROMOTE, RELEASE, SWITCH})


def drivers(
    estate: Estate, server: str, agents: Agents, clock: Clock, *, etcd: Etcd | None, commit: Commit | None
) -> dict[str, Driver]:
    """The drivers of a lookout's loop for databases, traffic, routes and backups."""
    edges = {one for service in estate.services.values() if isinstance(service, HaproxyService) for one in service.on}
    databases = {name: one.on for name, one in estate.services.items() if isinstance(one, PostgresqlService)}
    by_agent, by_etcd = AtServer(agents), None
    if etcd is not None and commit is not None:

        def facts(command: Command, stage: Stage) -> Sequence[Draft]:
            fact = begun(command) if stage == "asked" else moved(command)
            return [Draft(f"{command.id}/{stage}", clock.now_ms(), server, fact)]

        by_etcd = PatroniDatabase(etcd, commit, facts)
    return {
        "traffic": Everywhere(agents, sorted(edges), databases),
        "database": DatabaseVerbs(by_agent, by_etcd),
        "routes": by_agent,
        "agreement": by_agent,
        CAPABILITY: AtServer(agents, BEGIN_S),
    }


def attested_change(estate: Estate, server: str, etcd: Etcd, clock: Clock) -> Change:
    """What a person's word changes in an etcd that went on alone, in one transaction (`runtime.attest.Change`)."""
    root = f"/binome/{estate.estate}/"

    async def once(found: Proposal, fact: TakeoverAttested, accepts_loss: bool) -> str:
        cluster = Cluster.of(found.scope, (await etcd.range(root_of(found.scope), prefix=True)).keys)
        if fact.anew:
            decided = refounded(cluster, found.survivor)
        else:
            decided = restarted(cluster, found.survivor, vouched=found.whole, accepts_loss=accepts_loss)
        if isinstance(decided, NotChanged):
            return decided.value
        newest = (await etcd.range(f"{root}generation")).keys
        seen = int(newest[0].value) if newest and newest[0].value.isdigit() else 0
        told = Draft(f"request/{fact.request}", clock.now_ms(), server, fact)
        ours: list[Put | Delete] = [
            Put(f"{root}generation", str(max(seen + 1, fact.generation)).encode()),
            Delete(f"{root}leader"),
            request_put(root, told),
        ]
        conditions, actions = decided if isinstance(decided, Changed) else ((), ())
        done = await etcd.transact(conditions, [*ours, *actions])
        return "" if done.succeeded else NotChanged.MOVED.value

    async def change(found: Proposal, fact: TakeoverAttested, accepts_loss: bool) -> str:
        until_s, trouble = clock.monotonic_s() + CHANGED_S, ""
        while clock.monotonic_s() < until_s:
            try:
                trouble = await once(found, fact, accepts_loss)
                if trouble != NotChanged.MOVED.value:
                    return trouble
            except (EtcdError, EtcdUnknownError) as error:  # the transaction says the same if it is done twice
                trouble = str(error)
            await clock.sleep(AGAIN_S)
        return trouble

    return change


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
