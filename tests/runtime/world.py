"""A single server in memory: a store, a clock that is set by hand, and hands that write down what they were told."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Sequence
from pathlib import Path

from binome.core.entry import EMPTY, Draft, Entry, Fact, Head, follows
from binome.core.plan import Command, Outcome
from binome.estate import load
from binome.journal.single import SingleJournal
from binome.ports import StoreError
from binome.runtime.loop import Loop

LITTORAL = load((Path(__file__).parents[2] / "examples" / "littoral" / "estate.yaml").read_bytes())
QUIET = LITTORAL.model_copy(update={"backups": {}})
"""The same without backups: nothing is due in it by itself."""


class MemoryStore:
    def __init__(self) -> None:
        self.entries: list[Entry] = []
        self.full = False
        self.damaged = False

    def append(self, entries: Sequence[Entry]) -> None:
        if self.full:
            raise StoreError("the disk is full")
        assert follows(entries[0], self.head()) is None
        self.entries += entries

    def read(self, after: int, limit: int = 1000) -> list[Entry]:
        if self.damaged:
            raise StoreError("entry 1 is altered")
        return self.entries[after : after + limit]

    def head(self) -> Head:
        return self.entries[-1].head if self.entries else EMPTY

    def has(self, draft_id: str) -> bool:
        if self.damaged:
            raise StoreError("entry 1 is altered")
        return any(entry.id == draft_id for entry in self.entries)

    def close(self) -> None:
        pass


class HandClock:
    """Time stands still until `pass_` moves it; those who sleep wake in between."""

    def __init__(self) -> None:
        self.now_s = 0.0
        self._moved = asyncio.Event()

    def now_ms(self) -> int:
        return round(self.now_s * 1000)

    def monotonic_s(self) -> float:
        return self.now_s

    async def sleep(self, seconds: float) -> None:
        until_s = self.now_s + seconds
        while self.now_s < until_s:
            await self._moved.wait()

    async def pass_(self, seconds: float) -> None:
        self.now_s += seconds
        self._moved.set()
        self._moved = asyncio.Event()
        await settle()


class Hands:
    """A driver that answers what it is told to, and remembers the commands."""

    def __init__(self) -> None:
        self.commands: list[Command] = []
        self.answers: list[Outcome | Exception] = []
        self.holding: asyncio.Event | None = None  # commands wait for it

    async def carry_out(self, command: Command) -> Outcome:
        self.commands.append(command)
        if self.holding is not None:
            await self.holding.wait()
        answer = self.answers.pop(0) if self.answers else Outcome("done")
        if isinstance(answer, Exception):
            raise answer
        return answer


async def settle() -> None:
    """Lets everything happen that can happen without time passing."""
    for _ in range(200):
        await asyncio.sleep(0)


class World:
    def __init__(self, store: MemoryStore | None = None) -> None:
        self.store = store or MemoryStore()
        self.clock = HandClock()
        self.hands = Hands()
        self.journal = SingleJournal(self.store, self.clock)
        self.loop = Loop("par-watch", QUIET, self.journal, {"maintenance": self.hands}, self.clock)
        self._task: asyncio.Task[None] | None = None

    async def start(self) -> None:
        self._task = asyncio.ensure_future(self.loop.run())
        await settle()

    async def crash(self) -> None:
        """Ends the loop where it stands; what is in the store stays."""
        if self._task is not None:
            self._task.cancel()
            await asyncio.gather(self._task, return_exceptions=True)

    async def happens(self, *facts: Fact) -> None:
        for fact in facts:
            await self.journal.submit(Draft(f"asked/{len(self.store.entries)}", self.clock.now_ms(), "test", fact))
        await settle()

    def kinds(self) -> list[str]:
        return [_kind(entry) for entry in self.store.entries]


def _kind(entry: Entry) -> str:
    import msgspec

    return str(msgspec.json.decode(bytes(entry.fact))["kind"])


def run(test: Callable[[], object]) -> None:
    """Runs an async test in an event loop of its own."""
    asyncio.run(test())  # type: ignore[arg-type]
