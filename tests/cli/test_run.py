"""`binome run` where it cannot: one line, and the exit code that says whose fault it is."""

from __future__ import annotations

from pathlib import Path

import pytest
from typer.testing import CliRunner

from binome.cli.main import app

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
