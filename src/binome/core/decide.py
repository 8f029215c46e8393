"""The one function that decides, composed of one decider a capability.

    decide(estate, state, now) ► record, execute, wake at

It is pure: the same state at the same time gives the same decision, on a lookout, in the simulation of a night and in
that of years. Deciders speak in the order of their priority. Where two want the same subject in one decision, the first
has it; where a plan of lower priority holds a subject that a decider wants, that plan is cancelled, and the subject is
free once it is undone. What is to be carried out follows from the plans alone: the next step of each that is due. A
step that is being carried out is named again each time; whoever carries out knows commands by their ids.
"""

from __future__ import annotations

from collections.abc import Callable

from binome.core import backups, impact, incident, maintenance, scoping, takeover
from binome.core.decision import Decision, View
from binome.core.entry import Draft
from binome.core.plan import PlanCancelled, PlanMade
from binome.core.state import State
from binome.estate import Estate

Decider = Callable[[Estate, View, int], Decision]

DECIDERS: tuple[Decider, ...] = (
    scoping.decide,
    impact.decide,
    incident.decide,
    takeover.decide,
    maintenance.decide,
    backups.decide,
)
"""What has happened first, since it makes no plans; then takeover > maintenance > repair > drill > backup."""


def decide(
    estate: Estate, state: State, now_ms: int, *, generation: int, deciders: tuple[Decider, ...] = DECIDERS
) -> Decision:
    """What to write down, what to carry out, and when to decide again.

    `generation` is that of the leader who decides; every command carries it. Nothing of `state` is changed.
    """
    record: list[Draft] = []
    wakes = [state.next_due_ms(now_ms)]
    claimed: set[str] = set()
    for decider in deciders:
        decision = decider(estate, state, now_ms)
        wakes.append(decision.wake_at_ms)
        for draft in decision.record:
            if isinstance(draft.fact, PlanMade):
                record += _claim(draft, draft.fact, state, claimed)
            else:
                record.append(draft)
    cancelled = {draft.fact.plan for draft in record if isinstance(draft.fact, PlanCancelled)}
    commands = (plan.command(generation) for plan in state.due(now_ms) if plan.id not in cancelled)
    execute = tuple(command for command in commands if command is not None)
    wake_at_ms = min((wake for wake in wakes if wake is not None), default=None)
    return Decision(tuple(record), execute, wake_at_ms)


def _claim(draft: Draft, made: PlanMade, state: State, claimed: set[str]) -> list[Draft]:
    """The plan itself where its subject is free; else the end of a less urgent one that holds it, or nothing yet."""
    if made.subject in claimed:
        return []
    claimed.add(made.subject)
    holder = state.plan_of(made.subject)
    if holder is None:
        return [draft]
    if holder.priority > made.priority and holder.state == "open":
        cancelled = PlanCancelled(holder.id, f"{made.capability} is more urgent")
        return [Draft(f"{holder.id}/cancelled", draft.at_ms, draft.origin, cancelled)]
    return []
