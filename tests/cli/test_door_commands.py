"""What the commands that go through the door say, and how they end, for each answer that they may get."""

from __future__ import annotations

import json
import socket
import threading
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from typer.testing import CliRunner

from binome.cli.main import app

ON = ("maintenance", "on", "web", "--for", "1h", "--why", "disks")
OFF = ("maintenance", "off", "web")
TAKE = ("takeover", "database", "--code", "123456", "--yes")
MOVE = ("switchover", "database", "--to", "sbg-db", "--yes")
CLOSE = ("plan", "close", "maintenance/r1", "--why", "by hand")


class Door:
    """A door that gives one answer, and keeps what it was asked."""

    def __init__(self, path: Path) -> None:
        self.path = path
        self.answer: dict[str, Any] = {}
        self.asked: list[dict[str, Any]] = []
        self.socket = socket.socket(socket.AF_UNIX)
        self.socket.bind(str(path))
        self.socket.listen()
        threading.Thread(target=self._serve, daemon=True).start()

    def _serve(self) -> None:
        while True:
            connection, _ = self.socket.accept()
            with connection, connection.makefile("rwb") as lines:
                self.asked.append(json.loads(lines.readline()))
                lines.write(json.dumps(self.answer).encode() + b"\n")


@pytest.fixture
def door(tmp_path: Path) -> Iterator[Door]:
    yield Door(tmp_path / "s")


@pytest.mark.parametrize(
    ("arguments", "answer", "code", "told"),
    [
        (ON, {"answer": "granted"}, 0, "web is in maintenance until"),
        (OFF, {"answer": "granted"}, 0, "web is released.\n"),
        (CLOSE, {"answer": "granted"}, 0, "maintenance/r1 is closed.\n"),
        (TAKE, {"answer": "granted"}, 0, "database is taken over.\n"),
        (MOVE, {"answer": "granted"}, 0, "database has moved.\n"),
        (
            TAKE,
            {"answer": "its primary is not lost"},
            1,
            "binome: refused: its primary is not lost; nothing was done.\n",
        ),
        (ON, {"answer": "no such subject"}, 1, "binome: refused: no such subject; nothing was done.\n"),
        (ON, {"answer": "it could not be held: x"}, 1, "binome: refused: it could not be held: x.\n"),
        (OFF, {"unknown": "the journal has it"}, 4, "binome: unknown whether it was done: the journal has it\n"),
        (CLOSE, {"error": "why: too long"}, 2, "binome: why: too long\n"),
    ],
)
def test_words_and_exit_codes(
    door: Door, arguments: tuple[str, ...], answer: dict[str, Any], code: int, told: str
) -> None:
    door.answer = answer
    result = CliRunner().invoke(app, [*arguments, "--socket", str(door.path)])
    assert (result.exit_code, told in result.output) == (code, True), result.output
    assert door.asked[0]["fact"]["request"] == door.asked[0]["request"]


@pytest.mark.parametrize("arguments", [ON, OFF, CLOSE])
@pytest.mark.parametrize(("answer", "code"), [({"answer": "granted"}, 0), ({"unknown": "nobody leads"}, 4)])
def test_with_json_the_answer_is_all_that_is_printed(
    door: Door, arguments: tuple[str, ...], answer: dict[str, Any], code: int
) -> None:
    door.answer = answer
    result = CliRunner().invoke(app, [*arguments, "--json", "--socket", str(door.path)])
    assert result.exit_code == code
    assert json.loads(result.stdout) == {"request": door.asked[0]["request"], **answer}


@pytest.mark.parametrize("why", ["", "  "])
@pytest.mark.parametrize(
    "asked",
    [
        ("maintenance", "on", "web", "--for", "1h"),
        ("plan", "close", "maintenance/r1"),
        ("silence", "web", "--for", "1h"),
        ("resolve", "14"),
    ],
)
def test_what_colleagues_will_read_needs_a_reason(door: Door, asked: tuple[str, ...], why: str) -> None:
    result = CliRunner().invoke(app, [*asked, "--why", why, "--socket", str(door.path)])
    assert (result.exit_code, result.output) == (
        2,
        "binome: --why: say why, in one line: your colleagues read it; nothing was done.\n",
    )
    assert door.asked == []


def test_plans_are_listed(door: Door) -> None:
    plan = {"plan": "maintenance/r1", "subject": "web", "state": "needs-person", "why": "disks", "trouble": "no answer"}
    door.answer = {"plans": [plan]}
    result = CliRunner().invoke(app, ["plan", "list", "--socket", str(door.path)])
    assert result.stdout == "maintenance/r1   web, needs-person   disks   no answer\n"
    door.answer = {"plans": []}
    assert CliRunner().invoke(app, ["plan", "list", "--socket", str(door.path)]).stdout == "Nothing is planned.\n"


@pytest.mark.parametrize("command", ["takeover", "switchover"])
def test_what_moves_a_database_asks_for_its_name_once_more(command: str, door: Door) -> None:
    door.answer = {"answer": "granted"}
    slipped = CliRunner().invoke(app, [command, "database", "--socket", str(door.path)], input="databse\n")
    assert (slipped.exit_code, door.asked) == (2, [])
    assert "that is not its name; nothing was done" in slipped.output
    meant = CliRunner().invoke(app, [command, "database", "--socket", str(door.path)], input="database\n")
    assert (meant.exit_code, len(door.asked)) == (0, 1), meant.output
