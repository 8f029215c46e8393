"""Grey failures: faults that leave something standing, each with what undoes it.

A program that is *frozen* runs no more and answers nobody, yet the kernel keeps its connections and takes what is sent
to it. It is frozen by a control group of its own, not by SIGSTOP: what the product itself stops and lets go on by
signals stays a matter of its own, and a program that is frozen does not come back because somebody let it go on. New
processes of it are born frozen. Whoever is killed meanwhile is killed.

Everything here ends with the lab, however that ends: frozen programs are in the lab's control groups and die with
them, lost frames are dropped in the lab's own namespace. What is pulsed or toggled is so by threads of this process.
"""

from __future__ import annotations

import os
import shutil
import signal
import threading
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import suppress
from pathlib import Path
from typing import Any

from binome.lab import cgroup, clock, disks, lookouts
from binome.lab.delay import Distance
from binome.lab.disks import Disk
from binome.lab.errors import LabError
from binome.lab.frames import Loss
from binome.lab.lab import Lab
from binome.lab.network import Network
from binome.render import Folders

_WITHIN_S = 5.0
_AGAIN_S = 0.5
_FULL_AGAIN_S = 0.2
_SUPERVISED_EVERY_S = 5.0


def _is_postgresql(words: list[str]) -> bool:
    # PostgreSQL's own processes write what they do over their words: "postgres: littoral: checkpointer".
    return Path(words[0]).name == "postgres" or words[0].startswith("postgres:")


PROGRAMS: dict[str, Callable[[list[str]], bool]] = {
    "postgresql": _is_postgresql,
    "patroni": lambda words: "patroni" in words and "-m" in words,
    "etcd": lambda words: Path(words[0]).name == "etcd",
    "haproxy": lambda words: Path(words[0]).name == "haproxy",
    "lookout": lambda words: "binome.cli.entry" in words,
    "agent": lambda words: "binome.cli.agent" in words,
    "web": lambda words: any(Path(word).name == "web.py" for word in words),
}
"""The programs of a server, by the words that their processes were started with."""
_KINDS = {"patroni": "postgresql", "etcd": "etcd", "haproxy": "haproxy", "web": "http"}
"""The kinds of services whose members are these programs."""


def processes(lab: Lab, server: str, program: str) -> set[int]:
    """The processes of a program on a server."""
    return {pid for pid in lab.pids(server) if (words := _words(pid)) and PROGRAMS[program](words)}


def _words(pid: int) -> list[str]:
    with suppress(OSError):
        return Path(f"/proc/{pid}/cmdline").read_bytes().decode(errors="replace").rstrip("\0").split("\0")
    return []


_FIRST = ("pulse", "flap", "disk", "clock", "delay", "freeze", "lose", "cut", "kill", "burn")
"""In this order faults are undone: what comes back needs the network, and a quorum of those that stood still."""


