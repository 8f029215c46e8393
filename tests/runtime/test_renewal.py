"""Certificates that renew themselves, over real TLS: whose, when, and what is said where nobody signs."""

from __future__ import annotations

import asyncio
import time
from pathlib import Path

import pytest

from binome.runtime import renewal
from binome.runtime.clock import SystemClock
from binome.runtime.identity import Authority, Identity
from binome.runtime.peer_messages import Refused, Renew
from binome.runtime.peers import Peers
from binome.runtime.renewal import Renewal
from tests.runtime.authorities import DAY_MS, now_ms
from tests.runtime.lookouts import Judged, World, hears, night, says, until

OLD_MS = 4 * DAY_MS
SERVERS = dict.fromkeys(("a", "b", "c", "other"))


@pytest.fixture(autouse=True)
def quick(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(renewal, "LOOK_EVERY_S", 0.05)
    monkeypatch.setattr(renewal, "TRY_AGAIN_S", 0.2)


class Renewing:
    """Lookouts that renew their certificates."""

    def __init__(self, world: World) -> None:
        self.world = world
        self.works: list[asyncio.Task[None]] = []

    def start(self, name: str, own: Identity, authority: Authority | None = None) -> tuple[Peers[Judged], Renewal]:
        """Starts one; with the CA where it is given."""
        renews = Renewal(own, SERVERS, authority, SystemClock())
        peers = self.world.start(name, own, answers=renews.answer)
        self.works.append(asyncio.ensure_future(renews.run(peers.others, peers.ask)))
        return peers, renews

    async def end(self) -> None:
        for work in self.works:
            assert not work.done(), work
            work.cancel()
        await asyncio.gather(*self.works, return_exceptions=True)


def old(world: World, name: str) -> Identity:
    """An identity past half of its life."""
    return world.identity(name, at_ms=now_ms() - OLD_MS)


def aged(world: World) -> None:
    """The CA is older than what it has issued."""
    world.ca = Authority.make(world.folder / "aged", "littoral", days=7, now_ms=now_ms() - 60 * DAY_MS)


def test_a_certificate_past_half_of_its_life_is_renewed_and_nobody_notices(tmp_path: Path) -> None:
    async def test(world: World) -> None:
        aged(world)
        lookouts = Renewing(world)
        first = old(world, "b")
        serial, key = first.named.serial, (first.folder / "server.pem").read_bytes().split(b"PRIVATE KEY")[1]
        a, _ = lookouts.start("a", old(world, "a"), world.ca)
        b, _ = lookouts.start("b", first)
        await until(lambda: not first.is_due(now_ms()))
        assert first.named.serial != serial
        assert first.named.ends_ms > now_ms() + 6 * DAY_MS
        again = Identity(first.folder, "littoral", "b")
        assert again.named == first.named
        assert key not in (first.folder / "server.pem").read_bytes()
        assert hears(a, "b")() and hears(b, "a")()
        await world.stop("a")
        await world.stop("b")
        a, b = world.start("a", Identity(tmp_path / "a", "littoral", "a")), world.start("b", again)
        await until(lambda: hears(a, "b")() and hears(b, "a")())
        lines = [(one.server, one.how) for one in world.ca.register().issued]
        assert sorted(lines) == [("a", "issued"), ("a", "renewed"), ("b", "issued"), ("b", "renewed")]
        await lookouts.end()

    night(tmp_path, test)


def test_a_young_certificate_is_left_alone(tmp_path: Path) -> None:
    async def test(world: World) -> None:
        lookouts = Renewing(world)
        a, _ = lookouts.start("a", world.identity("a"), world.ca)
        lookouts.start("b", world.identity("b"))
        await until(hears(a, "b"))
        await asyncio.sleep(0.3)
        assert len(world.ca.register().issued) == 2
        await lookouts.end()

    night(tmp_path, test)


def test_where_nobody_signs_it_is_said_with_what_to_do(tmp_path: Path) -> None:
    async def test(world: World) -> None:
        aged(world)
        lookouts = Renewing(world)
        lookouts.start("a", world.identity("a"))
        _, renews = lookouts.start("b", old(world, "b"))
        await until(lambda: any(renewal.NOBODY in one for one in renews.problems()))
        (problem,) = renews.problems()
        assert problem.endswith("binome ca issue b") and "c: " in problem
        await lookouts.end()

    night(tmp_path, test)


def test_who_was_revoked_gets_nothing(tmp_path: Path) -> None:
    async def test(world: World) -> None:
        aged(world)
        lookouts = Renewing(world)
        own = old(world, "b")
        world.ca.revoke("b", "", now_ms())
        lookouts.start("a", world.identity("a"), world.ca)
        b, renews = lookouts.start("b", own)
        await until(says(b, "it refuses this server: b has a certificate that was revoked"))
        await until(lambda: bool(renews.problems()))
        assert [one.server for one in world.ca.register().issued] == ["b", "a"]
        await lookouts.end()

    night(tmp_path, test)


def test_revoking_beside_a_running_lookout_reaches_all_others(tmp_path: Path) -> None:
    async def test(world: World) -> None:
        lookouts = Renewing(world)
        a, _ = lookouts.start("a", world.identity("a"), world.ca)
        lookouts.start("b", world.identity("b"))
        c, _ = lookouts.start("c", world.identity("c"))
        await until(lambda: hears(a, "b", "c")() and hears(c, "a", "b")())
        world.ca.revoke("b", "stolen", now_ms())
        begun_s = time.monotonic()
        await until(lambda: [one.peer for one in c.silent()] == ["b"] == [one.peer for one in a.silent()], 5)
        assert time.monotonic() - begun_s < 3
        await lookouts.end()

    night(tmp_path, test)


def test_a_ca_that_cannot_be_used_is_said_and_ends_nothing(tmp_path: Path) -> None:
    async def test(world: World) -> None:
        aged(world)
        lookouts = Renewing(world)
        own = old(world, "a")
        (world.ca.folder / "ca.key").unlink()
        _, renews = lookouts.start("a", own, Authority(world.ca.folder))
        await until(lambda: any("ca.key: No such file" in one for one in renews.problems()))
        (world.ca.folder / "register.json").write_text("junk")
        await until(lambda: any("no register of a CA" in one for one in renews.problems()))
        await lookouts.end()

    night(tmp_path, test)


def test_without_the_ca_a_question_is_refused(tmp_path: Path) -> None:
    async def test(world: World) -> None:
        renews = Renewal(world.identity("a"), SERVERS, None, SystemClock())
        world.start("a", Identity(tmp_path / "a", "littoral", "a"))
        channel = await world.channel(world.identity("b"), "a")
        assert await renews.answer(channel, Renew(b"")) == Refused(renewal.NOBODY)
        channel.close()

    night(tmp_path, test)
