"""Probes 10,000 HTTP targets every 10 s, beside Debian's prometheus-blackbox-exporter at the same pace.

The targets are 10,000 listening sockets on loopback, in a process of their own, the same for both. Rounds of both
alternate, each 10,000 probes in 10 s, a new connection for each probe on both sides; the exporter is asked over
connections that stay open, as Prometheus does. CPU is what the operating system counted for the process that probes.
Ours includes the prober that schedules; theirs includes answering in Prometheus' format.

The exporter does more for one probe (phases, a registry for each), and is asked for no more than it is made for.
"""

from __future__ import annotations

import asyncio
import gc
import json
import os
import resource
import select
import shutil
import socket
import subprocess
import sys
import tempfile
import time
from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import goals

from binome.core.target import Answer, Observation, Target
from binome.drivers.probe.http import HttpProbe
from binome.ports import Surroundings
from binome.runtime.clock import SystemClock
from binome.runtime.heartbeats import Heartbeats
from binome.runtime.prober import Prober

TARGETS = 10_000
PERIOD_S = 10
ADDRESSES = 100
ROUNDS = 2
TILT_S = 5.0
AT_ONCE = 100
EXPORTER = "prometheus-blackbox-exporter"
ANSWER = b"HTTP/1.1 200 OK\r\nContent-Type: text/plain\r\nContent-Length: 5\r\nConnection: close\r\n\r\nwell\n"
PLACES = [
    (f"127.9.{n // 200}.{n % 200 + 1}", 20_000 + port) for n in range(ADDRESSES) for port in range(TARGETS // ADDRESSES)
]


def serve(ready: int) -> None:
    """The targets: answers whoever knocks, until it is ended."""
    poll, listening, talking = select.epoll(), {}, {}
    for place in PLACES:
        one = socket.create_server(place, backlog=64)
        one.setblocking(False)
        listening[one.fileno()] = one
        poll.register(one, select.EPOLLIN)
    os.write(ready, b"!")
    while True:
        for number, _ in poll.poll():
            if number in listening:
                try:
                    connection, _ = listening[number].accept()
                except OSError:
                    continue
                connection.setblocking(False)
                talking[connection.fileno()] = connection
                poll.register(connection, select.EPOLLIN)
                continue
            connection = talking.pop(number)
            poll.unregister(number)
            try:
                if connection.recv(4096):
                    connection.send(ANSWER)
            except OSError:
                pass
            connection.close()


@contextmanager
def targets() -> Iterator[None]:
    read, write = os.pipe()
    child = os.fork()
    if not child:
        try:
            serve(write)
        finally:
            os._exit(1)
    os.close(write)
    try:
        if os.read(read, 1) != b"!":
            raise SystemExit("the targets could not be opened")
        yield
    finally:
        os.close(read)
        os.kill(child, 9)
        os.waitpid(child, 0)


def cpu_s() -> float:
    used = resource.getrusage(resource.RUSAGE_SELF)
    return used.ru_utime + used.ru_stime


def memory_mib(key: str) -> float:
    line = next(one for one in Path("/proc/self/status").read_text().splitlines() if one.startswith(key))
    return int(line.split()[1]) / 1024


def ours(full_tilt: bool) -> None:
    """Probes for one period, or as fast as it goes; prints what it took."""
    clock = SystemClock()
    around = Surroundings(clock, frozenset(place[0] for place in PLACES), lambda _: "", Heartbeats({}, clock))
    probe, seen = HttpProbe(around), list[Observation]()
    every_ms = PERIOD_S * 1000
    all_of_them = [Target(f"t{n}", "http", "", "", *place, every_ms, 5000, 3, 2) for n, place in enumerate(PLACES)]
    answers: Counter[str] = Counter()

    async def period() -> None:
        prober = Prober(all_of_them, {"http": probe}, clock, seen.append)
        gc.collect()
        gc.freeze()
        task = asyncio.create_task(prober.run())
        before_s = cpu_s()
        await asyncio.sleep(PERIOD_S + 0.2)
        used_s = cpu_s() - before_s
        task.cancel()
        await asyncio.gather(task, return_exceptions=True)
        answers.update(one.answer for one in seen)
        starts = [one.at_s for one in seen]
        begin_s = min(starts)
        slots = Counter(int((at_s - begin_s) * 100) for at_s in starts)
        seconds = Counter(int(at_s - begin_s) for at_s in starts)
        print(
            json.dumps(
                {
                    "probes": len(seen),
                    "up": answers[Answer.UP],
                    "cpu_us": used_s / len(seen) * 1e6,
                    "peak_mib": memory_mib("VmHWM"),
                    "most_in_10_ms": max(slots.values()),
                    "seconds": [min(seconds[n] for n in range(PERIOD_S)), max(seconds.values())],
                }
            )
        )

    async def tilt() -> None:
        count, until_s, before_s, begin_s = 0, time.monotonic() + TILT_S, cpu_s(), time.monotonic()

        async def one(first: int) -> None:
            nonlocal count
            while time.monotonic() < until_s:
                found = await probe.look(all_of_them[(first + count) % TARGETS])
                answers[found.answer] += 1
                count += 1

        await asyncio.gather(*(one(n * 97) for n in range(AT_ONCE)))
        took_s = time.monotonic() - begin_s
        used_us = (cpu_s() - before_s) / count * 1e6
        print(json.dumps({"a_second": count / took_s, "cpu_us": used_us, "probes": count, "up": answers[Answer.UP]}))

    asyncio.run(tilt() if full_tilt else period())


def run_ours(mode: str) -> dict[str, Any]:
    said = subprocess.run([sys.executable, __file__, mode], stdout=subprocess.PIPE, check=True, timeout=60)
    found: dict[str, Any] = json.loads(said.stdout)
    return found


@contextmanager
def exporter(folder: Path) -> Iterator[tuple[int, int]]:
    """The exporter on a free port of loopback; gives its process and port."""
    configuration = folder / "blackbox.yml"
    configuration.write_text("modules: {http_2xx: {prober: http, timeout: 5s, http: {preferred_ip_protocol: ip4}}}\n")
    with socket.create_server(("127.0.0.1", 0)) as free:
        port = free.getsockname()[1]
    command = [
        EXPORTER,
        f"--config.file={configuration}",
        f"--web.listen-address=127.0.0.1:{port}",
        "--log.level=error",
    ]
    process = subprocess.Popen(command, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
    try:
        until_s = time.monotonic() + 10
        while True:
            try:
                socket.create_connection(("127.0.0.1", port), 1).close()
                break
            except OSError:
                if time.monotonic() > until_s or process.poll() is not None:
                    raise SystemExit(f"{EXPORTER} does not start") from None
                time.sleep(0.05)
        yield process.pid, port
    finally:
        process.kill()
        process.wait()


def cpu_of_s(process: int) -> float:
    fields = Path(f"/proc/{process}/stat").read_text().rpartition(")")[2].split()
    return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")


async def ask_exporter(port: int) -> int:
    """Has every target probed once, spread over the period; gives how many were up."""
    free: asyncio.Queue[tuple[asyncio.StreamReader, asyncio.StreamWriter]] = asyncio.Queue()
    for _ in range(AT_ONCE):
        free.put_nowait(await asyncio.open_connection("127.0.0.1", port))

    async def one(place: tuple[str, int]) -> bool:
        reader, writer = await free.get()
        url = f"/probe?module=http_2xx&target=http://{place[0]}:{place[1]}/"
        writer.write(f"GET {url} HTTP/1.1\r\nHost: x\r\n\r\n".encode())
        head = (await reader.readuntil(b"\r\n\r\n")).lower()
        if b"content-length: " in head:
            body = await reader.readexactly(int(head.split(b"content-length: ")[1].split(b"\r\n")[0]))
        else:
            body = b""
            while size := int(await reader.readuntil(b"\r\n"), 16):
                body += (await reader.readexactly(size + 2))[:-2]
            await reader.readexactly(2)
        free.put_nowait((reader, writer))
        return b"\nprobe_success 1" in body

    tasks, begin_s = [], time.monotonic()
    for n, place in enumerate(PLACES):
        due_s = begin_s + n * PERIOD_S / TARGETS
        if (wait_s := due_s - time.monotonic()) > 0:
            await asyncio.sleep(wait_s)
        tasks.append(asyncio.create_task(one(place)))
    return sum(await asyncio.gather(*tasks))


def measure() -> None:
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    if soft < TARGETS * 1.3:
        resource.setrlimit(resource.RLIMIT_NOFILE, (int(TARGETS * 1.3), max(hard, int(TARGETS * 1.3))))
    periods, theirs = [], []
    with targets(), tempfile.TemporaryDirectory() as folder:
        for _ in range(ROUNDS):
            periods.append(run_ours("period"))
            if shutil.which(EXPORTER):
                with exporter(Path(folder)) as (process, port):
                    before_s = cpu_of_s(process)
                    up = asyncio.run(ask_exporter(port))
                    theirs.append(((cpu_of_s(process) - before_s) / TARGETS * 1e6, up))
        tilted = run_ours("tilt")
    mine_us = sum(one["cpu_us"] for one in periods) / ROUNDS
    last = periods[-1]
    print(f"  {TARGETS:,} HTTP targets every {PERIOD_S} s, {ROUNDS} rounds; a new connection for each probe")
    print(f"  binome       {mine_us:7.0f} µs of CPU a probe   {last['up']:,} of {last['probes']:,} up")
    if theirs:
        theirs_us = sum(us for us, _ in theirs) / ROUNDS
        print(f"  exporter     {theirs_us:7.0f} µs of CPU a probe   {theirs[-1][1]:,} of {TARGETS:,} up")
        ratio = mine_us / theirs_us
        print(f"  ratio        {ratio:7.2f}   {goals.at_most('ratio', ratio, 0.25)}")
    else:
        print(f"  {EXPORTER} is not installed: no comparison")
    print(f"  full tilt    {tilted['a_second']:7,.0f} probes a second, {tilted['cpu_us']:.0f} µs of CPU each")
    fewest, most = last["seconds"]
    print(f"  spread       {fewest} to {most} starts a second, at most {last['most_in_10_ms']:.0f} in 10 ms")
    peak_mib = last["peak_mib"]
    print(f"  memory       {peak_mib:7.0f} MiB at its peak   {goals.at_most('memory', peak_mib, 300)}")
    goals.end()


if __name__ == "__main__":
    if len(sys.argv) > 1:
        ours(sys.argv[1] == "tilt")
    else:
        measure()
