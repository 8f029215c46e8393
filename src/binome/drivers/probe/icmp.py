"""Kind `icmp`: the target's kernel answers an echo request.

One raw socket for each version of IP serves all targets (where there is no right to raw sockets, one of ICMP's own),
with room for the answers of thousands: a full receive buffer would drop them, and call servers dead. An answer that
comes too late is nobody's: requests are forgotten some seconds after their look ended.
"""

from __future__ import annotations

import asyncio
from typing import Protocol

from gufo.ping.socket import PingSocket, SelectionPolicy

from binome.core.target import Target
from binome.drivers.probe.shared.findings import NotAskedError, has_route, timed, up
from binome.drivers.probe.shared.reach import Reach
from binome.ports import Finding, Surroundings

RECEIVE_BUFFER_BYTES = 8 << 20
_FORGET_AFTER_S = 5.0


class Pinger(Protocol):
    """As much of gufo-ping's socket as we use."""

    async def ping(self, addr: str, size: int | None = None) -> float | None:
        """Seconds of the way there and back; None where nothing came back, or nothing could be sent."""


def opened(version: int) -> Pinger:
    """A socket for one version of IP. Raises OSError."""
    return PingSocket(
        version, SelectionPolicy.RAW_DGRAM, timeout=_FORGET_AFTER_S, recv_buffer_size=RECEIVE_BUFFER_BYTES
    )


class IcmpProbe:
    """A `Probe` that sends one echo request a look."""

    def __init__(self, surroundings: Surroundings) -> None:
        self._clock = surroundings.clock
        self._reach = Reach(surroundings.named)
        self._sockets: dict[int, Pinger] = {}
        self._asked: set[asyncio.Task[float | None]] = set()

    async def look(self, target: Target) -> Finding:
        """Up when the echo came back in time."""
        return await timed(target, self._clock, self._ask(target))

    async def _ask(self, target: Target) -> Finding:
        address = await self._reach.address_of(target.address)
        version = 6 if ":" in address else 4
        if version not in self._sockets:
            self._sockets[version] = opened(version)
        request = asyncio.ensure_future(self._sockets[version].ping(address))
        self._asked.add(request)  # the look may end before it: cancelled, it would break the socket's reading of others
        request.add_done_callback(self._asked.discard)
        seconds = await asyncio.shield(request)
        if seconds is not None:
            return up(f"echo after {seconds * 1000:.1f} ms", {"echo_ms": round(seconds * 1000, 3)})
        if has_route(address):
            raise NotAskedError("this server could not send")
        raise NotAskedError("this server has no route to it")
