"""Knocking: whether anything at all lives in a site whose lookouts say nothing.

A connection to every port that is looked at there, all at once. An answer of any kind, a refusal too, means that the
host lives, and then its silence has another cause than a fire. Knocks go on for as long as the site is missed.
"""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Iterable, Mapping
from contextlib import suppress

from binome.ports import Clock

KNOCK_S = 0.2
"""How long one waits at a door."""
PAUSE_S = 0.1

Door = tuple[str, int]
"""An address and a port."""


async def answers(address: str, port: int) -> bool:
    """Whether anything answers at a door within `KNOCK_S`; a refusal is an answer."""
    try:
        async with asyncio.timeout(KNOCK_S):
            _, writer = await asyncio.open_connection(address, port)
    except ConnectionRefusedError:
        return True
    except OSError:  # nobody, or no way there
        return False
    writer.close()
    with suppress(OSError):
        await writer.wait_closed()
    return True


Knock = Callable[[str, int], Awaitable[bool]]
"""Knocks once at an address and a port, as `answers` does; the simulation has doors of its own."""


class Knocks:
    """Knocks at the sites that `at` names, at these doors of theirs."""

    def __init__(self, doors: Mapping[str, Iterable[Door]], clock: Clock, knock: Knock = answers) -> None:
        self._doors = {site: tuple(there) for site, there in doors.items()}
        self._clock, self._answers = clock, knock
        self._tasks: dict[str, asyncio.Task[None]] = {}
        self.answered: dict[str, bool] = {}
        """Of the sites that were knocked at to the end: whether anything answered the last time."""

    def at(self, sites: Iterable[str]) -> None:
        """Knocks at these sites from now on, and at no others."""
        wanted = {site for site in sites if site in self._doors}
        for site in self._tasks.keys() - wanted:
            self._tasks.pop(site).cancel()
            self.answered.pop(site, None)
        for site in wanted - self._tasks.keys():
            self._tasks[site] = asyncio.ensure_future(self._knock(site))

    def close(self) -> None:
        """Knocks nowhere any more."""
        self.at(())

    async def _knock(self, site: str) -> None:
        while True:
            found = await asyncio.gather(*(self._answers(*door) for door in self._doors[site]))
            self.answered[site] = any(found)
            await self._clock.sleep(PAUSE_S)
