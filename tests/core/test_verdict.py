"""Verdicts follow their table, whatever is answered, and whatever the clocks do."""

from __future__ import annotations

import re
from collections.abc import Iterable
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from binome.core import verdict as module
from binome.core.target import Answer, Observation
from binome.core.verdict import CALM, CHANGES_AMONG, CHANGES_TO_FLAP, Judge, Judged, Pace, Verdict

PACE = Pace(fall=3, rise=2, every_s=1.0)
ANSWERS = {"u": Answer.UP, "d": Answer.DOWN, "?": Answer.UNSURE}


def looks(answers: str, begin_s: float = 100.0) -> Iterable[Observation]:
    return (Observation("t", begin_s + at, ANSWERS[one], one) for at, one in enumerate(answers) if one != " ")


def judged(answers: str, pace: Pace = PACE) -> Judge:
    judge = Judge(pace, 0)
    for look in looks(answers):
        judge.observe(look, round(look.at_s * 1000))
    return judge


RESTLESS = "udud" * 5


@pytest.mark.parametrize(
    ("answers", "verdict"),
    [
        ("", "unsure"),
        ("dd", "unsure"),  # after a start nothing is down before there are enough looks
        ("ddd", "down"),
        ("u", "unsure"),
        ("uu", "up"),
        ("uudd", "up"),
        ("uuddudd", "up"),
        ("uuddd", "down"),
        ("uudddu", "down"),
        ("uudddud", "down"),
        ("uuddduu", "up"),
        ("uu????", "up"),  # we could not ask: not for long yet
        ("uu??????u", "unsure"),  # for too long: counting begins anew
        ("uu??????uu", "up"),
        ("uu" + "?" * 50, "unsure"),  # however long: never down
        ("ddd" + "?" * 50, "unsure"),
        ("uud?d?d", "down"),  # what could not be asked breaks no row
        ("uud??????dd", "unsure"),  # but a row does not last through it
        ("uu       u", "unsure"),  # nobody looked
        ("uu       uu", "up"),
        ("uu       ddd", "down"),
        (RESTLESS, "flapping"),
        (RESTLESS + "d" * (CALM - 2), "flapping"),
        (RESTLESS + "d" * CALM, "down"),
        (RESTLESS + "u" * CALM, "up"),
        (RESTLESS + "d" * CALM + "uu", "up"),  # what was before is forgotten
        (RESTLESS + "d" * 7 + "?" * 8, "unsure"),
        ("uuu" + "ddddduuuuuddddd", "down"),  # three changes
        ("uuu" + "ddddduuuuuddddduuuuu", "flapping"),
        ("uuu" + "ddddduuuuu" * 2 + "u" * CALM + "ddd", "down"),  # what was before is forgotten
        ("uuu" + ("d" * 30 + "u" * 30) * 5, "up"),  # slowly: each change is told
        ("uuud" * 40, "flapping"),
        ("uuuuuuuuud" * 40, "up"),
    ],
)
def test_the_table(answers: str, verdict: str) -> None:
    assert judged(answers).judged.verdict == verdict


def test_since_when_is_the_beginning_of_the_row() -> None:
    assert judged("uuuuuuddd").judged == Judged(Verdict.DOWN, 106_000, "d")


def test_a_clock_that_goes_back_does_no_harm() -> None:
    judge = Judge(PACE, 0)
    walls_ms = iter([9_000_000, 9_001_000, 9_002_000, 5_000, 6_000, 7_000])
    changes = [judge.observe(look, next(walls_ms)) for look in looks("uuuddd")]
    assert [change.verdict for change in changes if change] == ["up", "down"]
    assert judge.judged.since_ms == 5_000  # by the clock as it is now


def test_old_news_changes_nothing() -> None:
    judge = judged("uuudd")
    assert judge.observe(Observation("t", 101.5, Answer.DOWN, ""), 0) is None
    assert judge.judged.verdict is Verdict.UP


def test_nobody_looks() -> None:
    judge = judged("uuu")
    assert judge.lapse(108.0, 1) is None
    change = judge.lapse(108.1, 1)
    assert change == Judged(Verdict.UNSURE, 1, "not looked at")
    assert judge.lapse(200.0, 2) is None


def test_only_a_change_is_told() -> None:
    judge = Judge(PACE, 0)
    told = [judge.observe(look, 0) for look in looks("uuuuudddddd")]
    assert [n for n, one in enumerate(told) if one] == [1, 7]


@given(st.text("ud?", max_size=400))
def test_no_target_changes_its_verdict_for_ever(answers: str) -> None:
    judge, told = Judge(PACE, 0), []
    for number, look in enumerate(looks(answers)):
        change = judge.observe(look, 0)
        if change is not None and change.verdict in (Verdict.UP, Verdict.DOWN):
            told.append(number)
        if change is not None and change.verdict is Verdict.UNSURE:
            told.clear()
    for first, later in zip(told, told[CHANGES_TO_FLAP + 1 :], strict=False):
        assert later - first >= CHANGES_AMONG - 2 * CALM


@given(st.text("ud?", max_size=100))
def test_never_down_without_so_many_looks_that_went_wrong(answers: str) -> None:
    judge = Judge(PACE, 0)
    for number, look in enumerate(looks(answers)):
        change = judge.observe(look, 0)
        if change is not None and change.verdict is Verdict.DOWN:
            assert answers[: number + 1].replace("?", "").endswith("ddd")


def test_the_table_in_the_docs_is_the_one_of_the_module() -> None:
    docs = (Path(__file__).parents[2] / "docs" / "looking.md").read_text()
    rows = re.findall(r"^    (\S.*?) {2,}(\S.*?) {2,}(\S+)$", module.__doc__ or "", flags=re.MULTILINE)
    assert len(rows) == 7
    for row in rows:
        assert f"| {' | '.join(row)} |" in docs