class Grey:
    """The faults of one lab. `heal` undoes whatever is left of them."""

    def __init__(self, lab: Lab) -> None:
        self.lab = lab
        self._network = Network.of(lab.estate)
        self._binome = {*lookouts.names(lab.estate), *lookouts.agents(lab.estate)}
        self._losses: dict[str, Sequence[Loss]] = {}
        self._undo: dict[str, Callable[[], None]] = {}
        self._supervised_s = 0.0
        self._moving = threading.Lock()  # the lab lets one change at a time be made to its sites

    def heal(self, within_s: float = 0) -> None:
        """Undoes every fault that has not been undone; what fails is tried again for `within_s`, then raised."""
        deadline_s = time.monotonic() + within_s
        while failures := self._undone_but():
            if time.monotonic() > deadline_s:
                self._undo.clear()
                raise LabError(f"not undone: {'; '.join(failures)}")
            time.sleep(_AGAIN_S)
        self._supervised_s = time.monotonic()

    def _undone_but(self) -> list[str]:
        """Tries to undo all; what failed, each with why."""
        failures = []
        for name in sorted(self._undo, key=_turn):
            try:
                self.undo(name)
            except (LabError, OSError) as error:
                failures.append(f"{name}: {error}")
        return failures

    def undo(self, name: str) -> None:
        """Undoes one fault; one that is not there is passed over. Raises LabError or OSError, and then it stands."""
        if undo := self._undo.get(name):
            undo()
            del self._undo[name]

    # -- programs

    def freeze(self, server: str, program: str) -> None:
        """Stops a program on a server where it stands. Raises LabError where it does not run."""
        group = cgroup.create("sites", self._site(server), server, f"frozen-{program}")
        (group / "cgroup.freeze").write_text("1")
        moved: set[int] = set()
        while new := processes(self.lab, server, program) - moved:  # one may be just being born
            for pid in new:
                with suppress(ProcessLookupError):
                    (group / "cgroup.procs").write_text(str(pid))
            moved |= new
        if not moved:
            group.rmdir()
            raise LabError(f"{program} does not run on {server}.")
        self._undo[f"freeze {server} {program}"] = lambda: self._thaw(group)
        _until(lambda: "frozen 1" in (group / "cgroup.events").read_text(), f"{program} on {server} to freeze")

    def thaw(self, server: str, program: str) -> None:
        """Lets a frozen program go on."""
        self.undo(f"freeze {server} {program}")

    def _thaw(self, group: Path) -> None:
        if not group.exists():  # what was in it has been killed, and the group with it
            return
        (group / "cgroup.freeze").write_text("0")
        while pids := group.joinpath("cgroup.procs").read_text().split():
            for pid in pids:
                with suppress(ProcessLookupError):
                    (group.parent / "cgroup.procs").write_text(pid)
        group.rmdir()

    def kill(self, server: str, program: str) -> None:
        """Ends a program on a server at once. PostgreSQL is Patroni's to start again; any other is by `heal`."""
        pids = processes(self.lab, server, program)
        if not pids:
            raise LabError(f"{program} does not run on {server}.")
        for pid in pids:
            with suppress(ProcessLookupError):
                os.kill(pid, signal.SIGKILL)
        _until(lambda: not pids & self.lab.pids(server), f"{program} on {server} to end")
        if program != "postgresql":
            self._undo[f"kill {server} {program}"] = lambda: self._start(server, program)

    def _start(self, server: str, program: str) -> None:
        program = "lookout" if program == "agent" else program  # whoever looks out starts its own agent again
        if self._runs(server, program):
            return
        if program == "lookout":
            self.lab.start_lookout(server)
            return
        for name, service in self.lab.estate.services.items():
            if service.kind == _KINDS[program] and server in service.on:
                self.lab.start_member(name, server)

    def supervise(self) -> list[str]:
        """Starts what has ended by itself, as a supervisor of services does; what that was. For whoever waits.

        Patroni, say, ends where it first meets no etcd. What was started just now does not yet bear its own name, so
        one look in so many seconds is enough.
        """
        if time.monotonic() - self._supervised_s < _SUPERVISED_EVERY_S:
            return []
        self._supervised_s = time.monotonic()
        started = []
        for server in self.lab.estate.servers:
            if self.lab.sites()[self._site(server)] in ("burned", "rebuilding"):
                continue
            wanted = {program for program, kind in _KINDS.items() if self._has(server, kind)}
            wanted |= {"lookout"} if server in self._binome else set()
            for program in sorted(one for one in wanted if not self._runs(server, one)):
                self._start(server, program)
                started.append(f"{program} on {server}")
        return started

    def _has(self, server: str, kind: str) -> bool:
        return any(one.kind == kind and server in one.on for one in self.lab.estate.services.values())

    def _runs(self, server: str, program: str) -> bool:
        # Where nobody looks out, what is started like a lookout becomes an agent, after a while.
        becomes = program == "lookout" and server not in lookouts.names(self.lab.estate)
        names = (program, "agent") if becomes else (program,)
        return any(processes(self.lab, server, name) for name in names)

    # -- etcd

    def lose_data(self, server: str) -> None:
        """Ends a member of etcd and deletes its data; `heal` lets it in again as a new one."""
        self.kill(server, "etcd")
        self._undo.pop(f"kill {server} etcd")
        shutil.rmtree(Path(Folders(str(self.lab.root(server))).data) / "etcd")
        service = next(name for name, one in self.lab.estate.services.items() if one.kind == "etcd")
        self._undo[f"data {server}"] = lambda: self.lab.start_member(service, server, from_nothing=True)

    def fill_quota(self, server: str) -> None:
        """Lets etcd refuse all writes, as with a full quota: the alarm that it raises itself then is raised."""
        member = self.lab.ask_etcd(server, "/v3/maintenance/status", {})["header"]["member_id"]
        self._undo["quota"] = lambda: self._disarm(server)  # an answer that is late may be of what was done
        self._alarm(server, action="ACTIVATE", memberID=member, alarm="NOSPACE")

    def _disarm(self, server: str) -> None:
        """Every alarm goes: the member that raised one may be another one by now."""
        for one in self._alarm(server, action="GET").get("alarms", ()):
            self._alarm(server, action="DEACTIVATE", **one)

    def _alarm(self, server: str, **question: str) -> Any:
        return self.lab.ask_etcd(server, "/v3/maintenance/alarm", question)

    # -- clocks

    def turn_clock(self, server: str, offset: str) -> None:
        """Sets the clock of a lookout that has one of its own: +600 or -600 (seconds), +0 x1.1 (it runs too fast)."""
        self._undo[f"clock {server}"] = lambda: clock.turn(self.lab, server, clock.RIGHT)
        clock.turn(self.lab, server, offset)

    # -- disks

    def fill_disk(self, disk: Disk) -> None:
        """Fills a small disk, and keeps it full: what others free on it is taken as well."""
        disks.fill(self.lab, disk)

        def beat(stopped: threading.Event) -> None:
            try:
                while not stopped.wait(_FULL_AGAIN_S):
                    disks.fill(self.lab, disk)
            finally:
                disks.free(self.lab, disk)

        self._in_background(f"disk {disk.server} {disk.name}", beat)

    # -- time

    def pulse(self, targets: Sequence[tuple[str, str]], frozen_s: float, free_s: float) -> None:
        """Freezes programs, given by server and name, again and again: what is slow is slow in such pulses."""

        def beat(stopped: threading.Event) -> None:
            while not stopped.is_set():
                for target in targets:
                    self.freeze(*target)
                stopped.wait(frozen_s)
                for target in targets:
                    self.thaw(*target)
                stopped.wait(free_s)

        self._in_background("pulse", beat)

    def flap(self, site: str, every_s: float) -> None:
        """Takes a site off the network and puts it back, every so many seconds."""

        def beat(stopped: threading.Event) -> None:
            while not stopped.is_set():
                with self._moving:
                    self.lab.cut(site)
                stopped.wait(every_s)
                with self._moving:
                    self.lab.heal(site)
                stopped.wait(every_s)

        self._in_background("flap", beat)

    def _in_background(self, name: str, beat: Callable[[threading.Event], None]) -> None:
        stopped, failures = threading.Event(), []

        def run() -> None:
            try:
                beat(stopped)
            except (LabError, OSError) as error:  # told when it is undone, once
                failures.append(str(error))

        thread = threading.Thread(target=run, name=name, daemon=True)
        thread.start()

        def end() -> None:
            stopped.set()
            thread.join()
            if failures:
                raise LabError(f"it did not go on: {failures.pop()}")

        self._undo[name] = end

    # -- the network

    def delay(self, delay_ms: float) -> None:
        """Every frame between two sites takes so long, one way."""
        distance = Distance(self.lab)
        self._undo["delay"] = distance.close
        distance.stretch(delay_ms)

    def lose(self, name: str, losses: Sequence[Loss]) -> None:
        """Loses frames, under a name of its own, beside what is lost already."""
        self._losses[name] = losses
        self._network.lose([one for some in self._losses.values() for one in some])
        self._undo[f"lose {name}"] = lambda: self._found(name)

    def _found(self, name: str) -> None:
        self._losses.pop(name, None)
        self._network.lose([one for some in self._losses.values() for one in some])

    def cut(self, site: str) -> None:
        """Takes a site off the network."""
        with self._moving:
            self.lab.cut(site)
        self._undo[f"cut {site}"] = lambda: self._join(site)

    def _join(self, site: str) -> None:
        with self._moving:
            self.lab.heal(site)

    def burn(self, site: str, *, wipe: bool = False) -> None:
        """Burns a site; what undoes it starts it again, from what is left of it or from nothing, and does not wait."""
        with self._moving:
            self.lab.burn(site, wipe=wipe)
        self._undo[f"burn {site}"] = lambda: self._rebuild(site)

    def _rebuild(self, site: str) -> None:
        with self._moving:
            self.lab.rebuild(site, waits=False)

    def _site(self, server: str) -> str:
        return self.lab.estate.servers[server].site or ""

    def standing(self) -> Iterator[str]:
        """The faults that have not been undone."""
        return iter(self._undo)


def _turn(name: str) -> int:
    kind = name.split(" ", 1)[0]
    return _FIRST.index(kind) if kind in _FIRST else len(_FIRST)


def _until(condition: Callable[[], bool], what: str) -> None:
    deadline_s = time.monotonic() + _WITHIN_S
    while not condition():
        if time.monotonic() > deadline_s:
            raise LabError(f"waited in vain for {what}.")
        time.sleep(0.005)
