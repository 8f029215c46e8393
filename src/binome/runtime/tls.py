"""TLS over a TCP transport, by OpenSSL in memory.

asyncio's own TLS drops the alert with which OpenSSL says why a handshake failed: the one who was refused would see no
more than a connection that ends. Here all that OpenSSL has to say is sent before anything is closed.

A lookout takes and gives a hundred records a second for as long as it runs, each a few dozen bytes. So nothing is made
for a record that is not needed for it: no stream in between; no timer, but one that looks again when it goes off; no
question to OpenSSL where nothing has come; and no waiting where the transport takes what it is given.
"""

from __future__ import annotations

import asyncio
import ssl
from collections.abc import Callable
from contextlib import suppress
from typing import cast

_CHUNK_BYTES = 64 << 10
_HELD_BYTES = 128 << 10
"""So much may have come that nobody has asked for yet; then the other side waits."""


class LateError(Exception):
    """What was waited for did not come in time."""


class Tls(asyncio.Protocol):
    """One side of a connection: of who dials where `server` is given, else of who listens.

    It is the protocol of a transport; `met` is called with it when that is connected. One reader at a time.
    """

    def __init__(
        self, context: ssl.SSLContext, server: str | None = None, met: Callable[[Tls], None] = lambda _tls: None
    ) -> None:
        self._met = met
        self._in, self._out = ssl.MemoryBIO(), ssl.MemoryBIO()
        self._tls = context.wrap_bio(self._in, self._out, server_side=server is None, server_hostname=server)
        self._plain = bytearray()
        self.heard = False
        """Whether the other side has sent anything at all."""
        self._ended: OSError | None = None
        self._loop = asyncio.get_running_loop()
        self._is_held = False  # the transport was told to read no more
        self._news: asyncio.Future[None] | None = None  # of who waits for more to read
        self._until_s: float | None = None  # how long he does, by the loop's time
        self._timer: asyncio.TimerHandle | None = None
        self._room: asyncio.Future[None] | None = None  # there while the transport takes no more

    # -- of the transport

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """The transport is connected."""
        self.transport = cast("asyncio.Transport", transport)  # which uvloop's is, though not by its class
        self._met(self)

    def data_received(self, data: bytes) -> None:
        """The other side has sent something."""
        self.heard = True
        self._in.write(data)
        if self._in.pending > _HELD_BYTES:
            self._held()
        self._wake()

    def eof_received(self) -> None:
        """The other side sends no more."""
        self._end(ConnectionError())

    def connection_lost(self, exc: Exception | None) -> None:
        """There is no connection any more."""
        self._end(exc if isinstance(exc, OSError) else ConnectionError())
        self.resume_writing()
        if self._timer is not None:
            self._timer.cancel()

    def pause_writing(self) -> None:
        """The transport holds enough that the other side does not take."""
        self._room = self._room or self._loop.create_future()

    def resume_writing(self) -> None:
        """The transport takes more again, or never will."""
        room, self._room = self._room, None
        if room is not None and not room.done():
            room.set_result(None)

    # -- of who uses it

    async def handshake(self) -> None:
        """Returns when both sides have agreed. Raises OSError; its kind `ssl.SSLError` says why they have not."""
        while True:
            try:
                self._tls.do_handshake()
            except ssl.SSLWantReadError:
                self._flush()
                await self._more(None)
            except ssl.SSLError:
                self._flush()  # the alert
                raise
            else:
                self._flush()
                return

    def certificate(self) -> bytes | None:
        """What the other side has shown, in DER."""
        return self._tls.getpeercert(binary_form=True)

    async def read_exactly(self, count: int, until_s: float | None = None) -> bytes:
        """So many bytes, by `until_s` of the loop's time. Raises OSError, also where it ends before, or LateError."""
        while len(self._plain) < count:
            if not self._decrypt():
                await self._more(until_s)
        found = bytes(self._plain[:count])
        del self._plain[:count]
        return found

    def write(self, data: bytes) -> None:
        """Hands over what is to be sent; `drain` waits where that is too much. Raises OSError."""
        rest = memoryview(data)
        while rest:
            rest = rest[self._tls.write(rest) :]
        self._flush()

    @property
    def is_full(self) -> bool:
        """Whether the other side has not taken enough of what it was sent."""
        return self._room is not None

    async def drain(self) -> None:
        """Waits while that is so. Raises OSError."""
        if self._room is not None:
            await asyncio.shield(self._room)
        if self._ended is not None:
            raise self._ended

    def hold(self) -> bool:
        """Takes no more from the other side until that is waited for; False where something is there already."""
        if self._in.pending or self._plain or self._ended is not None:
            return False
        self._held()
        return True

    def close(self) -> None:
        """Ends it, with a word to the other side."""
        with suppress(OSError):
            self._tls.unwrap()
        self._flush()
        self.transport.close()

    # -- within

    def _held(self) -> None:
        if not self._is_held and not self.transport.is_closing():
            self._is_held = True
            self.transport.pause_reading()

    def _decrypt(self) -> bool:
        """Whether there was something to read. Raises OSError."""
        if not self._in.pending:
            return False
        try:
            chunk = self._tls.read(_CHUNK_BYTES)  # a record, which holds less
        except ssl.SSLWantReadError:
            self._flush()
            return False
        if not chunk:
            raise ConnectionError
        self._plain += chunk
        return True

    async def _more(self, until_s: float | None) -> None:
        """Returns when something has come. Raises OSError where nothing will, and LateError."""
        if self._ended is not None:
            raise self._ended
        if self._is_held:
            self._is_held = False
            if not self.transport.is_closing():
                self.transport.resume_reading()
        self._news, self._until_s = self._loop.create_future(), until_s
        if until_s is not None and self._timer is None:
            self._timer = self._loop.call_at(until_s, self._look)
        try:
            await self._news
        finally:
            self._news = None

    def _look(self) -> None:
        """The time of some wait is over; perhaps not that of this one."""
        self._timer = None
        if self._news is None or self._news.done() or self._until_s is None:
            return
        if self._loop.time() >= self._until_s:
            self._news.set_exception(LateError())
        else:
            self._timer = self._loop.call_at(self._until_s, self._look)

    def _wake(self) -> None:
        if self._news is not None and not self._news.done():
            self._news.set_result(None)

    def _end(self, error: OSError) -> None:
        self._ended = self._ended or error
        self._wake()

    def _flush(self) -> None:
        if self._out.pending and not self.transport.is_closing():
            self.transport.write(self._out.read())
