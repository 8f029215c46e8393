"""What etcd holds of the journal, as one lookout has seen it: a list at one revision, and every change since.

Entries are handed on as they come; everything else is kept here for those who append, campaign and tidy up. A value
that cannot be read is passed over, and said: it is somebody else's, or of a version to come.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from contextlib import suppress

import msgspec

from binome.core.entry import Draft, Entry, Head, UnknownFact, decode
from binome.journal.agreed import LISTED_AT_ONCE, GapError, Leader, MirrorMark, Request
from binome.ports import Change, CompactedError, Etcd, Range


class EtcdView:
    """The view of what lies below `root`.

    `came` takes in entries, and returns the number of the last entry in our mirror, also when it is called with none;
    `listed` is told etcd's head before a list is taken in, `changed` whenever anything is new. The first two may raise
    ForkError, `came` StoreError: then the view has not moved on, and the change comes again.
    """

    def __init__(
        self,
        root: str,
        etcd: Etcd,
        *,
        came: Callable[[Sequence[Entry]], int],
        listed: Callable[[Head], None],
        changed: Callable[[], None],
    ) -> None:
        self.root = root
        self._etcd, self._came, self._compare, self._changed = etcd, came, listed, changed
        self.head: Head | None = None  # None while etcd has none, or nothing was listed
        self.head_revision = 0
        self.leader: Leader | None = None
        self.newest = 0  # the newest generation that etcd knows of, and the revision of its key
        self.newest_revision = 0
        self.batches: dict[int, int] = {}  # first number → last number
        self.marks: dict[str, MirrorMark] = {}
        self.requests: dict[str, Draft] = {}
        self.lacking: dict[str, int] = {}  # lookout → the number after which it lacks what etcd has no more
        self.called = 0  # the revision of the last roll call
        self.unreadable: dict[str, str] = {}  # key → why
        self._revision = 0  # the newest of etcd's that was taken in
        self._listed = False  # since the watch began

    async def follow(self, listed: Callable[[], None]) -> None:
        """Lists once, calls `listed`, and watches from there until a compaction has passed us or a list was read."""
        revision = await self.read()
        self._listed = False
        listed()
        with suppress(CompactedError):
            async for changes in self._etcd.watch(self.root, revision + 1):
                if self._listed:
                    return  # a list was read meanwhile: it may have had these, or be of an etcd that was rebuilt
                self._take_in(changes)
                self._revision = max(self._revision, changes[-1].mod_revision)
                self._changed()

    async def read(self) -> int:
        """Reads everything below the root at one revision, and takes it in; that revision.

        Raises GapError where our mirror then still ends before etcd's head.
        """
        while True:
            before = self._revision
            pages = await self._pages()
            revision = pages[0].revision
            if not before <= revision < self._revision:
                break  # else the watch has overtaken the list meanwhile
        self._listed = True
        self.batches.clear()
        self.marks.clear()
        self.requests.clear()
        self.lacking.clear()
        self.unreadable.clear()
        self.head, self.head_revision = None, 0
        self.newest, self.newest_revision = 0, 0
        self.leader = None
        self.called = 0  # an etcd that was rebuilt counts anew: a roll call of the other one answers none of this
        found = [Change(one.key, one.value, one.mod_revision) for page in pages for one in page.keys]
        self._take_in(change for change in found if change.key == f"{self.root}head")
        if self.head is not None:
            self._compare(self.head)
        self._take_in(found)
        last = self._came(())
        if self.head is not None and last < self.head.sequence:
            raise GapError(f"entries {last + 1} to {self.head.sequence} are not in etcd any more")
        self._revision = revision  # only now: what a full disk kept out, the watch must still bring
        self._changed()
        return revision

    async def _pages(self) -> list[Range]:
        """All keys below the root at one revision, a bounded answer at a time; begun anew after a compaction."""
        while True:
            pages = [await self._etcd.range(self.root, prefix=True, limit=LISTED_AT_ONCE)]
            revision = pages[0].revision
            with suppress(CompactedError):
                while pages[-1].more:
                    last = pages[-1].keys[-1].key
                    page = self._etcd.range(self.root, prefix=True, limit=LISTED_AT_ONCE, revision=revision, after=last)
                    pages.append(await page)
                return pages

    def appended(self, entries: Sequence[Entry], revision: int) -> None:
        """Takes in that etcd has taken these entries, which are ours, at a revision."""
        self.head, self.head_revision = entries[-1].head, revision
        self.batches[entries[0].sequence] = entries[-1].sequence

    def founded(self, head: Head, revision: int) -> None:
        """Takes in that etcd has taken our head, because it had none, or an older one."""
        self.head, self.head_revision = head, revision

    def _take_in(self, changes: Iterable[Change]) -> None:
        gap: GapError | None = None
        for change in changes:
            try:
                self._take_in_one(change)
                self.unreadable.pop(change.key, None)
            except GapError as error:  # everything else that etcd holds must be known all the same
                gap = gap or error
            except ValueError as error:
                self.unreadable[change.key] = f"{change.key} in etcd cannot be read: {error}"
        if gap is not None:
            raise gap

    def _take_in_one(self, change: Change) -> None:
        key, value, revision = change
        kind, _, name = key.removeprefix(self.root).partition("/")
        match kind:
            case "batch":
                self._batch_changed(int(name), value)
            case "head":
                self._head_changed(value, revision)
            case "leader":
                self.leader = None if value is None else msgspec.json.decode(value, type=Leader)
            case "generation" if value is not None and revision > self.newest_revision:
                self.newest, self.newest_revision = int(value), revision
            case "mirror" if value is not None:
                self.marks[name] = msgspec.json.decode(value, type=MirrorMark)
            case "call":
                self.called = revision
            case "request" if value is not None:
                request = msgspec.json.decode(value, type=Request)
                self.requests[name] = Draft(name, request.at_ms, request.origin, UnknownFact(bytes(request.fact)))
            case "request":
                self.requests.pop(name, None)
            case "lacking" if value is not None:
                self.lacking[name] = int(value)
            case "lacking":
                self.lacking.pop(name, None)

    def _head_changed(self, value: bytes | None, revision: int) -> None:
        if revision > self.head_revision:
            self.head = msgspec.json.decode(value, type=Head) if value is not None else None
            self.head_revision = revision if value is not None else 0

    def _batch_changed(self, first: int, value: bytes | None) -> None:
        if value is None:
            self.batches.pop(first, None)
            return
        entries = decode(value)
        self.batches[first] = entries[-1].sequence
        self._came(entries)
