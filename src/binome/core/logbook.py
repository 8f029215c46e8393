"""The log book: what an incident's facts say, one line each, as somebody reads them who was not there.

The core knows no zone: `clock` writes a moment, in milliseconds since 1970. Names and notes are shown as printable
characters alone.
"""

from __future__ import annotations

from binome.core.database import DatabaseSeen
from binome.core.entry import Fact
from binome.core.evidence import Clock, sentence
from binome.core.impact import ProductUnusable, ProductUsable
from binome.core.incident import (
    AcknowledgeAsked,
    IncidentAcknowledged,
    IncidentJoined,
    IncidentOpened,
    IncidentResolved,
    IncidentReturned,
    NoteAsked,
    PageAccepted,
    ResolveAsked,
    SilenceAsked,
)
from binome.core.leadership import LeadershipTaken
from binome.core.looking import LookoutsHeard
from binome.core.maintenance import MaintenanceAsked, MaintenanceEndAsked
from binome.core.page import one_line
from binome.core.plan import PlanCancelled, PlanClosed, PlanMade, StepEnded
from binome.core.scope import ScopeChanged, ScopeEnded, ScopeOpened
from binome.core.silence import SiteHeard, SiteSilent
from binome.core.takeover_facts import (
    AskedRefused,
    DatabaseMoved,
    FailbackAsked,
    StandbyBehind,
    SwitchoverAsked,
    SwitchoverBegun,
    TakeoverAsked,
    TakeoverAttested,
    TakeoverRefused,
    TakeoverShadowed,
    TakeoverWanted,
)

KINDS = {
    **dict.fromkeys((SiteSilent, SiteHeard, LookoutsHeard, ScopeOpened, ScopeChanged, ScopeEnded), "seen"),
    **dict.fromkeys((ProductUnusable, ProductUsable, DatabaseSeen, StandbyBehind), "seen"),
    **dict.fromkeys((LeadershipTaken, IncidentOpened, IncidentReturned, IncidentJoined, IncidentResolved), "decided"),
    **dict.fromkeys((PlanMade, PlanCancelled, TakeoverRefused, TakeoverShadowed, TakeoverWanted), "decided"),
    AskedRefused: "decided",
    **dict.fromkeys((StepEnded, PageAccepted, DatabaseMoved, SwitchoverBegun), "done"),
    **dict.fromkeys((MaintenanceAsked, MaintenanceEndAsked, TakeoverAsked, SwitchoverAsked, FailbackAsked), "said"),
    **dict.fromkeys(
        (NoteAsked, AcknowledgeAsked, ResolveAsked, SilenceAsked, IncidentAcknowledged, PlanClosed), "said"
    ),
    TakeoverAttested: "said",
}
"""Of each kind of fact whether it was seen, decided, done, or said by people."""


def kind_of(fact: Fact) -> str:
    """Whether a fact was seen, decided, done or said."""
    return KINDS.get(type(fact), "seen")


def line(fact: Fact, clock: Clock) -> str:
    """What a fact says, in one line."""
    told = _of_people(fact, clock) or _asked(fact, clock) or _of_work(fact) or _of_looking(fact, clock)
    return one_line(told or type(fact).__name__)


def _of_looking(fact: Fact, clock: Clock) -> str:
    match fact:
        case SiteSilent():
            doubt = "" if fact.confirmed else "; unconfirmed"
            return f"site {fact.site} has said nothing for {_for(fact.lasted_ms)}, say {_and(fact.seen_from)}{doubt}"
        case SiteHeard():
            return f"site {fact.site} is heard again"
        case LookoutsHeard():
            return f"lookouts silent: {_and(tuple(fact.silent))}" if fact.silent else "all lookouts are heard"
        case ScopeOpened() | ScopeChanged():
            return sentence(fact.cause, clock)
        case ScopeEnded():
            return f"{fact.scope}: {fact.why.value}{f' ({fact.into})' if fact.into else ''}"
        case ProductUnusable():
            doubt = "" if fact.confirmed else "; unconfirmed"
            return f"{fact.product} cannot be used since {clock(fact.since_ms)}: {_and(fact.services)}{doubt}"
        case ProductUsable():
            return f"{fact.product} can be used again since {clock(fact.since_ms)}"
    return ""


