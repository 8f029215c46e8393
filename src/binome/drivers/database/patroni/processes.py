"""The processes of one member, found by what the kernel says of them, and stopped, whatever state they are in.

A pid file may be old, and a frozen program answers nobody. So PostgreSQL's processes are those whose program is
`postgres` and whose working folder is the data folder (every one of them stays in it from beginning to end), and
Patroni's those that were started with its configuration file. A process is signalled through a descriptor that was
opened before it was looked at: another one that got its number meanwhile is never hit.
"""

from __future__ import annotations

import asyncio
import os
import signal
from collections.abc import Callable, Iterator
from contextlib import suppress
from pathlib import Path

Is = Callable[[int], bool]
_LOOK_EVERY_S = 0.01


def runs_in(data: Path) -> Is:
    """Whether a process is PostgreSQL's, of this data folder."""

    def is_it(pid: int) -> bool:
        try:
            program = Path(f"/proc/{pid}/exe").readlink().name
        except PermissionError:
            if Path(f"/proc/{pid}/comm").read_text().rstrip("\n") != "postgres":
                return False
            raise  # it may be one: nobody can say that none is left
        if program.removesuffix(" (deleted)") != "postgres":
            return False
        with suppress(FileNotFoundError):  # the folder itself is gone; what ran in it may run on
            return Path(f"/proc/{pid}/cwd").samefile(data)
        return str(Path(f"/proc/{pid}/cwd").readlink()).removesuffix(" (deleted)") == str(data)

    return is_it


def works_on(data: Path) -> Is:
    """Whether a process copies or rewinds this data folder."""

    def is_it(pid: int) -> bool:
        program, *words = _words(pid)
        named = any(word.removeprefix("--pgdata=").removeprefix("--target-pgdata=") == str(data) for word in words)
        return named and Path(program).name in ("pg_basebackup", "pg_rewind", "initdb")

    return is_it


def started_with(configuration: Path) -> Is:
    """Whether a process is the Patroni of this configuration file."""

    def is_it(pid: int) -> bool:
        words = _words(pid)
        return str(configuration) in words and any("patroni" in Path(word).name for word in words[:-1])

    return is_it


def _words(pid: int) -> list[str]:
    return Path(f"/proc/{pid}/cmdline").read_text(errors="replace").rstrip("\0").split("\0")


def _opened(is_it: Is) -> Iterator[tuple[int, int]]:
    """(number, descriptor) of every living process that it is; each descriptor is closed before the next comes."""
    for entry in os.scandir("/proc"):
        if not entry.name.isdecimal() or int(entry.name) == os.getpid():
            continue
        pid = int(entry.name)
        with suppress(FileNotFoundError, ProcessLookupError):  # it ended while we looked
            descriptor = os.pidfd_open(pid)
            try:
                if is_it(pid) and _state(pid) != "Z":
                    yield pid, descriptor
            finally:
                os.close(descriptor)


def _state(pid: int) -> str:
    return Path(f"/proc/{pid}/stat").read_text(errors="replace").rpartition(")")[2].split()[0]


def find(is_it: Is) -> set[int]:
    """The numbers of the living processes that it is."""
    return {pid for pid, _ in _opened(is_it)}


def send(is_it: Is, number: signal.Signals) -> int:
    """Signals all of them, and says how many."""
    count = 0
    for _, descriptor in _opened(is_it):
        with suppress(ProcessLookupError):
            signal.pidfd_send_signal(descriptor, number)
            count += 1
    return count


async def end(is_it: Is, *, within_s: float, gently_s: float = 0.0) -> bool:
    """Ends all of them: by SIGQUIT for as long as `gently_s`, then by SIGKILL; whether none is left after `within_s`.

    Raises OSError where it may not look at a process that could be one.
    Whoever is frozen does not hear SIGQUIT, and dies of SIGKILL all the same. One that the kernel holds (a dead disk)
    stays: then the answer is no.
    """
    loop = asyncio.get_running_loop()
    begun_s = loop.time()
    if gently_s:
        send(is_it, signal.SIGQUIT)
    while find(is_it):
        if loop.time() - begun_s > within_s:
            return False
        if loop.time() - begun_s >= gently_s:
            send(is_it, signal.SIGKILL)
        await asyncio.sleep(_LOOK_EVERY_S)
    return True


async def stand_still(is_it: Is, *, within_s: float) -> bool:
    """Whether every one of them comes to stand still, by SIGSTOP; also where there is none."""
    until_s = asyncio.get_running_loop().time() + within_s
    while not all(_state(pid) in "Tt" for pid, _ in _opened(is_it)):
        if asyncio.get_running_loop().time() > until_s:
            return False
        await asyncio.sleep(_LOOK_EVERY_S)
    return True
