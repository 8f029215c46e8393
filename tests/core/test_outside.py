"""What stands outside of the estate explains itself, is followed as a scope is, and has a title of its own."""

from __future__ import annotations

from datetime import UTC, datetime

import pytest

from binome.core import scoping
from binome.core.causes import Kind, found
from binome.core.decide import decide
from binome.core.entry import Draft, Fact, seal
from binome.core.evidence import headline, sentence
from binome.core.graph import Graph
from binome.core.looking import VerdictsAgreed
from binome.core.quorum import Agreed
from binome.core.scope import ScopeEnded, ScopeOpened
from binome.core.scoping import provisional
from binome.core.state import State
from binome.core.verdict import Judged, Verdict
from tests.core.test_target import with_probes

ESTATE = with_probes(
    "  front: {kind: http, url: 'https://www.littoral.example/health', of: edge}\n"
    "  directory: {kind: http, url: 'https://maps.example/v1', of: presence}\n"
    "  shop: {kind: http, url: 'https://shop.littoral.example/', of: web}\n"
    "  queue: {kind: tcp, on: gra-web, port: 5555}\n"
    "  checkout: {kind: http, url: 'http://10.20.1.11:8000/pay', on: gra-web, of: web}\n",
    ", servers: [192.0.2.53], expect: 203.0.113.1",
)
GRAPH = Graph(ESTATE)
NAME = "app.littoral.example@192.0.2.53"
UP, DOWN, UNSURE, FLAPPING = Verdict.UP, Verdict.DOWN, Verdict.UNSURE, Verdict.FLAPPING


def edges() -> list[str]:
    return [name for name, one in GRAPH.targets.items() if one.service == "edge"]


def causes(*down: str, settled: tuple[str, ...] = ()) -> dict[str, list[str]]:
    """The causes where these are down, each with its effects."""

    def verdict(name: str) -> Verdict:
        return DOWN if name in down else UP

    return {
        f"{one.kind}/{one.subject}": one.effects for one in found(GRAPH, verdict, list(down), DOWN, settled=settled)
    }


def test_each_explains_itself_beside_all_other_causes() -> None:
    assert set(GRAPH.outside) == {NAME, NAME.replace("app", "www"), "front", "shop", "directory"}
    assert causes("directory", NAME) == {f"target/{NAME}": [], "target/directory": []}
    assert causes("directory", "web@sbg-web") == {"target/directory": [], "member/web@sbg-web": []}
    assert causes("directory", settled=("directory",)) == {}
    assert causes(*edges(), settled=("front",)) == {"service/edge": []}


def test_what_is_looked_at_for_a_service_that_cannot_work_is_its_effect() -> None:
    assert causes("front", "edge@gra-edge") == {"target/front": [], "member/edge@gra-edge": []}, "the other one works"
    assert causes("front", "directory", *edges()) == {"target/directory": [], "service/edge": ["front"]}
    members = [name for name, one in GRAPH.targets.items() if one.service == "database"]
    assert causes("shop", *members) == {"service/database": ["shop"]}, "web needs the database"


class Night:
    def __init__(self) -> None:
        self.state, self.now_ms, self.count = State(), 0, 0
        self.agree(UP, *GRAPH.targets, *GRAPH.outside)

    def agree(self, verdict: Verdict, *names: str) -> None:
        self.count += 1
        agreed = Agreed(verdict, self.now_ms, ("gra-edge", "par-watch"))
        fact = VerdictsAgreed(dict.fromkeys(names, agreed), confirmed=True)
        self.record(Draft(f"test/{self.count}", self.now_ms, "test", fact))

    def record(self, *drafts: Draft) -> list[Fact]:
        return [self.state.apply(entry) for entry in seal(drafts, self.state.head, 1)]

    def decides(self, after_ms: int) -> list[Fact]:
        self.now_ms += after_ms
        said: list[Fact] = []
        while drafts := decide(ESTATE, self.state, self.now_ms, generation=1, deciders=(scoping.decide,)).record:
            said += self.record(*drafts)
        return said

    @property
    def open(self) -> dict[str, list[str]]:
        return {one.id: list(one.targets) for one in self.state.scope.open.values()}


