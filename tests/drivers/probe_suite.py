"""What every probe is held to, whatever it asks.

A probe's own test says how its target answers when it is well (`answering`), and inherits the bad nights: refused,
silent, closed, garbage, endless, a byte a second, words that are commands of a terminal, no descriptor left, cancelled.
A kind names the nights that are none to it (`taken_for_up`): TCP asks for no more than a connection.
"""

from __future__ import annotations

import asyncio
import gc
import os
import resource
import socket
import time
from collections.abc import AsyncIterator, Awaitable, Callable, Mapping
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import pytest

from binome.core.target import Answer, Target
from binome.ports import Finding, Probe, Surroundings
from binome.runtime.clock import SystemClock

LOOPBACK = frozenset({"127.0.0.1", "127.0.0.2", "::1"})
TIMEOUT_MS = 400
Serve = Callable[[asyncio.StreamReader, asyncio.StreamWriter], Awaitable[None]]
ESCAPES = b"\x1b[2J\x1b]0;owned\x07\r\nup\x00\xc2\x9b31m\xe2\x80\xae"


class NoBeats:
    """Nobody beats."""

    since_s = 0.0

    def last_s(self, job: str) -> float | None:
        return None


def surroundings(named: frozenset[str] = LOOPBACK, **changes: Any) -> Surroundings:
    return Surroundings(SystemClock(), named, lambda secret: f"secret of {secret}", NoBeats())._replace(**changes)


def target(kind: str, port: int, options: Mapping[str, Any] | None = None, address: str = "127.0.0.1") -> Target:
    return Target("it", kind, "", "", address, port, 1000, TIMEOUT_MS, 3, 2, options or {})


def descriptors() -> int:
    return len(list(Path("/proc/self/fd").iterdir()))


@asynccontextmanager
async def served(serve: Serve, **options: Any) -> AsyncIterator[int]:
    """A TCP server on loopback; gives its port."""

    async def one(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        tasks.add(asyncio.current_task())
        try:
            await serve(reader, writer)
        except (OSError, EOFError):
            pass
        finally:
            writer.transport.abort()

    tasks: set[Any] = set()
    server = await asyncio.start_server(one, "127.0.0.1", 0, **options)
    try:
        yield server.sockets[0].getsockname()[1]
    finally:
        server.close()
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)


