"""Every checker finds what it is for, in a history written by hand, and nothing in one that is good."""

from __future__ import annotations

import msgspec
import pytest

from binome.core.entry import EMPTY, Draft, Entry, Head, seal
from binome.core.looking import VerdictsAgreed
from binome.core.maintenance import MaintenanceAsked
from binome.core.plan import Command, PlanMade, Step, StepEnded
from binome.core.quorum import Agreed as OfTarget
from binome.core.silence import SiteSilent
from binome.core.takeover_facts import DatabaseMoved, SwitchoverAsked, TakeoverAsked, TakeoverWanted
from binome.core.verdict import Verdict
from binome.sim.checkers import INVARIANTS
from binome.sim.history import (
    Acknowledged,
    Agreed,
    Appended,
    Arrived,
    Asked,
    Begun,
    Claimed,
    Decided,
    Died,
    Emptied,
    Ended,
    Event,
    HandedOver,
    Heard,
    Held,
    Leads,
    Looked,
    Mirrored,
    Promoted,
    Restarted,
    Ruled,
    Stood,
    TookEffect,
    Watched,
    Wrote,
)

ASKED = Draft("asked/r", 1, "person", MaintenanceAsked("r", "server", 9, "disks", "r"))
HOLD, RELEASE = Step("maintenance.hold", undo="maintenance.release"), Step("maintenance.release")
PLAN = Draft("plan", 2, "maintenance", PlanMade("maintenance/r", "maintenance", "server", 2, (HOLD, RELEASE)))


def ended(step: int) -> Draft:
    return Draft(f"ended/{step}", 3, "a", StepEnded("maintenance/r", step, False, "done"))


def command(step: int, generation: int = 1, plan: str = "maintenance/r") -> Command:
    verb = (HOLD, RELEASE)[step].verb
    return Command(f"{plan}/{step}", plan, step, False, verb, "", "server", {}, generation)


def entries(*drafts: Draft, head: Head = EMPTY, generation: int = 1) -> tuple[Entry, ...]:
    return tuple(seal(drafts, head, generation))


FIRST = entries(ASKED, PLAN)
SECOND = entries(ended(0), head=FIRST[-1].head)
THIRD = entries(ended(1), head=SECOND[-1].head)
CHAIN = FIRST + SECOND + THIRD


def step(number: int) -> list[Event]:
    return [Begun("a", command(number)), Arrived("server", command(number)), TookEffect("server", command(number))]


GOOD: list[Event] = [
    Restarted("a", 0),
    Asked(ASKED),
    Acknowledged(ASKED.id),
    Leads("a"),
    Claimed("a", 1),
    Agreed("a", FIRST),
    Appended("a", (ASKED.id, PLAN.id)),
    Mirrored("a", FIRST),
    *step(0),
    Agreed("a", SECOND),
    *step(1),
    Agreed("a", THIRD),
    Restarted("a", 2),
    Ended("", {"a": CHAIN, "b": FIRST}, {}),
]


def without(*left_out: Event) -> list[Event]:
    return [event for event in GOOD if event not in left_out]


def before_the_end(*events: Event) -> list[Event]:
    return [*GOOD[:-1], *events, GOOD[-1]]


OTHER = entries(Draft("other", 1, "x", ended(0).fact), head=SECOND[-1].head)

WATCHED = Watched({"a": ("a",), "b": ("b",), "c": ("c",)}, ("web",), 2, 1)
VERDICT = Draft("looking/0/verdicts", 1, "a", VerdictsAgreed({"web": OfTarget(Verdict.DOWN, 1)}, True))
MOVED = Draft("moved", 1, "a", DatabaseMoved("maintenance/r", "database", "b"))


def looked(*lookouts: str) -> list[Event]:
    """Two looks of each of these that found nobody, and the verdict."""
    looks: list[Event] = [Looked(name, "web", "down") for name in lookouts for _ in range(2)]
    return [WATCHED, *looks, Decided("a", (VERDICT.id,)), Agreed("a", entries(VERDICT, head=CHAIN[-1].head))]


def silent(heard: str) -> list[Event]:
    """All places but the silent one have heard nothing of it for seconds; then `heard` hears a beat of it."""
    beats: list[Event] = [Heard("a", "lookout-c"), Heard("b", "lookout-c")]
    waits: list[Event] = [Looked("a", "web", "unsure")] * 9
    return [
        WATCHED,
        *beats,
        *waits,
        *([Heard(heard, "lookout-c")] if heard else []),
        Decided("a", ("silence/c/1/2000",)),
    ]


def taken(*after: Event) -> list[Event]:
    """A takeover whose fact is in its transaction."""
    return [Wrote("a", "w"), HandedOver("a", "b"), Agreed("a", entries(MOVED, head=CHAIN[-1].head)), *after]


