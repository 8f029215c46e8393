"""Plans: what is done to the platform, step by step, written down before the first of them.

A plan is made by one capability for one subject. It stands in the journal before any of its steps is carried out, so
that whoever leads after a crash finds it and goes on. Steps are idempotent, and a step's command has an id that
follows from plan and step, so that doing it twice is harmless and telling that it is the same is easy. What becomes of
a plan is this table, and nothing else:

    state      event              next
    open       step done          open
    open       last step done     done
    open       step failed        undoing
    open       cancelled          undoing
    undoing    step undone        undoing
    undoing    last step undone   undone
    undoing    undo failed        needs-person
    open       gave up            needs-person      an outcome stayed unknown too often
    undoing    gave up            needs-person

There is at most one plan that has not ended for each subject. When a plan is undone, the steps that were done, and
the one whose outcome is not known to be "nothing", are undone in reverse order. A step of unknown outcome is carried
out again after a while that doubles each time, until a person is asked; what needs a person ends when it is closed.
"""

from __future__ import annotations

from enum import IntEnum
from typing import Literal

import msgspec

from binome.core.entry import Fact

State = Literal["open", "undoing", "done", "undone", "needs-person"]
Event = Literal[
    "step done",
    "last step done",
    "step failed",
    "cancelled",
    "step undone",
    "last step undone",
    "undo failed",
    "gave up",
]

TRANSITIONS: dict[tuple[State, Event], State] = {
    ("open", "step done"): "open",
    ("open", "last step done"): "done",
    ("open", "step failed"): "undoing",
    ("open", "cancelled"): "undoing",
    ("undoing", "step undone"): "undoing",
    ("undoing", "last step undone"): "undone",
    ("undoing", "undo failed"): "needs-person",
    ("open", "gave up"): "needs-person",
    ("undoing", "gave up"): "needs-person",
}
ENDED: frozenset[State] = frozenset({"done", "undone"})
"""States in which a plan no longer holds its subject. One that needs a person does, until the person closes it."""

ATTEMPTS = 20
"""How often a step of unknown outcome is carried out again before a person is asked: for about seven minutes."""
AGAIN_AFTER_MS, AGAIN_AFTER_AT_MOST_MS = 500, 30_000
"""How long after its first unknown outcome a step is carried out again; it doubles with each, up to the second."""


class Priority(IntEnum):
    """Who gets a subject that two capabilities want: the lower number."""

    TAKEOVER = 1
    MAINTENANCE = 2
    REPAIR = 3
    DRILL = 4
    BACKUP = 5


class Step(msgspec.Struct, frozen=True):
    """One step: a verb of a driver, the server that it is for, what it needs to know, and the verb that undoes it."""

    verb: str
    server: str = ""
    arguments: dict[str, str] = {}
    undo: str = ""  # empty: there is nothing to undo
    not_before_ms: int = 0


class Outcome(msgspec.Struct, frozen=True):
    """What came of carrying out a command."""

    result: Literal["done", "failed", "unknown"]
    detail: str = ""


class Command(msgspec.Struct, frozen=True):
    """An order to a driver: a step of a plan that is in the journal, of a leader that the journal knows."""

    id: str  # PLAN/STEP, with /undo behind it where the step is undone
    plan: str
    step: int
    undoing: bool
    verb: str
    server: str
    subject: str
    arguments: dict[str, str]
    generation: int


class PlanMade(Fact, frozen=True, tag="plan-made"):
    """A plan. Its first step is carried out only after this is durable."""

    plan: str
    capability: str
    subject: str
    priority: int
    steps: tuple[Step, ...]
    why: str = ""


class StepEnded(Fact, frozen=True, tag="step-ended"):
    """A step was carried out, or undone, or nobody knows."""

    plan: str
    step: int
    undoing: bool
    result: Literal["done", "failed", "unknown"]
    detail: str = ""


class StepHastened(Fact, frozen=True, tag="step-hastened"):
    """A step that waits for its time need not wait any longer."""

    plan: str
    step: int


