"""`binome run`: where it cannot, one line, and the exit code that says whose fault it is; a journal that is lost."""

from __future__ import annotations

import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import msgspec
import pytest
from typer.testing import CliRunner

from binome.cli.main import app
from binome.cli.run import too_few_places
from binome.core.acceptance import Accepted
from binome.estate import load

LITTORAL = Path(__file__).parents[2] / "examples" / "littoral" / "estate.yaml"
ALONE = """\
estate: alone
sites:
  here: {region: fr}
servers:
  box: {site: here, address: 192.0.2.1}
lookout:
  on: [box]
"""


@pytest.mark.parametrize("folder", ["run", "var"])
def test_a_folder_that_cannot_be_used_is_one_line_and_three(folder: str, tmp_path: Path) -> None:
    estate = tmp_path / "estate.yaml"
    estate.write_text(ALONE)
    (tmp_path / folder).write_text("in the way")
    result = CliRunner().invoke(app, ["run", str(estate), "--as", "box", "--root", str(tmp_path)])
    assert result.exit_code == 3, (result.output, result.exception)
    assert result.output.count("\n") == 1
    assert f"{tmp_path / folder}" in result.output


@contextmanager
def running(root: Path, estate: str = ALONE) -> Iterator[Path]:
    """`binome run` as a process of its own, below a folder; its door, which is open."""
    (root / "estate.yaml").write_text(estate)
    door = root / "run" / "binome" / "binome.sock"
    door.unlink(missing_ok=True)
    command = [sys.executable, "-m", "binome.cli.entry", "run", str(root / "estate.yaml"), "--as", "box"]
    process = subprocess.Popen([*command, "--root", str(root)])
    try:
        end_s = time.monotonic() + 20
        while not door.exists():
            assert process.poll() is None and time.monotonic() < end_s
            time.sleep(0.05)
        yield door
    finally:
        process.terminate()
        assert process.wait(10) == 0


def maintenance(door: Path, *arguments: str) -> tuple[int, str]:
    result = CliRunner().invoke(app, ["maintenance", *arguments, "--socket", str(door)])
    return result.exit_code, result.output


def test_a_lone_lookout_that_lost_its_journal_obeys_itself(tmp_path: Path) -> None:
    """Its journal is begun anew, and leads above all that was accepted on this server, by itself or by an agent."""
    data = tmp_path / "var" / "lib" / "binome"
    hold = ("on", "box", "--for", "1h", "--why", "disks")
    with running(tmp_path) as door:
        assert maintenance(door, *hold)[0] == 0
    with running(tmp_path) as door:
        assert maintenance(door, "off", "box")[0] == 0
    assert msgspec.json.decode((data / "accepted").read_bytes(), type=Accepted).generation == 2
    for file in data.glob("journal.sqlite*"):
        file.unlink()
    with running(tmp_path) as door:
        assert maintenance(door, *hold)[0] == 0
        assert maintenance(door, "off", "box")[0] == 0
    (data / "agent").mkdir()
    (data / "agent" / "accepted").write_bytes(msgspec.json.encode(Accepted(70)))
    with running(tmp_path) as door:
        assert maintenance(door, *hold)[0] == 0
    assert msgspec.json.decode((data / "accepted").read_bytes(), type=Accepted).generation == 71


@pytest.mark.parametrize(
    ("lookouts", "said"),
    [
        ("gra-edge, sbg-edge, par-watch", ""),
        (
            "gra-edge, sbg-edge",
            "from 2 independent places, and nothing can be automatic with fewer than 3",
        ),
        ("gra-edge, gra-web", "it looks out from 1 independent place, and"),
    ],
)
def test_it_says_when_nothing_can_be_automatic_and_why(lookouts: str, said: str) -> None:
    text = LITTORAL.read_text().replace("on: [gra-edge, sbg-edge, par-watch]", f"on: [{lookouts}]")
    lines = too_few_places(load(text.encode()))
    assert said in "\n".join(lines) and bool(lines) is bool(said)
    assert not lines or "--attest" in lines[1]
    assert too_few_places(load(ALONE.encode())) == []
