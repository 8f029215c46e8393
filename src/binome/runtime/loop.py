"""The loop: fold all that is pending, decide once, record, then execute.

    ┌► follow the journal ► fold ► decide ► append the record ─► back: it is folded as everybody else's is
    │                                └───► carry out the commands of plans that are in the journal
    └──────── outcomes become drafts, recorded with the next decision ◄┘

The order is the contract. A command is carried out only when its plan was read back from the journal, because only
what was folded is in the state that `decide` sees. Commands are carried out at least once: until an outcome is in the
journal they are named by every decision, also of the next leader; while one is under way its id keeps it from being
begun again. Without leadership nothing is decided and nothing new is begun; what is under way ends, and its outcome,
which is the next leader's to find out, is let go.
"""

from __future__ import annotations

import asyncio
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

from binome.core.decide import DECIDERS, Decider, decide
from binome.core.entry import Draft, Entry
from binome.core.plan import Command, Outcome, StepEnded
from binome.core.state import State
from binome.estate import Estate
from binome.ports import AppendUnknownError, Clock, Driver, Journal, NotLeaderError, StoreError

IDLE_S = 5.0
"""How long the loop waits for something to happen before it looks again anyway."""
TRY_AGAIN_S = 0.5
"""How long it waits after an append that failed."""


@dataclass(slots=True)
class _UnderWay:
    """A command that is being carried out: at most one a plan, so that nothing is undone while it is still done."""

    command: Command
    task: asyncio.Task[None]


@dataclass(slots=True)
class Loop:
    """One server's loop. `name` is the server; `drivers` carry out verbs by the word before their first dot."""

    name: str
    estate: Estate
    journal: Journal
    drivers: Mapping[str, Driver]
    clock: Clock
    deciders: tuple[Decider, ...] = DECIDERS
    state: State = field(default_factory=State)
    _under_way: dict[str, _UnderWay] = field(default_factory=dict)  # by plan
    _outcomes: dict[str, Draft] = field(default_factory=dict)  # what came of commands, not in the journal yet
    _patience_s: float = IDLE_S  # of the next turn
    _news: asyncio.Event = field(default_factory=asyncio.Event)

    async def run(self) -> None:
        """Runs until it is cancelled; what is under way is then let go, for the next leader to do again."""
        try:
            while True:
                await self.turn()
        finally:
            for one in self._under_way.values():
                one.task.cancel()

    async def turn(self) -> None:
        """One turn: at most one decision, on everything that is in the journal by now."""
        await self._fold()
        generation = self.journal.generation
        if generation is None:
            self._outcomes.clear()
            return
        now_ms = self.clock.now_ms()
        decision = decide(self.estate, self.state, now_ms, generation=generation, deciders=self.deciders)
        drafts = (*self.journal.submitted(), *self._outcomes.values(), *decision.record)
        if drafts and not await self._record(drafts):
            return
        for command in decision.execute:
            self._begin(command)

    async def _fold(self) -> None:
        """Waits until something has happened or is due, and takes in all that is in the journal."""
        entries = await self._awaited()
        while entries:
            for entry in entries:
                self.state.apply(entry)
            entries = await self.journal.follow(self.state.head.sequence, 0)

    async def _awaited(self) -> Sequence[Entry]:
        now_ms = self.clock.now_ms()
        due_ms = self.state.next_due_ms(now_ms)
        patience_s, self._patience_s = self._patience_s, IDLE_S
        if due_ms is not None:
            patience_s = min(patience_s, (due_ms - now_ms) / 1000)
        following = asyncio.ensure_future(self.journal.follow(self.state.head.sequence, patience_s))
        news = asyncio.ensure_future(self._news.wait())
        try:
            await asyncio.wait({following, news}, return_when=asyncio.FIRST_COMPLETED)
        finally:
            news.cancel()
            if not following.done():
                following.cancel()
        self._news.clear()
        return following.result() if following.done() and not following.cancelled() else ()

    async def _record(self, drafts: Sequence[Draft]) -> bool:
        """Whether the drafts are durable. If not, what is still true is decided again in the next turn."""
        try:
            await self.journal.append(drafts)
        except NotLeaderError:
            return False
        except (AppendUnknownError, StoreError):
            self._patience_s = TRY_AGAIN_S
            return False
        for draft in drafts:
            self._outcomes.pop(draft.id, None)
        return True

    def _begin(self, command: Command) -> None:
        if command.plan not in self._under_way and not self._is_told(command):
            self._under_way[command.plan] = _UnderWay(command, asyncio.ensure_future(self._carry_out(command)))

    def _is_told(self, command: Command) -> bool:
        """Whether its outcome is known here already, and only not yet folded."""
        return self._outcome_id(command) in self._outcomes or self.journal.has(self._outcome_id(command))

    def _outcome_id(self, command: Command) -> str:
        return f"{command.id}/ended/{self.state.plans[command.plan].attempts}"

    async def _carry_out(self, command: Command) -> None:
        outcome_id = self._outcome_id(command)
        try:
            if self.journal.generation != command.generation:
                return  # the belief to lead has ended since we decided: while we recorded, or while we stood still
            outcome = await self._driven(command)
            ended = StepEnded(command.plan, command.step, command.undoing, outcome.result, outcome.detail)
            self._outcomes[outcome_id] = Draft(outcome_id, self.clock.now_ms(), self.name, ended)
        finally:
            del self._under_way[command.plan]
            self._news.set()

    async def _driven(self, command: Command) -> Outcome:
        driver = self.drivers.get(command.verb.split(".", 1)[0])
        if driver is None:
            return Outcome("failed", f"no driver for {command.verb}")
        try:
            return await driver.carry_out(command)
        except Exception as error:  # a driver that fails in an unforeseen way may have done anything
            return Outcome("unknown", f"{type(error).__name__}: {error}")
