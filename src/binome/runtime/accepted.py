"""What a server has accepted, in a file, durable before anything is carried out (core/acceptance.py refuses)."""

from __future__ import annotations

import os
from collections.abc import Iterable
from contextlib import suppress
from pathlib import Path

import msgspec

from binome.core.acceptance import Accepted, Refused
from binome.core.plan import Command


class AcceptedFile:
    """The newest generation that spoke here, and how far each plan has come; one process writes it."""

    def __init__(self, path: Path) -> None:
        """Reads it. Raises OSError, or ValueError where it is damaged: what was accepted is then not known."""
        self._path = path
        self._known = msgspec.json.decode(path.read_bytes(), type=Accepted) if path.exists() else Accepted()

    @property
    def generation(self) -> int:
        """The newest generation that has spoken here."""
        return self._known.generation

    def admit(self, command: Command) -> Refused | None:
        """Why a command is refused; None where it is accepted, which is then durable. Raises OSError."""
        after = self._known.with_command(command)
        if isinstance(after, Refused):
            return after
        self._keep(after)
        return None

    def admit_word(self, generation: int) -> Refused | None:
        """The same for a leader's word that belongs to no plan. Raises OSError."""
        if generation < self._known.generation:
            return Refused.OLD_GENERATION
        self._keep(Accepted(generation, self._known.positions))
        return None

    def _keep(self, after: Accepted) -> None:
        if after != self._known:
            write_whole(self._path, msgspec.json.encode(after))
            self._known = after


def newest_generation(paths: Iterable[Path]) -> int:
    """The newest generation that spoke here, by several such files; 0 where none has.

    A file that cannot be read says nothing: whoever refuses by it says so with each command, and probes and pages must
    not wait for a person to mend it.
    """
    newest = 0
    for path in paths:
        with suppress(OSError, ValueError):
            newest = max(newest, AcceptedFile(path).generation)
    return newest


def write_whole(path: Path, content: bytes) -> None:
    """Whole or not at all, for root alone, and durable when it returns. Raises OSError."""
    path.parent.mkdir(parents=True, exist_ok=True)
    temporary = path.with_name(path.name + ".new")
    with open(temporary, "wb", opener=lambda name, flags: os.open(name, flags, 0o600)) as file:
        file.write(content)
        file.flush()
        os.fsync(file.fileno())
    temporary.replace(path)
    folder = os.open(path.parent, os.O_RDONLY)
    try:
        os.fsync(folder)
    finally:
        os.close(folder)
