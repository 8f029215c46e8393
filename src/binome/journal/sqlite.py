"""The journal as one SQLite file: written by one, read by any number.

Theory. An append is one transaction in write-ahead mode, `synchronous=EXTRA`: SQLite writes the changed pages behind
each other into FILE-wal, syncs that file, and only then says that the transaction is done. At the first sync of a new
FILE-wal it syncs the folder too. Later, and at its leisure, it copies the pages into FILE, syncs FILE, and begins
FILE-wal anew. So whatever a power cut takes of the bytes that were not synced, an append that was acknowledged is
there, and one that was not is there wholly or not at all: every page in FILE-wal carries a checksum over all before it.
docs/adr/0020-write-ahead-with-a-sync-an-append.md compares the other modes.

Rules that hold:

- Entries are taken only if they follow the head, and given back only if they follow the one before them: what was
  altered in the file is named, never handed on.
- Who writes holds a lock on FILE-writer, which the kernel releases when the process ends. SQLite's own locks are held
  for a transaction only, and would let two writers take turns.
- An append that fails leaves nothing behind, also not for the next start: see `_withdraw`.
"""

from __future__ import annotations

import fcntl
import os
import sys
from collections.abc import Iterator, Sequence
from contextlib import contextmanager, suppress
from pathlib import Path

import apsw
from msgspec import Raw

from binome.core.entry import EMPTY, Entry, Head, follows
from binome.ports import StoreError

VERSION = 1
"""The version of the schema; a file of a newer one is refused."""
APPLICATION = 0x42696E6F  # "Bino": tells a journal from any other SQLite file
OLDEST_SQLITE = (3, 51, 3)  # older ones may lose committed pages when two connections reset the write-ahead file

CHECKPOINT_PAGES = 1_000
"""From how many pages on FILE-wal is copied into FILE: 4 MB, some 300 appends of one entry, or 6,000 in batches."""

_SCHEMA = """
CREATE TABLE entry (
    sequence INTEGER PRIMARY KEY,
    id TEXT NOT NULL UNIQUE,
    at_ms INTEGER NOT NULL,
    origin TEXT NOT NULL,
    generation INTEGER NOT NULL,
    fact BLOB NOT NULL,
    hash TEXT NOT NULL
) STRICT;
CREATE TABLE meta (name TEXT PRIMARY KEY, value INTEGER NOT NULL) STRICT;
INSERT INTO meta VALUES ('opened', 0), ('withdrawn', 0);
"""
_INSERT = "INSERT INTO entry VALUES (?, ?, ?, ?, ?, ?, ?)"
_FIELDS = "sequence, id, at_ms, origin, generation, fact, hash"
_HEAD = "SELECT sequence, hash, generation FROM entry ORDER BY sequence DESC LIMIT 1"
_BUSY_MS = 2_000  # a reader that opens the file after a crash holds it for as long as it reads FILE-wal


class DamagedError(StoreError):
    """The file is not what was written: altered, cut short, or no journal at all."""


