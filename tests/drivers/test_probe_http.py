"""The probe of kind http: the suite, what an answer is held against, redirects, and whom it must not reach."""

from __future__ import annotations

import asyncio
import os
import signal
import socket
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from typing import Any

import pytest
import uvloop

from binome.core.target import Answer
from binome.drivers.probe.http import HttpProbe
from binome.drivers.probe.shared.http_client import BODY_BYTES, FRAME_BYTES
from binome.ports import Finding
from tests.drivers.certificates import Authority
from tests.drivers.http_server import answer, endless_body, endless_chunks, endless_headers, http, saying
from tests.drivers.probe_suite import LOOPBACK, ProbeSuite, Serve, descriptors, served, surroundings, target


class TestHttp(ProbeSuite):
    kind = "http"

    def make(self) -> HttpProbe:
        return HttpProbe(surroundings())

    @asynccontextmanager
    async def answering(self) -> AsyncIterator[int]:
        async with http(lambda _: answer()) as port:
            yield port


def look(
    reply: Callable[[bytes], bytes] | Serve,
    options: dict[str, Any] | None = None,
    named: frozenset[str] = LOOPBACK,
    address: str = "127.0.0.1",
    within: Any = http,
) -> Finding:
    async def run() -> Finding:
        async with within(reply) as port:
            given = {
                key: one.format(port=port) if isinstance(one, str) else one for key, one in (options or {}).items()
            }
            return await HttpProbe(surroundings(named)).look(target("http", port, given, address))

    return asyncio.run(run())


@pytest.mark.parametrize(
    ("reply", "options", "says"),
    [
        (answer(), {}, "up: 200 OK"),
        (answer(status="204 No Content"), {}, "down: 204 No Content"),
        (answer(status="204 No Content"), {"status": (200, 204)}, "up: 204 No Content"),
        (answer(status="503 Service Unavailable"), {}, "down: 503 Service Unavailable"),
        (b"HTTP/1.1 301 \r\nContent-Length: 0\r\n\r\n", {}, "down: 301 Moved Permanently"),
        (answer(b"all is well"), {"contains": "is well"}, "up: 200 OK"),
        (answer(b"maintenance"), {"contains": "is well"}, 'down: 200 OK, without "is well"'),
        (answer(more="X-Site: gra-1\r\n"), {"headers": {"x-site": "gra"}}, "up: 200 OK"),
        (answer(more="X-Site: sbg\r\n"), {"headers": {"X-Site": "gra"}}, "down: 200 OK, with X-Site: sbg"),
        (answer(), {"headers": {"X-Site": "gra"}}, "down: 200 OK, without X-Site"),
        (b"HTTP/1.1 200 OK\r\nContent-Length: 9\r\n\r\ncut", {}, "down: no answer within 400 ms"),
        (b"HTTP/1.0 200 Fine\r\n\r\nto the end", {}, "down: no answer within 400 ms"),
        (b"SSH-2.0-OpenSSH_9.2\r\n", {}, "down: it does not speak HTTP: SSH-2.0-OpenSSH_9.2\\\\r\\\\n"),
        (answer(status="200 \x1b[31mred"), {}, "up: 200 \\x1b[31mred"),
    ],
)
def test_an_answer_is_held_against_what_is_expected(reply: bytes, options: dict[str, Any], says: str) -> None:
    found = look(lambda _: reply, options)
    assert f"{found.answer}: {found.said}".startswith(says), found


