"""The clocks of this server, and the loop that waits by them."""

from __future__ import annotations

import asyncio
import time
from importlib import import_module


def new_event_loop() -> asyncio.AbstractEventLoop:
    """The loop of a process that runs for years: uvloop's where it is installed, which takes half of the processor."""
    try:
        loop: asyncio.AbstractEventLoop = import_module("uvloop").new_event_loop()
    except ImportError:
        return asyncio.new_event_loop()
    return loop


class SystemClock:
    """A `Clock` over the operating system's."""

    def now_ms(self) -> int:
        """Milliseconds since 1970, as this server believes."""
        return time.time_ns() // 1_000_000

    def monotonic_s(self) -> float:
        """Seconds that only rise, also while the machine is suspended: a lease elsewhere runs on meanwhile."""
        return time.clock_gettime(time.CLOCK_BOOTTIME)

    async def sleep(self, seconds: float) -> None:
        """Returns when that much time has passed."""
        await asyncio.sleep(max(seconds, 0))