def test_its_scope_opens_ends_and_is_another_one_the_next_time() -> None:
    night = Night()
    for number in (1, 2):
        night.agree(DOWN, "directory")
        assert [type(fact) for fact in night.decides(2_000)] == [ScopeOpened]
        assert night.open == {f"target/directory/{number}": ["directory"]}
        assert night.decides(60_000) == [], "it is not told again"
        night.agree(UNSURE, "directory")
        assert night.decides(60_000) == [], "what nobody knows ends nothing, and the estate still has it"
        night.agree(UP, "directory")
        assert [type(fact) for fact in night.decides(1_000)] == [ScopeEnded]


def test_its_scope_is_joined_to_the_service_that_turns_out_to_be_why() -> None:
    night = Night()
    night.agree(DOWN, "front")
    night.decides(2_000)
    assert night.open == {"target/front/1": ["front"]}
    night.agree(DOWN, *edges())
    night.decides(2_000)
    assert list(night.open) == ["target/front/1"], "corrected, under the same identity"
    assert night.state.scope.open["target/front/1"].cause.name == "service/edge"
    assert set(night.open["target/front/1"]) == {"front", *edges()}


def test_one_lookout_that_is_cut_off_calls_nothing_out_there_down() -> None:
    judged = {name: Judged(DOWN, 0) for name in (*GRAPH.targets, *GRAPH.outside)}
    judged |= {name: Judged(UP, 0) for name in GRAPH.in_site["paris"]}
    known = provisional(ESTATE, State().scope, "par-watch", judged, heard=(), now_ms=100_000)
    assert [one.cause.name for one in known] == ["vantage/par-watch"]
    alone = {name: Judged(UP, 0) for name in GRAPH.targets} | {"directory": Judged(DOWN, 98_000)}
    assert provisional(ESTATE, State().scope, "par-watch", alone, heard=(), now_ms=100_000) == [], "it has just fallen"
    known = provisional(ESTATE, State().scope, "par-watch", alone, heard=(), now_ms=200_000)
    assert [one.cause.name for one in known] == ["target/directory"]


def clock(at_ms: int) -> str:
    return f"{datetime.fromtimestamp(at_ms / 1000, UTC):%H:%M:%S} UTC"


@pytest.mark.parametrize(
    ("down", "verdict", "title", "words"),
    [
        (
            "directory",
            DOWN,
            "Probe directory down",
            "Probe directory is down since 00:00:00 UTC, seen from gravelines and paris.",
        ),
        (
            "directory",
            FLAPPING,
            "Probe directory unsteady",
            "Probe directory is unsteady since 00:00:00 UTC, seen from gravelines",
        ),
        ("queue", DOWN, "Probe queue down", "Probe queue is down since 00:00:00 UTC"),
        ("checkout", DOWN, "Probe checkout down", "Probe checkout is down since 00:00:00 UTC"),
        (NAME, DOWN, "Name app.littoral.example, asked at 192.0.2.53, down", "Name app.littoral.example, asked at "),
        ("gra-web", DOWN, "Server gra-web down", "Server gra-web does not answer since 00:00:00 UTC, though something"),
    ],
)
def test_a_probe_has_the_title_of_what_it_is(down: str, verdict: Verdict, title: str, words: str) -> None:
    night = Night()
    night.agree(verdict, down)
    (opened,) = night.decides(20_000)
    assert isinstance(opened, ScopeOpened)
    assert headline(opened.cause) == title
    assert sentence(opened.cause, clock).startswith(words)
    probe = {"directory": "http", "queue": "tcp", NAME: "dns"}.get(down, "")
    assert (opened.cause.probe, opened.cause.kind is Kind.MEMBER) == (probe, down == "checkout")
