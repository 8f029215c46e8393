"""How `binome run` starts an agent: what it needs to know goes into a file, and a process of its own reads it."""

from __future__ import annotations

import asyncio
import os
import sys
from asyncio.subprocess import PIPE, Process
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path
from typing import NoReturn

from binome.cli.agent import WITH_PARENT
from binome.core.quorum import groups
from binome.estate import Estate
from binome.estate.model import EtcdService, HaproxyService, PostgresqlService
from binome.ports import Clock
from binome.render import Folders, RenderError
from binome.render.places import (
    ETCD_CLIENT_PORT,
    ETCD_PEER_PORT,
    PATRONI_PORT,
    PEER_PORT,
    address_of,
    database_places,
    endpoint,
    etcd_url,
)
from binome.runtime import agent_settings
from binome.runtime.agent_settings import Agreement, Edge, Member, Settings
from binome.runtime.peer_messages import model_of, version

TRY_AGAIN_S = 1.0
END_S = 3.0


def has_agents(estate: Estate) -> bool:
    """Whether there are agents: they work for lookouts that agree."""
    return estate.lookout is not None and len(estate.lookout.on) > 1


def settings_of(estate: Estate, server: str, folders: Folders, file: Path | None = None) -> Settings:
    """What the agent of a server needs to know. Raises RenderError where a lookout has no address.

    `file` is the estate's; without it no backups are taken here.
    """
    lookouts = estate.lookout.on if estate.lookout else ()
    edges, members, agreements = {}, {}, {}
    for name, service in estate.services.items():
        if server not in service.on:
            continue
        if isinstance(service, HaproxyService):
            edges[name] = _edge(estate, service, folders)
        elif isinstance(service, EtcdService):
            agreements[name] = _agreement(estate, name, service, folders)
        elif isinstance(service, PostgresqlService):
            where = database_places(name, service, folders)
            members[name] = Member(where.data, where.file, address_of(estate, server), PATRONI_PORT, where.sockets)
    return Settings(
        estate=estate.estate,
        server=server,
        version=version(),
        model=model_of(estate),
        lookouts={name: (address_of(estate, name), PEER_PORT) for name in lookouts},
        groups=groups(estate),
        tls=folders.tls,
        data=f"{folders.data}/agent",
        renews=server not in lookouts,
        edges=edges,
        members=members,
        agreements=agreements,
        addresses=tuple(one.address for name, one in estate.servers.items() if one.address and name != server),
        file=str(file.resolve()) if file is not None else "",
        backups={name: one.to for name, one in estate.backups.items()} if file is not None else {},
    )


def _agreement(estate: Estate, name: str, service: EtcdService, folders: Folders) -> Agreement:
    """A member of etcd as it is rendered (render/etcd.py)."""
    addresses = {one: address_of(estate, one) for one in service.on}
    tls = service.tls
    return Agreement(
        f"{folders.configuration}/{name}.etcd.yml",
        f"{folders.data}/etcd",
        {one: etcd_url(service, endpoint(address, ETCD_CLIENT_PORT)) for one, address in addresses.items()},
        {one: etcd_url(service, endpoint(address, ETCD_PEER_PORT)) for one, address in addresses.items()},
        (tls.ca, tls.cert, tls.key) if tls else None,
    )


def _edge(estate: Estate, service: HaproxyService, folders: Folders) -> Edge:
    """An edge as it is rendered (render/haproxy.py): a backend for each route, a second one for reads."""
    servers: dict[str, tuple[str, ...]] = {}
    frontends = [*service.routes, *(f"{target}-reads" for target in service.reads)]
    for backend, target in [*((one, one) for one in service.routes), *((f"{one}-reads", one) for one in service.reads)]:
        those = tuple(f"{backend}/{member}" for member in estate.services[target].on)
        servers[target] = (*servers.get(target, ()), *those)
    return Edge(f"{folders.run}/haproxy.sock", servers, tuple(frontends))


def written(estate: Estate, server: str, folders: Folders, file: Path | None = None) -> Path:
    """Writes the settings of a server's agent; where. Raises RenderError or OSError."""
    settings = settings_of(estate, server, folders, file)
    path = Path(settings.data) / "settings.json"  # not below /run/binome, which engines may write to
    agent_settings.write(path, settings)
    return path


def become(path: Path) -> NoReturn:
    """Makes this process the agent: on a server that is no lookout there is nothing else to run."""
    os.execv(sys.executable, _arguments(path))  # noqa: S606 - no shell is wanted


def _arguments(path: Path) -> list[str]:
    return [sys.executable, "-m", "binome.cli.agent", str(path)]


class AgentProcess:
    """The agent beside a lookout: a process of its own, which goes on while the lookout stands still."""

    def __init__(self, written: Callable[[], Path], clock: Clock) -> None:
        """`written` writes its settings, and says where."""
        self._written, self._clock = written, clock
        self._trouble = ""

    async def run(self) -> None:
        """Keeps the agent running until it is cancelled; then ends it."""
        while True:
            try:
                self._trouble = f"the agent of this server has ended with {await self._once()}, and is started again"
            except (RenderError, OSError) as error:
                self._trouble = f"this server has no agent: {error}"
            await self._clock.sleep(TRY_AGAIN_S)

    async def _once(self) -> int:
        process = await asyncio.create_subprocess_exec(*_arguments(self._written()), WITH_PARENT, stdin=PIPE)
        try:
            return await process.wait()
        finally:
            await _ended(process)

    def problems(self) -> list[str]:
        """That it has ended, for as long as this process lives: agents do not end by themselves."""
        return [self._trouble] if self._trouble else []


async def _ended(process: Process) -> None:
    with suppress(ProcessLookupError):
        process.terminate()
    try:
        async with asyncio.timeout(END_S):
            await process.wait()
    except TimeoutError:
        process.kill()
