"""Lookouts in one event loop, on loopback, each with an identity of its own, over real TLS."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Awaitable, Callable
from pathlib import Path
from typing import Any

import msgspec

from binome.estate import Estate, load
from binome.lab.loopback import free_ports
from binome.runtime.clock import SystemClock
from binome.runtime.identity import Authority, Identity
from binome.runtime.peer_messages import Hello, decode, encode
from binome.runtime.peer_tls import TlsTransport
from binome.runtime.peer_transport import Channel
from binome.runtime.peers import Peers
from tests.runtime.authorities import ca, identity

FILE = """\
estate: littoral
sites: {gra: {}, sbg: {}, par: {}}
servers:
  a: {site: gra, address: 10.0.0.1}
  b: {site: sbg, address: 10.0.0.2}
  c: {site: par, address: 10.0.0.3}
  other: {site: par, address: 10.0.0.4}
services:
  web: {kind: http, on: [a, b], port: 8000}
lookout: {on: [a, b, c]}
"""
ESTATE = load(FILE.encode())
TARGETS = [f"t{n}" for n in range(3000)]


class Judged(msgspec.Struct, frozen=True):
    """A verdict as the tests send it."""

    verdict: str
    since_ms: int
    said: str


UP, DOWN = Judged("up", 1, ""), Judged("down", 2, "no answer")


class World:
    """Lookouts in one event loop, each with a port of its own."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.ca = ca(folder / "ca")
        self.places = dict(zip("abc", [("127.0.0.1", port) for port in free_ports(3)], strict=True))
        self.tasks: dict[str, asyncio.Task[None]] = {}
        self.peers: dict[str, Peers[Judged]] = {}

    def identity(self, name: str, authority: Authority | None = None, at_ms: int | None = None) -> Identity:
        return identity(authority or self.ca, self.folder / name, name, at_ms)

    def start(
        self,
        name: str,
        own: Identity | None = None,
        *,
        estate: Estate = ESTATE,
        places: dict[str, tuple[str, int]] | None = None,
        clock: SystemClock | None = None,
        **options: Any,
    ) -> Peers[Judged]:
        own, clock = own or self.identity(name), clock or SystemClock()
        transport = TlsTransport(own, self.places | (places or {}), clock)
        boot = f"{name}-{time.monotonic_ns()}"
        peers = Peers(
            estate, name, transport, clock, judged=Judged, targets=TARGETS, boot=boot, identity=own, **options
        )
        self.peers[name], self.tasks[name] = peers, asyncio.ensure_future(peers.run())
        return peers

    async def stop(self, name: str) -> None:
        self.tasks[name].cancel()
        await asyncio.gather(self.tasks.pop(name), return_exceptions=True)

    async def close(self) -> None:
        for name, task in tuple(self.tasks.items()):
            assert not task.done(), (name, task)
            await self.stop(name)

    async def channel(self, own: Identity, to: str) -> Channel:
        """A connection of a lookout that the test itself plays."""
        await begun()
        return await TlsTransport(own, self.places, SystemClock()).dial(to)

    async def greeted(self, own: Identity, to: str, **other: Any) -> Channel:
        """The same, after the greeting."""
        channel = await self.channel(own, to)
        hello = decode(await channel.receive())
        assert isinstance(hello, Hello)
        channel.hand_over(encode(msgspec.structs.replace(hello, **other)))
        return channel


async def begun() -> None:
    """Lets what was started listen."""
    for _ in range(10):
        await asyncio.sleep(0)


async def until(condition: Callable[[], Any], within_s: float = 10) -> None:
    end_s = time.monotonic() + within_s
    while not condition():
        assert time.monotonic() < end_s, (
            condition,
            [one.cell_contents for one in getattr(condition, "__closure__", None) or ()],
        )
        await asyncio.sleep(0.01)


def night(folder: Path, test: Callable[[World], Awaitable[None]]) -> None:
    async def whole() -> None:
        world = World(folder)
        await test(world)
        await world.close()

    asyncio.run(whole())


def says(peers: Peers[Judged], words: str) -> Callable[[], bool]:
    return lambda: any(words in problem for problem in peers.problems())


def hears(peers: Peers[Judged], *others: str) -> Callable[[], bool]:
    return lambda: all(peers.heard.get(other, 9) < 0.5 for other in others)
