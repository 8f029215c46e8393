"""Incidents as a table of what happens to scopes, and what people ask; and the products' intervals."""

from __future__ import annotations

from itertools import pairwise
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from binome.core import impact, incident
from binome.core.alarm import alarms
from binome.core.causes import Kind
from binome.core.decide import decide
from binome.core.entry import Draft, Fact, seal
from binome.core.impact import Interval, unavailable_ms, union
from binome.core.incident import (
    KEPT,
    QUIET_MS,
    AcknowledgeAsked,
    Incident,
    NoteAsked,
    OverrideAsked,
    Refused,
    ResolveAsked,
    SilenceAsked,
)
from binome.core.logbook import kind_of, line
from binome.core.looking import VerdictsAgreed
from binome.core.page import Severity
from binome.core.plan import PlanMade, Step
from binome.core.quorum import Agreed
from binome.core.scope import Cause, Confidence, Ended, Manner, ScopeChanged, ScopeEnded, ScopeOpened
from binome.core.scoping import graphs
from binome.core.silence import SiteSilent
from binome.core.state import State
from binome.core.verdict import Verdict
from binome.estate import load

LITTORAL = load((Path(__file__).parents[2] / "examples" / "littoral" / "estate.yaml").read_bytes())
BEGIN_MS = 1_700_000_000_000


def cause(kind: Kind, subject: str, since_ms: int = BEGIN_MS) -> Cause:
    return Cause(kind, subject, Manner.LOST, since_ms, 3, 3, ("gravelines", "paris"), Confidence.CONFIRMED)


SITE = cause(Kind.SITE, "strasbourg")
SERVER = cause(Kind.SERVER, "sbg-web")


class Night:
    """A journal in which scopes are said, and incidents are decided on."""

    def __init__(self) -> None:
        self.state = State()
        self.now_ms = BEGIN_MS
        self.count = 0

    def happens(self, *facts: Fact, after_ms: int = 0) -> None:
        self.now_ms += after_ms
        for fact in facts:
            self.count += 1
            self.record([Draft(f"test/{self.count}", self.now_ms, "test", fact)])
        for _ in range(20):
            record = decide(
                LITTORAL, self.state, self.now_ms, generation=1, deciders=(impact.decide, incident.decide)
            ).record
            if not record:
                return
            self.record(list(record))
        raise AssertionError("it decides for ever")

    def record(self, drafts: list[Draft]) -> None:
        for entry in seal(drafts, self.state.head, 1):
            self.state.apply(entry)

    @property
    def all(self) -> dict[int, Incident]:
        return self.state.incident.all

    def open(self) -> list[tuple[int, str]]:
        return [(one.number, one.cause.name) for one in self.state.incident.open()]

    def answer(self, fact: Fact) -> str:
        self.happens(fact)
        return self.state.answers[getattr(fact, "request", "")]


def test_a_server_that_turns_out_to_be_a_site_is_one_incident() -> None:
    night = Night()
    night.happens(ScopeOpened("server/sbg-web/1", SERVER, ()))
    night.happens(ScopeChanged("server/sbg-web/1", SITE, ()))
    assert night.open() == [(1, "site/strasbourg")]
    assert night.all[1].episode == "server/sbg-web/1"
    assert night.all[1].widened == ("site/strasbourg",)


def test_what_is_joined_is_a_part_of_the_other() -> None:
    night = Night()
    edge = cause(Kind.SERVER, "gra-edge", BEGIN_MS - 5)
    night.happens(ScopeOpened("server/sbg-web/1", SERVER, ()), ScopeOpened("server/gra-edge/1", edge, ()))
    assert len(night.open()) == 2
    night.happens(ScopeEnded("server/gra-edge/1", Ended.JOINED, "server/sbg-web/1"))
    assert night.open() == [(1, "server/sbg-web")]
    assert (night.all[2].into, night.all[1].since_ms) == (1, BEGIN_MS - 5)


def test_it_is_resolved_after_a_quiet_minute_and_goes_on_when_it_returns_sooner() -> None:
    night = Night()
    night.happens(ScopeOpened("site/strasbourg/1", SITE, ()))
    night.happens(ScopeEnded("site/strasbourg/1", Ended.UP_AGAIN))
    night.happens(ScopeOpened("site/strasbourg/2", SITE, ()), after_ms=QUIET_MS - 1)
    night.happens(ScopeEnded("site/strasbourg/2", Ended.UP_AGAIN))
    night.happens(after_ms=QUIET_MS - 1)
    assert night.open() == [(1, "site/strasbourg")]
    night.happens(after_ms=1)
    assert night.open() == []
    night.happens(ScopeOpened("site/strasbourg/3", SITE, ()))
    assert night.open() == [(2, "site/strasbourg")]


