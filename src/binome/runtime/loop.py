"""The loop: fold all that is pending, decide once, record, then execute.

    ┌► follow the journal ► fold ► decide ► append the record ─► back: it is folded as everybody else's is
    │                                └───► carry out the commands of plans that are in the journal
    └──────── outcomes become drafts, recorded with the next decision ◄┘

The order is the contract. A command is carried out only when its plan was read back from the journal, because only
what was folded is in the state that `decide` sees. Commands are carried out at least once: until an outcome is in the
journal they are named by every decision, also of the next leader; while one is under way its id keeps it from being
begun again. Without leadership nothing is decided and nothing new is begun; what is under way ends, and its outcome,
which is the next leader's to find out, is let go.

A decision is appended only to the journal that it was made from; where that has moved on it is made again. A journal
that can be neither read nor written ends nothing: it is told as a problem, and tried again.
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
from binome.ports import AppendUnknownError, Clock, Driver, Journal, MovedOnError, NotLeaderError, Observer, Shown

IDLE_S = 5.0
"""How long the loop waits for something to happen before it looks again anyway."""
TRY_AGAIN_S = 0.5
"""How long it waits after the journal failed it."""
FIND_OUT_S = 0.05
"""How long it waits after an answer of the journal was lost: a takeover may wait for it."""
LEAST_S = 0.01
"""How long it waits at least for a time that a decider named: one that has passed must not make it spin."""
DEADLINE_S = 60.0
"""After so long the outcome of a command is unknown, whatever its driver still does."""


@dataclass(slots=True)
class _UnderWay:
    """A command that is being carried out: at most one a plan, so that nothing is undone while it is still done."""

    command: Command
    task: asyncio.Task[None]


@dataclass(slots=True)
class Loop:
    """One server's loop. `name` is the server; `drivers` carry out verbs by the word before their first dot.

    `shown` is kept as the state says on every server, whoever leads; what `observers` have seen becomes facts here
    where this server leads.
    """

    name: str
    estate: Estate
    journal: Journal
    drivers: Mapping[str, Driver]
    clock: Clock
    deciders: tuple[Decider, ...] = DECIDERS
    shown: Sequence[Shown] = ()
    observers: Sequence[Observer] = ()
    state: State = field(default_factory=State)
    _under_way: dict[str, _UnderWay] = field(default_factory=dict)  # by plan
    _outcomes: dict[str, Draft] = field(default_factory=dict)  # what came of commands, not in the journal yet
    _patience_s: float = IDLE_S  # of the next turn
    _wake_at_ms: int | None = None  # when the last decision wants the next
    _problems: dict[str, str] = field(default_factory=dict)  # what does not work now → why
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
        if not await self._fold():
            return
        self._show()
        generation = self.journal.generation
        if generation is None:
            self._outcomes.clear()
            self._problems.pop("writing", None)  # it is another one's to write; that nobody leads is said elsewhere
            return
        now_ms = self.clock.now_ms()
        decision = decide(self.estate, self.state, now_ms, generation=generation, deciders=self.deciders)
        observed = [draft for one in self.observers for draft in one.observed(self.state, now_ms)]
        drafts = (*self.journal.submitted(), *observed, *self._outcomes.values(), *decision.record)
        if not drafts:
            self._problems.pop("writing", None)  # what could not be written is not wanted any more
        elif not await self._record(drafts):
            return
        self._wake_at_ms = decision.wake_at_ms
        for command in decision.execute:
            self._begin(command)

    def nudge(self) -> None:
        """Makes the loop look at once: an observer has something new."""
        self._news.set()

    def problems(self) -> list[str]:
        """What keeps this server from going on, if anything does."""
        return list(self._problems.values())

    async def _fold(self) -> bool:
        """Waits until something has happened or is due, and takes in all that is in the journal; whether it could."""
        entries = await self._awaited()
        while entries:
            for entry in entries:
                self.state.apply(entry)
            await asyncio.sleep(0)  # a long journal must not keep the door shut
            entries = await self._read(0)
        if entries is None:
            await self.clock.sleep(TRY_AGAIN_S)
            self._patience_s = 0  # what has become due meanwhile waits for nothing else
        return entries is not None

    def _show(self) -> None:
        try:
            for one in self.shown:
                one.show(self.state)
        except OSError as error:
            self._problems["showing"] = f"{error.filename}: {error.strerror}"
        else:
            self._problems.pop("showing", None)

    async def _read(self, timeout_s: float) -> Sequence[Entry] | None:
        """What follows in the journal; None where it cannot be read, which is a problem until it can."""
        try:
            entries = await self.journal.follow(self.state.head.sequence, timeout_s)
        except Exception as error:  # a file that is damaged, a mirror that has forked: a person's to mend
            self._problems["reading"] = f"the journal cannot be read: {error}"
            return None
        self._problems.pop("reading", None)
        return entries

    def _next_patience_s(self) -> float:
        patience_s, self._patience_s = self._patience_s, IDLE_S
        wake_at_ms, self._wake_at_ms = self._wake_at_ms, None
        now_ms = self.clock.now_ms()
        due_ms = self.state.next_due_ms(now_ms)
        wakes = [max((at_ms - now_ms) / 1000, LEAST_S) for at_ms in (due_ms, wake_at_ms) if at_ms is not None]
        return min([patience_s, *wakes])

    async def _awaited(self) -> Sequence[Entry] | None:
        following = asyncio.ensure_future(self._read(self._next_patience_s()))
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
            await self.journal.append(drafts, after=self.state.head.sequence)
        except (NotLeaderError, MovedOnError):
            return False  # what the journal has moved on by is there to be followed, so the next turn begins at once
        except AppendUnknownError as error:  # the journal finds out first, and refuses at once while it cannot
            self._problems["writing"] = f"the journal cannot be written: {error}"
            self._patience_s = FIND_OUT_S
            return False
        except Exception as error:  # a full disk, a mirror that has forked
            self._problems["writing"] = f"the journal cannot be written: {error}"
            self._patience_s = TRY_AGAIN_S
            return False
        self._problems.pop("writing", None)
        for draft in drafts:
            self._outcomes.pop(draft.id, None)
        return True

    def _begin(self, command: Command) -> None:
        if command.plan not in self._under_way and not self._is_told(command):
            self._under_way[command.plan] = _UnderWay(command, asyncio.ensure_future(self._see_through(command)))

    def _is_told(self, command: Command) -> bool:
        """Whether its outcome is known here already, and only not yet folded; also where that cannot be said."""
        try:
            return self._outcome_id(command) in self._outcomes or self.journal.has(self._outcome_id(command))
        except Exception as error:
            self._problems["reading"] = f"the journal cannot be read: {error}"
            self._patience_s = TRY_AGAIN_S
            return True

    def _outcome_id(self, command: Command) -> str:
        return f"{command.id}/ended/{self.state.plans[command.plan].attempts}"

    async def _see_through(self, command: Command) -> None:
        """Has a command carried out, and keeps what came of it; after the deadline that is unknown."""
        outcome_id = self._outcome_id(command)
        carrying = asyncio.ensure_future(self._carry_out(command))
        deadline = asyncio.ensure_future(self.clock.sleep(DEADLINE_S))
        try:
            await asyncio.wait({carrying, deadline}, return_when=asyncio.FIRST_COMPLETED)
            outcome: Outcome | None = Outcome("unknown", f"nothing came of it within {DEADLINE_S:.0f} s")
            if carrying.done():
                outcome = carrying.result()
            if outcome is not None:
                ended = StepEnded(command.plan, command.step, command.undoing, outcome.result, outcome.detail)
                self._outcomes[outcome_id] = Draft(outcome_id, self.clock.now_ms(), self.name, ended)
        finally:
            carrying.cancel()
            deadline.cancel()
            del self._under_way[command.plan]
            self._news.set()

    async def _carry_out(self, command: Command) -> Outcome | None:
        """What came of it; None where it was not begun."""
        if self.journal.generation != command.generation:
            return None  # the belief to lead has ended since we decided: while we recorded, or while we stood still
        return await self._driven(command)

    async def _driven(self, command: Command) -> Outcome:
        driver = self.drivers.get(command.verb.split(".", 1)[0])
        if driver is None:
            return Outcome("failed", f"no driver for {command.verb}")
        try:
            return await driver.carry_out(command)
        except Exception as error:  # a driver that fails in an unforeseen way may have done anything
            return Outcome("unknown", f"{type(error).__name__}: {error}")
