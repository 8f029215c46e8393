"""The table of isolation: who fences himself, and who may come back."""

from __future__ import annotations

import pytest

from binome.core.entry import EMPTY, Draft, Fact, seal
from binome.core.isolation import GROUPS_TO_DECIDE, SILENT_MS, STEP_AT_MOST_MS, Silences, Standing, is_free, without
from binome.core.isolation import judged as judge
from binome.core.plan import PlanMade, Priority, Step
from binome.core.quorum import GROUPS_TO_CONFIRM
from binome.core.silence import SiteHeard, SiteSilent
from binome.core.state import State

THREE = [["a"], ["b"], ["c"]]
PAIRS = [["a", "a2"], ["b", "b2"], ["c"]]


@pytest.mark.parametrize(
    ("groups", "own", "away", "standing"),
    [
        ([], "x", "", Standing.TOO_FEW),
        ([["a"]], "x", "a", Standing.TOO_FEW),
        ([["a"], ["b"]], "x", "ab", Standing.TOO_FEW),
        ([["a", "b", "c"]], "x", "abc", Standing.TOO_FEW),
        (THREE, "x", "", Standing.CONNECTED),
        (THREE, "x", "a", Standing.CONNECTED),
        (THREE, "x", "ab", Standing.ISOLATED),
        (THREE, "x", "abc", Standing.ISOLATED),
        (THREE, "a", "bc", Standing.ISOLATED),
        (THREE, "a", "ab", Standing.CONNECTED),  # its own server is there, whatever its lookout does
        (THREE, "a", "ac", Standing.CONNECTED),
        ([["a"], ["b"], ["c"], ["d"]], "x", "ab", Standing.CONNECTED),
        ([["a"], ["b"], ["c"], ["d"]], "x", "abc", Standing.ISOLATED),
        ([["a"], ["b"], ["c"], ["d"], ["e"]], "x", "ab", Standing.CONNECTED),
        ([["a"], ["b"], ["c"], ["d"], ["e"]], "x", "abc", Standing.ISOLATED),
        (PAIRS, "x", ["a", "b", "c"], Standing.CONNECTED),  # one member of a group is enough
        (PAIRS, "x", ["a", "a2", "c"], Standing.ISOLATED),
        (PAIRS, "a2", ["a", "b", "b2"], Standing.CONNECTED),
        (PAIRS, "a2", ["a", "b", "b2", "c"], Standing.ISOLATED),
    ],
)
def test_who_is_isolated(groups: list[list[str]], own: str, away: str | list[str], standing: Standing) -> None:
    silent_ms = {one: SILENT_MS if one in away else SILENT_MS - 1 for group in groups for one in group}
    assert judge(groups, own, silent_ms) is standing


def test_who_is_attested_to_be_off_counts_for_nothing_and_the_rest_are_too_few() -> None:
    assert without(THREE, {"b", "c"}) == [["a"]]
    assert without(PAIRS, {"a", "c"}) == [["a", "a2"], ["b", "b2"]], "a group counts while one of it may be there"
    silent_ms = dict.fromkeys("abc", SILENT_MS)
    assert judge(without(THREE, {"b"}), "x", silent_ms) is Standing.TOO_FEW


def test_the_number_of_groups_is_that_of_the_quorum() -> None:
    assert GROUPS_TO_DECIDE == GROUPS_TO_CONFIRM


def test_silence_is_counted_while_we_look_and_ends_with_an_answer() -> None:
    silences = Silences(["a", "b"])
    never = 10_000_000
    for _ in range(12):
        silences.passed(100, lambda one: 40 if one == "a" else never)
    assert silences.ms == {"a": 40, "b": 1200}
    silences.passed(60_000, lambda _: 60_000)  # the agent was frozen for a minute
    assert silences.ms == {"a": 40 + STEP_AT_MOST_MS, "b": 1200 + STEP_AT_MOST_MS}
    silences.passed(100, lambda _: 0)
    assert silences.ms == {"a": 0, "b": 0}


def test_who_stood_still_fences_nothing_before_it_has_looked_again() -> None:
    silences = Silences(["a", "b", "c"])
    silences.passed(3_600_000, lambda _: 3_600_000)
    assert judge(THREE, "x", silences.ms) is Standing.CONNECTED
    silences.passed(STEP_AT_MOST_MS, lambda _: 3_600_500)
    silences.passed(STEP_AT_MOST_MS, lambda _: 3_601_000)
    assert judge(THREE, "x", silences.ms) is Standing.ISOLATED


def _state(*facts: Fact) -> State:
    state = State()
    drafts = [Draft(f"fact/{number}", 0, "test", fact) for number, fact in enumerate(facts)]
    for entry in seal(drafts, EMPTY, 1):
        state.apply(entry)
    return state


def _plan(plan: str, lost: str) -> PlanMade:
    step = Step("traffic.fence", arguments={"service": "database", "lost": lost}, undo="traffic.unfence")
    return PlanMade(f"takeover/{plan}", "takeover", "database", Priority.TAKEOVER, (step,))


def test_who_lost_nothing_is_free_and_who_was_taken_over_is_not() -> None:
    silent = SiteSilent("gra", 350, ("b", "c"), True)
    assert is_free(_state(), "a", "gra")
    assert not is_free(_state(silent), "a", "gra")
    assert is_free(_state(silent), "b", "sbg")
    assert is_free(_state(silent, SiteHeard("gra")), "a", "gra")
    taken = _state(silent, _plan("loss/database/site/gra/1/1", "a a2"), SiteHeard("gra"))
    assert not is_free(taken, "a", "gra")
    assert is_free(taken, "b", "sbg")
