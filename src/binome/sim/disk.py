"""A disk, and the mirror on it: what was written and not yet synced is lost in a crash, wholly or from some byte on.

The store appends one frame a call: its length, a checksum, the entries; then it syncs. After a crash it reads frames
up to the first that is torn, and cuts the file there. A fault may kill the machine at any boundary of an append:
before the write, before the sync, and after the sync before the caller hears of it.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from hashlib import sha256
from random import Random

from binome.core.entry import EMPTY, Entry, Head, decode, encode, follows
from binome.ports import StoreError

BOUNDARIES = ("before the write", "before the sync", "after the sync")
_LENGTH, _SUM = 4, 8


@dataclass(slots=True)
class File:
    """A file on a disk. `full`, `failing` and `read_only` count the faults that make it so."""

    chance: Random
    durable: bytearray = field(default_factory=bytearray)
    unsynced: bytearray = field(default_factory=bytearray)
    full: int = 0
    failing: int = 0
    read_only: int = 0
    writer: object = None
    at_boundary: Callable[[str], None] = lambda _boundary: None
    torn_tails: int = 0

    def write(self, data: bytes) -> None:
        """Adds to the end. Raises OSError; then a part of it may have been added."""
        self.at_boundary(BOUNDARIES[0])
        if self.read_only:
            raise OSError("read-only file system")
        if self.full:
            self.unsynced += data[: len(data) // 2]
            raise OSError("no space left on device")
        self.unsynced += data

    def sync(self) -> None:
        """Makes what was written durable. Raises OSError; then nobody knows what is."""
        self.at_boundary(BOUNDARIES[1])
        if self.failing:
            raise OSError("input/output error")
        self.durable += self.unsynced
        self.unsynced.clear()
        self.at_boundary(BOUNDARIES[2])

    def cut(self, size: int) -> None:
        """Drops what is behind a size that is durable."""
        self.unsynced.clear()
        del self.durable[size:]

    def crash(self) -> None:
        """The power is gone: of what was not synced, some first part is on the disk."""
        if self.unsynced:
            self.durable += self.unsynced[: self.chance.randint(0, len(self.unsynced))]
            self.unsynced.clear()
        self.writer = None

    def replace(self) -> None:
        """The disk is another one, on which there is nothing."""
        self.durable.clear()
        self.unsynced.clear()
        self.writer = None


class SimulatedStore:
    """`ports.Store` over a simulated file. `mirrored` is told of what has become durable."""

    def __init__(self, file: File, mirrored: Callable[[Sequence[Entry]], None] = lambda _entries: None) -> None:
        if file.writer is not None:
            raise StoreError("another one writes to this file")
        if file.read_only:
            raise StoreError("the file is read-only")
        self._file, self._mirrored = file, mirrored
        self._entries: list[Entry] = []
        self._ids: set[str] = set()
        self._size = 0  # of what is known to be whole
        self._recover()
        file.writer = self

    def _recover(self) -> None:
        data = bytes(self._file.durable)
        while (frame := _frame(data, self._size)) is not None:
            self._keep(decode(frame))
            self._size += _LENGTH + _SUM + len(frame)
        if self._size < len(data):
            self._file.torn_tails += 1
        self._file.cut(self._size)

    def _keep(self, entries: Sequence[Entry]) -> None:
        self._entries += entries
        self._ids.update(entry.id for entry in entries)

    def append(self, entries: Sequence[Entry]) -> None:
        """Adds entries that follow the head."""
        if self._file.writer is not self:
            raise StoreError("this store is closed")
        head = self.head()
        ids: set[str] = set()
        for entry in entries:
            reason = follows(entry, head)
            if reason is not None:
                raise ValueError(f"entry {entry.sequence} is {reason}")
            if entry.id in self._ids or entry.id in ids:
                raise ValueError(f"entry {entry.sequence} has the id of another, {entry.id}")
            ids.add(entry.id)
            head = entry.head
        if not entries:
            return
        body = encode(entries)
        frame = len(body).to_bytes(_LENGTH, "big") + sha256(body).digest()[:_SUM] + body
        try:
            self._file.write(frame)
            self._file.sync()
        except OSError as error:
            self._file.cut(self._size)
            raise StoreError(str(error)) from None
        self._size += len(frame)
        self._keep(entries)
        self._mirrored(entries)

    def read(self, after: int, limit: int = 1000) -> list[Entry]:
        """The entries that follow number `after`."""
        return self._entries[max(after, 0) : max(after, 0) + limit]

    def head(self) -> Head:
        """The end of what is in the store."""
        return self._entries[-1].head if self._entries else EMPTY

    def has(self, draft_id: str) -> bool:
        """Whether an entry with this id is in the store."""
        return draft_id in self._ids

    def close(self) -> None:
        """Lets the file go."""
        if self._file.writer is self:
            self._file.writer = None


def _frame(data: bytes, at: int) -> bytes | None:
    """The body of the frame that begins at a place; None where there is no whole one."""
    begin = at + _LENGTH + _SUM
    if begin > len(data):
        return None
    body = data[begin : begin + int.from_bytes(data[at : at + _LENGTH], "big")]
    whole = len(body) == int.from_bytes(data[at : at + _LENGTH], "big")
    return body if whole and sha256(body).digest()[:_SUM] == data[at + _LENGTH : begin] else None