class PlanCancelled(Fact, frozen=True, tag="plan-cancelled"):
    """A plan is to be undone: somebody said so, or a more urgent one wants its subject."""

    plan: str
    why: str = ""


class PlanClosed(Fact, frozen=True, tag="plan-closed"):
    """A person has looked after a plan that needed one. `request` is unique for ever, and answered at once."""

    plan: str
    who: str
    why: str = ""
    request: str = ""


FACTS = (PlanMade, StepEnded, StepHastened, PlanCancelled, PlanClosed)
REQUESTS = (PlanClosed,)
"""What people may ask for."""


class Plan(msgspec.Struct):
    """A plan as the facts have made it. Only the fold changes it."""

    id: str
    capability: str
    subject: str
    priority: int
    steps: tuple[Step, ...]
    why: str
    made_at_ms: int
    state: State = "open"
    position: int = 0  # the next step to carry out; while undoing, the next one to undo
    attempts: int = 0  # of the step at `position`, with unknown outcome
    hastened: int = -1  # the step that need not wait
    again_at_ms: int = 0  # when the step at `position` may be carried out once more
    trouble: str = ""  # why it went another way than forwards, last

    @property
    def ended(self) -> bool:
        """Whether the subject is free again."""
        return self.state in ENDED

    @property
    def not_before_ms(self) -> int:
        """When the next command may be carried out; 0 for at once."""
        if self.state != "open" or self.hastened == self.position:
            return self.again_at_ms
        return max(self.steps[self.position].not_before_ms, self.again_at_ms)

    def command(self, generation: int) -> Command | None:
        """What is to be carried out next; None where nothing is."""
        if self.state not in ("open", "undoing"):
            return None
        step = self.steps[self.position]
        undoing = self.state == "undoing"
        return Command(
            id=f"{self.id}/{self.position}{'/undo' if undoing else ''}",
            plan=self.id,
            step=self.position,
            undoing=undoing,
            verb=step.undo if undoing else step.verb,
            server=step.server,
            subject=self.subject,
            arguments=step.arguments,
            generation=generation,
        )

    def step_ended(self, fact: StepEnded, at_ms: int) -> None:
        """Takes in the outcome of the step that was to be carried out; that of any other is old news."""
        command = self.command(0)
        if command is None or (fact.step, fact.undoing) != (command.step, command.undoing):
            return
        if fact.result != "done":
            self.trouble = f"{command.verb}: {fact.detail or fact.result}"
        if fact.result == "unknown":
            self.again_at_ms = at_ms + min(AGAIN_AFTER_MS << self.attempts, AGAIN_AFTER_AT_MOST_MS)
            self.attempts += 1
            if self.attempts >= ATTEMPTS:
                self._turn("gave up")
        elif self.state == "open":
            self._step_ended_forwards(done=fact.result == "done")
        elif fact.result == "done":
            self._undo_before(self.position)
        else:
            self._turn("undo failed")

    def cancelled(self, why: str) -> None:
        """Begins to undo what was done, and what may have been."""
        if self.state == "open":
            self.trouble = why
            self._turn("cancelled")
            self._undo_before(self.position + 1)

    def closed(self) -> None:
        """A person has dealt with it."""
        if self.state == "needs-person":
            self.state = "undone"

    def _step_ended_forwards(self, *, done: bool) -> None:
        if not done:
            self._turn("step failed")
            self._undo_before(self.position + 1)  # a step that failed may have done a part of its work
        elif self.position + 1 == len(self.steps):
            self._turn("last step done")
        else:
            self._turn("step done")
            self._go_to(self.position + 1)

    def _undo_before(self, position: int) -> None:
        """Turns to the last step before `position` that has something to undo."""
        left = [number for number in range(position) if self.steps[number].undo]
        if left:
            self._turn("step undone")
            self._go_to(left[-1])
        else:
            self._turn("last step undone")

    def _go_to(self, position: int) -> None:
        self.position, self.attempts, self.again_at_ms = position, 0, 0

    def _turn(self, event: Event) -> None:
        self.state = TRANSITIONS[self.state, event]
