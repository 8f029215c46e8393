"""What the running Binôme answers about a product: from a journal, with what was decided and what was refused."""

from __future__ import annotations

from datetime import UTC
from typing import Any

import pytest

from binome.cli.answers import clock_of, goes_on_as, of_product, whole
from binome.cli.letter import drafted
from binome.core.alarm import INCIDENT, alarms
from binome.core.database import DatabaseSeen
from binome.core.entry import Draft
from binome.core.incident import IncidentJoined, IncidentOpened
from binome.core.looking import VerdictsAgreed
from binome.core.quorum import Agreed
from binome.core.scope import ScopeOpened
from binome.core.scoping import graphs
from binome.core.silence import SiteHeard
from binome.core.verdict import Verdict
from tests.core.test_alarm import UNCONFIRMED
from tests.core.test_logbook import LOST
from tests.core.test_takeover import BEGIN_MS, BURNS, SEEN, Night, burned, littoral


def asked(night: Night, product: str = "campaigns") -> dict[str, Any]:
    return of_product(night.estate, night.state, product, UTC, night.now_ms)


@pytest.mark.parametrize(
    ("takeover", "said"),
    [
        ("manual", "no takeover: takeover is manual"),
        ("shadow", "gra-db would have taken over (shadow)"),
        ("confirm", "a person is asked whether gra-db shall take over"),
    ],
)
def test_a_product_says_what_was_decided_of_its_database_while_that_is_lost(takeover: str, said: str) -> None:
    night = burned(littoral(takeover=takeover))
    assert asked(night)["decisions"] == [{"service": "database", "said": said}]
    night.happens(SiteHeard("strasbourg"))
    assert asked(night)["decisions"] == []


def test_a_product_whose_database_was_taken_over_has_nothing_refused() -> None:
    assert asked(burned())["decisions"] == []


def looked_at(night: Night) -> Night:
    """The night once everything was seen to be up."""
    up = Agreed(Verdict.UP, BEGIN_MS, ("gra-edge", "par-watch"))
    night.happens(VerdictsAgreed(dict.fromkeys(graphs.of(night.estate).targets, up), True))
    return night


@pytest.mark.parametrize("takeover", ["manual", "shadow", "confirm"])
def test_a_product_whose_database_nobody_takes_over_cannot_be_used_since_the_loss_and_a_letter_says_so(
    takeover: str,
) -> None:
    night = looked_at(Night(littoral(takeover=takeover), SEEN))
    night.now_ms += 10_000
    for number, fact in enumerate((ScopeOpened("site/strasbourg/1", LOST, ()), IncidentOpened(1, "site/strasbourg/1"))):
        night.append([Draft(f"opened/{number}", night.now_ms, "test", fact)])
    night.happens(BURNS)
    lost_ms = night.state.silence.sites["strasbourg"].since_ms
    night.pass_(30)
    answer = asked(night)
    assert (answer["usable"], answer["since_ms"], answer["services"]) == (False, lost_ms, ["database"])
    one = whole(night.estate, night.state.incident.all[1], night.state, UTC, night.now_ms)
    _, body, told = drafted(one, "customers", "en", None)
    (said,) = [each for each in told if each.product == "campaigns"]
    assert said.hit
    assert ("decided", "database is not taken over: takeover is manual") in [
        (moment["kind"], moment["said"]) for moment in one["moments"]
    ] or takeover != "manual"
    assert f"campaigns could not be used since {clock_of(UTC)(lost_ms)}, and still" in " ".join(body.split())
    (page,) = [one.page for one in alarms(night.estate, night.state, night.now_ms, {}) if one.page.cause == INCIDENT]
    assert "campaigns" in page.doing.partition(" cannot be used")[0]
    assert "products ok" not in page.doing
    night.happens(SiteHeard("strasbourg"))
    (interval,) = night.state.impact.intervals["campaigns"]
    assert (asked(night)["usable"], interval.since_ms, interval.until_ms) == (True, lost_ms, night.now_ms)


def test_of_a_database_whose_loss_too_few_confirm_nobody_knows_whether_it_can_be_used() -> None:
    night = looked_at(Night(None, SEEN))
    night.happens(UNCONFIRMED)
    assert (asked(night)["usable"], asked(night)["unsure"]) == (None, ["database"])
    assert night.state.impact.unusable() == ()


def test_a_database_without_a_primary_cannot_be_used_until_it_has_one() -> None:
    night = looked_at(Night(None, SEEN))
    night.pass_(20)
    night.happens(DatabaseSeen("database", ""))
    gone_ms = night.now_ms
    night.pass_(7)
    assert (asked(night)["usable"], asked(night)["since_ms"]) == (False, gone_ms)
    night.happens(DatabaseSeen("database", "gra-db", ("sbg-db",)))
    (interval,) = night.state.impact.intervals["campaigns"]
    assert (asked(night)["usable"], interval.until_ms) == (True, gone_ms + 7_000)


def test_who_is_affected_since_when_and_by_what() -> None:
    night = Night(littoral(takeover="manual"), DatabaseSeen("database", "gra-db", ("sbg-db",)))
    web = graphs.of(night.estate).work["web"]
    agreed = Agreed(Verdict.DOWN, BEGIN_MS, ("gra-edge", "par-watch"))
    night.happens(BURNS)
    for number, fact in enumerate((ScopeOpened("site/strasbourg/1", LOST, ()), IncidentOpened(1, "site/strasbourg/1"))):
        night.append([Draft(f"opened/{number}", night.now_ms, "test", fact)])
    night.happens(VerdictsAgreed(dict.fromkeys(web, agreed), True))
    night.pass_(30)
    answer = asked(night)
    assert (answer["usable"], answer["since_ms"], answer["services"]) == (False, BEGIN_MS, ["web"])
    assert answer["last_day"]["unavailable_ms"] == 30_000
    one = whole(night.estate, night.state.incident.all[1], night.state, UTC, night.now_ms)
    said = [(moment["kind"], moment["said"]) for moment in one["moments"]]
    assert any(kind == "seen" and "cannot be used since" in words for kind, words in said)
    assert one["products"]["campaigns"]["unavailable_ms"] == 30_000


def test_a_joined_incident_says_which_one_goes_on_however_often_that_was_joined_itself() -> None:
    night = Night(None, SEEN)
    for number in (1, 2, 3):
        night.append([Draft(f"scope/{number}", night.now_ms, "test", ScopeOpened(f"s/{number}", LOST, ()))])
        night.append([Draft(f"opened/{number}", night.now_ms, "test", IncidentOpened(number, f"s/{number}"))])
    for number, into in ((1, 2), (2, 3)):
        night.append([Draft(f"joined/{number}", night.now_ms, "test", IncidentJoined(number, into))])
    known = night.state.incident.all
    assert [goes_on_as(known[number], night.state) for number in (1, 2, 3)] == [3, 3, None]
