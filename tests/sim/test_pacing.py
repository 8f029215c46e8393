"""Appends and commits share one pace: commits never wait, and what they use up the appends after them wait for."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from binome.core.entry import Draft
from binome.core.leadership import LeadershipTaken
from binome.journal.agreed import APPENDS_AT_ONCE, APPENDS_PER_S
from binome.journal.ordered import OrderedJournal
from binome.sim.shape import Shape
from binome.sim.world import World

COMMITS = 2 * APPENDS_AT_ONCE
QUIET_S = 2.0
"""So long after the start nothing is appended any more, and all that was is paid for."""


@pytest.fixture
def world() -> Iterator[World]:
    world = World("1", Shape("1"), (), ())
    world.loop.run_until(5 + QUIET_S)
    yield world
    world.loop.dispose()


def draft(number: int) -> Draft:
    return Draft(f"paced/{number}", 1, "test", LeadershipTaken("test"))


def test_commits_do_not_wait_and_appends_wait_for_them(world: World) -> None:
    leader = next(node for node in world.nodes if node.journal and node.journal.generation)
    journal, loop = leader.journal, world.loop
    assert isinstance(journal, OrderedJournal)
    lasted_s: list[float] = []

    async def night() -> None:
        for number in range(COMMITS):
            begun_s = loop.now_s
            assert await journal.commit([draft(number)], (), ())
            lasted_s.append(loop.now_s - begun_s)
        begun_s = loop.now_s
        await journal.append([draft(COMMITS)])
        lasted_s.append(loop.now_s - begun_s)

    begun_s = loop.now_s
    task = loop.spawn(leader.process, night())
    loop.run_until(begun_s + 60)
    task.result()
    *commits, append = lasted_s
    assert max(commits) < 1 / APPENDS_PER_S, "none waits, however many there were"
    owed_s = (COMMITS - APPENDS_AT_ONCE) / APPENDS_PER_S - sum(commits)
    assert owed_s > 0.3, "the commits were faster than the pace"
    assert owed_s * 0.8 <= append <= owed_s * 1.2 + 0.2
