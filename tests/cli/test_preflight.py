"""`binome preflight`: what it prints, how it ends, what it refuses; without engines, over the real core."""

from __future__ import annotations

import json
import time
from collections.abc import Callable, Iterable
from pathlib import Path

import pytest
from typer.testing import CliRunner, Result

from binome.cli import preflight as command
from binome.cli.main import app
from binome.core.preflight.check import Name
from binome.core.target import Answer, Target
from binome.drivers.probe import Loaded
from binome.ports import Finding, Surroundings
from tests.core.test_preflight import well

LITTORAL = "examples/littoral/estate.yaml"
World = dict[str, Finding]


@pytest.fixture(autouse=True)
def _on_one_terminal(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("COLUMNS", "100")


@pytest.fixture
def world(monkeypatch: pytest.MonkeyPatch) -> World:
    """What the probes find; everything is well unless a test says otherwise."""
    found = {name: Finding(seen.answer, seen.said, 0.0, seen.details) for name, seen in well().items()}

    class Fake:
        async def look(self, target: Target) -> Finding:
            return found[target.name]

    def loads(targets: Iterable[Target], surroundings: Surroundings) -> Loaded:
        return Loaded({target.kind: Fake() for target in targets}, ())

    monkeypatch.setattr(command, "load", loads)
    return found


def run(*arguments: str) -> Result:
    return CliRunner().invoke(app, ["preflight", *arguments])


def test_all_is_well(world: World) -> None:
    result = run(LITTORAL)
    assert result.exit_code == 0, result.output
    lines = result.stdout.splitlines()
    assert lines[0].startswith("littoral   32 targets asked from here in 0.")
    assert "good     server-answers 9, member-answers 11, port-open 12, etcd-members 1" in result.stdout
    assert lines[-1] == "0 bad, 0 unknown, 53 good."
    assert "  clock of par-spare, ams-vault: nothing runs there that tells the time" in lines


@pytest.mark.parametrize(
    ("answers", "code"), [((Answer.DOWN, Answer.UNSURE), 1), ((Answer.DOWN,), 1), ((Answer.UNSURE,), 4), ((), 0)]
)
def test_how_it_ends(world: World, answers: tuple[Answer, ...], code: int) -> None:
    for target, answer in zip(("par-spare", "ams-vault"), answers, strict=False):
        world[target] = Finding(answer, "silence", 0.0)
    assert run(LITTORAL).exit_code == code
    said = json.loads(run(LITTORAL, "--json").stdout)
    assert said["counts"]["bad"] == answers.count(Answer.DOWN)
    assert said["counts"]["unknown"] == answers.count(Answer.UNSURE)


def test_a_deviation_has_its_place_and_its_remedy_and_the_same_ones_are_told_once(world: World) -> None:
    for target in ("gra-web", "sbg-web"):
        world[target] = Finding(Answer.DOWN, "no answer within 3000 ms", 0.0)
    result = run(LITTORAL)
    assert result.exit_code == 1
    block = result.stdout.split("\n\n")[1].splitlines()
    line = next(number for number, text in enumerate(Path(LITTORAL).read_text().splitlines(), 1) if "gra-web:" in text)
    assert block[0] == f"bad      server-answers        gra-web, sbg-web, estate.yaml:{line}:3"
    assert block[1:3] == [
        "         found     no answer within 3000 ms",
        "         expected  an answer of icmp at 10.20.1.11, and so on",
    ]
    assert block[3].startswith("         → See whether it runs")
    assert all(len(text) <= 100 for text in result.stdout.splitlines())
    said = json.loads(run(LITTORAL, "--json").stdout)
    bad = [one for one in said["checks"] if one["state"] == "bad"]
    assert [(one["check"], one["subject"], one["line"]) for one in bad] == [
        ("server-answers", "gra-web", line),
        ("server-answers", "sbg-web", line + 3),
    ]


def test_what_a_target_says_commands_no_terminal(world: World) -> None:
    patroni = world["database@gra-db/patroni"]
    details = {**patroni.details, "member/\x1b[2J": "replica streaming 10.9.9.9 5432"}
    world["database@gra-db/patroni"] = patroni._replace(details=details)
    assert "\x1b" not in run(LITTORAL).stdout
    assert "\x1b" not in run(LITTORAL, "--json").stdout


@pytest.mark.parametrize(
    ("arguments", "says"),
    [
        (["sbg-bd"], "sbg-bd: there is no such server.  Did you mean sbg-db?"),
        (["\x1b[2J"], "\\x1b[2J: there is no such server."),
        (["--timeout", "soon"], "--timeout soon: expected a duration such as 800ms, 3s or 1m; nothing was asked."),
        (["--within", "0s"], "--within 0s: expected a duration"),
        (["--password", "env:X"], "--password is for --user, which is not given"),
        (["--user", "me", "--password", "hunter2"], "--password: hunter2: expected env:NAME or file:PATH"),
        (["--user", "me", "--password", "env:BINOME_NOT_SET"], "the variable BINOME_NOT_SET is not set"),
    ],
)
def test_unusable_input(world: World, arguments: list[str], says: str) -> None:
    result = run(LITTORAL, *arguments)
    assert (result.exit_code, says in result.stderr, result.stdout) == (2, True, ""), result.stderr


def test_an_estate_with_nothing_to_ask_is_no_success(tmp_path: Path) -> None:
    file = tmp_path / "estate.yaml"
    file.write_text("sites: {a: {}}\n")
    assert run(str(file)).exit_code == 4


def test_without_a_probe_nothing_can_be_asked(monkeypatch: pytest.MonkeyPatch) -> None:
    why = "gra-edge is of kind icmp, and no probe of that kind is installed."
    monkeypatch.setattr(command, "load", lambda targets, surroundings: Loaded({}, (why,)))
    result = run(LITTORAL)
    assert (result.exit_code, why in result.stderr, result.stdout) == (3, True, "")


def test_it_is_bounded_however_many_servers_hang(world: World, monkeypatch: pytest.MonkeyPatch) -> None:
    import asyncio

    class Hangs:
        async def look(self, target: Target) -> Finding:
            await asyncio.sleep(600)
            raise AssertionError

    loads: Callable[..., Loaded] = lambda targets, _: Loaded({target.kind: Hangs() for target in targets}, ())  # noqa: E731
    monkeypatch.setattr(command, "load", loads)
    began_s = time.monotonic()
    result = run(LITTORAL, "--within", "300ms")
    assert (result.exit_code, time.monotonic() - began_s < 5) == (4, True)
    assert "not asked within 0.3 s" in result.stdout


PAGE = (Path(__file__).parents[2] / "docs" / "preflight.md").read_text(encoding="utf-8")


def test_every_check_has_its_section_and_no_other() -> None:
    headings = [line.removeprefix("### `").removesuffix("`") for line in PAGE.splitlines() if line.startswith("### `")]
    assert headings == [str(name) for name in Name]


def test_every_option_is_in_the_page() -> None:
    for option in ("--user", "--password", "--timeout", "--within", "--json"):
        assert f"`{option}" in PAGE, option
