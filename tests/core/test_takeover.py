"""The takeover, as a table of questions: what is recorded for which loss, and what becomes of the plan afterwards."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest

from binome.core.alarm import alarms
from binome.core.causes import Kind
from binome.core.database import DatabaseSeen
from binome.core.decide import decide
from binome.core.entry import Draft, Fact, seal
from binome.core.isolation import is_free
from binome.core.looking import VerdictsAgreed
from binome.core.maintenance import MaintenanceAsked
from binome.core.plan import Command, PlanMade, StepEnded
from binome.core.quorum import Agreed
from binome.core.scope import Cause, Confidence, Manner, ScopeOpened
from binome.core.silence import SiteHeard, SiteSilent
from binome.core.state import State
from binome.core.takeover import (
    ATTEMPTS,
    CAPABILITY,
    MEASURED_WITHIN_MS,
    PROMOTE,
    RELEASE,
    SWITCH,
    FailbackAsked,
    Refused,
    RejoinEnded,
    SwitchoverAsked,
    TakeoverAsked,
    TakeoverAttested,
    TakeoverRefused,
    TakeoverShadowed,
    TakeoverWanted,
    moved,
)
from binome.core.takeover_facts import FAILURES_BEFORE_PAGE, REJOIN_AGAIN_MS, Fenced, StandbyBehind
from binome.core.verdict import Verdict
from binome.estate import Estate, load

TEXT = (Path(__file__).parents[2] / "examples" / "littoral" / "estate.yaml").read_text()
BEGIN_MS = 1_700_000_000_000
SEEN = DatabaseSeen("database", "sbg-db", ("gra-db",))
BURNS = SiteSilent("strasbourg", 2_000, ("gra-edge", "par-watch"), confirmed=True)
TAKEOVER = ["traffic.fence", "database.takeover", "traffic.move", "database.verify"]


def littoral(**changes: str) -> Estate:
    """The example, with some lines of its text replaced: `old="new"` by their key."""
    text = TEXT
    for key, value in changes.items():
        (line,) = [line for line in text.splitlines() if line.strip().startswith(f"{key}:") and line.startswith("    ")]
        text = text.replace(line, f"    {key}: {value}", 1)
    return load(text.encode())


class Night:
    """A journal in memory that decides, and hands that do what they are told at once."""

    def __init__(self, estate: Estate | None = None, *facts: Fact) -> None:
        self.estate = estate or littoral()
        self.state = State()
        self.now_ms = BEGIN_MS
        self.facts: list[Fact] = []
        self.drafts: list[Draft] = []
        self.done: list[Command] = []
        self.answer: Callable[[Command], str] = lambda _: "done"
        self.ids: set[str] = set()
        for fact in facts:
            self.happens(fact)

    def happens(self, fact: Fact) -> None:
        self.append([Draft(f"test/{len(self.ids)}", self.now_ms, "test", fact)])
        self.settle()

    def append(self, drafts: list[Draft]) -> None:
        new = [draft for draft in drafts if draft.id not in self.ids]
        self.ids.update(draft.id for draft in new)
        self.drafts += new
        for entry in seal(new, self.state.head, 1):
            self.facts.append(self.state.apply(entry))

    def settle(self) -> None:
        """Decides and carries out until nothing more comes of it now."""
        for _ in range(100):
            decision = decide(self.estate, self.state, self.now_ms, generation=1)
            if not decision.record and not decision.execute:
                return
            self.append(list(decision.record))
            for command in decision.execute:
                self.done.append(command)
                if self.answer(command) == "done" and command.verb in (PROMOTE, RELEASE, SWITCH):
                    self.append([Draft(f"{command.id}/moved", self.now_ms, "test", moved(command))])
                ended = StepEnded(command.plan, command.step, command.undoing, self.answer(command))  # type: ignore[arg-type]
                self.append([Draft(f"ended/{len(self.ids)}", self.now_ms, "test", ended)])
        raise AssertionError("it decides for ever")

    def pass_(self, seconds: float) -> None:
        self.now_ms += round(seconds * 1000)
        self.settle()

    def verbs(self) -> list[str]:
        return [command.verb for command in self.done]

    def reasons(self) -> list[str]:
        return [fact.reason for fact in self.facts if isinstance(fact, TakeoverRefused)]

    def primary(self) -> str:
        return self.state.takeover.databases["database"].primary


def burned(estate: Estate | None = None, *before: Fact) -> Night:
    night = Night(estate, SEEN, *before)
    night.happens(BURNS)
    return night


def test_the_synchronous_standby_takes_over_once() -> None:
    night = burned()
    assert night.verbs() == TAKEOVER
    assert night.done[0].arguments == {"service": "database", "lost": "sbg-db sbg-edge sbg-web"}
    assert night.done[1].arguments == {"scope": "littoral", "lost": "sbg-db", "survivor": "gra-db"}
    assert (night.done[3].server, night.done[3].arguments) == ("gra-db", {"service": "database"})
    assert night.primary() == "gra-db"
    night.pass_(3600)
    assert night.verbs() == TAKEOVER
    assert night.state.plans == {}


def test_it_waits_for_act_after_as_measured_and_not_by_the_wall_clock() -> None:
    night = Night(littoral(act_after="5s"), SEEN)
    night.happens(BURNS)
    night.pass_(3600)
    assert night.verbs() == []
    night.happens(SiteSilent("strasbourg", 5_000, BURNS.seen_from, confirmed=True))
    assert night.verbs() == TAKEOVER


@pytest.mark.parametrize(
    ("reason", "night"),
    [
        (Refused.NO_QUORUM, lambda: _silent(two_sites(), confirmed=False)),
        (Refused.NOT_AGREED, lambda: _in_doubt(Confidence.PROVISIONAL)),
        (Refused.NOT_SYNCHRONOUS, lambda: _on(DatabaseSeen("database", "sbg-db", ()))),
        (Refused.NOT_SYNCHRONOUS, lambda: _on(DatabaseSeen("database", "sbg-db", ("sbg-db",)))),
        (Refused.LAG, lambda: _later(burned(asynchronous()))),
        (Refused.LAG, lambda: burned(asynchronous(""))),
        (Refused.LAG, lambda: burned(asynchronous(""), _behind(100))),
        (Refused.LAG, lambda: burned(asynchronous(), _behind(5_001))),
        (Refused.LAG, lambda: _later(burned(asynchronous(), _behind(100, loss="site/strasbourg/0")))),
        (Refused.CAPACITY, lambda: burned(littoral(replication="synchronous, need: 2".replace(", ", "\n    ")))),
        (Refused.MANUAL, lambda: burned(littoral(takeover="manual"))),
        (Refused.MAINTENANCE, lambda: burned(None, _maintenance("strasbourg"))),
        (Refused.MAINTENANCE, lambda: burned(None, _maintenance("sbg-db"))),
    ],
)
def test_a_question_that_says_no_is_recorded_by_its_name_once(reason: Refused, night: Callable[[], Night]) -> None:
    one = night()
    assert one.reasons() == [reason.value]
    one.pass_(30)
    assert one.reasons() == [reason.value]
    assert [verb for verb in one.verbs() if not verb.startswith("maintenance")] == []
    assert one.primary() == "sbg-db"


def two_sites() -> Estate:
    return load(TEXT.replace("on: [gra-edge, sbg-edge, par-watch]", "on: [gra-edge, sbg-edge]").encode())


def asynchronous(lag: str = "\n    lag: 5s") -> Estate:
    return littoral(replication=f"asynchronous{lag}")


def _behind(behind_ms: int, member: str = "gra-db", loss: str = "site/strasbourg/1") -> StandbyBehind:
    return StandbyBehind("database", loss, member, behind_ms)


def _later(night: Night) -> Night:
    assert night.reasons() == [], "it is waited for what is measured"
    night.pass_(MEASURED_WITHIN_MS / 1000)
    return night


def _in_doubt(confidence: Confidence) -> Night:
    """A server that the vantage points do not agree to be lost."""
    down = dict.fromkeys(["sbg-db", "database@sbg-db"], Agreed(Verdict.DOWN, BEGIN_MS - 3_000, ("gra-edge",)))
    cause = Cause(Kind.SERVER, "sbg-db", Manner.LOST, BEGIN_MS - 3_000, 4, 4, ("gravelines",), confidence)
    night = Night(None, SEEN)
    night.append([Draft("seen", BEGIN_MS, "test", VerdictsAgreed(down, False))])
    night.happens(ScopeOpened("server/sbg-db/1", cause, tuple(down)))
    return night


def _silent(estate: Estate | None = None, *, confirmed: bool) -> Night:
    night = Night(estate, SEEN)
    night.happens(SiteSilent("strasbourg", 2_000, ("gra-edge",), confirmed=confirmed))
    return night


def _on(seen: DatabaseSeen) -> Night:
    night = Night(None, seen)
    night.happens(BURNS)
    return night


def _maintenance(subject: str) -> MaintenanceAsked:
    return MaintenanceAsked("m1", subject, BEGIN_MS + 7_200_000, "new switches", "ops-1")


def test_maintenance_of_the_database_itself_gives_way_to_a_takeover() -> None:
    night = burned(None, _maintenance("database"))
    assert night.verbs() == ["maintenance.hold", "maintenance.release", *TAKEOVER]


def test_in_the_cooldown_there_is_no_second_takeover_and_after_it_there_is() -> None:
    night = burned()
    night.happens(SiteHeard("strasbourg"))
    night.happens(DatabaseSeen("database", "gra-db", ("sbg-db",)))
    before = len(night.verbs())
    night.happens(SiteSilent("gravelines", 2_000, ("sbg-edge", "par-watch"), confirmed=True))
    assert night.reasons() == [Refused.COOLDOWN.value]
    assert len(night.verbs()) == before
    night.pass_(600)
    assert night.verbs()[before:] == TAKEOVER
    assert night.primary() == "sbg-db"


def test_who_returns_gets_its_routes_at_once_and_traffic_when_it_is_whole_and_never_its_old_place() -> None:
    night = burned()
    night.happens(SiteHeard("strasbourg"))
    assert night.verbs() == [*TAKEOVER, "traffic.open"]
    night.pass_(3600)
    assert night.verbs() == [*TAKEOVER, "traffic.open"]
    night.happens(DatabaseSeen("database", "gra-db", ("sbg-db",)))
    assert night.verbs() == [*TAKEOVER, "traffic.open", "traffic.unfence"]
    night.pass_(86_400)
    assert night.primary() == "gra-db"
    assert [one for one in night.state.plans.values() if one.capability == CAPABILITY] == []


def test_a_promotion_that_is_refused_undoes_the_fence_and_is_tried_again_a_few_times() -> None:
    night = Night(None, SEEN)
    night.answer = lambda command: "failed" if command.verb == "database.takeover" else "done"
    night.happens(BURNS)
    assert night.verbs() == ["traffic.fence", "database.takeover", "traffic.unfence"] * ATTEMPTS
    assert night.reasons() == [Refused.TRIED_ENOUGH.value]
    assert night.primary() == "sbg-db"
    assert night.state.takeover.fenced == {}


@pytest.mark.parametrize("step", range(len(TAKEOVER)))
def test_a_step_of_unknown_outcome_is_done_again_until_it_is_known(step: int) -> None:
    night = Night(None, SEEN)
    lost = iter(["unknown"])
    answers: dict[int, str] = {}

    def answer(command: Command) -> str:  # once for each time that it is carried out, however often it is asked for
        if command.verb == TAKEOVER[step]:
            return answers.setdefault(len(night.done), next(lost, "done"))
        return "done"

    night.answer = answer
    night.happens(BURNS)
    assert night.verbs() == TAKEOVER[: step + 1]
    night.pass_(1)
    assert night.verbs() == [*TAKEOVER[: step + 1], *TAKEOVER[step:]]
    assert night.primary() == "gra-db"


@pytest.mark.parametrize("entries", range(12))
def test_whoever_leads_next_goes_on_from_the_journal_and_promotes_once(entries: int) -> None:
    """The journal of a whole takeover is cut after each of its entries; a successor folds it and goes on."""
    whole = burned()
    second = Night(None)
    second.append(whole.drafts[:entries])
    if entries < 1:
        second.happens(SEEN)
    if BURNS not in whole.facts[:entries]:
        second.happens(BURNS)
    second.settle()
    folded = [fact for fact in whole.facts[:entries] if isinstance(fact, StepEnded)]
    assert second.verbs() == TAKEOVER[len(folded) :]
    assert second.primary() == "gra-db"


def test_shadow_records_what_would_have_been_done_and_does_nothing() -> None:
    night = burned(littoral(takeover="shadow"))
    assert night.verbs() == []
    assert [fact.survivor for fact in night.facts if isinstance(fact, TakeoverShadowed)] == ["gra-db"]


def test_confirm_asks_for_a_code_and_takes_over_when_it_is_given() -> None:
    night = burned(littoral(takeover="confirm"))
    (wanted,) = [fact for fact in night.facts if isinstance(fact, TakeoverWanted)]
    assert night.verbs() == []
    night.happens(TakeoverAsked("r1", "database", "ops-1", "000000"))
    assert night.state.answers["r1"] == Refused.WRONG_CODE.value
    night.happens(TakeoverAsked("r2", "database", "ops-1", wanted.code))
    assert night.verbs() == TAKEOVER
    assert night.state.answers["r2"] == "granted"
    night.happens(TakeoverAsked("r3", "database", "ops-1", wanted.code))
    assert night.state.answers["r3"] == Refused.NOTHING_LOST.value


def test_from_two_sites_nothing_is_automatic_and_a_person_is_asked_all_the_same() -> None:
    night = _silent(two_sites(), confirmed=False)
    night.pass_(60)
    assert (night.reasons(), night.verbs()) == ([Refused.NO_QUORUM.value], [])
    text = TEXT.replace("on: [gra-edge, sbg-edge, par-watch]", "on: [gra-edge, sbg-edge]")
    confirms = load(text.replace("takeover: automatic", "takeover: confirm").encode())
    night = _silent(confirms, confirmed=False)
    (wanted,) = [fact for fact in night.facts if isinstance(fact, TakeoverWanted)]
    assert (night.reasons(), night.verbs()) == ([], [])
    night.happens(TakeoverAsked("r1", "database", "ops-1", wanted.code))
    assert (night.verbs(), night.state.answers["r1"]) == (TAKEOVER, "granted")


def test_a_person_may_answer_for_what_no_quorum_can_say_but_never_for_what_is_not_there() -> None:
    night = _silent(confirmed=False)
    night.happens(TakeoverAsked("r1", "database", "ops-1"))
    assert night.verbs() == TAKEOVER
    alone = _on(DatabaseSeen("database", "sbg-db", ()))
    alone.happens(TakeoverAsked("r1", "database", "ops-1"))
    assert alone.state.answers["r1"] == Refused.NOT_SYNCHRONOUS.value
    assert alone.verbs() == []


def test_a_lost_standby_is_released_so_that_writes_go_on() -> None:
    night = Night(None, DatabaseSeen("database", "gra-db", ("sbg-db",)))
    night.happens(BURNS)
    assert night.verbs() == ["traffic.fence", "database.release", "database.verify"]
    assert night.primary() == "gra-db"
    night.happens(DatabaseSeen("database", "gra-db", ()))
    night.pass_(60)
    assert len(night.verbs()) == 3


@pytest.mark.parametrize("release", ["done", "failed"])
def test_a_standby_that_is_back_before_its_loss_is_over_is_not_released_again(release: str) -> None:
    night = Night(None, DatabaseSeen("database", "gra-db", ("sbg-db",)))
    night.answer = lambda command: release if command.verb == RELEASE else "done"
    night.happens(BURNS)
    night.happens(DatabaseSeen("database", "gra-db", ("sbg-db",)))
    night.pass_(60)
    assert night.verbs().count(RELEASE) == 1
    night.happens(SiteHeard("strasbourg"))
    night.happens(BURNS)
    assert night.verbs().count(RELEASE) == 2, "the next loss is another one"


def test_a_release_that_did_not_come_to_its_transaction_is_tried_again() -> None:
    night = Night(None, DatabaseSeen("database", "gra-db", ("sbg-db",)))
    night.answer = lambda command: "failed" if command.verb == "traffic.fence" else "done"
    night.happens(BURNS)
    assert night.verbs() == ["traffic.fence", "traffic.unfence"] * ATTEMPTS


def three_members() -> Estate:
    """The example, whose database has a third member in Paris."""
    return load(TEXT.replace("on: [gra-db, sbg-db]", "on: [gra-db, sbg-db, par-spare]", 1).encode())


def test_a_survivor_whose_member_is_down_on_a_living_server_stands_back_for_one_that_works() -> None:
    night = Night(three_members(), DatabaseSeen("database", "sbg-db", ("gra-db", "par-spare")))
    down = {"database@gra-db": Agreed(Verdict.DOWN, BEGIN_MS - 3_000, ("gra-edge", "par-watch"))}
    night.append([Draft("seen", BEGIN_MS, "test", VerdictsAgreed(down, True))])
    night.happens(BURNS)
    assert (night.verbs(), night.primary()) == (TAKEOVER, "par-spare")


def test_a_survivor_that_does_not_come_is_followed_by_another_one() -> None:
    night = Night(three_members(), DatabaseSeen("database", "sbg-db", ("gra-db", "par-spare")))
    night.answer = lambda command: "failed" if command.arguments.get("survivor") == "gra-db" else "done"
    night.happens(BURNS)
    asked = [command.arguments["survivor"] for command in night.done if command.verb == PROMOTE]
    assert (asked, night.primary()) == (["gra-db", "par-spare"], "par-spare")


def test_a_takeover_that_leaves_too_little_is_made_and_says_so() -> None:
    night = burned(littoral(replication="synchronous\n    load: 500\n    capacity: 400"))
    (made,) = [fact for fact in night.facts if isinstance(fact, PlanMade)]
    assert (made.why, night.verbs()) == ("strasbourg is lost; degraded: what is left carries 400 of 500", TAKEOVER)
    night = burned(littoral(replication="synchronous\n    load: 400\n    capacity: 400"))
    (made,) = [fact for fact in night.facts if isinstance(fact, PlanMade)]
    assert made.why == "strasbourg is lost"


def switching(estate: Estate | None = None) -> Night:
    """A night in which a switchover is under way, and nothing has come of it yet."""
    night = Night(estate, SEEN)
    night.answer = lambda command: "unknown" if command.verb == SWITCH else "done"
    night.happens(SwitchoverAsked("s1", "database", "", "ops-1"))
    assert night.verbs() == [SWITCH]
    return night


def test_a_primary_that_is_lost_during_a_switchover_is_taken_over_from_at_once() -> None:
    night = switching()
    night.happens(BURNS)
    assert night.verbs() == [SWITCH, *TAKEOVER]
    assert night.primary() == "gra-db"
    assert night.state.answers["s1"].startswith("it failed: its primary is lost")
    assert night.state.plans == {}


def test_a_switchover_goes_on_where_its_primary_must_not_be_taken_over_from() -> None:
    night = switching(littoral(takeover="manual"))
    night.happens(BURNS)
    assert (night.reasons(), night.verbs()) == ([Refused.MANUAL.value], [SWITCH])
    assert [plan.state for plan in night.state.plans.values()] == ["open"]


def test_a_person_may_end_a_switchover_whose_primary_is_lost() -> None:
    night = switching(littoral(takeover="confirm"))
    night.happens(BURNS)
    (wanted,) = [fact for fact in night.facts if isinstance(fact, TakeoverWanted)]
    night.happens(TakeoverAsked("r1", "database", "ops-1", wanted.code))
    assert (night.verbs(), night.state.answers["r1"]) == ([SWITCH, *TAKEOVER], "granted")


def test_a_standby_that_is_lost_during_a_switchover_is_patronis_to_notice() -> None:
    night = Night(None, HOME)
    night.answer = lambda command: "unknown" if command.verb == SWITCH else "done"
    night.happens(SwitchoverAsked("s1", "database", "", "ops-1"))
    night.happens(BURNS)
    assert night.verbs() == [SWITCH]


def test_an_asynchronous_standby_takes_over_when_it_is_known_to_be_near_enough() -> None:
    night = burned(asynchronous())
    assert (night.verbs(), night.reasons()) == ([], [])
    night.happens(_behind(5_000))
    assert (night.verbs(), night.reasons(), night.primary()) == (TAKEOVER, [], "gra-db")
    assert night.done[1].arguments["asynchronous"] == "yes"
    (made,) = [fact for fact in night.facts if isinstance(fact, PlanMade)]
    assert made.why == "strasbourg is lost; gra-db is behind by 5 s"


def test_an_asynchronous_standby_that_is_found_to_be_near_enough_later_takes_over_then() -> None:
    night = burned(asynchronous(), _behind(9_000))
    assert night.reasons() == [Refused.LAG.value]
    night.happens(_behind(3_000))
    assert (night.verbs(), night.primary()) == (TAKEOVER, "gra-db")


def test_of_asynchronous_standbys_the_nearest_takes_over() -> None:
    text = TEXT.replace("on: [gra-db, sbg-db]", "on: [gra-db, sbg-db, par-spare]", 1)
    estate = load(text.replace("replication: synchronous", "replication: asynchronous\n    lag: 5s").encode())
    night = burned(estate, _behind(4_000), _behind(300, "par-spare"))
    assert (night.verbs(), night.primary()) == (TAKEOVER, "par-spare")


def test_a_person_may_answer_for_what_an_asynchronous_standby_lacks() -> None:
    night = _later(burned(asynchronous()))
    night.happens(TakeoverAsked("r1", "database", "ops-1"))
    assert (night.verbs(), night.state.answers["r1"]) == (TAKEOVER, "granted")


def test_an_asynchronous_database_moves_and_moves_back_though_nobody_is_synchronous() -> None:
    night = Night(asynchronous(), DatabaseSeen("database", "sbg-db", ()))
    night.happens(FailbackAsked("r1", "database", "ops-1"))
    assert (night.state.answers["r1"], night.primary()) == ("granted", "gra-db")
    night.happens(SwitchoverAsked("r2", "database", "", "ops-1"))
    assert (night.state.answers["r2"], night.primary()) == ("granted", "sbg-db")
    assert night.done[-2].arguments == {"scope": "littoral", "primary": "gra-db", "to": "sbg-db", "asynchronous": "yes"}


def test_a_quorum_of_probes_is_enough_where_no_lookout_stands_in_what_is_lost() -> None:
    down = dict.fromkeys(
        ["sbg-db", "database@sbg-db"], Agreed(Verdict.DOWN, BEGIN_MS - 3_000, ("gra-edge", "par-watch"))
    )
    cause = Cause(Kind.SERVER, "sbg-db", Manner.LOST, BEGIN_MS - 3_000, 4, 4, ("gravelines",), Confidence.CONFIRMED)
    night = Night(None, SEEN)
    night.append([Draft("seen", BEGIN_MS, "test", VerdictsAgreed(down, True))])
    night.happens(ScopeOpened("server/sbg-db/1", cause, tuple(down)))
    assert night.verbs() == TAKEOVER
    assert night.done[0].arguments["lost"] == "sbg-db"


def test_a_primary_that_is_killed_on_a_living_server_is_patronis_to_replace() -> None:
    down = {"database@sbg-db": Agreed(Verdict.DOWN, BEGIN_MS, ("gra-edge", "par-watch"))}
    cause = Cause(Kind.MEMBER, "database@sbg-db", Manner.LOST, BEGIN_MS, 1, 1, ("gravelines",), Confidence.CONFIRMED)
    night = Night(None, SEEN)
    night.append([Draft("seen", BEGIN_MS, "test", VerdictsAgreed(down, True))])
    night.happens(ScopeOpened("member/database@sbg-db/1", cause, tuple(down)))
    assert night.verbs() == []


@pytest.mark.parametrize(
    ("to", "seen", "answer"),
    [
        ("gra-db", SEEN, "granted"),
        ("", SEEN, "granted"),
        ("sbg-db", SEEN, Refused.PRIMARY_ALREADY),
        ("par-spare", SEEN, Refused.NOT_A_MEMBER),
        ("gra-db", DatabaseSeen("database", "sbg-db", ()), Refused.NOT_SYNCHRONOUS),
        ("gra-db", DatabaseSeen("database", "", ()), Refused.SOMETHING_LOST),
    ],
)
def test_a_switchover_moves_a_healthy_database_or_says_why_not(to: str, seen: DatabaseSeen, answer: str) -> None:
    night = Night(None, seen)
    night.happens(SwitchoverAsked("r1", "database", to, "ops-1"))
    assert night.state.answers["r1"] == str(answer)
    granted = answer == "granted"
    assert night.verbs() == (["database.switchover", "database.verify"] if granted else [])
    assert not granted or night.primary() == "gra-db"


HOME = DatabaseSeen("database", "gra-db", ("sbg-db",))


@pytest.mark.parametrize(
    ("seen", "answer"),
    [
        (SEEN, "granted"),
        (HOME, Refused.PRIMARY_ALREADY),
        (DatabaseSeen("database", "sbg-db", ()), Refused.NOT_WHOLE),
        (DatabaseSeen("database", "", ()), Refused.NO_SUCH_DATABASE),
    ],
)
def test_a_failback_goes_to_the_member_that_the_estate_names_first(seen: DatabaseSeen, answer: str) -> None:
    night = Night(None, *([seen] if seen.primary else []))
    night.happens(FailbackAsked("r1", "database", "ops-1"))
    assert night.state.answers["r1"] == str(answer)
    assert night.verbs() == (["database.switchover", "database.verify"] if answer == "granted" else [])
    assert answer != "granted" or night.primary() == "gra-db"


def test_a_failback_waits_until_all_that_was_fenced_off_is_let_in_again() -> None:
    night = Night(None, HOME)
    night.happens(SiteSilent("gravelines", 2_000, ("sbg-edge", "par-watch"), confirmed=True))
    night.happens(FailbackAsked("r1", "database", "ops-1"))
    assert night.state.answers["r1"] == Refused.NOT_WHOLE.value
    night.happens(SiteHeard("gravelines"))
    night.answer = lambda command: "unknown" if command.verb == "traffic.unfence" else "done"
    night.happens(SEEN)  # whole by Patroni's word, and the plan that lets it in is under way
    night.happens(FailbackAsked("r2", "database", "ops-1"))
    assert night.state.answers["r2"] == Refused.NOT_WHOLE.value
    night.answer = lambda _: "done"
    night.pass_(60)
    night.happens(FailbackAsked("r3", "database", "ops-1"))
    assert (night.state.answers["r3"], night.primary()) == ("granted", "gra-db")


def test_a_switchover_that_is_asked_for_while_somebody_is_let_in_is_not_taken_for_done() -> None:
    night = burned()
    night.append([Draft("asked", night.now_ms, "test", SwitchoverAsked("r1", "database", "sbg-db", "ops-1"))])
    night.happens(SiteHeard("strasbourg"))
    assert night.state.answers["r1"] in (Refused.HELD.value, Refused.NOT_SYNCHRONOUS.value)


def test_two_losses_of_one_service_are_fenced_and_let_in_apart() -> None:
    """A second one must not make the first forgotten: its server would be let in, or stay out, unasked."""
    night = burned()
    night.happens(SiteHeard("strasbourg"))
    night.happens(SiteSilent("paris", 2_000, ("gra-edge", "sbg-edge"), confirmed=True))
    night.state.takeover.fenced["database"]["second"] = Fenced("second", frozenset({"par-spare"}))
    night.happens(HOME)
    night.pass_(1)
    assert list(night.state.takeover.fenced["database"]) == ["second"], "the other one is still lost"
    assert not is_free(night.state, "par-spare", "nowhere") and is_free(night.state, "sbg-db", "strasbourg")
    night.happens(SiteHeard("paris"))
    night.pass_(1)
    assert night.state.takeover.fenced == {}


def test_a_member_that_does_not_follow_is_made_to_again_and_again_and_then_somebody_is_paged() -> None:
    night = burned()
    night.happens(SiteHeard("strasbourg"))
    jobs = [one.plan for one in night.done if one.verb == "traffic.open"]
    for failures in range(1, FAILURES_BEFORE_PAGE + 1):
        fact = RejoinEnded("database", "sbg-db", "site/strasbourg/1", jobs[-1], "no room for a copy")
        night.happens(fact)
        night.happens(fact)  # told twice, as by two leaders: one failure
        (one,) = night.state.takeover.fenced["database"].values()
        assert (one.failures, one.trouble) == (failures, "sbg-db: no room for a copy")
        told = [alarm.page.detail for alarm in alarms(night.estate, night.state, night.now_ms, {})]
        assert ("sbg-db: no room for a copy" in told) is (failures >= FAILURES_BEFORE_PAGE)
        night.pass_((REJOIN_AGAIN_MS << (failures - 1)) / 1000 - 1)
        assert len([one for one in night.done if one.verb == "traffic.open"]) == len(jobs)
        night.pass_(1)
        jobs = [one.plan for one in night.done if one.verb == "traffic.open"]
        assert len(jobs) == len(set(jobs)) == failures + 1
    night.happens(RejoinEnded("database", "sbg-db", "site/strasbourg/1", jobs[0], "of long ago"))
    night.happens(HOME)
    assert (night.verbs()[-1], night.state.takeover.fenced) == ("traffic.unfence", {})


def test_who_is_whole_before_its_time_is_let_in_and_not_begun_anew() -> None:
    night = burned()
    night.happens(SiteHeard("strasbourg"))
    job = next(one.plan for one in night.done if one.verb == "traffic.open")
    night.happens(RejoinEnded("database", "sbg-db", "site/strasbourg/1", job, "too slow"))
    night.happens(HOME)
    assert (night.verbs()[-1], night.verbs().count("traffic.open")) == ("traffic.unfence", 1)


ATTESTED = TakeoverAttested(
    "r1",
    "database",
    "gra-db",
    "ops-1",
    9,
    {"strasbourg": ("sbg-edge", "sbg-web", "sbg-db"), "paris": ("par-watch", "par-spare")},
    "coordination",
    ("sbg-db", "par-watch"),
)


def test_after_a_persons_word_each_place_is_let_in_by_itself_and_etcd_takes_back_one_at_a_time() -> None:
    night = Night(None, SEEN)
    night.append([Draft("silent", night.now_ms, "test", SiteSilent("paris", 2_000, ("gra-edge", "sbg-edge"), True))])
    night.happens(ATTESTED)
    assert (night.primary(), night.state.answers["r1"]) == ("gra-db", "granted")
    joins = [(one.server, one.arguments["through"]) for one in night.done if one.verb == "agreement.join"]
    assert joins == [("sbg-db", "gra-db")], "paris is silent still"
    assert not is_free(night.state, "sbg-db", "strasbourg")
    night.happens(HOME)
    assert [one.arguments["lost"] for one in night.done if one.verb == "traffic.unfence"] == ["sbg-db sbg-edge sbg-web"]
    assert is_free(night.state, "sbg-db", "strasbourg") and not is_free(night.state, "par-watch", "amsterdam")
    night.happens(SiteHeard("paris"))
    joins = [(one.server, one.arguments["through"]) for one in night.done if one.verb == "agreement.join"]
    assert joins[1:] == [("par-watch", "gra-db sbg-db")]
    assert (night.state.takeover.absent, night.state.takeover.fenced, night.state.plans) == ({}, {}, {})


def test_a_member_of_etcd_that_cannot_come_back_is_tried_a_few_times_and_stays_in_sight() -> None:
    night = Night(None, SEEN)
    night.answer = lambda command: "failed" if command.verb == "agreement.join" else "done"
    night.happens(ATTESTED)
    assert [one.server for one in night.done if one.verb == "agreement.join"] == [
        *["sbg-db"] * ATTEMPTS,
        *["par-watch"] * ATTEMPTS,
    ]
    assert set(night.state.takeover.absent) == {"sbg-db", "par-watch"}


def test_nothing_is_planned_for_a_database_that_nobody_asks_about() -> None:
    night = Night(None, SEEN)
    night.pass_(3600)
    assert not any(isinstance(fact, PlanMade) for fact in night.facts)