class SqliteReader:
    """A journal that is read, at any time, also while another process writes it."""

    def __init__(self, path: Path, *, vfs: str | None = None) -> None:
        """Opens the file. Raises StoreError where there is none that can be read, DamagedError where it is no journal.

        `vfs` names the SQLite VFS to go through, for tests.
        """
        self._path = path
        self._vfs = vfs
        self._connection = self._connected(apsw.SQLITE_OPEN_READONLY)
        with self._closed_on_error(), self._translated():
            self._check_identity()

    def head(self) -> Head:
        """The end of what is in the file now."""
        with self._translated():
            row = self._connection.execute(_HEAD).fetchone()
        return Head(*row) if row else EMPTY

    def has(self, draft_id: str) -> bool:
        """Whether an entry with this id is in the file."""
        with self._translated():
            return self._connection.execute("SELECT 1 FROM entry WHERE id = ?", (draft_id,)).fetchone() is not None

    def read(self, after: int, limit: int = 1000) -> list[Entry]:
        """The entries that follow number `after`, at most `limit`, each proven to follow the one before it.

        Raises DamagedError, naming the first that does not.
        """
        head = EMPTY
        entries = self.unchecked(after - 1, limit + 1) if after > 0 else self.unchecked(0, limit)
        if entries and after > 0:
            head = entries.pop(0).head
            if head.sequence != after:
                raise DamagedError(f"{self._path}: entry {after} is missing; see binome journal verify")
        for entry in entries:
            reason = follows(entry, head)
            if reason is not None:
                raise DamagedError(f"{self._path}: entry {head.sequence + 1} is {reason}; see binome journal verify")
            head = entry.head
        return entries

    def unchecked(self, after: int, limit: int = 1000) -> list[Entry]:
        """The entries that follow number `after` as they stand in the file, for whoever judges them."""
        with self._translated(), self._legible(after):
            rows = self._connection.execute(
                f"SELECT {_FIELDS} FROM entry WHERE sequence > ? ORDER BY sequence LIMIT ?",  # noqa: S608
                (after, limit),
            )
            return [Entry(s, i, at, o, g, Raw(f), h) for s, i, at, o, g, f, h in rows]

    def first_since(self, at_ms: int) -> int:
        """The number of the first entry that was written at `at_ms` or later; one past the end where none was."""
        with self._translated():
            row = self._connection.execute("SELECT min(sequence) FROM entry WHERE at_ms >= ?", (at_ms,)).fetchone()
        return row[0] if row and row[0] is not None else self.head().sequence + 1

    def damage(self) -> str | None:
        """What SQLite finds wrong with the file as a whole, also with the index that `has` asks; None for nothing."""
        with self._translated():
            try:
                found = self._connection.execute("PRAGMA integrity_check(1)").fetchone()
            except apsw.CorruptError as error:
                return str(error)
        return None if found is None or found[0] == "ok" else str(found[0])

    def close(self) -> None:
        """Lets the file go. What cannot be copied out of FILE-wal now is safe there."""
        with suppress(apsw.Error):
            self._connection.close()

    def _connected(self, flags: int) -> apsw.Connection:
        if tuple(int(part) for part in apsw.sqlite_lib_version().split(".")) < OLDEST_SQLITE:
            raise StoreError(f"SQLite {apsw.sqlite_lib_version()} may lose pages: 3.51.3 or newer is needed")
        with self._translated():
            connection = apsw.Connection(str(self._path), flags=flags, vfs=self._vfs)
            connection.set_busy_timeout(_BUSY_MS)
            return connection

    def _check_identity(self) -> None:
        application, version = self._identity()
        if application != APPLICATION:
            raise DamagedError(f"{self._path}: this is no journal")
        if version > VERSION:
            raise StoreError(f"{self._path}: written by a newer Binôme (schema {version}, known: {VERSION})")

    def _identity(self) -> tuple[int, int]:
        return self._connection.pragma("application_id"), self._connection.pragma("user_version")

    @contextmanager
    def _closed_on_error(self) -> Iterator[None]:
        try:
            yield
        except BaseException:
            self.close()
            raise

    @contextmanager
    def _legible(self, after: int) -> Iterator[None]:
        """A damaged page may give values that the table would not have taken: nothing where text was, no UTF-8."""
        try:
            yield
        except (TypeError, UnicodeDecodeError) as error:
            raise DamagedError(f"{self._path}: past entry {after} something is illegible: {error}") from error

    @contextmanager
    def _translated(self) -> Iterator[None]:
        """SQLite's errors in our words."""
        try:
            yield
        except (apsw.CorruptError, apsw.NotADBError) as error:
            raise DamagedError(f"{self._path}: the file is damaged: {error}") from error
        except (apsw.Error, OSError) as error:
            if isinstance(error, apsw.SQLError) and str(error).startswith("no such "):  # table or column of the schema
                raise DamagedError(f"{self._path}: the file is damaged: {error}") from error
            raise StoreError(f"{self._path}: {error}") from error


