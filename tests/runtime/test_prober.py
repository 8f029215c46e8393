"""The prober, in virtual time: evenly, one for one, and unsure where the delay is its own."""

from __future__ import annotations

import asyncio
from collections import Counter
from collections.abc import Callable, Coroutine
from itertools import pairwise
from typing import Any

import pytest

from binome.core.target import Answer, Observation, Target
from binome.ports import Finding
from binome.runtime.prober import Prober, phases_s
from binome.sim.loop import new_loop


class Clock:
    """The loop's time, which a stall moves on while nothing runs."""

    stalled_s = 0.0

    def now_ms(self) -> int:
        return int(self.monotonic_s() * 1000)

    def monotonic_s(self) -> float:
        return asyncio.get_running_loop().time() + self.stalled_s

    async def sleep(self, seconds: float) -> None:
        await asyncio.sleep(max(seconds, 0))


class Fake:
    """A probe that takes as long, and finds, what it is told to by the target's name."""

    def __init__(self, find: Callable[[Target], Coroutine[Any, Any, Finding]]) -> None:
        self.find, self.begun, self.open, self.most = find, list[tuple[float, str]](), 0, 0

    async def look(self, target: Target) -> Finding:
        self.begun.append((asyncio.get_running_loop().time(), target.name))
        self.open += 1
        self.most = max(self.most, self.open)
        try:
            return await self.find(target)
        finally:
            self.open -= 1


UP, DOWN = Finding(Answer.UP, "well", 0), Finding(Answer.DOWN, "silent", 0)


def target(name: str, every_ms: int = 1000, kind: str = "fake") -> Target:
    return Target(name, kind, "", "", "", 0, every_ms, 800, 3, 2)


def many(count: int, every_ms: int = 1000) -> list[Target]:
    return [target(f"t{n}", every_ms) for n in range(count)]


async def up(_: Target) -> Finding:
    return UP


def run(
    targets: list[Target], probe: Fake, seconds: float, clock: Clock | None = None, **options: Any
) -> list[Observation]:
    loop, seen = new_loop(), list[Observation]()
    prober = Prober(targets, {"fake": probe}, Clock(), seen.append, **options)
    task = loop.spawn(None, prober.run())
    loop.run_until(seconds)
    assert not task.done(), task
    task.cancel()
    loop.run_until(seconds + 0.001)
    assert task.cancelled() and probe.open == 0, "no look outlives the prober"
    loop.dispose()
    return seen


def test_every_target_once_a_period_evenly() -> None:
    probe = Fake(up)
    seen = run(many(100), probe, 10.045)  # the first look is at the first tick
    assert set(Counter(one.target for one in seen).values()) == {10}
    gaps_s = [after - before for (before, _), (after, _) in pairwise(probe.begun)]
    assert max(gaps_s) < 0.0101 and min(gaps_s) > 0.0099, "a slot for each, in all rounds"
    rounds = [[name for _, name in probe.begun[n : n + 100]] for n in range(0, 1000, 100)]
    assert all(one == rounds[0] for one in rounds)


def test_phases_follow_from_the_names_and_the_vantage_point() -> None:
    targets = (*many(50), target("slow", 10_000))
    names = [one.name for one in targets]
    before = dict(zip(names, phases_s(targets, "gra"), strict=True))
    assert before == dict(zip(reversed(names), phases_s(targets[::-1], "gra"), strict=True))
    assert before["slow"] == 5.0
    others = phases_s(targets, "sbg")
    assert sum(one == other for one, other in zip(before.values(), others, strict=True)) < 10


def test_who_does_not_answer_delays_nobody() -> None:
    async def find(one: Target) -> Finding:
        if one.name == "t7":
            await asyncio.sleep(0.8)
            return DOWN
        return UP

    probe = Fake(find)
    seen = Counter((one.target, one.answer) for one in run(many(20), probe, 10))
    assert seen["t7", Answer.DOWN] in (9, 10) and len(seen) == 20
    gaps_s = [after - before for (before, _), (after, _) in pairwise(probe.begun)]
    assert max(gaps_s) < 0.0601, "to the grain of 10 ms"


