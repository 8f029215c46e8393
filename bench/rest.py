"""What Binôme takes at rest: the example's lab, whole, with nothing to do; each lookout and agent beside bare engines.

    sudo .venv/bin/python bench/rest.py [--seconds N]

CPU is what the kernel counted for a process and its threads, in per cent of one core; memory is the proportional set
size, in which pages that several processes share count in parts. The peers are etcd and Patroni in the same lab, at the
same time: what else the machine does meets them as well, and a lookout at rest should cost no more than the etcd that
it stands beside. A lookout's server runs its agent too, which is a process of its own and has a line of its own.
"""

from __future__ import annotations

import argparse
import os
import statistics
import sys
import time
from collections.abc import Iterable
from pathlib import Path
from typing import NamedTuple

ROOT = Path(__file__).parents[1]
sys.path[:0] = [str(ROOT / "src"), str(ROOT / "bench")]

import goals  # noqa: E402

from binome.lab.guard import passing_lab  # noqa: E402 - of this checkout
from binome.lab.lab import Lab  # noqa: E402

LITTORAL = ROOT / "examples" / "littoral" / "estate.yaml"
SETTLES_S = 10.0
LOOKOUT_PERCENT, LOOKOUT_MB = 2.0, 90.0
AGENT_PERCENT, AGENT_MB = 0.5, 35.0


class Process(NamedTuple):
    """A process of the lab: what it is, and on which server."""

    pid: int
    kind: str
    server: str


def found(lab: Lab) -> list[Process]:
    """The lookouts, agents and peers of a lab."""
    processes = []
    for server in lab.estate.servers:
        for pid in sorted(lab.pids(server)):
            kind = kind_of(pid)
            if kind:
                processes.append(Process(pid, kind, server))
    return processes


def kind_of(pid: int) -> str:
    """What a process is; empty for all that is not measured."""
    try:
        words = Path(f"/proc/{pid}/cmdline").read_bytes().decode("utf-8", "replace").split("\0")
    except OSError:
        return ""
    line = " ".join(words)
    if Path(words[0]).name == "etcd":
        return "etcd"
    if "binome.cli.agent" in line:
        return "agent"
    if "binome.cli.entry run" in line:
        return "lookout"
    return "patroni" if "patroni" in line and "postgres:" not in line else ""


def cpu_ns(pid: int) -> int:
    """The processor time of a process, all threads, in nanoseconds."""
    return sum(int((one / "schedstat").read_text().split()[0]) for one in Path(f"/proc/{pid}/task").iterdir())


def pss_mb(pid: int) -> float:
    lines = Path(f"/proc/{pid}/smaps_rollup").read_text().splitlines()
    return next(int(line.split()[1]) for line in lines if line.startswith("Pss:")) / 1024


def measure(processes: Iterable[Process], seconds: float) -> dict[Process, tuple[float, float]]:
    """Each process with its per cent of a core over some seconds, and its memory in MB at their end."""
    before = {one: cpu_ns(one.pid) for one in processes}
    begun_s = time.monotonic()
    time.sleep(seconds)
    took_s = time.monotonic() - begun_s
    return {one: ((cpu_ns(one.pid) - used) / took_s / 1e7, pss_mb(one.pid)) for one, used in before.items()}


def main() -> None:
    parser = argparse.ArgumentParser()
    parser.add_argument("--seconds", type=float, default=60)
    asked = parser.parse_args()
    if os.geteuid() != 0:
        print("  a lab needs root: skipped")
        return
    with passing_lab(LITTORAL.read_bytes()) as lab:
        lab.wait_until_whole()
        time.sleep(SETTLES_S)
        taken = measure(found(lab), asked.seconds)
    print(f"  {asked.seconds:g} s at rest, {os.cpu_count()} processors; load {os.getloadavg()[0]:.1f}")
    kinds = {kind: {one: of for one, of in taken.items() if one.kind == kind} for kind in ("lookout", "agent")}
    for kind, most_percent, most_mb in (
        ("lookout", LOOKOUT_PERCENT, LOOKOUT_MB),
        ("agent", AGENT_PERCENT, AGENT_MB),
    ):
        for one, (percent, memory_mb) in kinds[kind].items():
            name = f"{kind} {one.server}"
            print(
                f"  {name:20} {percent:5.2f} % of a core {goals.at_most(f'{name} CPU', percent, most_percent)}"
                f" {memory_mb:6.1f} MB {goals.at_most(f'{name} memory', memory_mb, most_mb)}"
            )
    for kind in ("etcd", "patroni"):
        peers = [of for one, of in taken.items() if one.kind == kind]
        percent, memory_mb = (statistics.mean(of[n] for of in peers) for n in (0, 1))
        print(f"  {kind:20} {percent:5.2f} % of a core {memory_mb:6.1f} MB, the mean of {len(peers)}")
    lookouts = statistics.mean(of[0] for of in kinds["lookout"].values())
    etcd = statistics.mean(of[0] for one, of in taken.items() if one.kind == "etcd")
    print(f"  a lookout takes {lookouts / etcd:.2f} of what an etcd takes")
    goals.end()


if __name__ == "__main__":
    main()
