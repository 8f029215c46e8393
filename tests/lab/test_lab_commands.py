"""The commands of the lab as an engineer uses and misuses them; and that nothing stays behind, however they end."""

from __future__ import annotations

import json
import os
import re
import shutil
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from typer.testing import CliRunner

from binome.cli.main import app
from binome.lab import cgroup
from binome.lab.state import FOLDER
from tests.lab.conftest import LITTORAL

pytestmark = pytest.mark.lab
BINOME = str(Path(sys.executable).with_name("binome"))


def binome(*arguments: str, **options: Any) -> subprocess.CompletedProcess[str]:
    return subprocess.run([BINOME, *arguments], capture_output=True, text=True, timeout=170, check=False, **options)


def leftovers() -> list[str]:
    """All that a lab could leave on this machine."""
    found = [str(path) for path in (FOLDER, cgroup.root()) if path.exists()]
    found += [path.name for path in Path("/run/netns").glob("binome-*")] if Path("/run/netns").exists() else []
    found += [line for line in Path("/proc/self/mounts").read_text().splitlines() if "binome" in line]
    for process in Path("/proc").glob("[0-9]*"):
        try:
            command = process.joinpath("cmdline").read_bytes().decode(errors="replace")
            where = str((process / "cwd").readlink())
        except OSError:
            continue
        if str(FOLDER) in command + where or re.search(r"binome\.lab", command):
            found.append(f"process {process.name}: {command}")
    return found


def wait_until_nothing_is_left(timeout_s: float = 20) -> None:
    deadline = time.monotonic() + timeout_s
    while left := leftovers():
        assert time.monotonic() < deadline, left
        time.sleep(0.1)


@pytest.fixture(autouse=True)
def clean() -> Iterator[None]:
    assert leftovers() == []
    yield
    binome("lab", "down")
    assert leftovers() == []


def test_a_lab_goes_up_once_is_burned_and_goes_down(tmp_path: Path) -> None:
    up = binome("lab", "up", str(LITTORAL))
    assert up.returncode == 0, up.stderr
    report = json.loads(binome("lab", "status", "--json").stdout)
    assert report["state"] == "up"
    assert report["sites"]["paris"] == {"state": "up", "servers": ["par-watch", "par-spare"]}
    assert report["services"]["database"] == {
        "gra-db": {"role": "primary", "state": "up"},
        "sbg-db": {"role": "standby", "state": "up"},
    }
    assert {"link sms (sms)", "vault vault-ams (restic)"} <= set(report["not_built"])
    assert set(report) == {"state", "folder", "sites", "services", "lookouts", "not_built"}

    check_that_real_servers_get_the_same_files(tmp_path)

    again = binome("lab", "up", str(LITTORAL))
    assert (again.returncode, "a lab is up already" in again.stderr) == (3, True)
    assert but_leaders_of_etcd(json.loads(binome("lab", "status", "--json").stdout)) == but_leaders_of_etcd(report)

    unknown = binome("lab", "burn", "strasborg")
    assert (unknown.returncode, "Did you mean strasbourg?" in unknown.stderr) == (2, True)

    assert binome("lab", "burn", "strasbourg", "--wipe").returncode == 0
    report = json.loads(binome("lab", "status", "--json").stdout)
    assert (report["state"], report["sites"]["strasbourg"]["state"]) == ("degraded", "burned")
    assert report["services"]["web"]["sbg-web"]["state"] == "down"
    twice = binome("lab", "cut", "strasbourg")
    assert (twice.returncode, "strasbourg is burned; nothing was done" in twice.stderr) == (3, True)

    assert binome("lab", "down").returncode == 0
    assert leftovers() == []
    assert binome("lab", "down").stdout == "No lab was up.\n"
    assert binome("lab", "burn", "strasbourg").returncode == 3


def but_leaders_of_etcd(report: dict[str, Any]) -> dict[str, Any]:
    """What a lab says of itself, but who leads etcd: that is moved to a site without a primary as soon as it may be."""
    services = {name: one for name, one in report["services"].items() if name != "coordination"}
    return report | {"services": services}


def check_that_real_servers_get_the_same_files(into: Path) -> None:
    for server in ("gra-db", "sbg-edge", "par-watch"):
        assert binome("render", server, "--into", str(into / server), "--estate", str(LITTORAL)).returncode == 0
        rendered = sorted(path for path in (into / server).rglob("*") if path.is_file())
        assert rendered
        root = FOLDER / "servers" / server
        for path in rendered:
            in_the_lab = (root / path.relative_to(into / server)).read_text()
            assert in_the_lab.replace(str(root), "") == path.read_text()


def test_a_taken_name_is_left_as_it_was() -> None:
    subprocess.run(["ip", "netns", "add", "binome-gra-db"], check=True)
    try:
        refused = binome("lab", "up", str(LITTORAL))
        assert (refused.returncode, "binome-gra-db is there already" in refused.stderr) == (3, True)
        assert Path("/run/netns/binome-gra-db").exists()
        assert not FOLDER.exists()
    finally:
        subprocess.run(["ip", "netns", "delete", "binome-gra-db"], check=True)


