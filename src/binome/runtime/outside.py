"""The heartbeat outside: a lookout tells somebody who is no part of the platform, once a minute, that it pages.

Whoever stands behind the URL pages when it stops: that is the one who is left where every lookout is gone. Nothing
waits for it, and that it is not taken is a problem of this lookout only once it has lasted: then nobody would notice
our end.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable

from binome.ports import Clock

EVERY_S = 60.0
MISSED_S = 300.0
"""For so long it may fail before that is a problem."""


class Outside:
    """Pings. `run` must run."""

    def __init__(self, ping: Callable[[], Awaitable[str]], clock: Clock) -> None:
        """`ping` says nothing where it was taken, else in one line why not; it raises nothing but what cancels it."""
        self._ping, self._clock = ping, clock
        self._taken_s = clock.monotonic_s()
        self._said = ""

    async def run(self) -> None:
        """Pings until it is cancelled."""
        while True:
            self._said = await self._ping()
            if not self._said:
                self._taken_s = self._clock.monotonic_s()
            await self._clock.sleep(EVERY_S)

    def problems(self) -> list[str]:
        """That nobody outside hears this lookout, once it has lasted."""
        missed_s = self._clock.monotonic_s() - self._taken_s
        if not self._said or missed_s < MISSED_S:
            return []
        return [f"the heartbeat outside was not taken for {missed_s:.0f} s: {self._said}"]
