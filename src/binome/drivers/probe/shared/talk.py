"""A few bytes to and from a target on a plain socket of our own, for a third of what a stream takes (watcher.py)."""

from __future__ import annotations

import asyncio
import errno
import os
import socket
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

from binome.drivers.probe.shared.watcher import watching

_READ_BYTES = 4 << 10


class Talk:
    """One connection. It waits for ever, so that its caller bounds it; one waits at a time."""

    def __init__(self, loop: asyncio.AbstractEventLoop, connection: socket.socket) -> None:
        self._loop, self._socket = loop, connection
        self._held = bytearray()
        self._happened = False
        self._waiting: asyncio.Future[None] | None = None

    def send(self, data: bytes) -> None:
        """Sends something short. Raises OSError."""
        if self._socket.send(data) < len(data):  # a fresh connection holds far more
            raise OSError(errno.EAGAIN, os.strerror(errno.EAGAIN))

    async def read_exactly(self, count: int) -> bytes:
        """So many bytes. Raises OSError, and EOFError where it ends before."""
        while len(self._held) < count:
            await self._read()
        found = bytes(self._held[:count])
        del self._held[:count]
        return found

    async def read_some(self, most: int) -> bytes:
        """What there is, once there is something. Raises OSError and EOFError."""
        if not self._held:
            await self._read()
        found = bytes(self._held[:most])
        del self._held[:most]
        return found

    async def stands(self) -> None:
        """Returns when it is connected. Raises OSError."""
        await self._event()
        number = self._socket.getsockopt(socket.SOL_SOCKET, socket.SO_ERROR)
        if number:
            raise OSError(number, os.strerror(number))

    def ready(self) -> None:
        """Something has happened on the socket (`watching`)."""
        self._happened = True
        if self._waiting is not None and not self._waiting.done():
            self._waiting.set_result(None)

    async def _read(self) -> None:
        while True:
            self._happened = False  # what happens from here on is news
            try:
                data = self._socket.recv(_READ_BYTES)
            except BlockingIOError:
                await self._event()
                continue
            if not data:
                raise EOFError
            self._held += data
            return

    async def _event(self) -> None:
        while not self._happened:
            self._waiting = self._loop.create_future()
            await self._waiting


@asynccontextmanager
async def talking(address: str, port: int) -> AsyncIterator[Talk]:
    """A connection to an IP address, closed at once however the look ends. Raises OSError."""
    loop = asyncio.get_running_loop()
    family = socket.AF_INET6 if ":" in address else socket.AF_INET
    with socket.socket(family, socket.SOCK_STREAM | socket.SOCK_NONBLOCK) as connection:
        number = connection.connect_ex((address, port))
        if number not in (0, errno.EINPROGRESS):
            raise OSError(number, os.strerror(number))
        talk = Talk(loop, connection)
        with watching(loop, connection, talk.ready):
            await talk.stands()
            yield talk
