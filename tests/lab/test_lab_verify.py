"""Two losses of the example are burned in one lab, and come as check said."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

import pytest

from tests.lab.conftest import LITTORAL

pytestmark = pytest.mark.lab


def test_a_database_and_a_web_server_are_lost_and_both_come_back(tmp_path: Path) -> None:
    command = [sys.executable, "-m", "binome.cli.entry", "lab", "verify", str(LITTORAL), "--out", str(tmp_path)]
    done = subprocess.run(
        [*command, "--lose", "gra-db", "--lose", "gra-web"], capture_output=True, text=True, timeout=240, check=False
    )
    assert done.returncode == 0, done.stdout + done.stderr
    kept = json.loads((tmp_path / "verify.json").read_text())["estates"]["littoral"]
    database, web = kept["burns"]
    assert (database["servers"], database["primary"]) == (["gra-db"], "gra-db"), "the primary is where the loss is"
    assert web["servers"] == ["gra-web"]
    assert 2.0 < database["outage_s"]["write"] < 9.0, "act_after is 2 s"
    for one in (database, web):
        assert (one["lost"], one["double_primary"], one["down"]) == (0, 0, [])
        assert one["whole_s"] is not None, "the lab served for both"
    assert database["working"]["database"] == ["sbg-db"]
