"""Kind `tls`: the target's certificate is believed: its chain, its name, its days.

host      the name that it must be for; the target's address unless given
ca        a file of authorities instead of the system's
days      how many days it must still be good for; none unless given
cert, key files of a certificate of ours, for a target that asks for one
"""

from __future__ import annotations

import ssl

from binome.core.target import Target
from binome.drivers.probe.shared.findings import Details, WrongError, timed, up
from binome.drivers.probe.shared.reach import Reach
from binome.drivers.probe.shared.stream import connected
from binome.drivers.probe.shared.tls import context
from binome.ports import Finding, Surroundings

_DAY_MS = 86_400_000


class TlsProbe:
    """A `Probe` that shakes hands and hangs up."""

    def __init__(self, surroundings: Surroundings) -> None:
        self._clock = surroundings.clock
        self._reach = Reach(surroundings.named)

    async def look(self, target: Target) -> Finding:
        """Up when the certificate is good, now and for as many days as it should be; details: `days_left`."""
        return await timed(target, self._clock, self._ask(target))

    async def _ask(self, target: Target) -> Finding:
        address = await self._reach.address_of(target.address)
        name = str(target.options.get("host", target.address))
        tls = context(*(str(target.options.get(key, "")) for key in ("ca", "cert", "key")))
        async with connected(address, target.port, tls, name) as (_, writer):
            certificate = writer.get_extra_info("peercert") or {}
        ends_ms = ssl.cert_time_to_seconds(str(certificate["notAfter"])) * 1000
        days = (ends_ms - self._clock.now_ms()) // _DAY_MS
        least = int(target.options.get("days", 0))
        details: Details = {"days_left": days, "ends": str(certificate["notAfter"])}
        if days < least:
            raise WrongError(f"its certificate ends in {days} days, and should be good for {least}")
        return up(f"its certificate is good for {days} days", details)
