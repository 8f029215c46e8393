"""The SQLite store does what every store must, and keeps its promise through the loss of power at every call."""

from __future__ import annotations

import os
import random
import signal
import subprocess
import sys
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path

import apsw
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from binome.core.entry import EMPTY, Draft, Entry, seal
from binome.journal.sqlite import VERSION, DamagedError, SqliteReader, SqliteStore
from binome.ports import Store, StoreError
from tests.journal.power import EVERYTHING, NOTHING, Fate, Machine, Operation, Prefix, Torn, after
from tests.journal.store_suite import Happened, StoreDisk, StoreSuite, chain, expect, said


class PoweredDisk:
    """A machine that is replaced by the next when it loses its power."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        self.machine = Machine(folder)
        self._open: list[SqliteStore] = []

    def open(self) -> Store:
        store = SqliteStore(self.machine.path, vfs=self.machine.vfs)
        self._open.append(store)
        return store

    def power_loss(self) -> None:
        left = after(self.machine.found, self.machine.log, NOTHING)
        fault, self.machine.fault = self.machine.fault, None
        for store in self._open:
            store.close()
        self._open.clear()
        self.machine = Machine(self._folder, left)
        self.machine.fault = fault

    def full(self, is_full: bool) -> None:
        self.machine.fault = _full if is_full else None


def _full(operation: Operation) -> None:
    if operation.kind in ("write", "create"):
        raise apsw.FullError("the disk is full")


class TestSqliteStore(StoreSuite):
    """The SQLite store is a store."""

    @pytest.fixture
    def disk(self, folder: Path) -> StoreDisk:
        return PoweredDisk(folder)


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    return tmp_path


# -- loss of power


def work(machine: Machine, batches: Sequence[Sequence[Entry]], *, checkpoint_pages: int = 6) -> None:
    """Appends batches, and marks when each begins and when it is acknowledged. Pages are copied back often."""
    store = SqliteStore(machine.path, vfs=machine.vfs, checkpoint_pages=checkpoint_pages)
    for batch in batches:
        machine.mark(("begun", batch[-1].sequence))
        store.append(batch)
        machine.mark(("acknowledged", batch[-1].sequence))
    store.close()


def check(folder: Path, files: Mapping[str, bytes], log: Sequence[Operation], truth: Sequence[Entry]) -> int:
    """What is found holds all that was acknowledged, at most what was begun, and goes on; how many entries it is."""
    told = [operation.told for operation in log if isinstance(operation.told, tuple)]
    acknowledged = max([0, *(sequence for what, sequence in told if what == "acknowledged")])
    begun = max([acknowledged, *(sequence for what, sequence in told if what == "begun")])
    machine = Machine(folder, files)
    store = SqliteStore(machine.path, vfs=machine.vfs)
    found = store.head().sequence
    assert found in (acknowledged, begun), "whole or absent"
    expect(store, truth[:found])
    following = chain(2, store.head(), generation=store.head().generation + 1, name="next")
    store.append(following)
    expect(store, [*truth[:found], *following])
    assert store.damage() is None
    store.close()
    return found


def batches_of(entries: Sequence[Entry], *sizes: int) -> Iterator[Sequence[Entry]]:
    begin = 0
    for size in sizes:
        yield entries[begin : begin + size]
        begin += size


FATES: dict[str, Fate] = {
    "nothing": NOTHING,
    "everything": EVERYTHING,
    "a third": Prefix(1 / 3),
    "two thirds": Prefix(2 / 3),
    "torn 1": Torn(1),
    "torn 2": Torn(2),
    "torn 3": Torn(3),
}


@pytest.mark.parametrize("fate", FATES)
def test_power_is_lost_after_every_single_call(folder: Path, fate: str) -> None:
    truth = chain(15)
    machine = Machine(folder)
    work(machine, list(batches_of(truth, 1, 1, 5, 1, 7)))
    for calls in range(len(machine.log) + 1):
        log = machine.log[:calls]
        check(folder, after({}, log, FATES[fate]), log, truth)


def test_the_work_that_is_interrupted_has_every_kind_of_call(folder: Path) -> None:
    machine = Machine(folder)
    work(machine, list(batches_of(chain(15), 1, 1, 5, 1, 7)))
    seen = {(one.kind, one.name.rpartition("sqlite")[2]) for one in machine.log}
    assert seen >= {("write", ""), ("sync", ""), ("write", "-wal"), ("sync", "-wal"), ("delete", "-wal")}
    headers = [one for one in machine.log if one.kind == "write" and one.name.endswith("-wal") and one.offset == 0]
    assert len(headers) > 1, "the write-ahead file was begun anew in the middle"


@given(
    sizes=st.lists(st.integers(1, 30), min_size=1, max_size=5),
    length=st.sampled_from([1, 300, 9_000]),
    checkpoint_pages=st.sampled_from([1, 5, 20, 1000]),
    cuts=st.lists(st.tuples(st.floats(0, 1), st.integers(0, 2**32)), min_size=1, max_size=3),
)
@settings(max_examples=200, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
def test_power_is_lost_again_and_again(
    folder: Path, sizes: list[int], length: int, checkpoint_pages: int, cuts: list[tuple[float, int]]
) -> None:
    """Also while the last loss is being recovered from: what is found then is what the next machine begins with."""
    truth: list[Entry] = []
    files: Mapping[str, bytes] = {}
    for turn, (share, seed) in enumerate(cuts):
        machine = Machine(folder, files)
        more = seal(
            (Draft(f"{turn}/{n}", n, "o", Happened("x" * length)) for n in range(sum(sizes))),
            truth[-1].head if truth else EMPTY,
            turn + 1,
        )
        machine.mark(("acknowledged", len(truth)))
        work(machine, list(batches_of(more, *sizes)), checkpoint_pages=checkpoint_pages)
        log = machine.log[: max(1, round(len(machine.log) * share))]
        files = after(machine.found, log, Torn(seed))
        truth = [*truth, *more][: check(folder, files, log, [*truth, *more])]


def test_what_a_killed_writer_left_is_durable_before_it_is_read(folder: Path) -> None:
    """The process is killed at every call, the next one reads what the kernel still has, and then power is lost."""
    truth = chain(15)
    first = Machine(folder)
    work(first, list(batches_of(truth, 1, 1, 5, 1, 7)))
    for calls in range(len(first.log) + 1):
        machine = Machine(folder)
        for operation in first.log[:calls]:
            machine.did(operation)
        store = SqliteStore(machine.path, vfs=machine.vfs)
        machine.mark(("acknowledged", store.head().sequence))
        log = list(machine.log)
        store.close()
        check(folder, after({}, log, NOTHING), log, truth)


def test_a_store_that_does_not_sync_is_found_out(folder: Path) -> None:
    """The crash test can fail: with the syncs left away it does."""
    machine = Machine(folder)
    store = SqliteStore(machine.path, vfs=machine.vfs)
    store._connection.pragma("synchronous", "NORMAL")
    truth = chain(2)
    store.append(truth)
    machine.mark(("acknowledged", 2))
    with pytest.raises(AssertionError, match="whole or absent"):
        check(folder, after({}, machine.log, NOTHING), machine.log, truth)
    store.close()


# -- a disk that fails


def failing(machine: Machine, call: int, error: type[apsw.Error], *, for_ever: bool) -> list[int]:
    """From its call number `call` on, or at that alone, the disk fails, with half of a write done. Counts the calls."""
    calls = [0]

    def fault(operation: Operation) -> None:
        calls[0] += 1
        if calls[0] == call or (for_ever and calls[0] > call):
            if operation.kind == "write":
                half = operation._replace(data=operation.data[: len(operation.data) // 2])
                machine.log.append(half)
                content = machine.files[operation.file]
                content[half.offset : half.offset + len(half.data)] = half.data
            raise error("the disk failed")

    machine.fault = fault
    return calls


@pytest.mark.parametrize("for_ever", [False, True], ids=["once", "for-ever"])
@pytest.mark.parametrize("error", [apsw.FullError, apsw.IOError, apsw.ReadOnlyError])
def test_the_disk_fails_at_every_single_call(folder: Path, error: type[apsw.Error], for_ever: bool) -> None:
    """An append that failed is not there, and, where the disk failed only once, not after a loss of power either."""
    truth, other = chain(12), chain(3, chain(6)[-1].head, name="b")
    call, failed = 0, 0
    while True:
        call += 1
        machine = Machine(folder)
        store = SqliteStore(machine.path, vfs=machine.vfs, checkpoint_pages=1)
        store.append(truth[:6])
        calls = failing(machine, call, error, for_ever=for_ever)
        try:
            store.append(truth[6:])
        except StoreError:
            failed += 1
            expect(store, truth[:6])
            log = list(machine.log)
            if not for_ever:
                for fate in (NOTHING, EVERYTHING, Torn(call)):
                    log[:0] = [Operation("mark", "", told=("acknowledged", 6))]
                    check(folder, after({}, log, fate), log, truth)
            machine.fault = None
            store.append(other)
            expect(store, [*truth[:6], *other])
        else:
            expect(store, truth)
        machine.fault = None
        store.close()
        if calls[0] < call:
            break
    assert failed >= 3, "writes and the sync of the write-ahead file are among the calls"


def test_a_sync_that_fails_leaves_nothing_for_the_next_start(folder: Path) -> None:
    """The whole transaction is in the file by then; it must not come back."""
    machine, truth = Machine(folder), chain(3)
    store = SqliteStore(machine.path, vfs=machine.vfs)
    store.append(truth[:1])
    left = [1]

    def fault(operation: Operation) -> None:
        if operation.kind == "sync" and left:
            left.pop()
            raise apsw.IOError("sync failed")

    machine.fault = fault
    with pytest.raises(StoreError):
        store.append(truth[1:])
    left_behind = after({}, machine.log, EVERYTHING)
    second = Machine(folder, left_behind)
    expect(SqliteReader(second.path, vfs=second.vfs), truth[:1])  # type: ignore[arg-type]
    store.close()


def test_opening_fails_at_every_single_call(folder: Path) -> None:
    """A file that could not be made is made the next time."""
    call = 0
    while True:
        call += 1
        machine = Machine(folder)
        calls = failing(machine, call, apsw.FullError, for_ever=True)
        try:
            store = SqliteStore(machine.path, vfs=machine.vfs)
        except StoreError:
            machine.fault = None
            store = SqliteStore(machine.path, vfs=machine.vfs)
        machine.fault = None
        store.append(chain(1))
        expect(store, chain(1))
        store.close()
        if calls[0] < call:
            break
    assert call > 5


def test_a_read_only_file_is_refused_and_can_be_read(folder: Path) -> None:
    machine = Machine(folder)
    work(machine, [chain(3)])
    machine.read_only = True
    with pytest.raises(StoreError, match="read-only"):
        SqliteStore(machine.path, vfs=machine.vfs)
    reader = SqliteReader(machine.path, vfs=machine.vfs)
    assert said(reader.read(0)) == said(chain(3))
    reader.close()


def test_numbers_that_do_not_fit_are_refused(folder: Path) -> None:
    with SqliteStoreOpen(folder) as store:
        with pytest.raises(ValueError, match="64 bits"):
            store.append(seal([Draft("a", 2**63, "x", Happened())], EMPTY, 1))
        store.append(chain(2))
        expect(store, chain(2))


# -- damage


@pytest.fixture(scope="module")
def written(tmp_path_factory: pytest.TempPathFactory) -> tuple[list[Entry], dict[str, bytes], dict[str, bytes]]:
    """Forty entries, and the files that hold them: after the store was closed, and while it was open."""
    folder = tmp_path_factory.mktemp("written")
    entries, machine = chain(40), Machine(folder)
    store = SqliteStore(machine.path, vfs=machine.vfs)
    for batch in batches_of(entries, 10, 10, 10, 10):
        store.append(batch)
    while_open = after({}, machine.log, EVERYTHING)
    store.close()
    return entries, after({}, machine.log, EVERYTHING), while_open


def _judged(folder: Path, files: Mapping[str, bytes], entries: Sequence[Entry]) -> int | None:
    """How many entries a damaged file still gives, all unaltered; None where it says that it is damaged."""
    machine = Machine(folder, files)
    try:
        reader = SqliteReader(machine.path, vfs=machine.vfs)
    except StoreError:
        return None
    try:
        found = reader.read(0, 100)
        assert said(found) == said(entries[: len(found)]), "altered, and nobody says so"
        for entry in entries[:: max(1, len(entries) // 5)]:
            reader.read(entry.sequence, 1)
        return None if reader.damage() else len(found)
    except StoreError:
        return None
    finally:
        reader.close()


Written = tuple[list[Entry], dict[str, bytes], dict[str, bytes]]


def test_a_file_cut_at_any_length_is_named(folder: Path, written: Written) -> None:
    entries, closed, _ = written
    content = closed["journal.sqlite"]
    for length in [*range(0, len(content), 397), *range(4096, len(content), 4096)]:
        left = _judged(folder, {"journal.sqlite": content[:length]}, entries)
        assert left is None, f"cut at {length}, and {left} entries are left"


def test_a_write_ahead_file_cut_at_any_length_ends_with_a_whole_append(folder: Path, written: Written) -> None:
    entries, _, while_open = written
    wal = while_open["journal.sqlite-wal"]
    counts = [
        _judged(folder, {**while_open, "journal.sqlite-wal": wal[:length]}, entries)
        for length in range(0, len(wal) + 1, 397)
    ]
    assert {count for count in counts if count is not None} <= {0, 10, 20, 30, 40}
    assert counts[-1] in (30, 40)


@given(st.data())
@settings(max_examples=150, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
def test_flipped_bytes_are_never_given_out(folder: Path, written: Written, data: st.DataObject) -> None:
    entries, closed, while_open = written
    files = dict(data.draw(st.sampled_from([closed, while_open])))
    name = data.draw(st.sampled_from(sorted(files)))
    content = bytearray(files[name])
    for place in data.draw(st.lists(st.integers(0, len(content) - 1), min_size=1, max_size=4)):
        content[place] ^= data.draw(st.integers(1, 255))
    _judged(folder, {**files, name: bytes(content)}, entries)


def test_every_entry_in_the_file_is_guarded(folder: Path, written: Written) -> None:
    """Each byte of what an entry says, changed: reading names the damage."""
    entries, closed, _ = written
    content = closed["journal.sqlite"]
    for entry in (entries[0], entries[17], entries[39]):
        fact = bytes(entry.fact)
        for place in range(len(fact)):
            changed = fact[:place] + bytes([fact[place] ^ 1]) + fact[place + 1 :]
            machine = Machine(folder, {"journal.sqlite": content.replace(fact, changed)})  # free space has copies
            reader = SqliteReader(machine.path, vfs=machine.vfs)
            with pytest.raises(DamagedError, match=f"entry {entry.sequence} is altered"):
                reader.read(0)
            reader.close()


@pytest.mark.parametrize("sequence", [1, 2, 20, 40])
def test_an_entry_taken_out_is_named(folder: Path, sequence: int) -> None:
    path = folder / "journal.sqlite"
    store = SqliteStore(path)
    store.append(chain(40))
    store._connection.execute("DELETE FROM entry WHERE sequence = ?", (sequence,))
    if sequence == 40:
        assert len(store.read(0)) == 39, "only signed heads know of an end that is gone"
        store.close()
        return
    with pytest.raises(DamagedError, match=f"entry {sequence} is missing"):
        store.read(0)
    with pytest.raises(DamagedError, match=f"entry {sequence} is missing"):
        store.read(sequence)
    store.close()


def test_a_writer_does_not_go_on_behind_a_damaged_end(folder: Path) -> None:
    path = folder / "journal.sqlite"
    store = SqliteStore(path)
    store.append(chain(5))
    store._connection.execute("UPDATE entry SET origin = 'elsewhere' WHERE sequence = 5")
    store.close()
    with pytest.raises(DamagedError, match="entry 5 is altered"):
        SqliteStore(path)
    with pytest.raises(DamagedError):
        SqliteStore(path)  # and the lock was let go


def test_a_writer_does_not_trust_a_damaged_index(folder: Path, written: Written) -> None:
    """`has` asks the index alone, and would say that an entry is not there."""
    entries, closed, _ = written
    content = bytearray(closed["journal.sqlite"])
    copies = [at for at in range(len(content)) if content.startswith(b"a/40", at) and at // 4096 == 2]
    assert copies, "the third page is the index"
    for at in copies:
        content[at + 2] ^= 1
    machine = Machine(folder, {"journal.sqlite": bytes(content)})
    reader = SqliteReader(machine.path, vfs=machine.vfs)
    assert said(reader.read(0)) == said(entries)
    assert not reader.has("a/40")
    assert reader.damage() is not None
    reader.close()
    with pytest.raises(DamagedError, match="the file is damaged"):
        SqliteStore(machine.path, vfs=machine.vfs)


@pytest.mark.parametrize("opened", [SqliteReader, SqliteStore])
def test_what_is_no_journal_is_refused(folder: Path, opened: type[SqliteReader]) -> None:
    (folder / "text").write_text("no database at all, but long enough to look like a file of one " * 20)
    with pytest.raises(DamagedError):
        opened(folder / "text")
    apsw.Connection(str(folder / "other")).execute("CREATE TABLE something (x)")
    with pytest.raises(DamagedError, match="no journal"):
        opened(folder / "other")
    with pytest.raises(StoreError):
        opened(folder / "no-such-folder" / "journal.sqlite")


def test_a_newer_schema_is_refused(folder: Path) -> None:
    store = SqliteStore(folder / "journal.sqlite")
    store._connection.pragma("user_version", VERSION + 1)
    store.close()
    for opened in (SqliteReader, SqliteStore):
        with pytest.raises(StoreError, match="newer"):
            opened(folder / "journal.sqlite")


# -- one writer, many readers


def test_the_second_writer_is_told_who_the_first_is(folder: Path) -> None:
    with SqliteStoreOpen(folder), pytest.raises(StoreError, match=f"process {os.getpid()} .* writes it already"):
        SqliteStore(folder / "journal.sqlite")


def test_another_name_of_the_file_is_the_same_file(folder: Path) -> None:
    (folder / "other").symlink_to(folder / "journal.sqlite")
    with SqliteStoreOpen(folder), pytest.raises(StoreError, match="writes it already"):
        SqliteStore(folder / "other")


def test_closing_twice_closes_nothing_else(folder: Path) -> None:
    store = SqliteStore(folder / "journal.sqlite")
    store.close()
    with (folder / "else").open("w") as other:  # gets the number that the lock had
        store.close()
        other.write("still open")


def test_a_file_out_of_a_backup_is_written_ahead_again(folder: Path) -> None:
    with SqliteStoreOpen(folder) as store:
        store.append(chain(3))
        store._connection.execute("VACUUM INTO ?", (str(folder / "backup"),))
    assert apsw.Connection(str(folder / "backup")).pragma("journal_mode") == "delete"
    restored = SqliteStore(folder / "backup")
    assert restored._connection.pragma("journal_mode") == "wal"
    restored.append(chain(2, restored.head(), name="b"))
    restored.close()


class SqliteStoreOpen:
    """A store that is closed at the end."""

    def __init__(self, folder: Path) -> None:
        self.store = SqliteStore(folder / "journal.sqlite")

    def __enter__(self) -> SqliteStore:
        return self.store

    def __exit__(self, *_: object) -> None:
        self.store.close()


_WRITER = """
import sys
from pathlib import Path
from binome.journal.sqlite import SqliteStore
from tests.journal.store_suite import chain
store = SqliteStore(Path(sys.argv[1]))
while True:
    store.append(chain(3, store.head()))
    print(store.head().sequence, flush=True)
