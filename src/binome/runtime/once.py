"""One look at each of many targets, bounded in time however many of them hang.

At most `MOST_AT_ONCE` looks are under way. What was not finished when the time was over was not asked: that is an
unsure answer, and no word about the target.
"""

from __future__ import annotations

import asyncio
from collections.abc import Mapping, Sequence

from binome.core.target import Answer, Target
from binome.ports import Finding, Probe

MOST_AT_ONCE = 400


async def look_once(targets: Sequence[Target], probes: Mapping[str, Probe], within_s: float) -> dict[str, Finding]:
    """What was found of each target, by its name; within `within_s` seconds."""
    room = asyncio.Semaphore(MOST_AT_ONCE)
    found: dict[str, Finding] = {}

    async def look(target: Target) -> None:
        probe = probes.get(target.kind)
        if probe is None:
            found[target.name] = _unsure(f"no probe of kind {target.kind} can be used here")
            return
        async with room:
            found[target.name] = await probe.look(target)

    looks = [asyncio.create_task(look(target)) for target in targets]
    if looks:
        _, late = await asyncio.wait(looks, timeout=within_s)
        for one in late:
            one.cancel()
    for target, one in zip(targets, looks, strict=True):
        if target.name not in found:
            failed = one.done() and not one.cancelled() and one.exception()
            found[target.name] = _unsure(
                f"the probe failed: {failed}" if failed else f"not asked within {within_s:g} s"
            )
    return found


def _unsure(said: str) -> Finding:
    return Finding(Answer.UNSURE, said[:200], 0.0)
