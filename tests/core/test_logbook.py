"""The log book: every fact that an incident keeps has words and a kind; decisions and refusals are in it."""

from __future__ import annotations

import pytest

from binome.core.causes import Kind
from binome.core.concerns import TOLD
from binome.core.database import DatabaseSeen
from binome.core.entry import Draft, Fact
from binome.core.incident import IncidentOpened
from binome.core.logbook import KINDS, kind_of, line
from binome.core.maintenance import MaintenanceAsked
from binome.core.scope import Cause, Confidence, Manner, ScopeOpened
from binome.core.takeover import DatabaseMoved, SwitchoverAsked, TakeoverAsked
from tests.core.test_takeover import BEGIN_MS, BURNS, SEEN, Night, littoral

LOST = Cause(Kind.SITE, "strasbourg", Manner.LOST, BEGIN_MS, 3, 3, ("gravelines", "paris"), Confidence.CONFIRMED)


def book(night: Night) -> list[tuple[str, str]]:
    (one,) = night.state.incident.all.values()
    return [(kind_of(moment.fact), line(moment.fact, lambda _: "00:47")) for moment in one.moments()]


def opened(night: Night) -> None:
    for number, fact in enumerate((ScopeOpened("site/strasbourg/1", LOST, ()), IncidentOpened(1, "site/strasbourg/1"))):
        night.append([Draft(f"opened/{number}", night.now_ms, "test", fact)])
    night.settle()


@pytest.mark.parametrize("fact", TOLD, ids=lambda fact: fact.__name__)
def test_every_fact_of_others_that_is_kept_has_a_kind(fact: type[Fact]) -> None:
    assert fact in KINDS


def test_what_was_changed_before_refused_asked_and_moved_is_in_it() -> None:
    night = Night(littoral(takeover="manual"), SEEN)
    night.happens(MaintenanceAsked("m", "gra-web", night.now_ms + 60_000, "new disks", "ops-2"))
    night.pass_(20)
    night.happens(BURNS)
    opened(night)
    night.happens(TakeoverAsked("r1", "database", "ops-1"))
    night.happens(DatabaseSeen("database", "gra-db", ()))
    night.happens(SwitchoverAsked("r2", "database", "sbg-db", "ops-1"))
    told = book(night)
    assert ("said", "ops-2 works on gra-web until 00:47: new disks") in told
    assert ("decided", "database is not taken over: takeover is manual") in told
    assert ("said", "ops-1 asks for a takeover of database") in told
    assert any(kind == "decided" and words.startswith("takeover of database, 4 steps") for kind, words in told)
    assert ("done", "database: gra-db is primary now") in told
    assert ("seen", "database: gra-db is primary, no standby in step") in told
    assert ("said", "ops-1 asks to move database to sbg-db") in told
    assert any(words.startswith("what was asked is refused: ") for _, words in told), told
    assert "123456" not in line(TakeoverAsked("r", "database", "ops-1", "123456"), str), "it may be read by anybody"


def test_a_fact_without_words_of_its_own_is_told_by_its_name() -> None:
    class Strange(Fact, frozen=True, tag="strange"):
        """Nobody has words for it."""

    assert line(Strange(), str) == "Strange"
    hostile = DatabaseMoved("p", "database", "gra-db\r\n\x1b[2J\u202e")
    assert line(hostile, str).isprintable()
