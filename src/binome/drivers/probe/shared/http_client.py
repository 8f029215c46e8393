"""One HTTP exchange on a connection of its own, bounded in every direction, and cheap: there are thousands a second.

A plain exchange drives its socket itself (shared/watcher.py): a transport and its protocol cost half as much again
(docs/adr/0032). TLS needs a transport. Both feed the same answer, which ends

    whole       when the message does
    cut         after `most_bytes` of its body, or 64 KiB more with frames of chunks and trailers: enough is
                known, and what has no end must not fill our memory
    by WrongError    after 64 KiB of head, at what is no HTTP, at an end in its middle

Whoever sends without end is read in turns: a target that never pauses must not keep the loop from all others.

The connection is reset when we have what we want, so that no port of ours waits for a minute afterwards.
"""

from __future__ import annotations

import asyncio
import errno
import os
import socket
import ssl
import struct
from typing import NamedTuple, cast

import httptools

from binome.drivers.probe.shared.findings import WrongError, printable
from binome.drivers.probe.shared.watcher import watching

HEAD_BYTES = 64 << 10
BODY_BYTES = 1 << 20
FRAME_BYTES = 64 << 10
_READ_BYTES = 16 << 10
_READS_A_TURN = 4
_RESET = struct.pack("ii", 1, 0)


class Request(NamedTuple):
    """What is asked of whom. `address` is an IP address; `tls` a context, and `host` the name in the certificate."""

    address: str
    port: int
    host: str
    path: str = "/"
    tls: ssl.SSLContext | None = None
    body: bytes | None = None
    most_bytes: int = BODY_BYTES

    def head(self) -> bytes:
        """The bytes that are sent."""
        host = f"[{self.host}]" if ":" in self.host else self.host
        if self.port != (443 if self.tls else 80):
            host = f"{host}:{self.port}"
        method, more = ("GET", "") if self.body is None else ("POST", f"Content-Length: {len(self.body)}\r\n")
        text = (
            f"{method} {self.path} HTTP/1.1\r\nHost: {host}\r\nUser-Agent: binome\r\nAccept: */*\r\n{more}"
            "Connection: close\r\n\r\n"
        )
        return text.encode("ascii") + (self.body or b"")


class Response(NamedTuple):
    """What was answered. Names of headers are in lower case; `whole` says whether the body is all of it."""

    status: int
    reason: str
    headers: dict[str, str]
    body: bytes
    whole: bool


async def exchange(request: Request) -> Response:
    """Asks, and gives the answer. Raises WrongError and OSError; waits for ever, so that its caller bounds it."""
    loop = asyncio.get_running_loop()
    answer = _Answer(loop.create_future(), request.most_bytes)
    if request.tls is not None:
        transport, _ = await loop.create_connection(
            lambda: _Encrypted(answer, request.head()),
            request.address,
            request.port,
            ssl=request.tls,
            server_hostname=request.host,
        )
        try:
            return await answer.future
        finally:
            transport.abort()
    family = socket.AF_INET6 if ":" in request.address else socket.AF_INET
    with socket.socket(family, socket.SOCK_STREAM | socket.SOCK_NONBLOCK) as connection:
        connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, _RESET)
        number = connection.connect_ex((request.address, request.port))
        if number not in (0, errno.EINPROGRESS):
            raise OSError(number, os.strerror(number))
        with watching(loop, connection, _Plain(connection, answer, request.head()).ready):
            return await answer.future


