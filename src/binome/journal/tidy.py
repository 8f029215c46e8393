"""Tidying up: etcd is shared with Patroni, so what every mirror has is trimmed from it, and its size is watched.

A batch is trimmed once all configured mirrors have it, or after a bound: a mirror that is away must not fill etcd. What
was trimmed is forgotten, by a compaction, one round later: watches that lag behind a little need no new list.
"""

from __future__ import annotations

from collections.abc import Sequence

from binome.journal.agreed import KEPT_AT_MOST, LARGE_BYTES, TRIM_EVERY_S, TRIMMED_AT_ONCE, batch_key
from binome.journal.campaign import Campaign
from binome.journal.view import EtcdView
from binome.ports import Clock, Compare, Delete, Etcd


class Tidy:
    """Trims while we lead; watches the size whoever leads."""

    def __init__(self, members: Sequence[str], view: EtcdView, campaign: Campaign, *, etcd: Etcd, clock: Clock) -> None:
        self._members, self._view, self._campaign = tuple(members), view, campaign
        self._etcd, self._clock = etcd, clock
        self._trimmed_at = 0  # the revision of the last trimming
        self._size_bytes = 0

    async def round(self) -> None:
        """Waits a while; trims what every mirror has, and lets etcd forget what was trimmed the time before."""
        await self._clock.sleep(TRIM_EVERY_S)
        status = await self._etcd.status()
        self._size_bytes = status.size_bytes
        reign, head = self._campaign.reign, self._view.head
        if status.revision < self._trimmed_at:
            self._trimmed_at = 0  # an etcd that was rebuilt counts anew
        if reign is None or head is None:
            return
        marks = self._view.marks
        mirrored = min(marks[name].sequence if name in marks else 0 for name in self._members)
        mirrored = max(mirrored, head.sequence - KEPT_AT_MOST)
        old = [first for first, last in sorted(self._view.batches.items()) if last <= mirrored]
        revision = await self._trim(old, self._campaign.still_ours(reign))
        forgotten, self._trimmed_at = self._trimmed_at, revision or self._trimmed_at
        if revision and forgotten:
            await self._etcd.compact(forgotten)

    @property
    def size_bytes(self) -> int:
        """How much etcd holds, when it was asked last; 0 before."""
        return self._size_bytes

    def problems(self) -> list[str]:
        """What etcd's size will soon keep us from."""
        if self._size_bytes <= LARGE_BYTES:
            return []
        return [f"etcd holds {self._size_bytes >> 20} MiB; at its quota it refuses every write"]

    async def _trim(self, batches: Sequence[int], still_ours: Compare) -> int:
        """Removes batches, by their first numbers, while we lead; the revision after it, 0 where none went."""
        revision = 0
        for begin in range(0, len(batches), TRIMMED_AT_ONCE):
            few = batches[begin : begin + TRIMMED_AT_ONCE]
            committed = await self._etcd.transact(
                [still_ours], [Delete(batch_key(self._view.root, first)) for first in few]
            )
            if not committed.succeeded:
                return 0
            revision = committed.revision
        return revision
