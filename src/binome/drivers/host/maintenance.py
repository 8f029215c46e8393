"""Maintenance as this server shows it: a file for each subject that is held, for people and their scripts to see.

    maintenance/SUBJECT     who holds it, and why
    accepted                the newest generation that ordered anything here, and how far each plan has come

What is accepted is durable before it is carried out (core/acceptance.py says what is refused).
"""

from __future__ import annotations

import os
from pathlib import Path

import msgspec

from binome.core.acceptance import Accepted, Refused
from binome.core.plan import Command, Outcome


class MaintenanceFiles:
    """A `Driver` for `maintenance.hold` and `maintenance.release`, in one folder."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder

    async def carry_out(self, command: Command) -> Outcome:
        """Makes or removes the subject's file; again without harm."""
        try:
            reason = self._refused(command)
            if reason is not None:
                return Outcome("failed", reason)
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

    def _refused(self, command: Command) -> str | None:
        path = self._folder / "accepted"
        before = msgspec.json.decode(path.read_bytes(), type=Accepted) if path.exists() else Accepted()
        after = before.with_command(command)
        if isinstance(after, Refused):
            return after.value
        if after != before:
            _write(path, msgspec.json.encode(after))
        return None


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