def test_what_lies_within_a_lost_site_belongs_to_it_and_what_does_not_is_another() -> None:
    night = Night()
    night.happens(ScopeOpened("site/strasbourg/1", SITE, ()))
    night.happens(ScopeOpened("server/sbg-web/1", SERVER, ()))
    night.happens(ScopeOpened("server/gra-edge/1", cause(Kind.SERVER, "gra-edge"), ()))
    assert night.open() == [(1, "site/strasbourg"), (2, "server/gra-edge")]
    night.happens(ScopeEnded("site/strasbourg/1", Ended.UP_AGAIN), after_ms=1)
    night.happens(after_ms=QUIET_MS)
    assert night.open()[0][0] == 1  # a part of it is still away


def test_a_lookout_that_is_not_back_yet_belongs_to_the_site_that_was_lost() -> None:
    night = Night()
    night.happens(ScopeOpened("site/strasbourg/1", SITE, ()))
    night.happens(ScopeEnded("site/strasbourg/1", Ended.UP_AGAIN), after_ms=1)
    silent = Cause(Kind.VANTAGE, "sbg-edge", Manner.SILENT, BEGIN_MS, 0, 0, ("gravelines",), Confidence.CONFIRMED)
    night.happens(ScopeOpened("vantage/sbg-edge/1", silent, ()), after_ms=1)
    assert night.open() == [(1, "vantage/sbg-edge")]
    assert night.all[1].widest.name == "site/strasbourg", "what is over is told as what it was"
    other = Cause(Kind.VANTAGE, "par-watch", Manner.SILENT, BEGIN_MS, 0, 0, ("gravelines",), Confidence.CONFIRMED)
    night.happens(ScopeOpened("vantage/par-watch/1", other, ()), after_ms=1)
    assert [number for number, _ in night.open()] == [1, 2]


def test_the_log_book_has_what_led_to_it_and_of_two_incidents_each_its_own() -> None:
    night = Night()
    night.happens(SiteSilent("strasbourg", 400, ("gra-edge", "par-watch"), True))
    made = PlanMade("takeover/loss/database/x/1", "takeover", "database", 1, (Step("traffic.fence"),), "it is lost")
    night.happens(made)
    night.happens(ScopeOpened("site/strasbourg/1", SITE, ()), after_ms=3_000)
    night.happens(ScopeOpened("server/gra-edge/1", cause(Kind.SERVER, "gra-edge"), ()), after_ms=120_000)
    night.happens(SiteSilent("strasbourg", 500, ("gra-edge",), True))
    told = [(kind_of(one.fact), line(one.fact, str)) for one in night.all[1].moments()]
    assert [kind for kind, _ in told] == ["seen", "decided", "seen", "decided", "seen"]
    assert told[0][1] == "site strasbourg has said nothing for 0.4 s, say gra-edge and par-watch"
    assert told[1][1] == "takeover of database, 1 steps: it is lost"
    assert not any("strasbourg" in line(one.fact, str) for one in night.all[2].moments())


def test_people_ask_and_are_answered() -> None:
    night = Night()
    assert night.answer(NoteAsked("r1", 1, "x", "ann")) == Refused.NO_SUCH_INCIDENT
    night.happens(ScopeOpened("site/strasbourg/1", SITE, ()))
    assert night.answer(NoteAsked("r2", 1, "called the hoster", "ann")) == "granted"
    assert line(night.all[1].moments()[-1].fact, str) == "ann: called the hoster"
    assert night.answer(AcknowledgeAsked("r3", 1, "ann")) == "granted"
    assert night.all[1].acknowledged_by == "ann"
    assert night.answer(SilenceAsked("r4", "nowhere", night.now_ms + 1, "x", "ann")) == Refused.NO_SUCH_SUBJECT
    assert night.answer(SilenceAsked("r5", "strasbourg", night.now_ms, "x", "ann")) == Refused.OVER_ALREADY
    assert night.answer(OverrideAsked("r6", "nobody", 0, night.now_ms + 1, "ann")) == Refused.NO_SUCH_PERSON
    assert night.answer(OverrideAsked("r7", "ops-2", 0, night.now_ms + 9, "ann")) == "granted"
    assert [one.who for one in night.state.incident.overrides] == ["ops-2"]
    assert night.answer(ResolveAsked("r8", 1, "a drill", "ann")) == "granted"
    assert night.open() == []
    assert night.answer(ResolveAsked("r9", 1, "a drill", "ann")) == Refused.RESOLVED_ALREADY


