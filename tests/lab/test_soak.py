"""A soak names everything that moves, and nothing that does not."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import pytest
from typer.testing import CliRunner

from binome.cli.main import app
from binome.core.causes import Kind
from binome.core.database import DatabaseSeen
from binome.core.entry import EMPTY, Draft, Fact, seal
from binome.core.impact import ProductUsable
from binome.core.incident import IncidentOpened, PageAccepted
from binome.core.leadership import LeadershipTaken
from binome.core.looking import LookoutsHeard, VerdictsAgreed
from binome.core.maintenance import MaintenanceEndAsked
from binome.core.plan import PlanCancelled
from binome.core.quorum import Agreed
from binome.core.scope import Cause, Confidence, Ended, Manner, ScopeEnded, ScopeOpened
from binome.core.silence import SiteHeard
from binome.core.takeover import TakeoverRefused
from binome.core.verdict import Verdict
from binome.estate import load
from binome.lab.account import Account
from binome.lab.checker import Evidence
from binome.lab.movement import UNANSWERED, Journal, Known, Move, Movement, Thing, rejudged
from binome.lab.record import Record, State
from binome.lab.soak import Soaked, move_line, summary_lines, told_by, verdicts_of, with_act_after
from tests.lab.conftest import LITTORAL

STATUS: dict[str, Any] = {
    "leader": "gra-edge",
    "generation": 1,
    "scopes": [],
    "peers": [{"peer": "sbg-edge", "silent": False}],
    "agents": [{"server": "gra-db", "connected": True, "fenced": False}],
    "silent_sites": [],
    "takeovers": [],
    "plans": [],
    "problems": ["EXAMPLE is not set"],
    "products": [{"product": "website", "hit_by": [], "no_primary": []}],
    "databases": [{"database": "database", "primary": "gra-db", "leaderless": False, "synchronous": ["sbg-db"]}],
}


def moved(change: dict[str, Any]) -> list[Move]:
    known = Known()
    assert known.take(dict(told_by("par-watch", STATUS)), 1) == []
    return known.take(dict(told_by("par-watch", STATUS | change)), 2)


@pytest.mark.parametrize(
    ("change", "kind", "what"),
    [
        ({"leader": "sbg-edge"}, Movement.LEADER, "gra-edge → sbg-edge"),
        ({"leader": ""}, Movement.LEADER, "gra-edge → none"),
        ({"generation": 2}, Movement.GENERATION, "1 → 2"),
        ({"scopes": [{"scope": "site/strasbourg/1"}]}, Movement.SCOPE, "none → site/strasbourg/1"),
        ({"peers": [{"peer": "sbg-edge", "silent": True}]}, Movement.SILENCE, "none → sbg-edge"),
        ({"silent_sites": [{"site": "strasbourg"}]}, Movement.SILENCE, "none → strasbourg"),
        ({"agents": [{"server": "gra-db", "connected": True, "fenced": True}]}, Movement.AGENT, "none → gra-db fenced"),
        ({"agents": [{"server": "gra-db", "connected": False, "fenced": False}]}, Movement.AGENT, "none → gra-db away"),
        ({"takeovers": [{"service": "database", "said": "no"}]}, Movement.TAKEOVER, "none → database: no"),
        ({"plans": [{"plan": "takeover/database/1"}]}, Movement.PLAN, "none → takeover/database/1"),
        ({"problems": []}, Movement.PROBLEM, "EXAMPLE is not set → none"),
        (
            {"products": [{"product": "website", "hit_by": ["site/strasbourg/1"], "no_primary": []}]},
            Movement.PRODUCT,
            "none → website",
        ),
        (
            {"databases": [{"database": "database", "primary": "gra-db", "leaderless": True, "synchronous": []}]},
            Movement.PRIMARY,
            "database: gra-db, with sbg-db in step → none, with nobody in step",
        ),
    ],
)
def test_what_a_lookout_says_otherwise_has_moved(change: dict[str, Any], kind: Movement, what: str) -> None:
    assert moved(change) == [Move(2, kind, what, "par-watch")]


def test_nothing_moves_where_all_is_said_again() -> None:
    assert moved({}) == []
    assert moved({"entries": 7, "at_ms": 12}) == []


def test_every_verdict_of_every_lookout_is_followed() -> None:
    text = 'binome_target_own{{target="web@gra-web"}} {}\nbinome_target_agreed{{target="web@gra-web"}} 1\n'
    known = Known()
    words = []
    for number in ("1", "0", "0.5", "NaN", "1"):
        for lookout in ("gra-edge", "par-watch"):
            reading = dict(verdicts_of(lookout, text.format(number if lookout == "par-watch" else "1")))
            words += [(move.what, move.by, move.kind) for move in known.take(reading, 1, 0.5)]
    told = ["up → down", "down → flapping", "flapping → unsure", "unsure → up"]
    assert words == [(f"web@gra-web: {one}", "par-watch", Movement.VERDICT) for one in told]
    assert known.unsure_s == {"web@gra-web": 0.5}


def test_who_answers_late_has_not_moved_and_who_answers_nothing_any_more_has() -> None:
    known = Known()
    both = {Thing("web on gra-web", Movement.ENGINE): "web up", Thing("web on sbg-web", Movement.ENGINE): "web up"}
    one = {Thing("web on sbg-web", Movement.ENGINE): "web up"}
    moves = []
    for reading in (both, *[one] * (UNANSWERED - 1), both, *[one] * (UNANSWERED - 1)):
        moves += known.take(reading, 1)
    assert moves == []
    assert known.take(one, 9) == [Move(9, Movement.NO_ANSWER, "web on gra-web answers nothing any more", "the watch")]
    assert known.take(one, 10) == [], "it is said once"
    assert known.take(both | {Thing("web on gra-web", Movement.ENGINE): "web starting"}, 11) == [
        Move(11, Movement.ENGINE, "web up → web starting", "web on gra-web")
    ]


def test_what_is_amiss_is_not_steady() -> None:
    known = Known()
    known.take(dict(told_by("par-watch", STATUS)) | dict(verdicts_of("par-watch", "")), 1)
    assert known.amiss() == []
    known.take(dict(verdicts_of("par-watch", 'binome_target_own{target="web@gra-web"} 0')), 2)
    assert known.amiss() == ["par-watch says web@gra-web down"]
    known.take({Thing("par-watch", Movement.SCOPE): "site/strasbourg/1"}, 3)
    assert known.amiss()[0] == "par-watch says scope site/strasbourg/1"


def test_a_verdict_that_went_and_came_back_between_two_looks_is_found_by_its_beginning() -> None:
    thing = Thing("par-watch", Movement.VERDICT, "web@gra-web")
    assert rejudged({thing: 5}, {thing: 5}, [], 9) == []
    assert rejudged({thing: 5}, {}, [], 9) == []
    assert rejudged({thing: 5}, {thing: 7}, [], 9) == [
        Move(7, Movement.VERDICT, "web@gra-web: judged anew", "par-watch")
    ]
    seen = [Move(6, Movement.VERDICT, "web@gra-web: up → down", "par-watch")]
    assert rejudged({thing: 5}, {thing: 7}, seen, 9) == [], "it is told already"
    assert rejudged({thing: 5}, {thing: 7}, [seen[0]._replace(by="gra-edge")], 9) != []


CAUSE = Cause(Kind.SITE, "strasbourg", Manner.LOST, 1, 3, 3, ("paris",), Confidence.CONFIRMED)


def told(*facts: Fact) -> list[Move]:
    journal = Journal()
    entries = seal([Draft(str(number), number, "gra-edge", fact) for number, fact in enumerate(facts)], EMPTY, 1)
    return [move for entry, fact in zip(entries, facts, strict=True) for move in journal.take(entry, fact)]


@pytest.mark.parametrize(
    ("fact", "kind"),
    [
        (ScopeOpened("site/strasbourg/1", CAUSE, ()), Movement.SCOPE),
        (ScopeEnded("site/strasbourg/1", Ended.UP_AGAIN), Movement.SCOPE),
        (SiteHeard("strasbourg"), Movement.SILENCE),
        (LookoutsHeard({"sbg-edge": 1}), Movement.SILENCE),
        (LeadershipTaken("gra-edge"), Movement.LEADER),
        (IncidentOpened(1, "site/strasbourg/1"), Movement.INCIDENT),
        (PageAccepted(1, "ops-1", "mail"), Movement.PAGE),
        (ProductUsable("website", 1), Movement.PRODUCT),
        (PlanCancelled("maintenance/web/1", "no"), Movement.PLAN),
        (MaintenanceEndAsked("1", "web", "ops-1"), Movement.FACT),
    ],
)
def test_every_fact_of_the_journal_is_a_movement(fact: Fact, kind: Movement) -> None:
    (move,) = told(fact)
    assert (move.kind, move.by) == (kind, "the journal, by gra-edge")
    assert move.what.startswith(f"{fact.__struct_config__.tag}: ")


def test_takeovers_and_primaries_in_the_journal_have_their_own_names() -> None:
    tags = {TakeoverRefused: Movement.TAKEOVER, DatabaseSeen: Movement.PRIMARY}
    from binome.lab.movement import _kind

    assert {kind: _kind(str(kind.__struct_config__.tag)) for kind in tags} == tags


def test_an_agreement_moves_with_its_verdict_and_with_a_dissent_and_not_with_one_more_voice() -> None:
    def agreed(verdict: Verdict, *by: str, dissent: dict[str, Verdict] | None = None) -> Fact:
        return VerdictsAgreed({"web@gra-web": Agreed(verdict, 1, by, dissent or {})}, confirmed=True)

    whats = [
        move.what.removeprefix("web@gra-web: ")
        for move in told(
            agreed(Verdict.UP, "gra-edge"),
            agreed(Verdict.UP, "gra-edge", "par-watch"),
            agreed(Verdict.UP, "gra-edge", dissent={"par-watch": Verdict.DOWN}),
            agreed(Verdict.DOWN, "gra-edge", "par-watch"),
        )
    ]
    assert whats == ["unsure → up", "up → up (down for par-watch)", "up (down for par-watch) → down"]


def attempts(*ends: tuple[float, State]) -> list[Record]:
    return [
        record
        for number, (at_s, end) in enumerate(ends)
        for record in (
            Record(at_s - 0.1, "write", f"a-{number}", 1, "gra-edge", "sent"),
            Record(at_s, "write", f"a-{number}", 1, "gra-edge", end),
        )
    ]


def test_the_account_keeps_the_ends_of_writes_and_the_longest_gap_of_any_client() -> None:
    account = Account()
    account.take("patient", attempts((1.0, "acknowledged"), (9.0, "acknowledged")))
    account.begin()
    assert len(account.writes) == 2, "they are judged, whenever they were written"
    account.take("patient", attempts((11.0, "acknowledged"), (11.5, "acknowledged")))
    account.take("impatient", attempts((11.2, "acknowledged"), (11.3, "unknown")))
    account.take("impatient", attempts((12.0, "acknowledged")))
    assert (account.acknowledged, dict(account.troubled)) == (4, {"write": 1})
    assert account.longest("write").seconds == pytest.approx(0.8)
    account.take("patient", attempts((13.0, "failed")))
    assert account.longest("write").seconds == pytest.approx(1.5), "it lasts still"
    assert account.longest("write").begin_s == 11.5
    assert all(one.state != "sent" for one in account.writes)


def test_an_estate_is_given_another_act_after() -> None:
    before, after = LITTORAL.read_bytes(), with_act_after(LITTORAL.read_bytes(), "350ms")
    assert after is not None
    assert load(after).services["database"].act_after_ms == 350  # type: ignore[union-attr]
    assert after.replace(b"act_after: 350ms", b"act_after: 2s") == before
    assert with_act_after(b"  db: {kind: postgresql, act_after: 2s, cooldown: 1m}", "350ms") == (
        b"  db: {kind: postgresql, act_after: 350ms, cooldown: 1m}"
    )
    assert with_act_after(b"estate: tiny", "350ms") is None


def soaked(*moves: Move, acknowledged: int = 1000) -> Soaked:
    evidence = Evidence(acknowledged, (), 0, 0, ())
    return Soaked("littoral", {"database": 350}, 0, 30.0, moves=list(moves), evidence=evidence, gaps_s={"write": 0.05})


def test_a_soak_is_good_only_where_nothing_moved_and_something_was_written(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("binome.lab.engines.versions", lambda: {"etcd": "3"})
    move = Move(3_661_000, Movement.VERDICT, "web@gra-web: up → down", "par-watch")
    other = Move(3_661_000, Movement.LEADER, "gra-edge → none", "par-watch")
    assert soaked().good
    assert summary_lines(soaked())[0] == "In 30.0 quiet minutes nothing moved."
    assert not soaked(acknowledged=0).good
    assert "no write" in summary_lines(soaked(acknowledged=0))[0]
    bad = soaked(move, other)
    assert not bad.good
    assert summary_lines(bad)[0] == "In 30.0 quiet minutes something moved, 2 times: leader, verdict."
    assert move_line(move) == "01:01:01 UTC  verdict: web@gra-web: up → down  (says par-watch)"
    record = bad.as_json()
    assert record["verdict_changes"] == [
        {"at_ms": 3_661_000, "kind": "verdict", "what": "web@gra-web: up → down", "by": "par-watch"}
    ]
    assert [one["kind"] for one in record["moves"]] == ["leader"]
    assert (record["good"], record["act_after_ms"], record["minutes"]) == (False, {"database": 350}, 30.0)


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (["--act-after", "350"], "--act-after 350: expected a duration such as 350ms or 2s"),
        (["--minutes", "0"], "0.1"),
    ],
)
def test_what_cannot_be_soaked_is_refused(arguments: Sequence[str], words: str) -> None:
    refused = CliRunner().invoke(app, ["lab", "soak", *arguments])
    assert (refused.exit_code, words in refused.stderr) == (2, True), refused.stderr


def test_an_estate_without_a_database_is_refused(tmp_path: Path) -> None:
    estate = tmp_path / "estate.yaml"
    estate.write_bytes(b"estate: tiny\n")
    refused = CliRunner().invoke(app, ["lab", "soak", str(estate), "--act-after", "350ms"])
    assert (refused.exit_code, "no database" in refused.stderr) == (2, True), refused.stderr
