"""Tools that drivers run: found on PATH, without a shell, never left behind, their last words kept for the error.

A tool is a session of its own, so that all that it starts can be ended with it: on cancellation it is asked to end, and
gets SIGKILL if it lives on. Should Binôme be killed outright, the kernel kills the tool (`setpriv --pdeathsig`).
"""

from __future__ import annotations

import asyncio
import os
import shutil
import signal
from collections import deque
from collections.abc import AsyncIterator, Callable, Iterator, Mapping, Sequence
from contextlib import asynccontextmanager, contextmanager, suppress
from pathlib import Path
from typing import NamedTuple

from binome.shown import shown

FIRST_LINES = 50  # what crashes says first why, and then where, at length
LAST_LINES = 150
LONGEST_LINE = 1 << 20
PATIENCE_S = 5.0
"""How long a tool may take to end once it is asked to."""


class ToolMissingError(Exception):
    """A tool is not installed; the message says which."""


class Ended(NamedTuple):
    """How a tool ended, with the first and the last of its lines on standard error, oldest first."""

    code: int
    last: tuple[str, ...]

    @property
    def said(self) -> str:
        """The last line that says anything, printable."""
        return next((shown(line, 300) for line in reversed(self.last) if line.strip()), f"it ended with {self.code}")


Line = Callable[[str], None]


async def run(
    command: Sequence[str],
    *,
    folder: Path | None = None,
    more: Mapping[str, str] | None = None,
    secrets: Mapping[str, str] | None = None,
    output: Line | None = None,
    errors: Line | None = None,
    into: Path | None = None,
    stop: signal.Signals = signal.SIGTERM,
) -> Ended:
    """Runs a tool to its end. `more` is added to its environment, lines of its output go where they are wanted.

    `secrets` are texts that it reads from a file whose name stands in the variable: each is a pipe, so that it is on
    no disk, in no environment and on no command line. `into` takes standard output as it is; `stop` is
    what asks it to end when this is cancelled. Raises ToolMissingError.
    """
    program = shutil.which(command[0])
    if program is None:
        raise ToolMissingError(f"{command[0]} is not installed")
    setpriv = shutil.which("setpriv")
    guard = [setpriv, "--pdeathsig", "KILL"] if setpriv else []
    first: list[str] = []
    last: deque[str] = deque(maxlen=LAST_LINES)

    def heard(line: str) -> None:
        (first if len(first) < FIRST_LINES else last).append(line)
        if errors is not None:
            errors(line)

    with _pipes(secrets or {}) as (names, descriptors):
        raw = None if into is None else os.open(into, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600)
        try:
            process = await asyncio.create_subprocess_exec(
                *guard,
                program,
                *command[1:],
                cwd=folder,
                env={**os.environ, "LC_ALL": "C.UTF-8", "TZ": "UTC", **(more or {}), **names},
                stdin=asyncio.subprocess.DEVNULL,
                stdout=asyncio.subprocess.PIPE if raw is None else raw,
                stderr=asyncio.subprocess.PIPE,
                pass_fds=descriptors,
                start_new_session=True,
            )
        finally:
            if raw is not None:
                os.close(raw)
    async with _ended_after(process, stop):
        async with asyncio.TaskGroup() as group:
            if process.stdout is not None:
                group.create_task(_lines(process.stdout, output or (lambda _: None)))
            if process.stderr is not None:
                group.create_task(_lines(process.stderr, heard))
        return Ended(await process.wait(), (*first, *last))


@contextmanager
def _pipes(secrets: Mapping[str, str]) -> Iterator[tuple[dict[str, str], list[int]]]:
    """Pipes that hold secrets: the names of their reading ends by variable, and these ends."""
    names: dict[str, str] = {}
    descriptors: list[int] = []
    try:
        for variable, text in secrets.items():
            reading, writing = os.pipe()
            descriptors.append(reading)
            with os.fdopen(writing, "wb") as pipe:  # a secret is far shorter than what a pipe holds
                pipe.write(text.encode() + b"\n")
            names[variable] = f"/dev/fd/{reading}"
        yield names, descriptors
    finally:
        for descriptor in descriptors:
            os.close(descriptor)


@asynccontextmanager
async def _ended_after(process: asyncio.subprocess.Process, stop: signal.Signals) -> AsyncIterator[None]:
    """Nothing of the tool lives on behind this, however it is left."""
    try:
        yield
    finally:
        if process.returncode is None:
            _signal(process, stop)
            with suppress(TimeoutError):
                await asyncio.wait_for(asyncio.shield(process.wait()), PATIENCE_S)
        _signal(process, signal.SIGKILL)
        await process.wait()


def _signal(process: asyncio.subprocess.Process, number: signal.Signals) -> None:
    with suppress(ProcessLookupError, PermissionError):
        os.killpg(process.pid, number)


async def _lines(reader: asyncio.StreamReader, take: Line) -> None:
    """Gives each line on, also where it ends with a carriage return; of one that is too long only its beginning."""
    rest = b""
    while chunk := await reader.read(65536):
        *whole, rest = (rest + chunk).replace(b"\r", b"\n").split(b"\n")
        for line in whole:
            take(line[:LONGEST_LINE].decode(errors="replace"))
        rest = rest[:LONGEST_LINE]
    if rest:
        take(rest.decode(errors="replace"))