"""


def test_another_process_writes_is_read_and_is_killed(folder: Path) -> None:
    """Readers see whole appends while it writes; the kernel lets its lock go when it is gone."""
    path = folder / "journal.sqlite"
    command = [sys.executable, "-c", _WRITER, str(path)]
    root = Path(__file__).parents[2]
    environment = {**os.environ, "PYTHONPATH": f"{root / 'src'}:{root}"}
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True, env=environment) as writer:
        assert writer.stdout is not None
        writer.stdout.readline()
        with pytest.raises(StoreError, match=f"process {writer.pid} "):
            SqliteStore(path)
        reader, seen = SqliteReader(path), 0
        while seen < 300:
            seen = len(reader.read(0, 10_000))
            assert seen % 3 == 0
        writer.send_signal(signal.SIGKILL)
        acknowledged = [int(line) for line in writer.stdout if line.endswith("\n")][-1]
    with SqliteStoreOpen(folder) as store:
        assert store.head().sequence >= acknowledged
        assert said(store.read(0, 10**6)) == said(chain(store.head().sequence))
    reader.close()


def test_memory_does_not_grow_with_what_is_read(folder: Path) -> None:
    """A limit is a limit: random places of a long journal."""
    with SqliteStoreOpen(folder) as store:
        truth = chain(3000)
        store.append(truth)
        for _ in range(50):
            begin = random.Random(1).randint(0, 2990)
            assert said(store.read(begin, 5)) == said(truth[begin : begin + 5])
