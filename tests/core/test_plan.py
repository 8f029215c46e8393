"""Plans follow their table, whatever comes, and every interruption leads to an end."""

from __future__ import annotations

import re
from typing import Literal

from hypothesis import given
from hypothesis import strategies as st

from binome.core import plan as module
from binome.core.plan import ATTEMPTS, TRANSITIONS, Plan, Step, StepEnded

Result = Literal["done", "failed", "unknown"]


def a_plan(*undos: str) -> Plan:
    steps = tuple(Step(f"do.{number}", undo=undo) for number, undo in enumerate(undos))
    return Plan("p", "test", "subject", 3, steps, "", 0)


def end(plan: Plan, result: Result, at_ms: int = 0) -> None:
    plan.step_ended(ended(plan, result), at_ms)


def ended(plan: Plan, result: Result) -> StepEnded:
    return StepEnded(plan.id, plan.position, plan.state == "undoing", result)


def test_the_table_in_the_docstring_is_the_table() -> None:
    rows = re.findall(r"^    (open|undoing) +((?:\w+ )*\w+) {2,}([\w-]+)", module.__doc__ or "", flags=re.MULTILINE)
    assert {(state, event.strip()): after for state, event, after in rows} == TRANSITIONS


def test_all_steps_done() -> None:
    plan = a_plan("", "", "")
    verbs = []
    while (command := plan.command(7)) is not None:
        verbs.append(command.verb)
        end(plan, "done")
    assert (verbs, plan.state) == (["do.0", "do.1", "do.2"], "done")


def test_a_failed_step_is_undone_with_those_before_it_in_reverse() -> None:
    plan = a_plan("undo.0", "", "undo.2", "undo.3")
    results: tuple[Result, ...] = ("done", "done", "failed")
    for result in results:
        end(plan, result)
    verbs = []
    while (command := plan.command(7)) is not None:
        verbs.append(command.verb)
        end(plan, "done")
    assert (verbs, plan.state) == (["undo.2", "undo.0"], "undone")


def test_an_outcome_that_stays_unknown_needs_a_person() -> None:
    plan = a_plan("undo.0")
    for _ in range(ATTEMPTS):
        assert plan.state == "open"
        end(plan, "unknown")
    assert (plan.state, plan.command(1)) == ("needs-person", None)
    plan.closed()
    assert plan.ended


def test_an_unknown_outcome_is_tried_again_for_minutes() -> None:
    plan, now_ms, waits = a_plan("undo.0"), 1_000, []
    while plan.state == "open":
        end(plan, "unknown", now_ms)
        waits.append(plan.not_before_ms - now_ms)
        now_ms = plan.not_before_ms
    assert waits[:8] == [500, 1_000, 2_000, 4_000, 8_000, 16_000, 30_000, 30_000]
    assert (len(waits), max(waits)) == (ATTEMPTS, 30_000)
    assert now_ms > 6 * 60_000


def test_a_step_that_is_done_at_last_leaves_no_waiting_behind() -> None:
    plan = a_plan("", "")
    end(plan, "unknown", 1_000)
    end(plan, "done", 2_000)
    assert (plan.position, plan.not_before_ms) == (1, 0)


def test_each_step_has_all_of_its_attempts() -> None:
    """Also the undoing of one: what the step before it used up is not taken from it."""
    plan = a_plan("undo.0", "")
    for event in ("done", "failed"):
        for _ in range(ATTEMPTS - 1):
            end(plan, "unknown", 1_000)
        end(plan, event, 1_000)
        assert (plan.attempts, plan.not_before_ms) == (0, 0)
    for attempt in range(1, ATTEMPTS):
        end(plan, "unknown", 1_000)
        assert (plan.state, plan.attempts) == ("undoing", attempt)
        assert attempt > 1 or plan.not_before_ms == 1_500
    end(plan, "unknown", 1_000)
    assert plan.state == "needs-person"


def test_old_news_changes_nothing() -> None:
    plan = a_plan("", "")
    old = ended(plan, "done")
    plan.step_ended(old, 0)
    plan.step_ended(old, 0)
    assert (plan.position, plan.state) == (1, "open")


@given(
    st.lists(st.sampled_from(["", "undo"]), min_size=1, max_size=5),
    st.lists(st.sampled_from(["done", "failed", "unknown", "cancel"]), max_size=40),
)
def test_whatever_comes_a_plan_ends_undone_done_or_with_a_person(undos: list[str], events: list[str]) -> None:
    plan = a_plan(*undos)
    done: set[int] = set()
    for event in events:
        if event == "cancel":
            plan.cancelled("")
        elif plan.command(1) is not None:
            if event == "done":
                (done.discard if plan.state == "undoing" else done.add)(plan.position)
            end(plan, event)  # type: ignore[arg-type]
    while plan.command(1) is not None:
        (done.discard if plan.state == "undoing" else done.add)(plan.position)
        end(plan, "done")
    assert plan.state in ("done", "undone", "needs-person")
    if plan.state == "done":
        assert done == set(range(len(undos)))
    if plan.state == "undone":
        assert not any(undos[step] for step in done), "what was done and can be undone is undone"
