"""The outbox of one lookout: an SQLite file of notes (core/paging_notes.py), which needs nobody else.

Theory. It is written as the journal is (ADR 0020): one transaction a call in write-ahead mode, `synchronous=EXTRA`, and
`fullfsync`, so that what `append` took is there after the power failed. One process writes it, holding a lock that the
kernel lets go when the process ends. Unlike the journal it is a memory, not evidence: it is not hash-chained, what has
ended is forgotten after a while, and a note that was refused may be found later all the same. The notes are made so
that this harms nobody: an attempt that is found begun is of unknown outcome.

A file that is damaged must not keep pages from going out: `open_outbox` puts it aside, begins a new one, and says so.
"""

from __future__ import annotations

import fcntl
import os
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager, suppress
from pathlib import Path

import apsw
import msgspec

from binome.core.paging_notes import AnyNote
from binome.ports import StoreError

VERSION = 1
APPLICATION = 0x42696E50  # "BinP"
OLDEST_SQLITE = (3, 51, 3)  # older ones may lose committed pages (ADR 0020)
CHECKPOINT_PAGES = 1_000

_SCHEMA = """
CREATE TABLE note (sequence INTEGER PRIMARY KEY, at_ms INTEGER NOT NULL, note BLOB NOT NULL) STRICT;
CREATE INDEX note_by_time ON note (at_ms);
CREATE TABLE meta (name TEXT PRIMARY KEY, value INTEGER NOT NULL) STRICT;
INSERT INTO meta VALUES ('opened', 0);
"""
_ENCODER = msgspec.json.Encoder()
_DECODER = msgspec.json.Decoder(AnyNote)


class DamagedError(StoreError):
    """The file is not an outbox, or not whole."""


