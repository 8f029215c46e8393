"""Readiness of many short-lived sockets, for less than the loop's own.

The loop's selector is asked four times about a connection that is written to once and read once, and makes a handle for
each event. Here each socket is registered once, for everything and edge by edge, with an epoll of ours, and that one is
a single descriptor to the loop. Closing a socket takes it out. An edge is told once: whoever is told reads until there
is no more, or has had enough.
"""

from __future__ import annotations

import asyncio
import select
import socket
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from weakref import WeakKeyDictionary

_EVERYTHING = select.EPOLLIN | select.EPOLLOUT | select.EPOLLRDHUP | select.EPOLLET
_AT_ONCE = 256

_watchers: WeakKeyDictionary[asyncio.AbstractEventLoop, _Watcher] = WeakKeyDictionary()


@contextmanager
def watching(loop: asyncio.AbstractEventLoop, connection: socket.socket, ready: Callable[[], None]) -> Iterator[None]:
    """Calls `ready` whenever something happened on a socket, until the block ends; close the socket then.

    Raises OSError where there is no descriptor left for the first.
    """
    watcher = _watchers.get(loop)
    if watcher is None:
        watcher = _watchers[loop] = _Watcher(loop)
    number = connection.fileno()
    watcher.ready[number] = ready
    try:
        watcher.poll.register(number, _EVERYTHING)
        yield
    finally:
        del watcher.ready[number]


class _Watcher:
    """The sockets of one loop."""

    def __init__(self, loop: asyncio.AbstractEventLoop) -> None:
        self.ready: dict[int, Callable[[], None]] = {}
        self.poll = select.epoll()
        loop.add_reader(self.poll.fileno(), self._told)

    def _told(self) -> None:
        for number, _ in self.poll.poll(0, _AT_ONCE):
            ready = self.ready.get(number)
            if ready is not None:
                ready()
