"""A disk that can lose its power: an SQLite VFS that keeps files in memory, and a log of all that was done to them.

    Machine   a folder of files, with the VFS that SQLite reaches them through; remembers every operation
    after()   the files as they may be found when the power failed after the first operations of a log
    Fate      which of the operations that were not synced happened all the same, and which of their sectors

The rules are those of a file system that promises no more than it must. Bytes are safe once their file was synced.
A name is safe once its folder was synced, which SQLite's own VFS does at the first sync of a new journal or
write-ahead file and at a delete that asks for it. All else may happen or not, whole, in part, or as garbage, sector by
sector. Locks and shared memory are the base VFS's, on empty files, and are gone with the machine.
"""

from __future__ import annotations

import contextlib
import itertools
import random
from collections.abc import Callable, Iterable, Mapping, Sequence
from pathlib import Path
from typing import Literal, NamedTuple, Protocol

import apsw

SECTOR = 512


class Operation(NamedTuple):
    """One call that changed something. `mark` is the test's own: what it had been told by then."""

    kind: Literal["create", "write", "truncate", "sync", "delete", "mark"]
    name: str
    file: int = 0  # two files may have the same name, one after the other
    offset: int = 0
    data: bytes = b""
    sync: bool = False  # of a delete: the folder too
    told: object = None  # of a mark


class Machine:
    """A folder of files, empty or as a machine before it left them. `fault` may raise instead of an operation."""

    _count = itertools.count()

    def __init__(self, folder: Path, files: Mapping[str, bytes] | None = None) -> None:
        self.folder = folder / f"machine-{next(self._count)}"
        self.folder.mkdir()
        self.found = dict(files or {})
        self.names = {name: number for number, name in enumerate(self.found)}
        self.files = {number: bytearray(content) for number, content in enumerate(self.found.values())}
        self.log: list[Operation] = []
        self.fault: Callable[[Operation], None] | None = None
        self.read_only = False
        self.vfs = f"power-{self.folder.name}-{id(self)}"
        self._vfs = _Vfs(self)

    @property
    def path(self) -> Path:
        """The journal's path on this machine."""
        return self.folder / "journal.sqlite"

    def mark(self, told: object) -> None:
        """Notes what the test was told."""
        self.log.append(Operation("mark", "", told=told))

    def did(self, operation: Operation) -> None:
        """An operation of SQLite, if the disk lets it."""
        if self.fault is not None:
            self.fault(operation)
        self.log.append(operation)
        if operation.kind == "create":
            self.names[operation.name] = operation.file
            self.files[operation.file] = bytearray()
        elif operation.kind == "delete":
            self.names.pop(operation.name, None)
        elif operation.kind in ("write", "truncate"):
            _apply(self.files[operation.file], operation)


def _apply(content: bytearray, operation: Operation) -> None:
    if operation.kind == "truncate":
        del content[operation.offset :]
        return
    content.extend(bytes(max(0, operation.offset - len(content))))
    content[operation.offset : operation.offset + len(operation.data)] = operation.data


class _Vfs(apsw.VFS):
    def __init__(self, machine: Machine) -> None:
        super().__init__(machine.vfs, "unix")
        self._machine = machine

    def xOpen(self, name: str | apsw.URIFilename | None, flags: list[int]) -> _File:  # noqa: N802
        file = _File(self._machine, name, flags)
        if self._machine.read_only and flags[0] & apsw.SQLITE_OPEN_MAIN_DB:
            flags[1] = flags[1] & ~apsw.SQLITE_OPEN_READWRITE | apsw.SQLITE_OPEN_READONLY
        return file

    def xDelete(self, filename: str, syncdir: bool) -> None:  # noqa: N802
        self._machine.did(Operation("delete", Path(filename).name, sync=syncdir))
        with contextlib.suppress(apsw.Error):
            super().xDelete(filename, False)

    def xAccess(self, pathname: str, _flags: int) -> bool:  # noqa: N802
        return Path(pathname).name in self._machine.names


