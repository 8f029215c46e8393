"""The causes that are found are the fewest that there are, and each is the narrowest."""

from __future__ import annotations

import re
from itertools import combinations
from pathlib import Path

import pytest
from hypothesis import assume, event, given, settings
from hypothesis import strategies as st

from binome.core.causes import RANK, found
from binome.core.cover import smallest
from binome.core.graph import Graph
from binome.core.verdict import Verdict
from binome.estate import Estate, load
from tests.core.oracle import ORDER, Oracle, Verdicts, nights

LITTORAL = Graph(load((Path(__file__).parents[2] / "examples" / "littoral" / "estate.yaml").read_bytes()))


@settings(max_examples=400, deadline=None)
@given(nights())
def test_the_oracle_agrees(night: tuple[Estate, Verdicts]) -> None:
    estate, verdicts = night
    oracle = Oracle(estate, verdicts)
    causes = found(Graph(estate), verdicts.__getitem__, oracle.down, Verdict.DOWN)
    keys = [(one.kind.value, one.subject) for one in causes]
    event(f"{len(keys)} causes")
    assert set(keys) <= oracle.spoken.keys(), "nothing that is up contradicts"
    assert oracle.explains(keys)
    attached = sorted(target for one in causes for target in (*one.own, *one.effects))
    assert attached == sorted(oracle.down), "every target belongs to one cause"
    for key in keys:
        for other in oracle.spoken:
            narrower = oracle.width(other) < oracle.width(key)
            others = [one for one in keys if one != key]
            assert not (narrower and oracle.explains([*others, other])), f"{other} is narrower than {key}"
    assume(len(keys) < 6)
    assert oracle.fewer(len(keys)) is None


@settings(max_examples=300, deadline=None)
@given(st.lists(st.frozensets(st.sampled_from("abcdefg"), min_size=1, max_size=4), max_size=9))
def test_the_smallest_cover(things: list[frozenset[str]]) -> None:
    answer = smallest(things)
    assert all(names & set(answer) for names in things)
    for size in range(len(answer)):
        assert not any(all(names & set(some) for names in things) for some in combinations("abcdefg", size))


def test_what_holds_most_is_not_always_needed() -> None:
    things = ({"x", "g"}, {"x", "p"}, {"y", "g"}, {"y", "q"})
    assert smallest(map(frozenset, things)) == ["x", "y"]


def of(*down: str, unsure: tuple[str, ...] = ()) -> list[str]:
    """The causes on littoral where these are down; a name of a server or place stands for all on it."""
    names = [
        name
        for name, one in LITTORAL.targets.items()
        if any(x in (name, one.service) or x == one.server or LITTORAL.stands_in(one.server, x) for x in down)
    ]
    if set(down) <= LITTORAL.targets.keys():
        names = list(down)

    def verdict(name: str) -> Verdict:
        return Verdict.DOWN if name in names else Verdict.UNSURE if name in unsure else Verdict.UP

    return [f"{one.kind} {one.subject}" for one in found(LITTORAL, verdict, names, Verdict.DOWN)]


DATABASE = ("database@gra-db", "database@sbg-db")
STRASBOURG = tuple(name for name, one in LITTORAL.targets.items() if LITTORAL.stands_in(one.server, "strasbourg"))
WEB = ("web@gra-web", "web@sbg-web")


@pytest.mark.parametrize(
    ("down", "unsure", "causes"),
    [
        (("strasbourg",), (), ["site strasbourg"]),
        (("par-watch", "coordination@par-watch"), (), ["server par-watch"]),  # the site's other server is up
        (("sbg-web",), (), ["target sbg-web"]),  # what runs on it is up
        (("sbg-web",), ("web@sbg-web",), ["server sbg-web"]),
        (("database@sbg-db",), (), ["member database@sbg-db"]),
        (("database@sbg-db/patroni",), (), ["target database@sbg-db/patroni"]),
        (("database@sbg-db/patroni",), ("database@sbg-db",), ["member database@sbg-db"]),
        (DATABASE, (), ["service database"]),
        ((*DATABASE, *WEB), (), ["service database"]),
        (
            ("coordination@gra-db", "coordination@sbg-db", *DATABASE, *WEB),
            (),  # its third member is up, but they have no majority
            ["member coordination@gra-db", "member coordination@sbg-db"],
        ),
        (("coordination@gra-db", "coordination@sbg-db"), ("coordination@par-watch",), ["service coordination"]),
        ((WEB[0],), (), ["member web@gra-web"]),
        ((WEB[0], "sbg-db"), (), ["target sbg-db", "member web@gra-web"]),
        ((DATABASE[0], *WEB), (), ["service web", "member database@gra-db"]),  # the database can spare one
        ((DATABASE[0],), (DATABASE[1],), ["member database@gra-db"]),  # one of two is not more than half
        (STRASBOURG[:5], STRASBOURG[5:], ["site strasbourg"]),
        (STRASBOURG[:4], STRASBOURG[4:], ["server sbg-db", "server sbg-edge", "server sbg-web"]),
    ],
)
def test_what_is_down_on_littoral(down: tuple[str, ...], unsure: tuple[str, ...], causes: list[str]) -> None:
    assert of(*down, unsure=unsure) == causes


def test_the_documented_order_is_the_order() -> None:
    assert [kind.value for kind in RANK][: len(ORDER)] == list(ORDER)
    docs = (Path(__file__).parents[2] / "docs" / "looking.md").read_text()
    rows = re.findall(r"^\| ([a-z, ]+) \| .* \| .* \|$", docs.partition("## Causes")[2], flags=re.MULTILINE)
    documented = [kind for row in rows for kind in row.split(", ") if kind != "cause"]
    assert sorted(documented) == sorted(kind.value for kind in RANK)