LOSS_PLAN = "takeover/loss/db/site/a/1/1"
FENCE = Step("traffic.fence", arguments={"lost": "server-a0"}, undo="traffic.unfence")
PROMOTION = Step("database.takeover", arguments={"survivor": "b", "lost": "server-a0"})
MOVE = Command(f"{LOSS_PLAN}/2", LOSS_PLAN, 2, False, "traffic.move", "", "db", {"survivor": "b"}, 1)


def loss_plan(number: int) -> Draft:
    plan = f"{LOSS_PLAN[:-1]}{number}"
    return Draft(plan, 2, "takeover", PlanMade(plan, "takeover", "db", 1, (FENCE, PROMOTION)))


LOSS = loss_plan(1)
SWITCH = Draft(
    "switch", 2, "takeover", PlanMade("takeover/switch/db/q1", "takeover", "db", 1, (Step("database.switchover"),))
)


def journal(*drafts: Draft) -> list[Event]:
    return [Agreed("a", entries(*drafts, head=CHAIN[-1].head))]


def wanted(loss: str, code: str) -> Draft:
    return Draft(f"wanted/{loss}", 1, "takeover", TakeoverWanted("db", loss, "b", code))


def yes(code: str) -> Draft:
    return Draft(f"yes/{code}", 1, "person", TakeoverAsked("q", "db", "ada", code))


def silent_for(length_ms: int) -> Draft:
    return Draft("silence/a/1", 1, "a", SiteSilent("a", length_ms, ("b", "c"), confirmed=True))


def moved_by(plan: str) -> Draft:
    return Draft("moved by", 3, "a", DatabaseMoved(plan, "db", "b"))


WELL: list[list[Event]] = [
    [Ruled("confirm", 0), *journal(wanted("site/a/1", "8"), yes("8"), LOSS)],
    [Ruled("manual", 0), *journal(yes(""), LOSS)],
    [Ruled("automatic", 350), *journal(silent_for(350), LOSS)],
    [Ruled("automatic", 9_000), *journal(yes(""), LOSS)],
    [*journal(Draft("asked", 1, "p", SwitchoverAsked("q1", "db", "b", "ada")), SWITCH)],
    [
        *journal(LOSS, Draft("fenced", 3, "a", StepEnded(LOSS_PLAN, 0, False, "done"))),
        HandedOver("a", "b"),
        *journal(moved_by(LOSS_PLAN)),
        Promoted("b", ()),
        TookEffect("edge", MOVE),
    ],
    [Stood("s", True, True), Stood("s", True, False), Stood("s", False, False), Stood("s", False, True)],
]


@pytest.mark.parametrize("events", WELL)
def test_what_people_wanted_and_what_has_lasted_violates_nothing_of_it(events: list[Event]) -> None:
    found = violated(before_the_end(*events))
    assert found & {"I4 consent", "I15 patience", "order of a takeover", "isolation"} == set()


