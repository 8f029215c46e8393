"""`binome journal`: what is printed, on which stream, with which exit code, also while another process writes."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Sequence
from datetime import datetime
from pathlib import Path

import msgspec
import pytest
from msgspec import json as wire
from typer.testing import CliRunner, Result

from binome.cli.journal import _moment_ms
from binome.cli.journal_text import words
from binome.cli.main import app
from binome.core import impact, incident, looking, maintenance, plan, scope, silence, takeover
from binome.core.causes import Kind
from binome.core.database import DatabaseSeen
from binome.core.entry import EMPTY, Draft, Entry, Fact, UnknownFact, seal
from binome.core.impact import ProductUnusable, ProductUsable
from binome.core.incident import OverrideAsked, SilenceAsked
from binome.core.looking import LookoutsHeard, VerdictsAgreed
from binome.core.maintenance import MaintenanceAsked, MaintenanceRefused
from binome.core.plan import PlanMade, Step, StepEnded
from binome.core.quorum import Agreed
from binome.core.scope import Cause, Confidence, Ended, Manner, ScopeChanged, ScopeEnded, ScopeOpened
from binome.core.silence import SiteHeard, SiteSilent
from binome.core.takeover import DatabaseMoved, TakeoverAttested
from binome.core.verdict import Verdict
from binome.journal import heads
from binome.journal.sqlite import DamagedError, SqliteStore
from tests.journal.store_suite import Happened

NIGHT_MS = 1_760_000_000_000  # 2025-10-09 10:53:20 in Paris
PLAN = PlanMade("maintenance/r1", "maintenance", "database", 2, (Step("a"), Step("b")), "new disks")
FACTS: list[tuple[str, Fact]] = [
    ("gra-edge", MaintenanceAsked("r1", "database", NIGHT_MS + 7_200_000, "new disks", "ops-1")),
    ("maintenance", PLAN),
    ("gra-edge", StepEnded("maintenance/r1", 0, False, "done")),
    ("maintenance", MaintenanceRefused("r2", "another plan holds the subject")),
    ("gra-edge", UnknownFact(b'{"kind":"of-tomorrow","what":"\\u001b[2J","n":5}')),
]
SHOWN = """\
2025-10-09
     1  10:53:20 CEST    7  gra-edge     maintenance-asked  ops-1: database until 12:53: new disks
     2  10:54:20 CEST    7  maintenance  plan-made          database, 2 steps: new disks
     3  10:55:20 CEST    7  gra-edge     step-ended         maintenance/r1: step 1 done
     4  10:56:20 CEST    7  maintenance  maintenance-refused  r2: another plan holds the subject
     5  10:57:20 CEST    7  gra-edge     of-tomorrow        what �[2J, n 5
"""


@pytest.fixture(autouse=True)
def _paris(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("TZ", "Europe/Paris")
    time.tzset()


def entries_of(facts: Sequence[tuple[str, Fact]]) -> list[Entry]:
    drafts = (Draft(f"id/{n}", NIGHT_MS + 60_000 * n, origin, fact) for n, (origin, fact) in enumerate(facts))
    return seal(drafts, EMPTY, 7)


@pytest.fixture
def file(tmp_path: Path) -> Path:
    store = SqliteStore(tmp_path / "journal.sqlite")
    store.append(entries_of(FACTS))
    store.close()
    return tmp_path / "journal.sqlite"


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """Heads that were signed at entries 2 and 5, by two servers."""
    folder, entries = tmp_path / "heads", entries_of(FACTS)
    folder.mkdir()
    for number, signer in ((2, "par-watch"), (5, "gra-db")):
        key = heads.key_at(tmp_path / f"{signer}.key")
        head = heads.sign(key, entries[number - 1].head, estate="littoral", signer=signer, at_ms=NIGHT_MS)
        heads.write(folder, head)
    return folder


def binome(*arguments: str | Path) -> Result:
    return CliRunner().invoke(app, ["journal", *map(str, arguments)])


def change(file: Path, statement: str) -> None:
    store = SqliteStore(file)
    store._connection.execute(statement)
    store.close()


def test_an_entry_is_a_line_that_fits(file: Path) -> None:
    shown = binome("--file", file)
    assert (shown.exit_code, shown.stdout, shown.stderr) == (0, SHOWN, "")
    assert max(len(line) for line in shown.stdout.splitlines()) <= 100


def test_every_known_fact_has_words_of_its_own() -> None:
    """What has none falls back on its fields' names."""
    for kind in (*plan.FACTS, *maintenance.FACTS):
        fields = {"steps": [], "undoing": False, "step": 0, "priority": 1, "until_ms": 5, "result": "done"}
        full = {"kind": kind.__struct_config__.tag, **{name: name.upper() for name in kind.__struct_fields__}, **fields}
        fact = wire.decode(wire.encode(full), type=kind)
        assert not any(f"{name} {name.upper()}" in words(fact, 0) for name in kind.__struct_fields__)
    assert words(Happened("this"), 0) == "what this"


@pytest.mark.parametrize(
    ("fact", "said"),
    [
        (
            SilenceAsked("r", "web", NIGHT_MS + 7_200_000, "known", "ops-1"),
            "ops-1: no pages about web until 12:53: known",
        ),
        (OverrideAsked("r", "ops-2", NIGHT_MS, NIGHT_MS + 7_200_000, "ops-1"), "ops-1: ops-2 is on call until 12:53"),
        (
            OverrideAsked("r", "ops-2", NIGHT_MS + 3_600_000, NIGHT_MS + 86_400_000, "ops-1"),
            "ops-1: ops-2 is on call from 11:53 until 2025-10-10 10:53",
        ),
    ],
)
def test_times_of_what_people_ask_for_are_times_of_day(fact: Fact, said: str) -> None:
    assert words(fact, NIGHT_MS) == said


def test_json_is_what_is_stored_an_entry_a_line(file: Path) -> None:
    lines = binome("--file", file, "--json").stdout.splitlines()
    assert [wire.decode(line, type=Entry).hash for line in lines] == [entry.hash for entry in entries_of(FACTS)]
    assert json.loads(lines[1])["fact"]["subject"] == "database"


def test_only_some_kinds(file: Path) -> None:
    shown = binome("--file", file, "--kind", "plan-made", "--kind", "of-tomorrow").stdout.splitlines()
    assert [line.split()[5] for line in shown[1:]] == ["plan-made", "of-tomorrow"]


def test_a_kind_that_is_none_is_refused_with_those_that_are(file: Path) -> None:
    for more in ((), ("--follow",), ("--json",)):
        shown = binome("--file", file, "--kind", "plan-made", "--kind", "plan-mode", *more)
        assert (shown.exit_code, shown.stdout) == (2, "")
        assert shown.stderr.startswith("binome: --kind plan-mode is no kind of fact.  The kinds are ")
        assert all(kind in shown.stderr for kind in ("maintenance-asked", "verdicts-agreed", "leadership-taken"))
    assert binome("--file", file, "--kind", "scope-opened").exit_code == 0, "known, and none is there"


CAUSE = Cause(Kind.SITE, "sbg", Manner.LOST, NIGHT_MS, 5, 6, ("gra", "par"), Confidence.CONFIRMED, ("sbg-edge",))
DOWN, UP = Agreed(Verdict.DOWN, NIGHT_MS, ("gra-edge",), {"par": Verdict.UP}), Agreed(Verdict.UP, NIGHT_MS)


SEEN: list[tuple[Fact, str]] = [
    (VerdictsAgreed({"a": UP, "b": DOWN}, confirmed=True), "up: a; down: b"),
    (
        VerdictsAgreed({**{f"t{n:,}": DOWN for n in range(1_500)}, "a": UP}, confirmed=False, more=True),
        "up: a; down: t0, t1, t2 and 1,497 more; unconfirmed; more to come",
    ),
    (LookoutsHeard({"sbg-edge": NIGHT_MS}), "silent: sbg-edge since 10:53:20"),
    (LookoutsHeard({}), "all are heard"),
    (
        ScopeOpened("site/sbg/1", CAUSE, ("a", "b")),
        "site/sbg/1: site/sbg lost since 10:53:20, 5 of 6 targets, seen from gra, par",
    ),
    (
        ScopeChanged("site/sbg/1", msgspec.structs.replace(CAUSE, seen_from=(), confidence=Confidence.PROVISIONAL), ()),
        "site/sbg/1: site/sbg lost since 10:53:20, 5 of 6 targets; unconfirmed",
    ),
    (ScopeEnded("site/sbg/1", Ended.UP_AGAIN), "site/sbg/1: all of it is up again"),
    (ScopeEnded("s/1", Ended.JOINED, "s/2"), "s/1: it is a part of another, s/2"),
    (SiteSilent("sbg", 3_040, ("gra", "par"), True), "sbg for 3.0 s, seen from gra, par"),
    (SiteSilent("sbg", 3_040, ("gra",), False), "sbg for 3.0 s, seen from gra; unconfirmed"),
    (SiteHeard("sbg"), "sbg"),
    (ProductUnusable("shop", NIGHT_MS, ("web", "db"), True), "shop since 10:53:20, without web, db"),
    (ProductUnusable("shop", NIGHT_MS, ("web",), False), "shop since 10:53:20, without web; unconfirmed"),
    (ProductUsable("shop", NIGHT_MS), "shop since 10:53:20"),
    (DatabaseSeen("db", "gra-db", ("sbg-db",)), "db: gra-db is primary, sbg-db has every write"),
    (DatabaseSeen("db", "gra-db"), "db: gra-db is primary, nobody else has every write"),
    (
        TakeoverAttested(
            "r1", "db", "gra-db", "ops-1", 7, {"sbg": ("sbg-db",), "par": ("par-w",)}, "etcd", ("sbg-db",)
        ),
        "db: gra-db goes on, ops-1 attests that sbg, par is off",
    ),
    (
        DatabaseMoved("takeover/x", "db", "gra-db", "sbg-db"),
        "db: gra-db is primary, sbg-db is waited for no longer; takeover/x",
    ),
]


@pytest.mark.parametrize(("fact", "said"), SEEN)
def test_what_was_seen_is_told_in_words(fact: Fact, said: str) -> None:
    assert words(fact, NIGHT_MS) == said


def test_no_fact_is_told_as_a_dictionary() -> None:
    """Every kind that has a field of several values has words for it."""
    told = {type(fact) for fact, _ in SEEN}
    several = ("tuple", "dict", "Cause")
    for kind in (*looking.FACTS, *scope.FACTS, *silence.FACTS, *takeover.FACTS, *impact.FACTS, *incident.FACTS):
        assert kind in told or not any(name in str([*kind.__annotations__.values()]) for name in several), kind


@pytest.mark.parametrize(
    ("since", "first"),
    [("2025-10-09 10:55", 3), ("2025-10-09", 1), ("2025-10-09T08:56:00+00:00", 4), ("36500d", 1), ("1s", None)],
)
def test_since(file: Path, since: str, first: int | None) -> None:
    shown = binome("--file", file, "--since", since)
    assert (shown.exit_code, shown.stderr) == (0, "")
    lines = shown.stdout.splitlines()[1:]
    assert [int(line.split()[0]) for line in lines] == ([] if first is None else list(range(first, 6)))


def test_a_time_of_day_is_the_last_one_that_was() -> None:
    now = datetime.fromisoformat("2025-10-09 01:30").astimezone()
    moments = {since: datetime.fromtimestamp(_moment_ms(since, now) / 1000) for since in ("00:45", "23:10:05", "2h")}
    assert [f"{moment:%d %H:%M:%S}" for moment in moments.values()] == ["09 00:45:00", "08 23:10:05", "08 23:30:00"]


@pytest.mark.parametrize("since", ["yesterday", "2h30", "25:00", "", "9999999999999d"])
def test_a_since_that_is_no_time_is_refused(file: Path, since: str) -> None:
    shown = binome("--file", file, "--since", since)
    assert (shown.exit_code, shown.stdout) == (2, "")
    assert "Say how long ago" in shown.stderr


def test_what_cannot_be_read_is_refused(tmp_path: Path) -> None:
    (tmp_path / "text").write_text("no journal")
    for path in (tmp_path / "none", tmp_path / "text"):
        for arguments in (("--file", path), ("verify", "--file", path)):
            answer = binome(*arguments)
            verified = "verify" in arguments and path.exists()
            assert answer.exit_code == (1 if verified else 2), arguments
            assert str(path) in answer.stderr + answer.stdout


def test_a_damaged_journal_is_shown_and_the_damage_named(file: Path) -> None:
    change(file, "UPDATE entry SET origin = 'elsewhere' WHERE sequence = 2")
    shown = binome("--file", file)
    assert (shown.exit_code, len(shown.stdout.splitlines())) == (1, 6)
    assert shown.stderr == "binome: entry 2 is altered; see binome journal verify\n"


# -- verify


def test_a_whole_journal_is_verified(file: Path, folder: Path) -> None:
    answer = binome("verify", "--file", file, "--heads", folder)
    assert answer.exit_code == 0
    assert "whole from entry 1 to 5, generation 7" in answer.stdout
    assert "2 signed heads agree; nobody has vouched for their keys (--key)." in answer.stdout
    assert "No signed heads" in binome("--file", file, "verify").stdout, "the file may stand before the command too"


@pytest.mark.parametrize(
    ("statement", "said"),
    [
        ("UPDATE entry SET at_ms = 1 WHERE sequence = 3", "edited: entry 3."),
        ("DELETE FROM entry WHERE sequence = 3", "deleted: entry 3."),
        ("UPDATE entry SET sequence = 9 WHERE sequence = 3", "reordered: entry 3."),
        ("DELETE FROM entry WHERE sequence >= 3", "cut off: entry 3."),
    ],
)
def test_the_first_bad_entry_is_named(file: Path, folder: Path, statement: str, said: str) -> None:
    change(file, statement)
    answer = binome("verify", "--file", file, "--heads", folder)
    assert answer.exit_code == 1
    assert answer.stdout.startswith(said)
    as_json = binome("verify", "--file", file, "--heads", folder, "--json")
    assert as_json.exit_code == 1
    assert json.loads(as_json.stdout)["finding"]["sequence"] == 3
    assert json.loads(as_json.stdout)["whole"]["sequence"] == 2


@pytest.mark.parametrize(
    ("statement", "missing"),
    [("DROP TABLE entry", "no such table: entry"), ("ALTER TABLE entry RENAME fact TO told", "no such column: fact")],
)
def test_a_journal_without_its_table_or_a_column_is_damaged(
    file: Path, folder: Path, statement: str, missing: str
) -> None:
    """What is no longer there was taken away: that is what verifying is for, and no fault of the machine."""
    change(file, statement)
    for witnesses in ([], ["--heads", str(folder)]):
        answer = binome("verify", "--file", file, *witnesses)
        assert (answer.exit_code, missing in answer.stdout) == (1, True), answer.output
        assert answer.stdout.startswith("damaged: entry 1.")
    for since in ([], ["--since", "2025-10-09"]):
        shown = binome("--file", file, *since)
        told = f"binome: {file}: the file is damaged: {missing}; see binome journal verify\n"
        assert (shown.exit_code, shown.stderr) == (1, told)
    with pytest.raises(DamagedError, match=missing):
        SqliteStore(file)


def test_a_forked_journal_is_named(tmp_path: Path, folder: Path) -> None:
    store = SqliteStore(tmp_path / "forked")
    store.append(entries_of([*FACTS[:3], ("else", Happened()), FACTS[4]]))
    store.close()
    answer = binome("verify", "--file", tmp_path / "forked", "--heads", folder)
    assert answer.exit_code == 1
    assert answer.stdout.startswith(
        "forked: entry 3.  gra-db signed another entry 5; they part somewhere from entry 3 to 5"
    )


def test_heads_are_believed_only_by_their_keys(file: Path, folder: Path, tmp_path: Path) -> None:
    keys = {name: binome("key", "--file", tmp_path / f"{name}.key").stdout.strip() for name in ("gra-db", "par-watch")}
    arguments = ("verify", "--file", file, "--heads", folder)
    assert binome(*arguments, "--key", keys["gra-db"], "--key", keys["par-watch"]).exit_code == 0
    one = binome(*arguments, "--key", keys["gra-db"])
    assert one.exit_code == 1
    assert "littoral-par-watch.head: this head is not believed: signed with another key" in one.stdout
    path = folder / "littoral-gra-db.head"
    path.write_text(path.read_text().replace('"sequence":5', '"sequence":4'))
    forged = binome(*arguments)
    assert forged.exit_code == 1
    assert "its signature is not over what it says" in forged.stdout
    path.write_text("no head")
    assert binome(*arguments).exit_code == 2
    assert binome("verify", "--file", file, "--heads", tmp_path / "none").exit_code == 2


def test_a_key_is_made_where_there_is_none(tmp_path: Path) -> None:
    first = binome("key", "--file", tmp_path / "key")
    assert (first.exit_code, len(first.stdout)) == (0, 65)
    assert binome("key", "--file", tmp_path / "key").stdout == first.stdout
    assert binome("key", "--file", tmp_path / "no" / "key").exit_code == 3


# -- following


def test_it_is_followed_while_another_process_writes(file: Path) -> None:
    command = [sys.executable, "-c", "from binome.cli.entry import main; main()", "journal", "--file", str(file)]
    environment = {**os.environ, "PYTHONPATH": str(Path(__file__).parents[2] / "src")}
    with subprocess.Popen([*command, "--follow"], stdout=subprocess.PIPE, text=True, env=environment) as follower:
        assert follower.stdout is not None
        patience = threading.Timer(20, follower.kill)  # its output ends then, and the test fails
        patience.start()
        assert [follower.stdout.readline() for _ in range(6)] == SHOWN.splitlines(keepends=True)
        store = SqliteStore(file)
        store.append(seal([Draft("new", NIGHT_MS, "gra-db", Happened("now"))], store.head(), 8))
        assert "what now" in follower.stdout.readline()
        follower.send_signal(signal.SIGINT)
        assert follower.wait(timeout=10) == 130
        patience.cancel()
        store.close()
