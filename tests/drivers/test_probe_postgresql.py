"""The probe of kind postgresql, before a server that speaks the start of the protocol; the real one is in the lab."""

from __future__ import annotations

import asyncio
import struct
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

import pytest

from binome.core.target import Answer
from binome.drivers.probe.postgresql import PostgresqlProbe
from binome.ports import Finding
from tests.drivers.probe_suite import ProbeSuite, Serve, served, silent, surroundings, target


def message(letter: bytes, body: bytes) -> bytes:
    return letter + struct.pack("!i", len(body) + 4) + body


def speaking(tls: bytes, answer: bytes) -> Serve:
    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        assert await reader.readexactly(8) == struct.pack("!ii", 8, 80877103)
        writer.write(tls)
        if tls == b"N":
            (length,) = struct.unpack("!i", await reader.readexactly(4))
            startup = await reader.readexactly(length - 4)
            assert startup.startswith(struct.pack("!i", 3 << 16) + b"user\0binome\0") and startup.endswith(b"\0\0")
            writer.write(answer)
        await reader.read(1)

    return serve


SCRAM = message(b"R", struct.pack("!i", 10) + b"SCRAM-SHA-256\0\0")


class TestPostgresql(ProbeSuite):
    kind = "postgresql"

    def make(self) -> PostgresqlProbe:
        return PostgresqlProbe(surroundings())

    @asynccontextmanager
    async def answering(self) -> AsyncIterator[int]:
        async with served(speaking(b"N", SCRAM)) as port:
            yield port


@pytest.mark.parametrize(
    ("tls", "answer", "says"),
    [
        (b"S", b"", "up: it takes connections, over TLS"),
        (b"N", SCRAM, "up: it takes connections, and asks for a password (scram)"),
        (
            b"N",
            message(b"E", b"SFATAL\0VFATAL\0C57P03\0Mthe database system is starting up\0\0"),
            "up: it answers: the database system is starting up",
        ),
        (b"N", message(b"E", b"C28000\0Mno \x1b[31m entry\0\0"), "up: it answers: no \\x1b[31m entry"),
        (b"N", message(b"E", b"nothing\0\0"), "down: it does not speak PostgreSQL"),
        (b"N", message(b"R", b""), "down: it does not speak PostgreSQL"),
        (b"N", b"R\x7f\xff\xff\xff" + b"x" * 100, "down: it does not speak PostgreSQL"),
        (b"N", b"R\x80\x00\x00\x00" + b"x" * 100, "down: it does not speak PostgreSQL"),
        (b"HTTP/1.1 400", b"", "down: it does not speak PostgreSQL: HTTP/1.1 400"),
    ],
)
def test_any_well_formed_answer_is_life(tls: bytes, answer: bytes, says: str) -> None:
    async def run() -> Finding:
        async with served(speaking(tls, answer)) as port:
            return await PostgresqlProbe(surroundings()).look(target("postgresql", port))

    found = asyncio.run(run())
    assert f"{found.answer}: {found.said}".startswith(says), found


def test_a_query_that_hangs_holds_up_neither_the_verdict_nor_the_looks_after_it() -> None:
    """The first connection is answered; those of the client library are not."""
    first = True

    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        nonlocal first
        first, mine = False, first
        await (speaking(b"N", SCRAM) if mine else silent)(reader, writer)

    async def run() -> None:
        async with served(serve) as port:
            probe = PostgresqlProbe(surroundings())
            options = {"user": "binome", "password": "env:WATCH"}
            began_s = asyncio.get_running_loop().time()
            found = await probe.look(target("postgresql", port, options))
            assert asyncio.get_running_loop().time() - began_s < 0.6
            assert found.answer is Answer.UP and found.details["query"] == "no answer in time", found

    asyncio.run(run())