def test_what_a_person_resolved_comes_back_only_as_something_else() -> None:
    night = Night()
    night.happens(ScopeOpened("server/sbg-web/1", SERVER, ()))
    night.happens(ResolveAsked("r", 1, "known", "ann"))
    night.happens(ScopeChanged("server/sbg-web/1", SERVER, ()))
    assert night.open() == []
    night.happens(ScopeChanged("server/sbg-web/1", SITE, ()))
    assert night.open() == [(2, "site/strasbourg")]


@pytest.mark.parametrize(("subject", "muted"), [("strasbourg", True), ("sbg-web", True), ("gravelines", False)])
def test_a_silence_mutes_the_page_for_its_time_and_not_the_incident(subject: str, muted: bool) -> None:
    night = Night()
    night.happens(SilenceAsked("r", subject, night.now_ms + 5_000, "known", "ann"))
    night.happens(ScopeOpened("server/sbg-web/1", SERVER, ()))
    assert len(night.open()) == 1
    (alarm,) = alarms(LITTORAL, night.state, night.now_ms, {})
    assert alarm.muted is muted
    (alarm,) = alarms(LITTORAL, night.state, night.now_ms + 5_000, {})
    assert alarm.muted is False


def test_a_page_says_when_a_product_cannot_be_used_and_asks_more_then() -> None:
    night = Night()
    night.happens(ScopeOpened("site/strasbourg/1", SITE, ()))
    (quiet,) = alarms(LITTORAL, night.state, night.now_ms, {})
    assert (quiet.page.severity, quiet.page.asked) == (Severity.WARNING, "Nothing urgent")
    web = graphs.of(LITTORAL).work["web"]
    agreed = Agreed(Verdict.DOWN, BEGIN_MS, ("gra-edge", "par-watch"))
    hurt = ScopeOpened("service/web/1", cause(Kind.SERVICE, "web"), ())
    night.happens(VerdictsAgreed(dict.fromkeys(web, agreed), True), hurt)
    pages = {one.incident: one.page for one in alarms(LITTORAL, night.state, night.now_ms, {})}
    hit = pages[max(pages)]
    assert "web" in hit.what
    assert night.state.impact.unusable()


def test_old_incidents_are_forgotten_open_ones_never() -> None:
    night = Night()
    night.happens(ScopeOpened("server/sbg-web/1", SERVER, ()))
    for number in range(KEPT + 5):
        night.happens(ScopeOpened(f"x/{number}", cause(Kind.SERVER, "gra-edge"), ()))
        night.happens(ScopeEnded(f"x/{number}", Ended.UP_AGAIN), after_ms=1)
        night.happens(after_ms=QUIET_MS)
    assert len(night.all) <= KEPT + 1
    assert night.open() == [(1, "server/sbg-web")]


def agree(night: Night, verdict: Verdict, names: list[str], since_ms: int) -> None:
    agreed = Agreed(verdict, since_ms, ("gra-edge", "par-watch"))
    night.happens(VerdictsAgreed(dict.fromkeys(names, agreed), True))


def test_a_product_is_unusable_from_the_member_too_many_until_enough_are_back() -> None:
    night = Night()
    web = graphs.of(LITTORAL).work["web"]
    product = graphs.of(LITTORAL).products_of["web"][0]
    agree(night, Verdict.DOWN, web[:1], BEGIN_MS)
    assert night.state.impact.unusable() == ()
    night.now_ms += 60_000
    agree(night, Verdict.DOWN, web[1:], BEGIN_MS + 50_000)
    assert product in night.state.impact.unusable()
    agree(night, Verdict.UNSURE, web, 0)
    assert product in night.state.impact.unusable()  # nobody knows: that ends nothing
    night.now_ms += 60_000
    agree(night, Verdict.UP, web[:1], BEGIN_MS + 110_000)
    assert night.state.impact.unusable() == ()
    (interval,) = night.state.impact.intervals[product]
    assert (interval.since_ms, interval.until_ms) == (BEGIN_MS + 50_000, BEGIN_MS + 110_000)


@given(st.lists(st.tuples(st.integers(0, 60), st.one_of(st.none(), st.integers(0, 60)))), st.integers(0, 60))
def test_the_union_counts_each_moment_once(spans: list[tuple[int, int | None]], until: int) -> None:
    intervals = [Interval(begin, end) for begin, end in spans]
    dumb = [at for at in range(10, until) if any(b <= at < (until if e is None else e) for b, e in spans)]
    assert unavailable_ms(intervals, 10, until) == len(dumb)
    found = union(intervals, 10, until)
    assert all(one[1] < other[0] for one, other in pairwise(found))