def _of_work(fact: Fact) -> str:
    match fact:
        case LeadershipTaken():
            return f"{fact.leader} leads"
        case PlanMade():
            return f"{fact.capability} of {fact.subject}, {len(fact.steps)} steps: {fact.why}"
        case StepEnded():
            what = "undoing step" if fact.undoing else "step"
            return f"{fact.plan}: {what} {fact.step + 1} {fact.result}{f': {fact.detail}' if fact.detail else ''}"
        case PlanCancelled():
            return f"{fact.plan} is cancelled: {fact.why}"
        case DatabaseSeen() if not fact.primary:
            return f"{fact.service} has no primary"
        case DatabaseSeen():
            beside = f"{_and(fact.synchronous)} in step" if fact.synchronous else "no standby in step"
            return f"{fact.service}: {fact.primary} is primary, {beside}"
        case DatabaseMoved():
            released = f"; it waits for {fact.released} no longer" if fact.released else ""
            return f"{fact.service}: {fact.primary} is primary now{released}"
        case StandbyBehind():
            return f"{fact.member} is at most {_for(fact.behind_ms)} behind the primary that is lost"
        case SwitchoverBegun():
            return f"{fact.service}: Patroni was asked to move it to {fact.to}"
        case TakeoverRefused():
            return f"{fact.service} is not taken over: {fact.reason}"
        case TakeoverShadowed():
            return f"{fact.survivor} would have taken over {fact.service} (shadow)"
        case TakeoverWanted():
            return f"a person is asked whether {fact.survivor} shall take over {fact.service}"
    return ""


def _of_people(fact: Fact, clock: Clock) -> str:
    match fact:
        case IncidentOpened():
            return f"incident {fact.incident} opened"
        case IncidentReturned():
            return f"{fact.scope} belongs to it"
        case IncidentJoined():
            return f"incident {fact.incident} is a part of incident {fact.into}"
        case IncidentResolved():
            return f"resolved: {fact.why.value}"
        case IncidentAcknowledged() | AcknowledgeAsked():
            return f"{fact.who} is on it"
        case PageAccepted():
            return f"paged {fact.person} by {fact.via}"
        case NoteAsked():
            return f"{fact.who}: {fact.text}"
        case ResolveAsked():
            return f"{fact.who} says that it is over: {fact.why}"
        case SilenceAsked():
            return f"{fact.who} silences {fact.subject} until {clock(fact.until_ms)}: {fact.why}"
        case TakeoverAttested():
            lost = " and ".join(fact.sites) or "nothing else"
            doubt = "; it begins with nothing" if fact.anew else "; it may lack writes" if fact.lossy else ""
            return f"{fact.who} attests that {lost} is off; {fact.service} goes on with {fact.survivor}{doubt}"
        case PlanClosed():
            return f"{fact.who} has closed {fact.plan}: {fact.why}"
    return ""


def _asked(fact: Fact, clock: Clock) -> str:
    match fact:
        case MaintenanceAsked():
            return f"{fact.who} works on {fact.subject} until {clock(fact.until_ms)}: {fact.why}"
        case MaintenanceEndAsked():
            return f"{fact.who} ends the work on {fact.subject}"
        case TakeoverAsked():
            return f"{fact.who} asks for a takeover of {fact.service}"
        case FailbackAsked():
            return f"{fact.who} wants {fact.service} back on its first member"
        case SwitchoverAsked():
            return f"{fact.who} asks to move {fact.service}{f' to {fact.to}' if fact.to else ''}"
        case AskedRefused():
            return f"what was asked is refused: {fact.reason}"
    return ""


def _for(ms: int) -> str:
    return f"{ms / 1000:g} s"


def _and(names: tuple[str, ...]) -> str:
    *front, last = names or ("nobody",)
    return f"{', '.join(front)} and {last}" if front else last
