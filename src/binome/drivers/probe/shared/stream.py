"""A connection of its own for probes that speak a few bytes, closed at once however the look ends."""

from __future__ import annotations

import asyncio
import ssl
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

_HELD_BYTES = 64 << 10


@asynccontextmanager
async def connected(
    address: str, port: int, tls: ssl.SSLContext | None = None, name: str = ""
) -> AsyncIterator[tuple[asyncio.StreamReader, asyncio.StreamWriter]]:
    """A stream to an IP address, which is never resolved; with `tls` its certificate must be good for `name`.

    Raises OSError. What is unread is held up to 64 KiB, then the other side waits.
    """
    server_name = (name or address) if tls else None
    reader, writer = await asyncio.open_connection(
        address, port, limit=_HELD_BYTES // 2, ssl=tls, server_hostname=server_name
    )
    try:
        yield reader, writer
    finally:
        writer.transport.abort()