class _File(apsw.VFSFile):
    def __init__(self, machine: Machine, name: str | apsw.URIFilename | None, flags: list[int]) -> None:
        # The base's file is there for its locks alone, which need it open to write; what is refused is refused here.
        base = flags[0] & ~apsw.SQLITE_OPEN_READONLY | apsw.SQLITE_OPEN_READWRITE | apsw.SQLITE_OPEN_CREATE
        super().__init__("unix", name, [base, 0])
        flags[1] = flags[0]
        self._machine = machine
        path = name.filename() if isinstance(name, apsw.URIFilename) else str(name)
        self._name = Path(path).name
        if self._name not in machine.names:
            machine.did(Operation("create", self._name, len(machine.files)))
        self._number = machine.names[self._name]

    def xRead(self, amount: int, offset: int) -> bytes:  # noqa: N802
        return bytes(self._machine.files[self._number][offset : offset + amount])

    def xWrite(self, data: bytes, offset: int) -> None:  # noqa: N802
        self._machine.did(Operation("write", self._name, self._number, offset, bytes(data)))

    def xTruncate(self, newsize: int) -> None:  # noqa: N802
        self._machine.did(Operation("truncate", self._name, self._number, newsize))

    def xSync(self, _flags: int) -> None:  # noqa: N802
        self._machine.did(Operation("sync", self._name, self._number))

    def xFileSize(self) -> int:  # noqa: N802
        return len(self._machine.files[self._number])


# -- what may be left


class Fate(Protocol):
    """What happened to operations that nobody had synced."""

    def names(self, pending: Sequence[Operation]) -> Iterable[Operation]:
        """Those creations and deletions that happened."""

    def content(self, durable: bytes, pending: Sequence[Operation]) -> bytes:
        """What is left of a file."""


class Prefix:
    """The first `share` of what was done happened, in order, and nothing else: none at 0, all at 1."""

    def __init__(self, share: float) -> None:
        self._share = share

    def names(self, pending: Sequence[Operation]) -> Iterable[Operation]:
        return pending[: round(len(pending) * self._share)]

    def content(self, durable: bytes, pending: Sequence[Operation]) -> bytes:
        content = bytearray(durable)
        for operation in pending[: round(len(pending) * self._share)]:
            _apply(content, operation)
        return bytes(content)


class Torn:
    """Any of what was done happened, in any part: of each sector written the new, the old, or garbage is there."""

    def __init__(self, seed: int) -> None:
        self._random = random.Random(seed)

    def names(self, pending: Sequence[Operation]) -> Iterable[Operation]:
        return pending[: self._random.randint(0, len(pending))]  # a folder's changes keep their order

    def content(self, durable: bytes, pending: Sequence[Operation]) -> bytes:
        content = bytearray(durable)
        for operation in pending:
            if operation.kind == "truncate":
                if self._random.random() < 0.5:
                    _apply(content, operation)
                continue
            for sector in _sectors(operation):
                luck = self._random.random()
                if luck < 0.45:
                    _apply(content, sector)
                elif luck < 0.55:
                    _apply(content, sector._replace(data=self._random.randbytes(len(sector.data))))
        return bytes(content)


def _sectors(write: Operation) -> Iterable[Operation]:
    begin, end = write.offset, write.offset + len(write.data)
    while begin < end:
        until = min(end, (begin // SECTOR + 1) * SECTOR)
        yield write._replace(offset=begin, data=write.data[begin - write.offset : until - write.offset])
        begin = until


NOTHING, EVERYTHING = Prefix(0), Prefix(1)


def after(found: Mapping[str, bytes], log: Iterable[Operation], fate: Fate) -> dict[str, bytes]:
    """The files that are there when the power failed after the operations of `log`; `found` were there before."""
    durable = dict(enumerate(found.values()))
    names = {name: number for number, name in enumerate(found)}
    pending: dict[int, list[Operation]] = {number: [] for number in durable}
    pending_names: list[Operation] = []
    for operation in log:
        if operation.kind in ("create", "delete"):
            pending_names.append(operation)
            if operation.kind == "create":
                durable[operation.file], pending[operation.file] = b"", []
        elif operation.kind in ("write", "truncate"):
            pending[operation.file].append(operation)
        elif operation.kind == "sync":
            durable[operation.file] = EVERYTHING.content(durable[operation.file], pending[operation.file])
            pending[operation.file].clear()
        if _syncs_folder(operation, pending_names):
            _rename(names, pending_names)
            pending_names.clear()
    _rename(names, fate.names(pending_names))
    return {name: fate.content(durable[number], pending[number]) for name, number in names.items()}


def _syncs_folder(operation: Operation, pending_names: Sequence[Operation]) -> bool:
    """A delete that asks for it; the first sync of a journal or write-ahead file that is new."""
    if operation.kind == "delete":
        return operation.sync
    beside = operation.name.endswith(("-journal", "-wal"))
    return operation.kind == "sync" and beside and any(one.file == operation.file for one in pending_names)


def _rename(names: dict[str, int], operations: Iterable[Operation]) -> None:
    for operation in operations:
        if operation.kind == "create":
            names[operation.name] = operation.file
        else:
            names.pop(operation.name, None)