class SqliteStore(SqliteReader):
    """The journal's one writer. Implements `ports.Store`."""

    def __init__(self, path: Path, *, vfs: str | None = None, checkpoint_pages: int = CHECKPOINT_PAGES) -> None:
        """Opens the file to write, making it if there is none; its folder must be there.

        Raises StoreError where another one writes it or it cannot be written, DamagedError where its end is not whole.
        """
        self._checkpoint_pages = checkpoint_pages
        self._pages = 0  # in FILE-wal
        self._path = path
        self._vfs = vfs
        self._lock: int | None = _claim(path.resolve())  # by whatever name: one file, one writer
        self._head: Head | None = None
        try:
            self._connection = self._connected(apsw.SQLITE_OPEN_READWRITE | apsw.SQLITE_OPEN_CREATE)
        except BaseException:
            self._let_go()
            raise
        with self._closed_on_error(), self._translated():
            if self._connection.readonly("main"):
                raise StoreError(f"{path}: the file is read-only")
            self._make_if_new()
            self._check_identity()
            self._settle()
            self._check_whole()

    def append(self, entries: Sequence[Entry]) -> None:
        """Adds entries that follow the head; durable when it returns. Raises StoreError, with nothing added.

        Raises ValueError where they do not follow, or where one of their ids is in the file already.
        """
        if not entries:
            return
        head = self.head()
        for entry in entries:
            reason = follows(entry, head)
            if reason is not None:
                raise ValueError(f"entry {entry.sequence} does not follow entry {head.sequence}: it is {reason}")
            head = entry.head
        rows = [(e.sequence, e.id, e.at_ms, e.origin, e.generation, e.fact, e.hash) for e in entries]
        self._head = None  # unknown until the transaction has ended
        try:
            with self._translated():
                self._commit(rows)
        except BaseException:
            self._withdraw()
            raise
        self._head = head
        self._checkpoint()

    def head(self) -> Head:
        """The end of what is in the file."""
        if self._head is None:
            self._head = super().head()
        return self._head

    def close(self) -> None:
        """Lets the file go."""
        try:
            super().close()
        finally:
            self._let_go()

    def _let_go(self) -> None:
        if self._lock is not None:
            os.close(self._lock)
            self._lock = None

    def _commit(self, rows: Sequence[tuple[int, str, int, str, int, Raw, str]]) -> None:
        try:
            self._connection.execute("BEGIN IMMEDIATE")
            self._connection.executemany(_INSERT, rows)
            self._connection.execute("COMMIT")
        except apsw.ConstraintError as error:
            raise ValueError(f"an entry is in the file already, by its number or its id: {error}") from error
        except OverflowError as error:
            raise ValueError(f"a number of an entry does not fit into 64 bits: {error}") from error

    def _checkpoint(self) -> None:
        """Copies FILE-wal into FILE when it has grown. Done here and not by SQLite, inside of the commit: what fails
        now is no concern of the append, which is durable, and is tried again after the next."""
        if self._pages >= self._checkpoint_pages:
            with suppress(apsw.Error):
                self._connection.wal_checkpoint()

    def _check_whole(self) -> None:
        """A file whose end does not follow, or whose index would answer `has` wrongly, is not written to.

        Takes about a second for each million entries; that each entry follows the one before is seen when it is read.
        """
        self.read(max(0, self.head().sequence - 1))
        damage = self.damage()
        if damage is not None:
            raise DamagedError(f"{self._path}: the file is damaged: {damage}")

    def _grown(self, _connection: apsw.Connection, _database: str, pages: int) -> int:
        self._pages = pages
        return apsw.SQLITE_OK

    def _withdraw(self) -> None:
        """Takes back an append that failed, also from what a restart would find.

        Where the last thing to fail was the sync itself, the whole transaction may stand in FILE-wal, ready to be
        recovered by whoever opens the file next. A small transaction in its place overwrites its beginning, and with
        that ends its chain of checksums. On a disk that goes on failing this fails too, and only then an append that
        was refused may be found after a crash: whole, in its place, and under its id.
        """
        with suppress(apsw.Error):
            if self._connection.in_transaction:
                self._connection.execute("ROLLBACK")
        with suppress(apsw.Error):
            self._connection.execute("UPDATE meta SET value = value + 1 WHERE name = 'withdrawn'")

    def _make_if_new(self) -> None:
        self._connection.pragma("synchronous", "EXTRA")
        if self._identity() == (0, 0) and self._connection.execute("SELECT 1 FROM sqlite_schema").fetchone() is None:
            self._write_ahead()
            with self._connection:
                self._connection.execute(_SCHEMA)
                self._connection.pragma("application_id", APPLICATION)
                self._connection.pragma("user_version", VERSION)

    def _write_ahead(self) -> None:
        """The mode is the file's; a file that came out of a backup may have lost it."""
        mode = self._connection.pragma("journal_mode", "WAL")
        if mode != "wal":
            raise StoreError(f"{self._path}: it cannot be written ahead here (journal mode {mode})")

    def _settle(self) -> None:
        """Makes durable what is found, before anybody believes it.

        A process before this one may have been killed between writing and syncing: its last append is in the kernel's
        memory then, can be read, and is gone after a power cut. This transaction syncs FILE-wal, with all before it.
        """
        self._write_ahead()
        self._connection.set_wal_hook(self._grown)
        self._connection.pragma("journal_size_limit", 16 << 20)  # after a reader that held FILE-wal for long
        self._connection.execute("UPDATE meta SET value = value + 1 WHERE name = 'opened'")


def _claim(path: Path) -> int:
    """The lock that the one writer holds, as a file descriptor. Raises StoreError, saying who has it."""
    try:
        lock = os.open(f"{path}-writer", os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o644)
    except OSError as error:
        raise StoreError(f"{path}: it cannot be written here: {error.strerror}") from error
    try:
        fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except OSError as error:
        holder = os.pread(lock, 200, 0).decode(errors="replace") or "another process"
        os.close(lock)
        raise StoreError(f"{path}: {holder} writes it already") from error
    with suppress(OSError):  # a full disk: only the name is missing then
        os.ftruncate(lock, 0)
        os.pwrite(lock, f"process {os.getpid()} ({Path(sys.argv[0]).name or 'python'})".encode(), 0)
    return lock
