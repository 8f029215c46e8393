"""Maintenance as this server shows it: a file for each subject that is held, for people and their scripts to see.

    maintenance/SUBJECT     who holds it, and why
    generation              the newest generation that has ordered anything here

An order of an older generation than that file's is refused: it comes from a leader that was replaced.
"""

from __future__ import annotations

import os
from pathlib import Path

import msgspec

from binome.core.plan import Command, Outcome


class MaintenanceFiles:
    """A `Driver` for `maintenance.hold` and `maintenance.release`, in one folder."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder

    async def carry_out(self, command: Command) -> Outcome:
        """Makes or removes the subject's file; again without harm."""
        try:
            if not self._is_current(command.generation):
                return Outcome("failed", f"generation {command.generation} has been replaced")
            held = self._folder / "maintenance" / command.subject
            if command.verb == "maintenance.hold":
                _write(held, msgspec.json.encode(command.arguments))
            elif command.verb == "maintenance.release":
                held.unlink(missing_ok=True)
            else:
                return Outcome("failed", f"{command.verb} is not known here")
        except OSError as error:
            return Outcome("unknown", f"{error.filename}: {error.strerror}")
        return Outcome("done")

    def _is_current(self, generation: int) -> bool:
        path = self._folder / "generation"
        newest = int(path.read_text()) if path.exists() else 0
        if generation > newest:
            _write(path, str(generation).encode())
        return generation >= newest


def _write(path: Path, content: bytes) -> None:
    """Whole or not at all, and durable when it returns."""
    path.parent.mkdir(parents=True, exist_ok=True)
    temporary = path.with_name(path.name + ".new")
    with temporary.open("wb") as file:
        file.write(content)
        file.flush()
        os.fsync(file.fileno())
    temporary.replace(path)
    folder = os.open(path.parent, os.O_RDONLY)
    try:
        os.fsync(folder)
    finally:
        os.close(folder)
