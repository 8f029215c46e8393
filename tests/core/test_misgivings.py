"""What makes a whole copy doubtful: a time that cannot be, and far less than there was."""

from __future__ import annotations

from typing import Any

import pytest

from binome.core.copies import Manifest
from binome.core.misgivings import AHEAD_MS, ORDER_MS, Volume, astray, scant

NOW_MS = 1_790_000_000_000
DAY_MS = 86_400_000


def manifest(at_ms: int, position: Any = None, **more: Any) -> Manifest:
    given = {"began_ms": at_ms - 10, "at_ms": at_ms, "ended_ms": at_ms + 10, **more}
    return Manifest(
        estate="e",
        backup="b",
        method="dump",
        server="s",
        data=("d",),
        size_bytes=1,
        versions={},
        fingerprints={"d": {"position": position} if position else {}},
        files={},
        **given,
    )


def test_a_copy_of_the_past_is_not_astray_one_of_the_future_is() -> None:
    assert astray(manifest(NOW_MS - DAY_MS), NOW_MS, []) == []
    assert astray(manifest(NOW_MS + AHEAD_MS), NOW_MS, []) == [], "clocks differ a little"
    (line,) = astray(manifest(NOW_MS + AHEAD_MS + 1), NOW_MS, [])
    assert line == "it is of 2026-09-21 14:18:20Z, and it is 2026-09-21 14:13:20Z here"


@pytest.mark.parametrize("name", ["began_ms", "ended_ms"])
def test_a_clock_that_went_back_while_it_was_taken_is_seen(name: str) -> None:
    wrong = {"began_ms": NOW_MS + 1, "ended_ms": NOW_MS - 1}[name]
    (line,) = astray(manifest(NOW_MS, **{name: wrong}), NOW_MS + DAY_MS, [])
    assert "its clock went back" in line


@pytest.mark.parametrize(
    ("mine", "theirs", "gap_ms", "bad"),
    [
        (["x", 1, "00ff"], ["x", 1, "000f"], DAY_MS, True),
        (["x", 2, "0001"], ["x", 1, "000f"], DAY_MS, True),
        (["x", 1, "000f"], ["x", 1, "00ff"], DAY_MS, False),
        (["x", 1, "000f"], ["x", 1, "000f"], DAY_MS, False),
        (["y", 1, "00ff"], ["x", 1, "000f"], DAY_MS, False),
        (["x", 1, "00ff"], ["x", 1, "000f"], ORDER_MS, False),
        (["x", 1, "00ff"], None, DAY_MS, False),
        (None, ["x", 1, "000f"], DAY_MS, False),
        (["x", 1], ["x", 1, "000f"], DAY_MS, False),
    ],
)
def test_an_older_copy_has_not_come_further_than_a_later_one(mine: Any, theirs: Any, gap_ms: int, bad: bool) -> None:
    later = manifest(NOW_MS, theirs)
    assert bool(astray(manifest(NOW_MS - gap_ms, mine), NOW_MS, [later])) is bad


def test_less_than_a_fifth_of_what_is_usual_is_scant() -> None:
    full = [Volume(1_000_000, {"rows": 1000}), Volume(1_200_000, {"rows": 1100}), Volume(10, {"rows": 0})]
    assert scant(Volume(200_000, {"rows": 200}), full) == []
    assert scant(Volume(199_999, {"rows": 200}), full) == ["it is of 199999 bytes, and 1000000 are usual"]
    assert scant(Volume(900_000, {"rows": 0}), full) == ["it has 0 rows, and 1000 are usual"]


def test_without_a_history_and_of_little_nothing_is_scant() -> None:
    assert scant(Volume(0, {"rows": 0}), []) == []
    assert scant(Volume(0, {"rows": 0}), [Volume(60_000, {"rows": 9})]) == []
    assert scant(Volume(1 << 20, {"rows": 0}), [Volume(1 << 20, {})]) == [], "older copies did not say it"
