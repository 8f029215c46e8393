"""No single place decides, and what is agreed is recorded once."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from binome.core.entry import seal
from binome.core.looking import CHANGES_AT_ONCE, Comparison, LookoutsHeard, VerdictsAgreed, agreed_drafts
from binome.core.quorum import NOTHING_KNOWN, Tally, groups
from binome.core.state import State
from binome.core.verdict import Judged, Verdict
from binome.estate import Estate, load
from binome.estate.whole import names_of

LITTORAL = load((Path(__file__).parents[2] / "examples" / "littoral" / "estate.yaml").read_bytes())
UP, DOWN, UNSURE, FLAPPING = Verdict.UP, Verdict.DOWN, Verdict.UNSURE, Verdict.FLAPPING
NAMES = frozenset({"a", "b", "c"})


def estate(servers: dict[str, Any], on: list[str], **more: Any) -> Estate:
    data = {"servers": servers, "lookout": {"on": on}, **more}
    return Estate.model_validate(data, context=names_of(data))


def of(*sites: str) -> Estate:
    """Vantage points v0, v1, … in these sites."""
    servers = {f"v{n}": {"site": site} for n, site in enumerate(sites)}
    return estate(servers, list(servers), sites={site: {} for site in sites})


def heard(tally: Tally, *words: Verdict | None) -> Tally:
    for vantage, word in zip(tally.vantages, words, strict=True):
        if word is not None:
            tally.hear(vantage, {"a": Judged(word, 5, "said")})
    return tally


@pytest.mark.parametrize(
    ("sites", "words", "agreed"),
    [
        ("abc", (DOWN, DOWN, UP), DOWN),
        ("abc", (DOWN, None, DOWN), DOWN),
        ("abc", (DOWN, UNSURE, DOWN), DOWN),
        ("abc", (DOWN, UP, UP), UP),
        ("abc", (DOWN, UP, None), UNSURE),
        ("abc", (DOWN, None, None), UNSURE),  # a majority of the healthy is none
        ("abc", (DOWN, FLAPPING, UP), UNSURE),
        ("abc", (FLAPPING, FLAPPING, UP), FLAPPING),
        ("abcd", (DOWN, DOWN, UP, UP), UNSURE),
        ("abcde", (DOWN, DOWN, DOWN, None, None), DOWN),
        ("aabc", (DOWN, DOWN, UP, UP), UP),  # two in one site are one
        ("aabc", (DOWN, DOWN, UP, None), UNSURE),
        ("aabc", (DOWN, UP, DOWN, None), UNSURE),  # a group that is at odds with itself has no vote
        ("aabc", (DOWN, UP, UP, None), UNSURE),
        ("aabc", (DOWN, UP, DOWN, DOWN), DOWN),
        ("aabc", (DOWN, None, DOWN, None), DOWN),
        ("a", (DOWN,), DOWN),
    ],
)
def test_what_is_agreed(sites: str, words: tuple[Verdict | None, ...], agreed: Verdict) -> None:
    assert heard(Tally(of(*sites)), *words).agreed("a").verdict is agreed


def test_by_whom_since_when_and_who_contradicts() -> None:
    tally = Tally(of("a", "b", "c"))
    for vantage, word, since_ms in (("v0", DOWN, 10), ("v1", UP, 5), ("v2", DOWN, 20)):
        tally.hear(vantage, {"a": Judged(word, since_ms, f"{vantage} was told")})
    agreed = tally.agreed("a")
    assert (agreed.by, agreed.since_ms, agreed.dissent, agreed.said) == (("v0", "v2"), 20, {"v1": UP}, "v0 was told")


def test_fewer_than_three_groups_confirm_nothing() -> None:
    assert [Tally(of(*sites)).confirmed for sites in ("a", "ab", "aab", "abc")] == [False, False, False, True]


def test_who_has_no_post_has_no_vote() -> None:
    tally = heard(Tally(of("a", "b", "c")), DOWN, None, None)
    tally.hear("somebody", {"a": Judged(DOWN, 1)})
    assert tally.agreed("a") == NOTHING_KNOWN


@pytest.mark.parametrize(
    ("kind", "one_group"),
    [
        *((kind, True) for kind in ("building", "power", "rack", "hypervisor")),
        *((kind, False) for kind in ("carrier", "account", "registrar", "provider")),
    ],
)
def test_what_makes_vantage_points_one(kind: str, one_group: bool) -> None:
    domains = {"outer": {"kind": kind}, "inner": {"kind": "rack", "in": ["outer"]}}
    servers = {"v0": {"site": "a", "in": ["inner"]}, "v1": {"site": "b", "in": ["outer"]}, "v2": {"site": "c"}}
    made = estate(servers, list(servers), domains=domains, sites={site: {} for site in "abc"})
    assert groups(made) == ((("v0", "v1"), ("v2",)) if one_group else (("v0",), ("v1",), ("v2",)))


def test_groups_chain() -> None:
    domains = {"p": {"kind": "power"}, "q": {"kind": "power"}}
    servers = {"v0": {"in": ["p"]}, "v1": {"in": ["q"]}, "v2": {"in": ["p", "q"]}}
    assert groups(estate(servers, list(servers), domains=domains)) == (("v0", "v1", "v2"),)


def test_a_hoster_makes_nobody_one() -> None:
    assert groups(LITTORAL) == (("gra-edge",), ("sbg-edge",), ("par-watch",))


def test_a_silent_lookout_has_no_word() -> None:
    tally = heard(Tally(of("a", "b", "c")), DOWN, DOWN, UP)
    tally.quiet({"v1": 7})
    assert tally.agreed("a").verdict is UNSURE
    tally.quiet({})
    assert tally.agreed("a").verdict is DOWN


# -- what is recorded


class Leader:
    """The journal and one leader beside it."""

    def __init__(self, tally: Tally, state: State | None = None) -> None:
        self.comparison, self.state = Comparison(tally), state or State()
        self.ids: set[str] = set()

    def records(self, known: frozenset[str] = NAMES, now_ms: int = 100) -> list[Any]:
        """Everything that it records until nothing differs."""
        facts: list[Any] = []
        while drafts := self.comparison.drafts(self.state.looking, known, now_ms):
            assert not self.ids & {draft.id for draft in drafts}
            self.ids |= {draft.id for draft in drafts}
            facts += [self.state.apply(entry) for entry in seal(drafts, self.state.head, 1)]
        return facts


def test_a_difference_is_recorded_once() -> None:
    leader = Leader(heard(Tally(of("a", "b", "c")), DOWN, DOWN, UP))
    (fact,) = leader.records()
    assert isinstance(fact, VerdictsAgreed) and fact.confirmed
    assert leader.records() == []
    leader.comparison.tally.hear("v0", {"a": Judged(DOWN, 99, "something else")})
    assert leader.records() == []  # since when, and what it said, is no other verdict
    leader.comparison.tally.hear("v2", {"a": Judged(DOWN, 99)})
    (fact,) = leader.records()  # one more says so, and nobody contradicts
    assert leader.state.looking.agreed["a"].by == ("v0", "v1", "v2")
    leader.comparison.tally.hear("v2", {"a": Judged(UNSURE, 99)})
    assert leader.records() == []  # one less is no news while a majority is left


def test_what_was_not_recorded_is_drafted_again_with_the_same_id() -> None:
    leader = Leader(heard(Tally(of("a", "b", "c")), DOWN, DOWN, UP))
    once, again = (leader.comparison.drafts(leader.state.looking, NAMES, 100) for _ in range(2))
    assert once == again != []


def test_the_next_leader_records_what_differs_from_the_journal() -> None:
    first = Leader(heard(Tally(of("a", "b", "c")), DOWN, DOWN, DOWN))
    first.records()
    second = Leader(heard(Tally(of("a", "b", "c")), UP, UP, UP), first.state)
    assert [fact.verdicts["a"].verdict for fact in second.records()] == [UP]
    third = Leader(Tally(of("a", "b", "c")), first.state)
    assert [fact.verdicts["a"] for fact in third.records()] == [NOTHING_KNOWN]
    assert first.state.looking.agreed == {}


def test_an_old_leader_sees_what_another_recorded_meanwhile() -> None:
    first = Leader(heard(Tally(of("a", "b", "c")), DOWN, DOWN, DOWN))
    first.records()
    Leader(heard(Tally(of("a", "b", "c")), UP, UP, UP), first.state).records()
    assert [fact.verdicts["a"].verdict for fact in first.records()] == [DOWN]


def test_what_the_estate_does_not_have_is_forgotten() -> None:
    leader = Leader(heard(Tally(of("a", "b", "c")), DOWN, DOWN, UP))
    leader.records()
    again = Leader(leader.comparison.tally, leader.state)  # it was started with another estate
    assert [fact.verdicts for fact in again.records(frozenset({"b"}))] == [{"a": NOTHING_KNOWN}]
    assert leader.state.looking.fallen == {}


def test_a_beginning_in_the_future_is_cut() -> None:
    tally = Tally(of("a", "b", "c"))
    for vantage in tally.vantages:
        tally.hear(vantage, {"a": Judged(DOWN, 10**15)})
    leader = Leader(tally)
    leader.records(now_ms=100)
    assert leader.state.looking.agreed["a"].since_ms == 100


def test_much_at_once_comes_in_parts() -> None:
    tally = Tally(of("a", "b", "c"))
    names = [f"t{n}" for n in range(2 * CHANGES_AT_ONCE + 1)]
    for vantage in tally.vantages:
        tally.hear(vantage, dict.fromkeys(names, Judged(DOWN, 1)))
    leader = Leader(tally)
    facts = leader.records(frozenset(names))
    assert [(len(fact.verdicts), fact.more) for fact in facts] == [
        (CHANGES_AT_ONCE, True),
        (CHANGES_AT_ONCE, True),
        (1, False),
    ]


def test_a_part_that_never_came_is_not_waited_for() -> None:
    tally = heard(Tally(of("a", "b", "c")), UP, UP, UP)
    state = State()
    state.looking.apply(VerdictsAgreed({"a": tally.agreed("a")}, confirmed=True, more=True), 0)
    (fact,) = Leader(tally, state).records()
    assert (fact.verdicts, fact.more) == ({}, False)


def test_silence_is_recorded_when_it_changes() -> None:
    leader = Leader(heard(Tally(of("a", "b", "c")), UP, UP, UP))
    leader.records()
    leader.comparison.tally.quiet({"v1": 7})
    assert leader.records() == [LookoutsHeard({"v1": 7})]
    leader.comparison.tally.quiet({"v1": 8})
    assert leader.records() == []
    leader.comparison.tally.quiet({})
    assert leader.records() == [LookoutsHeard({})]


WORDS = st.none() | st.sampled_from([UP, DOWN, UNSURE, FLAPPING])
STEPS = st.lists(
    st.tuples(st.sampled_from(["v0", "v1", "v2", "v3"]), st.sampled_from(["a", "b"]), WORDS, st.booleans()), max_size=12
)


@settings(max_examples=200, deadline=None)
@given(STEPS, st.sets(st.sampled_from(["v0", "v1", "v2", "v3"])))
def test_step_by_step_is_the_same_as_all_at_once(steps: list[Any], silent: set[str]) -> None:
    made = of("a", "a", "b", "c")
    leader = Leader(Tally(made))
    views: dict[str, dict[str, Judged]] = {}
    for number, (vantage, target, word, whole) in enumerate(steps):
        view = views.setdefault(vantage, {})
        told = {} if word is None else {target: Judged(word, number)}
        if whole:
            view.clear()
        view.update(told)
        leader.comparison.tally.hear(vantage, told, whole=whole)
        leader.records()
    leader.comparison.tally.quiet(dict.fromkeys(silent, 1))
    leader.records()
    at_once = Tally(made)
    at_once.quiet(dict.fromkeys(silent, 1))
    for vantage, view in views.items():
        at_once.hear(vantage, view, whole=True)
    at_once.touched.update({"a": None, "b": None})
    assert agreed_drafts(at_once, leader.state.looking, NAMES, 0) == []
