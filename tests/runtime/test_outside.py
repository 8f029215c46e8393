"""The heartbeat outside: once a minute, and a problem only once nobody has taken it for long."""

from __future__ import annotations

import asyncio
from pathlib import Path

import pytest

from binome.drivers.notify import secret_of
from binome.drivers.notify.shared.ping import ping
from binome.runtime.outside import EVERY_S, MISSED_S, Outside
from binome.sim.loop import new_loop
from binome.sim.process import Clock


def test_it_pings_once_a_minute_and_complains_after_five_that_nobody_took_it() -> None:
    loop = new_loop()
    pinged: list[float] = []
    said = ""

    async def one() -> str:
        pinged.append(loop.now_s)
        return said

    outside = Outside(one, Clock(loop))
    loop.spawn(None, outside.run())
    loop.run_until(3 * EVERY_S + 1)
    assert pinged == [0, EVERY_S, 2 * EVERY_S, 3 * EVERY_S]
    said = "status 500"
    loop.run_until(3 * EVERY_S + MISSED_S - 1)
    assert outside.problems() == []
    loop.run_until(3 * EVERY_S + MISSED_S + 1)
    assert outside.problems() == ["the heartbeat outside was not taken for 301 s: status 500"]
    said = ""
    loop.run_until(3 * EVERY_S + MISSED_S + EVERY_S)
    assert outside.problems() == []


@pytest.mark.parametrize(
    ("raw", "said"),
    [
        (b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nOK", ""),
        (b"HTTP/1.1 404 Not Found\r\nContent-Length: 0\r\n\r\n", "status 404"),
        (b"HTTP/1.1 302 Found\r\nLocation: http://127.0.0.1:1/\r\nContent-Length: 0\r\n\r\n", "status 302"),
        (b"", "no whole answer"),
        (None, "no answer within"),
    ],
)
def test_it_is_taken_where_the_answer_says_so_and_its_url_is_told_nobody(
    tmp_path: Path, raw: bytes | None, said: str
) -> None:
    asked: list[bytes] = []

    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        asked.append(await reader.readuntil(b"\r\n\r\n"))
        if raw is None:
            await reader.read()
        writer.write(raw or b"")
        writer.close()

    async def one() -> str:
        server = await asyncio.start_server(serve, "127.0.0.1", 0)
        port = server.sockets[0].getsockname()[1]
        (tmp_path / "url").write_text(f"http://127.0.0.1:{port}/ping/s3cret-of-ours\n")
        try:
            return await ping(f"file:{tmp_path / 'url'}", secret_of, total_s=1.0)
        finally:
            server.close()

    words = asyncio.run(one())
    assert words.startswith(said) and bool(words) is bool(said), words
    assert "s3cret" not in words
    assert asked[0].startswith(b"GET /ping/s3cret-of-ours HTTP/1.1\r\n")


@pytest.mark.parametrize(("kept", "said"), [(None, "its URL cannot be read"), ("hello", "is no URL")])
def test_without_a_url_it_says_so(tmp_path: Path, kept: str | None, said: str) -> None:
    if kept is not None:
        (tmp_path / "url").write_text(kept)
    assert said in asyncio.run(ping(f"file:{tmp_path / 'url'}", secret_of))
