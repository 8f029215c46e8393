"""The loop keeps the order of its obligations: written down, then carried out; interrupted anywhere, then resumed."""

from __future__ import annotations

import asyncio

import pytest

from binome.core.decision import Decision, View
from binome.core.entry import Draft, seal
from binome.core.maintenance import MaintenanceAsked, MaintenanceEndAsked
from binome.core.plan import Command, Outcome, PlanCancelled, PlanMade, Priority, Step
from binome.runtime.loop import DEADLINE_S
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


class Seen:
    """An observer that has seen one thing, until the state says so."""

    def __init__(self) -> None:
        self.seen = False

    def observed(self, view: View, now_ms: int) -> list[Draft]:
        if not self.seen or "r1" in view.maintenance.asked or view.plan_of("database"):
            return []
        return [Draft("seen/1", now_ms, "eyes", ASKED)]


def test_what_an_observer_has_seen_becomes_a_fact_once() -> None:
    async def night() -> None:
        world, eyes = World(), Seen()
        world.loop.observers = (eyes,)
        await world.start()
        await world.clock.pass_(6)
        assert world.kinds() == []
        eyes.seen = True
        world.loop.nudge()
        await settle()
        assert world.kinds()[:2] == ["maintenance-asked", "plan-made"]
        world.loop.nudge()
        await settle()
        assert world.kinds().count("maintenance-asked") == 1
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


def test_an_unknown_outcome_is_tried_again_until_it_is_known() -> None:
    async def night() -> None:
        world = World()
        world.hands.answers = [Outcome("unknown", "no answer"), ConnectionError("broken")]
        await world.start()
        await world.happens(ASKED)
        await world.clock.pass_(0.4)
        assert len(world.hands.commands) == 1
        await world.clock.pass_(0.1)
        assert len(world.hands.commands) == 2
        assert world.loop.state.answers == {}, "nobody is told of what nobody knows"
        await world.clock.pass_(1)
        assert [command.id for command in world.hands.commands] == ["maintenance/r1/0"] * 3
        assert world.loop.state.answers == {"r1": "granted"}
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


def test_a_verb_that_nobody_can_carry_out_or_undo_needs_a_person() -> None:
    async def night() -> None:
        world = World()
        world.loop.drivers = {}
        await world.start()
        await world.happens(ASKED)
        assert world.loop.state.plans["maintenance/r1"].state == "needs-person"
        await world.crash()

    run(night)


def test_a_decision_is_never_appended_to_a_journal_that_it_was_not_made_from() -> None:
    async def night() -> None:
        world = World()
        await world.start()
        decided = []
        cancelled = PlanCancelled("a-plan")

        def decider(*_: object) -> Decision:
            """While it decides, another entry arrives; what it decides is right only without that."""
            entries = len(world.store.entries)
            decided.append(entries)
            if entries == 0:
                world.store.append(seal([Draft("other", 0, "other", cancelled)], world.store.head(), 1))
            draft = Draft(f"decided/from/{entries}", 0, "test", cancelled)
            return Decision((draft,) if entries < 2 else ())

        world.loop.deciders = (decider,)
        await world.clock.pass_(6)
        assert [entry.id for entry in world.store.entries] == ["other", "decided/from/1"]
        assert decided[:2] == [0, 1], "it is made again at once"
        await world.crash()

    run(night)


def test_a_journal_that_cannot_be_read_or_written_is_a_problem_and_not_the_end() -> None:
    async def night() -> None:
        world = World()
        await world.start()
        await world.happens(ASKED)
        world.store.damaged = True
        await world.clock.pass_(7_200)
        assert world.loop.problems() == ["the journal cannot be read: entry 1 is altered"]
        world.store.damaged, world.store.full = False, True
        await world.clock.pass_(1)
        await world.clock.pass_(1)
        assert world.loop.problems() == ["the journal cannot be written: the disk is full"]
        world.store.full = False
        await world.clock.pass_(1)
        assert (world.loop.problems(), world.kinds()) == ([], WHOLE)
        await world.crash()

    run(night)


def test_who_no_longer_leads_has_no_trouble_with_writing() -> None:
    """It was refused by an etcd without a leader, and another one leads since: nothing of that is its problem."""

    async def night() -> None:
        world = World()
        await world.happens(ASKED)
        world.store.full = True
        await world.start()
        await world.clock.pass_(1)
        assert world.loop.problems() == ["the journal cannot be written: the disk is full"]
        world.journal.generation = None
        await world.clock.pass_(2)
        assert world.loop.problems() == []
        await world.crash()

    run(night)


def test_what_is_no_longer_wanted_is_no_trouble() -> None:
    async def night() -> None:
        world, wanted = World(), [Draft("once", 0, "test", ASKED)]
        world.loop.deciders = (lambda *_: Decision(tuple(wanted)),)
        world.store.full = True
        await world.start()
        world.loop.nudge()
        await world.clock.pass_(1)
        assert world.loop.problems() == ["the journal cannot be written: the disk is full"]
        wanted.clear()
        await world.clock.pass_(2)
        assert world.loop.problems() == []
        await world.crash()

    run(night)


