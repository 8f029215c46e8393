"""Commands that run where a copy is restored: what they say no to has a name."""

from __future__ import annotations

import re
import shutil
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path

from binome.drivers.backup.shared.postgres import newest, program
from binome.drivers.backup.shared.tools import run
from binome.ports_of_copies import CopyError, Place, RestoreError, Unrestored, Unsaved
from binome.shown import shown

_OCCUPIED = re.compile(r"\b(database|file) \S+ already exists|directory \S+ exists but is not empty", re.IGNORECASE)
_TELLING = re.compile(r"\b(error|fatal|panic):", re.IGNORECASE)
_OF = {
    Unsaved.FULL: Unrestored.FULL,
    Unsaved.NO_TOOL: Unrestored.NO_TOOL,
    Unsaved.UNREACHABLE: Unrestored.UNREACHABLE,
}


def named(error: CopyError, telling: str = "") -> RestoreError:
    """What tools and sessions of copying say no to, for a restore; `telling` is the line that says most."""
    said = telling or str(error).removeprefix(f"{error.why.value}: ")
    why = Unrestored.OCCUPIED if _OCCUPIED.search(said) else _OF.get(error.why, Unrestored.BROKEN)
    return RestoreError(why, shown(said, 300))


@contextmanager
def naming() -> Iterator[None]:
    """Inside, what copying raises is raised as what restoring raises; an OSError of a file as one that is broken."""
    try:
        yield
    except CopyError as error:
        raise named(error) from error
    except OSError as error:
        raise RestoreError(Unrestored.BROKEN, f"{error.filename}: {error.strerror}") from error


def engine_program(name: str, major: int | None = None) -> str:
    """A tool of PostgreSQL of that version or the next newer; the newest unless one is named. Raises RestoreError."""
    found = newest(name) if major is None else program(name, major)
    if not shutil.which(found):
        raise RestoreError(Unrestored.NO_TOOL, f"{name} is not installed")
    return found


async def command(
    place: Place,
    words: Sequence[str],
    *,
    good: Sequence[int] = (0,),
    more: Mapping[str, str] | None = None,
    errors: Callable[[str], None] | None = None,
) -> tuple[int, list[str]]:
    """Runs a command in a place: its code, and the lines of its output. Raises RestoreError unless the code is good."""
    if not shutil.which(words[0]):
        raise RestoreError(Unrestored.NO_TOOL, f"{words[0]} is not installed")
    telling: list[str] = []

    def hear(line: str) -> None:
        if not telling and _TELLING.search(line):
            telling.append(line)
        if errors is not None:
            errors(line)

    try:
        ended, said = await run([*place.within, *words], good=good, folder=Path("/"), more=more, errors=hear)
    except CopyError as error:
        raise named(error, f"{Path(words[0]).name}: {telling[0]}" if telling else "") from error
    return ended.code, said