async def silent(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    await asyncio.sleep(60)


async def closing(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    await reader.read(1)
    writer.close()


async def garbage(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    await reader.read(1)
    writer.write(ESCAPES * 50)
    await writer.drain()
    await asyncio.sleep(60)


async def endless(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    await reader.read(1)
    while True:
        writer.write(b"x" * 65536)
        await writer.drain()


async def trickling(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    for byte in b"HTTP/1.1 200 OK\r\n":
        writer.write(bytes([byte]))
        await writer.drain()
        await asyncio.sleep(1)


class ProbeSuite:
    """The suite; a class `TestX(ProbeSuite)` fills in what is of its kind."""

    kind: str
    taken_for_up: frozenset[str] = frozenset()
    """The bad nights that are none to this kind."""

    def make(self) -> Probe:
        """The probe."""
        raise NotImplementedError

    def options(self) -> dict[str, Any]:
        """The options of its target."""
        return {}

    @asynccontextmanager
    async def answering(self) -> AsyncIterator[int]:
        """A target that is well; gives its port."""
        raise NotImplementedError
        yield 0

    @asynccontextmanager
    async def failing(self, serve: Serve) -> AsyncIterator[int]:
        """A target that behaves as `serve` does; gives its port."""
        async with served(serve) as port:
            yield port

    @asynccontextmanager
    async def unheard(self) -> AsyncIterator[int]:
        """A target that is silent."""
        async with self.failing(silent) as port:
            yield port

    @asynccontextmanager
    async def refusing(self) -> AsyncIterator[int]:
        """A port where nobody listens."""
        with socket.socket() as taken:
            taken.bind(("127.0.0.1", 0))
            yield taken.getsockname()[1]

    async def look(self, port: int) -> Finding:
        began_s = time.monotonic()
        found = await self.make().look(target(self.kind, port, self.options()))
        assert time.monotonic() - began_s < TIMEOUT_MS / 1000 + 0.5, "it looked for longer than it may"
        assert found.said.isascii() and found.said.isprintable() and 0 < len(found.said) <= 200, found
        assert all(str(value).isprintable() for value in found.details.values()), found
        return found

    async def expect(self, night: str, serve: Serve) -> Finding:
        async with self.failing(serve) as port:
            found = await self.look(port)
        assert found.answer is (Answer.UP if night in self.taken_for_up else Answer.DOWN), found
        return found

    def test_it_is_up(self) -> None:
        async def run() -> None:
            async with self.answering() as port:
                found = await self.look(port)
                assert found.answer is Answer.UP, found
                assert 0 < found.took_s < TIMEOUT_MS / 1000

        asyncio.run(run())

    def test_refused(self) -> None:
        async def run() -> None:
            async with self.refusing() as port:
                found = await self.look(port)
            assert found.answer is Answer.DOWN and "refused" in found.said, found

        asyncio.run(run())

    def test_silent(self) -> None:
        async def run() -> None:
            async with self.unheard() as port:
                found = await self.look(port)
            assert found.answer is Answer.DOWN and f"{TIMEOUT_MS} ms" in found.said, found
            assert found.took_s >= TIMEOUT_MS / 1000 - 0.02

        asyncio.run(run())

    def test_a_closed_connection(self) -> None:
        asyncio.run(self.expect("closed", closing))

    def test_garbage_is_shown_escaped(self) -> None:
        asyncio.run(self.expect("garbage", garbage))

    def test_endless(self) -> None:
        async def run() -> None:
            before_kib = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
            await self.expect("endless", endless)
            assert resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before_kib < 32 << 10

        asyncio.run(run())

    def test_a_byte_a_second(self) -> None:
        asyncio.run(self.expect("trickle", trickling))

    def test_cancelled_and_nothing_left(self) -> None:
        async def run() -> None:
            async with self.unheard() as port:
                probe = self.make()
                async with self.refusing() as nobody:  # what a probe keeps open, it keeps open once
                    await probe.look(target(self.kind, nobody, self.options()))
                before = await settled()
                look = asyncio.create_task(probe.look(target(self.kind, port, self.options())))
                await until(lambda: descriptors() > before)
                look.cancel()
                with pytest.raises(asyncio.CancelledError):
                    await look
                await until(lambda: descriptors() <= self.left_open(before))

        asyncio.run(run())

    def left_open(self, before: int) -> int:
        """Descriptors that may be open after a look: those from before, and the server's side of the connection."""
        return before + 1

    def test_no_descriptor_left_is_no_word_about_the_target(self) -> None:
        async def run() -> None:
            async with self.answering() as port:
                probe = self.make()
                asyncio.get_running_loop().slow_callback_duration = 10
                soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
                held = []
                resource.setrlimit(resource.RLIMIT_NOFILE, (descriptors() + 20, hard))
                try:
                    with pytest.raises(OSError, match="Too many open files"):
                        while True:
                            held.append(os.open("/dev/null", os.O_RDONLY))
                    found = await probe.look(target(self.kind, port, self.options()))
                finally:
                    for one in held:
                        os.close(one)
                    resource.setrlimit(resource.RLIMIT_NOFILE, (soft, hard))
                assert found.answer is Answer.UNSURE and "too many open files" in found.said, found
                assert (await probe.look(target(self.kind, port, self.options()))).answer is Answer.UP

        asyncio.run(run())


async def settled() -> int:
    """The descriptors that are open when those of earlier looks and loops are gone."""
    gc.collect()
    found: list[int] = []
    while len(found) < 3 or len(set(found[-3:])) > 1:
        found.append(descriptors())
        await asyncio.sleep(0.01)
    return found[-1]


async def until(condition: Callable[[], bool], within_s: float = 3.0) -> None:
    """Waits for a condition, with a bound."""
    async with asyncio.timeout(within_s):
        while not condition():
            await asyncio.sleep(0.005)
