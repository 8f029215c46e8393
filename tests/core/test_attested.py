"""The table of a person's word: who goes on for which loss, and why a word is not taken."""

from __future__ import annotations

import pytest

from binome.core.attested import Proposal, Refused, objection, proposal
from binome.core.database import DatabaseSeen
from binome.core.entry import Draft, seal
from binome.core.state import State
from binome.estate import Estate, load
from tests.core.test_takeover import TEXT, littoral

SBG, PAR, GRA = "sbg-edge sbg-web sbg-db", "par-watch par-spare", "gra-edge gra-web gra-db"
SEEN = DatabaseSeen("database", "sbg-db", ("gra-db",))


def asked(
    reached: str, seen: DatabaseSeen | None = SEEN, *, estate: Estate | None = None, led: bool = False
) -> Proposal | Refused:
    state = State()
    for entry in seal([Draft("seen", 7_000, "test", seen)] if seen else [], state.head, 1):
        state.apply(entry)
    return proposal(estate or littoral(), state, "database", set(reached.split()), led=led)


@pytest.mark.parametrize(
    ("reached", "seen", "survivor", "whole"),
    [
        (GRA, SEEN, "gra-db", True),  # a synchronous standby
        (SBG, SEEN, "sbg-db", True),  # the primary itself
        (GRA, DatabaseSeen("database", "sbg-db", ()), "gra-db", False),
        (GRA, DatabaseSeen("database", "sbg-db", ("other",)), "gra-db", False),
        (SBG, DatabaseSeen("database", "sbg-db", ()), "sbg-db", True),
    ],
)
def test_who_goes_on(reached: str, seen: DatabaseSeen, survivor: str, whole: bool) -> None:
    found = asked(reached, seen)
    assert isinstance(found, Proposal)
    assert (found.survivor, found.host, found.whole, found.primary) == (survivor, survivor, whole, "sbg-db")


def test_a_place_is_a_whole_site_or_a_server_that_says_nothing_in_one_that_does() -> None:
    found = asked(f"{GRA} sbg-web")
    assert isinstance(found, Proposal)
    assert found.lost == {
        "sbg-db": ("sbg-db",),
        "sbg-edge": ("sbg-edge",),
        "paris": ("par-watch", "par-spare"),
    }
    assert (found.lookouts, found.members) == (("sbg-edge", "par-watch"), ("sbg-db", "par-watch"))
    assert "amsterdam" not in found.lost, "nothing there agrees, looks out or holds the database"


@pytest.mark.parametrize(
    ("reached", "seen", "led", "refused"),
    [
        (GRA, SEEN, True, Refused.LED),
        (GRA, None, False, Refused.NO_SUCH_DATABASE),
        (f"{GRA} par-watch", SEEN, False, Refused.QUORUM_LEFT),
        (f"{GRA} {SBG}", SEEN, False, Refused.QUORUM_LEFT),
        ("gra-edge gra-web", SEEN, False, Refused.NO_AGREEMENT),
        ("par-watch par-spare", SEEN, False, Refused.NO_MEMBER),
    ],
)
def test_where_there_is_nothing_for_a_person_to_say(
    reached: str, seen: DatabaseSeen | None, led: bool, refused: Refused
) -> None:
    assert asked(reached, seen, led=led) is refused


def test_a_database_that_agrees_through_nothing_is_not_ours_to_bring_back() -> None:
    alone = load(TEXT.replace("    needs: [coordination]\n", "", 1).encode())
    assert asked(GRA, estate=alone) is Refused.NO_ETCD


@pytest.mark.parametrize(
    ("seen", "names", "answering", "accepts", "refused"),
    [
        (SEEN, "paris strasbourg", "", False, None),
        (SEEN, "strasbourg", "", False, Refused.OTHER_NAMES),
        (SEEN, "paris strasbourg gravelines", "", False, Refused.OTHER_NAMES),
        (SEEN, "", "", True, Refused.OTHER_NAMES),
        (SEEN, "paris strasbourg", "sbg-web", False, Refused.ANSWERS),
        (DatabaseSeen("database", "sbg-db", ()), "paris strasbourg", "", False, Refused.NOT_SYNCHRONOUS),
        (DatabaseSeen("database", "sbg-db", ()), "paris strasbourg", "", True, None),
    ],
)
def test_a_word_is_taken_only_whole_and_uncontradicted(
    seen: DatabaseSeen, names: str, answering: str, accepts: bool, refused: Refused | None
) -> None:
    found = asked(GRA, seen)
    assert isinstance(found, Proposal)
    assert objection(found, names.split(), answering.split(), accepts_loss=accepts) is refused


def test_a_spare_that_became_a_member_founds_the_database_anew_where_nobody_else_is_left() -> None:
    estate = load(
        TEXT.replace("on: [gra-db, sbg-db]\n    needs", "on: [gra-db, sbg-db, par-spare]\n    needs", 1).encode()
    )
    found = asked("par-watch par-spare", estate=estate)
    assert isinstance(found, Proposal)
    assert (found.survivor, found.host, found.whole) == ("par-spare", "par-watch", False)
    assert list(found.lost) == ["gravelines", "strasbourg"]
    assert objection(found, found.lost, (), accepts_loss=False) is Refused.NOT_SYNCHRONOUS
    assert objection(found, found.lost, (), accepts_loss=False, anew=True) is None
    whole = asked(SBG)
    assert isinstance(whole, Proposal)
    assert objection(whole, whole.lost, (), accepts_loss=True, anew=True) is Refused.HAS_DATA
