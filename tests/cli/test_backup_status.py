"""What people and programs see of backups: the status, the metrics, and the file that `binome check` reads."""

from __future__ import annotations

import json
import re
from pathlib import Path

import pytest
from typer.testing import CliRunner

from binome.cli.main import app
from binome.cli.status_text import status_lines
from binome.runtime.metrics import exposition
from binome.runtime.report import status
from tests.cli.test_door_commands import Door
from tests.runtime.seen import Seen, backed_up, well

ROOT = Path(__file__).parents[2]
LITTORAL_FILE = ROOT / "examples" / "littoral" / "estate.yaml"
PAGE = (ROOT / "docs" / "backups.md").read_text(encoding="utf-8")


def lines(seen: Seen) -> str:
    return " ".join(" ".join(status_lines(status(seen.sources), 100)).split())


def test_what_is_good_is_a_line_and_what_is_not_another() -> None:
    text = lines(backed_up())
    assert "backup nightly: copy of " in text
    assert "proven in vault-ams alone" in text
    assert "wrong: The newest copy of contacts in vault-par is not good, since " in text
    assert "(altered: contacts/toc.dat: its content is not what was saved)" in text
    assert status(backed_up().sources)["good"] is False


def test_a_lie_is_said_beside_what_a_restore_would_take() -> None:
    text = lines(backed_up(lie=True))
    assert "a restore takes 6 min and loses 3 h" in text
    assert "wrong: A copy of contacts from vault-par was damaged on purpose, and passes its proof, since " in text


def test_what_has_only_been_scheduled_is_neither_good_nor_bad() -> None:
    seen = well()
    (row,) = status(seen.sources)["backups"]
    assert (row["copy_ms"], row["proven_ms"], row["wrong"]) == (None, None, [])
    assert "backup" not in lines(seen)
    assert status(seen.sources)["good"] is True


def test_every_key_of_a_row_is_in_the_documentation() -> None:
    (row,) = status(backed_up().sources)["backups"]
    table = PAGE.partition("there is a row a backup under `backups`:\n\n")[2].partition("\n\n")[0]
    named = {key for line in table.splitlines() for key in re.findall("`(.+?)`", line.partition(": ")[0])}
    assert named == row.keys()


def test_the_metrics() -> None:
    text = exposition(backed_up(lie=True).sources)
    for line in (
        'binome_backup_copy_age_seconds{backup="nightly"} 10800',
        'binome_backup_proven_age_seconds{backup="nightly",vault="vault-par"} 10800',
        'binome_backup_restore_seconds{backup="nightly"} 412',
        'binome_backup_good{backup="nightly"} 0',
    ):
        assert line in text.splitlines()
    assert "binome_backup_restore_seconds{" not in exposition(backed_up().sources)


@pytest.mark.parametrize(("lie", "code"), [(True, 0), (False, 1)])
def test_measured_times_are_the_file_that_check_reads(tmp_path: Path, lie: bool, code: int) -> None:
    door = Door(tmp_path / "s")
    door.answer = status(backed_up(lie=lie).sources)
    result = CliRunner().invoke(app, ["backup", "measured", "--socket", str(door.path)])
    assert result.exit_code == code
    if not lie:
        assert "not proven in every vault, and left out: nightly" in result.stderr
        assert json.loads(result.stdout) == {"backups": {}}
        return
    assert json.loads(result.stdout) == {"backups": {"nightly": {"restore_s": 412.0, "age_s": 10800.0}}}
    file = tmp_path / "measured.json"
    file.write_text(result.stdout)
    lost = ["check", str(LITTORAL_FILE), "--measured", str(file), "--lose", "gravelines,strasbourg"]
    told = CliRunner().invoke(app, lost)
    assert "6.87 min" in told.stdout, "the measured restore is the outage"
    assert "3 h" in told.stdout, "the age of the newest proven copy is the loss"
