"""The state is what its facts add up to, and its indexes are what a search would find."""

from __future__ import annotations

from pathlib import Path

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from binome.core import leadership, maintenance, plan
from binome.core.decide import decide
from binome.core.decision import Decision
from binome.core.entry import EMPTY, Draft, Entry, Fact, Head, UnknownFact, seal
from binome.core.maintenance import MaintenanceAsked, MaintenanceEndAsked, MaintenanceRefused
from binome.core.plan import PlanCancelled, PlanClosed, PlanMade, Priority, Step, StepEnded, StepHastened
from binome.core.state import State
from binome.estate import load

LITTORAL = load((Path(__file__).parents[2] / "examples" / "littoral" / "estate.yaml").read_bytes())


class Night:
    """A journal in memory with the state that it adds up to, and decisions recorded as the loop records them."""

    def __init__(self) -> None:
        self.state = State()
        self.head: Head = EMPTY
        self.count = 0
        self.ids: set[str] = set()

    def happens(self, *facts: Fact, at_ms: int = 0) -> None:
        self.record(*(Draft(f"test/{self.count + n}", at_ms, "test", fact) for n, fact in enumerate(facts)))

    def record(self, *drafts: Draft) -> None:
        for entry in seal([draft for draft in drafts if draft.id not in self.ids], self.head, 1):
            self.ids.add(entry.id)
            self.state.apply(entry)
            self.head = entry.head
            self.count += 1

    def decided(self, now_ms: int) -> list[str]:
        """Records what is decided until nothing more is; the verbs that are to be carried out then."""
        for _ in range(10):
            decision = decide(LITTORAL, self.state, now_ms, generation=1)
            if not decision.record:
                return [command.verb for command in decision.execute]
            self.record(*decision.record)
        raise AssertionError("the decision never comes to rest")


def asked(request: str, subject: str = "database", until_ms: int = 1000) -> MaintenanceAsked:
    return MaintenanceAsked(request, subject, until_ms, "new disks", "ops-1")


def refusals(night: Night, now_ms: int = 0) -> list[str]:
    decision = decide(LITTORAL, night.state, now_ms, generation=1)
    return [draft.fact.reason for draft in decision.record if isinstance(draft.fact, MaintenanceRefused)]


def test_maintenance_holds_until_its_end() -> None:
    night = Night()
    night.happens(asked("r1"))
    assert night.decided(0) == ["maintenance.hold"]
    night.happens(StepEnded("maintenance/r1", 0, False, "done"))
    assert night.decided(999) == []
    assert decide(LITTORAL, night.state, 10, generation=1).wake_at_ms == 1000
    assert night.decided(1000) == ["maintenance.release"]
    night.happens(StepEnded("maintenance/r1", 1, False, "done"))
    assert night.state.plan_of("database") is None


def test_maintenance_ends_when_it_is_asked_to() -> None:
    night = Night()
    night.happens(asked("r1", until_ms=10**9))
    night.decided(0)
    night.happens(StepEnded("maintenance/r1", 0, False, "done"), MaintenanceEndAsked("r2", "database", "ops-2"))
    assert night.decided(5) == ["maintenance.release"]


def test_refusals_have_their_reasons() -> None:
    night = Night()
    night.happens(asked("r1", subject="databse"))
    assert refusals(night) == ["no such subject"]
    night.decided(0)
    night.happens(MaintenanceEndAsked("r2", "database", "ops-1"))
    assert refusals(night) == ["no maintenance to end"]
    night.decided(0)
    night.happens(asked("r3", until_ms=5))
    assert refusals(night, now_ms=5) == ["its end has passed already"]
    night.decided(5)
    night.happens(asked("r4"), asked("r5"))
    night.decided(5)
    assert night.state.plan_of("database") is not None
    assert night.state.maintenance.asked == {}


