"""The hands of an agent: what can be ordered of it, and what it does by itself when it is isolated.

    from the leader's plans     traffic.fence, traffic.unfence, traffic.move, traffic.open
    of an edge here             traffic.maint, drain, ready, weight, close, withdraw, restore
    of a member here            database.fence, unfence, rejoin, verify
    of this server's routes     routes.block, routes.unblock
    of a member of etcd here    agreement.alone, agreement.join
    of the estate's backups     backup.take, prove, forget: long work, a process of its own (agent_jobs.py)

The first row names services and servers of the estate; which servers of HAProxy those are is in the settings. This is
the whole list: what is not on it cannot be ordered.
"""

from __future__ import annotations

import asyncio
import re
import sys
from collections.abc import Collection, Mapping, Sequence
from contextlib import suppress
from functools import partial
from pathlib import Path

import msgspec

from binome.cli.agent_jobs import Jobs
from binome.core.backup_facts import FORGET, PROVE, TAKE
from binome.core.backup_results import arguments_of, told
from binome.core.plan import Command, Outcome
from binome.drivers.database.patroni.agreement import EtcdAgreement, EtcdMember
from binome.drivers.database.patroni.member import Member, PatroniMember
from binome.drivers.database.patroni.rest import Place
from binome.drivers.host.routes import UnreachableRoutes
from binome.drivers.traffic.haproxy.traffic import HaproxyTraffic
from binome.runtime.agent import Hand
from binome.runtime.agent_settings import Agreement, Settings
from binome.runtime.peer_messages import Job

EDGE_VERBS = ("maint", "drain", "ready", "weight", "close", "withdraw", "restore")
MEMBER_VERBS = ("fence", "unfence", "rejoin", "verify")
ROUTE_VERBS = ("block", "unblock")
AGREEMENT_VERBS = ("alone", "join")
PROGRAM = ("nice", "-n", "10", sys.executable, "-m", "binome.cli.entry")
"""Binôme's own commands, behind whatever the server is there for."""
_ID = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]{0,199}")
SOON_S = 1.0
"""How long an order to rejoin is waited for before it goes on by itself."""


