"""The figures of many runs, the judgement of the table, and what counts as left of the last fault."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest

from binome.estate import load
from binome.lab import runs, table
from binome.lab.checker import Evidence
from binome.lab.demo import Outcome, Scene, View
from binome.lab.errors import LabError
from binome.lab.repeat import withheld
from binome.lab.stage import Stage
from binome.lab.table import ROWS, judged
from tests.lab.conftest import LITTORAL
from tests.lab.test_report import GOOD

ESTATE = load(LITTORAL.read_bytes())
PLAYED = replace(GOOD, stage=Stage("par-watch", "par-watch"), decider="par-watch", new_primary_s=0.7)
SITES = {"gravelines": "gra-edge", "paris": "par-watch", "strasbourg": "sbg-edge"}


def run(**other: Any) -> dict[str, Any]:
    return {**runs.run(PLAYED, ESTATE, act_after_s=0.35), **other}


def place(site: str) -> dict[str, str]:
    return {"server": SITES[site], "site": site}


def quick(**other: Any) -> dict[str, Any]:
    """A run of a fire in gravelines that keeps every bound of the first row."""
    down = {"impatient": 0.8, "patient": 1.1}
    web = {"impatient": 0.4, "patient": 0.8}
    return run(**{"new_primary_s": 0.6, "writes_down_s": down, "web_down_s": web, **other})


def whole() -> dict[str, list[dict[str, Any]]]:
    """Runs by which every row holds."""
    found = {row.key: [quick() for _ in range(row.n)] for row in table.MEASURED}
    found["etcd-leader"] = [quick(etcd_leader=place("gravelines")) for _ in range(10)]
    found["decider"] = [quick(led=place("gravelines")) for _ in range(10)]
    found["standby"] = [quick(fault="burn-standby", new_primary_s=None) for _ in range(5)]
    return found


def wrong(found: dict[str, list[dict[str, Any]]]) -> dict[str, tuple[str, ...]]:
    return {one.row.key: one.wrong for one in judged(found) if one.wrong}


def test_a_run_says_where_everybody_stood() -> None:
    one = run()
    assert (one["decider"], one["led"], one["etcd_leader"]) == (place("paris"), place("paris"), place("paris"))
    assert (one["delay_ms"], one["act_after_s"], one["lost"], one["double_primary"]) == (0, 0.35, 0, 0)
    assert one["writes_down_s"] == {"impatient": 22.5, "patient": 23.0}
    assert one["writes_down_from_s"]["patient"] == -5.0, "its log begins 5 s before the fault"
    assert runs.run(replace(PLAYED, decider=""), ESTATE, act_after_s=2.0)["decider"] is None
    assert "decided by par-watch in paris" in runs.line(1, one)
    assert "new primary not needed;" in runs.line(1, run(fault="burn-standby", new_primary_s=None))
    assert "new primary never;" in runs.line(1, run(new_primary_s=None))


def test_figures_are_least_median_and_greatest_of_what_came() -> None:
    some = [run(new_primary_s=value) for value in (0.9, 0.6, None, 0.7)]
    assert runs.figures(some)["new_primary_s"] == {"min": 0.6, "median": 0.7, "max": 0.9, "n": 3}
    assert runs.figures([run(new_primary_s=None)])["new_primary_s"] is None
    assert ("new primary", "0.60 / 0.70 / 0.90 s", "n = 3, 1 never") in runs.lines(some)
    assert "<td>never</td>" in runs.page(some)


def test_every_row_holds_when_every_bound_does() -> None:
    assert wrong(whole()) == {}
    page = table.markdown(judged(whole()), date="2026-11-24", engines={"etcd": "3.4.23"}, machine="2 cores")
    first = (
        "| primary's site burns | new primary | median ≤ 0.95, max ≤ 1.5 | 0.60 / 0.60 / 0.60 | 10 | paris 10 | yes |"
    )
    assert first in page
    assert "Every bound holds; nothing was lost or doubled." in page
    assert "**no**" not in page


def test_nothing_measured_holds_nowhere() -> None:
    assert set(wrong({})) == {row.key for row in ROWS}


def test_a_row_that_was_not_run_says_so_and_one_that_failed_says_no() -> None:
    found = whole()
    found["switchover"] = []
    page = table.markdown(judged(found), date="2026-11-24", engines={}, machine="2 cores")
    assert "| planned switchover | writes down, impatient | median ≤ 2.5 | – | 0 |  | not run |" in page
    assert "**no**" not in page
    never = {"new_primary_s": None, "writes_down_s": {"impatient": 0.8, "patient": 1.1}}
    found["burn"] = [quick(**never) for _ in range(10)]
    page = table.markdown(judged(found), date="2026-11-24", engines={}, machine="2 cores")
    assert "| primary's site burns | new primary | median ≤ 0.95, max ≤ 1.5 | – | 10 | paris 10 | **no** |" in page


@pytest.mark.parametrize(
    ("row", "other", "words"),
    [
        ("burn", {"new_primary_s": 0.96}, "new primary: 0.96 / 0.96 / 0.96 against median ≤ 0.95"),
        ("burn", {"writes_down_s": {"impatient": 1.01, "patient": 1.1}}, "writes down, impatient: 1.01"),
        ("burn", {"lost": 1}, "10 acknowledged writes are lost"),
        ("burn", {"double_primary": 1}, "10 writes were acknowledged by two primaries"),
        ("burn", {"good": False}, "10 runs were no good ones"),
        ("burn", {"led": place("gravelines")}, "10 runs were not what the row says"),
        ("burn", {"etcd_leader": place("gravelines")}, "10 runs were not what the row says"),
        ("etcd-leader", {"etcd_leader": place("paris")}, "10 runs were not what the row says"),
        ("decider", {"led": place("paris")}, "10 runs were not what the row says"),
        ("decider", {"new_primary_s": 3.01}, "against median ≤ 3, max ≤ 4.5"),
        ("default", {"new_primary_s": 2.71}, "against median ≤ 2.7"),
        ("standby", {"writes_down_s": {"impatient": 1.01, "patient": 1.1}}, "against median ≤ 1"),
        ("kill-postgres", {"new_primary_s": 3.6}, "against median ≤ 3.5"),
        ("switchover", {"writes_down_s": {"impatient": 2.6, "patient": 1.1}}, "against median ≤ 2.5"),
    ],
)
def test_a_row_that_misses_says_what(row: str, other: dict[str, Any], words: str) -> None:
    found = whole()
    found[row] = [{**one, **other} for one in found[row]]
    assert {row} <= set(wrong(found)) <= {row, "web"}, "no other row, unless it counts the same runs"
    assert words in " ".join(wrong(found)[row])


def test_the_greatest_counts_as_well_as_the_median() -> None:
    found = whole()
    found["burn"][3] = quick(new_primary_s=1.51)
    assert wrong(found) == {"burn": ("new primary: 0.60 / 0.60 / 1.51 against median ≤ 0.95, max ≤ 1.5",)}
    found["burn"][3] = quick(new_primary_s=1.5)
    assert wrong(found) == {}


def test_web_pages_are_judged_in_every_fire_and_only_there() -> None:
    found = whole()
    slow = {"impatient": 0.7, "patient": 1.1}
    found["switchover"] = [quick(fault="switchover", web_down_s=slow) for _ in range(100)]
    assert wrong(found) == {}
    for key in ("burn", "etcd-leader", "decider"):
        found[key] = [{**one, "web_down_s": slow} for one in found[key]]
    assert list(wrong(found)) == ["web"]


def test_too_few_runs_are_said() -> None:
    found = whole()
    found["burn"] = found["burn"][:9]
    assert wrong(found) == {"burn": ("9 runs of 10",)}


HEAD = ["# pxname", "svname", "status"]


@pytest.mark.parametrize(
    ("rows", "left"),
    [
        ([], ["no statistics"]),
        ([HEAD, ["database", "gra-db", "UP"], ["database", "sbg-db", "DOWN"], ["web", "gra-web", "UP"]], []),
        ([HEAD, ["database", "gra-db", "DOWN"]], ["database has 0 servers for writes"]),
        ([HEAD, ["database", "gra-db", "UP"], ["database", "sbg-db", "UP"]], ["database has 2 servers for writes"]),
        ([HEAD, ["database", "gra-db", "UP"], ["database", "sbg-db", "MAINT"]], ["database/sbg-db is MAINT"]),
        ([HEAD, ["web", "gra-web", "DOWN 1/2"]], ["web/gra-web is DOWN 1/2"]),
        ([HEAD, ["web", "BACKEND", "DOWN"], ["web", "FRONTEND", "OPEN"]], []),
    ],
)
def test_an_edge_is_whole_when_it_sends_traffic_wherever_it_should(rows: list[list[str]], left: list[str]) -> None:
    assert withheld(rows, ["database"]) == left


def test_a_view_begins_again_with_nothing() -> None:
    view = View("littoral", "burn", site="gravelines", faulted_at_s=1.0, acknowledged=7, per_second=[7])
    view.begin_again()
    assert view == View("littoral", "burn")


def outcome(lost: tuple[str, ...] = ()) -> Outcome:
    return replace(PLAYED, evidence=Evidence(100, lost, 0, 0, ()), records=())


class Played:
    """Demonstrations that end as written, on a lab that is always whole."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch, ends: list[Outcome | LabError]) -> None:
        self.scenes: list[Scene] = []
        self._ends = ends
        from binome.lab import repeat, stage

        for name in ("settle", "prepare_ledger"):
            monkeypatch.setattr(repeat, name, lambda *_: None)
        monkeypatch.setattr(repeat, "Strike", lambda *_: type("At", (), {"site": "gravelines"}))
        monkeypatch.setattr(stage, "arranged", lambda *_: Stage("", ""))
        monkeypatch.setattr(repeat, "held_by", lambda *_: set())
        monkeypatch.setattr(repeat, "demonstrate", self.demonstrate)
        self.repeat = repeat.repeat

    def demonstrate(self, lab: Any, view: View, say: Any, scene: Scene) -> Outcome:
        self.scenes.append(scene)
        end = self._ends[len(self.scenes) - 1]
        if isinstance(end, LabError):
            raise end
        return end


