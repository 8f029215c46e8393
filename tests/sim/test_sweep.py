"""I14, wholly: whoever decides is killed at every step of every plan, and another one goes on, or undoes.

A quiet night is lived through once; every plan that it makes is then interrupted in a night of its own, at each of its
steps and undoings: as the step begins, after its effect, and as its outcome comes into the journal. What is to be
interrupted is read from the quiet night: a plan that is new, or has a step more, is swept without anybody thinking of
it.
"""

from __future__ import annotations

from functools import cache
from typing import Any, NamedTuple

import msgspec
import pytest

from binome.sim.asking import Mood
from binome.sim.checkers import check
from binome.sim.fault import Fault
from binome.sim.faults_of_looking import BEGUN, DONE, TOLD
from binome.sim.history import Agreed, Begun, History, TookEffect
from binome.sim.world import night

END_S = 28.0
NOBODY = Mood("never", False, (), ())


class Scene(NamedTuple):
    """A quiet night in which plans are made, and what becomes of them."""

    faults: tuple[Fault, ...]
    ends: dict[str, str]  # verb of the step that matters → how its plan ends
    asking: Mood = NOBODY
    seed: str = "asked/26"


SCENES = {
    "the primary's site burns, and comes back": Scene(
        (Fault(8.0, "site lost", "a", 8.0),),
        {"database.takeover": "done", "traffic.open": "done", "traffic.unfence": "done"},
    ),
    "the standby's site burns, and comes back": Scene(
        (Fault(8.0, "site lost", "b", 8.0),),
        {"database.release": "done", "traffic.open": "done", "traffic.unfence": "done"},
    ),
    "a promotion that is refused": Scene(
        (Fault(7.0, "patroni paused", "db", 10.0), Fault(8.0, "site lost", "a", 8.0)), {"database.takeover": "undone"}
    ),
    "a switchover": Scene((), {"database.switchover": "done"}, Mood("never", False, (), ((8.0, "server-b0"),))),
}


def facts(history: History) -> list[dict[str, Any]]:
    return [
        msgspec.json.decode(entry.fact)
        for _, event in history.events
        if isinstance(event, Agreed)
        for entry in event.entries
    ]


@cache
def lived(scene: str, *more: Fault) -> History:
    faults, _, asking, seed = SCENES[scene]
    return night(seed, [*faults, *more], asking=asking, end_s=END_S)


def places() -> list[tuple[str, str, int]]:
    """Scene, plan and place of everything that happened in the quiet nights; the same step of a retry once."""
    found: dict[tuple[str, str, int], None] = {}

    def add(scene: str, plan: str, undoing: bool, place: int) -> None:
        if plan.startswith("takeover/"):
            found[scene, "/".join(plan.split("/")[:2]), undoing * 500 + place] = None

    for scene in SCENES:
        for _, event in lived(scene).events:
            if isinstance(event, (Begun, TookEffect)):
                moment = BEGUN if isinstance(event, Begun) else DONE
                add(scene, event.command.plan, event.command.undoing, moment * 100 + event.command.step)
        for fact in facts(lived(scene)):
            if fact["kind"] == "step-ended":
                add(scene, fact["plan"], fact["undoing"], TOLD * 100 + fact["step"])
    return list(found)


def endings(history: History) -> set[tuple[str, str]]:
    """How plans have ended, by the verbs of their steps."""
    steps = {fact["plan"]: fact["steps"] for fact in facts(history) if fact["kind"] == "plan-made"}
    ended = set()
    for fact in facts(history):
        if fact["kind"] == "step-ended" and fact["result"] == "done":
            verbs = [step["verb"] for step in steps[fact["plan"]]]
            if fact["undoing"] or fact["step"] + 1 == len(verbs):
                ended |= {(verb, "undone" if fact["undoing"] else "done") for verb in verbs}
    return ended


@pytest.mark.parametrize("scene", SCENES)
def test_a_quiet_night_makes_the_plans_that_are_swept(scene: str) -> None:
    history = lived(scene)
    assert check(history) == []
    assert set(SCENES[scene].ends.items()) <= endings(history)


@pytest.mark.parametrize(("scene", "plan", "place"), places(), ids=str)
def test_a_plan_that_is_interrupted_anywhere_is_resumed_or_undone(scene: str, plan: str, place: int) -> None:
    history = lived(scene, Fault(6.0, "killed in plan", plan, 4.0, float(place)))
    assert history.seen["killed in a plan"] == 1
    assert check(history) == []
    assert set(SCENES[scene].ends.items()) <= endings(history)
