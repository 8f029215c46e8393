"""One engine's process on this server: found, ended and started again by whoever keeps it running.

Where systemd runs it (the kernel says so by the process's cgroup, or it does not run and systemd is there), its unit is
stopped and started. Where nobody does, the process is ended, and started again as it had been: the same program and
arguments, environment, working folder and output, of the same user.
"""

from __future__ import annotations

import asyncio
import os
import re
from asyncio.subprocess import DEVNULL, PIPE, Process
from collections.abc import Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass, field
from pathlib import Path

from binome.drivers.database.patroni import processes

SYSTEMD = Path("/run/systemd/system")
UNIT_WITHIN_S = 15.0
_UNIT = re.compile(r"/([A-Za-z0-9@._-]+\.service)$", re.MULTILINE)


class SupervisionError(Exception):
    """It could not be ended or started; the message says why."""


@dataclass(slots=True)
class Supervised:
    """The process that was started with a configuration file. `user` is whose it is where it does not run."""

    program: str
    configuration: Path
    user: int
    group: int
    unit: str
    log: str = os.devnull
    _arguments: Sequence[str] = ()
    _environment: Mapping[str, str] = field(default_factory=dict)
    _folder: str = "/"
    _by_systemd: bool = False
    _children: list[Process] = field(default_factory=list)

    def pids(self) -> set[int]:
        """Its processes that live."""
        return processes.find(self._is_it)

    def _is_it(self, pid: int) -> bool:
        words = Path(f"/proc/{pid}/cmdline").read_bytes().rstrip(b"\0").split(b"\0")
        return Path(os.fsdecode(words[0])).name == self.program and os.fsencode(self.configuration) in words

    async def _remember(self) -> None:
        """Takes down how it runs now. One that does not run is its unit's where there is such a unit, else nobody's."""
        self._by_systemd = SYSTEMD.exists() and await _has_unit(self.unit)
        self._arguments = (self.program, "--config-file", str(self.configuration))
        self._environment = {"PATH": os.environ.get("PATH", "/usr/sbin:/usr/bin:/sbin:/bin")}
        for pid in self.pids():
            place = Path(f"/proc/{pid}")
            with suppress(FileNotFoundError, ProcessLookupError):
                unit = _UNIT.search((place / "cgroup").read_text())
                self._by_systemd, self.unit = unit is not None, unit[1] if unit else self.unit
                self._arguments = [os.fsdecode(one) for one in (place / "cmdline").read_bytes().split(b"\0")[:-1]]
                pairs = (os.fsdecode(one).partition("=") for one in (place / "environ").read_bytes().split(b"\0"))
                kept = {name: value for name, _, value in pairs if name not in ("", "NOTIFY_SOCKET")}
                self._environment = kept
                self._folder, self.log = str((place / "cwd").readlink()), str((place / "fd" / "1").readlink())
                self.user, self.group = place.stat().st_uid, place.stat().st_gid

    async def stop(self, within_s: float = 5.0) -> None:
        """Ends it, and keeps it from being started again. Raises SupervisionError."""
        await self._remember()
        if self._by_systemd:
            await _systemctl("stop", self.unit)
        if not await processes.end(self._is_it, within_s=within_s, gently_s=within_s / 2):
            raise SupervisionError(f"{self.program} does not end")

    async def start(self) -> None:
        """Has it started as it was when it was stopped. Raises SupervisionError."""
        if not self._arguments:
            await self._remember()
        if not self.pids():
            if self._by_systemd:
                await _systemctl("start", self.unit)
            else:
                self._children.append(await self._begin(self._arguments))

    async def start_with(self, configuration: Path) -> Process:
        """Runs it for once with another configuration file; whoever asked for it ends it. Raises SupervisionError."""
        child = await self._begin((self._arguments[0], "--config-file", str(configuration)))
        self._children.append(child)
        return child

    async def _begin(self, arguments: Sequence[str]) -> Process:
        root = os.geteuid() == 0
        try:
            with Path(self.log if Path(self.log).exists() else os.devnull).open("ab") as log:
                return await asyncio.create_subprocess_exec(
                    *arguments,
                    stdin=DEVNULL,
                    stdout=log,
                    stderr=log,
                    cwd=self._folder,
                    env=dict(self._environment),
                    start_new_session=True,
                    user=self.user if root else None,
                    group=self.group if root else None,
                    extra_groups=[] if root else None,
                )
        except OSError as error:
            raise SupervisionError(f"{arguments[0]}: {error.strerror}") from error


async def _has_unit(unit: str) -> bool:
    process = await asyncio.create_subprocess_exec(
        "systemctl", "cat", unit, stdin=DEVNULL, stdout=DEVNULL, stderr=DEVNULL
    )
    return await process.wait() == 0


async def _systemctl(verb: str, unit: str) -> None:
    """Raises SupervisionError."""
    process = await asyncio.create_subprocess_exec("systemctl", verb, unit, stdin=DEVNULL, stdout=DEVNULL, stderr=PIPE)
    try:
        async with asyncio.timeout(UNIT_WITHIN_S):
            _, said = await process.communicate()
    except TimeoutError:
        process.kill()
        raise SupervisionError(f"systemctl {verb} {unit} did not end within {UNIT_WITHIN_S:g} s") from None
    if process.returncode:
        raise SupervisionError(f"systemctl {verb} {unit}: {said.decode(errors='replace').strip()[:200]}")
