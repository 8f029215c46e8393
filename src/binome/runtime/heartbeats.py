"""Heartbeats: jobs say that they ran, and silence is what is noticed.

    curl -fsS -m 5 --retry 3 -H "Authorization: Bearer $(cat /etc/binome/nightly.token)" http://LOOKOUT:8710/beat/nightly

A job beats at one lookout; that one tells the others (`heard`), so that a job need not know them all. Times are those
of arrival, by this server's monotonic clock: nobody's clock but ours decides whether a beat came in time.

The listener stands where jobs reach it, so it takes little from anybody: one request a connection, 8 KiB of head, 4 KiB
of body (which nobody reads), five seconds, and a bounded number of connections. A job is known by its token. Who has a
wrong one, or names a job that is none, gets the same answer after the same comparison.
"""

from __future__ import annotations

import asyncio
import hmac
import secrets
from collections.abc import Mapping

import httptools

from binome.ports import Clock

HEAD_BYTES = 8 << 10
BODY_BYTES = 4 << 10
ASKED_WITHIN_S = 5.0
AT_ONCE = 256
"""Connections that are served at the same time; others are closed without a word."""
TOKEN_LEAST = 16
"""Characters that a token must have at least; a shorter one beats for nobody."""

_PATH = b"/beat/"
_WORDS = {
    200: "OK",
    400: "Bad Request",
    403: "Forbidden",
    404: "Not Found",
    405: "Method Not Allowed",
    413: "Content Too Large",
    431: "Request Header Fields Too Large",
}
_NOBODY = secrets.token_bytes(32)


class Heartbeats:
    """The newest beat of each job, here and as other lookouts say; what `Beats` asks for."""

    def __init__(self, jobs: Mapping[str, str], clock: Clock) -> None:
        """`jobs` are the tokens by the names of the jobs."""
        self._tokens = {job: token.encode() for job, token in jobs.items() if len(token) >= TOKEN_LEAST}
        self._jobs = frozenset(jobs)
        self._clock = clock
        self._since_s = clock.monotonic_s()
        self._last_s: dict[str, float] = {}

    @property
    def since_s(self) -> float:
        """Since when beats are listened for."""
        return self._since_s

    def last_s(self, job: str) -> float | None:
        """When the newest beat of a job came; None where none is known."""
        return self._last_s.get(job)

    def ages_s(self) -> dict[str, float]:
        """How old the newest beat of each job is: what other lookouts are told."""
        now_s = self._clock.monotonic_s()
        return {job: now_s - last_s for job, last_s in self._last_s.items()}

    def heard(self, ages_s: Mapping[str, float]) -> None:
        """Takes another lookout's word for beats: how old they were when it spoke. Unknown jobs are passed over."""
        now_s = self._clock.monotonic_s()
        for job, age_s in ages_s.items():
            if job in self._jobs and age_s >= 0:
                self._beat_at(job, now_s - age_s)

    def beat(self, job: str, token: bytes) -> bool:
        """Whether a job may beat with this token; if so, it did."""
        if not hmac.compare_digest(self._tokens.get(job, _NOBODY), token):
            return False
        self._beat_at(job, self._clock.monotonic_s())
        return True

    def _beat_at(self, job: str, at_s: float) -> None:
        self._last_s[job] = max(at_s, self._last_s.get(job, at_s))


async def listen(address: str, port: int, beats: Heartbeats) -> None:
    """Takes beats at an address until it is cancelled. Raises OSError where that cannot be."""
    server = await serve(address, port, beats)
    try:
        await asyncio.get_running_loop().create_future()
    finally:
        server.close()


async def serve(address: str, port: int, beats: Heartbeats) -> Server:
    """The same, for whoever closes it himself; port 0 takes any that is free."""
    server = Server(beats)
    await server.open(address, port)
    return server


class Server:
    """The listener, and the connections that are open."""

    def __init__(self, beats: Heartbeats) -> None:
        self.port = 0
        self._beats = beats
        self._open: set[_Connection] = set()
        self._listening: asyncio.Server | None = None

    async def open(self, address: str, port: int) -> None:
        """Begins to listen. Raises OSError."""
        loop = asyncio.get_running_loop()
        self._listening = await loop.create_server(lambda: _Connection(self._beats, self._open), address, port)
        self.port = self._listening.sockets[0].getsockname()[1]

    def close(self) -> None:
        """Ends it, and whoever is being served."""
        if self._listening is not None:
            self._listening.close()
        for one in tuple(self._open):
            one.let_go()


class _Connection(asyncio.Protocol):
    """One request, one answer."""

    def __init__(self, beats: Heartbeats, others: set[_Connection]) -> None:
        self._beats, self._others = beats, others
        self._parser = httptools.HttpRequestParser(self)
        self._transport: asyncio.Transport | None = None
        self._timer: asyncio.TimerHandle | None = None
        self._head_bytes: int | None = 0
        self._body_bytes = 0
        self._url = b""
        self._token = b""
        self._answered = False

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        assert isinstance(transport, asyncio.Transport)  # noqa: S101 - what a stream's loop gives
        self._transport = transport
        if len(self._others) >= AT_ONCE:
            transport.abort()
            return
        self._others.add(self)
        self._timer = asyncio.get_running_loop().call_later(ASKED_WITHIN_S, self.let_go)

    def connection_lost(self, exc: Exception | None) -> None:
        self._others.discard(self)
        if self._timer is not None:
            self._timer.cancel()

    def let_go(self) -> None:
        """Ends it at once."""
        if self._transport is not None:
            self._transport.abort()

    def data_received(self, data: bytes) -> None:
        if self._answered:
            return  # what comes after the request is nobody's, and bounded by the timer and by the socket
        if self._head_bytes is not None:
            self._head_bytes += len(data)
            if self._head_bytes > HEAD_BYTES + BODY_BYTES:
                self._answer(431)
                return
        try:
            self._parser.feed_data(data)
        except (httptools.HttpParserError, httptools.HttpParserUpgrade):
            self._answer(400)

    def on_url(self, url: bytes) -> None:
        self._url += url
        if len(self._url) > HEAD_BYTES:
            self._answer(431)

    def on_header(self, name: bytes, value: bytes) -> None:
        if name.lower() == b"authorization" and value[:7].lower() == b"bearer ":
            self._token = value[7:].strip()

    def on_headers_complete(self) -> None:
        self._head_bytes = None

    def on_body(self, data: bytes) -> None:
        self._body_bytes += len(data)
        if self._body_bytes > BODY_BYTES:
            self._answer(413)

    def on_message_complete(self) -> None:
        if self._answered:
            return
        job = self._url.removeprefix(_PATH).decode("latin-1")
        if not self._url.startswith(_PATH):
            self._answer(404)
        elif self._parser.get_method() not in (b"GET", b"POST"):
            self._answer(405)
        else:
            self._answer(200 if self._beats.beat(job, self._token) else 403)

    def _answer(self, status: int) -> None:
        """Answers once, and hangs up."""
        if self._answered or self._transport is None:
            return
        self._answered = True
        body = {200: "heard\n", 403: "no such job with that token\n"}.get(status, _WORDS[status].lower() + "\n")
        head = f"HTTP/1.1 {status} {_WORDS[status]}\r\nContent-Type: text/plain\r\nContent-Length: {len(body)}\r\n"
        self._transport.write(f"{head}Connection: close\r\n\r\n{body}".encode("ascii"))
        self._transport.close()
