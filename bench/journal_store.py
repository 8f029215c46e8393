"""What the journal's file costs beside a bare insert with the same durability, and how fast it is read again."""

from __future__ import annotations

import gc
import resource
import statistics
import sys
import tempfile
import time
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path

import apsw

from binome.core.entry import EMPTY, Draft, Entry, Head, seal
from binome.core.maintenance import MaintenanceAsked
from binome.core.plan import PlanMade, Priority, Step, StepEnded
from binome.core.state import State
from binome.journal.sqlite import SqliteReader, SqliteStore
from binome.journal.verify import verify

REPLAYED = 1_000_000
SINGLES, BATCHES, BATCH = 1_000, 300, 100
ROUNDS = 3


def drafts(first: int, count: int) -> Iterator[Draft]:
    """Maintenance asked, planned, held, released: four facts a round, as a busy platform writes them."""
    for number in range(first, first + count):
        request, kind = divmod(number, 4)
        plan, subject, at_ms = f"maintenance/r{request}", f"server-{request % 10_000}", 1_760_000_000_000 + number
        if kind == 0:
            asked = MaintenanceAsked(f"r{request}", subject, at_ms + 60_000, "new disks", "ops-1")
            yield Draft(f"{plan}/asked", at_ms, "gra-edge", asked)
        elif kind == 1:
            steps = (Step("maintenance.hold", undo="maintenance.release"), Step("maintenance.release"))
            made = PlanMade(plan, "maintenance", subject, Priority.MAINTENANCE, steps, "new disks")
            yield Draft(f"{plan}/plan", at_ms, "maintenance", made)
        else:
            yield Draft(f"{plan}/{kind - 2}/ended/0", at_ms, "gra-db", StepEnded(plan, kind - 2, False, "done"))


class Bare:
    """The least that SQLite can do for the same rows: one table, prepared inserts, a commit with a sync."""

    def __init__(self, path: Path) -> None:
        self._connection = apsw.Connection(str(path))
        self._connection.pragma("journal_mode", "WAL")
        self._connection.pragma("synchronous", "FULL")
        self._connection.execute(
            "CREATE TABLE entry (sequence INTEGER PRIMARY KEY, id TEXT NOT NULL UNIQUE, at_ms INTEGER, origin TEXT,"
            " generation INTEGER, fact BLOB, hash TEXT) STRICT"
        )

    def append(self, rows: Sequence[tuple[object, ...]]) -> None:
        with self._connection:
            self._connection.executemany("INSERT INTO entry VALUES (?, ?, ?, ?, ?, ?, ?)", rows)

    def close(self) -> None:
        self._connection.close()


def appends(folder: Path, count: int, batch: int) -> tuple[list[float], list[float]]:
    """Seconds of each append: of drafts that are sealed and appended, and of the same rows inserted bare, in turns."""
    store, bare, head = SqliteStore(folder / f"store-{batch}"), Bare(folder / f"bare-{batch}"), EMPTY
    ours, theirs = [], []
    for number in range(count):
        these = list(drafts(number * batch, batch))
        entries: list[Entry] = []

        def seal_and_append(these: list[Draft] = these, head: Head = head, entries: list[Entry] = entries) -> None:
            entries += seal(these, head, 1)
            store.append(entries)

        ours.append(seconds(seal_and_append))
        rows = [(e.sequence, e.id, e.at_ms, e.origin, e.generation, bytes(e.fact), e.hash) for e in entries]
        theirs.append(seconds(lambda rows=rows: bare.append(rows)))
        head = entries[-1].head
    store.close(), bare.close()
    return ours, theirs


def seconds(work: Callable[[], object]) -> float:
    begin_s = time.perf_counter()
    work()
    return time.perf_counter() - begin_s


def replay(folder: Path, count: int) -> None:
    store, head = SqliteStore(folder / "replay"), EMPTY
    writing_s = 0.0
    for first in range(0, count, 1_000):
        entries = seal(drafts(first, 1_000), head, 1)
        writing_s += seconds(lambda entries=entries: store.append(entries))
        head = entries[-1].head
    store.close()
    size = (folder / "replay").stat().st_size
    print(f"replay of {count:,} entries of {size / count:.0f} bytes            entries/s        seconds")

    def row(what: str, took_s: float) -> None:
        print(f"  {what:<45} {count / took_s:>14,.0f} {took_s:>14.2f}")

    row("appended by 1,000", writing_s)
    connection = apsw.Connection(str(folder / "replay"), flags=apsw.SQLITE_OPEN_READONLY)
    row("bare: all rows selected", seconds(lambda: sum(1 for _ in connection.execute("SELECT * FROM entry"))))
    reader = SqliteReader(folder / "replay")
    row("read, each proven to follow", seconds(lambda: sum(len(entries) for entries in batches(reader))))
    row("verified", seconds(lambda: verify(entry for entries in batches(reader, proven=False) for entry in entries)))
    state = State()

    def fold() -> None:
        for entries in batches(reader):
            for entry in entries:
                state.apply(entry)

    row("read and folded into the state", seconds(fold))
    row("the file's structure checked", seconds(reader.damage))
    if state.head != head:
        raise SystemExit("what was read is not what was written")
    reader.close()


def batches(reader: SqliteReader, *, proven: bool = True) -> Iterator[list[Entry]]:
    after, read = 0, reader.read if proven else reader.unchecked
    while entries := read(after):
        yield entries
        after = entries[-1].sequence


def main() -> None:
    replayed = int(sys.argv[1]) if len(sys.argv) > 1 else REPLAYED
    with tempfile.TemporaryDirectory(prefix="binome-bench-", dir=Path.cwd()) as name:  # /tmp may be memory
        folder = Path(name)
        print("sealed and appended, durable              appends/s  entries/s   median   99 %     bare    ratio")
        for count, batch in ((SINGLES, 1), (BATCHES, BATCH)):
            ratios = []
            for turn in range(ROUNDS):
                into = folder / f"{turn}-{batch}"
                into.mkdir()
                gc.collect()
                ours, theirs = appends(into, count, batch)
                ratios.append(sum(ours) / sum(theirs))
            ratio = statistics.median(ratios)
            rate, ordered = count / sum(ours), sorted(ours)
            print(
                f"  in batches of {batch:<3}                       {rate:>8,.0f} {rate * batch:>10,.0f} "
                f"{statistics.median(ours) * 1e3:>6.2f}ms {ordered[int(len(ordered) * 0.99)] * 1e3:>5.2f}ms "
                f"{statistics.median(theirs) * 1e3:>6.2f}ms {ratio:>6.2f}"
            )
        replay(folder, replayed)
    print(f"  peak memory {resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024:.0f} MB")


if __name__ == "__main__":
    main()
