"""Nights pass without a violation; the same seed is the same night; a schedule shrinks to what matters."""

from __future__ import annotations

import os
import subprocess
import sys
from collections import Counter
from collections.abc import Sequence
from pathlib import Path

import msgspec
import pytest

from binome.sim.__main__ import main
from binome.sim.episode import Episode, minimal, play, shrink
from binome.sim.fault import BEGIN_S, END_S, Fault
from binome.sim.faults import KINDS, schedule
from binome.sim.faults_of_looking import LOOKING_KINDS
from binome.sim.shape import Shape
from tests.sim.mutants import MUTANTS, RARE, applied

FOLDER = Path(__file__).parent / "schedules"
SHRUNK = next(mutant for mutant in MUTANTS if mutant.what == "an old generation accepted")


def test_nights_pass_without_a_violation(all_nights: Sequence[Episode]) -> None:
    broken = [f"seed {night.seed}: {violation}" for night in all_nights for violation in night.violations]
    assert broken == []


def test_the_nights_are_bad_enough(nights: Sequence[Episode]) -> None:
    seen: Counter[str] = Counter()
    for night in nights:
        seen.update(night.seen)
    rare = [name for name in KINDS.keys() - LOOKING_KINDS.keys() if seen[f"fault: {name}"] < 5]
    assert rare == []
    for situation in (
        "an append ended with AppendUnknownError",
        "an append ended with NotLeaderError",
        "an append ended with StoreError",
        "an agent's answer did not come",
        "etcd rebuilt from nothing",
        "etcd and a mirror lost, another behind",
        "a mirror begun anew",
        "refused: a newer generation has spoken here",
        "refused: a later command of its plan was accepted here",
        "plan open at 0, unknown",
        "plan undoing at 0, done ► undone",
        "killed before the sync",
    ):
        assert seen[situation] > 0, situation


def test_the_nights_of_looking_are_bad_enough(looking_nights: Sequence[Episode]) -> None:
    seen: Counter[str] = Counter()
    for night in looking_nights:
        seen.update(night.seen)
    assert [
        name
        for name, kind in LOOKING_KINDS.items()
        if kind.targets not in ("pair", "plans") and seen[f"fault: {name}"] < 5
    ] == []
    for situation in (
        "agreed down",
        "agreed flapping",
        "agreed unsure",
        "scope site lost",
        "scope server lost",
        "scope member lost",
        "scope network cut",
        "scope vantage cut",
        "scope vantage silent",
        "site-silent",
        "site-heard",
    ):
        assert seen[situation] > 0, situation


def test_the_nights_of_takeovers_are_bad_enough(takeover_nights: Sequence[Episode]) -> None:
    seen: Counter[str] = Counter()
    for night in takeover_nights:
        seen.update(night.seen)
    for situation in (
        "fault: primary burns",
        "fault: primary cut",
        "a database promoted",
        "a primary stepped down",
        "database moved",
        "database released",
        "takeover refused: the last takeover was too short a time ago",
        "traffic.fence",
        "traffic.move",
        "traffic.open",
        "traffic.unfence",
        "a server fenced itself",
        "a server came back by itself",
        "an agent: a later command of its plan was accepted here",
        "fault: patroni frozen",
        "event: Wrote",
    ):
        assert seen[situation] > 0, situation


def test_the_nights_in_which_people_have_a_say_are_bad_enough(asked_nights: Sequence[Episode]) -> None:
    seen: Counter[str] = Counter()
    for night in asked_nights:
        seen.update(night.seen)
    for situation in (
        "takeover-wanted",
        "takeover-shadowed",
        "takeover refused: takeover is manual",
        "takeover refused: people work on what is lost",
        "asked: a yes",
        "asked: a late yes",
        "asked: a yes of two",
        "asked: an old code",
        "asked: attested",
        "the code is not the one of this loss",
        "another plan holds the database",
        "its primary is not lost",
        "database moved",
    ):
        assert seen[situation] > 0, situation


def test_another_process_lives_through_the_same_night(nights: Sequence[Episode]) -> None:
    """Nothing depends on addresses or on the hashes of strings, which another process has other ones of."""
    program = "import sys; from binome.sim.episode import play; print(play(sys.argv[1], twice=False).digest)"
    for seed in ("3", "5"):
        told = subprocess.run(
            [sys.executable, "-c", program, seed],
            env={**os.environ, "PYTHONHASHSEED": "4711", "PYTHONPATH": os.pathsep.join(sys.path)},
            capture_output=True,
            text=True,
            check=True,
        )
        assert told.stdout.strip() == next(night.digest for night in nights if night.seed == seed)


