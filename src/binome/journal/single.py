"""The journal of a single server: a store, and nobody to agree with.

Whoever opens the store for writing leads, because the store has one writer. Each opening is a generation of its own,
above all that the store knows and above all that was accepted of an earlier store: whoever carries out commands refuses
those of an older generation, and remembers it longer than a store that was lost.
"""

from __future__ import annotations

import asyncio
from collections.abc import Sequence

from binome.core.entry import Draft, Entry, seal
from binome.journal.patience import first_of
from binome.ports import Clock, MovedOnError, Standing, Store


class SingleJournal:
    """A `Journal` over one store."""

    def __init__(self, store: Store, clock: Clock, *, above: int = 0) -> None:
        """`above` is the newest generation that was accepted anywhere; the journal's own is newer."""
        self._store = store
        self._clock = clock
        self._changed = asyncio.Event()
        self.generation: int | None = max(store.head().generation, above) + 1

    @property
    def led(self) -> bool:
        """Whether somebody leads: we do."""
        return True

    async def append(self, drafts: Sequence[Draft], *, after: int | None = None) -> None:
        """Adds facts; durable when it returns. Raises StoreError or MovedOnError, with nothing added."""
        if after is not None and self._store.head().sequence != after:
            raise MovedOnError(f"entry {self._store.head().sequence} is newer than what was decided from")
        fresh = {draft.id: draft for draft in drafts if not self._store.has(draft.id)}
        if fresh:
            self._store.append(seal(fresh.values(), self._store.head(), self.generation or 0))
            self._changed.set()

    async def follow(self, after: int, timeout_s: float) -> Sequence[Entry]:
        """Entries after number `after`, as soon as there are any; none after `timeout_s`."""
        if timeout_s > 0 and self._store.head().sequence <= after:
            await first_of(self._changed.wait(), self._clock.sleep(timeout_s))
            self._changed.clear()
        return self._store.read(after)

    def standing(self) -> Standing:
        """How it stands: whoever has opened it leads, and knows his name himself."""
        return Standing("")

    def problems(self) -> list[str]:
        """None that it would know of."""
        return []

    async def run(self) -> None:
        """Nothing has to run: there is nobody to agree with."""

    def has(self, draft_id: str) -> bool:
        """Whether a fact with this id is in the journal."""
        return self._store.has(draft_id)

    async def submit(self, draft: Draft) -> None:
        """Appends a person's request at once: we lead."""
        await self.append([draft])

    def submitted(self) -> Sequence[Draft]:
        """None ever waits."""
        return ()
