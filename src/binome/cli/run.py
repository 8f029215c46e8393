"""`binome run`: this server's part of Binôme, assembled from the roles that the estate gives it."""

from __future__ import annotations

import asyncio
import signal
from collections.abc import Callable, Coroutine
from contextlib import suppress
from pathlib import Path
from typing import Annotated, Any

import typer

from binome.cli.exits import Exit, fail, read_estate
from binome.drivers.host.maintenance import MaintenanceFiles
from binome.estate import Estate
from binome.estate.model import EtcdService
from binome.estate.problem import did_you_mean
from binome.journal.etcd import EtcdClient
from binome.journal.ordered import OrderedJournal
from binome.journal.single import SingleJournal
from binome.journal.sqlite import SqliteStore
from binome.ports import Journal, StoreError
from binome.render import Folders, RenderError, etcd_endpoints
from binome.runtime.clock import SystemClock
from binome.runtime.door import keep_open
from binome.runtime.loop import Loop


def run(
    file: Annotated[Path, typer.Argument(metavar="ESTATE", help="The estate file.")],
    server: Annotated[str, typer.Option("--as", help="Which server of the estate this one is.")],
    root: Annotated[str, typer.Option(help="The folder that stands for /; for labs.", hidden=True)] = "",
) -> None:
    """Run this server's part of Binôme: a lookout keeps the journal, and one of them decides."""
    estate = read_estate(file)
    if server not in estate.servers:
        remedy = did_you_mean(server, [frozenset(estate.servers)], "Name a server of the estate.")
        fail(f"binome: {file} has no server {server}.  {remedy}", Exit.BAD_INPUT)
    if estate.lookout is None or server not in estate.lookout.on:
        fail(f"binome: the estate gives {server} nothing to run.  Lookouts stand under lookout.on.", Exit.BAD_INPUT)
    try:
        with suppress(asyncio.CancelledError):
            asyncio.run(_run(estate, server, Folders(root)))
    except (RenderError, StoreError, OSError) as error:
        fail(f"binome: {error}", Exit.ENVIRONMENT)


async def _run(estate: Estate, server: str, folders: Folders) -> None:
    """Runs journal, loop and door until SIGTERM or SIGINT."""
    clock = SystemClock()
    store = SqliteStore(Path(folders.data) / "journal.sqlite")
    drivers = {"maintenance": MaintenanceFiles(Path(folders.data))}
    try:
        async with asyncio.TaskGroup() as group:
            journal, works, problem = _journal(estate, server, store, clock)
            loop = Loop(server, estate, journal, drivers, clock)
            works += [loop.run(), keep_open(Path(folders.run) / "binome.sock", loop, problem)]
            tasks = [group.create_task(work) for work in works]
            for number in (signal.SIGINT, signal.SIGTERM):
                asyncio.get_running_loop().add_signal_handler(number, _stop, tasks)
    finally:
        store.close()


def _journal(
    estate: Estate, server: str, store: SqliteStore, clock: SystemClock
) -> tuple[Journal, list[Coroutine[Any, Any, None]], Callable[[], str]]:
    """A lookout's journal, alone over its store or ordered through etcd; what must run for it; what its problem is."""
    lookouts = estate.lookout.on if estate.lookout else ()
    if len(lookouts) == 1:
        return SingleJournal(store, clock), [], lambda: ""
    etcds = [name for name, service in estate.services.items() if isinstance(service, EtcdService)]
    if not etcds:
        raise RenderError("several lookouts need a service of kind etcd to agree through.  Add one to the estate.")
    etcd = EtcdClient([f"http://{endpoint}" for endpoint in etcd_endpoints(estate, etcds[0], server)])
    journal = OrderedJournal(estate.estate, server, lookouts, etcd=etcd, store=store, clock=clock)
    return journal, [journal.run()], lambda: journal.problem


def _stop(tasks: list[asyncio.Task[None]]) -> None:
    for task in tasks:
        task.cancel()
