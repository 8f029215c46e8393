"""Maintenance as this server shows it: a file for each subject that is held, for people and their scripts to see.

    maintenance/SUBJECT     who holds it, and why
    accepted                the newest generation that ordered anything here, and how far each plan has come

The files follow from the state, on every lookout: a subject's lies there while a plan of maintenance that has not ended
holds it. Whoever is made to lead, or comes back after a year, only has to look at the state. The commands of such a
plan are the durable record of it: "hold" makes sure of the file here, "release" confirms that nothing keeps the plan
from ending, and the file goes with it. What is accepted is durable before it is carried out (core/acceptance.py says
what is refused).
"""

from __future__ import annotations

import os
from pathlib import Path

import msgspec

from binome.core.acceptance import Accepted, Refused
from binome.core.decision import View
from binome.core.maintenance import CAPABILITY
from binome.core.plan import Command, Outcome


class MaintenanceFiles:
    """A `Driver` for `maintenance.hold` and `maintenance.release`, and what `Shown` asks for, in one folder."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder

    async def carry_out(self, command: Command) -> Outcome:
        """Makes sure of the subject's file, or lets it go with its plan; again without harm."""
        try:
            reason = self._refused(command)
            if reason is not None:
                return Outcome("failed", reason)
            if command.verb == "maintenance.hold":
                self._hold(command.subject, command.arguments)
            elif command.verb != "maintenance.release":
                return Outcome("failed", f"{command.verb} is not known here")
        except OSError as error:
            return Outcome("unknown", f"{error.filename}: {error.strerror}")
        return Outcome("done")

    def show(self, view: View) -> None:
        """Makes the files of the subjects that are held, and removes all others. Raises OSError."""
        plans = [plan for plan in view.plans.values() if plan.capability == CAPABILITY]
        for plan in plans:
            self._hold(plan.subject, plan.steps[0].arguments)
        folder = self._folder / "maintenance"
        held = {plan.subject for plan in plans}
        for file in folder.iterdir() if folder.exists() else ():
            if file.name not in held:
                file.unlink()

    def _hold(self, subject: str, arguments: dict[str, str]) -> None:
        file, content = self._folder / "maintenance" / subject, msgspec.json.encode(arguments)
        if "/" in subject or subject.startswith(".") or not subject.isprintable():
            return  # no name of an estate
        if not (file.exists() and file.read_bytes() == content):
            _write(file, content)

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