def test_a_taken_port_is_named(tmp_path: Path) -> None:
    estate = tmp_path / "estate.yaml"
    estate.write_text(
        LITTORAL.read_text().replace("on: [gra-web, sbg-web]", "on: [gra-edge, sbg-web]").replace("8000", "80")
    )
    refused = binome("lab", "up", str(estate))
    assert (refused.returncode, "port 80 of gra-edge is wanted by web and by edge" in refused.stderr) == (3, True)


def test_a_missing_engine_is_named(tmp_path: Path) -> None:
    for tool in ("ip", "bridge", "nsenter", "unshare", "setpriv", "mount", "haproxy"):
        (tmp_path / tool).symlink_to(shutil.which(tool) or "")
    refused = binome("lab", "up", str(LITTORAL), env={"PATH": str(tmp_path)})
    assert refused.returncode == 3
    assert refused.stderr.startswith("binome: not installed: etcd.")


def test_without_privileges_one_line_says_what_to_do(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(os, "geteuid", lambda: 1000)
    refused = CliRunner().invoke(app, ["lab", "up", str(LITTORAL)])
    assert (refused.exit_code, refused.stderr.count("\n"), "Run it as root" in refused.stderr) == (3, 1, True)


@pytest.mark.parametrize("how", [signal.SIGINT, signal.SIGKILL])
def test_a_demonstration_that_is_broken_off_leaves_nothing(how: signal.Signals, tmp_path: Path) -> None:
    with subprocess.Popen(
        [BINOME, "demo", "--out", str(tmp_path)], stdout=subprocess.PIPE, text=True, start_new_session=True
    ) as demo:
        assert demo.stdout is not None
        while "clients write" not in (line := demo.stdout.readline()):
            assert line, "the demonstration ended before it began"
        os.killpg(demo.pid, how) if how == signal.SIGINT else demo.send_signal(how)
        assert demo.wait(timeout=30) == (130 if how == signal.SIGINT else -how)
        if how == signal.SIGINT:
            assert leftovers() == []
        wait_until_nothing_is_left()


def test_a_full_disk_under_the_report_is_said_and_not_a_traceback(tmp_path: Path) -> None:
    full = tmp_path / "full"
    full.mkdir()
    subprocess.run(["mount", "-t", "tmpfs", "-o", "size=4k", "tmpfs", str(full)], check=True)
    try:
        (full / "filler").write_bytes(b"x" * 4096)
        refused = binome("demo", "--out", str(full))
        assert refused.returncode == 3
        assert refused.stderr == (
            f"binome: the report cannot be written to {full}: No space left on device.  Choose another: --out\n"
        )
    finally:
        subprocess.run(["umount", str(full)], check=True)


@pytest.mark.parametrize(
    ("fault", "site", "begins"),
    [
        ("burn", "gravelines", "gravelines burns"),
        ("cut", "gravelines", "gravelines is cut off"),
        ("burn-standby", "strasbourg", "strasbourg burns"),
    ],
)
def test_a_demonstration_proves_that_nothing_is_lost(fault: str, site: str, begins: str, tmp_path: Path) -> None:
    done = binome("demo", "--fault", fault, "--out", str(tmp_path))
    assert done.returncode == 0, done.stdout + done.stderr
    report = json.loads((tmp_path / "report.json").read_text())
    assert (report["fault"], report["site"], report["lost"], report["double_primary"]) == (fault, site, 0, 0)
    assert report["acknowledged"] > 1000
    assert 0 < report["outage_impatient_s"]["read"] < report["outage_s"]["write"]
    assert report["time_to_redundancy_s"] > (report["new_primary_s"] or 0)
    assert (report["new_primary_s"] is None) == (fault == "burn-standby")
    assert [event["what"] for event in report["events"] if event["at_s"] == 0] == [begins]
    assert "all of them are there" in (tmp_path / "report.html").read_text()
    assert {page["via"] for page in report["pages"]} >= {"sms-gateway"}
    logs = {path.name for path in (tmp_path / "logs").iterdir()}
    assert logs - {"mail.pages.jsonl"} == {"impatient.jsonl", "patient.jsonl", "sms-gateway.pages.jsonl"}


def test_a_lost_quorum_is_said_and_a_damaged_lab_can_be_taken_down() -> None:
    assert binome("lab", "up", str(LITTORAL)).returncode == 0
    for site in ("strasbourg", "gravelines"):
        assert binome("lab", "burn", site, "--wipe").returncode == 0
    refused = binome("lab", "rebuild", "gravelines")
    assert refused.returncode == 3
    assert re.search(r"coordination has lost its quorum: [01] of 3 members work", refused.stderr), refused.stderr
    (FOLDER / "state.json").write_text("")
    damaged = binome("lab", "status")
    assert (damaged.returncode, "state.json is damaged" in damaged.stderr) == (3, True)
    assert binome("lab", "down").stdout == "The lab is gone.\n"
