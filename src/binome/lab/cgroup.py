"""One control group a server, below one a site: by them a site ends all at once, and nothing is left behind."""

from __future__ import annotations

import errno
import os
import time
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path

from binome.lab.errors import LabError

ROOT = "binome-lab"


def root() -> Path:
    """The lab's own group. Raises LabError where the machine has no control groups of version 2."""
    for line in Path("/proc/self/mounts").read_text().splitlines():
        _, mount, kind, options, *_ = line.split(" ")
        if kind == "cgroup2":
            if "ro" in options.split(","):
                raise LabError(f"{mount} is mounted read-only.  In a container, run it privileged.")
            return Path(mount) / ROOT
    raise LabError("no control groups of version 2 are mounted.  Mount them: mount -t cgroup2 none /sys/fs/cgroup")


def create(*parts: str) -> Path:
    """Makes a group below the lab's, with its parents, and returns its folder."""
    group = root().joinpath(*parts)
    group.mkdir(parents=True, exist_ok=True)
    return group


def kill(*parts: str) -> None:
    """Ends every process of a group and of those below it at once, and waits until they are gone."""
    group = root().joinpath(*parts)
    if group.exists():
        _until(group, lambda: _ended(group))


def _ended(group: Path) -> bool:
    """Ends the processes of a group; whether there are none. A program that is just being started may still join it."""
    switch = group / "cgroup.kill"
    if not switch.exists():
        raise LabError("this kernel cannot end a control group at once (cgroup.kill).  Linux 5.14 or newer is needed.")
    switch.write_text("1")
    return "populated 1" not in (group / "cgroup.events").read_text()


def _until(group: Path, done: Callable[[], bool], timeout_s: float = 10) -> None:
    deadline = time.monotonic() + timeout_s
    while not done():
        if time.monotonic() > deadline:
            raise LabError(f"processes of {group} did not end within {timeout_s:g} s: {sorted(pids())}")
        time.sleep(0.005)


def pids(*parts: str) -> set[int]:
    """The processes of a group and of those below it."""
    group = root().joinpath(*parts)
    return {int(pid) for procs in group.rglob("cgroup.procs") for pid in procs.read_text().split()}


def destroy() -> None:
    """Ends whatever runs in the lab's groups, and removes them. What is dead by then is also buried.

    Only when a group is removed can no program join it any more: ending and removing go on until both have succeeded.
    """
    top = root()
    if top.exists():
        dead: set[int] = set()
        _until(top, lambda: _removed(top, dead))
        _bury(dead)


def _removed(top: Path, dead: set[int]) -> bool:
    dead |= pids()
    if not _ended(top):
        return False
    try:
        for group in sorted((path for path in top.rglob("*") if path.is_dir()), reverse=True):
            group.rmdir()
        top.rmdir()
    except OSError as error:
        if error.errno != errno.EBUSY:
            raise
        return False
    return True


def _bury(dead: set[int], timeout_s: float = 5) -> None:
    """Waits until ended processes have left the process table: our own children by us, the others by init."""
    deadline = time.monotonic() + timeout_s
    while dead and time.monotonic() < deadline:
        for pid in dead:
            with suppress(ChildProcessError):
                os.waitpid(pid, os.WNOHANG)
        dead = {pid for pid in dead if Path(f"/proc/{pid}").exists()}
        time.sleep(0.01)
