"""What an append to the ordered journal costs, beside a bare put of the same bytes through the same HTTP client.

Three real members on loopback, each with its own write-through to this machine's disk. Three kinds of call take turns,
so that what else the machine does meets all:

    bare         one transaction that puts the same bytes under two keys, the batch and the head: what etcd itself costs
    ours         `append`: sealed, etcd's transaction with both compares, then durable in the leader's own mirror
    synced       a bare put, then the same entries appended to a bare store: the least that keeps the same promise

It is done with one lookout, which shows what the append itself costs, and with three, of which two run in processes of
their own: they follow each append with a sync of their mirrors, but on the same disk and processors that the members
and the leader use, as servers of their own would not. That ratio is more than it would be in earnest.

*Without pacing* `append` is called as fast as it answers, with the limit on appends a second lifted. *As in production*
nothing is lifted: then the rate is the limit's, and what an append takes includes its wait for its turn. The last line
has appends that come so seldom that none waits.
"""

from __future__ import annotations

import asyncio
import base64
import itertools
import json
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import AsyncIterator, Awaitable, Callable, Sequence
from contextlib import AsyncExitStack, asynccontextmanager
from pathlib import Path

import aiohttp

from binome.core.entry import Draft, encode, seal
from binome.core.maintenance import MaintenanceAsked
from binome.journal import ordered
from binome.journal.etcd import EtcdClient
from binome.journal.ordered import OrderedJournal
from binome.journal.sqlite import SqliteStore
from binome.lab.loopback import LoopbackEtcd
from binome.ports import EtcdError
from binome.runtime.clock import SystemClock

NAMES = ("a", "b", "c")
ROUNDS = 10
CALLS = 30
BATCH = 100
PACED = 100
_numbers = itertools.count()


def drafts(count: int) -> list[Draft]:
    """Facts as a busy platform writes them."""
    made = []
    for number in itertools.islice(_numbers, count):
        asked = MaintenanceAsked(f"r{number}", f"server-{number % 10_000}", 1_760_000_060_000, "new disks", "ops-1")
        made.append(Draft(f"maintenance/r{number}/asked", 1_760_000_000_000 + number, "gra-edge", asked))
    return made


class Bare:
    """What somebody who wants no more than etcd's agreement writes, and a store for who wants it on this disk too."""

    def __init__(self, session: aiohttp.ClientSession, url: str, path: Path) -> None:
        self._session, self._url = session, url
        self._store = SqliteStore(path)

    async def put(self, these: Sequence[Draft], *, kept: bool = False) -> None:
        """Puts the same bytes under two keys; with `kept` they are durable in a store too."""
        entries = seal(these, self._store.head(), 1)
        pairs = {f"/bare/batch/{these[0].id}": encode(entries), "/bare/head": json.dumps(entries[-1].head).encode()}
        puts = [
            {"request_put": {"key": base64.b64encode(key.encode()).decode(), "value": base64.b64encode(value).decode()}}
            for key, value in pairs.items()
        ]
        async with self._session.post(self._url + "/v3/kv/txn", data=json.dumps({"success": puts})) as response:
            answer = await response.json()
            assert int(answer["header"]["revision"]) > 0  # noqa: S101
        if kept:
            self._store.append(entries)

    def close(self) -> None:
        self._store.close()


class NeverLeads(EtcdClient):
    """What a lookout reaches etcd by that is to follow, so that the first one leads."""

    async def grant(self, ttl_s: int) -> int:
        raise EtcdError(f"no lease of {ttl_s} s: this one only follows")


@asynccontextmanager
async def lookout(name: str, names: Sequence[str], folder: Path, urls: Sequence[str]) -> AsyncIterator[OrderedJournal]:
    """A lookout that runs, with its nearest member first."""
    nearest = NAMES.index(name)
    store = SqliteStore(folder / f"{len(names)}-{name}")
    kind = EtcdClient if name == names[0] else NeverLeads
    async with kind([*urls[nearest:], *urls[:nearest]]) as etcd:
        estate = f"bench-{len(names)}"
        journal = OrderedJournal(estate, name, names, etcd=etcd, store=store, clock=SystemClock())
        task = asyncio.ensure_future(journal.run())
        try:
            yield journal
        finally:
            task.cancel()
            await asyncio.gather(task, return_exceptions=True)
            store.close()


async def follow(name: str, folder: Path, urls: Sequence[str]) -> None:
    """A lookout in a process of its own, until its standard input ends."""
    async with lookout(name, NAMES, folder, urls):
        await asyncio.to_thread(sys.stdin.read)


