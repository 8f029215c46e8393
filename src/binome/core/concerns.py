"""What of other capabilities belongs into the log book of an incident, and of which names each of it speaks."""

from __future__ import annotations

from collections.abc import Callable

from binome.core.backup_facts import CAPABILITY as BACKUP
from binome.core.database import DatabaseSeen
from binome.core.entry import Fact
from binome.core.impact import ProductUnusable, ProductUsable
from binome.core.leadership import LeadershipTaken
from binome.core.looking import LookoutsHeard
from binome.core.maintenance import MaintenanceAsked, MaintenanceEndAsked
from binome.core.plan import PlanCancelled, PlanClosed, PlanMade, StepEnded
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

OF_BACKUPS = f"{BACKUP}/"
TOLD = (
    *(SiteSilent, SiteHeard, LookoutsHeard, LeadershipTaken, PlanMade, StepEnded, PlanCancelled, PlanClosed),
    *(TakeoverRefused, TakeoverShadowed, TakeoverWanted, TakeoverAsked, SwitchoverAsked, AskedRefused),
    *(TakeoverAttested, FailbackAsked, SwitchoverBegun, StandbyBehind),
    *(DatabaseSeen, DatabaseMoved, MaintenanceAsked, MaintenanceEndAsked, ProductUnusable, ProductUsable),
)
"""Facts of others that belong into a log book."""


def is_told(fact: Fact) -> bool:
    """Whether a fact of another capability belongs into a log book: copies and proofs go on whatever burns."""
    if isinstance(fact, PlanMade | StepEnded | PlanCancelled | PlanClosed) and fact.plan.startswith(OF_BACKUPS):
        return False
    return isinstance(fact, TOLD)


def names_of(fact: Fact, subject_of: Callable[[str], str]) -> set[str]:
    """What a fact of another capability speaks of."""
    match fact:
        case SiteSilent() | SiteHeard():
            return {fact.site}
        case TakeoverRefused() | TakeoverShadowed() | TakeoverWanted():
            return {fact.service}
        case TakeoverAsked() | SwitchoverAsked() | FailbackAsked():
            return {fact.service}
        case (
            DatabaseSeen()
            | DatabaseMoved()
            | TakeoverAttested()
            | FailbackAsked()
            | SwitchoverBegun()
            | StandbyBehind()
        ):
            return {fact.service}
        case PlanMade() | MaintenanceAsked() | MaintenanceEndAsked():
            return {fact.subject}
        case StepEnded() | PlanCancelled() | PlanClosed():
            return {subject_of(fact.plan)}
        case ProductUnusable() | ProductUsable():
            return {fact.product}
    return set()
