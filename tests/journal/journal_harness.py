"""The servers of `journal_suite`: one with a file, three lookouts on a real etcd; all on disks that lose power."""

from __future__ import annotations

import asyncio
import itertools
from collections.abc import AsyncIterator, Mapping, Sequence
from contextlib import asynccontextmanager
from pathlib import Path

from binome.core.entry import Entry, decode
from binome.journal.ordered import OrderedJournal
from binome.journal.single import SingleJournal
from binome.journal.sqlite import SqliteStore
from binome.lab.loopback import LoopbackEtcd
from binome.ports import (
    Change,
    Committed,
    Compare,
    Delete,
    Etcd,
    EtcdError,
    EtcdStatus,
    Put,
    Range,
)
from binome.runtime.clock import SystemClock
from tests.journal.etcd_harness import RealEtcd
from tests.journal.etcd_suite import eventually
from tests.journal.journal_case import FAULTS, Journal
from tests.journal.power import Machine

_CHECKPOINT_PAGES = 6  # few, so that copying pages back is among the calls
_estates = itertools.count()


class MarkedStore(SqliteStore):
    """A store whose disk's log says when each append to it began, and when it was acknowledged."""

    def __init__(self, machine: Machine) -> None:
        super().__init__(machine.path, vfs=machine.vfs, checkpoint_pages=_CHECKPOINT_PAGES)
        self._machine = machine

    def append(self, entries: Sequence[Entry]) -> None:
        self._machine.mark(("begun", entries[-1].sequence))
        super().append(entries)
        self._machine.mark(("acknowledged", entries[-1].sequence))


class SingleServer:
    """`Servers` of one."""

    _alone = "a single server agrees with nobody: there is no etcd"
    lacks: Mapping[str, str] = {
        **dict.fromkeys(FAULTS, _alone),
        "others": "a single server has none beside it",
        "lease": "its right to write is the lock on the file, which the kernel holds until the process ends",
        "lost reply": "its append is a call in its own process; a sync that fails is a refusal (test_sqlite.py)",
    }
    names: Sequence[str] = ("a",)

    def __init__(self, folder: Path) -> None:
        self.machines = {"a": Machine(folder)}
        self.journals: dict[str, Journal] = {}
        self._store: SqliteStore | None = None

    def start(self, name: str) -> Journal:
        store = MarkedStore(self.machines[name])
        self._store = store
        self.journals[name] = SingleJournal(store, SystemClock())
        return self.journals[name]

    async def stop(self, name: str) -> None:
        assert self._store
        self._store.close()
        del self.journals[name]

    async def lose_power(self, name: str) -> None:
        await self.stop(name)

    async def trim(self, sequence: int) -> None:
        """Nobody else ever keeps anything."""


class Line:
    """What a lookout reaches etcd through: `dead` when it has no power, held back while it sleeps."""

    def __init__(self, etcd: Etcd) -> None:
        self._etcd = etcd
        self.dead = False
        self.awake = asyncio.Event()
        self.awake.set()

    def _reached(self) -> Etcd:
        if self.dead:
            raise EtcdError("no power")
        return self._etcd

    async def range(
        self, key: str, *, prefix: bool = False, limit: int = 0, revision: int = 0, after: str = ""
    ) -> Range:
        return await self._reached().range(key, prefix=prefix, limit=limit, revision=revision, after=after)

    async def transact(self, compares: Sequence[Compare], actions: Sequence[Put | Delete]) -> Committed:
        return await self._reached().transact(compares, actions)

    async def grant(self, ttl_s: int) -> int:
        return await self._reached().grant(ttl_s)

    async def keep_alive(self, lease: int) -> bool:
        await self.awake.wait()
        return await self._reached().keep_alive(lease)

    async def revoke(self, lease: int) -> None:
        await self._reached().revoke(lease)

    async def watch(self, prefix: str, from_revision: int) -> AsyncIterator[Sequence[Change]]:
        async for changes in self._reached().watch(prefix, from_revision):
            await self.awake.wait()
            yield changes

    async def compact(self, revision: int) -> None:
        await self._reached().compact(revision)

    async def status(self) -> EtcdStatus:
        return await self._reached().status()


class StandingClock(SystemClock):
    """A clock that stands still while its server sleeps."""

    def __init__(self) -> None:
        self.stands_at_s: float | None = None

    def monotonic_s(self) -> float:
        return super().monotonic_s() if self.stands_at_s is None else self.stands_at_s


