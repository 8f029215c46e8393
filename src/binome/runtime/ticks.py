"""Ticks: what a lookout does again and again it does at the same moments, so that it wakes once for all of it.

A process that wakes finds its caches cold; to wake costs about as much as what a tick then does. So the beats, the
looking for silence, the pages and the prober's looks share one row of moments, 50 ms apart on the monotonic clock. A
period is a multiple of that, and is kept on the average exactly: no tick moves because the one before took its time.
Each lookout has a row of its own, by its name, so that those of one machine (a lab) do not all wake at once.

Whoever waits first sleeps, and wakes the others who wait for the same moment.
"""

from __future__ import annotations

import asyncio
from zlib import crc32

from binome.ports import Clock

TICK_S = 0.05
_EARLY_S = 0.002
"""A timer may go off so much before its time: what then is asked for is not the same moment again."""


class Ticks:
    """The ticks of the lookout `name`."""

    def __init__(self, clock: Clock, name: str = "") -> None:
        self._clock = clock
        self._begin_s = crc32(name.encode()) % 1000 / 1000 * TICK_S
        self._waiting: dict[int, list[asyncio.Future[None]]] = {}  # number of a tick → who waits behind the first

    def coming_s(self) -> float:
        """When the next tick is, by the monotonic clock."""
        return self._at_s(self._number(1))

    async def next(self, every: int = 1) -> None:
        """Returns at the next tick whose number is a multiple of `every`; sooner where who sleeps is cancelled."""
        number = self._number(every)
        others = self._waiting.get(number)
        if others is not None:
            mine = asyncio.get_running_loop().create_future()
            others.append(mine)
            await mine
            return
        others = self._waiting[number] = []
        try:
            await self._clock.sleep(self._at_s(number) - self._clock.monotonic_s())
        finally:
            del self._waiting[number]
            for one in others:
                if not one.done():
                    one.set_result(None)

    def _number(self, every: int) -> int:
        period_s = every * TICK_S
        return every * (int((self._clock.monotonic_s() - self._begin_s + _EARLY_S) / period_s) + 1)

    def _at_s(self, number: int) -> float:
        return self._begin_s + number * TICK_S
