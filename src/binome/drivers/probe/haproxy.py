"""Kind `haproxy`: HAProxy gives its statistics; the state of its backends and their servers is in the details.

It asks the small listener that Binôme renders into every edge (render/haproxy.py), which shows and changes nothing.
(HAProxy's Management Guide, "Statistics and monitoring", CSV format.)
"""

from __future__ import annotations

import csv

from binome.core.target import Target
from binome.drivers.probe.shared.findings import WrongError, printable, timed, up
from binome.drivers.probe.shared.http_client import Request, exchange
from binome.drivers.probe.shared.reach import Reach
from binome.ports import Finding, Surroundings

_MOST_SERVERS = 1000


class HaproxyProbe:
    """A `Probe` that reads the statistics as CSV."""

    def __init__(self, surroundings: Surroundings) -> None:
        self._clock = surroundings.clock
        self._reach = Reach(surroundings.named)

    async def look(self, target: Target) -> Finding:
        """Up when there are statistics; details: `BACKEND` and `BACKEND/SERVER`, each with its state."""
        return await timed(target, self._clock, self._ask(target))

    async def _ask(self, target: Target) -> Finding:
        address = await self._reach.address_of(target.address)
        path = str(target.options.get("path", "/stats;csv"))
        response = await exchange(Request(address, target.port, target.address, path))
        if response.status != 200:
            raise WrongError(f"{response.status} {response.reason}")
        states = _states(response.body.decode("utf-8", "backslashreplace"))
        backends = [key for key in states if "/" not in key]
        down = [key for key in backends if not states[key].startswith("UP")]
        words = f"{len(backends) - len(down)} of {len(backends)} backends are up"
        return up(words + (f"; down: {', '.join(down)}" if down else ""), states)


def _states(text: str) -> dict[str, str]:
    """The state of each backend and of each server in it. Raises WrongError where the text is no statistics."""
    if not text.startswith("# pxname,svname,"):
        raise WrongError(f"no statistics: {printable(text[:60])}")
    states: dict[str, str] = {}
    try:
        for row in csv.DictReader(text[2:].splitlines()):
            proxy, server, state = (str(row.get(key) or "") for key in ("pxname", "svname", "status"))
            if not proxy or server == "FRONTEND" or len(states) >= _MOST_SERVERS:
                continue
            key = proxy if server == "BACKEND" else f"{proxy}/{server}"
            states[printable(key)] = printable(state)
    except csv.Error as error:
        raise WrongError(f"no statistics: {error}") from None
    return states
