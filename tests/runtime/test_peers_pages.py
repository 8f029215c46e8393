"""What became of pages, between lookouts over real mutual TLS: receipts, acknowledgements, and what is none of it."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from datetime import UTC
from functools import partial
from pathlib import Path
from typing import Any

import pytest

from binome.core.page import Page, Severity
from binome.core.paging import WAIT_MS, Took
from binome.core.paging_notes import Acknowledgement, Receipt, Sent, Stage, Told, decoded, encoded, frames
from binome.ports import Delivery, Message
from binome.runtime.clock import SystemClock
from binome.runtime.pager import Pager, words
from binome.runtime.peer_messages import PAGES_BYTES, Pages, encode
from binome.runtime.peers import Peers
from tests.runtime.lookouts import World, hears, night, says, until
from tests.runtime.test_pager import KEY, PEOPLE

FIRE = Page(cause="site/x", episode="1", stage="opened", severity=Severity.CRITICAL, name="n", what="lost", since_ms=1)


class Provider:
    """Accepts, and counts."""

    def __init__(self) -> None:
        self.given: list[str] = []

    async def send(self, message: Message) -> Delivery:
        self.given.append(message.person)
        return Delivery(Sent.ACCEPTED, "status 202")


class Team:
    """Lookouts that page, connected as `binome run` connects them."""

    def __init__(self, world: World) -> None:
        self.world = world
        self.peers: dict[str, Peers[Any]] = {}
        self.pagers: dict[str, Pager] = {}
        self.providers: dict[str, Provider] = {}
        self.tasks: list[asyncio.Task[None]] = []

    def start(self, name: str) -> Pager:
        def tell(told: Any) -> None:
            for frame in frames(told, PAGES_BYTES):
                self.peers[name].tell_pages(frame)

        provider = self.providers[name] = Provider()
        pager = self.pagers[name] = Pager(
            PEOPLE,
            estate="littoral",
            name=name,
            rank="abc".index(name),
            outbox=None,
            senders={"sms": provider, "mail": provider},
            clock=SystemClock(),
            order=lambda _at_ms: ("ann", "bob"),
            words=words(PEOPLE, UTC, KEY),
            tell=tell,
        )
        self.peers[name] = self.world.start(name, pages=lambda raw: pager.hear(decoded(raw)))
        self.tasks.append(asyncio.ensure_future(pager.run()))
        return pager

    async def heard(self) -> None:
        for name, one in self.peers.items():
            others = [other for other in self.peers if other != name]
            await until(hears(one, *others))
            await until(partial(_connected, one, others))

    def close(self) -> None:
        for task in self.tasks:
            task.cancel()


def _connected(one: Peers[Any], others: Sequence[str]) -> bool:
    return all(one._links[other]._channel is not None for other in others)


def stage(pager: Pager) -> Stage:
    return pager.state.pages[FIRE.id].stage


def test_who_waits_hears_the_receipt_and_keeps_still_and_an_acknowledgement_reaches_all(tmp_path: Path) -> None:
    async def test(world: World) -> None:
        team = Team(world)
        a, b, c = (team.start(name) for name in "abc")
        await team.heard()
        assert [one.want(FIRE) for one in (a, b, c)] == [Took.NEW] * 3
        await until(lambda: all(stage(one) is Stage.UNANSWERED for one in (a, b, c)), WAIT_MS / 2_000)
        assert {name: one.given for name, one in team.providers.items()} == {"a": ["ann"], "b": [], "c": []}
        assert c.acknowledge(FIRE.id, "ann", "sms")
        await until(lambda: all(stage(one) is Stage.ACKNOWLEDGED for one in (a, b, c)))
        assert set(a.state.proven) == set(b.state.proven) == {("ann", "sms")}
        assert [one.problems() for one in team.peers.values()] == [[], [], []]
        team.close()

    night(tmp_path, test)


def test_who_was_away_when_it_was_sent_is_told_again_and_keeps_still(tmp_path: Path) -> None:
    async def test(world: World) -> None:
        team = Team(world)
        a = team.start("a")
        a.want(FIRE)
        await until(lambda: stage(a) is Stage.UNANSWERED)
        b = team.start("b")
        await team.heard()
        b.want(FIRE)
        assert stage(b) is Stage.UNHEARD
        team.peers["a"].tell_pages(encoded(a.told()))
        await until(lambda: stage(b) is Stage.UNANSWERED)
        assert team.providers["b"].given == []
        team.close()

    night(tmp_path, test)


@pytest.mark.parametrize("told", [b"", b"{}", b"[", b"\xff\x00", b"[" * 30_000])
def test_words_about_pages_that_are_none_end_the_connection_and_are_said(tmp_path: Path, told: bytes) -> None:
    async def test(world: World) -> None:
        team = Team(world)
        b = team.start("b")
        b.want(FIRE)
        channel = await world.greeted(world.identity("a"), "b")
        channel.hand_over(encode(Pages(told)))
        await until(says(team.peers["b"], "words about pages that are none"))
        assert stage(b) is Stage.UNHEARD
        team.close()

    night(tmp_path, test)


def test_what_a_newer_version_tells_is_passed_over_and_the_rest_is_heard(tmp_path: Path) -> None:
    async def test(world: World) -> None:
        team = Team(world)
        b = team.start("b")
        b.want(FIRE)
        channel = await world.greeted(world.identity("a"), "b")
        known = encoded([Acknowledgement(FIRE.id[:12], "ann", "sms")])
        channel.hand_over(encode(Pages(b'[{"kind":"of tomorrow"},7,' + known[1:])))
        await until(lambda: b.state.acknowledged(FIRE.id[:12]) is not None)
        assert team.peers["b"].problems() == []
        team.close()

    night(tmp_path, test)


def test_a_storm_of_digests_fits_the_frames_and_breaks_no_connection(tmp_path: Path) -> None:
    async def test(world: World) -> None:
        team = Team(world)
        team.start("a")
        heard: list[Told] = []
        team.peers["b"] = world.start("b", pages=partial(_add, heard))
        await team.heard()
        pages = tuple((f"{number:016x}", 0) for number in range(400))
        storm = [Receipt("a", f"m{number}", "ann", "sms", "sms:+336", pages) for number in range(100)]
        whole = list(frames(storm, PAGES_BYTES))
        assert len(encoded(storm)) > 10 * PAGES_BYTES
        assert max(map(len, whole)) <= PAGES_BYTES
        for frame in whole:
            team.peers["a"].tell_pages(frame)
        await until(lambda: heard == storm)
        assert all(one.problems() == [] for one in team.peers.values())
        giant = Receipt("a", "m", "ann", "sms", "sms:+336", pages * 10)
        assert list(frames([giant, storm[0]], PAGES_BYTES)) == [encoded([storm[0]])]
        assert list(frames([], PAGES_BYTES)) == []
        team.close()

    night(tmp_path, test)


def _add(heard: list[Told], raw: bytes) -> None:
    heard.extend(decoded(raw))
