"""Time, processes and their deaths in the simulation's event loop."""

from __future__ import annotations

import asyncio

import pytest

from binome.sim.loop import SimulationLoop, SpinningError, new_loop
from binome.sim.process import Clock, Process


def machine(loop: SimulationLoop, name: str = "a") -> Process:
    return Process(name, Clock(loop))


def test_time_jumps_to_the_next_timer() -> None:
    loop, seen = new_loop(), []

    async def work(name: str, every_s: float) -> None:
        for _ in range(3):
            await asyncio.sleep(every_s)
            seen.append((loop.now_s, name))

    loop.spawn(None, work("slow", 100))
    loop.spawn(None, work("quick", 60))
    loop.run_until(1000)
    assert seen == [(60, "quick"), (100, "slow"), (120, "quick"), (180, "quick"), (200, "slow"), (300, "slow")]
    assert loop.now_s == 1000


def test_a_paused_process_goes_on_where_it_was() -> None:
    loop = new_loop()
    process, seen = machine(loop), list[float]()

    async def work() -> None:
        while True:
            await asyncio.sleep(1)
            seen.append(loop.now_s)

    loop.spawn(process, work())
    loop.at(1.5, process.pause, True)
    loop.at(7.25, process.pause, False)
    loop.run_until(9)
    assert seen == [1, 7.25, 8.25]


def test_a_killed_process_does_not_even_clean_up() -> None:
    loop = new_loop()
    process, seen = machine(loop), list[str]()

    async def work() -> None:
        try:
            await asyncio.sleep(10)
        finally:
            seen.append("cleaned up")

    loop.spawn(process, work())
    loop.at(5, process.kill)
    loop.run_until(60)
    assert seen == []


def test_tasks_belong_to_the_process_that_began_them() -> None:
    loop = new_loop()
    process, seen = machine(loop), list[str]()

    async def child() -> None:
        await asyncio.sleep(2)
        seen.append("child")

    async def work() -> None:
        await asyncio.gather(asyncio.create_task(child()), asyncio.wait_for(child(), 5))

    loop.spawn(process, work())
    loop.at(1, process.kill)
    loop.run_until(9)
    assert seen == []


@pytest.mark.parametrize("rate", [0.5, 1.0, 2.0])
def test_sleeping_goes_by_the_machines_own_clock(rate: float) -> None:
    loop = new_loop()
    process, seen = machine(loop), list[float]()
    process.clock.set_rate(rate)

    async def work() -> None:
        began_s = process.clock.monotonic_s()
        await process.clock.sleep(10)
        seen.extend([loop.now_s, process.clock.monotonic_s() - began_s])
        try:
            async with asyncio.timeout(10):
                await asyncio.sleep(1000)
        except TimeoutError:
            seen.append(loop.now_s)

    loop.spawn(process, work())
    loop.run_until(100)
    assert seen == pytest.approx([10 / rate, 10, 20 / rate], abs=1e-5)


def test_a_clock_that_is_put_right_does_not_jump() -> None:
    loop = new_loop()
    clock = Clock(loop)
    clock.set_rate(2.0)
    loop.run_until(10)
    clock.set_rate(1.0)
    assert clock.monotonic_s() == 20
    loop.run_until(15)
    assert clock.monotonic_s() == 25


def test_waiting_without_letting_time_pass_is_found() -> None:
    loop = new_loop()

    async def work() -> None:
        while True:
            await asyncio.sleep(0)

    loop.spawn(machine(loop, "busy"), work())
    with pytest.raises(SpinningError, match="busy spins at"):
        loop.run_until(1)
    loop.dispose()


def test_what_nobody_caught_is_told() -> None:
    loop = new_loop()

    def fail() -> None:
        raise ValueError("nobody catches this")

    loop.at(3, fail)
    loop.run_until(5)
    assert [(at_s, process) for at_s, process, _ in loop.mishaps] == [(3, "")]
    assert "nobody catches this" in loop.mishaps[0][2]
