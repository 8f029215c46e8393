"""The loop keeps the order of its obligations: written down, then carried out; interrupted anywhere, then resumed."""

from __future__ import annotations

import asyncio

import pytest

from binome.core.maintenance import MaintenanceAsked, MaintenanceEndAsked
from binome.core.plan import Outcome
from tests.runtime.world import World, run, settle

ASKED = MaintenanceAsked("r1", "database", 7_200_000, "new disks", "ops-1")
WHOLE = ["maintenance-asked", "plan-made", "step-ended", "step-ended"]


def test_a_plan_is_made_carried_out_and_ends_by_itself() -> None:
    async def night() -> None:
        world = World()
        await world.start()
        await world.happens(ASKED)
        assert [command.verb for command in world.hands.commands] == ["maintenance.hold"]
        await world.clock.pass_(7_199)
        assert len(world.hands.commands) == 1
        await world.clock.pass_(1)
        assert [command.verb for command in world.hands.commands] == ["maintenance.hold", "maintenance.release"]
        assert world.kinds() == WHOLE
        assert world.loop.state.answers == {"r1": "granted"}
        await world.crash()

    run(night)


def test_nothing_is_carried_out_before_its_plan_is_durable() -> None:
    async def night() -> None:
        world = World()
        await world.start()
        world.loop.state.maintenance.asked["r1"] = ASKED  # known, and the disk is full before the plan is written
        world.store.full = True
        await world.clock.pass_(6)
        assert world.hands.commands == []
        world.store.full = False
        await world.clock.pass_(1)
        assert [command.verb for command in world.hands.commands] == ["maintenance.hold"]
        await world.crash()

    run(night)


@pytest.mark.parametrize("entries", range(len(WHOLE) + 1))
def test_a_plan_interrupted_after_any_entry_is_resumed(entries: int) -> None:
    async def night() -> None:
        first = World()
        await first.start()
        await first.happens(ASKED)
        await first.clock.pass_(7_200)
        await first.crash()
        assert first.kinds() == WHOLE
        second = World()
        second.store.entries = first.store.entries[:entries]
        second.clock.now_s = first.clock.now_s
        await second.start()
        await second.clock.pass_(1)
        assert second.loop.state.plan_of("database") is None
        if entries >= 2:
            assert second.kinds() == WHOLE
        await second.crash()

    run(night)


def test_an_unknown_outcome_is_tried_again_and_never_told_as_done() -> None:
    async def night() -> None:
        world = World()
        world.hands.answers = [Outcome("unknown", "no answer"), ConnectionError("broken")]
        await world.start()
        await world.happens(ASKED)
        await world.clock.pass_(6)
        assert [command.id for command in world.hands.commands] == ["maintenance/r1/0"] * 3
        assert world.kinds() == ["maintenance-asked", "plan-made", "step-ended", "step-ended", "step-ended"]
        await world.crash()

    run(night)


def test_a_command_under_way_is_not_begun_again() -> None:
    async def night() -> None:
        world = World()
        world.hands.holding = asyncio.Event()
        await world.start()
        await world.happens(ASKED, MaintenanceEndAsked("r2", "database", "ops-2"))
        await world.clock.pass_(30)
        assert len(world.hands.commands) == 1
        world.hands.holding.set()
        await settle()
        assert [command.verb for command in world.hands.commands] == ["maintenance.hold", "maintenance.release"]
        await world.crash()

    run(night)


def test_without_leadership_nothing_is_decided_and_nothing_begun() -> None:
    async def night() -> None:
        world = World()
        await world.happens(ASKED)
        world.journal.generation = None
        await world.start()
        await world.clock.pass_(60)
        assert (world.hands.commands, world.kinds()) == ([], ["maintenance-asked"])
        await world.crash()

    run(night)


def test_a_verb_that_nobody_knows_fails_and_the_plan_is_undone() -> None:
    async def night() -> None:
        world = World()
        world.loop.drivers = {}
        await world.start()
        await world.happens(ASKED)
        assert world.loop.state.plans["maintenance/r1"].state == "needs-person"
        await world.crash()

    run(night)