@asynccontextmanager
async def leading(names: Sequence[str], folder: Path, urls: Sequence[str]) -> AsyncIterator[OrderedJournal]:
    """The first of the lookouts, once it leads; the others run beside it."""
    async with AsyncExitStack() as stack:
        journal = await stack.enter_async_context(lookout(names[0], names, folder, urls))
        others = []
        for name in names[1:]:
            command = [sys.executable, __file__, "follow", name, str(folder), *urls]
            others.append(stack.enter_context(subprocess.Popen(command, stdin=subprocess.PIPE)))
        while not journal.generation:
            await asyncio.sleep(0.05)
        yield journal
        for other in others:
            other.communicate()


async def timed_ms(call: Callable[[list[Draft]], Awaitable[object]], batch: int) -> float:
    these = drafts(batch)
    begin_s = time.perf_counter()
    await call(these)
    return (time.perf_counter() - begin_s) * 1000


def line(name: str, taken_ms: Sequence[float], batch: int) -> str:
    in_order = sorted(taken_ms)
    calls_a_s = len(in_order) / (sum(in_order) / 1000)
    worst_ms = in_order[len(in_order) * 99 // 100]
    median_ms = statistics.median(in_order)
    return f"  {name:40}{calls_a_s:10,.0f} {calls_a_s * batch:10,.0f} {median_ms:10.2f} {worst_ms:10.2f}"


async def rounds(journal: OrderedJournal, bare: Bare, batch: int) -> None:
    """All three kinds in turns."""
    kinds: dict[str, Callable[[list[Draft]], Awaitable[object]]] = {
        "bare": bare.put,
        "synced": lambda these: bare.put(these, kept=True),
        "ours": journal.append,
    }
    taken: dict[str, list[float]] = {name: [] for name in kinds}
    for name in list(kinds) * ROUNDS:
        taken[name] += [await timed_ms(kinds[name], batch) for _ in range(CALLS)]
    for name, words in (("bare", "bare put"), ("synced", "bare put and a bare append"), ("ours", "append, no pacing")):
        print(line(f"{words}, {batch} a call", taken[name], batch))
    bare_ms, synced_ms, ours_ms = (statistics.median(taken[name]) for name in kinds)
    print(
        f"  ratio of medians, {batch} a call: {ours_ms / bare_ms:.2f} to a bare put, {ours_ms / synced_ms:.2f} to both"
    )


async def measure(names: Sequence[str], folder: Path, urls: Sequence[str]) -> None:
    limit = ordered.APPENDS_PER_S
    async with aiohttp.ClientSession() as session, leading(names, folder, urls) as journal:
        bare = Bare(session, urls[0], folder / f"bare-{len(names)}")
        ordered.APPENDS_PER_S = 10**9
        for batch in (1, BATCH):
            await rounds(journal, bare, batch)
        ordered.APPENDS_PER_S = limit
        for batch in (1, BATCH):
            paced = [await timed_ms(journal.append, batch) for _ in range(PACED)]
            print(line(f"append as in production, {batch} a call", paced, batch))
        in_time = []
        for _ in range(PACED):
            await asyncio.sleep(1.2 / limit)
            in_time.append(await timed_ms(journal.append, 1))
        in_time.sort()
        words = "the same, where none has to wait"
        median_ms, worst_ms = statistics.median(in_time), in_time[len(in_time) * 99 // 100]
        print(f"  {words:40}{'':21} {median_ms:10.2f} {worst_ms:10.2f}")
        bare.close()
    print(f"  as in production: {limit} appends/s; after a few at once a call that comes sooner waits for its turn")


def main() -> None:
    with tempfile.TemporaryDirectory(prefix="binome-bench-", dir=Path.cwd()) as name:  # /tmp may be memory
        folder = Path(name)
        with LoopbackEtcd(folder / "etcd") as members:
            for names in (NAMES[:1], NAMES):
                title = f"etcd, three members; lookouts: {len(names)}"
                print(f"{title:42}{'calls/s':>10} {'facts/s':>10} {'median ms':>10} {'p99 ms':>10}")
                asyncio.run(measure(names, folder, members.urls))


if __name__ == "__main__":
    if sys.argv[1:2] == ["follow"]:
        asyncio.run(follow(sys.argv[2], Path(sys.argv[3]), sys.argv[4:]))
    else:
        main()
