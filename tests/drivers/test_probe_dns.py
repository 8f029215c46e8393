"""The probe of kind dns, before a small server of our own."""

from __future__ import annotations

import asyncio
import socket
import struct
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from typing import Any

import dns.flags
import dns.message
import dns.rcode
import dns.rrset
import pytest

from binome.core.target import Answer
from binome.drivers.probe.dns import DnsProbe
from binome.ports import Finding
from tests.drivers.probe_suite import (
    ESCAPES,
    ProbeSuite,
    Serve,
    closing,
    endless,
    garbage,
    served,
    silent,
    surroundings,
    target,
)

Reply = Callable[[dns.message.Message], bytes | None]
NAME = "app.example"


class _Udp(asyncio.DatagramProtocol):
    def __init__(self, reply: Callable[[bytes], list[bytes]]) -> None:
        self._reply = reply

    def connection_made(self, transport: Any) -> None:
        self._transport = transport

    def datagram_received(self, data: bytes, addr: Any) -> None:
        for one in self._reply(data):
            self._transport.sendto(one, addr)


@asynccontextmanager
async def udp(reply: Callable[[bytes], list[bytes]]) -> AsyncIterator[int]:
    loop = asyncio.get_running_loop()
    transport, _ = await loop.create_datagram_endpoint(lambda: _Udp(reply), ("127.0.0.1", 0))
    try:
        yield transport.get_extra_info("sockname")[1]
    finally:
        transport.close()


def records(*lines: str, authority: bool = True, rcode: int = 0, flags: int = 0) -> Callable[[bytes], list[bytes]]:
    """A server that answers with these records."""

    def reply(data: bytes) -> list[bytes]:
        answer = dns.message.make_response(dns.message.from_wire(data))
        answer.flags |= (dns.flags.AA if authority else 0) | flags
        answer.set_rcode(dns.rcode.Rcode(rcode))
        for line in lines:
            name, kind, value = line.split()
            answer.answer.append(dns.rrset.from_text(f"{name}.", 60, "IN", kind, value))
        return [answer.to_wire()]

    return reply


class TestDns(ProbeSuite):
    kind = "dns"

    def make(self) -> DnsProbe:
        return DnsProbe(surroundings())

    def options(self) -> dict[str, Any]:
        return {"name": NAME, "expect": ("10.0.0.1",)}

    @asynccontextmanager
    async def answering(self) -> AsyncIterator[int]:
        async with udp(records(f"{NAME} A 10.0.0.1")) as port:
            yield port

    @asynccontextmanager
    async def failing(self, serve: Serve) -> AsyncIterator[int]:
        """Over UDP there is neither an end of a connection nor a byte a second: silence, or datagrams that are none."""
        nights: dict[Serve, list[bytes]] = {
            silent: [],
            closing: [b""],
            garbage: [ESCAPES],
            endless: [b"x" * 60_000] * 20,
        }
        said = nights.get(serve, [b"H"])
        async with udp(lambda _: list(said)) as port:
            yield port

    @asynccontextmanager
    async def refusing(self) -> AsyncIterator[int]:
        with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as taken:
            taken.bind(("127.0.0.1", 0))
            port = taken.getsockname()[1]
        yield port

    def left_open(self, before: int) -> int:
        return before


def look(reply: Callable[[bytes], list[bytes]], **options: Any) -> Finding:
    async def run() -> Finding:
        async with udp(reply) as port:
            return await DnsProbe(surroundings()).look(target("dns", port, {"name": NAME, **options}))

    return asyncio.run(run())


@pytest.mark.parametrize(
    ("reply", "options", "says"),
    [
        (records(f"{NAME} A 10.0.0.1"), {}, "up: 10.0.0.1"),
        (
            records(f"{NAME} A 10.0.0.2", f"{NAME} A 10.0.0.1"),
            {"expect": ("10.0.0.1", "10.0.0.2")},
            "up: 10.0.0.1, 1",
        ),
        (records(f"{NAME} A 10.0.0.2"), {"expect": ("10.0.0.1",)}, "down: 10.0.0.2, where 10.0.0.1 is expected"),
        (records(f"{NAME} A 10.0.0.1"), {"expect": ("10.0.0.1", "10.0.0.2")}, "down: 10.0.0.1, where"),
        (records(f"{NAME} CNAME x.example.", "x.example A 10.0.0.1"), {"expect": ("10.0.0.1",)}, "up: 10.0.0.1"),
        (records(f"{NAME} CNAME cdn.example.net."), {"expect": ("cdn.example.net",)}, "up: cdn.example.net"),
        (records(), {}, "down: no A for app.example."),
        (records(rcode=3), {}, "down: NXDOMAIN for app.example."),
        (records(rcode=2), {}, "down: SERVFAIL for app.example."),
        (records(f"{NAME} A 10.0.0.1", authority=False), {}, "down: it has no authority over app.example."),
        (records(f"{NAME} A 10.0.0.1", authority=False), {"resolver": True}, "up: 10.0.0.1"),
        (records(f"{NAME} CNAME {NAME}."), {}, "down: aliases in a circle"),
        (records(f"{NAME} CNAME b.example.", f"b.example CNAME {NAME}."), {}, "down: aliases in a circle"),
        (
            records(f"{NAME} CNAME 0.e.", *(f"{n}.e CNAME {n + 1}.e." for n in range(25))),
            {},
            "down: aliases in a circle",
        ),
        (records(f"{NAME} TXT \\027[2Jx"), {"type": "TXT"}, 'up: "\\\\027[2jx"'),
    ],
)
def test_answers(reply: Callable[[bytes], list[bytes]], options: dict[str, Any], says: str) -> None:
    found = look(reply, **options)
    assert f"{found.answer}: {found.said}".startswith(says), found


def test_an_answer_to_somebody_elses_question_is_none() -> None:
    def reply(data: bytes) -> list[bytes]:
        (answer,) = records(f"{NAME} A 10.0.0.1")(data)
        return [struct.pack("!H", (struct.unpack("!H", data[:2])[0] + 1) & 0xFFFF) + answer[2:]]

    assert look(reply).answer is Answer.DOWN


def test_a_cut_answer_is_asked_for_again_over_tcp() -> None:
    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        length = struct.unpack("!H", await reader.readexactly(2))[0]
        (answer,) = records(f"{NAME} A 10.0.0.7")(await reader.readexactly(length))
        writer.write(struct.pack("!H", len(answer)) + answer)
        await reader.read(1)

    async def run() -> None:
        async with served(serve) as port:
            loop = asyncio.get_running_loop()
            cut = records(flags=dns.flags.TC)
            transport, _ = await loop.create_datagram_endpoint(lambda: _Udp(cut), ("127.0.0.1", port))
            found = await DnsProbe(surroundings()).look(target("dns", port, {"name": NAME}))
            transport.close()
            assert (found.answer, found.said) == (Answer.UP, "10.0.0.7"), found

    asyncio.run(run())
