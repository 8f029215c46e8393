"""The outbox keeps what it took, through the loss of power at every call, on full disks, and after damage."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import apsw
import pytest

from binome.core.page import Page, Severity
from binome.core.paging_notes import (
    Acknowledged,
    Acknowledgement,
    AnyNote,
    Began,
    Begun,
    Ended,
    Heard,
    Over,
    Receipt,
    Sent,
    Spent,
    Wanted,
)
from binome.ports import StoreError
from binome.runtime.outbox import DamagedError, SqliteOutbox, open_outbox
from tests.journal.power import EVERYTHING, NOTHING, Fate, Machine, Operation, Prefix, Torn, after

PAGE = Page(cause="site/sbg", episode="1", stage="opened", severity=Severity.CRITICAL, name="n", what="w", since_ms=1)
RECEIPT = Receipt("par", PAGE.id, "ann", "sms", "sms:+33600000001", ((PAGE.id, 0),))
ONE_OF_EACH: tuple[AnyNote, ...] = (
    Began(1, 1),
    Wanted(2, PAGE, ("ann", "bob"), 5_000),
    Begun(3, "0-a", PAGE.id, "ann", "sms", "sms:+33600000001", ((PAGE.id, 0),)),
    Ended(4, "0-a", Sent.UNKNOWN, "no answer"),
    Heard(5, RECEIPT),
    Acknowledged(6, Acknowledgement(PAGE.id[:12], "ann", "sms")),
    Over(7, "site/sbg", "1"),
    Spent(8, PAGE.id),
)


def notes(count: int, first: int = 0) -> list[AnyNote]:
    return [Spent(at_ms, f"{at_ms:016x}") for at_ms in range(first, first + count)]


def test_notes_of_every_kind_come_back_as_they_were(tmp_path: Path) -> None:
    outbox = SqliteOutbox(tmp_path / "outbox.sqlite")
    outbox.append(ONE_OF_EACH)
    outbox.close()
    assert SqliteOutbox(tmp_path / "outbox.sqlite").read() == list(ONE_OF_EACH)


def test_a_note_of_a_newer_version_is_passed_over(tmp_path: Path) -> None:
    outbox = SqliteOutbox(tmp_path / "outbox.sqlite")
    outbox.append(ONE_OF_EACH[:1])
    beside = apsw.Connection(str(tmp_path / "outbox.sqlite"))
    beside.execute("INSERT INTO note (at_ms, note) VALUES (9, ?)", (b'{"kind": "sung", "at_ms": 9}',))
    outbox.append(ONE_OF_EACH[1:])
    assert outbox.read() == list(ONE_OF_EACH)


def test_one_writes_at_a_time(tmp_path: Path) -> None:
    first = SqliteOutbox(tmp_path / "outbox.sqlite")
    with pytest.raises(StoreError, match="another process writes it"):
        SqliteOutbox(tmp_path / "outbox.sqlite")
    first.close()
    SqliteOutbox(tmp_path / "outbox.sqlite").close()


def test_what_is_forgotten_is_of_a_time_before(tmp_path: Path) -> None:
    outbox = SqliteOutbox(tmp_path / "outbox.sqlite")
    outbox.append(notes(10))
    outbox.forget(7)
    assert outbox.read() == notes(3, 7)


def test_a_damaged_outbox_is_put_aside_and_a_new_one_begun(tmp_path: Path) -> None:
    path = tmp_path / "outbox.sqlite"
    path.write_bytes(b"no database at all" * 100)
    with pytest.raises(DamagedError):
        SqliteOutbox(path)
    outbox, problem = open_outbox(path)
    assert outbox is not None
    assert problem is not None
    assert "damaged" in problem
    outbox.append(notes(1))
    assert outbox.read() == notes(1)
    assert [one.read_bytes()[:18] for one in tmp_path.glob("*damaged*")] == [b"no database at all"]


def test_where_there_can_be_no_outbox_there_is_none_and_it_is_said(tmp_path: Path) -> None:
    outbox, problem = open_outbox(tmp_path / "no" / "such" / "folder" / "outbox.sqlite")
    assert outbox is None
    assert problem is not None
    assert problem.endswith("pages are kept in memory alone")


def test_a_full_disk_refuses_aloud_and_takes_again_when_it_can(tmp_path: Path) -> None:
    machine = Machine(tmp_path)
    outbox = SqliteOutbox(machine.path, vfs=machine.vfs)
    outbox.append(notes(2))
    machine.fault = _full
    with pytest.raises(StoreError, match="full"):
        outbox.append(notes(1, 2))
    machine.fault = None
    outbox.append(notes(1, 3))
    assert outbox.read() == [*notes(2), *notes(1, 3)]
    outbox.close()


def _full(operation: Operation) -> None:
    if operation.kind in ("write", "create"):
        raise apsw.FullError("the disk is full")


FATES: Sequence[Fate] = (NOTHING, EVERYTHING, Prefix(0.5), *(Torn(seed) for seed in range(4)))


def test_what_was_taken_is_there_after_the_power_failed_at_any_call(tmp_path: Path) -> None:
    machine = Machine(tmp_path)
    outbox = SqliteOutbox(machine.path, vfs=machine.vfs, checkpoint_pages=8)
    for first in range(0, 24, 3):
        outbox.append(notes(3, first))
        machine.mark(first + 3)
    outbox.forget(6)
    outbox.append(notes(1, 24))
    machine.mark(25)
    outbox.close()
    log = list(machine.log)
    for end in range(0, len(log) + 1, 2):
        taken = max((int(str(one.told)) for one in log[:end] if one.kind == "mark"), default=0)
        for fate in FATES:
            _assert_found(tmp_path, after({}, log[:end], fate), taken)


def _assert_found(folder: Path, files: dict[str, bytes], taken: int) -> None:
    machine = Machine(folder, files)
    outbox = SqliteOutbox(machine.path, vfs=machine.vfs)
    found = outbox.read()
    begun = found[0].at_ms if found else 0
    assert begun in (0, 6)  # forgotten or not, nothing between
    assert found == notes(len(found), begun)
    assert begun + len(found) >= taken
    outbox.append(notes(1, 1_000))  # and it goes on
    assert outbox.read()[-1:] == notes(1, 1_000)
    outbox.close()
