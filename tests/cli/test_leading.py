"""Who carries out what, and when a lookout may give its word."""

from __future__ import annotations

import asyncio
from typing import Any, cast

import pytest

from binome.cli.leading import DatabaseVerbs, drivers, word
from binome.core.entry import EMPTY, Draft, Fact, seal
from binome.core.leadership import LeadershipTaken
from binome.core.plan import Command, Outcome, PlanMade, Priority, Step
from binome.core.state import State
from binome.ports import Driver
from binome.runtime.agents import Agents
from binome.runtime.clock import SystemClock
from binome.runtime.loop import Loop
from binome.runtime.peer_messages import Standing
from tests.runtime.world import LITTORAL


class Says:
    def __init__(self, name: str) -> None:
        self.name = name

    async def carry_out(self, command: Command) -> Outcome:
        return Outcome("done", self.name)


def command(verb: str, server: str = "") -> Command:
    return Command("p/0", "p", 0, False, verb, server, "database", {"service": "database"}, 1)


@pytest.mark.parametrize(
    ("verb", "by"),
    [
        ("database.takeover", "etcd"),
        ("database.release", "etcd"),
        ("database.switchover", "etcd"),
        ("database.verify", "agent"),
        ("database.rejoin", "agent"),
        ("database.fence", "agent"),
    ],
)
def test_what_belongs_to_a_member_goes_to_its_agent_and_the_rest_through_etcd(verb: str, by: str) -> None:
    driver: Driver = DatabaseVerbs(Says("agent"), Says("etcd"))
    assert asyncio.run(driver.carry_out(command(verb))).detail == by


def test_without_etcd_nothing_is_done_through_it() -> None:
    roll = Agents(tuple(LITTORAL.servers), cast(Any, None), SystemClock(), word=lambda _server: None)
    found = drivers(LITTORAL, "gra-edge", roll, SystemClock(), etcd=None, commit=None)
    assert sorted(found) == ["agreement", "backup", "database", "routes", "traffic"]
    assert asyncio.run(found["database"].carry_out(command("database.takeover"))).result == "failed"
    assert asyncio.run(found["database"].carry_out(command("database.verify", "gra-db"))) == Outcome(
        "unknown", "gra-db: its agent is not connected"
    )


class Led:
    """As much of a loop as a word needs."""

    def __init__(self, name: str, generation: int | None, *facts: Fact) -> None:
        self.name, self.journal, self.state = name, self, State()
        self.generation = generation
        drafts = [Draft(f"fact/{number}", 0, "test", fact) for number, fact in enumerate(facts)]
        for entry in seal(drafts, EMPTY, 4):
            self.state.apply(entry)

    def says(self, server: str) -> Standing | None:
        return word(LITTORAL, cast(Loop, self))(server)


def test_only_who_leads_and_has_read_so_far_gives_his_word() -> None:
    lost = {"service": "database", "lost": "gra-db gra-edge gra-web"}
    plan = PlanMade("takeover/loss/x/1", "takeover", "database", Priority.TAKEOVER, (Step("traffic.fence", "", lost),))
    leads = LeadershipTaken("gra-edge")
    assert Led("gra-edge", None, leads).says("gra-db") is None, "it does not lead"
    assert Led("sbg-edge", 4, leads).says("gra-db") is None, "another one leads"
    assert Led("gra-edge", 5, leads).says("gra-db") is None, "it has not read that it leads"
    assert Led("gra-edge", 4, leads).says("gra-db") == Standing(4, True)
    taken = Led("gra-edge", 4, leads, plan)
    assert (taken.says("gra-db"), taken.says("sbg-db")) == (Standing(4, False), Standing(4, True))