class _Answer:
    """Collects what the parser finds. It never raises: the parser would dress the exception as one of its own."""

    __slots__ = (
        "_body",
        "_head_bytes",
        "_headers",
        "_most_bytes",
        "_parser",
        "_reason",
        "_size_bytes",
        "_taken_bytes",
        "future",
    )

    def __init__(self, future: asyncio.Future[Response], most_bytes: int) -> None:
        self.future = future
        self._most_bytes = most_bytes
        self._parser = httptools.HttpResponseParser(self)
        self._head_bytes: int | None = 0
        self._headers: list[tuple[bytes, bytes]] = []
        self._reason = b""
        self._body: list[bytes] = []
        self._size_bytes = 0
        self._taken_bytes = 0

    def feed(self, data: bytes) -> None:
        """Takes the next bytes of the target; none at its end."""
        if self.future.done():
            return
        if not data:
            self._ended()
            return
        try:
            self._parser.feed_data(data)
        except httptools.HttpParserUpgrade:
            self.on_message_complete()
        except httptools.HttpParserError:
            if not self.future.done():
                self.fail(WrongError(f"it does not speak HTTP: {printable(data[:60])}"))
        if self._head_bytes is not None:
            self._head_bytes += len(data)
            if self._head_bytes > HEAD_BYTES:
                self.fail(WrongError(f"more than {HEAD_BYTES >> 10} KiB of headers"))
        else:
            self._taken_bytes += len(data)
            if self._taken_bytes > self._most_bytes + FRAME_BYTES:
                self._finish(whole=False)

    def fail(self, error: Exception) -> None:
        """Ends it without an answer."""
        if not self.future.done():
            self.future.set_exception(error)

    def on_status(self, reason: bytes) -> None:
        """The parser's: the words after the status, or a part of them."""
        self._reason = (self._reason + reason)[:200]

    def on_header(self, name: bytes, value: bytes) -> None:
        """The parser's: one header."""
        self._headers.append((name, value))

    def on_headers_complete(self) -> None:
        """The parser's: the head has ended."""
        self._head_bytes = None

    def on_body(self, data: bytes) -> None:
        """The parser's: a part of the body."""
        self._body.append(data)
        self._size_bytes += len(data)
        if self._size_bytes > self._most_bytes:
            self._finish(whole=False)

    def on_message_complete(self) -> None:
        """The parser's: all is there."""
        self._finish(whole=True)

    def _finish(self, *, whole: bool) -> None:
        if self.future.done():
            return
        headers = {name.lower().decode("latin-1"): value.decode("latin-1") for name, value in self._headers}
        body = b"".join(self._body)[: self._most_bytes]
        status = self._parser.get_status_code()
        self.future.set_result(Response(status, self._reason.decode("latin-1"), headers, body, whole))

    def _ended(self) -> None:
        names = {name.lower() for name, _ in self._headers}
        if self._head_bytes is None and not names & {b"content-length", b"transfer-encoding"}:
            self._finish(whole=True)  # a body that its end ends
        elif self._head_bytes == 0:
            self.fail(WrongError("it closed the connection without an answer"))
        else:
            self.fail(WrongError("it closed the connection in the middle of its answer"))


class _Plain:
    """A connection without TLS: sends when it stands, then reads."""

    __slots__ = ("_answer", "_head", "_socket")

    def __init__(self, connection: socket.socket, answer: _Answer, head: bytes) -> None:
        self._socket, self._answer = connection, answer
        self._head: bytes | None = head

    def ready(self) -> None:
        """Something happened on the socket: told once for each time."""
        try:
            if self._head is not None and not self._sent(self._head):
                return
            for _ in range(_READS_A_TURN):
                if self._answer.future.done():
                    return
                self._answer.feed(self._socket.recv(_READ_BYTES))
            self._answer.future.get_loop().call_soon(self.ready)  # there may be more, of which nobody will tell
        except BlockingIOError:
            return
        except OSError as error:
            self._answer.fail(error)

    def _sent(self, head: bytes) -> bool:
        """Whether there may be something to read after this."""
        self._head = None
        number = self._socket.getsockopt(socket.SOL_SOCKET, socket.SO_ERROR)
        if number:
            self._answer.fail(OSError(number, os.strerror(number)))
        elif self._socket.send(head) < len(head):  # a fresh connection holds far more
            self._answer.fail(WrongError("it does not take the whole question"))
        return False


class _Encrypted(asyncio.Protocol):
    """A connection with TLS."""

    def __init__(self, answer: _Answer, head: bytes) -> None:
        self._answer, self._head = answer, head

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        cast("asyncio.Transport", transport).write(self._head)  # which uvloop's is, though not by its class

    def data_received(self, data: bytes) -> None:
        self._answer.feed(data)

    def connection_lost(self, exc: Exception | None) -> None:
        if exc is None:
            self._answer.feed(b"")
        else:
            self._answer.fail(exc)