LAB: Any = type("Lab", (), {"database": lambda self: "database", "primary": lambda self, _: "gra-db"})()


def test_runs_end_with_the_first_lost_write(monkeypatch: pytest.MonkeyPatch) -> None:
    played = Played(monkeypatch, [outcome(), outcome(lost=("2-patient-7",)), outcome()])
    series = played.repeat(LAB, 3, View("littoral", "burn"), lambda _: None)
    assert (len(series.outcomes), series.good) == (2, False)
    assert [scene.prefix for scene in played.scenes] == ["1-", "2-"]


def test_runs_that_are_all_good_are_good(monkeypatch: pytest.MonkeyPatch) -> None:
    heard: list[Outcome] = []
    played = Played(monkeypatch, [outcome(), outcome()])
    series = played.repeat(LAB, 2, View("littoral", "burn"), lambda _: None, told=heard.append)
    assert (len(heard), series.good, series.trouble) == (2, True, "")


def test_a_lab_that_fails_keeps_the_runs_before_it(monkeypatch: pytest.MonkeyPatch) -> None:
    played = Played(monkeypatch, [outcome(), LabError("the engines are gone")])
    series = played.repeat(LAB, 3, View("littoral", "burn"), lambda _: None)
    assert (len(series.outcomes), series.good, series.trouble) == (1, False, "run 2: the engines are gone")


def test_a_write_that_is_gone_after_a_later_run_is_lost(monkeypatch: pytest.MonkeyPatch) -> None:
    played = Played(monkeypatch, [replace(PLAYED, fault="burn"), outcome()])
    series = played.repeat(LAB, 2, View("littoral", "burn"), lambda _: None)
    assert (series.lost_later, series.good) == (("a",), False)
