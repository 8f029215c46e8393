"""Maintenance: a person holds a subject for a while, and Binôme keeps its hands off it.

    asked on  ► plan: hold, then, when the time is over or "off" was asked, release ► done

While a plan of maintenance holds a subject, what other capabilities want to do to that subject waits, except what is
more urgent (a takeover), which cancels it. A request is refused, with its reason, where something else holds the
subject already, where there is no such subject, or where nothing is to be ended. "On" is granted once the subject is
held, "off" once it is free: what a plan means to do is told to nobody as done.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from enum import StrEnum

from binome.core.decision import Decision, View
from binome.core.entry import Draft, Fact
from binome.core.plan import Plan, PlanMade, Priority, Step, StepHastened
from binome.estate import Estate

CAPABILITY = "maintenance"
GRANTED = "granted"


class Refused(StrEnum):
    """Why a request was not granted."""

    NO_SUCH_SUBJECT = "no such subject"
    HELD_BY_ANOTHER_PLAN = "another plan holds the subject"
    ALREADY_ON = "maintenance is on already"
    NOT_ON = "no maintenance to end"
    OVER_ALREADY = "its end has passed already"
    ENDING_ALREADY = "it is being released already"
    NEEDS_PERSON = "its plan needs a person, see binome plan list"


class Failed(StrEnum):
    """What came of a request that was taken up, and could not be done."""

    NOT_HELD = "it could not be held, and is released again"
    NEEDS_PERSON = "its plan needs a person, see binome plan list"


class MaintenanceAsked(Fact, frozen=True, tag="maintenance-asked"):
    """A person asks to hold a subject until a time. `request` is unique for ever."""

    request: str
    subject: str
    until_ms: int
    why: str
    who: str


class MaintenanceEndAsked(Fact, frozen=True, tag="maintenance-end-asked"):
    """A person asks to release a subject now."""

    request: str
    subject: str
    who: str


class MaintenanceRefused(Fact, frozen=True, tag="maintenance-refused"):
    """A request was not granted."""

    request: str
    reason: str


class MaintenanceEnding(Fact, frozen=True, tag="maintenance-ending"):
    """A request to release was taken up."""

    request: str
    subject: str


FACTS = (MaintenanceAsked, MaintenanceEndAsked, MaintenanceRefused, MaintenanceEnding)
REQUESTS = (MaintenanceAsked, MaintenanceEndAsked)
"""What people may ask for."""


class MaintenanceSlice:
    """Requests that nobody has decided on yet, in their order, and those that wait for what comes of a plan."""

    def __init__(self) -> None:
        self.asked: dict[str, MaintenanceAsked | MaintenanceEndAsked] = {}
        self._holding: dict[str, str] = {}  # plan → the request that waits until it holds
        self._ending: dict[str, list[str]] = {}  # plan → the requests that wait until it has ended

    def apply(self, fact: Fact, plan_of: Callable[[str], Plan | None]) -> Iterator[tuple[str, str]]:
        """Takes in a fact of this capability; the requests that it answers, and how."""
        match fact:
            case MaintenanceAsked() | MaintenanceEndAsked():
                self.asked[fact.request] = fact
            case MaintenanceRefused():
                self.asked.pop(fact.request, None)
                yield fact.request, fact.reason
            case MaintenanceEnding():
                self.asked.pop(fact.request, None)
                holder = plan_of(fact.subject)
                if holder is None:
                    yield fact.request, GRANTED  # it has ended meanwhile
                elif holder.state == "needs-person":
                    yield fact.request, _because(Failed.NEEDS_PERSON, holder.trouble)
                else:
                    self._ending.setdefault(holder.id, []).append(fact.request)

    def made(self, plan: Plan) -> None:
        """Takes in that a plan was made."""
        if plan.capability == CAPABILITY:
            request = plan.id.removeprefix(f"{CAPABILITY}/")
            self.asked.pop(request, None)
            self._holding[plan.id] = request

    def moved(self, plan: Plan) -> Iterator[tuple[str, str]]:
        """Takes in how far a plan has come; the requests that this answers, and how."""
        stuck = plan.state == "needs-person"
        if plan.id in self._holding and (stuck or plan.ended or (plan.state == "open" and plan.position > 0)):
            failed = Failed.NEEDS_PERSON if stuck else Failed.NOT_HELD if plan.state == "undone" else None
            yield self._holding.pop(plan.id), _because(failed, plan.trouble) if failed else GRANTED
        if plan.id in self._ending and (stuck or plan.ended):
            for request in self._ending.pop(plan.id):
                yield request, _because(Failed.NEEDS_PERSON, plan.trouble) if stuck else GRANTED


def _because(failed: Failed, trouble: str) -> str:
    return f"{failed.value}: {trouble}" if trouble else failed.value


def decide(estate: Estate, view: View, now_ms: int) -> Decision:
    """Answers the requests that are open, of each subject the oldest: with a plan, an ending or a refusal."""
    record: list[Draft] = []
    answered: set[str] = set()
    for asked in view.maintenance.asked.values():
        if asked.subject in answered:
            continue  # what the one before it leads to must be known first
        answered.add(asked.subject)
        answer = _end(asked, view) if isinstance(asked, MaintenanceEndAsked) else _begin(estate, asked, view, now_ms)
        record += [Draft(f"{CAPABILITY}/{asked.request}/{kind}", now_ms, CAPABILITY, fact) for kind, fact in answer]
    return Decision(tuple(record))


def _begin(estate: Estate, asked: MaintenanceAsked, view: View, now_ms: int) -> list[tuple[str, Fact]]:
    holder = view.plan_of(asked.subject)
    if not _is_subject(estate, asked.subject):
        return _refused(asked.request, Refused.NO_SUCH_SUBJECT)
    if holder is not None:
        same = holder.capability == CAPABILITY
        return _refused(asked.request, Refused.ALREADY_ON if same else Refused.HELD_BY_ANOTHER_PLAN)
    if asked.until_ms <= now_ms:
        return _refused(asked.request, Refused.OVER_ALREADY)
    hold = Step("maintenance.hold", arguments={"why": asked.why, "who": asked.who}, undo="maintenance.release")
    release = Step("maintenance.release", not_before_ms=asked.until_ms)
    plan = PlanMade(
        plan=f"{CAPABILITY}/{asked.request}",
        capability=CAPABILITY,
        subject=asked.subject,
        priority=Priority.MAINTENANCE,
        steps=(hold, release),
        why=asked.why,
    )
    return [("plan", plan)]


def _end(asked: MaintenanceEndAsked, view: View) -> list[tuple[str, Fact]]:
    holder = view.plan_of(asked.subject)
    if holder is None or holder.capability != CAPABILITY:
        return _refused(asked.request, Refused.NOT_ON)
    if holder.state == "undoing":
        return _refused(asked.request, Refused.ENDING_ALREADY)
    if holder.state != "open":
        return _refused(asked.request, Refused.NEEDS_PERSON)
    last = len(holder.steps) - 1
    return [("hastened", StepHastened(holder.id, last)), ("ending", MaintenanceEnding(asked.request, asked.subject))]


def _refused(request: str, reason: Refused) -> list[tuple[str, Fact]]:
    return [("refused", MaintenanceRefused(request, reason.value))]


def _is_subject(estate: Estate, name: str) -> bool:
    sections = (estate.sites, estate.domains, estate.servers, estate.services, estate.links, estate.products)
    return any(name in section for section in sections)
