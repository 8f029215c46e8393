"""The commands that move a database say and do the same, and load little."""

from __future__ import annotations

import subprocess
import sys

import pytest
from typer.testing import CliRunner

from binome.cli import main, quick
from binome.cli.entry import QUICK


def test_the_quick_commands_are_those_that_are_known_to_be() -> None:
    assert set(quick.COMMANDS) == set(QUICK)


@pytest.mark.parametrize("command", QUICK)
def test_a_quick_command_is_the_same_as_among_all_others(command: str) -> None:
    told = [CliRunner().invoke(app, [command, "--help"], prog_name="binome") for app in (quick.app, main.app)]
    assert [one.exit_code for one in told] == [0, 0]
    assert told[0].output == told[1].output
    refused = [CliRunner().invoke(app, [command, "--nothing"], prog_name="binome") for app in (quick.app, main.app)]
    assert (refused[0].exit_code, refused[0].output) == (refused[1].exit_code, refused[1].output)


def test_a_quick_command_loads_neither_the_lab_nor_the_network(tmp_path: object) -> None:
    program = (
        "import sys; from binome.cli.entry import main\n"
        f"sys.argv = ['binome', 'switchover', 'database', '--yes', '--socket', '{tmp_path}/none.sock']\n"
        "try:\n    main()\nexcept SystemExit as end:\n"
        "    print(end.code, sorted({one for one in ('aiohttp', 'binome.lab', 'psycopg') if one in sys.modules}))"
    )
    told = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=True)
    assert told.stdout.strip() == "3 []", told.stderr
    assert "Is `binome run` running here" in told.stderr
