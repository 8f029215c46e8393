"""Maintenance: a person holds a subject for a while, and Binôme keeps its hands off it.

    asked on  ► plan: hold, then, when the time is over or "off" was asked, release ► done

While a plan of maintenance holds a subject, what other capabilities want to do to that subject waits, except what is
more urgent (a takeover), which cancels it. A request is refused, with its reason, where something else holds the
subject already, where there is no such subject, or where nothing is to be ended.
"""

from __future__ import annotations

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
    """A request to release was granted."""

    request: str
    subject: str


FACTS = (MaintenanceAsked, MaintenanceEndAsked, MaintenanceRefused, MaintenanceEnding)
REQUESTS = (MaintenanceAsked, MaintenanceEndAsked)
"""What people may ask for."""


class MaintenanceSlice:
    """Requests that nobody has answered yet, in their order."""

    def __init__(self) -> None:
        self.asked: dict[str, MaintenanceAsked | MaintenanceEndAsked] = {}

    def apply(self, fact: Fact) -> tuple[str, str] | None:
        """Takes in a fact of this capability; the request that it answers, and how."""
        match fact:
            case MaintenanceAsked() | MaintenanceEndAsked():
                self.asked[fact.request] = fact
            case MaintenanceRefused():
                return self._answered(fact.request, fact.reason)
            case MaintenanceEnding():
                return self._answered(fact.request, GRANTED)
        return None

    def granted(self, made: Plan) -> tuple[str, str] | None:
        """Takes in that a plan was made; the request that it answers, if it is one of ours."""
        if made.capability != CAPABILITY:
            return None
        return self._answered(made.id.removeprefix(f"{CAPABILITY}/"), GRANTED)

    def _answered(self, request: str, answer: str) -> tuple[str, str]:
        self.asked.pop(request, None)
        return request, answer


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
    last = len(holder.steps) - 1
    return [("hastened", StepHastened(holder.id, last)), ("ending", MaintenanceEnding(asked.request, asked.subject))]


def _refused(request: str, reason: Refused) -> list[tuple[str, Fact]]:
    return [("refused", MaintenanceRefused(request, reason.value))]


def _is_subject(estate: Estate, name: str) -> bool:
    sections = (estate.sites, estate.domains, estate.servers, estate.services, estate.links, estate.products)
    return any(name in section for section in sections)
