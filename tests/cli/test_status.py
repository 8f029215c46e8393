"""What people see of the looking: whole screens, how they end, and nothing that commands a terminal."""

from __future__ import annotations

import json
import os
import pty
import re
import select
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from typer.testing import CliRunner

from binome.cli.explain_text import explained_lines
from binome.cli.main import app
from binome.cli.status_text import status_lines
from binome.core.database import DatabaseSeen
from binome.core.silence import SiteHeard, SiteSilent
from binome.core.takeover import TakeoverRefused, TakeoverWanted
from binome.core.target import Answer
from binome.estate import load
from binome.runtime.explained import explain
from binome.runtime.report import status
from tests.cli.test_door_commands import Door
from tests.runtime.seen import HOSTILE, Seen, cut_off, down, fire, hostile, leaderless, well

GOLDEN = Path(__file__).parent / "golden"
ROOT = Path(__file__).parents[2]
PAGE = (ROOT / "docs" / "looking.md").read_text(encoding="utf-8")
LITTORAL_FILE = ROOT / "examples" / "littoral" / "estate.yaml"


@pytest.fixture(autouse=True)
def _in_paris(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    monkeypatch.setenv("TZ", "Europe/Paris")
    time.tzset()
    yield
    monkeypatch.undo()
    time.tzset()


@pytest.fixture
def door(tmp_path: Path) -> Door:
    return Door(tmp_path / "s")


def refused() -> Seen:
    seen = fire()
    seen.fact(DatabaseSeen("database", "sbg-db", ("gra-db",)), DatabaseSeen("database", ""))
    seen.fact(TakeoverRefused("database", "scope/site/strasbourg/1", "people work on what is lost"))
    seen.troubles = ["etcd is slow: the last append took 1.2 s"]
    return seen


def confirm() -> Seen:
    seen = well()
    seen.fact(SiteSilent("strasbourg", 2000, ("gra-edge", "par-watch"), True))
    seen.fact(TakeoverWanted("database", "site/strasbourg/1", "gra-db", "7Q4K"))
    return seen


def settling() -> Seen:
    """Something fell a moment ago, and has no cause yet."""
    seen = well()
    seen.look(down("gra-web"))
    seen.fact(*[draft.fact for draft in seen.watch.observed(seen.loop.state, seen.clock.now_ms())])
    return seen


NIGHTS: dict[str, Callable[[], Seen]] = {
    "well": well,
    "fire": fire,
    "leaderless": leaderless,
    "cut-off": cut_off,
    "refused": refused,
    "confirm": confirm,
    "settling": settling,
    "hostile": hostile,
}


def compared(name: str, lines: list[str], width: int, *, rewrite: bool) -> None:
    assert [line for line in lines if len(line) > width or not line.isprintable()] == []
    path, text = GOLDEN / name, "\n".join(lines) + "\n"
    if rewrite:
        path.write_text(text, encoding="utf-8")
    assert text == path.read_text(encoding="utf-8")


@pytest.mark.parametrize("width", [80, 100])
@pytest.mark.parametrize("night", NIGHTS)
def test_the_screen_of_a_night(night: str, width: int, rewrite: bool) -> None:
    lines = status_lines(json.loads(json.dumps(status(NIGHTS[night]().sources))), width)
    compared(f"status-{night}-{width}.txt", lines, width, rewrite=rewrite)


@pytest.mark.parametrize(
    ("name", "night"),
    [
        ("strasbourg", "fire"),
        ("sbg-db", "fire"),
        ("database", "fire"),
        ("database@sbg-db", "fire"),
        ("gravelines", "fire"),
        ("ovh", "leaderless"),
        ("web@gra-web", "hostile"),
        ("database@gra-db/patroni", "cut-off"),
    ],
)
@pytest.mark.parametrize("width", [80, 100])
def test_the_screen_of_a_thing(name: str, night: str, width: int, rewrite: bool) -> None:
    report = explain(NIGHTS[night]().sources, name)
    file = f"explain-{name.replace('/', '-')}-{night}-{width}.txt"
    compared(file, explained_lines(json.loads(json.dumps(report)), width), width, rewrite=rewrite)


@pytest.mark.parametrize(
    ("night", "code"), [("well", 0), ("fire", 1), ("leaderless", 1), ("confirm", 1), ("settling", 1), ("hostile", 1)]
)
def test_how_status_ends(door: Door, night: str, code: int) -> None:
    door.answer = status(NIGHTS[night]().sources)
    for more in ([], ["--json"]):
        assert CliRunner().invoke(app, ["status", "--socket", str(door.path), *more]).exit_code == code
    assert door.asked == [{"do": "status"}] * 2


@pytest.mark.parametrize(
    ("name", "meant"),
    [
        ("strasburg", "Did you mean strasbourg?"),
        ("databse@gra-db", "Did you mean database@gra-db?"),
        ("database@gra-bd/patroni", "Did you mean database@gra-db/patroni?"),
        ("web@gra-db", "Try the service or the server alone."),
        ("zzz", "Name a target, service, server or site that is looked at."),
        (HOSTILE, "Name a target, service, server or site that is looked at."),
        (7, "Name a target, service, server or site that is looked at."),
        ([], "Name a target, service, server or site that is looked at."),
    ],
)
def test_what_is_not_looked_at_is_said_with_what_may_be_meant(door: Door, name: object, meant: str) -> None:
    door.answer = explain(well().sources, name)
    result = CliRunner().invoke(app, ["explain", str(name).replace("\0", ""), "--socket", str(door.path)])
    assert (result.exit_code, meant in result.output, result.output.rstrip("\n").isprintable()) == (2, True, True)


@pytest.mark.parametrize("command", [["status"], ["explain", "gra-web"], ["explain", "gravelines"]])
@pytest.mark.parametrize("as_json", [[], ["--json"]])
def test_nothing_that_a_target_or_a_peer_said_reaches_the_terminal_raw(
    door: Door, command: list[str], as_json: list[str]
) -> None:
    seen = hostile()
    door.answer = status(seen.sources) if command == ["status"] else explain(seen.sources, command[1])
    result = CliRunner().invoke(app, [*command, "--socket", str(door.path), *as_json])
    assert result.exit_code == 1 and "owned" in result.output
    assert [line for line in result.output.split("\n") if not line.isprintable()] == []
    if as_json:
        assert json.loads(result.output) == door.answer, "escaped, and nothing is lost"


def _read(terminal: int, until: Callable[[bytes], bool]) -> bytes:
    """What comes from a terminal until it is enough, within ten seconds."""
    got, end_s = b"", time.monotonic() + 10
    while not until(got):
        assert time.monotonic() < end_s, got
        if select.select([terminal], [], [], 0.2)[0]:
            try:
                got += os.read(terminal, 1 << 16)
            except OSError:
                break  # the other end is closed
    return got


def test_watch_draws_again_survives_a_shut_door_and_gives_the_terminal_back(door: Door) -> None:
    door.answer = status(fire().sources)
    terminal, theirs = pty.openpty()
    command = [sys.executable, "-m", "binome.cli.entry", "status", "--watch", "--socket", str(door.path)]
    environment = {**os.environ, "COLUMNS": "80", "LINES": "6"}
    running = subprocess.Popen(command, stdout=theirs, stderr=theirs, stdin=theirs, env=environment)
    try:
        shown = _read(terminal, lambda got: got.count(b"\x1b[H") >= 2)
        assert b"Site strasbourg is lost" in shown and re.search(rb"more lines: binome status", shown)
        door.answer = {"busy": "many"}
        _read(terminal, lambda got: b"many" in got)
        running.send_signal(signal.SIGINT)
        last = _read(terminal, lambda got: b"\x1b[?1049l" in got)
        assert running.wait(10) == 130
    finally:
        running.kill()
        os.close(terminal)
        os.close(theirs)
    assert b"Traceback" not in last


def test_a_look_from_here_is_up_again_after_the_night() -> None:
    seen = fire()
    seen.others.quiet = []
    for _ in range(2):
        seen.look({})
        seen.decided()
    report = status(seen.sources)
    assert (report["good"], report["scopes"], report["alone"]) == (True, [], [])
    assert explain(seen.sources, "sbg-db")["targets"][0]["last"]["answer"] == Answer.UP.value


@pytest.mark.parametrize("name", ["status-fire-100.txt", "explain-database@sbg-db-fire-100.txt"])
def test_the_screens_of_the_documentation_are_real(name: str) -> None:
    assert (GOLDEN / name).read_text(encoding="utf-8") in PAGE


def test_every_key_of_the_json_is_in_the_documentation() -> None:
    table = PAGE.partition("| key | what it is |")[2].partition("\n\n")[0]
    named = [key for row in table.splitlines() for key in re.findall("`(.+?)`", row.partition(" | ")[0])]
    assert named and set(named) == status(well().sources).keys()


OUTSIDE = load(f"{LITTORAL_FILE.read_text()}\nprobes:\n  shop: {{kind: http, url: 'https://shop.example/'}}\n".encode())


def test_what_stands_outside_of_the_estate_is_a_cause_of_its_own() -> None:
    seen = Seen(OUTSIDE)
    for answers in ({}, {"shop": Answer.DOWN}):
        seen.look(answers)
        seen.decided()
    report = status(seen.sources)
    assert report["unexplained"] == {"count": 0, "targets": []}
    ((scope, words, probe),) = [(one["scope"], one["sentence"], one["probe"]) for one in report["scopes"]]
    assert (scope, probe) == ("target/shop/1", "http")
    assert words.startswith("Probe shop is down since ")
    assert "outside      0 of 1 up, 1 down" in status_lines(report, 100)
    about = explain(seen.sources, "shop")
    assert (about["kind"], about["up"], about["of"], about["products"]) == ("target", 0, 1, [])


def test_what_was_said_of_a_loss_that_is_over_is_told_no_more() -> None:
    seen = confirm()
    assert [one["code"] for one in status(seen.sources)["takeovers"]] == ["7Q4K"]
    seen.fact(SiteHeard("strasbourg"))
    assert (status(seen.sources)["takeovers"], status(seen.sources)["good"]) == ([], True)
