"""What becomes a fact of the jobs by which members follow, and when nobody is waited for any longer."""

from __future__ import annotations

from collections.abc import Sequence

import pytest

from binome.core.database import DatabaseSeen
from binome.core.silence import SiteHeard
from binome.core.takeover_facts import RejoinEnded
from binome.runtime.peer_messages import Job
from binome.runtime.rejoins import LEASE_S, LOST_S, Rejoins
from tests.core.test_takeover import HOME, Night, burned


class Clock:
    def __init__(self) -> None:
        self.s = 0.0

    def now_ms(self) -> int:
        return 0

    def monotonic_s(self) -> float:
        return self.s

    async def sleep(self, seconds: float) -> None:
        raise NotImplementedError


class Hands:
    def __init__(self) -> None:
        self.told: Sequence[Job] | None = ()

    def jobs(self, server: str) -> Sequence[Job] | None:
        assert server == "sbg-db"
        return self.told


class Scene:
    """A night after its return: sbg-db was told to follow."""

    def __init__(self) -> None:
        self.night = burned()
        self.night.happens(SiteHeard("strasbourg"))
        self.job = next(one.plan for one in self.night.done if one.verb == "traffic.open")
        self.hands, self.clock = Hands(), Clock()
        self.rejoins = Rejoins(self.night.estate, self.hands, self.clock)

    def found(self, told: Sequence[Job] | None, at_s: float = 0.0) -> list[str]:
        self.hands.told, self.clock.s = told, at_s
        facts = [one.fact for one in self.rejoins.observed(self.night.state, self.night.now_ms)]
        assert all(isinstance(one, RejoinEnded) and one.job == self.job for one in facts)
        return [one.detail for one in facts if isinstance(one, RejoinEnded)]


def test_a_job_that_runs_or_is_done_is_no_fact_and_one_that_failed_is_one() -> None:
    scene = Scene()
    assert scene.found([Job(scene.job, "database", "running")], 10_000) == []
    assert scene.found([Job(scene.job, "database", "done")], 20_000) == []
    other = Job("takeover/open/earlier", "database", "failed", "no")
    assert scene.found([other, Job(scene.job, "database", "running")]) == []
    assert scene.found([Job(scene.job, "database", "failed", "no room")]) == ["no room"]


@pytest.mark.parametrize(
    ("told", "after_s", "detail"),
    [((), LOST_S, "its agent knows nothing of it any more"), (None, LEASE_S, "its agent has not been heard for 60 s")],
)
def test_a_job_that_nobody_tells_of_is_waited_for_no_longer_than_its_lease(
    told: Sequence[Job] | None, after_s: float, detail: str
) -> None:
    scene = Scene()
    assert scene.found(told, 0) == []
    assert scene.found(told, after_s - 0.1) == []
    assert scene.found([Job(scene.job, "database", "running")], after_s - 0.05) == [], "there it is: it counts anew"
    assert scene.found(told, after_s + 10) == []
    assert scene.found(told, 2 * after_s + 10) == [detail]


def test_nothing_is_expected_of_who_follows_already_or_was_given_up_until_its_next_time() -> None:
    scene = Scene()
    fact = RejoinEnded("database", "sbg-db", "site/strasbourg/1", scene.job, "no room")
    scene.night.happens(fact)
    assert scene.found([Job(scene.job, "database", "failed", "no room")]) == []
    other = Scene()
    other.night.answer = lambda command: "unknown" if command.verb == "traffic.unfence" else "done"
    other.night.happens(HOME)
    assert other.found([Job(other.job, "database", "failed", "too slow")]) == []
    fresh = Night(None, DatabaseSeen("database", "sbg-db", ("gra-db",)))
    assert Rejoins(fresh.estate, Hands(), Clock()).observed(fresh.state, 0) == []
