"""Retention by a table and by properties; that it is restic's is seen in tests/drivers/test_restic_rules.py."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import UTC, datetime, timedelta

import pytest
from hypothesis import given
from hypothesis import strategies as st

from binome.core.retention import LEAST_ABSENCE, SKEW, Retention, Snapshot, Why, absent_after, judge
from binome.estate.model import Keep

NOW = datetime(2026, 11, 24, 3, tzinfo=UTC)
DAY = timedelta(days=1)
ABSENCE = absent_after(86_400_000)


def copies(*days_ago: float, proven: Sequence[float] = ()) -> list[Snapshot]:
    return [Snapshot(f"{days:g}", NOW - days * DAY, days in proven) for days in days_ago]


def kept(retention: Retention) -> list[str]:
    return [one.id for one in retention.kept]


def rules(**counts: int) -> Keep:
    return Keep(**counts)


@pytest.mark.parametrize(
    ("keep", "expected"),
    [
        (rules(last=2), ["0", "0.1"]),
        (rules(hourly=3), ["0", "0.1", "1"]),
        (rules(daily=2), ["0", "1"]),
        (rules(weekly=2), ["0", "2"]),  # the 24th is a Tuesday: the 22nd is a Sunday, of the week before
        (rules(monthly=2), ["0", "25"]),
        (rules(yearly=2), ["0", "400"]),
        (rules(last=1, yearly=9), ["0", "400"]),
        (rules(daily=100), ["0", "1", "2", "3", "25", "400"]),  # days without a copy count nothing
        (rules(), ["0", "0.1", "0.11", "1", "2", "3", "25", "400"]),
    ],
)
def test_the_rules(keep: Keep, expected: list[str]) -> None:
    assert kept(judge(copies(400, 25, 3, 2, 1, 0.11, 0.1, 0), keep, NOW)) == expected


def test_each_decision_has_all_its_reasons() -> None:
    judged = judge(copies(0, 0.1, 1, proven=[0.1]), rules(daily=1, weekly=1), NOW).judged
    assert [(one.snapshot.id, one.kept, one.why) for one in judged] == [
        ("0", True, (Why.DAILY, Why.WEEKLY)),
        ("0.1", True, (Why.LAST_PROVEN,)),
        ("1", False, (Why.NOT_KEPT,)),
    ]
    assert judge(copies(0), rules(), NOW).judged[0].why == (Why.NO_RULE,)


def test_the_last_proven_copy_stays_however_old() -> None:
    found = judge(copies(0, 1, 2, 30, 31, proven=[30, 31]), rules(last=1), NOW)
    assert kept(found) == ["0", "30"]


def test_nothing_goes_after_a_long_absence_until_a_copy_since_then_is_proven() -> None:
    away, back, proven = copies(20, 21, proven=[21]), copies(0, 1, 20, 21, proven=[21]), [1, 21]
    assert judge(away, rules(last=1), NOW, ABSENCE).paused is Why.ABSENT
    assert judge(back, rules(last=1), NOW, ABSENCE).paused is Why.ABSENT
    assert judge(back, rules(last=1), NOW, ABSENCE).gone == ()
    after = judge(copies(0, 1, 20, 21, proven=proven), rules(last=1), NOW, ABSENCE)
    assert after.paused is None and kept(after) == ["0", "1"]


def test_where_nothing_was_ever_proven_only_an_absence_until_now_counts() -> None:
    assert judge(copies(0, 20), rules(last=1), NOW, ABSENCE).paused is None
    assert judge(copies(5, 20), rules(last=1), NOW, ABSENCE).paused is Why.ABSENT
    assert judge(copies(2.9, 20), rules(last=1), NOW, ABSENCE).paused is None
    assert absent_after(1) == LEAST_ABSENCE and absent_after(7 * 86_400_000) == 21 * DAY


def test_a_copy_of_the_future_pauses() -> None:
    ahead = Snapshot("ahead", NOW + SKEW)
    assert judge([ahead, *copies(1)], rules(last=1), NOW).paused is None
    wrong = judge([ahead._replace(at=NOW + SKEW + timedelta(seconds=1)), *copies(1)], rules(last=1), NOW)
    assert wrong.paused is Why.FUTURE and wrong.gone == ()


def test_a_copy_counts_in_the_calendar_that_its_time_is_written_in() -> None:
    one = datetime.fromisoformat("2026-11-02T00:30:00+02:00")
    assert kept(judge([Snapshot("a", one), Snapshot("b", one - timedelta(hours=1))], rules(daily=9), NOW)) == ["a", "b"]
    there = [Snapshot("a", one.astimezone(UTC)), Snapshot("b", (one - timedelta(hours=1)).astimezone(UTC))]
    assert kept(judge(there, rules(daily=9), NOW)) == ["a"]


SNAPSHOTS = st.lists(
    st.builds(
        Snapshot,
        st.uuids().map(str),
        st.datetimes(datetime(2020, 1, 1), datetime(2026, 11, 24), timezones=st.just(UTC)),
        st.booleans(),
    ),
    max_size=30,
)
KEEPS = st.builds(Keep, **dict.fromkeys(Keep.model_fields, st.none() | st.integers(1, 6)))


@given(SNAPSHOTS, KEEPS, st.timedeltas(timedelta(0), 900 * DAY), st.booleans())
def test_the_last_proven_copy_is_never_deleted_not_even_step_by_step(
    snapshots: list[Snapshot], keep: Keep, later: timedelta, absence: bool
) -> None:
    now = NOW + later
    found = judge(snapshots, keep, now, ABSENCE if absence else None)
    assert sorted([*found.kept, *found.gone]) == sorted(snapshots)
    proven = [one for one in snapshots if one.proven]
    if proven:
        assert max(proven, key=lambda one: one.at).at in {one.at for one in found.kept if one.proven}
    if snapshots:
        assert found.kept, "a backup is never left without a copy"
    if found.paused:
        assert not found.gone
    else:
        assert judge(found.kept, keep, now).kept == found.kept, "what was decided once is decided the same again"
