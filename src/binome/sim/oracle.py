"""What the facts of a journal say about requests and plans, told a second time and more simply than the core does.

The checkers must not ask the code that they check. This oracle reads the facts' JSON by itself, and knows of a plan
only this: it goes on from a step that is done to the next; it is over after the last; after a failure or a
cancellation it goes back through what was done; and after too many unknown outcomes a person is asked.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from typing import Any

import msgspec

from binome.core.entry import EMPTY, Entry

GIVES_UP_AFTER = 20


@dataclass(slots=True)
class Course:
    """How far a plan has come."""

    subject: str
    undo: list[bool]  # of each step: whether there is something to undo
    at: int = 0
    back: bool = False
    unknown: int = 0
    over: str = ""

    def ended(self, step: int, undoing: bool, result: str) -> None:
        """A step has ended in some way."""
        if self.over or (step, undoing) != (self.at, self.back):
            return
        if result == "unknown":
            self.unknown += 1
            self.over = "needs a person" if self.unknown >= GIVES_UP_AFTER else ""
        elif result == "done" and not self.back:
            self.at, self.unknown = self.at + 1, 0
            self.over = "done" if self.at == len(self.undo) else ""
        elif self.back and result == "failed":
            self.over = "needs a person"
        else:
            self.turn_back(self.at if self.back else self.at + 1)

    def turn_back(self, before: int) -> None:
        """Goes to the last step before a place that has something to undo."""
        left = [step for step in range(before) if self.undo[step]]
        self.back, self.unknown = True, 0
        if left:
            self.at = left[-1]
        else:
            self.over = "undone"


@dataclass(slots=True)
class Oracle:
    """What the agreed journal adds up to. Entries that are known are passed over."""

    count: int = 0
    head: str = EMPTY.hash
    ids: set[str] = field(default_factory=set)
    plans: dict[str, Course] = field(default_factory=dict)
    asked: dict[str, str] = field(default_factory=dict)  # request → its kind
    covered: set[str] = field(default_factory=set)
    verdicts: dict[str, str] = field(default_factory=dict)  # what is agreed of each target, where that is anything
    scopes: dict[str, str] = field(default_factory=dict)  # open scopes → their cause, in a word

    def take_in(self, entries: Sequence[Entry]) -> None:
        """Takes in entries of the agreed journal."""
        for entry in entries:
            if entry.sequence == self.count + 1:
                self.count, self.head = entry.sequence, entry.hash
                self.ids.add(entry.id)
                self._fact(msgspec.json.decode(entry.fact))

    def _fact(self, fact: dict[str, Any]) -> None:
        match fact["kind"]:
            case "maintenance-asked" | "maintenance-end-asked" | "takeover-asked" | "switchover-asked":
                self.asked[fact["request"]] = fact["kind"]
            case "maintenance-refused" | "maintenance-ending" | "takeover-request-refused":
                self.asked.pop(fact["request"], None)
                self.covered.add(fact.get("reason", fact["kind"]))
            case "plan-made":
                self._made(fact)
            case "step-ended":
                self._ended(fact)
            case "verdicts-agreed":
                self.verdicts |= {target: agreed[0] for target, agreed in fact["verdicts"].items()}
                self.covered |= {f"agreed {agreed[0]}" for agreed in fact["verdicts"].values()}
            case "scope-opened" | "scope-changed":
                self.scopes[fact["scope"]] = fact["cause"]["kind"]
                self.covered.add(f"scope {fact['cause']['kind']} {fact['cause']['manner']}")
            case "scope-ended":
                self.scopes.pop(fact["scope"], None)
            case "site-silent" | "site-heard" | "takeover-shadowed" | "takeover-wanted":
                self.covered.add(fact["kind"])
            case "database-moved":
                self.covered.add("database released" if fact["released"] else "database moved")
            case "takeover-refused":
                self.covered.add(f"takeover refused: {fact['reason']}")
            case "plan-cancelled" if (course := self.plans.get(fact["plan"])) and not (course.over or course.back):
                course.turn_back(course.at + 1)

    def _made(self, fact: dict[str, Any]) -> None:
        held = any(not one.over for one in self.plans.values() if one.subject == fact["subject"])
        if fact["plan"] not in self.plans and not held:
            self.asked.pop(fact["plan"].partition("/")[2], None)
            if fact["capability"] == "takeover":
                self._taken_up(fact["steps"])
            self.plans[fact["plan"]] = Course(fact["subject"], [bool(step.get("undo")) for step in fact["steps"]])

    def _taken_up(self, steps: Sequence[dict[str, Any]]) -> None:
        """A plan for the database answers all that ask for what it does."""
        verbs = {step["verb"] for step in steps}
        wanted = {"takeover-asked"} if verbs & {"database.takeover", "database.release"} else set()
        wanted |= {"switchover-asked"} if "database.switchover" in verbs else set()
        for request, kind in list(self.asked.items()):
            if kind in wanted:
                del self.asked[request]

    def _ended(self, fact: dict[str, Any]) -> None:
        course = self.plans.get(fact["plan"])
        if course is not None:
            before = f"{'undoing' if course.back else 'open'} at {course.at}"
            course.ended(fact["step"], fact["undoing"], fact["result"])
            self.covered.add(f"plan {before}, {fact['result']}" + (f" ► {course.over}" if course.over else ""))

    def unanswered(self) -> list[str]:
        """Requests in the journal that have neither a plan nor a refusal."""
        return list(self.asked)

    def unwell(self, targets: Iterable[str]) -> str:
        """What is not agreed to be up, or still explained by a cause, in a few words; nothing where all is well."""
        for target in targets:
            if self.verdicts.get(target) != "up":
                return f"{target} is not agreed to be up: {self.verdicts.get(target, 'nothing is agreed')}"
        return f"the scope {next(iter(self.scopes))} has not ended" if self.scopes and self.verdicts else ""

    def needs_person(self, subject: str) -> bool:
        """Whether a plan of a subject waits for a person."""
        return any(one.over == "needs a person" for one in self.plans.values() if one.subject == subject)

    def going(self) -> list[str]:
        """Plans that are neither over nor a person's to look after."""
        return [name for name, course in self.plans.items() if not course.over]
