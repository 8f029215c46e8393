"""All commands at once: each has --json or a reason, is in the docs, and can be completed by a shell."""

from __future__ import annotations

import os
import re
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import typer
from typer.testing import CliRunner

from binome.cli.completion import VARIABLE
from binome.cli.exits import Exit
from binome.cli.main import app

ROOT = Path(__file__).parents[2]
PAGE = (ROOT / "docs" / "commands.md").read_text(encoding="utf-8")
WITHOUT_JSON = {
    "run": "it never ends by itself; binome status --json says how it is",
    "demo": "it takes minutes and says what happens; what came of it is report.json",
    "completion": "it prints a script for a shell",
    "estate schema": "it prints JSON, and nothing else",
    "backup measured": "as estate schema",
    "lab up": "it says what it builds; binome lab status --json says what came of it",
    "lab burn": "it says that it was done; binome lab status --json says what came of it",
    "lab cut": "as lab burn",
    "lab heal": "as lab burn",
    "lab rebuild": "as lab up",
    "lab down": "as lab burn",
}
"""Commands whose answer is no JSON, and why."""


def walked(command: Any, path: tuple[str, ...] = ()) -> Iterator[tuple[str, Any]]:
    """Every command by its words, groups that do something by themselves too."""
    if not hasattr(command, "commands"):
        yield " ".join(path), command
        return
    if path and command.invoke_without_command:
        yield " ".join(path), command
    for name, below in command.commands.items():
        yield from walked(below, (*path, name))


COMMANDS = dict(walked(typer.main.get_command(app)))


@pytest.mark.parametrize("name", COMMANDS)
def test_every_command_has_json_or_a_reason(name: str) -> None:
    has = any("--json" in option.opts for option in COMMANDS[name].params)
    assert has is (name not in WITHOUT_JSON)


@pytest.mark.parametrize("name", COMMANDS)
def test_every_command_stands_in_the_docs_and_says_what_it_does(name: str) -> None:
    assert re.search(rf"^\| `binome {re.escape(name)}(?: [^`]*)?` \| .+ \| .+ \|$", PAGE, re.MULTILINE), name
    assert (COMMANDS[name].help or "").strip()
    assert all(getattr(option, "help", "") for option in COMMANDS[name].params), f"{name}: an option without words"


def test_the_docs_name_no_command_and_no_exit_code_that_there_is_not() -> None:
    rows = re.findall(r"^\| `binome ([a-z ]+?)(?: [A-Z\[<-].*)?` \|", PAGE, re.MULTILINE)
    assert sorted(rows) == sorted(COMMANDS)
    codes = re.findall(r"^\| (\d+) \| .+ \|$", PAGE, re.MULTILINE)
    assert [int(code) for code in codes] == [code.value for code in Exit]
    reasons = re.findall(r"^\| `binome ([a-z ]+?)(?: [A-Z\[<-].*)?` \| .+, without `--json` \|", PAGE, re.MULTILINE)
    assert set(reasons) == set(WITHOUT_JSON)


def test_what_makes_no_sense_ends_with_2_everywhere() -> None:
    for name in COMMANDS:
        result = CliRunner().invoke(app, [*name.split(), "--no-such-option"])
        assert result.exit_code == Exit.BAD_INPUT, (name, result.output)


# -- completion


@pytest.fixture
def path_with_binome(tmp_path: Path) -> str:
    program = tmp_path / "binome"
    program.write_text(f'#!/bin/sh\nexec {sys.executable} -m binome.cli.entry "$@"\n')
    program.chmod(0o755)
    return f"{tmp_path}:{os.environ['PATH']}"


def bash(path: str, script: str) -> list[str]:
    environment = {"PATH": path, "PYTHONPATH": os.pathsep.join(sys.path), "LC_ALL": "C.UTF-8"}
    done = subprocess.run(
        ["bash", "--norc", "-c", script], env=environment, capture_output=True, text=True, check=True, timeout=60
    )
    assert done.stderr == ""
    return done.stdout.split()


@pytest.mark.parametrize(
    ("words", "found"),
    [
        ("maint", ["maintenance"]),
        ("incid", ["incidents", "incident"]),
        ("journal ver", ["verify"]),
        ("incidents --js", ["--json"]),
        ("letter 3 --to cust", ["customers"]),
        ("nosuch", []),
    ],
)
def test_the_printed_script_completes_in_bash(path_with_binome: str, words: str, found: list[str]) -> None:
    place = len(words.split())
    script = (
        f'eval "$(binome completion bash)"; complete -p binome >/dev/null; COMP_WORDS=(binome {words}); '
        f'COMP_CWORD={place}; COMPREPLY=(); _binome_completion binome; echo "${{COMPREPLY[@]}}"'
    )
    assert bash(path_with_binome, script) == found


@pytest.mark.parametrize(
    ("shell", "sign"), [("bash", "complete -o"), ("zsh", "#compdef binome"), ("fish", "complete ")]
)
def test_each_shell_gets_a_script_that_asks_by_the_variable(shell: str, sign: str) -> None:
    result = CliRunner().invoke(app, ["completion", shell])
    assert result.exit_code == 0
    assert sign in result.stdout
    assert f"{VARIABLE}=complete_{shell}" in result.stdout
    assert CliRunner().invoke(app, ["completion", "tcsh"]).exit_code == 2
