"""Ticks, in virtual time: one wake for all who wait for the same moment, and periods that do not drift."""

from __future__ import annotations

import asyncio

from binome.runtime.ticks import TICK_S, Ticks
from binome.sim.loop import new_loop
from tests.runtime.test_prober import Clock


class Counted(Clock):
    """Counts how often anybody sleeps, which is how often the process would wake."""

    def __init__(self) -> None:
        self.sleeps = 0

    async def sleep(self, seconds: float) -> None:
        self.sleeps += 1
        await super().sleep(seconds)


def played(works: dict[str, int], seconds: float, busy_s: float = 0.0) -> tuple[dict[str, list[float]], Counted]:
    """When each of some works, with its period in ticks and `busy_s` of work at each, came to its turn."""
    loop, clock = new_loop(), Counted()
    ticks, at = Ticks(clock, "gra-edge"), {name: list[float]() for name in works}

    async def work(name: str, every: int) -> None:
        while True:
            await ticks.next(every)
            at[name].append(asyncio.get_running_loop().time())
            if busy_s:
                await asyncio.sleep(busy_s)

    for name, every in works.items():
        loop.spawn(None, work(name, every))
    loop.run_until(seconds)
    loop.dispose()
    return at, clock


def test_all_who_wait_for_a_moment_wake_at_once() -> None:
    at, clock = played({"watch": 1, "prober": 1, "beats": 2, "desk": 5}, 10)
    assert clock.sleeps <= 10 / TICK_S + 6, "one sleep a tick, whoever waits, and those who began for a later one"
    assert at["watch"] == at["prober"]
    assert set(at["beats"]) <= set(at["watch"]) and set(at["desk"]) <= set(at["watch"])
    assert len(at["watch"]) in (199, 200) and len(at["beats"]) in (99, 100) and len(at["desk"]) in (39, 40)


def test_a_period_is_kept_though_each_turn_takes_its_time() -> None:
    at, _ = played({"beats": 2}, 10, busy_s=0.03)
    assert len(at["beats"]) in (99, 100), "no drift"
    gaps_s = [after - before for before, after in zip(at["beats"], at["beats"][1:], strict=False)]
    assert max(gaps_s) - min(gaps_s) < 0.001


def test_turns_that_were_missed_are_not_made_up_for() -> None:
    at, _ = played({"beats": 2}, 10, busy_s=0.25)
    assert len(at["beats"]) in (33, 34), "each third"


def test_who_waits_behind_one_that_is_cancelled_goes_on() -> None:
    async def run() -> None:
        clock = Clock()
        ticks = Ticks(clock)
        first, second = (asyncio.ensure_future(ticks.next(20)) for _ in range(2))
        await asyncio.sleep(0)
        first.cancel()
        await asyncio.wait_for(second, 0.5)
        assert first.cancelled()

    asyncio.run(run())
