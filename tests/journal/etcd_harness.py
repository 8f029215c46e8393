"""The suite's harness over a real etcd: clients reach each member through a relay that can swallow or cut."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager, suppress

from binome.journal.etcd import EtcdClient
from binome.journal.etcd_gateway import Timing
from binome.lab.loopback import MEMBERS, LoopbackEtcd
from binome.ports import EtcdError, Put

_CHANGES = (b"POST /v3/kv/txn ", b"POST /v3/lease/grant ")


class Relay:
    """A TCP relay in front of one member."""

    def __init__(self, port: int) -> None:
        self._port = port
        self._server: asyncio.Server | None = None
        self._links: set[asyncio.Task[None]] = set()
        self.swallows = False
        """Whatever comes from either side is lost, and nobody is told."""
        self.swallows_streams = False
        """The same, but only on the connections that a watch is open on now."""
        self.cuts = False
        """The next change is handed on, and the connection is cut when its answer comes."""
        self.url = ""

    async def open(self) -> None:
        self._server = await asyncio.start_server(self._accept, "127.0.0.1", 0)
        self.url = f"http://127.0.0.1:{self._server.sockets[0].getsockname()[1]}"

    async def close(self) -> None:
        assert self._server
        self._server.close()
        for link in self._links:
            link.cancel()
        await asyncio.gather(*self._links, return_exceptions=True)

    def cut_all(self) -> None:
        """Every connection there is now ends."""
        for link in self._links:
            link.cancel()

    async def _accept(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        link = asyncio.current_task()
        assert link
        self._links.add(link)
        try:
            with suppress(OSError, asyncio.CancelledError):
                while self.swallows:  # a connection that is accepted, and no more
                    await asyncio.sleep(0.05)
                await self._link(reader, writer)
        finally:
            self._links.discard(link)
            writer.transport.abort()

    async def _link(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        member_reader, member_writer = await asyncio.open_connection("127.0.0.1", self._port)
        state = _Link()
        try:
            sides = [
                asyncio.create_task(self._carry(state, reader, member_writer, up=True)),
                asyncio.create_task(self._carry(state, member_reader, writer, up=False)),
            ]
            await asyncio.wait(sides, return_when=asyncio.FIRST_COMPLETED)
            for side in sides:
                side.cancel()
            await asyncio.gather(*sides, return_exceptions=True)
        finally:
            member_writer.transport.abort()

    async def _carry(
        self, link: _Link, source: asyncio.StreamReader, target: asyncio.StreamWriter, *, up: bool
    ) -> None:
        while data := await source.read(65536):
            if up:
                link.watches = link.watches or data.startswith(b"POST /v3/watch ")
                if self.cuts and data.startswith(_CHANGES):
                    self.cuts, link.doomed = False, True
            elif link.doomed:
                return
            if self.swallows or (self.swallows_streams and link.watches):
                continue
            target.write(data)
            await target.drain()


class _Link:
    """One connection: whether a watch is on it, and whether its next answer is its end."""

    watches = False
    doomed = False


class RealEtcd:
    """`etcd_suite.Harness` over the members of a LoopbackEtcd. Lives in one event loop."""

    offers = frozenset({"kill", "pause", "hang", "drop_next_reply", "replace", "fill"})

    def __init__(self, members: LoopbackEtcd) -> None:
        self.members = members
        self.relays = [Relay(port) for port in members.ports]
        self._clients: list[EtcdClient] = []

    def client(self, first: int = 0, timing: Timing | None = None) -> EtcdClient:
        urls = [self.relays[(first + n) % MEMBERS].url for n in range(MEMBERS)]
        self._clients.append(EtcdClient(urls, timing=timing))
        return self._clients[-1]

    async def leader(self) -> int:
        return await asyncio.to_thread(self.members.leader)

    async def kill(self, member: int) -> None:
        self.members.kill(member)

    async def restart(self, member: int) -> None:
        self.members.start(member)

    async def pause(self, member: int) -> None:
        self.members.pause(member)

    async def resume(self, member: int) -> None:
        self.members.resume(member)

    async def hang(self, member: int) -> None:
        self.relays[member].swallows = True

    async def answer(self, member: int) -> None:
        self.relays[member].swallows = False

    async def drop_next_reply(self) -> None:
        for relay in self.relays:
            relay.cuts = True

    async def replace(self, member: int) -> None:
        await asyncio.to_thread(self.members.expel, member)
        self.members.start(member)
        await asyncio.to_thread(self.members.wait_until_whole)

    async def fill(self) -> None:
        etcd = self.client()
        for _ in range(200):
            try:
                await etcd.transact((), [Put("/filler", b"x" * 1_000_000)])
            except EtcdError as error:
                assert error.code == "ResourceExhausted"
                return
        raise AssertionError("etcd has no quota")

    async def make_room(self) -> None:
        await self.client().transact((), [])
        await asyncio.to_thread(self._make_room)

    def _make_room(self) -> None:
        ask = self.members.ask
        ask(0, "/v3/kv/deleterange", key="L2ZpbGxlcg==")
        ask(0, "/v3/kv/compaction", revision=ask(0, "/v3/kv/range", key="AA==")["header"]["revision"], physical=True)
        for member in range(MEMBERS):
            ask(member, "/v3/maintenance/defragment")
        for alarm in ask(0, "/v3/maintenance/alarm").get("alarms", ()):
            ask(0, "/v3/maintenance/alarm", action="DEACTIVATE", alarm=alarm["alarm"], memberID=alarm["memberID"])

    async def open(self) -> None:
        for relay in self.relays:
            await relay.open()

    async def close(self) -> None:
        for client in self._clients:
            await client.close()
        for relay in self.relays:
            await relay.close()


@asynccontextmanager
async def real_etcd(members: LoopbackEtcd) -> AsyncIterator[RealEtcd]:
    """A harness for one case; afterwards every member is whole again."""
    harness = RealEtcd(members)
    await harness.open()
    try:
        yield harness
    finally:
        await harness.close()
        await asyncio.to_thread(members.wait_until_whole)
