"""How far an asynchronous standby is behind, from what was published: an upper bound, or nobody knows."""

from __future__ import annotations

import pytest

from binome.core.lag import FENCED_MS, KEPT, ROUNDS, Positions

LOST_MS = 100_000
ROUND_MS = 1_000


def positions(*published: tuple[int, int], received: int | None) -> Positions:
    """Positions with when they were published, and how far the standby has come."""
    found = Positions()
    found.round_ms = ROUND_MS
    for position, at_ms in published:
        found.primary_wrote(position, at_ms)
    if received is not None:
        found.member_received("gra-db", received)
    return found


def behind(known: Positions, now_ms: int = LOST_MS) -> int | None:
    return known.behind_ms("gra-db", LOST_MS, now_ms)


@pytest.mark.parametrize(
    ("received", "behind_ms"),
    [
        (95, None),  # it lacks what was the first that we know of
        (100, 40_000),
        (119, 35_000),
        (120, 10_000),
        (129, 10_000),
        (130, ROUNDS * ROUND_MS),  # all that was published: a primary that lived would have published more
        (500, ROUNDS * ROUND_MS),
        (None, None),
    ],
)
def test_it_is_behind_since_it_had_all_that_was_published(received: int | None, behind_ms: int | None) -> None:
    known = positions((100, 60_000), (110, 65_000), (120, 90_000), (130, 95_000), received=received)
    assert behind(known) == behind_ms


def test_what_was_published_at_the_very_end_is_newer_than_two_rounds() -> None:
    assert behind(positions((100, 99_700), received=100)) == 300


def test_an_isolated_primary_goes_on_to_acknowledge_until_it_is_fenced() -> None:
    known = positions((100, 99_700), received=100)
    assert [behind(known, LOST_MS + later) for later in (350, FENCED_MS, 60_000)] == [650, 2_300, 2_300]


def test_nobody_knows_of_a_primary_that_said_nothing_and_of_a_member_that_has_no_place() -> None:
    assert behind(positions(received=100)) is None
    known = positions((100, 99_700), received=100)
    known.gone("gra-db")
    assert behind(known) is None


def test_positions_of_another_primary_begin_anew() -> None:
    known = positions((100, 60_000), (200, 70_000), (150, 90_000), received=150)
    assert behind(known) == ROUNDS * ROUND_MS
    known.member_received("gra-db", 149)
    assert behind(known) is None, "what the one before published counts no more"


def test_old_positions_are_forgotten_and_what_was_that_far_behind_is_not_known() -> None:
    known = positions(*((number, number * 100) for number in range(KEPT + 1)), received=0)
    assert behind(known) is None
    known.member_received("gra-db", 1)
    assert behind(known) == LOST_MS - 100