def test_on_is_granted_when_it_is_held_and_off_when_it_is_released() -> None:
    night = Night()
    night.happens(asked("r1"))
    night.decided(0)
    assert night.state.answers == {}
    night.happens(StepEnded("maintenance/r1", 0, False, "done"))
    assert night.state.answers == {"r1": "granted"}
    night.happens(MaintenanceEndAsked("r2", "database", "ops-1"))
    night.decided(0)
    assert "r2" not in night.state.answers
    night.happens(StepEnded("maintenance/r1", 1, False, "done"))
    assert night.state.answers == {"r1": "granted", "r2": "granted"}


def test_what_could_not_be_held_is_refused_when_it_is_undone() -> None:
    night = Night()
    night.happens(asked("r1"))
    night.decided(0)
    night.happens(StepEnded("maintenance/r1", 0, False, "failed", "no disk"))
    night.happens(MaintenanceEndAsked("r2", "database", "ops-1"))
    night.decided(0)
    assert night.state.answers == {"r2": "it is being released already"}
    night.happens(StepEnded("maintenance/r1", 0, True, "done"))
    assert night.state.answers["r1"] == "it could not be held, and is released again: maintenance.hold: no disk"


def test_what_needs_a_person_is_told_and_ends_when_the_person_closes_it() -> None:
    night = Night()
    night.happens(asked("r1"), MaintenanceEndAsked("r2", "database", "ops-1"))
    night.decided(0)
    night.happens(*[StepEnded("maintenance/r1", 0, False, "unknown", "no answer")] * plan.ATTEMPTS)
    told = "its plan needs a person, see binome plan list: maintenance.hold: no answer"
    assert night.state.answers == {"r1": told, "r2": told}
    night.happens(MaintenanceEndAsked("r3", "database", "ops-1"))
    night.decided(0)
    assert night.state.answers["r3"] == "its plan needs a person, see binome plan list"
    night.happens(PlanClosed("maintenance/r1", "ops-1", "done by hand", "r4"))
    assert (night.state.answers["r4"], night.state.plans) == ("granted", {})
    night.happens(PlanClosed("maintenance/r1", "ops-1", "done by hand", "r5"))
    assert night.state.answers["r5"] == "no plan of that name needs a person"


def test_a_more_urgent_plan_takes_the_subject_when_the_other_is_undone() -> None:
    night = Night()
    night.happens(asked("r1"))
    night.decided(0)

    def takeover(*_: object) -> Decision:
        made = PlanMade("t", "takeover", "database", Priority.TAKEOVER, (Step("database.promote"),))
        return Decision((Draft("t/plan", 0, "takeover", made),))

    decision = decide(LITTORAL, night.state, 0, generation=1, deciders=(takeover,))
    assert [type(draft.fact) for draft in decision.record] == [PlanCancelled]
    night.record(*decision.record)
    assert night.decided(0) == ["maintenance.release"]
    assert decide(LITTORAL, night.state, 0, generation=1, deciders=(takeover,)).record == ()
    night.happens(StepEnded("maintenance/r1", 0, True, "done"))
    night.record(*decide(LITTORAL, night.state, 0, generation=1, deciders=(takeover,)).record)
    assert night.decided(0) == ["database.promote"]


@pytest.mark.parametrize("priority", [Priority.MAINTENANCE, Priority.REPAIR, Priority.DRILL, Priority.BACKUP])
def test_a_plan_that_is_not_more_urgent_waits_for_the_end_of_maintenance(priority: Priority) -> None:
    night = Night()
    night.happens(asked("r1"))
    night.decided(0)
    night.happens(StepEnded("maintenance/r1", 0, False, "done"))
    made = PlanMade("p", "test", "database", priority, (Step("database.turn"),))

    def wanting(*_: object) -> Decision:
        return Decision((Draft("p/plan", 0, "test", made),))

    for now_ms in (0, 1000):
        assert decide(LITTORAL, night.state, now_ms, generation=1, deciders=(wanting,)).record == ()
    held = night.state.plan_of("database")
    assert (held and held.id, night.decided(1000)) == ("maintenance/r1", ["maintenance.release"])
    night.happens(StepEnded("maintenance/r1", 1, False, "done"))
    assert [draft.fact for draft in decide(LITTORAL, night.state, 1000, generation=1, deciders=(wanting,)).record] == [
        made
    ]


