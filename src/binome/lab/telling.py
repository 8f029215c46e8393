"""What the journal tells, in the words of a demonstration's events."""

from __future__ import annotations

from datetime import UTC, datetime

from binome.core.causes import Kind
from binome.core.entry import Entry, Fact
from binome.core.evidence import sentence
from binome.core.leadership import LeadershipTaken
from binome.core.plan import PlanMade
from binome.core.scope import Manner, ScopeChanged, ScopeEnded, ScopeOpened
from binome.core.silence import SiteSilent
from binome.core.takeover import PROMOTE, RELEASE, SWITCH, TakeoverRefused


def words(fact: Fact, entry: Entry) -> str:
    """A fact in a few words; empty where a spectator need not hear of it."""
    match fact:
        case SiteSilent():
            return f"{fact.site} is silent for {fact.lasted_ms / 1000:g} s, as {' and '.join(fact.seen_from)} know"
        case ScopeOpened() | ScopeChanged():
            return sentence(fact.cause, _clock)
        case ScopeEnded():
            return f"{fact.scope.rsplit('/', 1)[0]}: {fact.why}"
        case PlanMade(capability="takeover"):
            survivor = next((step.arguments["survivor"] for step in fact.steps if "survivor" in step.arguments), "")
            what = f"takeover by {survivor}" if survivor else fact.plan.split("/")[1]
            return f"{fact.subject}: {what} is planned, generation {entry.generation}: {fact.why}"
        case TakeoverRefused():
            return f"{fact.service} is not taken over: {fact.reason}"
        case LeadershipTaken():
            return f"{fact.leader} leads, generation {entry.generation}"
    return ""


def moves(fact: Fact) -> bool:
    """Whether a fact is the decision to move a database, or to let its primary go on alone."""
    return isinstance(fact, PlanMade) and any(step.verb in (PROMOTE, RELEASE, SWITCH) for step in fact.steps)


def names_site(fact: Fact, site: str) -> bool:
    """Whether a fact says that the site is lost."""
    if isinstance(fact, ScopeOpened | ScopeChanged):
        cause = fact.cause
        return (cause.kind, cause.subject, cause.manner) == (Kind.SITE, site, Manner.LOST)
    return False


def _clock(at_ms: int) -> str:
    return datetime.fromtimestamp(at_ms / 1000, UTC).strftime("%H:%M:%S")
