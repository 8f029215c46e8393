"""The probe of kind tcp."""

from __future__ import annotations

import asyncio
import socket
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

from binome.drivers.probe.tcp import TcpProbe
from binome.ports import Finding
from tests.drivers.probe_suite import ProbeSuite, served, silent, surroundings


class TestTcp(ProbeSuite):
    kind = "tcp"
    taken_for_up = frozenset({"closed", "garbage", "endless", "trickle"})

    def make(self) -> TcpProbe:
        return TcpProbe(surroundings())

    @asynccontextmanager
    async def answering(self) -> AsyncIterator[int]:
        async with served(silent) as port:
            yield port

    @asynccontextmanager
    async def unheard(self) -> AsyncIterator[int]:
        """A listener whose queue is full: the kernel drops what knocks."""
        with socket.create_server(("127.0.0.1", 0), backlog=0) as full:
            held = [socket.socket() for _ in range(3)]
            for one in held:
                one.setblocking(False)
                one.connect_ex(full.getsockname())
            yield full.getsockname()[1]
            for one in held:
                one.close()

    def left_open(self, before: int) -> int:
        return before


def test_a_refusal_is_told_from_silence() -> None:
    async def run() -> tuple[Finding, Finding]:
        suite = TestTcp()
        async with suite.refusing() as nobody, suite.unheard() as port:
            return await suite.look(nobody), await suite.look(port)

    refused, unheard = asyncio.run(run())
    assert (refused.details, unheard.details) == ({"refused": True}, {})