BAD: dict[str, tuple[str, list[Event]]] = {
    "another entry": ("I13 chain", before_the_end(Agreed("a", OTHER))),
    "a gap": ("I13 chain", without(Agreed("a", SECOND))),
    "an id twice": ("I13 chain", before_the_end(Agreed("a", entries(ended(1), head=CHAIN[-1].head)))),
    "mirrored, not agreed": ("I13 mirrors", before_the_end(Mirrored("a", entries(PLAN, head=CHAIN[-1].head)))),
    "a mirror shrank": ("I13 mirrors", before_the_end(Restarted("a", 1))),
    "a mirror shrank, of a new disk": (
        "I13 mirrors",
        before_the_end(Emptied("a"), Mirrored("a", FIRST), Restarted("a", 1)),
    ),
    "a mirror of another chain": ("I13 mirrors", [*GOOD[:-1], Ended("", {"a": SECOND}, {})]),
    "told too early": ("I13 acknowledged", before_the_end(Appended("a", ("never",)))),
    "lost": (
        "I13 acknowledged",
        before_the_end(Asked(PLAN), Acknowledged("lost"), Asked(msgspec.structs.replace(ASKED, id="lost"))),
    ),
    "altered": (
        "I13 acknowledged",
        before_the_end(Asked(msgspec.structs.replace(ASKED, fact=MaintenanceAsked("r", "server", 10, "", "")))),
    ),
    "who does not lead appends": ("one decider", [Leads("b"), *GOOD[4:]]),
    "two of one generation": ("one decider", before_the_end(Claimed("b", 1))),
    "begun too late": ("one decider", before_the_end(Claimed("b", 2), Begun("a", command(1)))),
    "appended too late": (
        "one decider",
        before_the_end(Claimed("b", 2), Agreed("a", entries(PLAN, head=CHAIN[-1].head))),
    ),
    "begun in a generation that one of two mirrors has": (
        "generations",
        before_the_end(Restarted("b", 0), Begun("a", command(1))),
    ),
    "begun before planned": ("write ahead", [Begun("a", command(0)), *GOOD]),
    "done before planned": ("write ahead", [TookEffect("server", command(0)), *GOOD]),
    "an old generation": (
        "I6 refusal",
        before_the_end(
            Arrived("server", command(1, generation=2)),
            Arrived("server", command(0, generation=1, plan="p")),
            TookEffect("server", command(0, generation=1, plan="p")),
        ),
    ),
    "an overtaken step": (
        "I6 refusal",
        before_the_end(
            Arrived("server", command(1, generation=2)),
            Arrived("server", command(0, generation=2)),
            TookEffect("server", command(0, generation=2)),
        ),
    ),
    "told to be done": ("I3 unknown", without(TookEffect("server", command(1)))),
    "two plans on one subject": (
        "one plan a subject",
        before_the_end(TookEffect("server", command(0, plan="p")), TookEffect("server", command(0, plan="q"))),
    ),
    "a plan that never ends": ("I14 plans", without(Agreed("a", THIRD))),
    "held for ever": ("I14 plans", [*GOOD[:-1], Ended("", {}, {"server": "maintenance/r"})]),
    "does not converge": ("I16 convergence", [*GOOD[:-1], Ended("nobody leads", {}, {})]),
    "a verdict of one place": ("I5 verdicts", before_the_end(*looked("a"))),
    "called silent by who has just heard it": ("I4 silence", before_the_end(*silent("a"))),
    "promoted without a write": ("I1, I2 writes", before_the_end(*taken(Promoted("b", ())))),
    "acknowledged beside a new primary": (
        "I1, I2 writes",
        before_the_end(*taken(Promoted("b", ("w",)), Wrote("a", "late"))),
    ),
    "the last primary lacks a write": ("I1, I2 writes", before_the_end(Wrote("a", "w"), Held("b", ()))),
    "handed over without a fact": ("I15 once", before_the_end(HandedOver("a", "b"))),
    "taken over twice": (
        "I15 once",
        before_the_end(*taken(HandedOver("a", "a"), Agreed("a", entries(MOVED, head=CHAIN[-1].head)))),
    ),
    "taken over and nobody said yes": ("I4 consent", before_the_end(Ruled("confirm", 0), *journal(LOSS))),
    "a code of another loss": (
        "I4 consent",
        before_the_end(Ruled("confirm", 0), *journal(wanted("site/b/1", "7"), wanted("site/a/1", "8"), yes("7"), LOSS)),
    ),
    "a yes that counts twice": (
        "I4 consent",
        before_the_end(Ruled("manual", 0), *journal(yes(""), LOSS, loss_plan(2))),
    ),
    "moved back by itself": ("I4 consent", before_the_end(*journal(SWITCH))),
    "sooner than act_after": (
        "I15 patience",
        before_the_end(Ruled("automatic", 2000), *journal(silent_for(350), LOSS)),
    ),
    "under people's hands": (
        "I15 patience",
        before_the_end(
            *journal(
                Draft("work", 2, "m", PlanMade("maintenance/w", "maintenance", "server-a0", 2, (HOLD, RELEASE))), LOSS
            )
        ),
    ),
    "promoted before the fence": (
        "order of a takeover",
        before_the_end(*journal(LOSS), HandedOver("a", "b"), *journal(moved_by(LOSS_PLAN))),
    ),
    "traffic before the promotion": ("order of a takeover", before_the_end(TookEffect("edge", MOVE))),
    "cut off and serving": (
        "isolation",
        before_the_end(Stood("s", True, True), *[Looked("a", "web", "up")] * 3, Stood("s", True, False)),
    ),
    "cut off and serving to the end": ("isolation", before_the_end(Stood("s", True, True))),
    "died": ("survival", before_the_end(Died("a", "ValueError"))),
}


def violated(events: list[Event]) -> set[str]:
    timed = [(float(number), event) for number, event in enumerate(events)]
    return {name for name, checker in INVARIANTS.items() if next(checker(timed), None) is not None}


def test_a_good_history_violates_nothing() -> None:
    assert violated(GOOD) == set()


@pytest.mark.parametrize(
    "events", [looked("a", "b"), silent(""), taken(Promoted("b", ("w",)), Wrote("b", "next"), Held("b", ("w", "next")))]
)
def test_what_is_well_founded_violates_nothing_of_it(events: list[Event]) -> None:
    found = violated(before_the_end(*events))
    assert found & {"I5 verdicts", "I4 silence", "I1, I2 writes", "I15 once"} == set()


def test_a_new_disk_has_nothing_and_that_is_no_loss() -> None:
    assert violated(before_the_end(Emptied("a"), Restarted("a", 0))) == set()


@pytest.mark.parametrize("case", BAD)
def test_a_bad_history_violates_what_it_should(case: str) -> None:
    invariant, events = BAD[case]
    assert invariant in violated(events)


def test_every_checker_has_a_case() -> None:
    assert {invariant for invariant, _ in BAD.values()} == set(INVARIANTS)
