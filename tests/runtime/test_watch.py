"""The watch puts together what is seen here and heard from the others; what an empty journal would be told of it."""

from __future__ import annotations

import asyncio
import socket
from collections.abc import Mapping, Sequence
from contextlib import ExitStack
from typing import Any, NamedTuple

from binome.core.entry import seal
from binome.core.looking import LookoutsHeard, VerdictsAgreed
from binome.core.silence import SiteHeard, SiteSilent
from binome.core.state import State
from binome.core.target import Answer, Observation, Target, targets
from binome.core.verdict import Judged, Verdict
from binome.runtime.knock import KNOCK_S, Knocks
from binome.runtime.watch import Watch
from tests.runtime.world import LITTORAL, HandClock, run, settle

ALL = targets(LITTORAL)


class Quiet(NamedTuple):
    peer: str
    since_s: float


class Others:
    """The other lookouts, as a test says they are."""

    def __init__(self) -> None:
        self.heard: dict[str, float] = {}
        self.seen_by: dict[str, dict[str, int]] = {}
        self.quiet: list[Quiet] = []
        self.told: dict[str, Judged] = {}

    def silent(self) -> Sequence[Quiet]:
        return self.quiet

    def publish(self, changes: Mapping[str, Judged]) -> None:
        self.told |= changes


class Lookout:
    """par-watch, its watch and a journal that takes all it is told."""

    def __init__(self, looked_at: Sequence[Target] = ALL) -> None:
        self.clock, self.others, self.state = HandClock(), Others(), State()
        self.clock.now_s = 1_700_000_000
        self.changes = 0
        self.hearing: Others | None = self.others
        self.watch = Watch(
            LITTORAL, "par-watch", looked_at, self.clock, hearing=lambda: self.hearing, changed=self._changed
        )

    def _changed(self) -> None:
        self.changes += 1

    def look(self, target: str, answer: Answer, times: int) -> None:
        for _ in range(times):
            self.clock.now_s += 1
            self.watch.saw(Observation(target, self.clock.monotonic_s(), answer, "said"))

    def recorded(self) -> list[Any]:
        drafts = self.watch.observed(self.state, self.clock.now_ms())
        return [self.state.apply(entry) for entry in seal(drafts, self.state.head, 1)]


def test_a_verdict_of_ours_and_one_of_another_are_a_quorum_and_are_told_once() -> None:
    one = Lookout()
    one.look("gra-web", Answer.DOWN, 3)
    assert one.recorded() == [], "one vantage point is nobody"
    one.watch.told("gra-edge", {"gra-web": Judged(Verdict.DOWN, one.clock.now_ms())}, True)
    (fact,) = one.recorded()
    assert isinstance(fact, VerdictsAgreed)
    assert (fact.verdicts["gra-web"].verdict, fact.verdicts["gra-web"].by) == (Verdict.DOWN, ("gra-edge", "par-watch"))
    assert one.recorded() == []


def test_what_changes_here_is_told_to_the_others_and_everything_once_they_can_be_spoken_with() -> None:
    async def night() -> None:
        one = Lookout()
        one.hearing = None
        task = asyncio.ensure_future(one.watch.run())
        await settle()
        one.look("gra-web", Answer.UP, 2)
        assert one.others.told == {}
        one.hearing = one.others
        await one.clock.pass_(0.1)
        assert one.others.told.keys() == {target.name for target in ALL}
        told = [one.others.told["gra-web"].verdict]
        one.look("gra-web", Answer.DOWN, 3)
        told.append(one.others.told["gra-web"].verdict)
        await one.clock.pass_(60)
        told.append(one.others.told["gra-web"].verdict)
        assert told == [Verdict.UP, Verdict.DOWN, Verdict.UNSURE], "nobody looked for a minute"
        task.cancel()
        await asyncio.gather(task, return_exceptions=True)

    run(night)


def test_who_is_silent_is_a_fact_and_has_no_word() -> None:
    one = Lookout()
    one.look("gra-web", Answer.DOWN, 3)
    one.watch.told("gra-edge", {"gra-web": Judged(Verdict.DOWN, one.clock.now_ms())}, True)
    one.others.quiet = [Quiet("gra-edge", 2.0)]
    assert one.recorded() == [LookoutsHeard({"gra-edge": one.clock.now_ms() - 2_000})]


def test_a_silent_site_is_knocked_at_and_told_of_and_its_first_word_too() -> None:
    async def night() -> None:
        with socket.socket() as free:
            free.bind(("127.0.0.1", 0))
            _, port = free.getsockname()
            free.listen()
            listening = [one._replace(address="127.0.0.1", port=port) for one in ALL if one.server == "sbg-db"]
            one = Lookout(listening)
            task = asyncio.ensure_future(one.watch.run())
            await settle()
            one.others.heard = {"gra-edge": 0.02, "sbg-edge": 2.4}
            one.others.seen_by = {"gra-edge": {"sbg-edge": 2_300, "par-watch": 10}}
            await knocked(one)
            assert one.recorded() == [], "something there answers"
            one.watch._knocks.answered["strasbourg"] = False
            changes = one.changes
            await one.clock.pass_(0.06)  # a tick; a knock more would come later
            assert one.changes > changes
            (fact,) = one.recorded()
            assert fact == SiteSilent("strasbourg", 2_000, ("gra-edge", "par-watch"), confirmed=True)
            one.others.heard = {"gra-edge": 0.02, "sbg-edge": 0.05}
            await one.clock.pass_(0.06)
            assert one.recorded() == [SiteHeard("strasbourg")]
            assert one.watch._knocks.answered == {}
            task.cancel()
            await asyncio.gather(task, return_exceptions=True)

    run(night)


def test_who_leads_in_a_site_that_was_silent_is_its_first_word() -> None:
    one = Lookout()
    one.state.silence.apply(SiteSilent("paris", 2_000, ("gra-edge", "sbg-edge"), confirmed=True), one.clock.now_ms())
    assert one.recorded() == [SiteHeard("paris")]


async def knocked(one: Lookout) -> None:
    async with asyncio.timeout(10):
        while "strasbourg" not in one.watch._knocks.answered:
            await one.clock.pass_(0.05)
            await asyncio.sleep(0.01)


def test_a_refusal_is_an_answer_and_nobody_is_none() -> None:
    async def night() -> None:
        with socket.socket() as bound, socket.socket() as full, ExitStack() as waiting:
            bound.bind(("127.0.0.1", 0))  # bound, and nobody listens: it refuses
            full.bind(("127.0.0.1", 0))
            full.listen(0)  # and nobody accepts: whoever comes when it is full hears nothing at all
            for _ in range(4):
                one = waiting.enter_context(socket.socket())
                one.setblocking(False)
                one.connect_ex(full.getsockname())
            knocks = Knocks({"alive": [bound.getsockname()], "gone": [full.getsockname()]}, HandClock())
            knocks.at(["alive", "gone", "nowhere"])
            async with asyncio.timeout(KNOCK_S * 20):
                while knocks.answered.keys() != {"alive", "gone"}:
                    await asyncio.sleep(0.01)
            assert knocks.answered == {"alive": True, "gone": False}
            knocks.close()
            assert knocks.answered == {}

    run(night)
