"""Three lookouts on real etcd: one journal, one who decides, and a plan that outlives whoever began it."""

from __future__ import annotations

import json
import os
import re
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from binome.lab.guard import passing_lab
from binome.lab.lab import Lab
from binome.lab.lookouts import names as lookouts_of
from binome.lab.lookouts import said
from tests.lab.conftest import LITTORAL

pytestmark = pytest.mark.lab
BINOME = str(Path(sys.executable).with_name("binome"))


class Lookouts:
    """`binome run` on every lookout of the estate, each in its own server's network and files."""

    def __init__(self, lab: Lab) -> None:
        self.lab = lab
        self.names = lookouts_of(lab.estate)
        self.alive = set(self.names)

    def root(self, name: str) -> Path:
        return self.lab.root(name)

    def start(self, name: str) -> None:
        self.lab.start_lookout(name)
        self.alive.add(name)

    def kill(self, name: str) -> None:
        self.alive.remove(name)
        for pid in self.lab.pids(name):
            if b"binome.cli.entry" in Path(f"/proc/{pid}/cmdline").read_bytes():
                os.kill(pid, signal.SIGKILL)

    def status(self, name: str) -> dict[str, Any]:
        return said(self.root(name)) or {"leads": None, "plans": [], "entries": 0}

    def leader(self) -> str:
        """The lookout that leads; waits until one does."""
        self.lab.wait_for(lambda: [] if self._leading() else ["a leader"], "the lookouts", 20)
        (leader,) = self._leading()
        return leader

    def _leading(self) -> list[str]:
        return [name for name in self.alive if self.status(name)["leads"] is not None]

    def command(self, via: str, *arguments: str) -> subprocess.CompletedProcess[str]:
        door = str(self.root(via) / "run" / "binome" / "binome.sock")
        return subprocess.run(
            [BINOME, *arguments, "--socket", door],
            capture_output=True,
            text=True,
            timeout=30,
            check=False,
        )

    def journal(self, name: str, *arguments: str) -> subprocess.CompletedProcess[str]:
        file = str(self.root(name) / "var" / "lib" / "binome" / "journal.sqlite")
        return subprocess.run(
            [BINOME, "journal", *arguments, "--file", file], capture_output=True, text=True, timeout=30, check=False
        )

    def held(self, subject: str) -> list[str]:
        """The lookouts on which a subject's file lies."""
        files = {name: self.root(name) / "var" / "lib" / "binome" / "maintenance" / subject for name in self.names}
        return [name for name, file in files.items() if file.exists()]

    def without(self, subject: str) -> list[str]:
        """The lookouts that run, and on which a subject's file does not lie."""
        return [name for name in self.alive if name not in self.held(subject)]


@pytest.fixture
def lookouts() -> Iterator[Lookouts]:
    with passing_lab(LITTORAL.read_bytes(), say=print) as lab:
        yield Lookouts(lab)


def test_maintenance_outlives_the_leader_that_began_it(lookouts: Lookouts) -> None:
    first = lookouts.leader()
    others = [name for name in lookouts.names if name != first]
    asked = lookouts.command(others[0], "maintenance", "on", "database", "--for", "12s", "--why", "new disks")
    assert (asked.returncode, "database is in maintenance until" in asked.stdout) == (0, True), asked.stderr
    lookouts.lab.wait_for(lambda: lookouts.without("database"), "the files on all lookouts", 10)
    refused = lookouts.command(others[1], "maintenance", "on", "databse", "--for", "12s", "--why", "new disks")
    assert (refused.returncode, refused.stderr) == (1, "binome: refused: no such subject; nothing was done.\n")
    twice = lookouts.command(first, "maintenance", "on", "database", "--for", "12s", "--why", "again")
    assert (twice.returncode, "maintenance is on already" in twice.stderr) == (1, True)

    told = lookouts.command(others[0], "status")
    assert (told.returncode, f"lead: {first}, generation" in told.stdout) == (0, True), told.stdout
    generation = lookouts.status(first)["leads"]
    lookouts.kill(first)
    second = lookouts.leader()
    assert lookouts.status(second)["leads"] > generation
    assert [plan["subject"] for plan in lookouts.status(second)["plans"]] == ["database"]
    assert lookouts.without("database") == [], "all that live still have the file"
    lookouts.lab.wait_for(lambda: [plan["plan"] for plan in lookouts.status(second)["plans"]], "its end", 20)

    lookouts.start(first)
    ends = {name: lookouts.status(second)["entries"] for name in lookouts.names}
    lookouts.lab.wait_for(
        lambda: [name for name, end in ends.items() if lookouts.status(name)["entries"] < end], "the mirrors", 20
    )
    lookouts.lab.wait_for(lambda: lookouts.held("database"), "the end of the files, also on who was away", 10)
    kinds = [json.loads(line)["fact"]["kind"] for line in lookouts.journal(first, "--json").stdout.splitlines()]
    assert kinds.count("plan-made") == 1
    assert kinds.count("leadership-taken") == 2
    assert [lookouts.journal(name, "verify").returncode for name in lookouts.names] == [0, 0, 0]


