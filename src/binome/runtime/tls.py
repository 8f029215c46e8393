"""TLS over a plain asyncio stream, by OpenSSL in memory.

asyncio's own TLS drops the alert with which OpenSSL says why a handshake failed: the one who was refused would see no
more than a connection that ends. Here all that OpenSSL has to say is sent before anything is closed.
"""

from __future__ import annotations

import asyncio
import ssl
from contextlib import suppress

_CHUNK_BYTES = 64 << 10


class Tls:
    """One side of a connection: of who dials where `server` is given, else of who listens."""

    def __init__(
        self,
        reader: asyncio.StreamReader,
        writer: asyncio.StreamWriter,
        context: ssl.SSLContext,
        server: str | None = None,
    ) -> None:
        self._reader, self._writer = reader, writer
        self._in, self._out = ssl.MemoryBIO(), ssl.MemoryBIO()
        self._tls = context.wrap_bio(self._in, self._out, server_side=server is None, server_hostname=server)
        self._plain = bytearray()
        self.heard = False
        """Whether the other side has sent anything at all."""

    async def handshake(self) -> None:
        """Returns when both sides have agreed. Raises OSError; its kind `ssl.SSLError` says why they have not."""
        while True:
            try:
                self._tls.do_handshake()
            except ssl.SSLWantReadError:
                await self._more()
            except ssl.SSLError:
                self._flush()  # the alert
                raise
            else:
                self._flush()
                return

    def certificate(self) -> bytes | None:
        """What the other side has shown, in DER."""
        return self._tls.getpeercert(binary_form=True)

    async def read_exactly(self, count: int) -> bytes:
        """So many bytes. Raises OSError, also where the connection ends before."""
        while len(self._plain) < count:
            try:
                chunk = self._tls.read(_CHUNK_BYTES)
            except ssl.SSLWantReadError:
                await self._more()
                continue
            if not chunk:
                raise ConnectionError
            self._plain += chunk
        found = bytes(self._plain[:count])
        del self._plain[:count]
        return found

    def write(self, data: bytes) -> None:
        """Hands over what is to be sent; `drain` waits where that is too much. Raises OSError."""
        rest = memoryview(data)
        while rest:
            rest = rest[self._tls.write(rest) :]
        self._flush()

    async def drain(self) -> None:
        """Waits until the other side has taken enough. Raises OSError."""
        await self._writer.drain()

    def close(self) -> None:
        """Ends it, with a word to the other side."""
        with suppress(OSError):
            self._tls.unwrap()
        self._flush()
        self._writer.close()

    async def _more(self) -> None:
        self._flush()
        data = await self._reader.read(_CHUNK_BYTES)
        if not data:
            raise ConnectionError
        self.heard = True
        self._in.write(data)

    def _flush(self) -> None:
        if self._out.pending and not self._writer.is_closing():
            self._writer.write(self._out.read())