def test_a_probe_that_hangs_is_ended_after_its_period() -> None:
    async def find(_: Target) -> Finding:
        await asyncio.sleep(3600)
        return UP

    probe = Fake(find)
    seen = run(many(1), probe, 10)
    assert {(one.answer, one.said) for one in seen} == {(Answer.UNSURE, "its probe took longer than its period")}
    assert probe.most == 1 and len(probe.begun) == 5


def test_no_more_looks_at_once_than_are_allowed() -> None:
    async def find(_: Target) -> Finding:
        await asyncio.sleep(0.8)
        return DOWN

    probe = Fake(find)
    seen = Counter((one.answer, one.said) for one in run(many(100), probe, 10, most_at_once=40))
    assert probe.most == 40
    assert seen[Answer.UNSURE, "40 looks are under way already"] > 400
    assert seen[Answer.DOWN, "silent"] > 400


@pytest.mark.parametrize("error", [RuntimeError("mistake"), KeyError("x"), RecursionError()])
def test_a_third_partys_mistake_is_no_word_about_the_target(error: Exception) -> None:
    async def find(one: Target) -> Finding:
        if one.name == "t0":
            raise error
        return UP

    seen = Counter((one.target, one.answer) for one in run(many(2), Fake(find), 5))
    assert seen == {("t0", Answer.UNSURE): 5, ("t1", Answer.UP): 5}


def test_a_kind_that_nobody_brings_is_said_each_time() -> None:
    seen = run([target("odd", kind="ldap")], Fake(up), 3)
    assert {(one.answer, one.said) for one in seen} == {(Answer.UNSURE, "no probe of kind ldap is installed")}


def test_what_comes_to_down_while_the_prober_stood_still_is_unsure() -> None:
    """Half a second is lost at 5 s, as after SIGSTOP: looks that were under way then are not believed."""
    clock = Clock()

    async def find(one: Target) -> Finding:
        await asyncio.sleep(0.4)
        return UP if one.name == "t3" else DOWN

    async def stall() -> None:
        await asyncio.sleep(5)
        clock.stalled_s = 0.5

    async def both(prober: Prober) -> None:
        await asyncio.gather(prober.run(), stall())

    loop, seen, probe = new_loop(), list[Observation](), Fake(find)
    prober = Prober(many(10), {"fake": probe}, clock, seen.append)
    loop.spawn(None, both(prober))
    loop.run_until(10)
    answers = Counter((one.answer, one.target == "t3") for one in seen)
    unsure = [one for one in seen if one.answer is Answer.UNSURE]
    assert {one.target for one in unsure} and all(4.5 <= one.at_s <= 5.6 for one in unsure)
    assert all("late" in one.said for one in unsure)
    assert 4 <= len(unsure) <= 11, "those under way, and those whose time went by"
    assert answers[Answer.DOWN, False] > 70
    down = [one.at_s for one in seen if one.answer is Answer.DOWN]
    assert not [at_s for at_s in down if 4.6 < at_s < 5.4], "no look across the gap was believed"
    begun = [at_s for at_s, _ in probe.begun]
    assert max(Counter(round(at_s, 1) for at_s in begun).values()) <= 3, "what was missed is not made up for"
    assert prober.lag_s < 0.01
    loop.dispose()


def test_what_the_sink_raises_ends_the_prober() -> None:
    loop = new_loop()

    def sink(_: Observation) -> None:
        raise OSError("full")

    task = loop.spawn(None, Prober(many(1), {"fake": Fake(up)}, Clock(), sink).run())
    loop.run_until(3)
    assert task.done() and isinstance(task.exception(), OSError)
    loop.dispose()


def test_details_are_kept_until_the_next_look() -> None:
    async def find(_: Target) -> Finding:
        return Finding(Answer.UP, "well", 0.1, {"role": "primary"})

    loop = new_loop()
    prober = Prober(many(1), {"fake": Fake(find)}, Clock(), lambda _: None)
    loop.spawn(None, prober.run())
    loop.run_until(2)
    assert prober.findings["t0"].details == {"role": "primary"}
    loop.dispose()
