"""Machines and the processes on them: a clock with offset and rate, a pause, a crash, a restart.

A *machine* stays: its clock, its disk, its place on a site. A *process* is one life on it, from a start to a crash,
and owns callbacks of the loop. Pausing the machine pauses the process that it has.
"""

from __future__ import annotations

import asyncio
from dataclasses import dataclass, field

from binome.sim.loop import OWNER, KilledError, SimulationLoop

BEGIN_MS = 1_767_225_600_000
"""When every night begins: 2026-01-01T00:00Z."""


@dataclass(slots=True)
class Clock:
    """A machine's clocks, as `ports.Clock` has them. The monotonic one runs at `rate`, the other is wrong by an offset.

    A change of rate takes effect for timers that are set afterwards.
    """

    loop: SimulationLoop
    offset_ms: int = 0
    rate: float = 1.0
    _since_s: float = 0.0  # of the world, when the rate was last set
    _local_s: float = 0.0  # our monotonic clock then

    def now_ms(self) -> int:
        """Milliseconds since 1970, as this machine believes."""
        return BEGIN_MS + self.offset_ms + int(self.monotonic_s() * 1000)

    def monotonic_s(self) -> float:
        """Seconds since the night began, as this machine counts them."""
        return self.local_s(self.loop.now_s)

    async def sleep(self, seconds: float) -> None:
        """Sleeps by this machine's clock."""
        await asyncio.sleep(seconds)

    def local_s(self, world_s: float) -> float:
        """What the monotonic clock shows at a moment of the world's time."""
        return self._local_s + (world_s - self._since_s) * self.rate

    def world_s(self, local_s: float) -> float:
        """The moment of the world's time at which the monotonic clock shows `local_s`."""
        return self._since_s + (local_s - self._local_s) / self.rate

    def set_rate(self, rate: float) -> None:
        """From now on the clock runs at another rate."""
        self._local_s, self._since_s = self.monotonic_s(), self.loop.now_s
        self.rate = rate


@dataclass(slots=True)
class Process:
    """One life of a program on a machine."""

    name: str
    clock: Clock
    paused: bool = False
    dead: bool = False
    frozen: list[asyncio.Handle] = field(default_factory=list)

    def local_s(self, now_s: float) -> float:
        """Its machine's monotonic clock at a moment of the world's time."""
        return self.clock.local_s(now_s)

    def world_s(self, local_s: float) -> float:
        """The moment of the world's time at which its machine's monotonic clock shows that."""
        return self.clock.world_s(local_s)

    def kill(self) -> None:
        """It runs no further, not by one line."""
        self.dead = True

    def pause(self, paused: bool) -> None:
        """Stops it, as SIGSTOP does, or lets it go on."""
        self.paused = paused
        if not paused and not self.dead:
            frozen, self.frozen = self.frozen, []
            self.clock.loop.thaw(frozen)


def current() -> Process | None:
    """The process whose code is running; None for the world. Raises KilledError inside one that is dead."""
    process = OWNER.get()
    if process is not None and process.dead:
        raise KilledError(process.name)
    return process if isinstance(process, Process) else None


def current_name() -> str:
    """The name of the process whose code is running, dead or alive; empty for the world."""
    process = OWNER.get()
    return process.name if process is not None else ""
