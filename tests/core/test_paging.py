"""The machine that decides whom to page: its table, its routes, what several lookouts make of the same page."""

from __future__ import annotations

import re
from pathlib import Path

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from binome.core.page import Page, Severity
from binome.core.paging import BUDGET_MS, WAIT_MS, Decision, Paging, Took
from binome.core.paging_notes import (
    OPEN,
    TRANSITIONS,
    Acknowledged,
    Acknowledgement,
    Ended,
    Happening,
    Heard,
    Receipt,
    Sent,
    Stage,
    Wanted,
    decoded,
    encoded,
)
from binome.core.routes import address_of, routes_of
from binome.estate import load

DOCS = (Path(__file__).parents[2] / "docs" / "pages.md").read_text(encoding="utf-8")
PEOPLE = load(
    b"""
people:
  contacts: {ann: {email: a@example.org, sms: "+33600000001"}, bob: {sms: "+33600000002"}, cyd: {}}
  routes: [{via: sms}, {via: mail, after: 2m, for: [critical, warning]}, {via: hook, for: [info]}]
  senders: {sms: {kind: sms-http}, mail: {kind: smtp}, hook: {kind: webhook}}
"""
).people
PAGE = Page(cause="site/sbg", episode="1", stage="opened", severity=Severity.CRITICAL, name="n", what="w", since_ms=1)


def machine(page: Page = PAGE, rank: int = 0, order: tuple[str, ...] = ("ann", "bob")) -> Paging:
    paging = Paging(PEOPLE)
    wanted = paging.wanted(page, order, rank, 0)
    assert isinstance(wanted, Wanted)
    paging.apply(wanted)
    return paging


def sent(paging: Paging, now_ms: int, outcome: Sent = Sent.ACCEPTED) -> list[tuple[str, str]]:
    """Sends what is due, with that outcome; to whom and by which sender."""
    decision = paging.decide(now_ms)
    for one in decision.send:
        paging.apply(one.begun)
    for one in decision.send:
        paging.apply(Ended(now_ms, one.attempt, outcome, ""))
    return [(one.person, one.via) for one in decision.send]


def test_the_docs_draw_the_table() -> None:
    rows = re.findall(r"^\| (`[a-z`, ]+`) \| ([a-z]+) \| `([a-z]+)` \|$", DOCS, re.MULTILINE)
    drawn = {
        (Stage(stage), Happening(happening)): Stage(then)
        for stages, happening, then in rows
        for stage in re.findall("`([a-z]+)`", stages)
    }
    assert drawn == TRANSITIONS


@pytest.mark.parametrize(
    ("severity", "vias"),
    [(Severity.CRITICAL, ["sms", "mail"]), (Severity.WARNING, ["sms", "mail"]), (Severity.INFO, ["sms", "hook"])],
)
def test_a_severity_has_its_routes(severity: Severity, vias: list[str]) -> None:
    assert [route.via for route in routes_of(PEOPLE, severity)] == vias


def test_where_no_route_is_for_a_severity_all_are_and_without_routes_all_senders() -> None:
    one = load(b"people: {routes: [{via: m, for: [info]}], senders: {m: {kind: smtp}}}").people
    assert [route.via for route in routes_of(one, Severity.CRITICAL)] == ["m"]
    none = load(b"people: {senders: {m: {kind: smtp}, s: {kind: sms-http}}}").people
    assert [(route.via, route.after_ms) for route in routes_of(none, Severity.INFO)] == [("m", 0), ("s", 120_000)]


def test_who_has_no_address_is_passed_over() -> None:
    assert [address_of(PEOPLE, "ann", via) for via in PEOPLE.senders] == [
        "sms:+33600000001", "mail:a@example.org", "hook:ann",
    ]  # fmt: skip
    assert address_of(PEOPLE, "cyd", "sms") is None
    paging = machine(order=("cyd", "bob"))
    assert sent(paging, 0) == [("bob", "sms")]
    assert Paging(PEOPLE).wanted(PAGE, ("cyd", "nobody"), 0, 0) is Took.NOBODY


def test_lookouts_wait_in_turn_and_keep_still_when_they_hear_a_receipt() -> None:
    for rank in range(3):
        paging = machine(rank=rank)
        assert rank == 0 or paging.decide(0) == Decision((), (), rank * WAIT_MS)
        assert rank == 0 or paging.decide(rank * WAIT_MS - 1).send == ()
        assert len(paging.decide(rank * WAIT_MS).send) == 1
    paging = machine(rank=1)
    paging.apply(Heard(4_000, Receipt("gra", PAGE.id, "ann", "sms", "sms:+33600000001", ((PAGE.id, 0),))))
    assert paging.decide(5_000).send == ()
    assert paging.decide(119_999 + WAIT_MS).send == ()
    assert sent(paging, 120_000 + WAIT_MS) == [("ann", "mail")]  # the one before it is gone: its escalation goes on