def test_without_a_majority_of_etcd_nothing_is_promised(lookouts: Lookouts) -> None:
    lookouts.leader()
    lookouts.lab.burn("strasbourg")
    lookouts.lab.burn("gravelines")
    survivor = "par-watch"
    lookouts.lab.wait_for(lambda: ["no leader"] if lookouts.status(survivor)["leads"] else [], "the belief to end", 20)
    unknown = lookouts.command(survivor, "maintenance", "on", "web", "--for", "1h", "--why", "nobody can agree")
    assert unknown.returncode == 4, unknown.stderr
    assert re.search("unknown whether it was done|no answer within 15 s", unknown.stderr), unknown.stderr
    told = lookouts.command(survivor, "status")
    assert (told.returncode, "wrong: " in told.stdout) == (1, True)
    assert lookouts.journal(survivor, "verify").returncode == 0


def test_lookouts_hear_each_other_and_say_who_is_silent(lookouts: Lookouts) -> None:
    """A site that is cut off is silent for both others within two seconds, and heard again when it is healed."""
    lookouts.leader()

    def silent(name: str) -> list[str]:
        peers = lookouts.status(name).get("peers", ())
        return [peer["peer"] for peer in peers if peer["silent"]] if peers else ["nothing known"]

    def all_heard() -> list[str]:
        return [f"{name}: {one}" for name in lookouts.names for one in silent(name)]

    lookouts.lab.wait_for(all_heard, "every lookout hears the others", 10)

    def not_well() -> list[str]:
        told = lookouts.command("par-watch", "status")
        return [] if told.returncode == 0 and "3 of 3 lookout groups heard" in told.stdout else [told.stdout]

    lookouts.lab.wait_for(not_well, "everything is looked at, and well", 20)
    lookouts.lab.cut("strasbourg")
    cut_s = time.monotonic()
    others = ("gra-edge", "par-watch")
    lookouts.lab.wait_for(
        lambda: [name for name in others if silent(name) != ["sbg-edge"]], "sbg-edge is silent, and alone so", 5
    )
    assert time.monotonic() - cut_s < 2.5
    lookouts.lab.wait_for(
        lambda: [] if silent("sbg-edge") == ["gra-edge", "par-watch"] else ["both"], "who is cut off hears nobody", 5
    )
    told = lookouts.command("par-watch", "status")
    assert "2 of 3 lookout groups heard" in told.stdout, told.stdout
    lookouts.lab.heal("strasbourg")
    lookouts.lab.wait_for(all_heard, "every lookout hears the others again", 15)


def test_without_an_identity_a_lookout_says_so_and_takes_one_when_it_comes(lookouts: Lookouts) -> None:
    lookouts.leader()
    tls = lookouts.root("par-watch") / "etc" / "binome" / "tls"
    assert lookouts.status("par-watch")["problems"] == []
    lookouts.kill("par-watch")
    tls.rename(tls.with_name("away"))
    lookouts.start("par-watch")
    wanted = "binome ca issue par-watch"
    lookouts.lab.wait_for(
        lambda: [] if wanted in lookouts.command("par-watch", "status").stdout else ["the problem"], "said", 20
    )
    tls.with_name("away").rename(tls)
    lookouts.lab.wait_for(
        lambda: [] if "3 of 3 lookout groups" in lookouts.command("par-watch", "status").stdout else ["both"],
        "heard without another start",
        20,
    )
