"""Agents on real engines: an isolated site fences itself, and comes back; lookouts that are away fence nobody.

Every test runs under load; its fixture checks at the end that no acknowledged write is lost, that no two primaries
acknowledged, and that the pair is whole again.
"""

from __future__ import annotations

import os
import re
import signal
import sys
import time
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path

import pytest

from binome.drivers.database.patroni.processes import find, runs_in, started_with
from binome.lab import lookouts, network
from binome.lab.lab import Lab
from tests.lab.conftest import Night
from tests.lab.fires import member_of

pytestmark = pytest.mark.lab
AGENT, LOOKOUT = b"binome.cli.agent", b"binome.cli.entry"
PORTS = (80, 5432, 5433)
"""Where an edge of the example serves."""


def processes(lab: Lab, server: str, program: bytes) -> list[int]:
    """The processes on a server that were started as this."""
    found = []
    for pid in lab.pids(server):
        with suppress(OSError):
            if program in Path(f"/proc/{pid}/cmdline").read_bytes():
                found.append(pid)
    return found


def signalled(pids: list[int], number: signal.Signals) -> None:
    for pid in pids:
        with suppress(ProcessLookupError):
            os.kill(pid, number)


def serves(lab: Lab, edge: str, port: int) -> bool:
    """Whether an edge takes a connection, tried from its own server."""
    address = lab.estate.servers[edge].address or ""
    with network.socket_in(edge, address) as connection:
        connection.settimeout(0.5)
        try:
            connection.connect((address, port))
        except OSError:
            return False
    return True


def is_fenced(lab: Lab, server: str) -> bool:
    return (lab.root(server) / "var/lib/binome/agent/isolated").exists()


def until_s(condition: Callable[[], bool], since_s: float, within_s: float = 5) -> float:
    """How long after a moment something has become so."""
    while not condition():
        assert time.monotonic() < since_s + within_s
        time.sleep(0.01)
    return time.monotonic() - since_s


def until_connected(lab: Lab) -> None:
    """Until every lookout has every agent."""

    def missing() -> list[str]:
        found = []
        for name, said in lab.lookouts().items():
            agents = said["agents"] if said else []
            found += [f"{name} lacks {one['server']}" for one in agents if not one["connected"]] if agents else [name]
        return found

    lab.wait_for(missing, "the agents", 30)


@pytest.mark.parametrize("frozen", [False, True])
def test_an_isolated_site_fences_itself_within_two_seconds(night: Night, frozen: bool) -> None:
    lab, lost = night.lab, night.primary
    until_connected(lab)
    site = night.site_of(lost)
    (edge,) = [one for one in lab.estate.services["edge"].on if night.site_of(one) == site]
    place = member_of(lab, lost)
    postgresql, patroni = runs_in(Path(place["data"])), started_with(Path(place["configuration"]))
    still = [*processes(lab, edge, LOOKOUT), *find(patroni)] if frozen else []
    assert all(serves(lab, edge, port) for port in PORTS)
    signalled(still, signal.SIGSTOP)
    lab.cut(site)
    cut_s = time.monotonic()
    stopped_s = until_s(lambda: not find(postgresql), cut_s)
    refuses_s = until_s(lambda: not any(serves(lab, edge, port) for port in PORTS), cut_s)
    night.until_primary(night.standby)
    new_s = time.monotonic() - cut_s
    sys.stdout.write(
        f"frozen {frozen}: PostgreSQL stopped after {stopped_s:.2f} s, edge after {refuses_s:.2f} s, "
        f"the other is primary after {new_s:.2f} s\n"
    )
    night.until_writes_flow()
    assert max(stopped_s, refuses_s) < 2
    lab.heal(site)
    signalled(still, signal.SIGCONT)
    night.until(lambda: not is_fenced(lab, edge) and not is_fenced(lab, lost), "its return", 60)
    night.until(lambda: all(serves(lab, edge, port) for port in PORTS), "its edge", 10)
    lab.wait_until_whole()
    assert lab.primary(night.service) == night.standby, "there is no failback by itself"
    others = [one for one in lab.estate.servers if night.site_of(one) != site]
    assert not any(is_fenced(lab, one) for one in others)
    until_connected(lab)


def test_lookouts_that_stand_still_or_are_restarted_all_at_once_fence_nobody(night: Night) -> None:
    lab = night.lab
    until_connected(lab)
    watching = {name: processes(lab, name, LOOKOUT) for name in lookouts.names(lab.estate)}
    agents = {name: processes(lab, name, AGENT) for name in lab.estate.servers}
    assert all(len(pids) == 1 for pids in (*watching.values(), *agents.values()))
    everybody = [pid for pids in watching.values() for pid in pids]
    signalled(everybody, signal.SIGSTOP)
    night.until_writes_flow(300)
    time.sleep(4)
    assert not [one for one in lab.estate.servers if is_fenced(lab, one)]
    signalled(everybody, signal.SIGCONT)
    until_connected(lab)
    signalled(everybody, signal.SIGKILL)
    night.until(lambda: not any(processes(lab, name, LOOKOUT) for name in watching), "their end", 5)
    night.until(
        lambda: not any(processes(lab, name, AGENT) for name in watching), "the end of the agents beside them", 5
    )
    time.sleep(3)
    for name in watching:
        lab.start_lookout(name)
    until_connected(lab)
    assert not [one for one in lab.estate.servers if is_fenced(lab, one)]
    assert lab.primary(night.service) == night.primary


def test_agents_and_lookouts_cost_little_at_rest(lab: Lab) -> None:
    lab.wait_until_whole()
    until_connected(lab)
    time.sleep(5)
    agents = {name: processes(lab, name, AGENT)[0] for name in lab.estate.servers}
    watching = {name: processes(lab, name, LOOKOUT)[0] for name in lookouts.names(lab.estate)}
    begun = {pid: cpu_s(pid) for pid in (*agents.values(), *watching.values())}
    time.sleep(20)
    shares = {pid: (cpu_s(pid) - before) / 20 for pid, before in begun.items()}
    for what, pids in (("agent", agents), ("lookout", watching)):
        for name, pid in pids.items():
            sys.stdout.write(f"{what} {name}: {shares[pid]:.2%} of a core, {pss_mb(pid):.1f} MB\n")
    assert max(shares[pid] for pid in agents.values()) < 0.01
    assert max(pss_mb(pid) for pid in agents.values()) <= 35


def cpu_s(pid: int) -> float:
    """Seconds of processor that a process has used."""
    fields = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
    return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")


def pss_mb(pid: int) -> float:
    """What a process holds of the memory, with its share of what several hold, in MB."""
    found = re.search(r"^Pss:\s+(\d+)", Path(f"/proc/{pid}/smaps_rollup").read_text(), re.MULTILINE)
    assert found is not None
    return int(found[1]) / 1024
