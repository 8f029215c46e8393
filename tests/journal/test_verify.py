"""Whatever is done to a journal, the first entry that suffered is named, and how."""

from __future__ import annotations

import operator
import random
from collections.abc import Callable, Sequence
from functools import partial
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from msgspec import Raw
from msgspec.structs import replace

from binome.core.entry import EMPTY, Draft, Entry, seal
from binome.journal.heads import SignedHead
from binome.journal.inspect import inspect
from binome.journal.sqlite import SqliteStore
from binome.journal.verify import Fault, verify
from tests.journal.power import EVERYTHING, Machine, after
from tests.journal.store_suite import Happened, chain

COUNT = 30


def witness(entry: Entry, signer: str = "par-watch") -> SignedHead:
    """A head whose signature somebody has checked."""
    return SignedHead("littoral", entry.sequence, entry.hash, entry.generation, 0, signer, "", "")


def edited(entries: list[Entry], at: int) -> list[Entry]:
    entries[at] = replace(entries[at], fact=Raw(b'{"kind":"happened","what":"nothing"}'))
    return entries


def deleted(entries: list[Entry], at: int) -> list[Entry]:
    return entries[:at] + entries[at + 1 :]


def moved_to(entries: list[Entry], at: int, to: int) -> list[Entry]:
    """As in a file: what is said changes its place, the numbers stay in order."""
    one = entries.pop(at)
    entries.insert(to, one)
    return [replace(entry, sequence=number) for number, entry in enumerate(entries, 1)]


def made_anew(entries: list[Entry], at: int) -> list[Entry]:
    """Edited by somebody who knows how: every hash from there on is made anew."""
    drafts = [Draft(entry.id, entry.at_ms, "elsewhere", Happened()) for entry in entries[at:]]
    return entries[:at] + seal(drafts, entries[at - 1].head if at else EMPTY, 1)


@given(st.integers(0, COUNT - 2))
def test_what_the_chain_shows(at: int) -> None:
    cases: dict[Fault, Callable[[list[Entry], int], list[Entry]]] = {
        Fault.EDITED: edited,
        Fault.DELETED: deleted,
        Fault.REORDERED: lambda entries, at: moved_to(entries, at, COUNT - 1),
    }
    for fault, change in cases.items():
        verdict = verify(change(chain(COUNT), at))
        assert verdict.finding is not None
        assert (verdict.finding.fault, verdict.finding.sequence) == (fault, at + 1)
        assert verdict.head == (chain(COUNT)[at - 1].head if at else EMPTY)


def test_a_whole_journal_is_whole() -> None:
    entries = chain(COUNT)
    assert verify(entries, [witness(entries[3]), witness(entries[-1])]) == (entries[-1].head, 2, None)
    assert verify([]) == (EMPTY, 0, None)
    assert verify([], [SignedHead("littoral", *EMPTY[:2], 0, 0, "a", "", "")]) == (EMPTY, 1, None)


@pytest.mark.parametrize(
    ("field", "value"),
    [("id", "else"), ("at_ms", 1), ("origin", "else"), ("generation", 2), ("generation", 0), ("hash", "0" * 64)],
)
def test_every_field_is_bound(field: str, value: object) -> None:
    entries = chain(COUNT)
    entries[7] = replace(entries[7], **{field: value})
    finding = verify(entries).finding
    assert finding is not None
    assert (finding.fault, finding.sequence) == (Fault.EDITED, 8)


def test_where_what_was_reordered_stands_is_said() -> None:
    finding = verify(moved_to(chain(COUNT), 4, 9)).finding
    assert finding is not None
    assert finding.detail == "what was entry 5 stands as entry 10"


def test_entries_out_of_order_and_twice() -> None:
    entries = chain(COUNT)
    swapped = verify([*entries[:4], entries[5], entries[4], *entries[6:]]).finding
    twice = verify([*entries[:4], entries[3], *entries[4:]]).finding
    assert swapped is not None
    assert twice is not None
    assert (swapped.fault, swapped.sequence, twice.fault, twice.sequence) == (Fault.REORDERED, 5, Fault.REORDERED, 5)


