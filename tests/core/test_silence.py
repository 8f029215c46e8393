"""A site is silent by quorum: missed by a majority of groups whose word counts, and nothing there answers a knock."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from binome.core.entry import Draft
from binome.core.silence import MISSED_MS, SilenceSlice, SiteHeard, SiteSilent, Watchers, drafts
from binome.estate import load

TEXT = (Path(__file__).parents[2] / "examples" / "littoral" / "estate.yaml").read_text()
LITTORAL = load(TEXT.encode())
WATCHERS = Watchers(LITTORAL)
PAIR = Watchers(
    load(TEXT.replace("on: [gra-edge, sbg-edge, par-watch], every", "on: [gra-edge, sbg-edge], every").encode())
)


@pytest.mark.parametrize(
    ("heard_ms", "seen_by", "silent"),
    [
        ({"gra-edge": 50, "sbg-edge": 400}, {"gra-edge": {"sbg-edge": 350, "par-watch": 10}}, {"strasbourg": 400}),
        ({"gra-edge": 50, "sbg-edge": 240}, {"gra-edge": {"sbg-edge": 350}}, {}),
        ({"gra-edge": 50, "sbg-edge": 400}, {"gra-edge": {"sbg-edge": 20}}, {}),
        ({"gra-edge": 400, "sbg-edge": 400}, {"gra-edge": {"sbg-edge": 350}}, {}),
        ({"gra-edge": 50, "sbg-edge": 400}, {}, {}),
        ({"gra-edge": 50}, {"gra-edge": {"sbg-edge": 350}}, {}),
        ({}, {}, {}),
    ],
    ids=[
        "both miss it",
        "we heard it lately",
        "another hears it",
        "nobody vouches",
        "nobody says",
        "never heard",
        "alone",
    ],
)
def test_a_site_is_missed_by_a_majority_or_not_at_all(
    heard_ms: dict[str, int], seen_by: dict[str, dict[str, int]], silent: dict[str, int]
) -> None:
    missed = WATCHERS.missed("par-watch", heard_ms, seen_by)
    assert {site: one.for_ms for site, one in missed.items()} == silent
    assert all(one.seen_from == ("gra-edge", "par-watch") for one in missed.values())


def test_who_is_cut_off_alone_calls_nobody_silent() -> None:
    ages = {"sbg-edge": 900, "par-watch": 900}
    assert WATCHERS.missed("gra-edge", ages, {"sbg-edge": {"par-watch": 0}, "par-watch": {"sbg-edge": 0}}) == {}


def told(known: SilenceSlice, **what: Any) -> list[Draft]:
    said = {"missed": {}, "knocks": {}, "heard_ms": {}, **what}
    found = drafts(WATCHERS, known, 1_000_000, **said)
    for draft in found:
        known.apply(draft.fact, draft.at_ms)
    return found


def missed(for_ms: int) -> Any:
    return WATCHERS.missed(
        "par-watch", {"gra-edge": 0, "sbg-edge": for_ms}, {"gra-edge": {"sbg-edge": for_ms, "par-watch": 0}}
    )


def test_a_silence_is_told_at_each_length_that_a_service_waits_for_and_ends_with_a_word() -> None:
    known = SilenceSlice()
    assert told(known, missed=missed(1_900), knocks={"strasbourg": False}) == []
    (draft,) = told(known, missed=missed(2_100), knocks={"strasbourg": False})
    assert draft.fact == SiteSilent("strasbourg", 2_000, ("gra-edge", "par-watch"), confirmed=True)
    assert told(known, missed=missed(9_000), knocks={"strasbourg": False}) == []
    assert told(known, missed={}, heard_ms={"sbg-edge": MISSED_MS}) == [], "nobody has heard it"
    assert told(known, missed={}, heard_ms={}) == [], "who has just started knows nothing"
    (draft,) = told(known, missed={}, heard_ms={"sbg-edge": 40})
    assert draft.fact == SiteHeard("strasbourg")
    (draft,) = told(known, missed=missed(2_100), knocks={"strasbourg": False})
    assert draft.id == "silence/strasbourg/2/2000"


def test_what_answers_a_knock_or_was_not_knocked_at_is_not_silent() -> None:
    known = SilenceSlice()
    assert told(known, missed=missed(2_100), knocks={"strasbourg": True}) == []
    assert told(known, missed=missed(2_100)) == []
    assert len(told(known, missed=missed(2_100), knocks={"strasbourg": False})) == 1
    (draft,) = told(known, missed=missed(2_100), knocks={"strasbourg": True})
    assert draft.fact == SiteHeard("strasbourg")


def test_of_two_places_neither_confirms_that_the_other_is_silent() -> None:
    found = PAIR.missed("gra-edge", {"sbg-edge": 5_000}, {})
    assert found == {}, "one of two is no majority"
    assert not PAIR.confirmed
