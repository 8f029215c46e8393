"""What a demonstration says of itself is not better than what it found."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path

import pytest

from binome.lab import report
from binome.lab.checker import Evidence
from binome.lab.demo import Event, Outcome, Recovery
from binome.lab.errors import LabError
from binome.lab.record import Record

GOOD = Outcome(
    estate="littoral",
    fault="burn",
    site="gravelines",
    evidence=Evidence(4000, (), 2, 6, ()),
    outage_s={"write": 23.0, "read": 1.07, "web": 1.02},
    outage_impatient_s={"write": 22.5, "read": 0.3, "web": 0.4},
    unanswered={"write": 4000, "read": 12, "web": 30},
    flows=True,
    new_primary_s=22.4,
    verdict_s=3.4,
    scope="Site gravelines is lost: 8 of 8 targets silent since 00:47:12, seen from paris and strasbourg.",
    time_to_redundancy_s=35.0,
    events=(Event(-10.0, "2 clients write"), Event(0.0, "gravelines burns"), Event(22.4, "<sbg-db> is primary")),
    engines={"etcd": "3.4.23"},
    faulted_at_s=100.0,
    records=(
        (
            "patient",
            (
                Record(95.0, "write", "a", 1, "gra-edge", "sent"),
                Record(95.1, "write", "a", 1, "gra-edge", "acknowledged"),
            ),
        ),
        ("impatient", ()),
    ),
)


def test_a_good_night() -> None:
    assert GOOD.good
    assert report.verdict(report.as_json(GOOD)) == "4,000 writes were acknowledged, and all of them are there."


RECOVERY = Recovery("nightly", "vault-par", True, -4.2, 31.5, True, {"fetch": 0.8}, ("a-7", "a-8"))
RECOVERED = replace(GOOD, fault="both", recovery=RECOVERY, time_to_redundancy_s=None)


def test_a_night_with_nothing_left_but_a_copy() -> None:
    found = report.as_json(RECOVERED)
    assert RECOVERED.good and found["lost_beyond_backup"] == 2 and found["recovery"]["point_s"] == -4.2
    words = "Everything up to the newest copy is there; 2 acknowledged in the 4.2 s after it are gone."
    assert report.verdict(found) == words
    rows = {name: (value, meaning) for name, value, meaning in report.figures(found)}
    assert rows["restored"] == ("31.5 s", "fetch 0.8 s") and "pair whole again" not in rows
    assert "lost beyond it" in report.page(RECOVERED)
    nothing = report.as_json(replace(RECOVERED, recovery=replace(RECOVERY, lost_beyond=())))
    assert report.verdict(nothing).endswith("nothing after it is gone.")
    for bad, words in (
        (replace(RECOVERED, recovery=replace(RECOVERY, same=False)), "not what was saved"),
        (replace(RECOVERED, evidence=Evidence(4000, ("a-1",), 0, 0, ())), "1 acknowledged writes are lost"),
        (replace(RECOVERED, flows=False), "writes never flowed again"),
    ):
        assert not bad.good and words in report.verdict(report.as_json(bad))


@pytest.mark.parametrize(
    ("bad", "words"),
    [
        (replace(GOOD, evidence=Evidence(4000, ("a-1",), 0, 0, ())), "1 acknowledged writes are lost"),
        (replace(GOOD, evidence=Evidence(4000, (), 0, 0, ("a-1", "a-2"))), "by a second primary"),
        (replace(GOOD, flows=False), "writes never flowed again"),
        (replace(GOOD, time_to_redundancy_s=None), "the pair is not whole again"),
    ],
)
def test_a_bad_night_is_not_good_and_says_why(bad: Outcome, words: str) -> None:
    assert not bad.good
    assert words in report.verdict(report.as_json(bad))
    assert words in report.page(bad)


def test_without_a_new_primary_a_burned_primary_is_no_good_night() -> None:
    assert not replace(GOOD, new_primary_s=None).good
    assert replace(GOOD, new_primary_s=None, fault="burn-standby").good


def test_the_record_has_its_keys() -> None:
    assert set(report.as_json(GOOD)) >= {
        "fault", "site", "acknowledged", "lost", "unknown_found", "unknown_missing", "double_primary", "outage_s",
        "outage_impatient_s", "new_primary_s", "time_to_redundancy_s", "patience_s", "pages", "events", "engines",
    }  # fmt: skip
    assert report.as_json(GOOD)["events"][1] == {"at_s": 0.0, "what": "gravelines burns"}


def test_the_page_escapes_and_fetches_nothing(tmp_path: Path) -> None:
    report.write(GOOD, tmp_path)
    page = (tmp_path / "report.html").read_text()
    assert "&lt;sbg-db&gt; is primary" in page
    assert "<sbg-db>" not in page
    assert "src=" not in page and "href=" not in page and "url(" not in page
    assert json.loads((tmp_path / "report.json").read_text())["lost"] == 0


def test_a_report_that_cannot_be_written_is_a_clear_error(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    with pytest.raises(LabError, match=r"the report cannot be written to .*/file/under: Not a directory"):
        report.write(GOOD, tmp_path / "file" / "under")
