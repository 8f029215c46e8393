"""Databases that take no writes: there is no primary, or it is lost and nothing takes over by itself.

    Patroni says that nobody is primary, and no takeover is under way    stopped, since it says so
    a confirmed loss took the primary, and what was decided is no plan   stopped, since the loss began
    the same of a loss that too few confirm                              nobody knows
    a takeover is under way                                              said by its plan, not here

What was decided is no plan where a takeover was refused, only shadowed, or waits for a person. A standby that runs is
no database that anybody can use: so long as nobody is primary, members that are up do not help.
"""

from __future__ import annotations

from binome.core.decision import View
from binome.core.lost import all_lost, losses
from binome.core.takeover_facts import CAPABILITY as TAKEOVER
from binome.estate import Estate


def stopped(estate: Estate, view: View, now_ms: int) -> dict[str, int]:
    """The databases that take no writes, and that nothing mends by itself; each since when."""
    found = {name: since_ms for name, (since_ms, confirmed) in _judged(estate, view, now_ms).items() if confirmed}
    for name, known in view.takeover.databases.items():
        if name in estate.services and known.leaderless and known.primary and not _is_moving(view, name):
            found[name] = min(known.primary_ms, found.get(name, known.primary_ms))
    return found


def in_doubt(estate: Estate, view: View, now_ms: int) -> list[str]:
    """The databases whose primary is lost as far as a few can see: nothing takes over, and nobody knows."""
    return [name for name, (_, confirmed) in _judged(estate, view, now_ms).items() if not confirmed]


def without_primary(estate: Estate, view: View, now_ms: int) -> set[str]:
    """The databases whose primary is not there now, whatever is done about it."""
    lost = all_lost(losses(estate, view, now_ms))
    return {name for name, known in view.takeover.databases.items() if known.leaderless or known.primary in lost}


def _judged(estate: Estate, view: View, now_ms: int) -> dict[str, tuple[int, bool]]:
    """The databases whose primary a loss took, and of which was decided that nothing takes over by itself.

    Each with since when the loss lasts, and whether enough confirm it.
    """
    if not view.takeover.judged:
        return {}
    current = {one.id: one for one in losses(estate, view, now_ms)}
    found = {}
    for name, judged in view.takeover.judged.items():
        loss, known = current.get(judged.loss), view.takeover.databases.get(name)
        if loss is None or known is None or name not in estate.services or _is_moving(view, name):
            continue
        if known.primary in loss.servers:
            found[name] = loss.since_ms, loss.confirmed
    return found


def _is_moving(view: View, service: str) -> bool:
    plan = view.plan_of(service)
    return plan is not None and plan.capability == TAKEOVER and plan.state == "open"