class Lookouts:
    """`AgreeingServers`: three journals on one etcd, each with a mirror, relays and a client of its own."""

    lacks: Mapping[str, str] = {}
    names: Sequence[str] = ("a", "b", "c")

    def __init__(self, members: LoopbackEtcd, folder: Path) -> None:
        self.folder = folder
        self.members = members
        self.estate = f"estate-{next(_estates)}"
        self.root = f"/binome/{self.estate}/"
        self.etcds = {name: RealEtcd(members) for name in self.names}
        self.etcd = RealEtcd(members)
        """For what the case itself does to etcd."""
        self.machines = {name: Machine(folder) for name in self.names}
        self.stores: dict[str, SqliteStore] = {}
        self.beside_primary: set[str] = set()
        self.seen = 0
        """The newest generation that agents say they have seen."""
        self.journals: dict[str, Journal] = {}
        self._clients: dict[str, Etcd] = {}
        self._clocks: dict[str, StandingClock] = {}
        self._lines: dict[str, Line] = {}
        self._tasks: dict[str, asyncio.Task[None]] = {}
        self._batches: dict[str, bytes] = {}  # all that were ever in etcd, when it was trimmed

    # -- the servers

    async def open(self) -> None:
        for number, (name, etcd) in enumerate(self.etcds.items()):
            await etcd.open()
            self._clients[name] = etcd.client(number)
        await self.etcd.open()
        for name in self.names:
            self.start(name)

    async def close(self) -> None:
        for name in tuple(self._tasks):
            await self.stop(name)
        for etcd in (*self.etcds.values(), self.etcd):
            await etcd.close()
        await asyncio.to_thread(self.members.wait_until_whole)

    def start(self, name: str) -> Journal:
        store = MarkedStore(self.machines[name])
        line, clock = Line(self._clients[name]), StandingClock()
        self.stores[name], self._lines[name], self._clocks[name] = store, line, clock

        async def stands_back() -> float:
            return float(name in self.beside_primary)

        journal = OrderedJournal(
            self.estate,
            name,
            self.names,
            etcd=line,
            store=store,
            clock=clock,
            stands_back=stands_back,
            seen=lambda: self.seen,
        )
        self.journals[name] = journal
        self._tasks[name] = asyncio.ensure_future(journal.run())
        return journal

    async def stop(self, name: str) -> None:
        task = self._tasks.pop(name)
        task.cancel()
        await asyncio.gather(task, return_exceptions=True)
        self.stores.pop(name).close()
        del self.journals[name]

    async def lose_power(self, name: str) -> None:
        self._lines[name].dead = True
        await self.stop(name)

    def fall_asleep(self, name: str) -> None:
        self._clocks[name].stands_at_s = self._clocks[name].monotonic_s()
        self._lines[name].awake.clear()

    def wake(self, name: str) -> None:
        self._clocks[name].stands_at_s = None
        self._lines[name].awake.set()

    # -- what they and etcd say to each other

    async def end_lease(self) -> None:
        etcd = self.etcd.client()
        for leader in (await etcd.range(f"{self.root}leader")).keys:
            await etcd.revoke(leader.lease)

    async def roll_called(self) -> None:
        etcd, seen = self.etcd.client(), -1
        while True:
            revision = max([0, *(one.mod_revision for one in (await etcd.range(f"{self.root}call")).keys)])
            if 0 <= seen < revision:
                return
            seen = max(seen, revision)
            await asyncio.sleep(0.02)

    async def drop_next_reply(self, name: str) -> None:
        await self.etcds[name].drop_next_reply()

    async def isolate(self, name: str) -> None:
        for relay in self.etcds[name].relays:
            relay.swallows = True

    async def join(self, name: str) -> None:
        for relay in self.etcds[name].relays:
            relay.cut_all()
            relay.swallows = False

    # -- etcd

    async def kill(self, member: int) -> None:
        self.members.kill(member)

    async def restart(self, member: int) -> None:
        self.members.start(member)

    async def pause(self, member: int) -> None:
        self.members.pause(member)

    async def resume(self, member: int) -> None:
        self.members.resume(member)

    async def replace(self, member: int) -> None:
        await self.etcd.replace(member)

    async def trim(self, sequence: int) -> None:
        etcd, prefix = self.etcd.client(), f"{self.root}batch/"
        self._batches |= {one.key: one.value for one in (await etcd.range(prefix, prefix=True)).keys}
        for key, value in self._batches.items():
            old = decode(value)[-1].sequence <= sequence
            await etcd.transact((), [Delete(key) if old else Put(key, value)])

    async def compact(self) -> None:
        etcd = self.etcd.client()
        await etcd.compact((await etcd.range(self.root)).revision)

    async def fill(self) -> None:
        await self.etcd.fill()

    async def make_room(self) -> None:
        await self.etcd.make_room()

    async def rebuild(self) -> None:
        self.members.found_anew()
        await self._whole()

    async def save(self) -> None:
        self.members.save(self.folder / "saved")
        await self._whole()

    async def put_back(self) -> None:
        self.members.put_back(self.folder / "saved")
        await self._whole()

    async def _whole(self) -> None:
        await asyncio.to_thread(self.members.wait_until_whole)
        await eventually(lambda: self.etcd.client().range(self.root), "etcd answers")


@asynccontextmanager
async def lookouts(members: LoopbackEtcd, folder: Path) -> AsyncIterator[Lookouts]:
    """Three lookouts that run; afterwards every member of etcd is whole again."""
    servers = Lookouts(members, folder)
    await servers.open()
    try:
        yield servers
    finally:
        await servers.close()
