"""The prober: looks at every target once a period, and knows when not to trust its own eyes.

Evenly. The targets of one period are put in the order of a hash of their names (salted with the vantage point's name,
so that no two lookouts knock at the same instant), and each gets the next slot: n targets in P seconds are started P/n
apart (to 10 ms), in every round the same. A round that was missed is not made up for: that would be the burst.

One for one. Each look is a task of its own. Whoever does not answer holds up nobody, and at most `most_at_once` looks
are under way; a look that outlives its own period belongs to a probe that hangs, and is ended.

Unsure. A server that gets no processor sees every answer too late, and would call the world down. So the prober always
knows when it wanted to be awake next. When it is later than `slow_s`, then what fell due meanwhile is not looked at,
and every look that was under way and came to "down" is *unsure*: the silence may have been ours. "Up" stays: an answer
that came is an answer.
"""

from __future__ import annotations

import asyncio
import heapq
from collections.abc import Callable, Iterable, Mapping
from hashlib import blake2b

from binome.core.target import Answer, Observation, Target
from binome.ports import Clock, Finding, Probe
from binome.runtime.ticks import TICK_S, Ticks

SLOW_S = 0.25
"""How late the prober may be before its silence is its own."""
MOST_AT_ONCE = 2_000
_GRAIN_S = 0.01
"""What falls due within this is started together: to wake for each of thousands costs more than to look."""


class Prober:
    """Looks at `targets` by the probes of their kinds, and gives each observation to `sink`.

    `findings` holds the newest finding of each target, with its details, until the next one.
    """

    def __init__(
        self,
        targets: Iterable[Target],
        probes: Mapping[str, Probe],
        clock: Clock,
        sink: Callable[[Observation], None],
        *,
        vantage: str = "",
        most_at_once: int = MOST_AT_ONCE,
        slow_s: float = SLOW_S,
        ticks: Ticks | None = None,
    ) -> None:
        self.findings: dict[str, Finding] = {}
        self.lag_s = 0.0
        """How late the prober was when it last woke."""
        self._targets = tuple(targets)
        self._probes = probes
        self._clock = clock
        self._sink = sink
        self._phases_s = phases_s(self._targets, vantage)
        self._most_at_once = most_at_once
        self._slow_s = slow_s
        self._ticks = ticks or Ticks(clock)
        self._running: dict[int, asyncio.Task[None]] = {}
        self._failure: Exception | None = None
        self._awake_at_s = 0.0
        self._slow_at_s = float("-inf")
        self._slow_by_s = 0.0

    async def run(self) -> None:
        """Looks until it is cancelled; no look outlives it. Raises what the sink raises."""
        self._awake_at_s = self._clock.monotonic_s()
        begin_s = self._ticks.coming_s() - _GRAIN_S / 2 - min(self._phases_s, default=0.0) % TICK_S
        due = [(begin_s + phase_s, index) for index, phase_s in enumerate(self._phases_s)]
        heapq.heapify(due)
        try:
            while self._failure is None:
                now_s = self._clock.monotonic_s()
                late = self._notice(now_s)
                self._awake_at_s = now_s  # while it works: what takes it long is its own lag too
                while due and due[0][0] <= now_s:
                    due_s, index = due[0]
                    heapq.heapreplace(due, (self._next_s(due_s, index, now_s), index))
                    self._begin(index, now_s, late=late)
                await self._wait(now_s, due[0][0] if due else None)
            raise self._failure
        except (asyncio.CancelledError, Exception):
            looks = tuple(self._running.values())
            for look in looks:
                look.cancel()
            await asyncio.gather(*looks, return_exceptions=True)
            raise

    async def _wait(self, now_s: float, due_s: float | None) -> None:
        """Waits for the next look, but not beyond the next tick: who never wakes does not know that it is late."""
        tick_s = self._ticks.coming_s()
        if due_s is None or due_s > tick_s - _GRAIN_S:
            self._awake_at_s = tick_s
            await self._ticks.next()
        else:
            self._awake_at_s = max(now_s + _GRAIN_S, due_s)
            await self._clock.sleep(max(0.0, self._awake_at_s - self._clock.monotonic_s()))

    def _next_s(self, due_s: float, index: int, now_s: float) -> float:
        """The first time after now that a target is due."""
        every_s = self._targets[index].every_ms / 1000
        missed = max(0, int((now_s - due_s) / every_s))
        return due_s + (missed + 1) * every_s

    def _notice(self, now_s: float) -> bool:
        """Whether the prober is too late right now; remembered for the looks that are under way."""
        self.lag_s = max(0.0, now_s - self._awake_at_s)
        if self.lag_s <= self._slow_s:
            return False
        self._slow_at_s, self._slow_by_s = now_s, self.lag_s
        return True

    def _begin(self, index: int, now_s: float, *, late: bool) -> None:
        """Starts the look that is due, or says why there is none."""
        target, before = self._targets[index], self._running.get(index)
        if before is not None:
            before.cancel()
            self._give(target, now_s, _unsure("its probe took longer than its period"))
        elif late:
            self._give(target, now_s, _unsure(f"this lookout was {self._slow_by_s * 1000:.0f} ms late"))
        elif target.kind not in self._probes:
            self._give(target, now_s, _unsure(f"no probe of kind {target.kind} is installed"))
        elif len(self._running) >= self._most_at_once:
            self._give(target, now_s, _unsure(f"{self._most_at_once} looks are under way already"))
        else:
            self._running[index] = asyncio.create_task(self._look(index, target, now_s))

    async def _look(self, index: int, target: Target, began_s: float) -> None:
        try:
            finding = await self._probes[target.kind].look(target)
        except Exception as error:  # a third party's; it must not take the others with it
            finding = _unsure(f"the probe failed: {type(error).__name__}")
        finally:
            del self._running[index]
        if finding.answer is Answer.DOWN and self._was_slow(began_s):
            finding = _unsure(f"this lookout was {self._slow_by_s * 1000:.0f} ms late while it asked")
        try:
            self._give(target, began_s, finding)
        except Exception as error:
            self._failure = error

    def _was_slow(self, began_s: float) -> bool:
        """Whether the prober was too late since `began_s`, or is so now and has not noticed yet."""
        now_s = self._clock.monotonic_s()
        if now_s - self._awake_at_s > self._slow_s:
            self._slow_at_s, self._slow_by_s = now_s, now_s - self._awake_at_s
        return self._slow_at_s >= began_s

    def _give(self, target: Target, began_s: float, finding: Finding) -> None:
        self.findings[target.name] = finding
        self._sink(Observation(target.name, began_s, finding.answer, finding.said))


def phases_s(targets: tuple[Target, ...], vantage: str = "") -> list[float]:
    """When in its period each target is due, in seconds: evenly spread, and the same for the same targets."""
    rounds: dict[int, list[int]] = {}
    for index, target in enumerate(targets):
        rounds.setdefault(target.every_ms, []).append(index)
    found = [0.0] * len(targets)
    for every_ms, members in rounds.items():
        members.sort(key=lambda index: blake2b(f"{vantage}/{targets[index].name}".encode(), digest_size=8).digest())
        for rank, index in enumerate(members):
            found[index] = every_ms / 1000 * (rank + 0.5) / len(members)
    return found


def _unsure(said: str) -> Finding:
    return Finding(Answer.UNSURE, said, 0.0)
