"""Puts through our client of etcd, beside bare puts through the same HTTP client, on three real members in one folder.

The members write through to this machine's disk, as they do in earnest. Rounds of both kinds alternate, so that what
else the machine does meets both. The ratio is of medians: what our client costs, on top of etcd and HTTP.
"""

from __future__ import annotations

import asyncio
import base64
import json
import statistics
import tempfile
import time
from collections.abc import Awaitable, Callable
from pathlib import Path

import aiohttp

from binome.journal.etcd import EtcdClient
from binome.lab.loopback import LoopbackEtcd
from binome.ports import Put

ROUNDS = 10
CALLS = 100
BATCH = 50
VALUE = b"x" * 300  # about what an entry of the journal takes


async def round_ms(put: Callable[[int], Awaitable[object]]) -> list[float]:
    """How long each of a hundred calls took."""
    taken = []
    for n in range(CALLS):
        begin_s = time.perf_counter()
        await put(n)
        taken.append((time.perf_counter() - begin_s) * 1000)
    return taken


def line(name: str, taken_ms: list[float], puts: int) -> str:
    taken_ms = sorted(taken_ms)
    total_s = sum(taken_ms) / 1000
    worst = taken_ms[len(taken_ms) * 99 // 100]
    return f"  {name:32}{len(taken_ms) * puts / total_s:10,.0f} {statistics.median(taken_ms):10.2f} {worst:10.2f}"


async def bare_put(session: aiohttp.ClientSession, url: str, keys: range) -> None:
    """What somebody who wants no more than a put writes."""
    value = base64.b64encode(VALUE).decode()
    puts = [{"request_put": {"key": base64.b64encode(b"/bare/%d" % key).decode(), "value": value}} for key in keys]
    path, body = ("/v3/kv/txn", {"success": puts}) if len(keys) > 1 else ("/v3/kv/put", puts[0]["request_put"])
    async with session.post(url + path, data=json.dumps(body)) as response:
        answer = await response.json()
        assert int(answer["header"]["revision"]) > 0  # noqa: S101


async def measure(members: LoopbackEtcd) -> None:
    url = members.urls[0]
    async with EtcdClient(members.urls) as etcd, aiohttp.ClientSession() as session:
        kinds: dict[str, tuple[int, Callable[[int], Awaitable[object]]]] = {
            "one by one, bare": (1, lambda n: bare_put(session, url, range(n, n + 1))),
            "one by one, our client": (1, lambda n: etcd.transact((), [Put(f"/ours/{n}", VALUE)])),
            f"{BATCH} a transaction, bare": (BATCH, lambda n: bare_put(session, url, range(n, n + BATCH))),
            f"{BATCH} a transaction, our client": (
                BATCH,
                lambda n: etcd.transact((), [Put(f"/ours/{key}", VALUE) for key in range(n, n + BATCH)]),
            ),
        }
        taken: dict[str, list[float]] = {name: [] for name in kinds}
        for name in list(kinds) * ROUNDS:
            taken[name] += await round_ms(kinds[name][1])
    for name, (puts, _) in kinds.items():
        print(line(name, taken[name], puts))
    medians = [statistics.median(taken[name]) for name in kinds]
    print(f"  ratio of medians: one by one {medians[1] / medians[0]:.2f}, batched {medians[3] / medians[2]:.2f}")


async def own_cost(members: LoopbackEtcd) -> None:
    """The same without etcd's disk in it: status is answered from memory."""
    async with EtcdClient(members.urls) as etcd, aiohttp.ClientSession() as session:

        async def bare(_: int) -> None:
            async with session.post(members.urls[0] + "/v3/maintenance/status", data="{}") as response:
                await response.json()

        taken: dict[str, list[float]] = {"status, bare": [], "status, our client": []}
        for _ in range(ROUNDS):
            taken["status, bare"] += await round_ms(bare)
            taken["status, our client"] += await round_ms(lambda _: etcd.status())
    for name, each in taken.items():
        print(line(name, each, 1))
    bare_ms, ours_ms = (statistics.median(each) for each in taken.values())
    print(f"  ratio of medians: {ours_ms / bare_ms:.2f}")


def main() -> None:
    with tempfile.TemporaryDirectory(prefix="binome-bench-") as folder, LoopbackEtcd(Path(folder)) as members:
        print(f"{'etcd, three members on loopback':34}{'a second':>10} {'median ms':>10} {'p99 ms':>10}")
        asyncio.run(measure(members))
        asyncio.run(own_cost(members))


if __name__ == "__main__":
    main()
