"""A small HTTP listener that takes little from anybody: what stands where others reach it must not be held up by them.

One request a connection, 8 KiB of head, 4 KiB of body (which nobody reads), five seconds from the first word to the
last of the answer, and a bounded number of connections; whoever comes beyond them, or from an address that is not let
in, is hung up on without a word. What is asked and what is answered are a function, and nothing of HTTP is in it.
"""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from typing import NamedTuple, cast

import httptools

HEAD_BYTES = 8 << 10
BODY_BYTES = 4 << 10
ASKED_WITHIN_S = 5.0
AT_ONCE = 256
"""Connections that are served at the same time, unless a listener takes fewer."""

PLAIN = "text/plain"

_WORDS = {
    200: "OK",
    400: "Bad Request",
    403: "Forbidden",
    404: "Not Found",
    405: "Method Not Allowed",
    413: "Content Too Large",
    431: "Request Header Fields Too Large",
    500: "Internal Server Error",
}


class Request(NamedTuple):
    """What is asked: the method, the target as it was sent, and the token of an `Authorization: Bearer`."""

    method: bytes
    target: bytes
    token: bytes


class Answer(NamedTuple):
    """What is answered: one of the statuses above. Without a `body` it is the status in words."""

    status: int
    body: bytes | None = None
    content: str = PLAIN


Answering = Callable[[Request], Answer | Awaitable[Answer]]
"""Answers a request. It is called in the loop, and holds up everything else there: what takes long is awaited."""


class Listener:
    """The listener, and the connections that are open."""

    def __init__(
        self, answering: Answering, *, admits: Callable[[str], bool] = lambda _: True, at_once: int = AT_ONCE
    ) -> None:
        """`admits` says of an IP address whether who comes from there is let in."""
        self.port = 0
        self.answering, self.admits, self.at_once = answering, admits, at_once
        self._open: set[_Connection] = set()
        self._listening: asyncio.Server | None = None

    async def open(self, address: str, port: int) -> None:
        """Begins to listen; port 0 takes any that is free. Raises OSError."""
        loop = asyncio.get_running_loop()
        self._listening = await loop.create_server(lambda: _Connection(self, self._open), address, port)
        self.port = self._listening.sockets[0].getsockname()[1]

    async def keep_open(self, address: str, port: int) -> None:
        """Listens until it is cancelled. Raises OSError where that cannot be."""
        await self.open(address, port)
        try:
            await asyncio.get_running_loop().create_future()
        finally:
            self.close()

    def close(self) -> None:
        """Ends it, and whoever is being served."""
        if self._listening is not None:
            self._listening.close()
        for one in tuple(self._open):
            one.let_go()


class _Connection(asyncio.Protocol):
    """One request, one answer."""

    def __init__(self, listener: Listener, others: set[_Connection]) -> None:
        self._listener, self._others = listener, others
        self._parser = httptools.HttpRequestParser(self)
        self._transport: asyncio.Transport | None = None
        self._timer: asyncio.TimerHandle | None = None
        self._head_bytes: int | None = 0
        self._body_bytes = 0
        self._url = b""
        self._token = b""
        self._answered = False
        self._waiting: asyncio.Task[None] | None = None

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self._transport = cast("asyncio.Transport", transport)  # which uvloop's is, though not by its class
        address = transport.get_extra_info("peername") or ("",)  # none where he has gone already
        if len(self._others) >= self._listener.at_once or not self._listener.admits(address[0]):
            self.let_go()
            return
        self._others.add(self)
        self._timer = asyncio.get_running_loop().call_later(ASKED_WITHIN_S, self.let_go)

    def connection_lost(self, exc: Exception | None) -> None:
        self._others.discard(self)
        if self._waiting is not None:
            self._waiting.cancel()
        if self._timer is not None:
            self._timer.cancel()

    def let_go(self) -> None:
        """Ends it at once."""
        if self._transport is not None:
            self._transport.abort()

    def data_received(self, data: bytes) -> None:
        if self._answered or self._waiting is not None:
            return  # what comes after the request is nobody's, and bounded by the timer and by the socket
        if self._head_bytes is not None:
            self._head_bytes += len(data)
            if self._head_bytes > HEAD_BYTES + BODY_BYTES:
                self._answer(Answer(431))
                return
        try:
            self._parser.feed_data(data)
        except (httptools.HttpParserError, httptools.HttpParserUpgrade):
            self._answer(Answer(400))

    def on_url(self, url: bytes) -> None:
        self._url += url
        if len(self._url) > HEAD_BYTES:
            self._answer(Answer(431))

    def on_header(self, name: bytes, value: bytes) -> None:
        if name.lower() == b"authorization" and value[:7].lower() == b"bearer ":
            self._token = value[7:].strip()

    def on_headers_complete(self) -> None:
        self._head_bytes = None

    def on_body(self, data: bytes) -> None:
        self._body_bytes += len(data)
        if self._body_bytes > BODY_BYTES:
            self._answer(Answer(413))

    def on_message_complete(self) -> None:
        if self._answered or self._waiting is not None:
            return
        answer: Answer | Awaitable[Answer]
        try:
            answer = self._listener.answering(Request(self._parser.get_method(), self._url, self._token))
        except Exception:  # a question must not end what it asks about
            answer = Answer(500)
        if isinstance(answer, Answer):
            self._answer(answer)
        else:
            self._waiting = asyncio.ensure_future(self._answer_later(answer))

    async def _answer_later(self, answer: Awaitable[Answer]) -> None:
        try:
            self._answer(await answer)
        except Exception:
            self._answer(Answer(500))

    def _answer(self, answer: Answer) -> None:
        """Answers once, and hangs up; the timer goes on, for who takes the answer too slowly."""
        if self._answered or self._transport is None:
            return
        self._answered = True
        status, words = answer.status, _WORDS[answer.status]
        body = answer.body if answer.body is not None else f"{words.lower()}\n".encode()
        head = f"HTTP/1.1 {status} {words}\r\nContent-Type: {answer.content}\r\nContent-Length: {len(body)}\r\n"
        self._transport.write(f"{head}Connection: close\r\n\r\n".encode("ascii") + body)
        self._transport.close()
