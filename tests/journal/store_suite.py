"""What every store must do, whoever keeps it: the SQLite file, and the model of it that the simulation runs.

A store's own test derives from `StoreSuite` and gives it a disk:

    class TestMyStore(StoreSuite):
        @pytest.fixture
        def disk(self) -> StoreDisk: ...
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Protocol

import pytest
from msgspec import Raw
from msgspec.structs import replace

from binome.core.entry import EMPTY, Draft, Entry, Fact, Head, UnknownFact, seal
from binome.ports import Store, StoreError


class Happened(Fact, frozen=True, tag="happened"):
    """A fact for tests."""

    what: str = ""


class StoreDisk(Protocol):
    """A disk with one store on it, and the ways in which it fails."""

    def open(self) -> Store:
        """The store, to write. Raises StoreError while another one has it open."""

    def power_loss(self) -> None:
        """All that is not durable is lost, and so is every process that had the store open."""

    def full(self, is_full: bool) -> None:
        """From now on nothing can be written, or it can again."""


def chain(count: int, head: Head = EMPTY, *, generation: int = 1, name: str = "a") -> list[Entry]:
    """Entries that follow `head`; `name` tells their ids from those of another chain."""
    first = head.sequence + 1
    drafts = [Draft(f"{name}/{n}", 1000 * n, "gra-db", Happened(f"{name} {n}")) for n in range(first, first + count)]
    return seal(drafts, head, generation)


def said(entries: Sequence[Entry]) -> list[tuple[object, ...]]:
    """Entries as plain values, which compare: raw bytes do not."""
    return [(e.sequence, e.id, e.at_ms, e.origin, e.generation, bytes(e.fact), e.hash) for e in entries]


def expect(store: Store, entries: Sequence[Entry]) -> None:
    """The store holds these entries, unaltered, and nothing else."""
    assert said(store.read(0, len(entries) + 10)) == said(entries)
    assert store.head() == (entries[-1].head if entries else EMPTY)
    assert all(store.has(entry.id) for entry in entries)


class StoreSuite:
    """The tests; `disk` is the deriving class's."""

    @pytest.fixture
    def disk(self) -> StoreDisk:
        """A disk with nothing on it."""
        raise NotImplementedError

    def test_a_new_store_is_empty(self, disk: StoreDisk) -> None:
        store = disk.open()
        expect(store, [])
        assert not store.has("a/1")

    def test_what_was_appended_is_read(self, disk: StoreDisk) -> None:
        store, entries = disk.open(), chain(7)
        store.append(entries[:1])
        store.append(entries[1:6])
        store.append([])
        store.append(entries[6:])
        expect(store, entries)
        assert not store.has("a/8")

    def test_reading_begins_and_ends_where_it_is_told_to(self, disk: StoreDisk) -> None:
        store, entries = disk.open(), chain(7)
        store.append(entries)
        assert said(store.read(2, 3)) == said(entries[2:5])
        assert said(store.read(5)) == said(entries[5:])
        assert store.read(7) == [] == store.read(70)

    def test_what_no_version_knows_is_kept_byte_by_byte(self, disk: StoreDisk) -> None:
        strange = b'{ "kind" : "of-tomorrow", "text":"\\u0000 \xc3\xa9", "long": "' + b"x" * 20_000 + b'" }'
        drafts = [
            Draft("é\u0000'\"", -1, "", UnknownFact(strange)),
            Draft("é", 2**62, "\n", UnknownFact(b'{"kind":"z"}')),
        ]
        store, entries = disk.open(), seal(drafts, EMPTY, 7)
        store.append(entries)
        expect(store, entries)
        assert bytes(store.read(0)[0].fact) == strange

    def test_entries_that_do_not_follow_are_refused(self, disk: StoreDisk) -> None:
        store, entries = disk.open(), chain(4, generation=3)
        store.append(entries[:2])
        refused = {
            "a gap": entries[3:],
            "present already": entries[1:2],
            "partly present": entries[1:],
            "another chain": chain(1, chain(2, name="b")[-1].head, generation=3, name="b"),
            "an older generation": chain(1, entries[1].head._replace(generation=0), generation=2),
            "another hash": [replace(entries[2], hash="f" * 64)],
            "another fact": [replace(entries[2], fact=Raw(b'{"kind":"happened","what":"else"}'))],
            "another time": [replace(entries[2], at_ms=1)],
            "good, and then bad": [entries[2], replace(entries[3], id="c")],
            "an id that is there": seal([Draft("a/1", 0, "x", Happened())], entries[1].head, 3),
            "an id twice": seal(
                [Draft("new", 0, "x", Happened()), Draft("new", 0, "x", Happened())], entries[1].head, 3
            ),
        }
        for why, these in refused.items():
            with pytest.raises(ValueError):
                store.append(these)
                pytest.fail(f"taken: {why}")
            expect(store, entries[:2])
        store.append(entries[2:])
        expect(store, entries)

    def test_a_second_writer_is_refused_until_the_first_has_closed(self, disk: StoreDisk) -> None:
        store, entries = disk.open(), chain(2)
        with pytest.raises(StoreError):
            disk.open()
        store.append(entries[:1])
        store.close()
        second = disk.open()
        expect(second, entries[:1])
        second.append(entries[1:])
        expect(second, entries)

    def test_what_was_appended_survives_the_loss_of_power(self, disk: StoreDisk) -> None:
        entries = chain(6)
        for count in range(6):
            store = disk.open()
            expect(store, entries[:count])
            store.append(entries[count : count + 1])
            disk.power_loss()
        expect(disk.open(), entries)

    def test_a_full_disk_takes_nothing_and_breaks_nothing(self, disk: StoreDisk) -> None:
        store, entries = disk.open(), chain(3)
        store.append(entries[:1])
        disk.full(True)
        for _ in range(3):
            with pytest.raises(StoreError):
                store.append(entries[1:])
            expect(store, entries[:1])
        disk.full(False)
        other = chain(2, entries[0].head, name="b")  # what was refused is forgotten: something else may come
        store.append(other)
        expect(store, [entries[0], *other])
        disk.power_loss()
        expect(disk.open(), [entries[0], *other])

    def test_what_a_full_disk_refused_is_not_found_after_the_loss_of_power(self, disk: StoreDisk) -> None:
        store, entries = disk.open(), chain(3)
        store.append(entries[:1])
        disk.full(True)
        with pytest.raises(StoreError):
            store.append(entries[1:])
        disk.power_loss()
        disk.full(False)
        store = disk.open()
        expect(store, entries[:1])
        store.append(entries[1:])
        expect(store, entries)
