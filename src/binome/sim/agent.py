"""The agents on servers, and the driver by which lookouts reach them.

An agent does one command after the other. What it has accepted is on its disk before it begins; a crash between that
and the effect loses the effect, and the command is given again. It judges commands by `core.acceptance`, as every
agent will. A driver that gets no answer raises TimeoutError: what that means is the loop's to know.
"""

from __future__ import annotations

import asyncio
from collections.abc import Mapping
from dataclasses import dataclass
from random import Random

from binome.core.acceptance import Accepted
from binome.core.acceptance import Refused as NotAccepted
from binome.core.plan import Command, Outcome
from binome.sim.history import Arrived, Begun, History, TookEffect
from binome.sim.network import Network
from binome.sim.process import current

ANSWER_WITHIN_S = 2.0


@dataclass(slots=True)
class Agent:
    """The agent of one server. `downs` counts the faults that hold it; `failing` and `lost_replies` are shares."""

    name: str
    site: str
    history: History
    chance: Random
    accepted: Accepted = Accepted()
    held_by: str = ""  # the plan that holds the server
    downs: int = 0
    slow_s: float = 0.0
    failing: float = 0.0
    lost_replies: float = 0.0
    _life: int = 0
    _busy_until_s: float = 0.0

    def receive(self, command: Command, answer: asyncio.Future[Outcome] | None, network: Network, back: str) -> None:
        """A command has arrived from site `back`."""
        if self.downs:
            return
        self.history.add(Arrived(self.name, command))

        def reply(outcome: Outcome) -> None:
            if not (self.lost_replies and self.chance.random() < self.lost_replies):
                network.send(self.site, back, lambda: _settle(answer, outcome))

        judged = self.accepted.with_command(command)
        if isinstance(judged, NotAccepted):
            self.history.note(f"refused: {judged.value}")
            reply(Outcome("failed", judged.value))
            return
        self.accepted = judged
        loop, life = self.history.loop, self._life
        self._busy_until_s = max(self._busy_until_s, loop.now_s) + 0.02 + 0.1 * self.chance.random() + self.slow_s

        def work() -> None:
            if life == self._life:
                reply(self._carry_out(command))

        loop.at(self._busy_until_s, work)

    def _carry_out(self, command: Command) -> Outcome:
        if self.failing and command.verb == "maintenance.hold" and self.chance.random() < self.failing:
            self.history.note("a step failed")
            return Outcome("failed", "the server said no")
        if command.verb == "maintenance.hold":
            self.held_by = command.plan
        elif self.held_by == command.plan:
            self.held_by = ""
        self.history.add(TookEffect(self.name, command))
        return Outcome("done")

    def set_down(self, down: bool) -> None:
        """Kills the agent, with what it was about to do, or starts it again."""
        self.downs += 1 if down else -1
        self._life += 1
        self._busy_until_s = 0.0


@dataclass(slots=True)
class SimulatedDriver:
    """A lookout's driver for maintenance: it gives the command to the subject's agent."""

    node: str
    site: str
    agents: Mapping[str, Agent]
    network: Network
    history: History

    async def carry_out(self, command: Command) -> Outcome:
        """Gives a command to its agent. Raises TimeoutError where no answer comes."""
        current()
        self.history.add(Begun(self.node, command))
        agent = self.agents[command.subject]
        answer: asyncio.Future[Outcome] = asyncio.get_running_loop().create_future()
        self.network.send(self.site, agent.site, lambda: agent.receive(command, answer, self.network, self.site))
        try:
            async with asyncio.timeout(ANSWER_WITHIN_S):
                return await answer
        except TimeoutError:
            self.history.note("an agent's answer did not come")
            raise TimeoutError(f"{agent.name} did not answer") from None


def _settle(answer: asyncio.Future[Outcome] | None, outcome: Outcome) -> None:
    if answer is not None and not answer.done():
        answer.set_result(outcome)