class SqliteOutbox:
    """The outbox's one writer. Implements `ports.Outbox`."""

    def __init__(self, path: Path, *, vfs: str | None = None, checkpoint_pages: int = CHECKPOINT_PAGES) -> None:
        """Opens the file, making it if there is none; its folder must be there.

        Raises StoreError where another one writes it or it cannot be written, DamagedError where it is not whole.
        `vfs` names the SQLite VFS to go through, for tests.
        """
        self._path = path
        self._checkpoint_pages = checkpoint_pages
        self._pages = 0  # in FILE-wal
        if tuple(int(part) for part in apsw.sqlite_lib_version().split(".")) < OLDEST_SQLITE:
            raise StoreError(f"SQLite {apsw.sqlite_lib_version()} may lose pages: 3.51.3 or newer is needed")
        self._lock = _claim(path.resolve())
        self._connection: apsw.Connection | None = None
        try:
            with self._translated():
                flags = apsw.SQLITE_OPEN_READWRITE | apsw.SQLITE_OPEN_CREATE
                self._connection = apsw.Connection(str(path), flags=flags, vfs=vfs)
                self._begin(self._connection)
        except BaseException:
            self.close()
            raise

    def append(self, notes: Sequence[AnyNote]) -> None:
        """Adds notes; durable when it returns. Raises StoreError: then they may or may not be found later."""
        if not notes:
            return
        connection = self._open()
        rows = [(note.at_ms, _ENCODER.encode(note)) for note in notes]
        with self._translated(), _transaction(connection):
            connection.executemany("INSERT INTO note (at_ms, note) VALUES (?, ?)", rows)
        if self._pages >= self._checkpoint_pages:
            with suppress(apsw.Error):  # what was appended is durable; it is tried again after the next
                connection.wal_checkpoint()

    def read(self) -> list[AnyNote]:
        """Every note that this version knows, in order. Raises StoreError."""
        notes = []
        with self._translated():
            for (raw,) in self._open().execute("SELECT note FROM note ORDER BY sequence"):
                with suppress(msgspec.MsgspecError):  # of a newer version: what it says is not for us
                    notes.append(_DECODER.decode(raw))
        return notes

    def forget(self, before_ms: int) -> None:
        """Lets go of the notes of a time before. Raises StoreError."""
        connection = self._open()
        with self._translated(), _transaction(connection):
            connection.execute("DELETE FROM note WHERE at_ms < ?", (before_ms,))

    def close(self) -> None:
        """Lets the file go."""
        if self._connection is not None:
            with suppress(apsw.Error):
                self._connection.close()
            self._connection = None
        if self._lock is not None:
            os.close(self._lock)
            self._lock = None

    def _begin(self, connection: apsw.Connection) -> None:
        connection.set_busy_timeout(2_000)
        connection.pragma("synchronous", "EXTRA")
        connection.pragma("fullfsync", 1)
        identity = connection.pragma("application_id"), connection.pragma("user_version")
        new = identity == (0, 0) and connection.execute("SELECT 1 FROM sqlite_schema").fetchone() is None
        if not new and identity[0] != APPLICATION:
            raise DamagedError(f"{self._path}: this is no outbox")
        if not new and identity[1] > VERSION:
            raise StoreError(f"{self._path}: written by a newer Binôme (schema {identity[1]}, known: {VERSION})")
        mode = connection.pragma("journal_mode", "WAL")
        if mode != "wal":
            raise StoreError(f"{self._path}: it cannot be written ahead here (journal mode {mode})")
        connection.set_wal_hook(self._grown)
        if new:
            with _transaction(connection):
                connection.execute(_SCHEMA)
                connection.pragma("application_id", APPLICATION)
                connection.pragma("user_version", VERSION)
        found = connection.execute("PRAGMA integrity_check(1)").fetchone()
        if found is not None and found[0] != "ok":
            raise DamagedError(f"{self._path}: the file is damaged: {found[0]}")
        # Makes durable what a process before this one may have written and not synced.
        connection.execute("UPDATE meta SET value = value + 1 WHERE name = 'opened'")

    def _grown(self, _connection: apsw.Connection, _database: str, pages: int) -> int:
        self._pages = pages
        return apsw.SQLITE_OK

    def _open(self) -> apsw.Connection:
        if self._connection is None:
            raise StoreError(f"{self._path}: it is closed")
        return self._connection

    @contextmanager
    def _translated(self) -> Iterator[None]:
        try:
            yield
        except (apsw.CorruptError, apsw.NotADBError) as error:
            raise DamagedError(f"{self._path}: the file is damaged: {error}") from error
        except (apsw.Error, OSError) as error:
            raise StoreError(f"{self._path}: {error}") from error


def open_outbox(path: Path, *, vfs: str | None = None) -> tuple[SqliteOutbox | None, str | None]:
    """The outbox at `path`, and what is wrong with it, one line.

    A damaged one is put aside under another name and a new one begun; where none can be had there is None, and pages go
    out all the same, from memory alone.
    """
    try:
        return SqliteOutbox(path, vfs=vfs), None
    except DamagedError as error:
        aside = path.with_name(f"{path.name}-damaged-{time.time_ns() // 1_000_000}")
        try:
            path.rename(aside)
            for beside in ("-wal", "-shm"):
                Path(f"{path}{beside}").unlink(missing_ok=True)
            return SqliteOutbox(path, vfs=vfs), f"{error}; it lies at {aside.name}, and some pages may come twice"
        except (StoreError, OSError) as again:
            return None, f"{again}; pages are kept in memory alone"
    except StoreError as error:
        return None, f"{error}; pages are kept in memory alone"


@contextmanager
def _transaction(connection: apsw.Connection) -> Iterator[None]:
    connection.execute("BEGIN IMMEDIATE")
    try:
        yield
        connection.execute("COMMIT")
    except BaseException:
        with suppress(apsw.Error):
            if connection.in_transaction:
                connection.execute("ROLLBACK")
        raise


def _claim(path: Path) -> int | None:
    """The lock of the one writer, as a file descriptor. Raises StoreError where another process has it."""
    try:
        lock = os.open(f"{path}-writer", os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
    except OSError as error:
        raise StoreError(f"{path}: it cannot be written here: {error.strerror}") from error
    try:
        fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except OSError as error:
        os.close(lock)
        raise StoreError(f"{path}: another process writes it already") from error
    return lock
