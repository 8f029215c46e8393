"""`binome run`: this server's part of Binôme, assembled from the roles that the estate gives it."""

from __future__ import annotations

import asyncio
import gc
import signal
import sys
from collections.abc import Callable, Coroutine, Iterable, Iterator, Mapping
from contextlib import AsyncExitStack, contextmanager, suppress
from functools import partial
from pathlib import Path
from typing import Annotated, Any, NamedTuple

import typer

from binome.cli import leading
from binome.cli.agent_start import AgentProcess, become, has_agents, written
from binome.cli.agreement import agreement
from binome.cli.exits import Exit, fail, read_estate
from binome.cli.eyes import Eyes
from binome.cli.leading import word
from binome.cli.lookouts import Lookouts
from binome.cli.people import People
from binome.cli.windows import shown, sources_of
from binome.core.quorum import GROUPS_TO_CONFIRM, groups
from binome.drivers.host.maintenance import MaintenanceFiles
from binome.estate import Estate
from binome.estate.model import PostgresqlService
from binome.estate.problem import did_you_mean
from binome.journal.etcd import EtcdClient
from binome.journal.exchange import HeadExchange
from binome.journal.heads import HeadError, key_at
from binome.journal.ordered import OrderedJournal
from binome.journal.single import SingleJournal
from binome.journal.sqlite import SqliteStore
from binome.ports import Commit, Driver, StoreError
from binome.render import Folders, RenderError
from binome.runtime.accepted import newest_generation
from binome.runtime.apart import keep_apart
from binome.runtime.attest import Attest
from binome.runtime.backups import Backups
from binome.runtime.clock import SystemClock, new_event_loop
from binome.runtime.door import Shown, keep_open
from binome.runtime.loop import Loop
from binome.runtime.metrics import listener
from binome.runtime.primary import stand_back_s
from binome.runtime.rejoins import Rejoins
from binome.runtime.ticks import Ticks


def run(
    file: Annotated[Path, typer.Argument(metavar="ESTATE", help="The estate file.")],
    server: Annotated[str, typer.Option("--as", help="Which server of the estate this one is.")],
    root: Annotated[str, typer.Option(help="The folder that stands for /; for labs.", hidden=True)] = "",
) -> None:
    """Run this server's part of Binôme: a lookout keeps the journal, and one of them decides; an agent acts."""
    estate = read_estate(file)
    if server not in estate.servers:
        remedy = did_you_mean(server, [frozenset(estate.servers)], "Name a server of the estate.")
        fail(f"binome: {file} has no server {server}.  {remedy}", Exit.BAD_INPUT)
    if server not in _lookouts(estate) and not has_agents(estate):
        remedy = "Lookouts stand under lookout.on; where there are several, every server has an agent."
        fail(f"binome: the estate gives {server} nothing to run.  {remedy}", Exit.BAD_INPUT)
    folders, problem = Folders(root), ""
    for line in too_few_places(estate):
        print(line, file=sys.stderr, flush=True)
    try:
        if server not in _lookouts(estate):
            become(written(estate, server, folders, file))
        with suppress(asyncio.CancelledError), asyncio.Runner(loop_factory=new_event_loop) as runner:
            runner.run(_run(estate, server, folders, file))
    except* (RenderError, StoreError, HeadError, OSError) as errors:
        problem = _first(errors)
    if problem:
        fail(f"binome: {problem}", Exit.ENVIRONMENT)


def too_few_places(estate: Estate) -> list[str]:
    """That no takeover can be automatic here, and why; nothing where it can be, or where there is no database."""
    count = len(groups(estate))
    databases = any(isinstance(one, PostgresqlService) for one in estate.services.values())
    if not databases or not 0 < count < GROUPS_TO_CONFIRM:
        return []
    places = f"{count} independent place{'s' if count > 1 else ''}"
    return [
        f"binome: it looks out from {places}, and nothing can be automatic with fewer than {GROUPS_TO_CONFIRM}: "
        "from one of two, a lost site and a lost cable look the same.",
        "binome: Patroni's own time limit still holds; `takeover: confirm` asks a person; where etcd has no majority "
        "left, `binome takeover SERVICE --attest NAMES` is for a person to say.  See: binome check",
    ]


def _first(error: BaseException) -> str:
    """The first of what went wrong together, as a line."""
    while isinstance(error, BaseExceptionGroup):
        error = error.exceptions[0]
    if isinstance(error, OSError) and error.strerror:
        return f"{error.filename}: {error.strerror}" if error.filename else error.strerror
    return str(error)


class _Kept(NamedTuple):
    """The journal, what keeps it (each to be run), and who says what is wrong with that."""

    journal: SingleJournal | OrderedJournal
    commit: Commit | None
    works: list[Coroutine[Any, Any, None]]
    troubled: list[Callable[[], list[str]]]


