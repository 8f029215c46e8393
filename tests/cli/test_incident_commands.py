"""The commands about incidents: what they print at 100 columns, how they end, what they ask."""

from __future__ import annotations

import json
from typing import Any

import pytest
from typer.testing import CliRunner

from binome.cli.incident import duration
from binome.cli.main import app
from tests.cli.test_door_commands import Door, door

__all__ = ["door"]

MS = 1_615_333_632_000
ONE: dict[str, Any] = {
    "incident": 14, "episode": "site/strasbourg/1", "cause": "site/strasbourg", "since_ms": MS,
    "day": "2021-03-10", "since": "00:47:12 CET",
    "lasted_ms": 240_000, "state": "open", "why": "", "acknowledged_by": None, "paged": ["ops-1 by sms"],
    "sentence": "Site strasbourg is lost: 12 of 12 targets silent since 00:47:12 CET, seen from gravelines and paris.",
    "unusable": ["website"],
}  # fmt: skip
SPAN = {"since_ms": MS, "since": "00:47:12 CET", "until_ms": None, "until": None, "services": ["web"]}
WHOLE: dict[str, Any] = {
    **ONE,
    "products": {
        "website": {"unavailable_ms": 60_000, "confirmed": True, "intervals": [SPAN]},
        "campaigns": {"unavailable_ms": 0, "confirmed": True, "intervals": []},
    },
    "left_out": 0,
    "moments": [{"at_ms": MS, "at": "00:47:12 CET", "kind": "said", "origin": "par", "said": "ops-1: \u202eworking"}],
}
PRODUCT: dict[str, Any] = {
    "product": "website", "usable": False, "since": "00:47:12 CET", "since_ms": MS, "services": ["web"],
    "confirmed": True, "unsure": [], "incidents": [14], "taking_over": [],
    "decisions": [{"service": "database", "said": "no takeover: takeover is manual"}],
    "last_day": {"unavailable_ms": 60_000},
}  # fmt: skip
ALL = {"incidents": [ONE], "unconfirmed": [], "silenced": [], "overrides": []}


@pytest.mark.parametrize(
    ("arguments", "answer", "code", "told"),
    [
        (["incidents"], ALL, 1, "  14  open      2021-03-10 00:47:12 CET  Site strasbourg is lost"),
        (["incidents"], {**ALL, "incidents": [{**ONE, "state": "resolved"}]}, 0, "resolved"),
        (["incidents"], {**ALL, "incidents": []}, 0, "No incident is known.\n"),
        (["incidents"], {**ALL, "incidents": [], "unconfirmed": ["Site x lost"]}, 1, "seen by this lookout alone"),
        (["incident", "14"], {"estate": "littoral", "incident": WHOLE}, 1, "could not be used for 60 s"),
        (["incident", "14"], {"estate": "littoral", "incident": WHOLE}, 1, "campaigns     no outage seen"),
        (["incident", "9"], {"incident": None}, 2, "no incident 9 is known here"),
        (["affected", "website"], {"product": PRODUCT}, 1, "website       cannot be used since 00:47:12 CET: web"),
        (["affected", "website"], {"product": PRODUCT}, 1, "database      no takeover: takeover is manual"),
        (["affected", "website"], {"product": {**PRODUCT, "usable": True}}, 0, "can be used"),
        (["affected", "website"], {"product": {**PRODUCT, "usable": None, "unsure": ["web"]}}, 4, "nobody knows: web"),
        (["affected", "x"], {"product": None, "known": ["website"]}, 2, "It has: website."),
        (["note", "14", "on my way"], {"answer": "granted"}, 0, "Noted in incident 14.\n"),
        (["note", "14", "on my way"], {"answer": "no such incident"}, 1, "refused: no such incident"),
        (["resolve", "14"], {"answer": "granted"}, 0, "Incident 14 is resolved.\n"),
        (["ack", "14"], {"acknowledged": 1, "answer": "granted"}, 0, "You are on it; 1 page asked here.\n"),
        (["ack"], {"acknowledged": 2}, 0, "You are on it; 2 pages asked here.\n"),
        (["silence", "web", "--for", "2h", "--why", "x"], {"answer": "granted"}, 0, "Nobody is paged about web until"),
        (["silence", "web", "--for", "soon", "--why", "x"], {"answer": "granted"}, 2, "expected a duration"),
        (["override", "ops-2", "--for", "8h"], {"answer": "granted"}, 0, "ops-2 is on call until"),
        (["page"], {}, 2, "binome page --test"),
        (["page", "--test"], {"routes": []}, 1, "No route is like that."),
        (
            ["page", "--test", "ops-1", "--via", "sms"],
            {"routes": [{"person": "ops-1", "via": "sms", "page": "taken up"}]},
            0,
            "taken up",
        ),
    ],
)
def test_words_and_exit_codes(door: Door, arguments: list[str], answer: dict[str, Any], code: int, told: str) -> None:
    door.answer = answer
    result = CliRunner().invoke(app, [*arguments, "--socket", str(door.path)])
    assert (result.exit_code, told in result.output) == (code, True), result.output
    assert all(len(line) <= 100 and "\u202e" not in line for line in result.stdout.splitlines())


@pytest.mark.parametrize(
    ("arguments", "answer", "printed"),
    [
        (["incidents"], ALL, ALL),
        (["incident", "14"], {"estate": "littoral", "incident": WHOLE}, WHOLE),
        (["affected", "website"], {"product": PRODUCT}, PRODUCT),
        (["ack"], {"acknowledged": 2}, {"acknowledged": 2}),
    ],
)
def test_with_json_nothing_else_is_printed(
    door: Door, arguments: list[str], answer: dict[str, Any], printed: dict[str, Any]
) -> None:
    door.answer = answer
    result = CliRunner().invoke(app, [*arguments, "--json", "--socket", str(door.path)])
    assert json.loads(result.stdout) == printed


def test_durations() -> None:
    assert [duration(ms) for ms in (400, 119_000, 120_000, 12_000_000, 187_200_000)] == [
        "0 s", "119 s", "2 min", "3 h 20 min", "2 d 4 h"
    ]  # fmt: skip
