"""docs/backups.md and docs/vaults.md: every method and kind, every command, examples that are good."""

from __future__ import annotations

import json
import re
from pathlib import Path

import pytest
import typer
from typer.testing import CliRunner

from binome.cli import backup, vault
from binome.cli.main import app
from binome.estate import load
from tests.drivers.installed import registered

ROOT = Path(__file__).parents[2]
PAGES = {name: (ROOT / "docs" / f"{name}.md").read_text(encoding="utf-8") for name in ("backups", "vaults")}
LITTORAL = (ROOT / "examples" / "littoral" / "estate.yaml").read_text()


@pytest.mark.parametrize(("page", "group"), [("backups", "binome.backups"), ("vaults", "binome.vaults")])
def test_every_driver_has_its_row(page: str, group: str) -> None:
    assert set(re.findall(r"^\| `(\w+)` \| ", PAGES[page], re.MULTILINE)) == {one.name for one in registered(group)}


@pytest.mark.parametrize(("page", "commands"), [("backups", backup.app), ("vaults", vault.app)])
def test_every_command_and_option_is_named(page: str, commands: typer.Typer) -> None:
    click = typer.main.get_command(commands)
    noun = page.removesuffix("s")
    for name, command in click.commands.items():  # type: ignore[attr-defined]
        assert f"binome {noun} {name}" in PAGES[page]
        for option in command.params:
            long = [word for word in option.opts if word.startswith("--")]
            assert not long or re.search(rf"{long[0]}\b", PAGES[page]), long


@pytest.mark.parametrize("page", sorted(PAGES))
def test_the_examples_of_estates_are_good(page: str) -> None:
    (example,) = re.findall(r"```yaml\n(.*?)```", PAGES[page], re.DOTALL)
    sections = re.findall(r"(?m)^(\w+):\n(?:  .*\n)+", example)
    assert sections
    text = LITTORAL
    for section in sections:
        lines = re.search(rf"(?m)^{section}:\n(?:  .*\n)+", example)
        assert lines is not None
        text, count = re.subn(rf"(?m)^{section}:\n(?:[ ].*\n)+", lines[0] + more(section), text)
        assert count == 1, section
    assert load(text.encode()).backups


def more(section: str) -> str:
    """The entry that the other sections of the example name besides."""
    other = '  vault-par: {kind: restic, on: par-watch, path: /srv/vault, key: "file:/etc/binome/vault.key"}\n'
    return other if section == "vaults" else ""


def test_the_example_of_a_simulation(tmp_path: Path) -> None:
    (copies,) = re.findall(r"```json\n(.*?)```", PAGES["vaults"], re.DOTALL)
    shown = re.search(r"\$ binome (vault prune --simulate \S+ --keep) '(.*?)'\n(.*?)```", PAGES["vaults"], re.DOTALL)
    assert shown is not None and json.loads(copies)
    (tmp_path / "snapshots.json").write_text(copies)
    words = [str(tmp_path / word) if word == "snapshots.json" else word for word in shown[1].split()]
    result = CliRunner().invoke(app, [*words, shown[2]])
    assert result.exit_code == 0 and result.stdout == shown[3]
