"""Whether a lookout's server can be reached at all, told by its kernel, whatever the lookout itself does.

Three signs: it let us connect, it refused to, or it acknowledged something on a connection that is open. The third is
what the own kernel knows of TCP (`tcpi_last_ack_recv`); keep-alive probes, one a second, are acknowledged also by a
server on which every process stands still. So a lookout that is restarted, frozen, or of another version is reached,
and one behind a cut is not.
"""

from __future__ import annotations

import socket
import sys
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from binome.ports import Clock

NEVER_MS = 1 << 40
_LAST_ACK = slice(56, 60)
"""Where `tcpi_last_ack_recv` is in Linux's `struct tcp_info`, in milliseconds."""


class Reach:
    """The signs of all lookouts. `connected` and `refused` are called by whoever dials them (peer_tls.py)."""

    def __init__(self, clock: Clock) -> None:
        self._clock = clock
        self._signs_s: dict[str, float] = {}
        self._sockets: dict[str, socket.socket] = {}

    def connected(self, server: str, connection: socket.socket) -> None:
        """A connection is open; it is watched from now on instead of any earlier one."""
        self.refused(server)
        connection.setsockopt(socket.SOL_SOCKET, socket.SO_KEEPALIVE, 1)
        connection.setsockopt(socket.IPPROTO_TCP, socket.TCP_KEEPIDLE, 1)
        connection.setsockopt(socket.IPPROTO_TCP, socket.TCP_KEEPINTVL, 1)
        self._sockets[server] = connection

    def refused(self, server: str) -> None:
        """There is a server that says no: that is a sign as well."""
        self._signs_s[server] = self._clock.monotonic_s()

    def answered_ms(self, server: str) -> int:
        """Milliseconds since the last sign of a server."""
        sign_s = self._signs_s.get(server)
        since_ms = NEVER_MS if sign_s is None else round((self._clock.monotonic_s() - sign_s) * 1000)
        connection = self._sockets.get(server)
        if connection is not None and connection.fileno() != -1:
            try:
                known = connection.getsockopt(socket.IPPROTO_TCP, socket.TCP_INFO, _LAST_ACK.stop)[_LAST_ACK]
            except OSError:
                return since_ms
            since_ms = min(since_ms, int.from_bytes(known, sys.byteorder))
        return since_ms
