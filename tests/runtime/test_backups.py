"""What becomes a fact of the jobs that take and prove copies, and when nobody is waited for any longer."""

from __future__ import annotations

import json
from collections.abc import Sequence

import pytest

from binome.core.backup_facts import FORGET, CopyFailed, CopyTaken, ProofFailed, ProofMade
from binome.core.backups import DAY_MS, HOUR_MS, MINUTE_MS
from binome.runtime.backups import LEASE_S, LOST_S, Backups
from binome.runtime.peer_messages import Job
from tests.core.test_backups import TWO_AM_MS, Nights
from tests.runtime.test_rejoins import Clock

TAKEN = json.dumps({"at_ms": 5, "size_bytes": 7, "stored": {"vault-ams": "a1"}, "failed": {"vault-par": "it is full"}})


class Hands:
    def __init__(self) -> None:
        self.told: Sequence[Job] | None = ()

    def jobs(self, server: str) -> Sequence[Job] | None:
        return self.told


class Scene:
    """A night whose first copy has begun, or the first proof."""

    def __init__(self, *, proof: bool = False) -> None:
        self.night = Nights()
        self.night.takes_ms = DAY_MS
        self.night.until(TWO_AM_MS)
        if proof:
            (copy,) = self.night.state.backups.working("nightly")
            self.night.happens(self.night.end(copy))
        (self.work,) = self.night.state.backups.working("nightly")
        self.hands, self.clock = Hands(), Clock()
        self.backups = Backups(self.hands, self.clock)

    def found(self, told: Sequence[Job] | None, at_s: float = 0.0) -> list[object]:
        self.hands.told, self.clock.s = told, at_s
        return [one.fact for one in self.backups.observed(self.night.state, self.night.now_ms)]

    def job(self, state: str, detail: str = "") -> Job:
        return Job(self.work.plan, "nightly", state, detail)  # type: ignore[arg-type]


def test_a_job_that_runs_is_no_fact_and_what_came_of_it_is_one() -> None:
    scene = Scene()
    work = scene.work
    assert scene.found([scene.job("running")], 100_000) == []
    other = Job("backup/nightly/take/1/0", "nightly", "failed", "no")
    assert scene.found([other, scene.job("running")]) == []
    assert scene.found([scene.job("failed", "no room")]) == [CopyFailed(work.plan, "nightly", "gra-db", "no room")]
    taken = CopyTaken(work.plan, "nightly", "gra-db", 5, 7, {"vault-ams": "a1"}, {"vault-par": "it is full"})
    assert scene.found([scene.job("done", TAKEN)]) == [taken]


def test_what_is_in_the_journal_is_not_said_again_while_its_agent_still_tells_of_it() -> None:
    scene = Scene()
    scene.night.answer = lambda command: "unknown" if command.verb == FORGET else "done"
    (taken,) = scene.found([scene.job("done", TAKEN)])
    assert isinstance(taken, CopyTaken)
    scene.night.happens(taken)
    assert scene.work.plan in scene.night.state.plans
    assert scene.found([scene.job("done", TAKEN)]) == []


def test_a_proof_is_that_of_the_copy_that_was_asked_for() -> None:
    scene = Scene(proof=True)
    work = scene.work
    said = {"vault": "vault-ams", "copy": "vault-ams-1", "at_ms": 5, "verdict": "proven", "restored_ms": 9}
    assert scene.found([scene.job("done", json.dumps(said))]) == [
        ProofMade(work.plan, "nightly", "par-spare", "vault-ams", "vault-ams-1", 5, "proven", 9)
    ]
    for wrong in ({"copy": "other"}, {"vault": "vault-par"}, {"verdict": "fine"}, {"restored_ms": -1}):
        (fact,) = scene.found([scene.job("done", json.dumps(said | wrong))])
        assert isinstance(fact, ProofFailed)
        assert fact.why.startswith("what its agent said makes no sense: ")


@pytest.mark.parametrize("text", ["", "[]", "{}", "null", TAKEN[:-1], '{"at_ms": "x"}'])
def test_what_makes_no_sense_is_a_failure(text: str) -> None:
    scene = Scene()
    (fact,) = scene.found([scene.job("done", text)])
    assert isinstance(fact, CopyFailed)


@pytest.mark.parametrize(
    ("told", "after_s", "why"),
    [
        ((), LOST_S, "the agent of gra-db knows nothing of it any more"),
        (None, LEASE_S, "the agent of gra-db has not been heard for 600 s"),
    ],
)
def test_a_job_that_nobody_tells_of_is_waited_for_no_longer_than_its_lease(
    told: Sequence[Job] | None, after_s: float, why: str
) -> None:
    scene = Scene()
    assert scene.found(told, 0) == []
    assert scene.found(told, after_s - 0.1) == []
    assert scene.found([scene.job("running")], after_s - 0.05) == [], "there it is: it counts anew"
    assert scene.found(told, after_s + 10) == []
    assert scene.found(told, 2 * after_s + 10) == [CopyFailed(scene.work.plan, "nightly", "gra-db", why)]


def test_a_job_that_its_agent_has_not_accepted_yet_is_not_looked_for() -> None:
    night = Nights()
    night.answer = lambda _command: "unknown"
    night.until(TWO_AM_MS)
    assert night.state.backups.works
    clock = Clock()
    backups = Backups(Hands(), clock)
    for clock.s in (0.0, HOUR_MS / 1000, 2 * HOUR_MS / 1000 + MINUTE_MS):
        assert list(backups.observed(night.state, night.now_ms)) == []
