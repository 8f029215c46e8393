"""`binome oncall`: its words, its JSON, how it ends."""

from __future__ import annotations

import json
import socket
from pathlib import Path
from typing import Any

from typer.testing import CliRunner

from binome.cli.main import app

ESTATE = """
people:
  contacts: {ann: {sms: "+33600000001"}, bob: {}}
  rota:
    weekly: [ann, bob]
    zone: Europe/Paris
    overrides: [{who: bob, from: "2026-12-24 18:00", until: "2026-12-26 09:00"}]
"""


def run(tmp_path: Path, estate: str, *more: str) -> tuple[int, str]:
    path = tmp_path / "estate.yaml"
    path.write_text(estate, encoding="utf-8")
    result = CliRunner().invoke(app, ["oncall", str(path), *more])
    return result.exit_code, result.output


def test_who_until_when_who_next_and_in_which_order(tmp_path: Path) -> None:
    assert run(tmp_path, ESTATE, "--at", "2026-12-24 17:00") == (
        0,
        "on call   ann, until Thu 2026-12-24 18:00 CET\n"
        "next      bob, from Thu 2026-12-24 18:00 CET   (they took it out of turn)\n"
        "asked     ann, then bob\n",
    )
    code, told = run(tmp_path, ESTATE, "--at", "2026-12-25", "--json")
    assert code == 0
    assert json.loads(told) == {
        "zone": "Europe/Paris",
        "now": {
            "who": ["bob"],
            "why": "they took it out of turn",
            "from": "2026-12-25T00:00:00+01:00",
            "until": "2026-12-26T09:00:00+01:00",
        },
        "next": {
            "who": ["ann"],
            "why": "it is their turn",
            "from": "2026-12-26T09:00:00+01:00",
            "until": "2026-12-28T09:00:00+01:00",
        },
        "order": ["bob", "ann"],
    }


def test_a_hole_is_said_and_ends_with_1(tmp_path: Path) -> None:
    code, told = run(tmp_path, "people: {contacts: {ann: {}, bob: {}}}")
    assert code == 1
    assert (
        told == "on call   ann, bob, always   (the rota names nobody: everybody is on call)\nasked     ann, then bob\n"
    )


def test_a_moment_or_a_zone_that_there_is_not_ends_with_2(tmp_path: Path) -> None:
    for moment in ("soon", "2026-02-29 09:00", "2026-12-24 25:00", "9999-12-31 23:59"):
        code, told = run(tmp_path, ESTATE, "--at", moment)
        assert code == 2, moment
        assert told.startswith("binome: --at: ")
    code, told = run(tmp_path, ESTATE.replace("Europe/Paris", "Europe/Lutetia"))
    assert (code, told) == (2, "binome: people.rota.zone: no time zone Europe/Lutetia is known here.\n")


def test_a_socket_that_a_killed_run_left_does_not_keep_the_file_from_answering(tmp_path: Path) -> None:
    path, left = tmp_path / "estate.yaml", tmp_path / "door.sock"
    path.write_text(ESTATE, encoding="utf-8")
    with socket.socket(socket.AF_UNIX) as killed:
        killed.bind(str(left))
    arguments = ["oncall", str(path), "--at", "2026-12-24 17:00", "--socket", str(left)]
    result = CliRunner().invoke(app, arguments)
    assert (result.exit_code, result.stdout.startswith("on call   ann, until")) == (0, True), result.output
    assert "`binome override` is not known here" in result.stderr


def test_without_a_file_it_is_the_one_that_lies_here_or_the_servers(tmp_path: Path, monkeypatch: Any) -> None:
    monkeypatch.setattr("binome.cli.oncall.ON_A_SERVER", tmp_path / "server.yaml")
    monkeypatch.chdir(tmp_path)
    (tmp_path / "server.yaml").write_text(ESTATE)
    assert "on call   ann" in CliRunner().invoke(app, ["oncall", "--at", "2026-12-24 17:00"]).output
    (tmp_path / "estate.yaml").write_text(ESTATE.replace("weekly: [ann, bob]", "weekly: [bob]"))
    assert "on call   bob" in CliRunner().invoke(app, ["oncall", "--at", "2026-12-24 17:00"]).output
