"""Commands that are for agents: for one server's (`AtServer`), or for many at once (`Everywhere`).

    traffic.fence     service, lost               edges send nothing there any more      all edges but the lost ones
    traffic.move      service, lost, survivor     edges may send to the new primary      all edges but the lost ones
    traffic.unfence   service, lost               edges send there again                 all edges; a lost one if it can
    traffic.open      service, lost               who was lost may follow as a standby   the members among the lost ones

`lost` are names of servers with blanks between them. Who cannot be reached must not hold up a takeover: fencing and
moving wait ENOUGH_S, are then done, and say who did not answer; his edge finds out by its own checks. Letting in again
has time: it is done when all of them say so. An agent that has heard a newer generation fails any of them: it is not
for us to decide any more.
"""

from __future__ import annotations

import asyncio
from collections.abc import Collection, Mapping
from typing import Protocol

from binome.core.acceptance import Refused
from binome.core.plan import Command, Outcome

ENOUGH_S = 0.15
"""How long a takeover waits for agents."""
LET_IN_S = 5.0
AT_SERVER_S = 55.0
"""How long one server's agent may take: less than the loop waits."""
_NOT_ACCEPTED = frozenset(one.value for one in Refused)


class Agents(Protocol):
    """Agents that can be ordered; runtime/agents.py has those of one lookout."""

    def is_connected(self, server: str) -> bool:
        """Whether an order to a server's agent could be sent now."""

    async def order(self, server: str, command: Command, timeout_s: float) -> Outcome:
        """What came of a command at a server's agent; unknown where it does not say so in time."""


class AtServer:
    """A `Driver` that gives a command to the agent of its server."""

    def __init__(self, agents: Agents, within_s: float = AT_SERVER_S) -> None:
        self._agents, self._within_s = agents, within_s

    async def carry_out(self, command: Command) -> Outcome:
        """What the agent says came of it."""
        return await self._agents.order(command.server, command, self._within_s)


class Everywhere:
    """A `Driver` for verbs of many servers. `edges`: servers with an edge; `members`: database → its servers."""

    def __init__(self, agents: Agents, edges: Collection[str], members: Mapping[str, Collection[str]]) -> None:
        self._agents, self._edges, self._members = agents, tuple(edges), members

    async def carry_out(self, command: Command) -> Outcome:
        """Gives it to all whom it concerns, at once."""
        lost = frozenset(command.arguments.get("lost", "").split())
        match command.verb:
            case "traffic.fence" | "traffic.move":
                return await self._done_by(command, [one for one in self._edges if one not in lost], hurried=True)
            case "traffic.unfence":
                reached = [one for one in self._edges if one not in lost or self._agents.is_connected(one)]
                return await self._done_by(command, reached)
            case "traffic.open":
                members = self._members.get(command.arguments.get("service", ""), ())
                return await self._done_by(command, [one for one in members if one in lost])
        return Outcome("failed", f"{command.verb} is not known here")

    async def _done_by(self, command: Command, servers: Collection[str], *, hurried: bool = False) -> Outcome:
        within_s = ENOUGH_S if hurried else LET_IN_S
        outcomes = await asyncio.gather(*(self._agents.order(one, command, within_s) for one in servers))
        told = {server: outcome for server, outcome in zip(servers, outcomes, strict=True) if outcome.result != "done"}
        detail = "; ".join(_said(server, outcome) for server, outcome in told.items())
        if any(outcome.result == "failed" and outcome.detail in _NOT_ACCEPTED for outcome in told.values()):
            return Outcome("failed", detail)
        return Outcome("done" if hurried or not told else "unknown", detail)


def _said(server: str, outcome: Outcome) -> str:
    said = outcome.detail or outcome.result
    return said if said.startswith(f"{server}: ") else f"{server}: {said}"