def test_a_gap_is_named_from_end_to_end() -> None:
    finding = verify([*chain(COUNT)[:4], *chain(COUNT)[9:]]).finding
    assert finding is not None
    assert (finding.fault, finding.detail) == (Fault.DELETED, "entries 5 to 9 are missing")


def test_an_append_of_one_who_no_longer_led() -> None:
    entries = chain(4, generation=3)
    late = seal([Draft("late", 0, "x", Happened())], entries[-1].head._replace(generation=0), 2)
    finding = verify([*entries, *late]).finding
    assert finding is not None
    assert (finding.fault, finding.sequence) == (Fault.FORKED, 5)


@given(st.integers(0, COUNT - 1), st.integers(1, COUNT))
def test_an_end_that_is_gone_needs_a_witness(left: int, signed: int) -> None:
    entries = chain(COUNT)
    assert verify(entries[:left]).finding is None
    finding = verify(entries[:left], [witness(entries[signed - 1])]).finding
    if signed <= left:
        assert finding is None
    else:
        assert finding is not None
        assert (finding.fault, finding.sequence) == (Fault.CUT_OFF, left + 1)


@given(st.integers(0, COUNT - 1), st.lists(st.integers(1, COUNT), min_size=1, max_size=4))
def test_a_chain_made_anew_needs_a_witness(at: int, signed: list[int]) -> None:
    entries, forged = chain(COUNT), made_anew(chain(COUNT), at)
    assert verify(forged).finding is None
    verdict = verify(forged, [witness(entries[number - 1]) for number in signed])
    if max(signed) <= at:
        assert verdict.finding is None
    else:
        assert verdict.finding is not None
        assert verdict.finding.fault is Fault.FORKED
        before = max((number for number in signed if number <= at), default=0)
        assert verdict.finding.sequence == before + 1, "the first entry that nobody can vouch for"
        assert verdict.head.sequence == before


@given(st.lists(st.integers(0, 4), min_size=1, max_size=3), st.randoms(use_true_random=False))
@settings(max_examples=300)
def test_nothing_that_differs_passes_as_whole(kinds: list[int], chance: random.Random) -> None:
    """The oracle: with the end witnessed, a journal is whole if and only if it is the one that was written."""
    entries, truth = chain(COUNT), chain(COUNT)
    for kind in kinds:
        at, to = chance.randrange(len(entries) - 1), chance.randrange(len(entries))
        changes: tuple[Callable[[], Sequence[Entry]], ...] = (
            partial(edited, entries, at),
            partial(deleted, entries, at),
            partial(moved_to, entries, at, to),
            partial(made_anew, entries, at),
            partial(operator.getitem, entries, slice(to + 1)),
        )
        entries = list(changes[kind]())
        if len(entries) < 2:
            break
    same = [(e.sequence, e.hash, bytes(e.fact)) for e in entries] == [
        (e.sequence, e.hash, bytes(e.fact)) for e in truth
    ]
    assert (verify(entries, [witness(truth[-1])]).finding is None) == same


def test_of_the_heads_past_the_end_the_newest_is_named() -> None:
    entries = chain(COUNT)
    finding = verify(entries[:5], [witness(entries[9]), witness(entries[19], "gra-db"), witness(entries[14])]).finding
    assert finding is not None
    assert finding.detail == "gra-db signed entry 20, past the end"


# -- files


def stored(path: Path, entries: Sequence[Entry], *statements: str) -> Path:
    """A journal's file with somebody at its tables."""
    store = SqliteStore(path)
    store.append(entries)
    for statement in statements:
        store._connection.execute(statement)
    store.close()
    return path