@pytest.mark.parametrize(
    ("reply", "says"),
    [
        (b"HTTP/1.1 200 OK\r\n\r\nuntil the end", "up: 200 OK"),
        (
            b"HTTP/1.1 200 OK\r\nContent-Length: 9\r\n\r\ncut",
            "down: it closed the connection in the middle",
        ),
        (
            b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n5\r\nab",
            "down: it closed the connection in the middle",
        ),
        (b"HTTP/1.1 200 OK\r\nContent-", "down: it closed the connection in the middle"),
        (b"", "down: it closed the connection without an answer"),
    ],
)
def test_an_end_is_an_end_only_where_it_may_be(reply: bytes, says: str) -> None:
    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await reader.readuntil(b"\r\n\r\n")
        writer.write(reply)
        await writer.drain()
        writer.close()
        await writer.wait_closed()

    found = look(serve, within=served)
    assert f"{found.answer}: {found.said}".startswith(says), found


def test_headers_without_end_are_refused() -> None:
    found = look(endless_headers, within=served)
    assert (found.answer, found.said) == (Answer.DOWN, "more than 64 KiB of headers")


@pytest.mark.parametrize("serve", [endless_body, endless_chunks])
def test_a_body_without_end_is_read_as_far_as_one_mebibyte(serve: Serve) -> None:
    assert look(serve, within=served).said in ("200 OK", "no answer within 400 ms")
    found = look(endless_body, {"contains": "never said"}, within=served)
    assert (found.answer, found.said) == (Answer.DOWN, '200 OK, without "never said" in its first MiB')


ENDLESS = {
    "chunks of a byte": (b"", b"1\r\nz\r\n" * 1000),
    "trailers": (b"0\r\n", b"X-Nothing: x\r\n" * 1000),
    "one trailer": (b"0\r\nX-Nothing: ", b"x" * 10_000),
    "a chunk's extension": (b"1;", b"x" * 10_000),
}


@pytest.mark.parametrize("what", ENDLESS)
def test_what_has_no_end_around_a_body_holds_nobody_up(what: str) -> None:
    """The target is a process of its own: it never waits for us, as one in our loop would."""
    first, more = ENDLESS[what]
    begin = b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n" + first
    turns = 0

    async def run(port: int) -> Finding:
        async def others() -> None:
            nonlocal turns
            while True:
                turns += 1
                await asyncio.sleep(0)

        beside = asyncio.ensure_future(others())
        try:
            patient = target("http", port)._replace(timeout_ms=20_000)
            return await HttpProbe(surroundings()).look(patient)
        finally:
            beside.cancel()

    with socket.create_server(("127.0.0.1", 0)) as listening:
        sender = os.fork()
        if sender == 0:
            try:
                connection, _ = listening.accept()
                connection.recv(1000)
                connection.sendall(begin)
                while True:
                    connection.sendall(more)
            finally:
                os._exit(0)
        try:
            found = asyncio.run(run(listening.getsockname()[1]))
        finally:
            os.kill(sender, signal.SIGKILL)
            os.waitpid(sender, 0)
    assert found.said == "200 OK"
    assert turns >= (BODY_BYTES + FRAME_BYTES) // (8 * 16 << 10), "it was read without a pause"


def moved(to: str) -> Callable[[bytes], bytes]:
    return lambda head: answer(b"", "302 Found", f"Location: {to}\r\n") if b"GET /old" in head else answer()


