"""Beats say whether those of the other side are taken; who hears none is told."""

from __future__ import annotations

import asyncio
import time
from pathlib import Path

from binome.runtime.clock import SystemClock
from binome.runtime.peer_messages import Beat, Hello, Took, decode, encode
from binome.runtime.peer_tls import TlsTransport
from binome.runtime.peer_transport import Channel
from tests.runtime.authorities import now_ms
from tests.runtime.lookouts import World, hears, night, until


def test_a_beat_is_answered_to_whoever_does_not_hear_ours(tmp_path: Path) -> None:
    async def test(world: World) -> None:
        b = world.start("b")
        channel = await world.greeted(world.identity("a"), "b")
        for sequence, ages in enumerate(({}, {"b": 50}, {"b": 250}, {"b": 350}, {"c": 10}), 1):
            channel.hand_over(encode(Beat(sequence, now_ms(), ages)))
        found = [decode(await channel.receive(2)) for _ in range(3)]
        assert found == [Took(1), Took(4), Took(5)]
        await until(hears(b, "a"))

    night(tmp_path, test)


def test_a_connection_is_kept_by_beats_that_say_they_are_taken_and_given_up_when_they_say_no_more(
    tmp_path: Path,
) -> None:
    """Who listens never answers here, as one does whose peer hears him; his own beats say what came."""

    async def test(world: World) -> None:
        own = world.identity("b")
        listening, hello = TlsTransport(own, world.places, SystemClock()), dict[str, Hello]()
        met = 0

        async def serve(channel: Channel) -> None:
            nonlocal met
            met += 1
            channel.hand_over(encode(hello["a"]))
            while True:
                await channel.receive()

        task = asyncio.ensure_future(listening.listen(serve))
        a = world.start("a")
        hello["a"] = a.hello()
        await until(lambda: met)
        outward = await world.greeted(own, "a")
        begun_s, first = time.monotonic(), met
        while time.monotonic() - begun_s < 2.5:
            outward.hand_over(encode(Beat(1, now_ms(), {"a": 30})))
            await asyncio.sleep(0.1)
        assert met == first, "it is kept"
        while time.monotonic() - begun_s < 5:
            outward.hand_over(encode(Beat(1, now_ms(), {"a": 30 + round((time.monotonic() - begun_s - 2.5) * 1000)})))
            await asyncio.sleep(0.1)
        assert met > first, "it was let go, and dialled again"
        task.cancel()

    night(tmp_path, test)
