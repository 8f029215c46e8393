"""The outbox of production in nights of paging: SQLite on a disk that loses its power whenever a lookout dies.

Every call of SQLite that changes the disk is a boundary at which a lookout may die. What had not been synced then is
there, or not, or in part, as its fate has it.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from contextlib import suppress
from pathlib import Path

from binome.core.paging_notes import AnyNote
from binome.ports import Outbox, StoreError
from binome.runtime.outbox import SqliteOutbox
from binome.sim.paging import Lookout
from tests.journal.power import Fate, Machine, Operation, after


class Disk:
    """One lookout's disk, through all of its lives."""

    def __init__(self, folder: Path, fate: Callable[[], Fate]) -> None:
        self._folder, self._fate = folder, fate
        self._machine: Machine | None = None
        self._outbox: SqliteOutbox | None = None

    def opened(self, lookout: Lookout) -> SqliteOutbox:
        """The outbox, as it is found after the power failed."""
        files: dict[str, bytes] = {}
        if self._machine is not None:
            files = after(self._machine.found, list(self._machine.log), self._fate())
            self.close()
        machine = self._machine = Machine(self._folder, files)

        def boundary(_: Operation) -> None:
            lookout.boundary()

        machine.fault = boundary
        self._outbox = SqliteOutbox(machine.path, vfs=machine.vfs, checkpoint_pages=20)
        return self._outbox

    def close(self) -> None:
        """Lets go of what a life held that ended."""
        if self._machine is not None:
            self._machine.fault = None
        if self._outbox is not None:
            with suppress(StoreError):
                self._outbox.close()
            self._outbox = None


class PowerOutbox:
    """`ports.Outbox`: production's, and the world notes what is durable."""

    def __init__(self, lookout: Lookout, outbox: SqliteOutbox) -> None:
        self._lookout, self._outbox = lookout, outbox
        self.read, self.forget, self.close = outbox.read, outbox.forget, outbox.close

    def append(self, notes: Sequence[AnyNote]) -> None:
        self._outbox.append(notes)
        self._lookout.kept(notes)
        self._lookout.boundary()


class Disks:
    """The disks of all lookouts of one night."""

    def __init__(self, folder: Path, fate: Callable[[], Fate]) -> None:
        self._folder, self._fate = folder, fate
        self._disks: dict[str, Disk] = {}

    def outbox(self, lookout: Lookout) -> Outbox:
        """The outbox for a new life of a lookout."""
        disk = self._disks.setdefault(lookout.name, Disk(self._folder, self._fate))
        return PowerOutbox(lookout, disk.opened(lookout))

    def close(self) -> None:
        for disk in self._disks.values():
            disk.close()