def test_other_seeds_are_other_nights(nights: Sequence[Episode]) -> None:
    assert len({night.digest for night in nights}) == len(nights)


def test_a_fault_left_out_leaves_the_others_as_they_are() -> None:
    whole = schedule("7", Shape("7").targets)
    assert whole == sorted(whole)
    assert all(fault.at_s >= BEGIN_S and fault.at_s + fault.for_s <= END_S + 10 for fault in whole)
    episode = play("7", [*whole[:3], *whole[4:]])
    assert episode.faults == (*whole[:3], *whole[4:])
    assert episode.violations == ()


SCHEDULES = {
    "3000174-etcd-and-a-disk-lost-and-the-empty-mirror-answers-first": "a roll call that an empty mirror ends",
    "1010028-a-generation-of-before-a-pause": "taking the lead on conditions of a later moment",
    "97-a-disk-replaced-after-trimming": "what etcd has no more is not asked for",
    "1-etcd-and-a-disk-lost-and-who-was-ahead-is-away": "a mirror that begins anew has a vote",
    "1-etcd-and-a-disk-lost-and-who-was-behind-stays-away": "the generation not raised",
    "asked.153-a-loss-that-is-not-old-enough": "act_after ignored",
    "asked.9-a-code-of-the-night-before": "a code of another loss accepted",
    "takeover.6-an-old-order-and-an-agent-that-began-anew": "what an agent accepted is not durable",
    "takeover.1-a-standby-let-go-before-a-takeover-looks": "a survivor that is not in sync is promoted",
    "takeover.1-a-standby-let-go-between-looking-and-acting": "the sync key's revision is not compared",
    "takeover.6-a-takeover-long-under-way": "a takeover's transaction without our leadership",
}
"""Nights of which the faults are written down, and the mistake that each of them shows."""


@pytest.mark.parametrize("name", SCHEDULES)
def test_a_night_that_is_written_down_passes_and_shows_its_mistake(name: str) -> None:
    seed = name.partition("-")[0].replace(".", "/")
    faults = msgspec.json.decode((FOLDER / f"{name}.json").read_bytes(), type=list[Fault])
    assert play(seed, faults).violations == ()
    with applied(next(mutant for mutant in (*MUTANTS, *RARE) if mutant.what == SCHEDULES[name])):
        assert play(seed, faults, twice=False).violations != ()


def test_every_night_that_is_written_down_is_played() -> None:
    assert {path.stem for path in FOLDER.glob("*")} == set(SCHEDULES)


def test_minimal_finds_the_pair_that_matters() -> None:
    faults = [Fault(float(n), "crash", "lookout-a", 1.0) for n in range(40)]
    tried = 0

    def breaks(candidate: Sequence[Fault]) -> bool:
        nonlocal tried
        tried += 1
        return {7.0, 31.0} <= {fault.at_s for fault in candidate}

    assert [fault.at_s for fault in minimal(faults, breaks)] == [7.0, 31.0]
    assert tried < 100


def test_a_schedule_shrinks_and_still_breaks() -> None:
    with applied(SHRUNK):
        for seed in range(1, SHRUNK.within + 1):
            episode = play(str(seed), twice=False)
            if episode.violations:
                break
        invariant = episode.violations[0].invariant
        least = shrink(episode.seed, episode.faults, invariant)
        again = play(episode.seed, least)
        fewer = [play(episode.seed, [*least[:n], *least[n + 1 :]], twice=False) for n in range(len(least))]
    assert len(least) < len(episode.faults)
    assert all(invariant not in {one.invariant for one in night.violations} for night in fewer), "none is left to spare"
    assert invariant in {violation.invariant for violation in again.violations}
    assert play(episode.seed, least).violations == (), "without the mistake the same schedule does no harm"


def test_the_command_ends_with_its_count(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["--episodes", "2", "--seed", "11"]) == 0
    assert capsys.readouterr().out.splitlines()[-1] == "episodes 2 violations 0"


def test_the_command_tells_how_to_see_a_failure_again(capsys: pytest.CaptureFixture[str]) -> None:
    with applied(next(mutant for mutant in MUTANTS if mutant.what == "acknowledge before durable")):
        assert main(["--episodes", "1", "--seed", "11"]) == 1
    lines = capsys.readouterr().out.splitlines()
    assert "  again: make sim SEED=11 EPISODES=1" in lines
    assert lines[-1].startswith("episodes 1 violations ")
    told = next(line for line in lines if line.startswith("  the schedule: "))
    msgspec.json.decode(told.removeprefix("  the schedule: "), type=list[Fault])
