"""What the fuzzer draws, how it judges, and that a violation can be played again."""

from __future__ import annotations

import json
import math
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import replace
from itertools import combinations, islice, pairwise
from pathlib import Path
from typing import Any

import pytest
from typer.testing import CliRunner

from binome.cli import fuzz as command
from binome.cli.main import app
from binome.core.takeover import DatabaseMoved
from binome.lab import fuzz
from binome.lab.checker import Evidence
from binome.lab.fuzz import Held, automatic, flows, judge, moments, most_takeovers, too_soon
from binome.lab.fuzz_plan import (
    DESTROYS,
    KINDS,
    OF_SITES,
    WITHIN_S,
    Episode,
    Strike,
    clash,
    episode,
    parse,
    planned,
    written,
)
from binome.lab.grey import PROGRAMS
from binome.lab.record import Operation, Record, State
from tests.lab.conftest import LITTORAL

MANY = [one for seed in range(20) for one in islice(planned(seed), 50)]
FREEZE = Strike(0, 5, ("freeze", "primary", "postgresql"))
CUT = Strike(2, 10, ("cut", "primary's"))
WIPE = Strike(0, None, ("wipe", "standby's"))


def test_a_seed_draws_the_same_episodes_and_another_seed_others() -> None:
    assert list(islice(planned(3), 20)) == list(islice(planned(3), 20))
    assert list(islice(planned(3), 20)) != list(islice(planned(4), 20))
    assert episode("3-7") == next(islice(planned(3), 6, None)), "an episode can be drawn alone"


def test_every_kind_is_drawn_at_everything_that_it_can_be_aimed_at() -> None:
    drawn = {strike.act for one in MANY for strike in one.strikes}
    assert drawn == {(kind.verb, *aim) for kind in KINDS for aim in kind.aims}
    assert {program for kind in KINDS if kind.verb == "freeze" for _, program in kind.aims} <= set(PROGRAMS)


def test_faults_overlap_and_lengths_are_short_as_often_as_long() -> None:
    together = [one for one in MANY if any(b.at_s < a.ends_s for a, b in pairwise(one.strikes))]
    assert len(together) > len(MANY) / 2
    lengths_s = [strike.lasts_s for one in MANY for strike in one.strikes if strike.lasts_s is not None]
    assert min(lengths_s) < 1
    assert max(lengths_s) > 30
    assert 0.2 < sum(one < 4 for one in lengths_s) / len(lengths_s) < 0.7
    assert max(strike.at_s for one in MANY for strike in one.strikes) <= WITHIN_S


def test_what_nobody_promises_is_not_drawn() -> None:
    for one in MANY:
        assert sum(strike.act[0] in DESTROYS for strike in one.strikes) <= 1
        assert all(strike.at_s == 0 for strike in one.strikes if strike.act[0] == "wipe")
        assert one.strikes[0].at_s == 0
        assert one.lasts_s < WITHIN_S + 41
        for some, other in combinations(one.strikes, 2):
            assert not clash(some, other)


@pytest.mark.parametrize(
    ("some", "other", "expected"),
    [
        (FREEZE, CUT, False),
        (FREEZE, Strike(3, 1, FREEZE.act), True),
        (FREEZE, Strike(6, 1, FREEZE.act), False),
        (CUT, Strike(11, 9, ("flap", "primary's", "2")), True),
        (CUT, Strike(13, 9, ("flap", "primary's", "2")), False),
        (CUT, Strike(3, 9, ("flap", "standby's", "2")), False),
        (WIPE, Strike(20, 1, ("cut", "standby's")), True),
        (WIPE, Strike(20, None, ("lose-data", "witness")), True),
        (Strike(0, 5, ("slow-etcd", "2", "0.5")), Strike(20, 5, ("kill", "witness", "etcd")), True),
        (Strike(0, 5, ("slow-etcd", "2", "0.5")), Strike(2, 5, ("freeze", "edge", "haproxy")), False),
        (Strike(0, 5, ("slow-etcd", "2", "0.5")), Strike(2, 5, ("slow-etcd", "0.3", "0.3")), True),
    ],
)
def test_faults_that_would_be_in_each_others_way_are_not_drawn(some: Strike, other: Strike, expected: bool) -> None:
    assert clash(some, other) is clash(other, some) is expected
    assert {"cut", "flap"} <= OF_SITES


