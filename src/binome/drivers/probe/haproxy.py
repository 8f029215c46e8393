"""Kind `haproxy`: HAProxy gives its statistics; the state of its backends and their servers is in the details.

It asks the small listener that Binôme renders into every edge (render/haproxy.py), which shows and changes nothing.
A thorough look takes the addresses of the servers as well, which the listener shows, and asks for the clock.
(HAProxy's Management Guide, "Statistics and monitoring", CSV format.)
"""

from __future__ import annotations

import csv

from binome.core.target import Target
from binome.drivers.probe.shared.findings import Details, WrongError, printable, timed, up
from binome.drivers.probe.shared.http_client import Request, exchange
from binome.drivers.probe.shared.reach import Reach
from binome.drivers.probe.shared.thorough import clock_of, thoroughly
from binome.ports import Finding, Surroundings

_MOST_SERVERS = 1000


class HaproxyProbe:
    """A `Probe` that reads the statistics as CSV."""

    def __init__(self, surroundings: Surroundings) -> None:
        self._clock = surroundings.clock
        self._reach = Reach(surroundings.named)

    async def look(self, target: Target) -> Finding:
        """Up when there are statistics; details: `BACKEND` and `BACKEND/SERVER`, each with its state.

        Of a thorough look besides: `BACKEND/SERVER/address`, with the port; `clock_least_ms`, `clock_most_ms`.
        """
        found = await timed(target, self._clock, self._ask(target))
        return await thoroughly(found, target, [lambda: self._time(target)])

    async def _request(self, target: Target) -> Request:
        path = str(target.options.get("path", "/stats;csv"))
        return Request(await self._reach.address_of(target.address), target.port, target.address, path)

    async def _time(self, target: Target) -> Details:
        return await clock_of(await self._request(target), self._clock)()

    async def _ask(self, target: Target) -> Finding:
        response = await exchange(await self._request(target))
        if response.status != 200:
            raise WrongError(f"{response.status} {response.reason}")
        text = response.body.decode("utf-8", "backslashreplace")
        states = _states(text, addresses=bool(target.options.get("thorough")))
        backends = [key for key in states if "/" not in key]
        down = [key for key in backends if not states[key].startswith("UP")]
        words = f"{len(backends) - len(down)} of {len(backends)} backends are up"
        return up(words + (f"; down: {', '.join(down)}" if down else ""), states)


def _states(text: str, *, addresses: bool) -> dict[str, str]:
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
            if addresses and server != "BACKEND" and row.get("addr"):
                states[printable(f"{key}/address")] = printable(str(row["addr"]))
    except csv.Error as error:
        raise WrongError(f"no statistics: {error}") from None
    return states
