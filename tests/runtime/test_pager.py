"""The pager with a real outbox, and senders that do as they are told: what is durable when, what goes out anyway."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Sequence
from datetime import UTC
from itertools import pairwise
from pathlib import Path

import msgspec
import pytest

from binome.core.acknowledgement import KEY_BYTES
from binome.core.page import Severity
from binome.core.paging import Took
from binome.core.paging_notes import Ended, Receipt, Sent, Stage, Told
from binome.core.proof import PROVEN_FOR_MS, Route, unproven, unproven_page
from binome.estate import load
from binome.ports import Delivery, Message, Notify, Outbox
from binome.runtime.outbox import SqliteOutbox
from binome.runtime.pager import Pager, words
from binome.sim.loop import SimulationLoop, new_loop
from binome.sim.process import Clock
from tests.journal.power import NOTHING, Machine, after
from tests.runtime.test_outbox import PAGE, _full

PEOPLE = load(
    b"""
people:
  contacts: {ann: {email: ann@example.org, sms: "+33600000001"}, bob: {sms: "+33600000002"}}
  rota: {weekly: [ann, bob]}
  routes: [{via: sms}, {via: mail, after: 2m}]
  senders: {sms: {kind: sms-http}, mail: {kind: smtp}}
  acknowledge: "https://watch.example/a"