def test_off_does_not_hasten_what_another_capability_plans() -> None:
    night = Night()
    later = (Step("backup.begin"), Step("backup.end", not_before_ms=1000))
    night.happens(PlanMade("b", "backup", "database", Priority.BACKUP, later))
    night.happens(StepEnded("b", 0, False, "done"), MaintenanceEndAsked("r1", "database", "ops-1"))
    assert refusals(night) == ["no maintenance to end"]
    assert night.decided(999) == []
    assert night.state.answers == {"r1": "no maintenance to end"}
    assert night.decided(1000) == ["backup.end"]


def test_facts_of_the_future_are_kept_and_passed_over() -> None:
    night = Night()
    night.happens(UnknownFact(b'{"kind":"poem","lines":3}'), asked("r1"))
    assert night.decided(0) == ["maintenance.hold"]


KINDS = [str(kind.__struct_config__.tag) for kind in (*plan.FACTS, *maintenance.FACTS, *leadership.FACTS)]
json_values = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False) | st.text(),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(), inner, max_size=3),
    max_leaves=8,
)
NAMES = ["request", "subject", "until_ms", "why", "who", "plan", "steps", "step", "undoing", "result", "priority"]
half_right = st.dictionaries(st.sampled_from(NAMES), json_values).flatmap(
    lambda values: st.sampled_from(KINDS).map(lambda kind: {**values, "kind": kind})
)


@given(st.lists(json_values | half_right, max_size=5))
def test_no_json_value_as_a_fact_stops_the_fold(values: list[object]) -> None:
    night = Night()
    night.happens(asked("r1"))
    night.decided(0)
    night.happens(*(UnknownFact(msgspec.json.encode(value)) for value in values))
    assert night.state.plan_of("database") is not None
    night.decided(0)


@pytest.mark.parametrize("raw", [b'{"kind":"plan-made","plan":1}', b"[]", b"3", b'"x"', b"{}", b"\xff", b"[" * 99_999])
def test_what_cannot_be_read_is_passed_over(raw: bytes) -> None:
    night = Night()
    entry = Entry(1, "x", 0, "test", 1, msgspec.Raw(raw), "0" * 64)
    assert night.state.apply(entry) == UnknownFact(raw)


steps = st.builds(Step, st.just("do.it"), undo=st.sampled_from(["", "undo.it"]), not_before_ms=st.integers(0, 3))
facts = st.one_of(
    st.builds(
        PlanMade,
        st.sampled_from("abc"),
        st.just("test"),
        st.sampled_from("xy"),
        st.just(3),
        st.lists(steps, max_size=3).map(tuple),
    ),
    st.builds(StepEnded, st.sampled_from("abc"), st.integers(0, 2), st.booleans(), st.sampled_from(["done", "failed"])),
    st.builds(StepHastened, st.sampled_from("abc"), st.integers(0, 2)),
    st.builds(PlanCancelled, st.sampled_from("abc")),
)


@given(st.lists(facts, max_size=30), st.integers(0, 4))
def test_the_indexes_are_what_a_search_would_find(happened: list[Fact], now_ms: int) -> None:
    night = Night()
    night.happens(*happened)
    state = night.state
    due = {one.id for one in state.plans.values() if one.command(1) and one.not_before_ms <= now_ms}
    later = [one.not_before_ms for one in state.plans.values() if one.command(1) and one.not_before_ms > now_ms]
    assert {one.id for one in state.due(now_ms)} == due
    assert state.next_due_ms(now_ms) == min(later, default=None)
    assert state.holding == {one.subject: one.id for one in state.plans.values()}
