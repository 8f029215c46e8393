"""TLS over a transport: who reads late holds the other up, who waits is told in time, and nothing is lost."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from pathlib import Path

import pytest
import uvloop

from binome.runtime.tls import LateError, Tls
from tests.runtime.lookouts import World

LOOPS = pytest.mark.parametrize("new_loop", [asyncio.new_event_loop, uvloop.new_event_loop])


def between(
    folder: Path, new_loop: Callable[[], asyncio.AbstractEventLoop], test: Callable[[Tls, Tls], Awaitable[None]]
) -> None:
    """Runs a test with both ends of a connection, after the handshake."""

    async def run() -> None:
        world = World(folder)
        loop = asyncio.get_running_loop()
        met: asyncio.Future[Tls] = loop.create_future()
        listening = world.identity("a").listening
        server = await loop.create_server(lambda: Tls(listening, met=met.set_result), "127.0.0.1", 0)
        port, dialling = server.sockets[0].getsockname()[1], world.identity("b").dialling
        _, ours = await loop.create_connection(lambda: Tls(dialling, "a"), "127.0.0.1", port)
        theirs = await met
        await asyncio.gather(ours.handshake(), theirs.handshake())
        try:
            await test(ours, theirs)
        finally:
            ours.transport.abort()
            theirs.transport.abort()
            server.close()

    with asyncio.Runner(loop_factory=new_loop) as runner:
        runner.run(run())


@LOOPS
def test_who_does_not_read_holds_the_other_up_and_gets_all_of_it_later(
    tmp_path: Path, new_loop: Callable[[], asyncio.AbstractEventLoop]
) -> None:
    async def test(ours: Tls, theirs: Tls) -> None:
        sent = 0
        while not theirs.is_full:
            theirs.write(sent.to_bytes(4, "big") * 1024)
            sent += 1
            assert sent < 100_000
            await asyncio.sleep(0)
        assert ours._in.pending < 1 << 20, "what nobody has asked for does not fill the memory"
        draining = asyncio.ensure_future(theirs.drain())
        for number in range(sent):
            assert await ours.read_exactly(4096) == number.to_bytes(4, "big") * 1024
        await asyncio.wait_for(draining, 2)
        assert not theirs.is_full

    between(tmp_path, new_loop, test)


@LOOPS
def test_who_waits_is_told_when_his_own_time_is_over_and_no_sooner(
    tmp_path: Path, new_loop: Callable[[], asyncio.AbstractEventLoop]
) -> None:
    async def test(ours: Tls, theirs: Tls) -> None:
        loop = asyncio.get_running_loop()
        begun_s = loop.time()
        with pytest.raises(LateError):
            await ours.read_exactly(1, begun_s + 0.1)
        assert 0.09 < loop.time() - begun_s < 1
        theirs.write(b"12")
        assert await ours.read_exactly(1, loop.time() + 0.1) == b"1"
        assert await ours.read_exactly(1, loop.time() + 0.1) == b"2"
        waiting = asyncio.ensure_future(ours.read_exactly(1, loop.time() + 30))
        await asyncio.sleep(0.2)
        assert not waiting.done(), "the timer of before went off meanwhile"
        theirs.write(b"3")
        assert await waiting == b"3"

    between(tmp_path, new_loop, test)


@LOOPS
def test_what_was_sent_before_the_end_is_read_and_then_the_end(
    tmp_path: Path, new_loop: Callable[[], asyncio.AbstractEventLoop]
) -> None:
    async def test(ours: Tls, theirs: Tls) -> None:
        theirs.write(b"last words")
        theirs.close()
        await asyncio.sleep(0.05)
        assert await ours.read_exactly(10) == b"last words"
        with pytest.raises(ConnectionError):
            await ours.read_exactly(1)
        with pytest.raises(OSError):
            for _ in range(3):
                ours.write(b"x")
                await asyncio.sleep(0.02)
                await ours.drain()

    between(tmp_path, new_loop, test)