def test_a_schedule_is_read_as_it_was_written() -> None:
    some = list(islice(planned(5), 30))
    assert parse(written(some).encode()) == some
    assert any(strike.lasts_s is None for one in some for strike in one.strikes)
    with pytest.raises(ValueError, match="strikes"):
        parse(b'[{"name": "1-1"}]')


def test_faults_come_and_go_in_the_order_of_their_times() -> None:
    one = Episode("x", (WIPE, CUT, replace_strike(FREEZE, at_s=4.0)))
    assert moments(one) == [(0, True, 0), (2, True, 1), (4.0, True, 2), (9.0, False, 2), (12, False, 1)]
    assert one.lasts_s == 12
    assert Episode("x", (FREEZE, WIPE)).lasts_s == 10, "what lasts to the end has some time"
    assert math.isinf(WIPE.ends_s)


def replace_strike(one: Strike, at_s: float) -> Strike:
    return Strike(at_s, one.lasts_s, one.act)


def record(at_s: float, operation: Operation, state: State) -> Record:
    return Record(at_s, operation, f"{at_s}", 1, "edge", state)


LOG = [record(1, "write", "acknowledged"), record(9, "write", "acknowledged"), record(10, "read", "acknowledged")]
GOOD = Held(Episode("1-1", (FREEZE,)), Evidence(1000, (), 2, 1, ()), 3.0, 1, 0, 4.2, [FREEZE])


def test_what_is_promised_holds() -> None:
    assert judge(GOOD, {"patient": LOG}) == []


@pytest.mark.parametrize(
    ("change", "log", "why"),
    [
        ({"evidence": Evidence(1000, ("a",), 0, 0, ())}, LOG, "1 acknowledged writes lost"),
        ({"evidence": Evidence(1000, (), 0, 0, ("a",))}, LOG, "1 writes acknowledged by two primaries"),
        ({"takeovers": 2}, LOG, "2 takeovers, of faults that may bring about 1"),
        ({}, [*LOG, record(12, "write", "failed")], "the patient client gets no writes acknowledged"),
        ({}, [], "the patient client gets no writes acknowledged"),
    ],
)
def test_what_does_not_hold_is_named(change: dict[str, Any], log: list[Record], why: str) -> None:
    assert judge(replace(GOOD, **change), {"patient": log}) == [why]


def test_a_lab_that_is_never_whole_need_not_serve_its_clients() -> None:
    assert judge(replace(GOOD, whole_s=None), {"patient": []}) == []
    assert not flows([])


def test_a_fault_may_bring_about_one_takeover_and_one_more_where_a_quorum_comes_back() -> None:
    assert most_takeovers([FREEZE]) == 1
    assert most_takeovers([CUT, FREEZE]) == 3
    assert most_takeovers([Strike(0, 1, ("kill", "witness", "etcd"))]) == 2
    assert (
        most_takeovers([Strike(0, 1, ("kill", "edge", "haproxy")), Strike(0, 1, ("freeze", "standby", "agent"))]) == 0
    )


