"""What the running Binôme answers about a product: from a journal, with what was decided and what was refused."""

from __future__ import annotations

from datetime import UTC
from typing import Any

import pytest

from binome.cli.answers import of_product, whole
from binome.core.entry import Draft
from binome.core.incident import IncidentOpened
from binome.core.looking import VerdictsAgreed
from binome.core.quorum import Agreed
from binome.core.scope import ScopeOpened
from binome.core.scoping import graphs
from binome.core.silence import SiteHeard
from binome.core.verdict import Verdict
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


def test_who_is_affected_since_when_and_by_what() -> None:
    night = Night(littoral(takeover="manual"), SEEN)
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
    assert ("decided", "database is not taken over: takeover is manual") in said
    assert any(kind == "seen" and "cannot be used since" in words for kind, words in said)
    assert one["products"]["campaigns"]["unavailable_ms"] == 30_000
