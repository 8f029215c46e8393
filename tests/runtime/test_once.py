"""One look at each, whatever the probes do: bounded in time, and nobody is missing."""

from __future__ import annotations

import asyncio
import time

from binome.core.target import Answer, Target
from binome.ports import Finding
from binome.runtime.once import MOST_AT_ONCE, look_once


class Probe:
    """Answers at once, but for those whose names say otherwise."""

    def __init__(self) -> None:
        self.under_way = self.most = 0

    async def look(self, target: Target) -> Finding:
        self.under_way += 1
        self.most = max(self.most, self.under_way)
        try:
            await asyncio.sleep(0)
            if target.name.startswith("hangs"):
                await asyncio.sleep(600)
            if target.name.startswith("breaks"):
                raise RuntimeError("a mistake")
        finally:
            self.under_way -= 1
        return Finding(Answer.UP, "well", 0.0)


def targets(*names: str, kind: str = "it") -> list[Target]:
    return [Target(name, kind, "", "", "", 0, 0, 100, 1, 1) for name in names]


def test_each_is_answered_for() -> None:
    asked = [*targets("well", "hangs", "breaks"), *targets("foreign", kind="other")]
    found = asyncio.run(look_once(asked, {"it": Probe()}, 0.2))
    assert {name: (str(one.answer), one.said) for name, one in found.items()} == {
        "well": ("up", "well"),
        "hangs": ("unsure", "not asked within 0.2 s"),
        "breaks": ("unsure", "the probe failed: a mistake"),
        "foreign": ("unsure", "no probe of kind other can be used here"),
    }
    assert asyncio.run(look_once([], {}, 0.2)) == {}


def test_however_many_hang_it_ends_in_time() -> None:
    probe, began_s = Probe(), time.monotonic()
    found = asyncio.run(look_once(targets(*(f"hangs-{one}" for one in range(5_000))), {"it": probe}, 0.3))
    assert time.monotonic() - began_s < 3
    assert len(found) == 5_000 and {one.answer for one in found.values()} == {Answer.UNSURE}
    assert probe.most == MOST_AT_ONCE
