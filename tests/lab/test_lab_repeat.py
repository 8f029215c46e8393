"""Two fires in one lab: the second finds everything whole, and both are in the report."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

import pytest

pytestmark = pytest.mark.lab


def test_two_fires_one_after_the_other(tmp_path: Path) -> None:
    command = [sys.executable, "-m", "binome.cli.entry", "demo", "--repeat", "2", "--act-after", "350ms"]
    ended = subprocess.run([*command, "--out", str(tmp_path)], capture_output=True, text=True, timeout=240, check=False)
    assert ended.returncode == 0, ended.stdout + ended.stderr
    report = json.loads((tmp_path / "report.json").read_text())
    first, second = report["runs"]
    assert (report["good"], report["trouble"], report["lost_later"]) == (True, "", 0)
    assert report["changed"] == {"database": {"cooldown": "1s", "act_after": "350ms"}}
    assert {first["site"], second["site"]} == {"gravelines", "strasbourg"}, "the fire follows the primary"
    for run in report["runs"]:
        assert (run["lost"], run["double_primary"]) == (0, 0)
        assert run["decider"]["site"] == run["etcd_leader"]["site"] == "paris"
        assert 0.35 < run["new_primary_s"] < 2.0
        assert 0.35 < run["writes_down_s"]["impatient"] < 2.5
    assert report["figures"]["new_primary_s"]["n"] == 2
    assert "Every run" in (tmp_path / "report.html").read_text()