def test_a_decider_is_asked_again_when_it_wants_to_be() -> None:
    async def night() -> None:
        world = World()
        asked: list[int] = []

        def decider(_estate: object, _view: object, now_ms: int) -> Decision:
            asked.append(now_ms)
            return Decision(wake_at_ms=6_500 if now_ms < 6_500 else None)

        world.loop.deciders = (decider,)
        await world.start()
        await world.clock.pass_(5)
        await world.clock.pass_(1.4)
        await world.clock.pass_(0.1)
        assert asked == [5_000, 6_500]
        await world.crash()

    run(night)


def test_nothing_is_begun_of_a_plan_that_the_same_decision_cancels() -> None:
    async def night() -> None:
        world = World()
        made = PlanMade("t", "takeover", "database", Priority.TAKEOVER, (Step("takeover.promote"),))
        drill = PlanMade("d", "drill", "database", Priority.DRILL, (Step("maintenance.hold", undo="maintenance.undo"),))
        world.loop.deciders = (lambda *_: Decision((Draft("t/plan", 0, "takeover", made),)),)
        world.journal.generation = None
        await world.start()
        await world.happens(drill)
        world.journal.generation = 1
        await world.clock.pass_(6)
        assert [command.verb for command in world.hands.commands] == ["maintenance.undo"]
        await world.crash()

    run(night)


def test_a_driver_that_never_returns_has_an_unknown_outcome() -> None:
    async def night() -> None:
        world = World()
        world.hands.holding = asyncio.Event()
        await world.start()
        await world.happens(ASKED)
        await world.clock.pass_(DEADLINE_S - 1)
        assert world.kinds() == WHOLE[:2]
        await world.clock.pass_(1)
        assert world.kinds()[:3] == WHOLE[:3]
        assert world.loop.state.plans["maintenance/r1"].attempts == 1
        await world.crash()

    run(night)


class Endless:
    """A driver that never returns, and says when it is made to."""

    def __init__(self) -> None:
        self.begun, self.ended = 0, 0

    async def carry_out(self, command: Command) -> Outcome:
        self.begun += 1
        try:
            await asyncio.Event().wait()
        finally:
            self.ended += 1
        raise AssertionError("nothing ends it but its end")


def test_a_driver_is_ended_at_its_deadline() -> None:
    """Else it might still do its part while the step is carried out again, or undone."""

    async def night() -> None:
        world, endless = World(), Endless()
        world.loop.drivers = {"maintenance": endless}
        await world.start()
        await world.happens(ASKED)
        await world.clock.pass_(DEADLINE_S - 1)
        assert (endless.begun, endless.ended) == (1, 0)
        await world.clock.pass_(1)
        assert (endless.begun, endless.ended) == (1, 1)
        await world.clock.pass_(1)
        assert (endless.begun, endless.ended) == (2, 1)
        await world.crash()
        assert endless.ended == 2

    run(night)


def test_nothing_is_undone_while_it_is_still_being_done() -> None:
    async def night() -> None:
        world = World()
        world.hands.holding = asyncio.Event()
        await world.start()
        await world.happens(ASKED)
        await world.happens(PlanCancelled("maintenance/r1"))
        await world.clock.pass_(30)
        assert world.loop.state.plans["maintenance/r1"].state == "undoing"
        assert [command.id for command in world.hands.commands] == ["maintenance/r1/0"]
        world.hands.holding.set()
        await settle()
        assert [command.id for command in world.hands.commands] == ["maintenance/r1/0", "maintenance/r1/0/undo"]
        await world.crash()

    run(night)


class Window:
    """Shows the subjects that are held."""

    def __init__(self) -> None:
        self.seen: list[list[str]] = []
        self.broken = False

    def show(self, view: View) -> None:
        if self.broken:
            raise PermissionError(13, "Permission denied", "maintenance")
        self.seen.append([plan.subject for plan in view.plans.values()])


def test_what_is_shown_follows_the_state_also_on_who_does_not_lead() -> None:
    async def night() -> None:
        leading, following = World(), World()
        windows = []
        for world in (leading, following):
            windows.append(Window())
            world.loop.shown = windows[-1:]
        following.journal.generation = None
        await leading.start()
        await following.start()
        await leading.happens(ASKED)
        following.store.entries = leading.store.entries
        await following.clock.pass_(6)
        assert [window.seen[-1] for window in windows] == [["database"], ["database"]]
        windows[1].broken = True
        await following.clock.pass_(6)
        assert following.loop.problems() == ["maintenance: Permission denied"]
        windows[1].broken = False
        await leading.clock.pass_(7_200)
        for _ in range(2):
            await following.clock.pass_(6)
        assert [window.seen[-1] for window in windows] == [[], []]
        assert following.loop.problems() == []
        for world in (leading, following):
            await world.crash()

    run(night)
