"""The core install: without the extras the program reads, checks and renders, and says what else to install."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

LITTORAL = Path(__file__).parents[2] / "examples" / "littoral" / "estate.yaml"
EXTRAS = ("psycopg", "patroni", "aiohttp", "cryptography", "dns", "gufo", "httptools", "uvloop", "aiosmtplib", "jinja2")


def binome(*arguments: str, without: tuple[str, ...] = EXTRAS) -> subprocess.CompletedProcess[str]:
    """Runs the command in a Python in which these modules cannot be imported."""
    program = f"import sys; sys.modules.update(dict.fromkeys({without!r})); from binome.cli.entry import main; main()"
    return subprocess.run(
        [sys.executable, "-c", program, *arguments], capture_output=True, text=True, timeout=60, check=False
    )


def test_without_extras_an_estate_is_read_checked_and_rendered(tmp_path: Path) -> None:
    assert binome("estate", "show", str(LITTORAL)).returncode == 0
    assert "campaigns" in binome("check", str(LITTORAL)).stdout
    rendered = binome("render", "gra-db", "--estate", str(LITTORAL), "--into", str(tmp_path))
    assert rendered.returncode == 0 and (tmp_path / "etc/binome/database.patroni.yml").exists()


@pytest.mark.parametrize(
    ("command", "extras"),
    [("run", "agreement,looking,paging"), ("ca", "agreement"), ("demo", "agreement,lab"), ("lab", "agreement,lab")],
)
def test_a_command_whose_extra_lacks_says_what_to_install(command: str, extras: str) -> None:
    said = binome(command, "estate.yaml", "--as", "par-watch")
    assert said.returncode == 3 and said.stdout == ""
    assert f"pip install 'binome[{extras}]'" in said.stderr and "Traceback" not in said.stderr
    assert f"{command} Not installed: binome[{extras}]." in " ".join(binome("--help").stdout.split())


def test_a_server_needs_nothing_of_the_lab() -> None:
    said = binome("run", "--help", without=("psycopg", "patroni"))
    assert said.returncode == 0 and "--as" in said.stdout
