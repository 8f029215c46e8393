"""The clocks of this server."""

from __future__ import annotations

import asyncio
import time


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
