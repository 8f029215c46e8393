"""A matrix that dies in the middle of a fault leaves nothing: no process that stands still, no group, no network."""

from __future__ import annotations

import subprocess
import sys
import time
from pathlib import Path

import pytest

from binome.lab import cgroup, network
from binome.lab.state import FOLDER

pytestmark = pytest.mark.lab


def test_what_is_frozen_ends_with_the_lab_when_its_starter_is_killed(tmp_path: Path) -> None:
    arguments = [sys.executable, "-m", "binome.cli.entry", "lab", "matrix", "patroni-frozen"]
    with subprocess.Popen(arguments, stdout=subprocess.PIPE, text=True, cwd=tmp_path) as matrix:
        assert matrix.stdout is not None
        assert matrix.stdout.readline().startswith("patroni-frozen: ")
        frozen: list[Path] = []
        within_s = time.monotonic() + 20
        while not frozen:
            assert time.monotonic() < within_s
            groups = cgroup.root().rglob("frozen-patroni/cgroup.events")
            frozen = [group for group in groups if "frozen 1" in group.read_text()]
            time.sleep(0.05)
        matrix.kill()
    within_s = time.monotonic() + 30
    while FOLDER.exists():
        assert time.monotonic() < within_s, "the guard took the lab down"
        time.sleep(0.1)
    assert not cgroup.root().exists()
    assert network.ours() == []
