"""The rows of the fault matrix, how they are judged, and how their table is written."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path
from typing import Any

import msgspec
import pytest
from typer.testing import CliRunner

from binome.cli import matrix as command
from binome.cli.main import app
from binome.core.entry import Entry
from binome.core.leadership import LeadershipTaken
from binome.estate import load
from binome.estate.model import PostgresqlService
from binome.lab import matrix_table
from binome.lab.checker import Evidence
from binome.lab.disks import SIZES_MIB
from binome.lab.grey import PROGRAMS
from binome.lab.lookouts import Told
from binome.lab.matrix import COOLDOWN_S, Seen, judge, quickened, two_minds
from binome.lab.rows import NOT_BUILT, REMARKS, ROWS, Row
from binome.lab.sessions import Ended, longest
from tests.lab.conftest import LITTORAL

ROW = Row("cut", "it is cut off", (("cut", "primary's"),), 10, 5, (1, 1), told=("takeover by {standby}",))
GOOD = Seen(ROW, Evidence(1000, (), 2, 1, ()), {"write": 2.5}, 1, 0, 1, 4.2, ["journal: takeover by sbg-db is planned"])
NAMES = {"standby": "sbg-db"}
SITES = {"primary's", "standby's", "witness's"}
SERVERS = {"primary", "standby", "witness", "leader", "edge", "primary's-lookout"}


def test_what_is_expected_holds() -> None:
    assert judge(ROW, GOOD, NAMES) == []


@pytest.mark.parametrize(
    ("change", "why"),
    [
        ({"evidence": Evidence(1000, ("a",), 0, 0, ())}, "1 acknowledged writes lost"),
        ({"evidence": Evidence(1000, (), 0, 0, ("a", "b"))}, "2 writes acknowledged by two primaries"),
        ({"evidence": Evidence(3, (), 0, 0, ())}, "only 3 writes acknowledged: that proves nothing"),
        ({"outage_s": {"write": 5.01}}, "writes out for 5.0 s"),
        ({"takeovers": 0}, "0 takeovers"),
        ({"takeovers": 2}, "2 takeovers"),
        ({"later": 1}, "1 takeovers after its end"),
        ({"told": ["journal: takeover by gra-db is planned"]}, r"nobody is told 'takeover by sbg\\-db'"),
    ],
)
def test_what_is_not_is_named(change: dict[str, Any], why: str) -> None:
    assert judge(ROW, replace(GOOD, **change), NAMES) == [why]


def test_who_writes_beside_the_leader_is_named() -> None:
    def told(sequence: int, generation: int, leader: str) -> Told:
        raw = msgspec.Raw(b"{}")
        return Told(Entry(sequence, f"e{sequence}", 0, "c", generation, raw, ""), LeadershipTaken(leader))

    good = [told(1, 1, "a"), told(2, 1, "a"), told(3, 2, "b"), told(4, 5, "a")]
    assert two_minds(good) == []
    assert two_minds([*good, told(5, 2, "b")]) == ["entry 5 is of generation 2, after 5"]
    assert two_minds([*good, told(5, 5, "b")]) == ["a and b both took generation 5"]


def test_what_must_not_be_told_is_named_with_its_words() -> None:
    row = replace(ROW, untold=("^page ", "{standby} leads"))
    assert judge(row, GOOD, NAMES) == []
    seen = replace(GOOD, told=[*GOOD.told, "page a x"], told_later=["journal: sbg-db leads, generation 3", "no page "])
    assert judge(row, seen, NAMES) == ["told: page a x", "told: journal: sbg-db leads, generation 3"]


def test_sessions_that_are_not_ended_in_time_are_named() -> None:
    row = replace(ROW, sessions_s=5)
    assert judge(row, replace(GOOD, sessions_s=4.9), NAMES) == []
    assert judge(row, replace(GOOD, sessions_s=5.1), NAMES) == ["sessions to the lost primary are ended after 5.1 s"]
    assert judge(row, GOOD, NAMES) == ["sessions to the lost primary are not ended"]


def test_sessions_count_where_their_edge_can_be_heard() -> None:
    ended = {"lost": Ended(2, ()), "one": Ended(2, (11.0, 14.5)), "other": Ended(1, (12.0,))}
    assert longest(ended, frozenset({"lost"}), 10.0) == 4.5
    assert longest(ended, frozenset(), 10.0) is None, "those at the lost edge are still open"
    assert longest({}, frozenset(), 10.0) is None


def test_a_row_without_a_bound_lets_writes_wait() -> None:
    assert judge(replace(ROW, outage_s=None), replace(GOOD, outage_s={"write": 99}), NAMES) == []


def test_rows_have_names_of_their_own_and_acts_that_there_are() -> None:
    assert len({row.name for row in ROWS}) == len(ROWS)
    for row in ROWS:
        for verb, *rest in row.acts:
            if verb in ("freeze", "thaw", "kill"):
                assert rest[0] in SERVERS, row.name
                assert rest[1] in PROGRAMS, row.name
            elif verb in ("lose-data", "fill-quota", "ask", "switch-log"):
                assert rest[0] in SERVERS, row.name
            elif verb == "clock":
                assert rest[0] == "leader", row.name
                assert row.clocks, row.name
            elif verb == "fill-disk":
                assert rest[0] in SERVERS, row.name
                assert rest[1] in row.disks, row.name
                assert rest[1] in SIZES_MIB, row.name
            elif verb in ("cut", "burn", "flap"):
                assert rest[0] in SITES, row.name
            elif verb in ("part", "loss", "one-way"):
                assert {one for one in rest if not one.isdigit()} <= SITES | SERVERS, row.name
            else:
                assert verb in ("wait", "until-led", "slow-etcd", "delay"), row.name
    assert set(REMARKS) <= {row.name for row in ROWS}
    assert sum(row.quick for row in ROWS) >= 3


def test_the_lab_acts_sooner_than_the_estate() -> None:
    database = load(quickened(LITTORAL.read_bytes())).services["database"]
    assert isinstance(database, PostgresqlService)
    assert (database.act_after_ms, database.cooldown_ms) == (350, COOLDOWN_S * 1000)


def run_of(row: str, outage_s: float, *amiss: str, version: str = "2") -> dict[str, Any]:
    return {
        "row": row,
        "amiss": list(amiss),
        "outage_s": {"write": outage_s},
        "takeovers": 1,
        "later": int(outage_s == 3),
        "planned": 1,
        "whole_s": 9.0,
        "load": 1.5,
        "date": "2026-11-24",
        "versions": {"binome": version},
    }


def test_a_row_of_the_table_says_what_was_seen_in_all_its_runs() -> None:
    runs = [run_of("primary-cut", 1.0), run_of("primary-cut", 3.0, "2 takeovers"), run_of("primary-cut", 1.5)]
    page = matrix_table.page(runs, {}, NOT_BUILT)
    (line,) = [one for one in page.splitlines() if one.startswith("| the primary's site cut off |")]
    assert (
        "| **2 of 3 hold**: 2 takeovers | 1.0 / 1.5 / 3.0 | 1 (1), 1 + 1 (1) | 9.0 / 9.0 / 9.0 | 3 | 1.5 | 2026-11-24 |"
        in line
    )
    assert page.count("| not run |") == len(ROWS) - 1
    assert NOT_BUILT[0][1] in page


def test_runs_of_an_older_version_are_forgotten_where_there_are_newer_ones() -> None:
    old, other, new = run_of("loss", 9, version="1"), run_of("flap", 2, version="1"), run_of("loss", 1)
    assert matrix_table.newest([old, other, new]) == [other, new]


def test_the_command_adds_its_runs_to_those_that_are_kept(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    first = ROWS[0].name
    monkeypatch.setattr(command, "run_rows", lambda *_: [replace(GOOD, row=ROWS[0])])
    monkeypatch.setattr(
        command, "dated", lambda seen: {**seen.as_json(), "date": "today", "load": 1, "versions": {"etcd": "3"}}
    )
    arguments = ["lab", "matrix", first, "--write", str(tmp_path)]
    for _ in range(2):
        assert CliRunner().invoke(app, arguments).exit_code == 0
    runs = [json.loads(line) for line in (tmp_path / "matrix.jsonl").read_text().splitlines()]
    assert [run["row"] for run in runs] == [first, first]
    assert "told" not in runs[0], "what is kept is figures"
    assert f"| {ROWS[0].fault} |" in (tmp_path / "matrix.md").read_text()


def test_the_command_ends_with_1_where_a_row_does_not_hold(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(command, "run_rows", lambda *_: [GOOD, replace(GOOD, amiss=["2 takeovers"])])
    monkeypatch.setattr(command, "dated", lambda seen: seen.as_json())
    done = CliRunner().invoke(app, ["lab", "matrix", "--json"])
    assert done.exit_code == 1
    assert [row["holds"] for row in json.loads(done.stdout)["rows"]] == [True, False]


def test_an_unknown_row_is_refused_by_name() -> None:
    done = CliRunner().invoke(app, ["lab", "matrix", "primary-cot"])
    assert done.exit_code == 2
    assert "there is no row primary-cot; nothing was done.  Did you mean primary-cut?" in done.output
