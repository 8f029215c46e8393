"""What a person at a terminal reads: no line beyond 100 columns, no colour, nothing that commands the terminal.

The names are as long as an estate allows, and what people wrote is as hostile as the door lets through.
"""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

import pytest
from typer.testing import CliRunner

from binome.cli.main import app
from tests.cli.test_door_commands import Door, door
from tests.cli.test_incident_commands import ALL, MS, ONE, PRODUCT, WHOLE

__all__ = ["door"]

LONG = "n" + "-abcdefg" * 5 + "-abcdef"  # 48 characters, the most
WORDS = "the hoster says that the fire brigade has cut the power of the whole building " * 3
HOSTILE = "\x1b[2J\x1b]0;owned\x07\x9b31m\r\n\u202egnp.exe\x00"
SAID = f"{WORDS}{HOSTILE}{LONG}"
INCIDENT: dict[str, Any] = {
    **ONE, "sentence": SAID, "unusable": [LONG, LONG], "acknowledged_by": LONG, "paged": [f"{LONG} by {LONG}"] * 3,
}  # fmt: skip
BOOK: dict[str, Any] = {
    **WHOLE, **INCIDENT, "why": SAID, "left_out": 7,
    "products": {LONG: WHOLE["products"]["website"], f"{LONG}2": WHOLE["products"]["campaigns"]},
    "moments": [{**WHOLE["moments"][0], "said": SAID}],
}  # fmt: skip
THING: dict[str, Any] = {
    **PRODUCT, "product": LONG, "services": [LONG, LONG], "taking_over": [LONG, LONG], "confirmed": False,
    "decisions": [{"service": LONG, "said": SAID}],
}  # fmt: skip
LIST: dict[str, Any] = {
    "incidents": [INCIDENT], "unconfirmed": [SAID],
    "silenced": [{"subject": LONG, "until_ms": MS, "who": LONG, "why": SAID}],
    "overrides": [{"who": LONG, "from_ms": MS, "until_ms": MS}],
}  # fmt: skip
LETTER: dict[str, Any] = {
    **BOOK, "headline": SAID, "until": None,
    "products": {name: {**one, "takeover_ms": 0, "unsure": []} for name, one in BOOK["products"].items()},
}  # fmt: skip
PLAN = {"plan": f"maintenance/{LONG}", "subject": LONG, "state": "needs-person", "why": SAID, "trouble": SAID}
HELD = {"capability": "maintenance", "subject": LONG, "until_ms": MS, "why": SAID, "who": LONG}
ROUTE = {"person": LONG, "via": LONG, "page": "nobody of the estate can be reached by it"}
GRANTED = {"answer": "granted", "acknowledged": 2}
CASES: list[tuple[list[str], dict[str, Any]]] = [
    (["incidents"], LIST),
    (["incidents"], {**ALL, "incidents": []}),
    (["incident", "14"], {"estate": LONG, "incident": BOOK}),
    (["incident", "9"], {"incident": None}),
    (["affected", LONG], {"product": THING}),
    (["affected", LONG], {"product": {**THING, "usable": None, "unsure": [LONG, LONG]}}),
    (["affected", "x"], {"product": None, "known": [LONG] * 5}),
    (["note", "14", "x"], GRANTED),
    (["note", "14", "x"], {"answer": SAID}),
    (["note", "14", "x"], {"unknown": SAID}),
    (["note", "14", "x"], {"error": SAID}),
    (["ack"], GRANTED),
    (["ack", "14"], GRANTED),
    (["silence", LONG, "--for", "2h", "--why", "x"], GRANTED),
    (["resolve", "14"], GRANTED),
    (["override", LONG, "--for", "8h"], GRANTED),
    (
        ["page", "--test"],
        {"routes": [ROUTE]},
    ),
    (["letter", "14", "--to", "staff"], {"estate": LONG, "incident": LETTER}),
    (["letter", "14", "--to", "customers", "--lang", "fr"], {"estate": LONG, "incident": LETTER}),
    (["plan", "list"], {"plans": [PLAN]}),
    (["plan", "close", LONG, "--why", "x"], GRANTED),
    (["maintenance", "list"], {"plans": [HELD]}),
    (["maintenance", "on", LONG, "--for", "2h", "--why", "x"], GRANTED),
    (["maintenance", "off", LONG], GRANTED),
    (["takeover", LONG, "--yes"], GRANTED),
    (["switchover", LONG, "--yes"], {"answer": SAID}),
]


def assert_comfortable(text: str, said: str) -> None:
    assert re.search(r"[\x00-\x09\x0b-\x1f\x7f-\x9f\u202a-\u202e\u2066-\u2069]", text) is None, said
    for line in text.splitlines() if said != "standard error" else ():  # an error is one line, whatever it names
        assert len(line) <= 100, f"{said}: {len(line)} columns: {line}"


@pytest.mark.parametrize("colour", [{"NO_COLOR": "1"}, {"FORCE_COLOR": "1", "TERM": "xterm-256color"}])
@pytest.mark.parametrize(
    ("arguments", "answer"), CASES, ids=lambda one: " ".join(one[:2]) if isinstance(one, list) else ""
)
def test_what_is_printed_can_be_read_anywhere(
    door: Door, arguments: list[str], answer: dict[str, Any], colour: dict[str, str]
) -> None:
    door.answer = answer
    result = CliRunner().invoke(app, [*arguments, "--socket", str(door.path)], env=colour)
    assert result.exception is None or isinstance(result.exception, SystemExit), result.exception
    assert result.stdout + result.stderr
    assert_comfortable(result.stdout, "standard output")
    assert_comfortable(result.stderr, "standard error")


def test_who_is_on_call_can_be_read_anywhere(tmp_path: Path) -> None:
    names = [f"{LONG[:-1]}{number}" for number in range(5)]
    estate = tmp_path / "estate.yaml"
    estate.write_text(
        f"people: {{contacts: {{{', '.join(f'{one}: {{}}' for one in names)}}}, rota: {{weekly: {names}}}}}"
    )
    for more in ([], ["--at", "2026-12-24 18:00"]):
        result = CliRunner().invoke(app, ["oncall", str(estate), *more])
        assert result.exit_code == 0, result.output
        assert_comfortable(result.stdout, "oncall")
        assert all(one in " ".join(result.stdout.split()) for one in names)
