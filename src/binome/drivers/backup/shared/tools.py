"""Tools run for a copy: what they say no to has a name."""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path

from binome.drivers import tool
from binome.ports_of_copies import CopyError, Unsaved
from binome.shown import shown

_WHY: tuple[tuple[re.Pattern[str], Unsaved], ...] = tuple(
    (re.compile(pattern, re.IGNORECASE), why)
    for pattern, why in (
        (r"no space left on device|disk quota exceeded|out of diskspace|wrote only \d+ of", Unsaved.FULL),
        (r"server version mismatch|tablespace", Unsaved.CANNOT),
        (
            r"permission denied|authentication failed|no pg_hba\.conf entry|must be superuser|row-level security|"
            r"dubious ownership|no password supplied",
            Unsaved.REFUSED,
        ),
        (r"database \".*\" does not exist|cannot open: no such file|cannot stat: no such file", Unsaved.NOT_THERE),
        (
            r"could not connect|connection to server|connection refused|timeout expired|server closed the connection|"
            r"terminating connection",
            Unsaved.UNREACHABLE,
        ),
    )
)


def why(text: str) -> Unsaved:
    """What kind of trouble a tool, or a server, is speaking of."""
    return next((found for pattern, found in _WHY if pattern.search(text)), Unsaved.FAILED)


async def run(
    command: Sequence[str],
    *,
    good: Sequence[int] = (0,),
    folder: Path | None = None,
    more: Mapping[str, str] | None = None,
    errors: Callable[[str], None] | None = None,
    into: Path | None = None,
) -> tuple[tool.Ended, list[str]]:
    """Runs a tool; how it ended, and the lines of its output. Raises CopyError unless it ended as it should."""
    said: list[str] = []
    try:
        ended = await tool.run(command, folder=folder, more=more, output=said.append, errors=errors, into=into)
    except tool.ToolMissingError as error:
        raise CopyError(Unsaved.NO_TOOL, str(error)) from error
    if ended.code not in good:
        telling = next((shown(line, 300) for line in ended.last if why(line) is not Unsaved.FAILED), ended.said)
        raise CopyError(why("\n".join(ended.last)), f"{Path(command[0]).name}: {telling}")
    return ended, said