@pytest.mark.parametrize(
    ("to", "says"),
    [
        ("/new", "up: 200 OK"),
        ("//127.0.0.1:{port}/new", "up: 200 OK"),
        ("http://127.0.0.2:1/new", "down: connection refused"),
        ("http://169.254.169.254/latest/meta-data", "down: it leads to 169.254.169.254, a hoster's metadata"),
        ("http://[::ffff:169.254.169.254]/", "down: it leads to 169.254.169.254, a hoster's metadata"),
        ("http://[64:ff9b::a9fe:a9fe]/", "down: it leads to 169.254.169.254, a hoster's metadata"),
        ("http://127.0.0.9/", "down: it leads to 127.0.0.9, this server itself"),
        ("http://0.0.0.0/", "down: it leads to 0.0.0.0, this server itself"),
        ("http://[fe80::1]/", "down: it leads to fe80::1, a link-local address"),
        ("http://2130706441/", "down: 2130706441 is no address"),
        ("http://0x7f.1/", "down: 0x7f.1 is no address"),
        ("ftp://127.0.0.1/", "down: a redirect to what is no URL: ftp://127.0.0.1/"),
        ("http://127.0.0.1:99999/", "down: a redirect to what is no URL"),
        ("http://[::1", "down: a redirect to what is no URL"),
        ("http://a b/", "down: a redirect to what is no URL"),
    ],
)
def test_a_redirect_is_followed_where_it_may_lead(to: str, says: str) -> None:
    port = 0

    def reply(head: bytes) -> bytes:
        return moved(to.replace("{port}", str(port)))(head)

    async def run() -> Finding:
        nonlocal port
        async with http(reply) as port:
            return await HttpProbe(surroundings()).look(target("http", port, {"path": "/old", "redirects": 3}))

    found = asyncio.run(run())
    assert f"{found.answer}: {found.said}".startswith(says), found


def test_a_thousand_redirects_are_left_after_as_many_as_are_allowed() -> None:
    asked = []

    def reply(head: bytes) -> bytes:
        asked.append(head)
        return answer(b"", "302 Found", f"Location: /{len(asked)}\r\n")

    found = look(reply, {"redirects": 5})
    assert (found.answer, found.said) == (Answer.DOWN, "more than 5 redirects, the last to /6")
    assert len(asked) == 6


def test_a_redirect_is_the_answer_where_none_is_followed() -> None:
    assert look(moved("/new"), {"path": "/old", "status": (302,)}).answer is Answer.UP


def test_the_question_is_the_one_that_the_options_say() -> None:
    heads = []

    def reply(head: bytes) -> bytes:
        heads.append(head)
        return answer()

    look(reply, {"path": "/health?deep=1", "host": "app.example"})
    assert heads[0].startswith(b"GET /health?deep=1 HTTP/1.1\r\nHost: app.example:")


def test_an_address_that_the_estate_does_not_name_is_not_reached() -> None:
    asked: list[bytes] = []
    found = look(lambda head: asked.append(head) or answer(), {}, frozenset({"127.0.0.2"}))  # type: ignore[func-returns-value]
    assert (found.answer, asked) == (Answer.DOWN, [])
    assert "127.0.0.1, this server itself, which the estate does not name" in found.said


@pytest.mark.parametrize("loop", [asyncio.new_event_loop, uvloop.new_event_loop])
def test_over_tls_in_the_loops_that_lookouts_run_in(loop: Callable[[], Any], tmp_path: Any) -> None:
    authority = Authority(tmp_path)
    options = {"tls": True, "ca": str(authority.file), "host": "app.example"}

    async def run() -> Finding:
        async with served(saying(lambda _: answer()), ssl=authority.server("app.example")) as port:
            return await HttpProbe(surroundings()).look(target("http", port, options))

    with asyncio.Runner(loop_factory=loop) as runner:
        assert runner.run(run()).said.startswith("200 OK")


def test_over_tls_with_the_name_in_the_certificate(tmp_path: Any) -> None:
    authority = Authority(tmp_path)

    async def run() -> None:
        for name, said in (("app.example", "200 OK"), ("other.example", "its certificate is refused")):
            context = authority.server("app.example")
            async with served(saying(lambda _: answer()), ssl=context) as port:
                before = descriptors()
                options = {"tls": True, "ca": str(authority.file), "host": name}
                found = await HttpProbe(surroundings()).look(target("http", port, options))
                assert found.said.startswith(said), found
                assert found.answer is (Answer.UP if name == "app.example" else Answer.DOWN)
                await asyncio.sleep(0)
                assert descriptors() <= before + 1
            found = await HttpProbe(surroundings()).look(target("http", port, {"tls": True, "ca": "/nowhere"}))
            assert found.answer is Answer.UNSURE, found

    asyncio.run(run())