@pytest.mark.parametrize(
    ("statement", "fault", "sequence"),
    [
        ('UPDATE entry SET fact = CAST(\'{"kind":"x"}\' AS BLOB) WHERE sequence = 9', Fault.EDITED, 9),
        ("DELETE FROM entry WHERE sequence BETWEEN 9 AND 11", Fault.DELETED, 9),
        ("UPDATE entry SET sequence = 99 WHERE sequence = 9", Fault.REORDERED, 9),
        ("UPDATE entry SET sequence = 0 WHERE sequence = 9", Fault.REORDERED, 1),
        ("UPDATE entry SET sequence = -sequence; UPDATE entry SET sequence = 31 + sequence", Fault.REORDERED, 1),
        ("DELETE FROM entry WHERE sequence > 8", Fault.CUT_OFF, 9),
        ("DELETE FROM entry", Fault.CUT_OFF, 1),
    ],
)
def test_a_file_that_somebody_was_at(tmp_path: Path, statement: str, fault: Fault, sequence: int) -> None:
    entries = chain(COUNT)
    path = stored(tmp_path / "journal.sqlite", entries, statement)
    finding = inspect(path, [witness(entries[-1])]).finding
    assert finding is not None
    assert (finding.fault, finding.sequence) == (fault, sequence)


def test_a_file_that_can_be_read_in_part_is_whole_up_to_there(tmp_path: Path) -> None:
    entries = chain(200)
    content = bytearray(stored(tmp_path / "journal.sqlite", entries).read_bytes())
    page = content.index(bytes(entries[120].fact)) // 4096 * 4096
    content[page : page + 8] = bytes(8)
    (tmp_path / "damaged").write_bytes(content)
    verdict = inspect(tmp_path / "damaged", [witness(entries[-1])])
    assert verdict.finding is not None
    assert (verdict.finding.fault, verdict.finding.sequence) == (Fault.DAMAGED, verdict.head.sequence + 1)
    assert 60 < verdict.head.sequence <= 120


def test_an_index_that_is_not_in_order_is_named(tmp_path: Path) -> None:
    entries = chain(COUNT)
    content = stored(tmp_path / "journal.sqlite", entries).read_bytes()
    (tmp_path / "damaged").write_bytes(content[:8192] + content[8192:12288].replace(b"a/30", b"b/30") + content[12288:])
    verdict = inspect(tmp_path / "damaged", [witness(entries[-1])])
    assert verdict.head == entries[-1].head
    assert verdict.finding is not None
    assert verdict.finding.fault is Fault.DAMAGED


def test_a_file_is_verified_while_it_is_written(tmp_path: Path) -> None:
    entries = chain(3000)
    store = SqliteStore(tmp_path / "journal.sqlite")
    store.append(entries)
    assert inspect(tmp_path / "journal.sqlite", [witness(entries[99])]) == (entries[-1].head, 1, None)
    store.close()


def test_whatever_byte_is_flipped_the_verdict_is_true(tmp_path: Path) -> None:
    """With the end witnessed: no finding, and all is as it was; or a finding, and all before it is as it was."""
    entries = chain(COUNT)
    machine = Machine(tmp_path)
    store = SqliteStore(machine.path, vfs=machine.vfs)
    for begin in range(0, COUNT, 10):
        store.append(entries[begin : begin + 10])
    while_open = after({}, machine.log, EVERYTHING)
    store.close()
    closed = after({}, machine.log, EVERYTHING)
    chance, findings = random.Random(1), 0
    for _ in range(300):
        files = dict(chance.choice([while_open, closed]))
        name = chance.choice(sorted(files))
        content = bytearray(files[name])
        content[chance.randrange(len(content))] ^= 1 << chance.randrange(8)
        if chance.random() < 0.2:
            del content[chance.randrange(len(content)) :]
        damaged = Machine(tmp_path, {**files, name: bytes(content)})
        verdict = inspect(damaged.path, [witness(entries[-1])], vfs=damaged.vfs)
        findings += verdict.finding is not None
        assert verdict.head.sequence == 0 or verdict.head == entries[verdict.head.sequence - 1].head
        assert verdict.finding is not None or verdict.head == entries[-1].head
    assert findings > 50