def test_a_receipt_or_acknowledgement_may_come_before_the_page() -> None:
    paging = Paging(PEOPLE)
    paging.apply(Heard(0, Receipt("gra", PAGE.id, "ann", "sms", "sms:+33600000001", ((PAGE.id, 0),))))
    wanted = paging.wanted(PAGE, ("ann", "bob"), 1, 10)
    assert isinstance(wanted, Wanted)
    paging.apply(wanted)
    assert paging.pages[PAGE.id].stage is Stage.UNANSWERED
    assert paging.decide(10 + WAIT_MS).send == ()
    early = Paging(PEOPLE)
    early.apply(Acknowledged(0, Acknowledgement(PAGE.id[:12], "ann")))
    early.apply(wanted)
    assert early.pages[PAGE.id].stage is Stage.ACKNOWLEDGED


def test_what_lookouts_tell_each_other_has_a_shape() -> None:
    told = (
        Receipt("gra", PAGE.id, "ann", "sms", "sms:+33600000001", ((PAGE.id, 0),)),
        Acknowledgement(PAGE.id[:12], "ann", "sms"),
    )
    assert decoded(encoded(told)) == told
    assert decoded(b'[{"kind": "song"}, 7, ' + encoded(told)[1:]) == told  # of a newer version
    for raw in (b"", b"{}", b"[", b"\xff"):
        with pytest.raises(ValueError):
            decoded(raw)


def test_a_failure_hastens_the_next_route_and_the_next_person() -> None:
    paging = machine()
    assert sent(paging, 0, Sent.LATER) == [("ann", "sms")]
    assert sent(paging, 1, Sent.REFUSED) == [("ann", "mail")]
    assert sent(paging, 2, Sent.LATER) == [("bob", "sms")]
    assert sent(paging, 9_999) == []
    assert sorted(sent(paging, 10_002, Sent.LATER)) == [("ann", "sms"), ("bob", "sms")]
    assert sorted(sent(paging, 60_001)) == [("ann", "mail"), ("ann", "sms"), ("bob", "sms")]
    assert paging.pages[PAGE.id].stage is Stage.UNANSWERED


def test_a_lookout_that_was_away_for_hours_asks_everybody_before_it_is_enough() -> None:
    paging = machine()
    assert sent(paging, 0) == [("ann", "sms")]
    back_ms = 4 * 3_600_000
    decision = paging.decide(back_ms)
    assert decision.record == ()
    assert {one.begun.pages for one in decision.send} == {((PAGE.id, 0),)}  # no second round before the first
    assert sorted(sent(paging, back_ms)) == [("ann", "mail"), ("bob", "sms")]
    assert paging.decide(back_ms).wake_at_ms == back_ms + PEOPLE.escalate_after_ms
    assert sent(paging, back_ms + PEOPLE.escalate_after_ms) == [("ann", "sms")]


def test_an_unknown_outcome_counts_against_the_budget_and_a_refusal_does_not() -> None:
    for outcome, free_ms in ((Sent.UNKNOWN, BUDGET_MS), (Sent.LATER, 0)):
        paging = machine()
        assert sent(paging, 0, outcome)[0] == ("ann", "sms")
        other = paging.wanted(msgspec.structs.replace(PAGE, cause="other"), ("ann",), 0, 1)
        assert isinstance(other, Wanted)
        paging.apply(other)
        assert (("ann", "sms") in sent(paging, 2)) is (free_ms == 0)


def test_info_is_told_once_and_to_the_next_only_where_the_first_is_not_reached() -> None:
    page = msgspec.structs.replace(PAGE, severity=Severity.INFO)
    paging = machine(page)
    assert sent(paging, 0) == [("ann", "sms")]
    assert paging.pages[page.id].stage is Stage.TOLD
    assert paging.decide(10**9).send == ()
    paging = machine(page)
    sent(paging, 0, Sent.REFUSED)
    assert sent(paging, 1, Sent.REFUSED) == [("ann", "hook")]
    assert sent(paging, 2) == [("bob", "sms")]
    assert paging.pages[page.id].stage is Stage.TOLD


@given(st.lists(st.tuples(st.integers(0, 400_000), st.sampled_from(Sent)), max_size=40))
def test_whatever_comes_of_it_a_page_stays_open_until_somebody_is_reached(steps: list[tuple[int, Sent]]) -> None:
    paging = machine()
    now_ms = 0
    for wait_ms, outcome in steps:
        now_ms += wait_ms
        sent(paging, now_ms, outcome)
        for note in paging.decide(now_ms).record:
            paging.apply(note)
        reached = bool(paging.pages[PAGE.id].accepted)
        assert reached or paging.pages[PAGE.id].stage is Stage.UNHEARD
        if paging.pages[PAGE.id].stage in OPEN:
            wake_at_ms = paging.decide(now_ms).wake_at_ms
            assert paging.decide(now_ms).send or (wake_at_ms is not None and wake_at_ms > now_ms)
