"""Kind `tcp`: the target takes a connection."""

from __future__ import annotations

from binome.core.target import Target
from binome.drivers.probe.shared.findings import timed, up
from binome.drivers.probe.shared.reach import Reach
from binome.drivers.probe.shared.talk import talking
from binome.ports import Finding, Surroundings


class TcpProbe:
    """A `Probe` that connects and hangs up."""

    def __init__(self, surroundings: Surroundings) -> None:
        self._clock = surroundings.clock
        self._reach = Reach(surroundings.named)

    async def look(self, target: Target) -> Finding:
        """Up when the target takes the connection, whatever it says then."""
        return await timed(target, self._clock, self._ask(target))

    async def _ask(self, target: Target) -> Finding:
        address = await self._reach.address_of(target.address)
        async with talking(address, target.port):
            return up("it takes the connection")
