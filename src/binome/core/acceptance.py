"""Acceptance: what whoever carries out commands asks of each, before it touches anything.

A command may arrive late, twice, or from a leader that was replaced and does not know it yet. Three rules, in this
order, decide what becomes of it where it lands:

    of an older generation than the newest that was seen here         refused
    behind a later command of the same plan that was accepted here    refused
    accepted here before                                              again, without harm: steps are idempotent
    else                                                              accepted

The second rule is what the generation cannot see: the first attempt of a step, lost in the network while its plan was
undone by the same leader, would be done after its undoing. What was accepted must be durable before the command is
carried out.
"""

from __future__ import annotations

from enum import StrEnum

import msgspec

from binome.core.plan import Command

PLANS_KEPT = 1000
"""Of so many plans, those that had a command last, the positions are remembered."""


class Refused(StrEnum):
    """Why a command was not accepted."""

    OLD_GENERATION = "a newer generation has spoken here"
    OVERTAKEN = "a later command of its plan was accepted here"


class Accepted(msgspec.Struct, frozen=True):
    """What one server must not forget: the newest generation that spoke, and how far each plan has come here."""

    generation: int = 0
    positions: dict[str, tuple[bool, int]] = {}  # plan → undoing, and the step, counted down while undoing

    def with_command(self, command: Command) -> Accepted | Refused:
        """What is to be remembered once this command is accepted, or why it is not."""
        if command.generation < self.generation:
            return Refused.OLD_GENERATION
        position = (command.undoing, -command.step if command.undoing else command.step)
        if position < self.positions.get(command.plan, position):
            return Refused.OVERTAKEN
        positions = {plan: at for plan, at in self.positions.items() if plan != command.plan}
        newest = list(positions.items())[-(PLANS_KEPT - 1) :]
        return Accepted(command.generation, {**dict(newest), command.plan: position})
