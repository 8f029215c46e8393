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
from binome.core.attested import Refused as NotAttested
from binome.core.takeover import Refused

ON = ("maintenance", "on", "web", "--for", "1h", "--why", "disks")
OFF = ("maintenance", "off", "web")
TAKE = ("takeover", "database", "--code", "123456", "--yes")
BACK = ("failback", "database", "--yes")
WORD = ("takeover", "database", "--attest", "paris,strasbourg")
WHOLE = {
    "service": "database",
    "survivor": "gra-db",
    "primary": "sbg-db",
    "whole": True,
    "known_ms": 1_700_000_000_000,
    "names": ["paris", "strasbourg"],
    "lost": {"paris": ["par-watch"], "strasbourg": ["sbg-db", "sbg-edge"]},
}
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
        (BACK, {"answer": "granted"}, 0, "database is back.\n"),
        (BACK, {"answer": Refused.NOT_WHOLE.value}, 1, f"binome: refused: {Refused.NOT_WHOLE}; nothing was done.\n"),
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


@pytest.mark.parametrize("command", ["takeover", "switchover", "failback"])
def test_what_moves_a_database_asks_for_its_name_once_more(command: str, door: Door) -> None:
    door.answer = {"answer": "granted"}
    slipped = CliRunner().invoke(app, [command, "database", "--socket", str(door.path)], input="databse\n")
    assert (slipped.exit_code, door.asked) == (2, [])
    assert "that is not its name; nothing was done" in slipped.output
    meant = CliRunner().invoke(app, [command, "database", "--socket", str(door.path)], input="database\n")
    assert (meant.exit_code, len(door.asked)) == (0, 1), meant.output


@pytest.mark.parametrize(
    ("answer", "typed", "ends"),
    [
        (WHOLE | {"answer": "granted"}, "database\n", (0, "goes on with gra-db, alone", 2)),
        (WHOLE | {"answer": "granted"}, "databse\n", (2, "that is not its name", 1)),
        ({"refused": NotAttested.LED.value}, "", (1, "a lookout leads", 1)),
        (WHOLE | {"answer": NotAttested.OTHER_NAMES.value}, "database\n", (1, "--attest paris,strasbourg", 2)),
        (
            WHOLE | {"answer": NotAttested.ANSWERS.value, "answering": ["sbg-db"]},
            "database\n",
            (1, "answers: sbg-db", 2),
        ),
        (WHOLE | {"unknown": "etcd does not end"}, "database\n", (4, "etcd does not end.  Ask again", 2)),
        (WHOLE | {"whole": False, "answer": "granted"}, "database\ngra-db\n", (0, "gra-db was not synchronous", 2)),
        (WHOLE | {"whole": False, "answer": "granted"}, "database\nsbg-db\n", (2, "may be lost, all of it", 1)),
    ],
)
def test_a_person_attests_by_name_and_what_may_be_lost_by_another(
    door: Door, answer: dict[str, Any], typed: str, ends: tuple[int, str, int]
) -> None:
    code, told, asked = ends
    door.answer = answer
    result = CliRunner().invoke(app, [*WORD, "--socket", str(door.path)], input=typed)
    assert (result.exit_code, told in result.output, len(door.asked)) == (code, True, asked), result.output
    assert door.asked[0] == {"do": "attestable", "service": "database"}
    if asked == 2:
        said = door.asked[1]
        assert (said["do"], said["names"]) == ("attest", ["paris", "strasbourg"])
        assert said["accepts_loss"] == ("" if answer["whole"] else "gra-db")


def test_who_begins_with_nothing_is_typed_as_well(door: Door) -> None:
    door.answer = WHOLE | {"whole": False, "answer": "granted"}
    word = [*WORD, "--anew", "gra-db", "--socket", str(door.path)]
    slipped = CliRunner().invoke(app, word, input="database\nsbg-db\n")
    assert (slipped.exit_code, len(door.asked)) == (2, 1) and "gra-db begins with nothing" in slipped.output
    meant = CliRunner().invoke(app, word, input="database\ngra-db\n")
    assert (meant.exit_code, "database is empty on gra-db" in meant.output) == (0, True), meant.output
    assert (door.asked[-1]["anew"], door.asked[-1]["accepts_loss"]) == ("gra-db", "")


def test_a_script_accepts_a_loss_by_name_or_gets_no_for_an_answer(door: Door) -> None:
    door.answer = WHOLE | {"whole": False, "answer": NotAttested.NOT_SYNCHRONOUS.value}
    result = CliRunner().invoke(app, [*WORD, "--yes", "--socket", str(door.path)])
    assert (result.exit_code, "--accept-loss gra-db" in result.output) == (1, True), result.output
    CliRunner().invoke(app, [*WORD, "--yes", "--accept-loss", "gra-db", "--socket", str(door.path)])
    assert [one.get("accepts_loss") for one in door.asked] == [None, "", None, "gra-db"]
