"""Whose turn it is: a table of moments, and what holds at every moment."""

from __future__ import annotations

from datetime import datetime
from zoneinfo import ZoneInfo

import pytest
from hypothesis import given
from hypothesis import strategies as st

from binome.core.oncall import Override, Why, clock, on_call, when
from binome.estate import load
from binome.estate.model import People

PARIS = ZoneInfo("Europe/Paris")
APIA = ZoneInfo("Pacific/Apia")  # which had no December 30, 2011


def people(rota: str, contacts: str = "ann, bob, cyd") -> People:
    named = ", ".join(f'{name}: {{sms: "+3360000000{index}"}}' for index, name in enumerate(contacts.split(", ")))
    return load(f"people: {{contacts: {{{named}}}, rota: {{{rota}}}}}".encode()).people


def at(text: str, zone: ZoneInfo = PARIS) -> int:
    return when(datetime.fromisoformat(text), zone)


def shown(at_ms: int | None, zone: ZoneInfo = PARIS) -> str:
    return "never" if at_ms is None else f"{clock(at_ms, zone):%Y-%m-%d %H:%M %z}"


WEEKS = people('weekly: [ann, bob, cyd], zone: Europe/Paris, handover: "Mon 09:00"')
NIGHTS = people('weekly: [ann, bob], zone: Europe/Paris, handover: "Sun 02:30"')
DAYS = people('daily: [ann, bob], zone: Europe/Paris, handover: "02:30"')
BOTH = people("weekly: [ann, bob], daily: [cyd, bob], zone: Europe/Paris")


@pytest.mark.parametrize(
    ("rota", "moment", "who", "until"),
    [
        (WEEKS, "2026-11-23 08:59", "ann", "2026-11-23 09:00 +0100"),
        (WEEKS, "2026-11-23 09:00", "bob", "2026-11-30 09:00 +0100"),
        (WEEKS, "2026-11-30 09:00", "cyd", "2026-12-07 09:00 +0100"),
        # a year of 53 weeks, and a leap day: the turns go on
        (WEEKS, "2026-12-28 09:00", "ann", "2027-01-04 09:00 +0100"),
        (WEEKS, "2027-01-04 09:00", "bob", "2027-01-11 09:00 +0100"),
        (DAYS, "2028-02-28 12:00", "ann", "2028-02-29 02:30 +0100"),
        (DAYS, "2028-02-29 12:00", "bob", "2028-03-01 02:30 +0100"),
        (DAYS, "2028-03-01 12:00", "ann", "2028-03-02 02:30 +0100"),
        # the clock skips 02:30 on March 29: the turn changes as it has skipped it
        (NIGHTS, "2026-03-29 01:59", "ann", "2026-03-29 03:30 +0200"),
        (NIGHTS, "2026-03-29 03:30", "bob", "2026-04-05 02:30 +0200"),
        (DAYS, "2026-03-29 03:29", "ann", "2026-03-29 03:30 +0200"),
        # 02:30 comes twice on October 25: it changes at the first
        (NIGHTS, "2026-10-25 02:29", "ann", "2026-10-25 02:30 +0200"),
        (NIGHTS, "2026-10-25 02:30", "bob", "2026-11-01 02:30 +0100"),
    ],
)
def test_whose_turn_it_is(rota: People, moment: str, who: str, until: str) -> None:
    turn = on_call(rota, PARIS, at(moment)).now
    assert (turn.who, shown(turn.until_ms), turn.why) == ((who,), until, Why.TURN)


def test_a_day_that_a_place_never_had_is_nobodys_problem() -> None:
    rota = people('daily: [ann, bob], zone: Pacific/Apia, handover: "09:00"')
    before = on_call(rota, APIA, at("2011-12-29 10:00", APIA)).now
    assert before.until_ms is not None
    assert before.until_ms > at("2011-12-29 10:00", APIA)
    assert on_call(rota, APIA, before.until_ms).now.who != before.who


def test_with_weeks_and_days_both_are_on_call_the_weeks_person_first() -> None:
    answer = on_call(BOTH, PARIS, at("2026-11-24 12:00"))
    assert len(answer.now.who) == 2
    assert answer.order[:2] == answer.now.who
    assert set(answer.order) == {"ann", "bob", "cyd"}


def test_a_rota_that_names_nobody_is_a_hole_and_everybody_is_on_call() -> None:
    answer = on_call(people("zone: Europe/Paris"), PARIS, at("2026-11-24 12:00"))
    assert (answer.now.who, answer.now.why, answer.now.until_ms) == (("ann", "bob", "cyd"), Why.HOLE, None)
    assert on_call(load(b"people: {}").people, PARIS, 0).now.why is Why.NOBODY


def test_who_alone_is_in_the_rota_is_on_call_for_ever() -> None:
    answer = on_call(people("weekly: [bob]"), PARIS, at("2026-11-24 12:00"))
    assert (answer.now.who, answer.now.until_ms, answer.next, answer.order) == (
        ("bob",),
        None,
        None,
        ("bob", "ann", "cyd"),
    )


def test_an_override_goes_before_the_turn_and_the_later_one_before_the_earlier() -> None:
    rota = people(
        "weekly: [ann, bob], zone: Europe/Paris, overrides: ["
        '{who: cyd, from: "2026-12-24 18:00", until: "2026-12-26 09:00"},'
        ' {who: bob, from: "2026-12-25 08:00", until: "2026-12-25 20:00"}]'
    )
    turn = on_call(rota, PARIS, at("2026-12-24 12:00")).now.who[0]
    seen = [
        on_call(rota, PARIS, at(f"2026-12-{moment}")) for moment in ("24 18:00", "25 08:00", "25 20:00", "26 09:00")
    ]
    assert [one.now.who[0] for one in seen] == ["cyd", "bob", "cyd", turn]
    assert [shown(one.now.until_ms) for one in seen[:3]] == [
        "2026-12-25 08:00 +0100",
        "2026-12-25 20:00 +0100",
        "2026-12-26 09:00 +0100",
    ]
    assert seen[0].order[1] == turn
    asked = Override("ann", at("2026-12-25 09:00"), at("2026-12-25 10:00"))
    assert on_call(rota, PARIS, at("2026-12-25 09:30"), [asked]).now.who == ("ann",)


def test_moments_that_no_calendar_has_are_refused() -> None:
    for at_ms in (-(10**17), 10**17):
        with pytest.raises(ValueError, match="in no calendar"):
            on_call(WEEKS, PARIS, at_ms)


@given(
    st.sampled_from([WEEKS, NIGHTS, DAYS, BOTH]),
    st.sampled_from([PARIS, APIA, ZoneInfo("Australia/Lord_Howe"), ZoneInfo("UTC")]),
    st.integers(at("1990-01-01"), at("2060-01-01")),
)
def test_a_turn_lasts_until_its_end_and_not_longer(rota: People, zone: ZoneInfo, at_ms: int) -> None:
    answer = on_call(rota, zone, at_ms)
    until_ms = answer.now.until_ms
    assert until_ms is not None
    assert at_ms < until_ms
    assert on_call(rota, zone, until_ms - 1).now.who == answer.now.who
    assert answer.next is not None
    assert on_call(rota, zone, until_ms).now == answer.next
    assert answer.next.who != answer.now.who
    assert sorted(answer.order) == ["ann", "bob", "cyd"]
