"""What is accepted where commands land."""

from __future__ import annotations

import pytest

from binome.core.acceptance import PLANS_KEPT, Accepted, Refused
from binome.core.plan import Command


def command(step: int, *, undoing: bool = False, generation: int = 5, plan: str = "p") -> Command:
    return Command(f"{plan}/{step}", plan, step, undoing, "do.it", "", "subject", {}, generation)


def accepted(*commands: Command) -> Accepted:
    memory = Accepted()
    for one in commands:
        judged = memory.with_command(one)
        assert isinstance(judged, Accepted)
        memory = judged
    return memory


@pytest.mark.parametrize(
    ("before", "now", "refused"),
    [
        ([], command(0), None),
        ([command(0)], command(0), None),  # again, without harm
        ([command(0)], command(1), None),
        ([command(0)], command(0, generation=6), None),  # the next leader resumes
        ([command(1)], command(0, undoing=True), None),
        ([command(1, undoing=True)], command(0, undoing=True), None),
        ([command(1)], command(0, plan="q"), None),  # each plan has its own course
        ([command(0)], command(0, generation=4), Refused.OLD_GENERATION),
        ([command(0)], command(1, generation=4, plan="q"), Refused.OLD_GENERATION),
        ([command(1)], command(0), Refused.OVERTAKEN),
        ([command(1)], command(0, generation=6), Refused.OVERTAKEN),
        ([command(0, undoing=True)], command(0), Refused.OVERTAKEN),
        ([command(0, undoing=True)], command(1, undoing=True), Refused.OVERTAKEN),
    ],
)
def test_what_is_accepted(before: list[Command], now: Command, refused: Refused | None) -> None:
    judged = accepted(*before).with_command(now)
    assert judged is refused if refused else isinstance(judged, Accepted)


def test_what_was_refused_leaves_no_trace() -> None:
    memory = accepted(command(1, generation=5))
    assert memory.with_command(command(0, generation=9)) is Refused.OVERTAKEN
    assert isinstance(memory.with_command(command(1, generation=5)), Accepted)


def test_only_the_newest_plans_are_remembered() -> None:
    memory = accepted(*(command(1, plan=f"p{number}") for number in range(PLANS_KEPT)))
    memory = Accepted(memory.generation, memory.positions)
    for plan in ("p0", "one more"):  # p0 has a command again, so that p1 is the oldest
        after = memory.with_command(command(1, plan=plan))
        assert isinstance(after, Accepted)
        memory = after
    assert len(memory.positions) == PLANS_KEPT
    assert "p1" not in memory.positions
    assert memory.with_command(command(0, plan="p0")) is Refused.OVERTAKEN
