"""`binome demo --repeat`: what it is asked for, and what is refused before anything is built."""

from __future__ import annotations

from pathlib import Path

import pytest
from typer.testing import CliRunner

from binome.cli.main import app
from binome.cli.repeated import Trial
from binome.estate import load
from binome.estate.model import PostgresqlService

LITTORAL = Path(__file__).parents[2] / "examples" / "littoral" / "estate.yaml"


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (["--with", "decidr"], "--with decidr: expected etcd-leader or decider; nothing was done"),
        (["--with", "decider", "--fault", "switchover"], "--with is for faults that take a site; switchover takes"),
        (["--act-after", "soon"], "--act-after soon"),
        (["--fault", "flood"], "expected one of burn, cut, burn-standby, kill-postgres, switchover"),
    ],
)
def test_what_is_not_known_is_refused(arguments: list[str], words: str) -> None:
    refused = CliRunner().invoke(app, ["demo", *arguments])
    assert refused.exit_code == 2, refused.output
    assert words in refused.output


def test_the_labs_copy_has_a_short_cooldown_and_says_so() -> None:
    text = LITTORAL.read_bytes()
    trial = Trial.of(load(text), text, "burn", times=3, together=["decider"], act_after="350ms")
    service = trial.estate.services["database"]
    assert isinstance(service, PostgresqlService)
    assert (service.act_after_ms, service.cooldown_ms) == (350, 1000)
    assert trial.changed == {"database": {"cooldown": "1s", "act_after": "350ms"}}
    as_written = Trial.of(load(text), text, "burn", times=3, together=[], act_after="")
    kept = as_written.estate.services["database"]
    assert isinstance(kept, PostgresqlService)
    assert (kept.act_after_ms, kept.cooldown_ms) == (2000, 1000)
