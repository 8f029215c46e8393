"""Heartbeats: who may beat, what other lookouts say, and what is thrown at the listener."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from typing import Any

import pytest

from binome.core.target import Answer
from binome.drivers.probe.heartbeat import HeartbeatProbe
from binome.runtime import listener
from binome.runtime.heartbeats import Heartbeats, answering
from binome.runtime.listener import AT_ONCE, Listener
from tests.drivers.probe_suite import descriptors, settled, surroundings, target, until

TOKEN, OTHER = "a-token-of-the-dump", "a-token-of-another"
JOBS = {"dump": TOKEN, "report": OTHER, "weak": "short", "empty": ""}


class Clock:
    """A clock that is set by hand."""

    def __init__(self) -> None:
        self.at_s = 1000.0

    def now_ms(self) -> int:
        return int(self.at_s * 1000)

    def monotonic_s(self) -> float:
        return self.at_s

    async def sleep(self, seconds: float) -> None:
        raise AssertionError


def test_a_beat_is_young_then_missing_then_there_again() -> None:
    clock = Clock()
    beats = Heartbeats(JOBS, clock)
    probe = HeartbeatProbe(surroundings(clock=clock, beats=beats))
    options = {"job": "dump", "every_ms": 60_000, "grace_ms": 5_000}

    def looked(after_s: float) -> tuple[Answer, str]:
        clock.at_s += after_s
        found = asyncio.run(probe.look(target("heartbeat", 0, options)))
        return found.answer, found.said

    assert looked(0) == (Answer.UNSURE, "no beat yet; this server listens for 0 s")
    assert looked(65) == (Answer.UNSURE, "no beat yet; this server listens for 65 s")
    assert looked(1) == (Answer.DOWN, "no beat in 66 s; one is due every 65 s at the latest")
    assert beats.beat("dump", TOKEN.encode())
    assert looked(65) == (Answer.UP, "the last beat came 65 s ago")
    assert looked(1)[0] is Answer.DOWN
    beats.heard({"dump": 10.0, "stranger": 0.0, "report": -5.0})
    assert looked(0) == (Answer.UP, "the last beat came 10 s ago")
    assert beats.ages_s() == {"dump": 10.0}
    beats.heard({"dump": 50.0})
    assert beats.ages_s() == {"dump": 10.0}, "an older word changes nothing"


@pytest.mark.parametrize("job", ["weak", "empty", "nobody", "report"])
def test_nobody_beats_for_another_or_with_a_weak_token(job: str) -> None:
    beats = Heartbeats(JOBS, Clock())
    for token in (TOKEN, "short", "", "x" * 32):
        assert not beats.beat(job, token.encode())
    assert beats.ages_s() == {}


def night(test: Callable[[Listener, Heartbeats], Awaitable[None]]) -> None:
    async def run() -> None:
        before = await settled()
        beats = Heartbeats(JOBS, Clock())
        server = Listener(answering(beats))
        await server.open("127.0.0.1", 0)
        try:
            await test(server, beats)
        finally:
            server.close()
        await until(lambda: descriptors() <= before)

    asyncio.run(run())


async def said(server: Listener, request: bytes) -> bytes:
    reader, writer = await asyncio.open_connection("127.0.0.1", server.port)
    try:
        writer.write(request)
        return await asyncio.wait_for(reader.read(), 3)
    finally:
        writer.transport.abort()


def asking(path: str, token: str = TOKEN, method: str = "GET", more: str = "") -> bytes:
    return f"{method} {path} HTTP/1.1\r\nHost: x\r\nAuthorization: Bearer {token}\r\n{more}\r\n".encode()


@pytest.mark.parametrize(
    ("request_", "status"),
    [
        (asking("/beat/dump"), 200),
        (asking("/beat/dump", method="POST", more="Content-Length: 4\r\n") + b"done", 200),
        (asking("/beat/dump", OTHER), 403),
        (asking("/beat/nobody"), 403),
        (asking("/beat/dump", ""), 403),
        (b"GET /beat/dump HTTP/1.1\r\n\r\n", 403),
        (asking("/beat/"), 403),
        (asking("/beat/%64ump"), 403),
        (asking("/"), 404),
        (asking("/beat/dump", method="DELETE"), 405),
        (b"\x16\x03\x01\x02\x00\x01", 400),
        (b"GET / HTTP/1.1\r\nContent-Length: -1\r\n\r\n", 400),
        (asking("/beat/dump", method="POST", more="Content-Length: 5000\r\n") + b"x" * 5000, 413),
        (b"GET /beat/dump HTTP/1.1\r\n" + b"X-Long: " + b"x" * 20_000, 431),
        (b"GET /" + b"x" * 20_000, 431),
    ],
)
def test_one_answer_for_each_request(request_: bytes, status: int) -> None:
    async def test(server: Listener, beats: Heartbeats) -> None:
        answer = await said(server, request_)
        assert answer.startswith(f"HTTP/1.1 {status} ".encode()), answer
        assert bool(beats.ages_s()) is (status == 200)

    night(test)


def test_strangers_and_wrong_tokens_get_the_same_words() -> None:
    async def test(server: Listener, _: Heartbeats) -> None:
        assert await said(server, asking("/beat/nobody")) == await said(server, asking("/beat/dump", OTHER))

    night(test)


def test_cron_calls_with_curl() -> None:
    """What `curl -fsS -m 5 -H "Authorization: Bearer …" URL` sends, word for word, and that it is content."""

    async def test(server: Listener, beats: Heartbeats) -> None:
        where = f"127.0.0.1:{server.port}"
        answer = await said(
            server,
            f"GET /beat/dump HTTP/1.1\r\nHost: {where}\r\nUser-Agent: curl/7.88.1\r\nAccept: */*\r\n"
            f"Authorization: Bearer {TOKEN}\r\n\r\n".encode(),
        )
        head, _, body = answer.partition(b"\r\n\r\n")
        assert (head.split(b"\r\n")[0], body) == (b"HTTP/1.1 200 OK", b"heard\n")
        assert f"content-length: {len(body)}".encode() in head.lower(), "curl knows where the answer ends"
        assert "dump" in beats.ages_s()

    night(test)


def test_who_trickles_or_floods_keeps_nobody_out_for_long(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(listener, "ASKED_WITHIN_S", 0.3)

    async def test(server: Listener, _: Heartbeats) -> None:
        held: list[Any] = [await asyncio.open_connection("127.0.0.1", server.port) for _ in range(AT_ONCE)]
        for _, writer in held:
            writer.write(b"GET /beat/")
        reader, writer = await asyncio.open_connection("127.0.0.1", server.port)
        with pytest.raises(ConnectionError):
            await asyncio.wait_for(_read(reader), 2)
        writer.transport.abort()
        for one, _ in held:
            with pytest.raises(ConnectionError):
                await asyncio.wait_for(_read(one), 2)
        for _, one in held:
            one.transport.abort()
        assert (await said(server, asking("/beat/dump"))).startswith(b"HTTP/1.1 200 ")

    night(test)


async def _read(reader: asyncio.StreamReader) -> None:
    """Waits for the end of a connection, which is one by force."""
    if not await reader.read():
        raise ConnectionResetError
