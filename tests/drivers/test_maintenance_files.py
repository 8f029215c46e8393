"""The files of maintenance: made and removed again and again without harm, never by order of an older generation."""

from __future__ import annotations

import asyncio
import os
from pathlib import Path

import pytest

from binome.core.entry import Draft, seal
from binome.core.plan import Command, PlanMade, Step
from binome.core.state import State
from binome.drivers.host.maintenance import MaintenanceFiles


def ordered(folder: Path, verb: str, generation: int, step: int = 0) -> str:
    command = Command(
        f"p/{step}", "p", step, False, f"maintenance.{verb}", "", "database", {"why": "disks"}, generation
    )
    return asyncio.run(MaintenanceFiles(folder).carry_out(command)).result


def state(*subjects: str) -> State:
    state = State()
    for number, subject in enumerate(subjects):
        step = Step("maintenance.hold", arguments={"why": "disks"}, undo="maintenance.release")
        made = PlanMade(f"p{number}", "maintenance", subject, 2, (step,))
        for entry in seal([Draft(f"d{number}", 0, "test", made)], state.head, 1):
            state.apply(entry)
    return state


def files(folder: Path) -> dict[str, str]:
    return {file.name: file.read_text() for file in (folder / "maintenance").iterdir()}


def test_the_files_are_what_the_state_says_whatever_lay_there(tmp_path: Path) -> None:
    shown = MaintenanceFiles(tmp_path)
    shown.show(state())
    assert not (tmp_path / "maintenance").exists()
    for _ in range(2):
        shown.show(state("database", "web"))
        assert files(tmp_path) == {"database": '{"why":"disks"}', "web": '{"why":"disks"}'}
    (tmp_path / "maintenance" / "mail").write_text("held when this server went down")
    (tmp_path / "maintenance" / "web").write_text("torn")
    shown.show(state("web"))
    assert files(tmp_path) == {"web": '{"why":"disks"}'}
    shown.show(state())
    assert files(tmp_path) == {}


def test_held_and_released_as_often_as_one_likes(tmp_path: Path) -> None:
    assert [ordered(tmp_path, verb, 1) for verb in ("hold", "hold")] == ["done", "done"]
    assert files(tmp_path) == {"database": '{"why":"disks"}'}
    assert [ordered(tmp_path, verb, 1) for verb in ("release", "release")] == ["done", "done"]
    assert files(tmp_path) == {"database": '{"why":"disks"}'}, "it goes when the state says so"


def test_an_older_generation_is_refused_also_after_a_restart(tmp_path: Path) -> None:
    assert ordered(tmp_path, "hold", 7) == "done"
    assert ordered(tmp_path, "release", 6) == "failed"
    assert (tmp_path / "maintenance" / "database").exists()
    assert ordered(tmp_path, "release", 7) == "done"


def test_what_is_accepted_is_on_the_disk_before_it_is_carried_out(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A file is synced whole before it takes its name, then the folder with the name; and only then the next."""
    synced: list[tuple[str, bool, bool]] = []
    accepted, held = tmp_path / "accepted", tmp_path / "maintenance" / "database"

    def fsync(file: int) -> None:
        path = Path(f"/proc/self/fd/{file}").readlink()
        assert path.is_dir() or path.stat().st_size > 0
        synced.append((str(path.relative_to(tmp_path)), accepted.exists(), held.exists()))

    monkeypatch.setattr(os, "fsync", fsync)
    assert ordered(tmp_path, "hold", 1) == "done"
    assert synced == [
        ("accepted.new", False, False),
        (".", True, False),
        ("maintenance/database.new", True, False),
        ("maintenance", True, True),
    ]


def test_a_step_that_was_overtaken_is_refused(tmp_path: Path) -> None:
    assert ordered(tmp_path, "release", 7, step=1) == "done"
    assert ordered(tmp_path, "hold", 7, step=0) == "failed"
    assert not (tmp_path / "maintenance" / "database").exists()


def test_a_folder_that_cannot_be_written_is_an_unknown_outcome(tmp_path: Path) -> None:
    (tmp_path / "maintenance").write_text("in the way")
    assert ordered(tmp_path, "hold", 1) == "unknown"


def test_an_unknown_verb_fails(tmp_path: Path) -> None:
    assert ordered(tmp_path, "celebrate", 1) == "failed"