def test_a_takeover_in_the_cooldown_of_the_last_one_is_named() -> None:
    def moved(at_ms: int, primary: str, plan: str = "takeover/loss/1") -> tuple[int, DatabaseMoved]:
        return at_ms, DatabaseMoved(plan, "database", primary)

    assert too_soon([moved(0, "a"), moved(10_000, "b")], 10_000) == []
    assert too_soon([moved(0, "a"), moved(9_000, "a")], 10_000) == [], "the same again is no other takeover"
    assert too_soon([moved(0, "a"), moved(9_999, "b", "p")], 10_000) == [
        "database was taken over again after 10.0 s: p"
    ]
    assert automatic(moved(0, "a")[1])
    assert not automatic(moved(0, "a", "takeover/switch/1")[1]), "somebody asked for it"
    assert not automatic(DatabaseMoved("takeover/loss/1", "database", "a", "b")), "a standby was released"


def test_a_violation_is_told_with_a_schedule_that_the_command_plays_again(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    played: list[list[Episode]] = []

    def run(_text: bytes, episodes: Any, seconds: float, *_: Any) -> list[Held]:
        some = list(islice(episodes, 3))
        played.append(some)
        assert seconds == (60 if len(played) == 1 else math.inf), "what is played again is played to its end"
        return [replace(GOOD, episode=some[0]), *(replace(GOOD, episode=one, amiss=["it is so"]) for one in some[1:2])]

    monkeypatch.setattr(command, "run", run)
    done = CliRunner().invoke(app, ["lab", "fuzz", "--seconds", "60", "--seed", "9"])
    assert done.exit_code == 1
    assert "9-2: it is so" in done.output
    assert "2 episodes, 2 faults, 2,000 writes acknowledged, 2 takeovers, 1 violations: 9-2" in done.output
    schedule = tmp_path / "schedule.json"
    schedule.write_text(done.output.split("the schedule:\n")[1].split("\nagain:")[0])
    done = CliRunner().invoke(app, ["lab", "fuzz", "--schedule", str(schedule), "--json"])
    assert (done.exit_code, played[1]) == (0, played[0][1:2])
    assert [one["episode"] for one in json.loads(done.stdout)["episodes"]] == ["9-2"]


def test_a_schedule_that_is_none_is_refused(tmp_path: Path) -> None:
    for path in (tmp_path / "none.json", tmp_path):
        done = CliRunner().invoke(app, ["lab", "fuzz", "--schedule", str(path)])
        assert done.exit_code == 2
        assert "cannot be played" in done.output


class PlayedFuzz:
    """A fuzzer whose every second episode violates something."""

    def __init__(self, lab: Any, _say: Any) -> None:
        self.lab, self.count = lab, 0

    def play(self, one: Episode) -> Held:
        self.count += 1
        return replace(GOOD, episode=one, amiss=["it is so"] if self.count == 2 else [])

    def lost_later(self) -> int:
        return 3


class KeptLab:
    """A lab of which only the evidence is asked."""

    def keep_evidence(self, into: Path, *, engines: bool) -> None:
        assert engines
        into.mkdir(parents=True)


def test_after_a_violation_there_is_a_new_lab_and_its_schedule_is_kept(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    labs: list[KeptLab] = []

    @contextmanager
    def passing_lab(*_: Any, **__: Any) -> Iterator[KeptLab]:
        labs.append(KeptLab())
        yield labs[-1]

    monkeypatch.setattr(fuzz, "passing_lab", passing_lab)
    monkeypatch.setattr(fuzz, "prepare_ledger", lambda _: None)
    monkeypatch.setattr(fuzz, "Fuzz", PlayedFuzz)
    some = list(islice(planned(1), 3))
    seen = list(fuzz.run(LITTORAL.read_bytes(), iter(some), 60, lambda _: None, tmp_path))
    assert [held.episode.name for held in seen] == ["1-1", "1-2", "1-3", "all of them"]
    assert seen[3].amiss == ["3 acknowledged writes lost in later episodes"]
    assert len(labs) == 2
    assert parse((tmp_path / "1-2" / "schedule.json").read_bytes()) == [some[1]]
    assert not (tmp_path / "1-1").exists()
    assert list(fuzz.run(LITTORAL.read_bytes(), iter(some), 0, lambda _: None, tmp_path)) == [], "the time is over"
