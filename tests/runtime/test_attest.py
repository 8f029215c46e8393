"""A person's word at a lookout: what is ordered of whom in which order, and what stops it."""

from __future__ import annotations

import asyncio
from collections.abc import Collection
from typing import Any

import pytest

from binome.core.attested import Proposal, Refused
from binome.core.database import DatabaseSeen
from binome.core.entry import Draft, Fact, seal
from binome.core.plan import Command, Outcome
from binome.core.state import State
from binome.core.takeover_facts import TakeoverAttested
from binome.runtime import attest as module
from binome.runtime.attest import Attest
from binome.runtime.clock import SystemClock
from tests.core.test_takeover import SEEN, littoral

ALIVE = ("gra-db", "gra-edge", "gra-web")
WORD = {"request": "r1", "service": "database", "names": ["paris", "strasbourg"], "who": "ops-1"}


class Hands:
    """Agents that write down what they are told, and say what they are told to say."""

    def __init__(self, connected: Collection[str] = ALIVE) -> None:
        self.connected = connected
        self.orders: list[tuple[str, Command]] = []
        self.answers: dict[str, list[Outcome]] = {}

    def is_connected(self, server: str) -> bool:
        return server in self.connected

    def newest_generation(self) -> int:
        return 41

    async def order(self, server: str, command: Command, timeout_s: float) -> Outcome:
        self.orders.append((server, command))
        answers = self.answers.get(command.verb, [])
        return answers.pop(0) if answers else Outcome("done")

    def told(self) -> list[tuple[str, str]]:
        return [(server, command.verb) for server, command in self.orders]


class Scene:
    """One lookout, gra-edge, and what it is asked."""

    def __init__(self, seen: Fact = SEEN, *, led: bool = False, trouble: str = "", living: str = "") -> None:
        self.hands, self.facts, self.state = Hands(), list[TakeoverAttested](), State()
        for entry in seal([Draft("seen", 7_000, "test", seen)], self.state.head, 5):
            self.state.apply(entry)
        estate = littoral()

        async def change(found: Proposal, fact: TakeoverAttested, accepts_loss: bool) -> str:
            assert self.hands.told() == [("gra-db", "agreement.alone")], "etcd answers first, Patroni wakes afterwards"
            self.facts.append(fact)
            return trouble

        async def knock(address: str, _port: int) -> bool:
            return bool(living) and address == estate.servers[living].address

        self.attest = Attest(
            estate,
            "gra-edge",
            lambda: self.state,
            self.hands,
            SystemClock(),
            led=lambda: led,
            heard=lambda: (),
            change=change,
            knock=knock,
        )

    def asked(self, **other: Any) -> dict[str, Any]:
        return asyncio.run(self.attest.asked(WORD | other))


def test_etcd_goes_on_first_then_the_keys_then_all_who_are_left_and_a_write_proves_it() -> None:
    scene = Scene()
    assert scene.asked()["answer"] == "granted"
    assert scene.hands.told() == [
        ("gra-db", "agreement.alone"),
        *[(one, "isolation.attest") for one in ("gra-edge", "gra-web", "gra-db")],
        ("gra-db", "database.verify"),
    ]
    assert {command.generation for _, command in scene.hands.orders} == {42}, "above all that anybody has seen"
    assert scene.hands.orders[1][1].arguments == {"lost": "sbg-edge par-watch"}
    (fact,) = scene.facts
    assert (fact.survivor, fact.generation, fact.members, fact.lossy) == ("gra-db", 42, ("sbg-db", "par-watch"), False)
    assert set(fact.sites) == {"strasbourg", "paris"}


@pytest.mark.parametrize(
    ("scene", "other", "refused"),
    [
        (Scene(led=True), {}, Refused.LED),
        (Scene(), {"names": ["paris"]}, Refused.OTHER_NAMES),
        (Scene(living="sbg-web"), {}, Refused.ANSWERS),
        (Scene(DatabaseSeen("database", "sbg-db", ())), {}, Refused.NOT_SYNCHRONOUS),
        (Scene(DatabaseSeen("database", "sbg-db", ())), {"accepts_loss": "sbg-db"}, Refused.NOT_SYNCHRONOUS),
        (Scene(), {"service": "web"}, Refused.NO_SUCH_DATABASE),
    ],
)
def test_what_is_refused_touches_nothing(scene: Scene, other: dict[str, Any], refused: Refused) -> None:
    assert scene.asked(**other)["answer"] == refused.value
    assert (scene.hands.orders, scene.facts) == ([], [])


def test_a_loss_is_accepted_by_the_name_of_who_goes_on_and_is_written_down() -> None:
    scene = Scene(DatabaseSeen("database", "sbg-db", ()))
    assert scene.asked(accepts_loss="gra-db")["answer"] == "granted"
    assert scene.facts[0].lossy


def test_who_begins_with_nothing_is_named_and_it_is_written_down() -> None:
    scene = Scene(DatabaseSeen("database", "sbg-db", ()))
    assert scene.asked(anew="sbg-db")["answer"] == Refused.NOT_SYNCHRONOUS.value
    assert scene.asked(anew="gra-db")["answer"] == "granted"
    assert scene.facts[0].anew and scene.facts[0].lossy
    assert Scene().asked(anew="gra-db")["answer"] == Refused.HAS_DATA.value


def test_an_etcd_that_does_not_go_on_stops_it_before_anything_is_changed() -> None:
    scene = Scene()
    scene.hands.answers["agreement.alone"] = [Outcome("unknown", "etcd does not end")]
    assert scene.asked() == {"unknown": "etcd does not go on alone: etcd does not end"}
    assert scene.facts == []


def test_keys_that_cannot_be_changed_leave_the_fences_up() -> None:
    scene = Scene(trouble="Patroni is paused, and would not promote")
    assert "Patroni is paused" in scene.asked()["unknown"]
    assert scene.hands.told() == [("gra-db", "agreement.alone")]


def test_a_survivor_that_takes_no_writes_in_time_is_never_reported_as_done(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "VERIFIED_S", 0.0)
    scene = Scene()
    scene.hands.answers["database.verify"] = [Outcome("unknown", "no acknowledgement")]
    scene.hands.answers["isolation.attest"] = [Outcome("failed", "sbg-edge answers")]
    said = scene.asked()["unknown"]
    assert "takes no writes yet: no acknowledgement" in said and "sbg-edge answers" in said


def test_the_status_says_what_a_person_could_say_only_while_nobody_leads() -> None:
    assert [(one["survivor"], one["names"]) for one in Scene().attest.all()] == [("gra-db", ["strasbourg", "paris"])]
    assert Scene(led=True).attest.all() == []
    assert Scene(led=True).attest.shown({"service": "database"}) == {"refused": Refused.LED.value}