class AgentHands:
    """The drivers of one server, by verb (`runtime.agent.Hands`)."""

    def __init__(self, settings: Settings) -> None:
        folder = Path(settings.data)
        self._edges, self._members = settings.edges, settings.members
        self._traffic = HaproxyTraffic(
            {name: Path(edge.socket) for name, edge in settings.edges.items()}, folder / "edges"
        )
        members = {
            name: Member(Path(one.data), Path(one.configuration), Place(one.host, one.port), Path(one.sockets))
            for name, one in settings.members.items()
        }
        self._databases = PatroniMember(members, folder / "members")
        self._routes = UnreachableRoutes(settings.addresses)
        self._agreements = EtcdAgreement(
            {name: _member_of_etcd(settings.server, one) for name, one in settings.agreements.items()}, folder / "etcd"
        )
        self._settings, self._jobs = settings, Jobs(folder / "jobs")
        self._rejoining: dict[str, tuple[str, asyncio.Task[Outcome]]] = {}  # service → the job's plan, and the job
        self.verbs: Mapping[str, Hand] = {
            **dict.fromkeys((f"traffic.{one}" for one in EDGE_VERBS), self._traffic.carry_out),
            **dict.fromkeys((f"database.{one}" for one in MEMBER_VERBS), self._databases.carry_out),
            **dict.fromkeys((f"routes.{one}" for one in ROUTE_VERBS), self._routes.carry_out),
            **dict.fromkeys((f"agreement.{one}" for one in AGREEMENT_VERBS), self._agreements.carry_out),
            TAKE: self._backup,
            PROVE: self._backup,
            FORGET: self._forget,
            "traffic.fence": self._fence_off,
            "traffic.unfence": self._let_in,
            "traffic.move": self._move,
            "traffic.open": self._open,
        }

    async def begin(self) -> Sequence[str]:
        """Removes what an earlier agent may have left, routes to servers that were lost then; what went wrong."""
        try:
            outcome = await self._routes.tidy()
        except OSError as error:  # no iproute2: there is still an edge or a database to look after
            return [f"{error.filename}: {error.strerror}"]
        return [] if outcome.result == "done" else [outcome.detail]

    # -- what a plan orders

    async def _fence_off(self, command: Command) -> Outcome:
        return await self._at_edges(command, "traffic.maint", command.arguments.get("lost", "").split())

    async def _let_in(self, command: Command) -> Outcome:
        return await self._at_edges(command, "traffic.ready", command.arguments.get("lost", "").split())

    async def _move(self, command: Command) -> Outcome:
        return await self._at_edges(command, "traffic.ready", [command.arguments.get("survivor", "")])

    async def _at_edges(self, command: Command, verb: str, servers: Collection[str]) -> Outcome:
        """The verb at every edge here, for what it sends to these servers for the service."""
        service, outcomes = command.arguments.get("service", ""), []
        for name, edge in self._edges.items():
            those = [one for one in edge.servers.get(service, ()) if one.partition("/")[2] in servers]
            if those:
                arguments = {"edge": name, "servers": ",".join(those)}
                order = msgspec.structs.replace(command, verb=verb, arguments=arguments)
                outcomes.append(await self._traffic.carry_out(order))
        return next((one for one in outcomes if one.result != "done"), Outcome("done"))

    async def _open(self, command: Command) -> Outcome:
        """Has a member follow whoever leads now; copying may take long, and goes on by itself."""
        service = command.arguments.get("service", "")
        if service not in self._members:
            return Outcome("done")
        job, task = self._rejoining.get(service, ("", None))
        if task is None or (task.done() and job != command.plan):  # said again it is the same job; another one waits
            order = msgspec.structs.replace(command, verb="database.rejoin", arguments={"service": service})
            task = asyncio.ensure_future(self._follow(service, order))
        self._rejoining[service] = command.plan, task
        await asyncio.wait({task}, timeout=SOON_S)
        told = _job(service, command.plan, task)  # what becomes of it, whoever leads then learns from our reports
        return Outcome("done", {"running": "it rejoins", "done": ""}.get(told.state, told.detail))

    async def _follow(self, service: str, order: Command) -> Outcome:
        """Rejoins, for as long as something still copies: the times that a driver waits are for small databases."""
        while True:
            outcome = await self._databases.carry_out(order)
            if outcome.result != "unknown" or not self._databases.is_at_work(service):
                return outcome
            await asyncio.sleep(SOON_S)

    def jobs(self) -> Sequence[Job]:
        """The last rejoining of each database here; whoever leads learns from it what became of that."""
        rejoining = [self._told(service, plan, task) for service, (plan, task) in self._rejoining.items()]
        return [*rejoining, *self._jobs.told()]

    async def _backup(self, command: Command) -> Outcome:
        """Begins to take or to prove a copy; what becomes of it is the job's to say."""
        order, settings = command.arguments, self._settings
        vaults = settings.backups.get(order.get("backup", ""))
        if vaults is None or (command.verb == PROVE and order.get("vault") not in vaults):
            return Outcome("failed", "the estate here has no such backup")
        if command.verb == PROVE and not _ID.fullmatch(order.get("copy", "")):
            return Outcome("failed", "that is no copy's id")
        verb, words = command.verb.partition(".")[2], arguments_of(order)
        where = ["--estate", settings.file, "--as", settings.server, "--json"]
        where += ["--tls", settings.tls] if command.verb == PROVE else []
        within_s = int(order["lease_ms"]) / 1000
        line = [*PROGRAM, "backup", verb, *words, *where]
        return await self._jobs.begin(command.plan, command.subject, line, partial(told, command.verb), within_s)

    async def _forget(self, command: Command) -> Outcome:
        return await self._jobs.forget(command.plan)

    def _told(self, service: str, plan: str, task: asyncio.Task[Outcome]) -> Job:
        """How a rejoining is; one that was done is in vain where the member was fenced again before it was whole."""
        with suppress(OSError):
            if task.done() and self._databases.is_fenced(service):
                return Job(plan, service, "failed", "it has fenced itself since")
        return _job(service, plan, task)

    # -- what an agent does by itself

    async def fence(self) -> Sequence[Outcome]:
        """Edges take no connections any more, and databases are stopped, all at once."""
        return await asyncio.gather(
            *(self._traffic.withdraw(one) for one in self._edges),
            *(self._databases.fence(one) for one in self._members),
        )

    async def free(self) -> Sequence[Outcome]:
        """Databases go on as etcd says, then edges take connections."""
        outcomes = []
        for service in self._members:
            outcomes.append(await self._databases.carry_out(_own("database.unfence", {"service": service})))
        for name, edge in self._edges.items():
            arguments = {"edge": name, "frontends": ",".join(edge.frontends)}
            outcomes.append(await self._traffic.carry_out(_own("traffic.restore", arguments)))
        return outcomes

    async def keep(self) -> Sequence[Outcome]:
        """What was ordered is made so again where an engine was started anew, or has forgotten it."""
        return [*(await self._traffic.keep()).values(), *(await self._databases.keep()).values()]


def _member_of_etcd(server: str, one: Agreement) -> EtcdMember:
    return EtcdMember(server, Path(one.configuration), Path(one.data), one.clients, one.peers, one.tls)


def _job(service: str, plan: str, task: asyncio.Task[Outcome]) -> Job:
    if not task.done():
        return Job(plan, service, "running")
    if task.cancelled() or task.exception() is not None:
        return Job(plan, service, "failed", "it was broken off")
    said = task.result()
    return Job(plan, service, "done" if said.result == "done" else "failed", said.detail[:500])


def _own(verb: str, arguments: dict[str, str]) -> Command:
    """A command of the agent's own, for hands that know commands alone."""
    return Command("isolation/0", "isolation", 0, False, verb, "", "", arguments, 0)
