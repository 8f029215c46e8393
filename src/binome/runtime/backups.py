"""Jobs of backups, as the lookout that leads follows them: what their agents say becomes facts.

    the agent says that it has ended                           ► a fact: a copy, a proof, or that it failed
    the agent is there, and knows nothing of it                ► after LOST_S the fact that it failed
    the agent is not there                                     ► after LEASE_S the same
    it runs                                                    ► nothing: progress is no fact

An agent tells every lookout of its jobs, and keeps what came of each until it is told that the journal has it: whoever
leads next adopts them all, and asks nobody.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Protocol

from binome.core.backup_facts import CAPABILITY, Work
from binome.core.backup_results import fact_of
from binome.core.backups import given_up
from binome.core.decision import View
from binome.core.entry import Draft, Fact
from binome.ports import Clock
from binome.runtime.peer_messages import Job

LOST_S, LEASE_S = 5.0, 600.0


class Hands(Protocol):
    """The agents, as far as their jobs."""

    def jobs(self, server: str) -> Sequence[Job] | None:
        """An agent's jobs; None where it says nothing."""


class Backups:
    """An `Observer` of the jobs that take and prove copies."""

    def __init__(self, hands: Hands, clock: Clock) -> None:
        self._hands, self._clock = hands, clock
        self._missing_s: dict[str, float] = {}  # job → since when it is not told of

    def observed(self, view: View, now_ms: int) -> Sequence[Draft]:
        """What the journal does not say yet of jobs that are over."""
        drafts = []
        begun = [one for one in view.backups.works.values() if _has_begun(view, one)]
        for work in begun:
            fact = self._end(work)
            if fact is not None:
                drafts.append(Draft(f"{work.plan}/ended", now_ms, CAPABILITY, fact))
        plans = {work.plan for work in begun}
        self._missing_s = {plan: since_s for plan, since_s in self._missing_s.items() if plan in plans}
        return drafts

    def _end(self, work: Work) -> Fact | None:
        jobs = self._hands.jobs(work.server)
        found = next((one for one in jobs or () if one.id == work.plan), None)
        if found is None:
            trouble = self._trouble(work, silent=jobs is None)
            return given_up(work, trouble) if trouble else None
        self._missing_s.pop(work.plan, None)
        if found.state == "running":
            return None
        if found.state == "failed":
            return given_up(work, found.detail or "it failed")
        try:
            return fact_of(work, found.detail)
        except ValueError as error:
            return given_up(work, f"what its agent said makes no sense: {error}"[:300])

    def _trouble(self, work: Work, *, silent: bool) -> str:
        """Why a job that nobody tells of is given up; empty where it is not yet."""
        now_s = self._clock.monotonic_s()
        waits_s = LEASE_S if silent else LOST_S
        if now_s - self._missing_s.setdefault(work.plan, now_s) < waits_s:
            return ""
        return (
            f"the agent of {work.server} has not been heard for {LEASE_S:g} s"
            if silent
            else f"the agent of {work.server} knows nothing of it any more"
        )


def _has_begun(view: View, work: Work) -> bool:
    """Whether its agent has it, and the journal does not know what came of it."""
    plan = view.plans.get(work.plan)
    return plan is not None and plan.state == "open" and plan.position > 0 and work.plan not in view.backups.ended
