"""The command that burns every loss: what it keeps, what it writes, how it ends. No lab is built here."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterable, Iterator
from pathlib import Path
from typing import Any

import pytest
from typer.testing import CliRunner

from binome.analysis.outcome import Platform
from binome.analysis.times import Measured
from binome.cli import verify as command
from binome.cli.main import app
from binome.estate import load
from binome.lab import engines, verify_record
from binome.lab.foretold import Burn, Cell
from binome.lab.record import Record
from binome.lab.verify import Patience, lab_copy, outages, silent
from tests.lab.conftest import LITTORAL
from tests.lab.test_foretold import burn_of

PLATFORM = Platform(load(LITTORAL.read_bytes()))


@pytest.fixture
def burned(monkeypatch: pytest.MonkeyPatch) -> list[tuple[Cell, Patience]]:
    """The losses that were to be burned; all of them go on, and what touches the database's members takes 4 s."""
    found: list[tuple[Cell, Patience]] = []

    def burns(
        _: bytes, waiting: Iterable[Cell], patience: Callable[[Cell], Patience], *__: Any, **___: Any
    ) -> Iterator[Burn]:
        for cell in waiting:
            found.append((cell, patience(cell)))
            slow = {"gra-db", "sbg-db"} & set(cell.servers)
            down = ("write", "read") if patience(cell).ends else ()
            quick = {"write": 0.2, "read": 0.2, "web": 0.8}
            yield burn_of(PLATFORM, *cell.servers, down=down, outage_s={**quick, "write": 4.0} if slow else quick)

    monkeypatch.setattr(command, "burns", burns)
    monkeypatch.setattr(engines, "versions", lambda: {"etcd": "3"})
    return found


def run(*arguments: str, into: Path) -> Any:
    return CliRunner().invoke(app, ["lab", "verify", str(LITTORAL), "--out", str(into), *arguments])


def test_everything_is_burned_once_and_kept(burned: list[tuple[Cell, Patience]], tmp_path: Path) -> None:
    done = run("--pairs", into=tmp_path)
    assert done.exit_code == 0, done.output
    assert len(burned) == len({cell.servers for cell, _ in burned}) == 18
    assert "gra-db: campaigns, shop-presence, website up 4.0 s (foretold up 4.5 s) agrees" in done.output
    kept = json.loads((tmp_path / "verify.json").read_text())["estates"]["littoral"]
    assert [one["not_built"] for one in kept["cells"] if one["loss"] == ["maps"]] == ["the lab builds no links"]
    assert all("products" in one for one in kept["cells"] if "not_built" not in one)
    page = (tmp_path / "verify.md").read_text()
    assert "26 of 26 losses burned: 78 of 78 cells agree." in page
    assert "without sms, email, voice, contact-rental, which the lab does not build" in page

    assert run(into=tmp_path).exit_code == 0
    assert len(burned) == 18, "nothing is burned again"
    assert "gravelines + paris" in (tmp_path / "verify.md").read_text(), "pairs are not forgotten"


def test_what_was_measured_can_be_handed_to_check(burned: list[tuple[Cell, Patience]], tmp_path: Path) -> None:
    assert run("--lose", "gra-db", into=tmp_path).exit_code == 0
    raw = (tmp_path / "measured-littoral.json").read_bytes()
    assert Measured.read(raw, PLATFORM.estate).values == {("services", "database", "takeover_s"): 4.0}
    checked = CliRunner().invoke(app, ["check", str(LITTORAL), "--measured", str(tmp_path / "measured-littoral.json")])
    assert checked.exit_code == 0
    assert [cell.servers for cell, _ in burned] == [("gra-db",)]


def test_a_cell_that_does_not_agree_ends_it_with_1(
    burned: list[tuple[Cell, Patience]], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    slow = lambda *_, **__: [burn_of(PLATFORM, "gra-web", outage_s={"write": 0, "read": 0, "web": 9.0})]  # noqa: E731
    monkeypatch.setattr(command, "burns", slow)
    done = run("--lose", "gra-web", "--json", into=tmp_path)
    assert done.exit_code == 1
    found = json.loads(done.stdout)
    (cell,) = [one for one in found["cells"] if one["loss"] == ["gra-web"]]
    assert cell["products"]["website"]["answer"] == "a longer outage"
    assert "gra-web: website: a longer outage" in done.stderr
    assert "**a longer outage**" in (tmp_path / "verify.md").read_text()


def test_another_estate_code_or_engine_begins_anew(
    burned: list[tuple[Cell, Patience]], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    run("--lose", "gra-db", into=tmp_path)
    run("--lose", "gra-db", into=tmp_path)
    assert len(burned) == 1
    run("--lose", "gra-db", "--again", into=tmp_path)
    assert len(burned) == 2
    monkeypatch.setattr(verify_record, "code", lambda: "other")
    run("--lose", "gra-db", into=tmp_path)
    assert len(burned) == 3
    monkeypatch.setattr(engines, "versions", lambda: {"etcd": "4"})
    run("--lose", "gra-db", into=tmp_path)
    assert len(burned) == 4


def test_only_what_goes_on_is_waited_for(burned: list[tuple[Cell, Patience]], tmp_path: Path) -> None:
    run("--pairs", into=tmp_path)
    ends = {cell.loss for cell, patience in burned if patience.ends}
    assert ends == {("ovh",), ("gravelines", "paris"), ("strasbourg", "paris")}
    assert all(patience.bound_s == 40 for _, patience in burned)


def test_what_cannot_be_used_is_refused(burned: list[tuple[Cell, Patience]], tmp_path: Path) -> None:
    done = run("--lose", "gra-bd", into=tmp_path)
    assert done.exit_code == 2
    assert "there is no such fault domain; nothing was done.  Did you mean gra-db?" in done.output
    assert run("--lose", ",", into=tmp_path).exit_code == 2
    (tmp_path / "verify.json").write_text('{"estates": {"littoral": {"burns": [{"servers": []}]}}}')
    done = run("--lose", "gra-db", into=tmp_path)
    assert done.exit_code == 3
    assert "verify.json is damaged" in done.output
    assert not burned


def test_the_labs_copy_has_a_short_cooldown_and_nothing_else_changed() -> None:
    text = LITTORAL.read_bytes()
    assert lab_copy(text, PLATFORM.estate) == text.replace(b"cooldown: 10m", b"cooldown: 1s")


def test_outages_are_those_since_the_loss_and_what_is_silent_at_the_end_is_down() -> None:
    def at(at_s: float, operation: Any, state: Any = "acknowledged") -> Record:
        return Record(at_s, operation, f"{at_s}", 1, "gra-edge", state)

    times = [0.0, 50.0, 99.9, 104.0, 106.0, 110.0]  # the loss is at 100
    records = [at(one, "write") for one in times] + [at(100.2, "web"), at(103.0, "web"), at(110.0, "web", "unknown")]
    records.sort(key=lambda one: one.at_s)
    assert outages(records, 100.0) == {"write": 4.1, "read": 10.1, "web": 7.0}
    assert silent(records, 110.0) == ("read", "web")
