"""Rejoining, as the lookout that leads follows it: what became of jobs that members' agents were given.

    the agent says that it failed                              ► a fact: it is begun anew after a while
    the agent is there, and knows nothing of it (it restarted) ► after LOST_S the same
    the agent is not there, and its site is                    ► after LEASE_S the same
    it runs, or has done its work                              ► nothing: that the database is whole, Patroni says

Progress is no fact. An agent tells every lookout of its jobs, so whoever leads next knows as much.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Protocol

from binome.core.decision import View
from binome.core.entry import Draft
from binome.core.takeover_facts import CAPABILITY, Fenced, RejoinEnded
from binome.estate import Estate
from binome.ports import Clock
from binome.runtime.peer_messages import Job

LOST_S, LEASE_S = 5.0, 60.0


class Hands(Protocol):
    """The agents, as far as their jobs."""

    def jobs(self, server: str) -> Sequence[Job] | None:
        """An agent's jobs; None where it says nothing."""


class Rejoins:
    """An `Observer` of the jobs by which members follow again."""

    def __init__(self, estate: Estate, hands: Hands, clock: Clock) -> None:
        self._estate, self._hands, self._clock = estate, hands, clock
        self._missing_s: dict[tuple[str, str], float] = {}  # (job, server) → since when it is not told of

    def observed(self, view: View, now_ms: int) -> Sequence[Draft]:
        """What the journal does not say yet of jobs that have come to no good."""
        drafts, expected = [], set[tuple[str, str]]()
        for service, fenced, server in self._expected(view):
            expected.add((fenced.job, server))
            detail = self._trouble(fenced.job, server)
            if detail:
                fact = RejoinEnded(service, server, fenced.loss, fenced.job, detail)
                drafts.append(Draft(f"{fenced.job}/{server}/ended", now_ms, CAPABILITY, fact))
        self._missing_s = {key: since_s for key, since_s in self._missing_s.items() if key in expected}
        return drafts

    def _expected(self, view: View) -> Iterator[tuple[str, Fenced, str]]:
        for service, losses in view.takeover.fenced.items():
            known = view.takeover.databases.get(service)
            for fenced in losses.values():
                for server in self._estate.services[service].on if service in self._estate.services else ():
                    follows = known is not None and (server == known.primary or server in known.synchronous)
                    if fenced.job and not fenced.again_ms and server in fenced.servers and not follows:
                        yield service, fenced, server

    def _trouble(self, job: str, server: str) -> str:
        """Why a job has come to no good; empty where it has not, or not yet."""
        jobs = self._hands.jobs(server)
        found = next((one for one in jobs or () if one.id == job), None)
        if found is not None:
            self._missing_s.pop((job, server), None)
            return (found.detail or "it failed") if found.state == "failed" else ""
        now_s = self._clock.monotonic_s()
        since_s = self._missing_s.setdefault((job, server), now_s)
        if jobs is None:
            return f"its agent has not been heard for {LEASE_S:g} s" if now_s - since_s >= LEASE_S else ""
        return "its agent knows nothing of it any more" if now_s - since_s >= LOST_S else ""
