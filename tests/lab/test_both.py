"""Both data sites burn with all that they hold: the platform comes back out of a vault."""

from __future__ import annotations

from pathlib import Path

import pytest

from binome.estate import load
from binome.lab import both, report
from binome.lab.both import _from_the_fault, _judged
from binome.lab.demo import Event, View
from binome.lab.errors import LabError
from binome.lab.guard import passing_lab
from binome.lab.record import Record, State
from binome.lab.vaults import left
from tests.lab.conftest import LITTORAL

BEFORE_THE_FIRE = LITTORAL.parents[1] / "before-the-fire" / "estate.yaml"


def test_what_is_left_of_the_example() -> None:
    found = left(load(LITTORAL.read_bytes()))
    assert (found.sites, found.spare, found.lookout) == (("gravelines", "strasbourg"), "par-spare", "par-watch")
    assert (found.backup, found.data, found.vault) == ("nightly", "contacts", "vault-par")
    assert found.joins == {"database": "par-spare", "web": "par-spare", "edge": "par-watch"}


def test_an_estate_that_has_nothing_left_says_what_it_lacks() -> None:
    with pytest.raises(LabError, match="nothing outside of strasbourg and strasbourg-2 to begin again from") as refused:
        left(load(BEFORE_THE_FIRE.read_bytes()))
    assert "a restic vault with dumps of the database" in str(refused.value)


def write(id_: str, at_s: float, state: State, server: str = "gra-db", timeline: int = 1) -> Record:
    return Record(at_s, "write", id_, 1, "edge", state, server=server, timeline=timeline)


def test_what_the_copy_should_have_is_lost_and_what_came_after_it_is_beyond() -> None:
    records = [
        *(write(id_, at_s, "sent") for id_, at_s in (("a", 1), ("b", 2), ("c", 6), ("d", 7), ("e", 30))),
        write("a", 1.5, "acknowledged"),
        write("b", 2.5, "acknowledged"),
        write("c", 6.5, "acknowledged"),
        write("d", 8, "unknown"),
        write("e", 31, "acknowledged", "par-spare"),
    ]
    good = _judged(records, {"a", "b", "e"}, 5.0, 20.0)
    assert (good.evidence.lost, good.beyond, good.evidence.acknowledged) == ((), ("c",), 4)
    assert (good.evidence.unknown_missing, good.evidence.double_primary) == (1, ())
    assert _judged(records, {"a", "e"}, 5.0, 20.0).evidence.lost == ("b",), "the copy should have had it"
    assert _judged(records, {"a", "b"}, 5.0, 20.0).evidence.lost == ("e",), (
        "acknowledged by the platform that came back"
    )
    kept = _judged(records, {"a", "b", "c", "e"}, 5.0, 20.0)
    assert kept.beyond == (), "what the copy has besides is no loss"


def test_what_came_before_the_fire_is_told_from_the_fire() -> None:
    events = [Event(-5.0, "load"), Event(2.0, "copy"), Event(0.0, "burns"), Event(4.0, "flows")]
    told = _from_the_fault(events, 2, -3.5)
    assert [(one.at_s, one.what) for one in told] == [(-8.5, "load"), (-1.5, "copy"), (0.0, "burns"), (4.0, "flows")]


@pytest.mark.lab
def test_the_platform_comes_back_out_of_the_vault(tmp_path: Path) -> None:
    view = View("littoral", "both")
    with passing_lab(LITTORAL.read_bytes(), say=print, salvage=tmp_path / "logs") as lab:
        outcome = both.demonstrate(lab, view, print)
    found = report.as_json(outcome)
    assert outcome.good, report.verdict(found)
    times = {one.what: one.at_s for one in outcome.events}
    assert next(at_s for what, at_s in times.items() if what.startswith("it is proven")) < 0
    assert outcome.recovery is not None
    assert outcome.recovery.proven and outcome.recovery.same and outcome.recovery.point_s < 0
    assert outcome.evidence.acknowledged > 300 and found["lost_beyond_backup"] == len(outcome.recovery.lost_beyond) > 0
