"""A soak on the real engines: a fault is named, and Ctrl-C leaves nothing."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
from pathlib import Path

import pytest

from binome.lab import cgroup
from binome.lab.state import FOLDER

pytestmark = pytest.mark.lab
BINOME = str(Path(sys.executable).with_name("binome"))


def test_a_web_server_that_ends_is_a_verdict_that_moved(tmp_path: Path) -> None:
    report = tmp_path / "soak.json"
    arguments = [BINOME, "lab", "soak", "--minutes", "0.4", "--act-after", "350ms", "--report", str(report)]
    with subprocess.Popen(arguments, stdout=subprocess.PIPE, text=True, cwd=tmp_path) as soak:
        until_steady(soak)
        for pid in cgroup.pids("sites", "gravelines", "gra-web"):
            if b"web.py" in Path(f"/proc/{pid}/cmdline").read_bytes():
                os.kill(pid, signal.SIGKILL)
        assert soak.stdout is not None
        said = soak.stdout.read()
        assert soak.wait(timeout=30) == 1, said
    assert "something moved" in said
    record = json.loads(report.read_text())
    changes = {(one["by"], one["what"]) for one in record["verdict_changes"]}
    assert {("gra-edge", "web@gra-web: up → down"), ("par-watch", "web@gra-web: up → down")} <= changes
    assert any(one["kind"] == "scope" for one in record["moves"])
    assert (record["good"], record["lost"], record["double_primary"]) == (False, 0, 0)
    assert record["dated"] == record["verdicts"] > 50, "what goes and comes back between two looks is found as well"
    assert record["act_after_ms"] == {"database": 350}
    assert not FOLDER.exists()


def test_a_soak_that_is_broken_off_ends_with_130_and_leaves_nothing(tmp_path: Path) -> None:
    with subprocess.Popen([BINOME, "lab", "soak"], stdout=subprocess.PIPE, text=True, cwd=tmp_path) as soak:
        until_steady(soak)
        soak.send_signal(signal.SIGINT)
        assert soak.wait(timeout=30) == 130
    assert not FOLDER.exists()
    assert not cgroup.root().exists()


def until_steady(soak: subprocess.Popen[str]) -> None:
    assert soak.stdout is not None
    while not (line := soak.stdout.readline()).startswith("steady: "):
        assert line, "the soak ended before it began"