def _kept(
    estate: Estate,
    server: str,
    data: Path,
    *,
    store: SqliteStore,
    etcd: EtcdClient | None,
    clock: SystemClock,
    seen: Callable[[], int],
) -> _Kept:
    """The journal of one lookout alone, or of several that agree through etcd. Raises HeadError and OSError."""
    if etcd is None:
        accepted = newest_generation((data / "accepted", data / "agent" / "accepted"))
        single = SingleJournal(store, clock, above=accepted)
        return _Kept(single, None, [single.run()], [single.problems])
    name, members = estate.estate, _lookouts(estate)
    stands_back = partial(stand_back_s, estate, server, etcd)
    journal = OrderedJournal(
        name, server, members, etcd=etcd, store=store, clock=clock, stands_back=stands_back, seen=seen
    )
    key, heads = key_at(data / "head.key"), data / "heads"
    exchange = HeadExchange(name, server, members, etcd=etcd, store=store, clock=clock, key=key, folder=heads)
    apart = keep_apart(estate, etcd, lambda: journal.generation is not None, clock)
    works = [exchange.run(), apart, journal.run()]
    return _Kept(
        journal, journal.commit, works, [lambda: [exchange.problem] if exchange.problem else [], journal.problems]
    )


async def _run(estate: Estate, server: str, folders: Folders, file: Path) -> None:
    """Runs journal, loop and door until SIGTERM or SIGINT."""
    clock = SystemClock()
    ticks = Ticks(clock, server)
    data = Path(folders.data)
    data.mkdir(parents=True, exist_ok=True)
    async with AsyncExitStack() as closing:
        store = closing.enter_context(_opened(data / "journal.sqlite"))
        etcd = await closing.enter_async_context(agreement(estate, server))
        journal, commit, works, troubled = _kept(
            estate,
            server,
            data,
            store=store,
            etcd=etcd,
            clock=clock,
            seen=lambda: lookouts.agents.newest_generation(),  # noqa: PLW0108 - they are made after it
        )
        files = MaintenanceFiles(data)
        drivers: dict[str, Driver] = {"maintenance": files}
        loop = Loop(server, estate, journal, drivers, clock, shown=(files,))
        eyes = Eyes(estate, server, clock, etcd=etcd, hearing=lambda: lookouts.peers, changed=loop.nudge, ticks=ticks)
        people = People(
            estate,
            server,
            folders,
            clock,
            state=lambda: loop.state,
            led=lambda: journal.led,
            own=eyes.watch.own,
            others=lambda: lookouts,
            troubles=lambda: [*journal.problems(), *loop.problems()],
            changed=loop.nudge,
            ticks=ticks,
        )
        lookouts = Lookouts(
            estate,
            server,
            folders,
            clock,
            word=word(estate, loop),
            jobs=eyes.beats,
            changed=loop.nudge,
            told=eyes.watch.told,
            pages=people.heard,
            ticks=ticks,
        )
        drivers |= leading.drivers(estate, server, lookouts.agents, clock, etcd=etcd, commit=commit)
        jobs = Rejoins(estate, lookouts.agents, clock), Backups(lookouts.agents, clock)
        loop.observers = (*eyes.observers, *people.observers, *jobs)
        works += [eyes.run(), people.run(), loop.run()]
        troubled += [loop.problems, eyes.problems, people.problems]
        if has_agents(estate):
            agent = AgentProcess(partial(written, estate, server, folders, file), clock)
            works += [lookouts.run(), agent.run()]
            troubled += [lookouts.problems, agent.problems]
        attest = _attest(estate, server, loop, lookouts, journal=journal, etcd=etcd, clock=clock)
        sources = sources_of(
            loop,
            eyes,
            standing=journal.standing,
            peers=lookouts.shown,
            agents=lookouts.agents.shown if has_agents(estate) else list,
            problems=lambda: [one for ask in troubled for one in ask()],
            attestable=attest.all if attest is not None else list,
        )
        works.append(eyes.measured(listener(estate, sources, clock)))
        works.append(_door(folders, loop, {**shown(sources), **people.answers()}, attest))
        await _together(works)


def _door(
    folders: Folders, loop: Loop, answers: Mapping[str, Shown], attest: Attest | None
) -> Coroutine[Any, Any, None]:
    """The door for people's commands; what they attest is heard where there is a quorum that can be lost."""
    path = Path(folders.run) / "binome.sock"
    if attest is None:
        return keep_open(path, loop, answers)
    return keep_open(path, loop, {**answers, "attestable": attest.shown}, {"attest": attest.asked})


def _attest(
    estate: Estate,
    server: str,
    loop: Loop,
    lookouts: Lookouts,
    *,
    journal: SingleJournal | OrderedJournal,
    etcd: EtcdClient | None,
    clock: SystemClock,
) -> Attest | None:
    """Who carries out a person's word where no quorum is left; None for a lookout that needs none."""
    if etcd is None:
        return None
    return Attest(
        estate,
        server,
        lambda: loop.state,
        lookouts.agents,
        clock,
        led=lambda: journal.led,
        heard=lookouts.heard,
        change=leading.attested_change(estate, server, etcd, clock),
    )


async def _together(works: Iterable[Coroutine[Any, Any, None]]) -> None:
    """Runs all of it until one fails, or SIGTERM or SIGINT comes."""
    gc.collect()
    gc.freeze()  # what is there by now stays until the end: nobody need look through it again
    async with asyncio.TaskGroup() as group:
        tasks = [group.create_task(work) for work in works]
        for number in (signal.SIGINT, signal.SIGTERM):
            asyncio.get_running_loop().add_signal_handler(number, _stop, tasks)


@contextmanager
def _opened(path: Path) -> Iterator[SqliteStore]:
    store = SqliteStore(path)
    try:
        yield store
    finally:
        store.close()


def _lookouts(estate: Estate) -> tuple[str, ...]:
    return estate.lookout.on if estate.lookout else ()


def _stop(tasks: list[asyncio.Task[None]]) -> None:
    for task in tasks:
        task.cancel()
