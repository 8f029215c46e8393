"""Who should lead when a site is lost, by what is to burn with it; and who decided, as the journal tells."""

from __future__ import annotations

from types import SimpleNamespace
from typing import Any

import pytest

from binome.core.plan import PlanMade, Step
from binome.core.silence import SiteHeard
from binome.estate import load
from binome.lab import stage, telling
from binome.lab.demo import new_primary_at_s
from binome.lab.engines import Look
from binome.lab.errors import LabError
from binome.lab.faults import Fault
from binome.lab.record import Record
from binome.lab.stage import Stage, Together
from tests.lab.conftest import ENGINES_ALONE, LITTORAL

UP = Look("primary", "up")


def lab(text: bytes) -> Any:
    estate = load(text)
    return type("Lab", (), {"estate": estate, "database": lambda self: "database"})()


@pytest.mark.parametrize(
    ("site", "together", "leading"),
    [
        ("gravelines", (), Stage("par-watch", "par-watch")),
        ("gravelines", ("decider",), Stage("gra-edge", "par-watch")),
        ("gravelines", ("etcd-leader",), Stage("par-watch", "gra-db")),
        ("strasbourg", ("etcd-leader", "decider"), Stage("sbg-edge", "sbg-db")),
        ("paris", (), Stage("gra-edge", "gra-db")),
        ("paris", ("decider",), Stage("par-watch", "gra-db")),
    ],
)
def test_who_should_lead(site: str, together: tuple[Together, ...], leading: Stage) -> None:
    assert stage.wanted(lab(LITTORAL.read_bytes()), site, together) == leading


def test_nobody_is_put_where_nobody_stands() -> None:
    with pytest.raises(LabError, match="has no lookout in amsterdam"):
        stage.wanted(lab(LITTORAL.read_bytes()), "amsterdam", ("decider",))
    with pytest.raises(LabError, match="no lookouts that agree through etcd"):
        stage.wanted(lab(ENGINES_ALONE), "gravelines", ())


def test_a_plan_that_moves_the_database_is_a_decision_and_one_that_lets_in_again_is_none() -> None:
    def plan(*verbs: str) -> PlanMade:
        return PlanMade("takeover/x", "takeover", "database", 1, tuple(Step(verb) for verb in verbs), "why")

    assert telling.moves(plan("traffic.fence", "database.takeover"))
    assert telling.moves(plan("traffic.fence", "database.release"))
    assert telling.moves(plan("database.switchover"))
    assert not telling.moves(plan("traffic.open"))
    assert not telling.moves(SiteHeard("gravelines"))


@pytest.mark.parametrize(
    ("fault", "seen", "writes", "at_s"),
    [
        ("burn", {("sbg-db", UP): 11.0}, [(10.9, 2)], 10.9),  # a write on a new timeline proves it before it is asked
        ("burn", {("sbg-db", UP): 11.0}, [(11.2, 2)], 11.0),
        ("burn", {("gra-db", UP): 11.0}, [(10.2, 1)], None),  # what the lost one said, or acknowledged, counts not
        ("burn", {("sbg-db", UP): 9.0}, [], None),  # nor what was before the fault
        ("kill-postgres", {("gra-db", UP): 12.0}, [], 12.0),  # the same one may come back
        ("burn-standby", {("gra-db", UP): 11.0}, [(11.0, 2)], None),
    ],
)
def test_when_a_primary_was_there_again(fault: Fault, seen: Any, writes: list[tuple[float, int]], at_s: Any) -> None:
    records = [Record(9.0, "write", "a", 1, "gra-edge", "acknowledged", timeline=1)]
    records += [
        Record(when, "write", f"b{when}", 1, "gra-edge", "acknowledged", timeline=line) for when, line in writes
    ]
    watcher: Any = SimpleNamespace(view=SimpleNamespace(fault=fault), role_since_s=seen)
    clients: Any = SimpleNamespace(records=lambda: records)
    assert new_primary_at_s(watcher, clients, "gra-db", 10.0) == at_s
