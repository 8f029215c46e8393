"""The files of maintenance: made and removed again and again without harm, never by order of an older generation."""

from __future__ import annotations

import asyncio
from pathlib import Path

from binome.core.plan import Command
from binome.drivers.host.maintenance import MaintenanceFiles


def ordered(folder: Path, verb: str, generation: int, step: int = 0) -> str:
    command = Command(
        f"p/{step}", "p", step, False, f"maintenance.{verb}", "", "database", {"why": "disks"}, generation
    )
    return asyncio.run(MaintenanceFiles(folder).carry_out(command)).result


def test_held_and_released_as_often_as_one_likes(tmp_path: Path) -> None:
    held = tmp_path / "maintenance" / "database"
    assert [ordered(tmp_path, verb, 1) for verb in ("hold", "hold")] == ["done", "done"]
    assert held.read_text() == '{"why":"disks"}'
    assert [ordered(tmp_path, verb, 1) for verb in ("release", "release")] == ["done", "done"]
    assert not held.exists()


def test_an_older_generation_is_refused_also_after_a_restart(tmp_path: Path) -> None:
    assert ordered(tmp_path, "hold", 7) == "done"
    assert ordered(tmp_path, "release", 6) == "failed"
    assert (tmp_path / "maintenance" / "database").exists()
    assert ordered(tmp_path, "release", 7) == "done"


def test_a_step_that_was_overtaken_is_refused(tmp_path: Path) -> None:
    assert ordered(tmp_path, "release", 7, step=1) == "done"
    assert ordered(tmp_path, "hold", 7, step=0) == "failed"
    assert not (tmp_path / "maintenance" / "database").exists()


def test_a_folder_that_cannot_be_written_is_an_unknown_outcome(tmp_path: Path) -> None:
    (tmp_path / "maintenance").write_text("in the way")
    assert ordered(tmp_path, "hold", 1) == "unknown"


def test_an_unknown_verb_fails(tmp_path: Path) -> None:
    assert ordered(tmp_path, "celebrate", 1) == "failed"
