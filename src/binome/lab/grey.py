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

from binome.lab import cgroup
from binome.lab.errors import LabError
from binome.lab.frames import Loss
from binome.lab.lab import Lab
from binome.lab.network import Network
from binome.render import Folders

_WITHIN_S = 5.0


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


def processes(lab: Lab, server: str, program: str) -> set[int]:
    """The processes of a program on a server."""
    return {pid for pid in lab.pids(server) if (words := _words(pid)) and PROGRAMS[program](words)}


def _words(pid: int) -> list[str]:
    with suppress(OSError):
        return Path(f"/proc/{pid}/cmdline").read_bytes().decode(errors="replace").rstrip("\0").split("\0")
    return []


class Grey:
    """The faults of one lab. `heal` undoes whatever is left of them, the last one first."""

    def __init__(self, lab: Lab) -> None:
        self.lab = lab
        self._network = Network.of(lab.estate)
        self._losses: dict[str, Sequence[Loss]] = {}
        self._undo: dict[str, Callable[[], None]] = {}

    def heal(self) -> None:
        """Undoes every fault that has not been undone. What fails is told once all have been tried."""
        failures = []
        while self._undo:
            name, undo = self._undo.popitem()
            try:
                undo()
            except (LabError, OSError) as error:
                failures.append(f"{name}: {error}")
        if failures:
            raise LabError(f"not undone: {'; '.join(failures)}")

    def undo(self, name: str) -> None:
        """Undoes one fault; one that is not there is passed over."""
        if undo := self._undo.pop(name, None):
            undo()

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
        if processes(self.lab, server, program):
            return
        if program == "lookout":
            self.lab.start_lookout(server)
            return
        kind = {"patroni": "postgresql", "web": "http"}.get(program, program)
        for name, service in self.lab.estate.services.items():
            if service.kind == kind and server in service.on:
                self.lab.start_member(name, server)

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
        self._alarm(server, "ACTIVATE")
        self._undo["quota"] = lambda: self._alarm(server, "DEACTIVATE")

    def _alarm(self, server: str, action: str) -> None:
        member = self.lab.ask_etcd(server, "/v3/maintenance/status", {})["header"]["member_id"]
        question = {"action": action, "memberID": member, "alarm": "NOSPACE"}
        self.lab.ask_etcd(server, "/v3/maintenance/alarm", question)

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
                self.lab.cut(site)
                stopped.wait(every_s)
                self.lab.heal(site)
                stopped.wait(every_s)

        self._in_background("flap", beat)

    def _in_background(self, name: str, beat: Callable[[threading.Event], None]) -> None:
        stopped, failures = threading.Event(), []

        def run() -> None:
            try:
                beat(stopped)
            except (LabError, OSError) as error:  # told when it is undone
                failures.append(str(error))

        thread = threading.Thread(target=run, name=name, daemon=True)
        thread.start()

        def end() -> None:
            stopped.set()
            thread.join()
            if failures:
                raise LabError(f"it did not go on: {failures[0]}")

        self._undo[name] = end

    # -- the network

    def lose(self, name: str, losses: Sequence[Loss]) -> None:
        """Loses frames, under a name of its own, beside what is lost already."""
        self._losses[name] = losses
        self._network.lose([one for some in self._losses.values() for one in some])
        self._undo[f"lose {name}"] = lambda: self._found(name)

    def _found(self, name: str) -> None:
        del self._losses[name]
        self._network.lose([one for some in self._losses.values() for one in some])

    def cut(self, site: str) -> None:
        """Takes a site off the network."""
        self.lab.cut(site)
        self._undo[f"cut {site}"] = lambda: self.lab.heal(site)

    def burn(self, site: str, *, wipe: bool = False) -> None:
        """Burns a site; `heal` rebuilds it."""
        self.lab.burn(site, wipe=wipe)
        self._undo[f"burn {site}"] = lambda: self.lab.rebuild(site)

    def _site(self, server: str) -> str:
        return self.lab.estate.servers[server].site or ""

    def standing(self) -> Iterator[str]:
        """The faults that have not been undone."""
        return iter(self._undo)


def _until(condition: Callable[[], bool], what: str) -> None:
    deadline_s = time.monotonic() + _WITHIN_S
    while not condition():
        if time.monotonic() > deadline_s:
            raise LabError(f"waited in vain for {what}.")
        time.sleep(0.005)