"""
).people
KEY = b"k" * KEY_BYTES


class Sender:
    """Does what it is told, and remembers what it was given."""

    def __init__(self, outcome: Sent | BaseException = Sent.ACCEPTED) -> None:
        self.outcome = outcome
        self.given: list[Message] = []
        self.before: Callable[[], None] = lambda: None

    async def send(self, message: Message) -> Delivery:
        self.before()
        self.given.append(message)
        if isinstance(self.outcome, BaseException):
            raise self.outcome
        return Delivery(self.outcome, "said")


class Night:
    """One pager in virtual time."""

    def __init__(self, outbox: Outbox | None, **senders: Sender) -> None:
        self.loop: SimulationLoop = new_loop()
        self.senders = {"sms": Sender(), "mail": Sender(), **senders}
        self.told: list[Told] = []
        self.outbox = outbox

    def begin(
        self, rank: int = 0, name: str = "gra", clock: Clock | None = None, ahead: Callable[[], int] | None = None
    ) -> Pager:
        senders: dict[str, Notify] = dict(self.senders)
        pager = Pager(
            PEOPLE,
            estate="littoral",
            name=name,
            rank=rank,
            outbox=self.outbox,
            senders=senders,
            clock=clock or Clock(self.loop),
            order=lambda _at_ms: ("ann", "bob"),
            words=words(PEOPLE, UTC, KEY),
            tell=self._tell,
            ahead=ahead,
        )
        self.loop.spawn(None, pager.run())
        return pager

    def _tell(self, told: Sequence[Told]) -> None:
        self.told.extend(told)

    def after(self, seconds: float) -> None:
        self.loop.run_until(self.loop.now_s + seconds)
        assert self.loop.mishaps == []


@pytest.fixture
def outbox(tmp_path: Path) -> SqliteOutbox:
    return SqliteOutbox(tmp_path / "outbox.sqlite")


def test_a_page_is_a_message_with_a_link_and_a_receipt_for_the_others(outbox: SqliteOutbox) -> None:
    night = Night(outbox)
    pager = night.begin()
    assert pager.want(PAGE) is Took.NEW
    assert pager.want(msgspec.structs.replace(PAGE, what="in other words")) is Took.ALREADY
    night.after(1)
    (message,) = night.senders["sms"].given
    assert message.to == "+33600000001"
    assert message.sms.startswith("[n] w since 00:00. Ack: https://watch.example/a/")
    assert [one.pages for one in night.told if isinstance(one, Receipt)] == [((PAGE.id, 0),)]
    assert pager.state.pages[PAGE.id].stage is Stage.UNANSWERED
    assert pager.problems() == []


def test_it_is_written_down_before_it_is_sent_and_marked_only_after(tmp_path: Path) -> None:
    machine = Machine(tmp_path)
    night = Night(SqliteOutbox(machine.path, vfs=machine.vfs))
    kinds: list[str] = []

    def looked() -> None:
        left = Machine(tmp_path, after({}, machine.log, NOTHING))
        found = SqliteOutbox(left.path, vfs=left.vfs)
        kinds.extend(type(note).__name__ for note in found.read())
        found.close()

    night.senders["sms"].before = looked
    pager = night.begin()
    pager.want(PAGE)
    night.after(1)
    assert kinds == ["Began", "Wanted", "Begun"]
    looked()
    assert kinds[3:] == ["Began", "Wanted", "Begun", "Ended"]


def test_on_a_full_disk_it_is_said_and_pages_go_out_all_the_same(tmp_path: Path) -> None:
    machine = Machine(tmp_path)
    night = Night(SqliteOutbox(machine.path, vfs=machine.vfs))
    pager = night.begin()
    machine.fault = _full
    assert pager.want(PAGE) is Took.NEW
    night.after(1)
    assert len(night.senders["sms"].given) == 1
    assert "the outbox cannot be written" in pager.problems()[0]
    machine.fault = None
    night.after(15)
    assert pager.problems() == []
    assert [type(note).__name__ for note in night.outbox.read()] == [  # type: ignore[union-attr]
        "Began", "Wanted", "Begun", "Ended",
    ]  # fmt: skip


def test_without_any_outbox_pages_go_out(outbox: SqliteOutbox) -> None:
    night = Night(None)
    pager = night.begin()
    pager.want(PAGE)
    night.after(1)
    assert len(night.senders["sms"].given) == 1
    assert pager.problems() == ["pages are kept in memory alone"]


@pytest.mark.parametrize("outcome", [RuntimeError("boom"), OSError("gone"), Sent.UNKNOWN])
def test_what_a_sender_does_not_say_is_unknown_and_the_next_route_goes_at_once(
    outbox: SqliteOutbox, outcome: Sent | BaseException
) -> None:
    night = Night(outbox, sms=Sender(outcome))
    pager = night.begin()
    pager.want(PAGE)
    night.after(2)
    assert [len(night.senders[via].given) for via in ("sms", "mail")] == [1, 1]
    assert [note.outcome for note in outbox.read() if isinstance(note, Ended)] == [Sent.UNKNOWN, Sent.ACCEPTED]
    assert pager.state.pages[PAGE.id].stage is Stage.UNANSWERED


def test_second_route_next_person_second_round_and_then_it_is_enough(outbox: SqliteOutbox) -> None:
    night = Night(outbox)
    pager = night.begin()
    pager.want(PAGE)
    night.after(3_600)
    given = sorted((one.at_ms // 1000, one.person) for via in ("sms", "mail") for one in night.senders[via].given)
    assert [(at_s - given[0][0], person) for at_s, person in given] == [
        (0, "ann"), (120, "ann"), (300, "bob"), (600, "ann"), (720, "ann"), (1020, "bob"),
    ]  # fmt: skip
    assert pager.state.pages[PAGE.id].stage is Stage.EXHAUSTED
    assert "everybody was asked 2 times" in pager.problems()[0]


def test_a_restart_forgets_no_deadline_whatever_the_clock_says(outbox: SqliteOutbox) -> None:
    night = Night(outbox)
    pager = night.begin()
    pager.want(PAGE)
    night.after(100)
    clock = Clock(night.loop, offset_ms=-86_400_000)
    night.loop.dispose()
    again = Night(outbox)
    again.loop.run_until(0.0)
    resumed = again.begin(clock=Clock(again.loop, offset_ms=clock.offset_ms))
    again.after(25)
    assert [len(again.senders[via].given) for via in ("sms", "mail")] == [0, 0]
    again.after(400)
    assert [one.person for one in again.senders["mail"].given] == ["ann"]
    assert [one.person for one in again.senders["sms"].given] == ["bob"]
    assert resumed.state.pages[PAGE.id].stage is Stage.UNANSWERED


def test_what_is_held_back_is_in_the_digest_and_its_link_ends_all_of_it(outbox: SqliteOutbox) -> None:
    night = Night(outbox)
    pager = night.begin()
    for number in range(300):
        pager.want(msgspec.structs.replace(PAGE, cause=f"server/{number}", what=f"Server {number} lost"))
    night.after(119)
    sms = night.senders["sms"].given
    assert [one.sms.partition(" Ack")[0][:12] for one in sms] == ["[n] 300 page"]
    assert len(sms[0].sms.rpartition("/")[2]) == 27
    sms.clear()
    (receipt,) = [one for one in night.told if isinstance(one, Receipt)]
    assert pager.acknowledge(receipt.message, "ann", "sms")
    assert {one.stage for one in pager.state.pages.values()} == {Stage.ACKNOWLEDGED}
    night.after(3_600)
    assert night.senders["sms"].given == []


def test_a_storm_that_trickles_is_one_message_a_minute(outbox: SqliteOutbox) -> None:
    night = Night(outbox)
    pager = night.begin()
    for number in range(100):
        pager.want(msgspec.structs.replace(PAGE, cause=f"s/{number}", what="w", severity=Severity.INFO))
        night.after(1)
    night.after(120)
    times = [one.at_ms for one in night.senders["sms"].given]
    assert all(later - before >= 60_000 for before, later in pairwise(times))
    assert len(times) == 3
    assert {one.stage for one in pager.state.pages.values()} == {Stage.TOLD}


def test_an_acknowledgement_ends_older_pages_of_its_episode_not_newer_ones(outbox: SqliteOutbox) -> None:
    night = Night(outbox)
    pager = night.begin()
    stages = [msgspec.structs.replace(PAGE, stage=stage) for stage in ("opened", "grown", "worse")]
    for page in stages:
        pager.want(page)
        night.after(61)
    assert pager.acknowledge(stages[1].id, "ann")
    assert not pager.acknowledge(stages[1].id, "bob")
    assert [pager.state.pages[page.id].stage for page in stages] == [
        Stage.ACKNOWLEDGED, Stage.ACKNOWLEDGED, Stage.UNANSWERED,
    ]  # fmt: skip


def test_what_is_over_before_it_was_told_is_told_once(outbox: SqliteOutbox) -> None:
    night = Night(outbox)
    pager = night.begin(rank=2)
    pager.want(PAGE)
    pager.over(PAGE.cause, PAGE.episode)
    night.after(9)
    assert night.senders["sms"].given == []
    night.after(3_600)
    assert len(night.senders["sms"].given) == 1
    assert pager.state.pages[PAGE.id].stage is Stage.TOLD


def test_nobody_waits_for_the_receipt_of_a_lookout_that_is_gone(outbox: SqliteOutbox) -> None:
    night = Night(outbox)
    there = 2
    pager = night.begin(rank=2, ahead=lambda: there)
    pager.want(PAGE)
    night.after(9)
    assert night.senders["sms"].given == []
    there = 0
    other = msgspec.structs.replace(PAGE, episode="2", to="bob")
    pager.want(other)
    night.after(0.5)
    assert [one.person for one in night.senders["sms"].given] == ["bob"]
    night.after(1)
    assert [one.person for one in night.senders["sms"].given] == ["bob", "ann"], "what waited goes on as it began"


def test_a_route_is_proven_by_its_link_and_paged_when_it_was_not_for_a_week(outbox: SqliteOutbox) -> None:
    night = Night(outbox)
    pager = night.begin()
    took = dict(pager.prove("t1"))
    assert took == {Route("ann", "sms"): Took.NEW, Route("ann", "mail"): Took.NEW, Route("bob", "sms"): Took.NEW}
    night.after(5)
    night.after(3 * 86_400)
    for page in [one.page for one in pager.state.pages.values()][:2]:
        pager.acknowledge(page.id, page.to, page.via)
    assert set(pager.state.proven) == {("ann", "sms"), ("ann", "mail")}
    night.after(4 * 86_400 - 3_600)
    assert not [one for one in pager.state.pages.values() if one.page.cause == "routes-unproven"]
    night.after(7_300)
    (page,) = [one.page for one in pager.state.pages.values() if one.page.cause == "routes-unproven"]
    assert page.what == "1 route to people unproven for a week"
    assert "bob by sms" in page.detail
    assert page.asked == "Prove: binome page --test"
    night.after(86_400)
    assert len([one for one in pager.state.pages.values() if one.page.cause == "routes-unproven"]) == 1


def test_where_pages_carry_no_link_a_route_cannot_be_proven_and_links_are_asked_for() -> None:
    unlinked = PEOPLE.model_copy(update={"acknowledge": None})
    due = unproven(unlinked, {}, 0, PROVEN_FOR_MS + 1)
    page = unproven_page(unlinked, "littoral", due, PROVEN_FOR_MS + 1)
    assert page is not None
    assert page.asked == "Set up links: people.acknowledge"


def test_who_is_not_reached_by_any_route_is_passed_over(outbox: SqliteOutbox) -> None:
    night = Night(outbox, sms=Sender(Sent.REFUSED), mail=Sender(Sent.REFUSED))
    pager = night.begin()
    pager.want(PAGE)
    night.after(5)
    assert [one.person for one in night.senders["sms"].given] == ["ann", "bob"]
    night.after(120)
    assert "nobody has been reached" in pager.problems()[0]
    night.senders["sms"].outcome = Sent.ACCEPTED
    night.after(900)
    assert pager.state.pages[PAGE.id].stage is not Stage.UNHEARD


def test_a_page_for_nobody_says_so(outbox: SqliteOutbox) -> None:
    night = Night(outbox)
    pager = night.begin()
    assert pager.want(msgspec.structs.replace(PAGE, to="cyd", via="sms")) is Took.NOBODY
    night.after(600)
    assert night.senders["sms"].given == []


def test_who_is_cancelled_leaves_an_attempt_of_unknown_outcome(outbox: SqliteOutbox) -> None:
    hanging = Sender()
    night = Night(outbox, sms=hanging)
    pager = night.begin()
    hanging.before = lambda: (_ for _ in ()).throw(asyncio.CancelledError())
    pager.want(PAGE)
    night.after(1)
    night.loop.dispose()
    again = Night(outbox)
    again.begin()
    again.after(1)
    assert [note.outcome for note in outbox.read() if isinstance(note, Ended)][:1] == [Sent.UNKNOWN]
