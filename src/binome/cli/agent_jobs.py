"""Long work of an agent: commands of Binôme that it runs as processes of their own, and keeps what came of them.

    ordered ► written down ► a process ► its end is written down ► told in every report ► forgotten when it is ordered

A job is known by the id of its plan: ordered again, it is the same one, whether it runs or has ended. One job a subject
goes on at a time; another one that is ordered for it means that whoever leads has given up the first, which is ended.
So is one that takes longer than it may. A process dies with its agent (drivers/tool.py), and a job that was written
down and does not run when an agent begins has failed: it is never begun a second time by itself.
"""

from __future__ import annotations

import asyncio
import signal
from collections.abc import Callable, Coroutine, Sequence
from contextlib import suppress
from hashlib import sha256
from pathlib import Path
from typing import Any

import msgspec

from binome.core.plan import Outcome
from binome.drivers.tool import ToolMissingError, run
from binome.runtime.accepted import write_whole
from binome.runtime.peer_messages import Job
from binome.shown import shown

MOST_BYTES = 4 << 20
"""So much of what a command says on standard output is looked at."""
ANSWERS = (0, 1)
"""Exit codes of a command that has an answer, good or bad."""
BROKEN_OFF = "its agent was started anew while it ran"
TOO_LONG = "it took longer than it may"
BROKEN_OFF_HERE = "it was broken off: another one was ordered, or its agent ended"

Told = Callable[[bytes], str]
"""What is told of a job, from what its command said. Raises ValueError where that makes no sense."""


class Kept(msgspec.Struct):
    """A job as it is written down."""

    id: str
    subject: str
    state: str
    detail: str = ""


class Jobs:
    """The jobs of one agent, the newest of each subject. One process writes the folder."""

    def __init__(self, folder: Path) -> None:
        """Raises OSError, or ValueError where a file is damaged."""
        self._folder = folder
        self._kept: dict[str, Kept] = {}
        self._running: dict[str, asyncio.Task[None]] = {}  # by subject
        for path in sorted(folder.glob("*.json")):
            kept = msgspec.json.decode(path.read_bytes(), type=Kept)
            if kept.state == "running":
                kept.state, kept.detail = "failed", BROKEN_OFF
                write_whole(path, msgspec.json.encode(kept))
            self._kept[kept.subject] = kept

    async def begin(self, id_: str, subject: str, command: Sequence[str], told: Told, within_s: float) -> Outcome:
        """Begins a job, unless it has begun before. Raises OSError, with nothing begun."""
        kept = self._kept.get(subject)
        if kept is not None and kept.id == id_:
            return Outcome("done", f"it is known here: {kept.state}")
        await self._end(subject)
        kept = Kept(id_, subject, "running")
        self._write(kept)
        self._kept[subject] = kept
        self._running[subject] = asyncio.ensure_future(self._see_through(kept, _result(command, told, within_s)))
        return Outcome("done", "it has begun")

    async def forget(self, id_: str) -> Outcome:
        """Tells of a job no longer: the journal has what came of it, or nobody waits for it. Raises OSError."""
        for subject, kept in list(self._kept.items()):
            if kept.id == id_:
                await self._end(subject)
                self._path(subject).unlink(missing_ok=True)
                del self._kept[subject]
        return Outcome("done")

    def told(self) -> list[Job]:
        """All of them, for the reports."""
        return [Job(one.id, one.subject, _STATES.get(one.state, "failed"), one.detail) for one in self._kept.values()]

    async def _see_through(self, kept: Kept, work: Coroutine[Any, Any, tuple[bool, str]]) -> None:
        done, detail = False, BROKEN_OFF_HERE
        try:
            done, detail = await work
        finally:
            kept.state, kept.detail = "done" if done else "failed", detail
            with suppress(OSError):  # it is told of all the same, and after a restart it has failed
                self._write(kept)

    async def _end(self, subject: str) -> None:
        task = self._running.pop(subject, None)
        if task is not None:
            task.cancel()
            await asyncio.gather(task, return_exceptions=True)

    def _write(self, kept: Kept) -> None:
        write_whole(self._path(kept.subject), msgspec.json.encode(kept))

    def _path(self, subject: str) -> Path:
        return self._folder / f"{sha256(subject.encode()).hexdigest()[:32]}.json"


_STATES: dict[str, Any] = {"running": "running", "done": "done", "failed": "failed"}


async def _result(command: Sequence[str], told: Told, within_s: float) -> tuple[bool, str]:
    """Whether a command did its work, and what it said of it, or its last words."""
    said: list[str] = []
    length = 0

    def heard(line: str) -> None:
        nonlocal length
        length += len(line)
        if length <= MOST_BYTES:
            said.append(line)

    try:
        async with asyncio.timeout(within_s):
            ended = await run(command, output=heard, stop=signal.SIGINT)
    except TimeoutError:
        return False, TOO_LONG
    except (ToolMissingError, OSError) as error:
        return False, shown(str(error), 300)
    if ended.code not in ANSWERS:
        return False, ended.said
    try:
        return True, told("\n".join(said).encode())
    except ValueError as error:
        return False, ended.said if ended.code else shown(f"what it said makes no sense: {error}", 300)
