"""Lookouts on loopback, over real TLS: who is let in, what is heard, and that nobody's trouble becomes another's."""

from __future__ import annotations

import asyncio
import re
import ssl
import time
from collections.abc import Awaitable, Callable
from contextlib import suppress
from pathlib import Path
from typing import Any

import msgspec
import pytest

from binome.estate import load
from binome.runtime import peer_link, peer_speech
from binome.runtime.clock import SystemClock
from binome.runtime.identity import Authority, Identity, Named
from binome.runtime.peer_link import NoAnswerError, NotAskedError
from binome.runtime.peer_messages import (
    MAX_BYTES,
    Ask,
    Beat,
    Hello,
    Refused,
    Renew,
    Renewed,
    Reply,
    Request,
    Took,
    Verdicts,
    decode,
    encode,
)
from binome.runtime.peer_tls import TlsChannel, TlsTransport
from binome.runtime.peer_transport import Channel, ChannelError
from binome.runtime.peers import Peers
from binome.runtime.tls import Tls
from tests.runtime.authorities import DAY_MS, ca, identity, now_ms, put
from tests.runtime.lookouts import DOWN, ESTATE, FILE, TARGETS, UP, Judged, World, begun, hears, night, says, until

# -- what is heard


def test_three_lookouts_hear_each_other_and_say_how_long_ago(tmp_path: Path) -> None:
    async def test(world: World) -> None:
        a, b, _ = (world.start(name) for name in "abc")
        await until(lambda: all(set(one.heard) == set(one.others) for one in world.peers.values()))
        await until(lambda: set(a.seen_by["b"]) == {"a", "c"})
        assert a.silent() == [] and a.problems() == []
        assert max(a.seen_by["b"].values()) < 500
        await world.stop("c")
        stopped_s = time.monotonic()
        await until(lambda: [one.peer for one in a.silent()] == ["c"], 3)
        assert 0.8 < time.monotonic() - stopped_s < 2
        await until(lambda: a.seen_by["b"]["c"] > 1500)
        apart_ms = a.heard["c"] * 1000 - a.seen_by["b"]["c"]
        assert -200 < apart_ms < 400, "both have not heard it for about the same time"
        assert b.heard["a"] < 0.5

    night(tmp_path, test)


def test_verdicts_come_whole_and_then_as_they_change(tmp_path: Path) -> None:
    async def test(world: World) -> None:
        a = world.start("a")
        a.publish({target: Judged("up", 1, "x" * 100) for target in TARGETS})
        b = world.start("b")
        await until(lambda: len(b.views["a"]) == len(TARGETS))
        a.publish({"t5": DOWN})
        await until(lambda: b.views["a"]["t5"] == DOWN)
        await world.stop("a")
        a = world.start("a")
        a.publish({"t1": UP})
        await until(lambda: dict(b.views["a"]) == {"t1": UP})

    night(tmp_path, test)


def test_a_whole_list_takes_the_place_of_the_one_before_at_once(tmp_path: Path) -> None:
    async def test(world: World) -> None:
        told: list[tuple[str, set[str], bool]] = []
        b = world.start("b", told=lambda peer, of, whole: told.append((peer, set(of), whole)))
        channel = await world.greeted(world.identity("a"), "b")

        async def say(of: dict[str, Judged], begins: bool, ends: bool) -> None:
            raw = {target: msgspec.Raw(encode(value)) for target, value in of.items()}
            channel.hand_over(encode(Verdicts(raw, begins, ends)))
            channel.hand_over(encode(Beat(1, now_ms(), {})))
            assert isinstance(decode(await channel.receive()), Took)

        await say({"t1": UP, "t2": UP}, True, True)
        assert dict(b.views["a"]) == {"t1": UP, "t2": UP}
        await say({"t3": UP}, True, False)
        assert dict(b.views["a"]) == {"t1": UP, "t2": UP}
        await say({"t1": DOWN}, False, True)
        assert dict(b.views["a"]) == {"t3": UP, "t1": DOWN}
        await say({"t3": DOWN}, False, False)
        assert told == [("a", {"t1", "t2"}, True), ("a", {"t3", "t1"}, True), ("a", {"t3"}, False)]

    night(tmp_path, test)


# -- who is let in


def test_a_foreign_ca_is_refused_and_both_say_so(tmp_path: Path) -> None:
    async def test(world: World) -> None:
        foreign = world.identity("b", ca(tmp_path / "foreign"))
        a, b = world.start("a"), world.start("b", foreign)
        await until(says(a, "its certificate is not believed"))
        await until(says(b, "its certificate is not believed"))
        await until(says(a, "it does not know our CA"))
        assert a.heard == b.heard == {}

    night(tmp_path, test)


def test_the_ca_of_another_estate_is_refused_though_it_is_trusted(tmp_path: Path) -> None:
    async def test(world: World) -> None:
        other = ca(tmp_path / "other", estate="autre")
        for authority, name in ((world.ca, "a"), (other, "b")):
            put(authority, tmp_path / name, name)
            (tmp_path / name / "ca.pem").write_bytes(world.ca.pem + other.pem)
        world.start("a", Identity(tmp_path / "a", "littoral", "a"))
        own = Identity(tmp_path / "b", "autre", "b")
        with pytest.raises(ChannelError, match="another estate"):
            await world.channel(own, "a")
        own.estate = "littoral"  # who deceives himself is found out by the other
        channel = await world.channel(own, "a")
        assert decode(await channel.receive()) == Refused("b has a certificate of another estate")

    night(tmp_path, test)


def test_who_was_revoked_is_let_go_at_once_and_told_why(tmp_path: Path) -> None:
    async def test(world: World) -> None:
        a, b, c = (world.start(name) for name in "abc")
        await until(lambda: all(hears(one, *one.others)() for one in (a, b, c)))
        world.ca.revoke("b", "stolen", now_ms())
        a.list_came(world.ca.revoked(now_ms()).pem)
        await until(lambda: {one.peer for one in a.silent()} == {one.peer for one in c.silent()} == {"b"}, 5)
        await until(says(b, "it refuses this server: b has a certificate that was revoked"))
        await until(says(c, "somebody at 127.0.0.1 was turned away: b has a certificate that was revoked"))
        assert hears(a, "c")() and hears(c, "a")()
        await world.stop("c")
        c = world.start("c", Identity(tmp_path / "c", "littoral", "c"))
        await until(says(c, "b has a certificate that was revoked"))
        assert "b" not in c.heard, "the list is still there after a start"

    night(tmp_path, test)


def test_an_older_or_a_foreign_list_never_takes_the_place_of_a_newer_one(tmp_path: Path) -> None:
    authority, foreign = ca(tmp_path / "ca"), ca(tmp_path / "foreign")
    own = identity(authority, tmp_path / "a", "a")
    for name in ("b", "c"):
        put(authority, tmp_path / name, name)
    put(foreign, tmp_path / "x", "c")
    authority.revoke("b", "", now_ms())
    first = authority.revoked(now_ms())
    authority.revoke("c", "", now_ms())
    second = authority.revoked(now_ms())
    assert own.adopt(second.pem) and not own.adopt(first.pem) and not own.adopt(second.pem)
    for _ in range(5):
        foreign.revoke("c", "", now_ms())
    with pytest.raises(Exception, match="none of our CAs"):
        own.adopt(foreign.revoked(now_ms()).pem)
    again = Identity(tmp_path / "a", "littoral", "a")
    assert (again.revoked.number, len(again.revoked.serials)) == (2, 2)


@pytest.mark.parametrize(("days", "words"), [(-30, "from the past"), (30, "from the future")])
def test_a_certificate_of_another_time_is_refused_with_the_reason(tmp_path: Path, days: int, words: str) -> None:
    async def test(world: World) -> None:
        world.ca = Authority.make(tmp_path / "long", "littoral", days=7, now_ms=now_ms() - 60 * DAY_MS)
        b = world.identity("b", at_ms=now_ms() + days * DAY_MS)
        a, b_ = world.start("a"), world.start("b", b)
        await until(says(a, words))
        await until(says(b_, f"b has a certificate {words}"))
        assert a.heard == {}

    night(tmp_path, test)


class WrongClock(SystemClock):
    def __init__(self, ahead_s: float) -> None:
        self.ahead_s = ahead_s

    def now_ms(self) -> int:
        return super().now_ms() + round(self.ahead_s * 1000)


@pytest.mark.parametrize("ahead_s", [-600, 600])
def test_a_clock_that_is_ten_minutes_wrong_is_said_and_does_no_harm(tmp_path: Path, ahead_s: float) -> None:
    async def test(world: World) -> None:
        a, b = world.start("a"), world.start("b", clock=WrongClock(ahead_s))
        await until(lambda: hears(a, "b")() and hears(b, "a")())
        await until(says(a, "the clocks of a and b are 600 s apart"))

    night(tmp_path, test)


def test_who_answers_under_another_name_is_refused(tmp_path: Path) -> None:
    async def test(world: World) -> None:
        world.start("c")
        a = world.start("a", places={"b": world.places["c"]})
        await until(says(a, "b and a do not go together: the certificate of c, at the address of b"))

    night(tmp_path, test)


# -- on what they run


@pytest.mark.parametrize(
    ("old", "new", "words"),
    [
        ("port: 8000", "port: 8001", "another estate file: it differs in services"),
        ("[a, b, c]}", "[a, b, c], fall: 4}", "another estate file: it differs in lookout"),
    ],
)
def test_another_estate_file_is_refused_and_both_say_what_differs(
    tmp_path: Path, old: str, new: str, words: str
) -> None:
    async def test(world: World) -> None:
        a, b = world.start("a"), world.start("b", estate=load(FILE.replace(old, new).encode()))
        await until(says(a, f"b and a do not go together: {words}"))
        await until(says(b, f"a and b do not go together: {words}"))
        await until(says(a, f"b, which came to a, was refused: {words}"))
        assert a.heard == b.heard == {}
        await world.stop("b")
        b = world.start("b")
        await until(lambda: hears(a, "b")() and a.problems() == [] and b.problems() == [])

    night(tmp_path, test)


def test_the_same_file_in_other_words_is_the_same(tmp_path: Path) -> None:
    async def test(world: World) -> None:
        a = world.start("a")
        world.start("b", estate=load(("# a remark\n" + FILE.replace("[a, b]", "[a,   b]")).encode()))
        await until(hears(a, "b"))

    night(tmp_path, test)


@pytest.mark.parametrize(
    ("other", "words"),
    [({"version": "9.9\x1b[2J"}, r"another version: 9.9\\x1b\[2J there"), ({"protocol": 7}, "another protocol: 7")],
)
def test_another_version_is_refused(tmp_path: Path, other: dict[str, Any], words: str) -> None:
    async def test(world: World) -> None:
        a = world.start("a")
        channel = await world.greeted(world.identity("b"), "a", **other)
        last = decode(await channel.receive())
        assert isinstance(last, Refused)
        assert re.search(words, last.why), last.why
        assert says(a, "b, which came to a, was refused: another")()

    night(tmp_path, test)


# -- what is said


def raw(value: object) -> msgspec.Raw:
    return msgspec.Raw(encode(value))


@pytest.mark.parametrize(
    "frame",
    [
        b"",
        b"\xc1",
        b"\x80",
        encode({"type": "dance"}),
        encode({"type": "beat", "sequence": -1, "at_ms": 0, "ages": {}}),
        encode({"type": "beat", "sequence": 1, "at_ms": 0, "ages": {"b": 2**63}}),
        encode(Took(1)),
        encode(Verdicts({"no such target": raw(UP)})),
        encode(Verdicts({"t1": raw({"verdict": 3})})),
        encode(Verdicts({"t1": raw([[[]]])})),
        b"\x91" * 100_000,
        encode({"type": "revoked", "pem": b"junk"}),
    ],
)
def test_what_is_not_for_it_to_say_ends_the_connection_and_is_said(tmp_path: Path, frame: bytes) -> None:
    async def test(world: World) -> None:
        a = world.start("a")
        channel = await world.greeted(world.identity("b"), "a")
        channel.hand_over(frame)
        assert isinstance(decode(await channel.receive()), Refused)
        with pytest.raises(ChannelError):
            await channel.receive()
        assert says(a, "b, which came to a, was refused")()
        world.start("b", Identity(tmp_path / "b", "littoral", "b"))
        await until(hears(a, "b"))

    night(tmp_path, test)


def test_a_server_that_is_no_lookout_may_ask_and_no_more(tmp_path: Path) -> None:
    async def test(world: World) -> None:
        async def answers(channel: Channel, _: Request) -> Reply:
            return Renewed(channel.named.server.encode())

        world.start("a", answers=answers)
        own = world.identity("other")
        channel = await world.greeted(own, "a")
        channel.hand_over(encode(Ask(1, Renew(b""))))
        assert b"other" in await channel.receive()
        channel.hand_over(encode(Beat(1, 0, {})))
        assert isinstance(decode(await channel.receive()), Refused)

    night(tmp_path, test)


async def connected(world: World, own: Identity, to: str) -> tuple[asyncio.StreamReader, asyncio.StreamWriter]:
    await begun()
    address, port = world.places[to]
    return await asyncio.open_connection(address, port, ssl=own.dialling, server_hostname=to)


def test_a_giant_frame_is_not_even_read(tmp_path: Path) -> None:
    async def test(world: World) -> None:
        world.start("a")
        _, writer = await connected(world, world.identity("b"), "a")
        writer.write((MAX_BYTES + 1).to_bytes(4, "big"))
        await until(writer.transport.is_closing, peer_speech.SILENT_S / 2)

    night(tmp_path, test)


@pytest.mark.parametrize("greets", [False, True])
def test_who_trickles_is_let_go_within_seconds_and_delays_nobody(tmp_path: Path, greets: bool) -> None:
    async def test(world: World) -> None:
        a, c = world.start("a"), world.start("c")
        own = world.identity("b")
        if greets:
            channel = await world.greeted(own, "a")
            assert isinstance(channel, TlsChannel)
            tls = channel._tls
        else:
            await begun()
            loop = asyncio.get_running_loop()
            _, tls = await loop.create_connection(lambda: Tls(own.dialling, "a"), *world.places["a"])
            await tls.handshake()
        begun_s = time.monotonic()
        tls.write((1000).to_bytes(4, "big"))
        while not tls.transport.is_closing():
            assert time.monotonic() - begun_s < 4
            tls.write(b"x")
            await asyncio.sleep(0.2)
            if time.monotonic() - begun_s > 1:
                assert hears(a, "c")() and hears(c, "a")()

    night(tmp_path, test)


def test_strangers_cannot_fill_the_port(tmp_path: Path) -> None:
    async def test(world: World) -> None:
        a = world.start("a")
        await begun()
        crowd = [await asyncio.open_connection(*world.places["a"]) for _ in range(100)]
        await until(says(a, "too many connections at once"))
        crowd[0][1].write(b"GET / HTTP/1.1\r\n\r\n")
        await until(says(a, "somebody at 127.0.0.1 was turned away"))
        world.start("b")
        await until(hears(a, "b"))
        for _, writer in crowd:
            writer.close()

    night(tmp_path, test)


def test_who_only_looks_whether_the_port_is_open_is_no_stranger(tmp_path: Path) -> None:
    async def test(world: World) -> None:
        a = world.start("a")
        await begun()
        _, visitor = await asyncio.open_connection(*world.places["a"])
        visitor.close()
        world.start("b")
        await until(hears(a, "b"))
        assert not says(a, "turned away")()

    night(tmp_path, test)


def test_without_a_certificate_nobody_is_let_in(tmp_path: Path) -> None:
    async def test(world: World) -> None:
        a = world.start("a")
        await begun()
        bare = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
        bare.check_hostname, bare.verify_mode = False, ssl.CERT_NONE
        reader, _ = await asyncio.open_connection(*world.places["a"], ssl=bare)
        with pytest.raises(ssl.SSLError, match="CERTIFICATE_REQUIRED"):
            await reader.read()
        await until(says(a, "somebody at 127.0.0.1 was turned away"))

    night(tmp_path, test)


# -- who does not go on


class Relay:
    """What stands between two lookouts, and can swallow all that they say."""

    def __init__(self, to: tuple[str, int]) -> None:
        self.to, self.swallows, self.opened = to, False, 0

    async def start(self) -> tuple[str, int]:
        self.server = await asyncio.start_server(self._link, "127.0.0.1", 0)
        host, port = self.server.sockets[0].getsockname()
        return host, port

    async def _link(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self.opened += 1
        there, out = await asyncio.open_connection(*self.to)
        with suppress(OSError):
            await asyncio.gather(self._carry(reader, out), self._carry(there, writer))

    async def _carry(self, source: asyncio.StreamReader, to: asyncio.StreamWriter) -> None:
        while data := await source.read(65536):
            if not self.swallows:
                to.write(data)
        if not self.swallows:  # the end of a connection is a word too
            to.close()


def test_half_a_connection_is_noticed_within_about_a_second_and_dialled_again(tmp_path: Path) -> None:
    async def test(world: World) -> None:
        relay = Relay(world.places["b"])
        b = world.start("b")
        a = world.start("a", places={"b": await relay.start()})
        await until(hears(b, "a"))
        relay.swallows, begun_s = True, time.monotonic()
        link = a._links["b"]
        await until(lambda: link.trouble != "", 3)
        assert 0.9 < time.monotonic() - begun_s < 2
        assert hears(a, "b")(), "the other direction stands alone"
        relay.swallows = False
        await until(hears(b, "a"))
        assert relay.opened >= 2

    night(tmp_path, test)


def test_a_second_connection_takes_the_place_of_the_first(tmp_path: Path) -> None:
    """Half of the first may be all that is left, and what comes late on it must not mix with the new list."""

    async def test(world: World) -> None:
        b = world.start("b")
        own = world.identity("a")
        first = await world.greeted(own, "b")
        second = await world.greeted(own, "b")
        for channel in (second, first):
            channel.hand_over(encode(Beat(1, now_ms(), {})))
        assert decode(await second.receive()) == Took(1)
        with pytest.raises(ChannelError):
            await first.receive()
        await until(hears(b, "a"))

    night(tmp_path, test)


class Frozen:
    """A lookout that lets everybody in, greets, and never reads again."""

    def __init__(self, world: World, own: Identity) -> None:
        self.transport = TlsTransport(own, world.places, SystemClock())
        self.hello: Hello | None = None
        self.met = 0

    async def serve(self, channel: Channel) -> None:
        self.met += 1
        assert self.hello
        channel.hand_over(encode(self.hello))
        await asyncio.sleep(60)


def test_who_does_not_read_is_dropped_delays_nobody_and_fills_no_memory(tmp_path: Path) -> None:
    async def test(world: World) -> None:
        frozen = Frozen(world, world.identity("b"))
        listening = asyncio.ensure_future(frozen.transport.listen(frozen.serve))
        a, c = world.start("a"), world.start("c")
        frozen.hello = a.hello()
        begun_s, worst_s = time.monotonic(), 0.0
        await until(hears(c, "a"))
        while time.monotonic() - begun_s < 4:
            a.publish({target: Judged("up", round(time.monotonic() * 1000), "x" * 200) for target in TARGETS})
            await asyncio.sleep(0.05)
            worst_s = max(worst_s, c.heard["a"])
        assert frozen.met >= 2, "dropped, and dialled again"
        assert worst_s < 0.9
        assert len(a._links["b"]._pending) <= len(TARGETS)
        listening.cancel()

    night(tmp_path, test)


class Stuck:
    """A channel to a peer that greets, and whose end takes nothing after that; and the transport that makes it."""

    def __init__(self) -> None:
        self.named = Named("littoral", "b", 1, 0, 1 << 50)
        self.dialled = self.sent = 0
        self.hello = b""

    async def dial(self, _: str) -> Stuck:
        self.dialled += 1
        self.sent = 0
        return self

    async def listen(self, _: Callable[[Channel], Awaitable[None]]) -> None:
        await asyncio.Event().wait()

    def hand_over(self, _: bytes) -> bool:
        self.sent += 1
        return self.sent <= 1

    async def drained(self) -> None:
        await asyncio.Event().wait()

    async def receive(self, _: float | None = None) -> bytes:
        if self.sent:
            await asyncio.Event().wait()
        return self.hello

    def hold(self) -> bool:
        return False

    def objection(self) -> None:
        return None

    def close(self) -> None:
        pass

    def problems(self) -> list[str]:
        return []


def test_a_send_that_never_ends_is_given_up_after_a_second() -> None:
    """No TLS here: what lookouts speak over is behind a Protocol."""

    async def test() -> None:
        stuck = Stuck()
        a = Peers(ESTATE, "a", stuck, SystemClock(), judged=Judged, targets=TARGETS, boot="1")
        stuck.hello = encode(a.hello())
        running = asyncio.ensure_future(a.run())
        await until(lambda: "it read nothing for 1 s" in [one.why for one in a.silent()], 6)
        await until(lambda: stuck.dialled > 4, 6)  # two peers
        running.cancel()

    asyncio.run(test())


# -- questions


def test_a_question_is_answered_or_nobody_knows_or_it_was_not_asked(tmp_path: Path) -> None:
    async def test(world: World) -> None:
        holding = asyncio.Event()

        async def answers(channel: Channel, request: Request) -> Reply:
            if request.request == b"slow":
                await holding.wait()
            return Renewed(channel.named.server.encode() + b" " + request.request)

        a, b = world.start("a"), world.start("b", answers=answers)
        await until(lambda: a._links["b"].trouble == b._links["a"].trouble == "")
        assert await a.ask("b", Renew(b"1"), 5) == Renewed(b"a 1")
        assert await b.ask("a", Renew(b"1"), 5) == Refused("nothing of this kind is done here")
        with pytest.raises(NoAnswerError, match="no answer within"):
            await a.ask("b", Renew(b"slow"), 0.2)
        with pytest.raises(NotAskedError):
            await a.ask("c", Renew(b"1"), 0.2)
        asked = asyncio.ensure_future(a.ask("b", Renew(b"slow"), 10))
        await asyncio.sleep(0.2)
        await world.stop("b")
        with pytest.raises(NoAnswerError, match="connection was lost"):
            await asked

    night(tmp_path, test)


def test_a_crowd_of_questions_is_bounded(tmp_path: Path) -> None:
    async def test(world: World) -> None:
        holding = asyncio.Event()

        async def answers(_: Channel, __: Request) -> Reply:
            await holding.wait()
            return Renewed(b"")

        a = world.start("a")
        world.start("b", answers=answers)
        await until(lambda: a._links["b"].trouble == "")
        crowd = [asyncio.ensure_future(a.ask("b", Renew(b""), 5)) for _ in range(peer_link.ASKED_AT_ONCE + 1)]
        await until(lambda: sum(one.done() for one in crowd) == 9)
        holding.set()
        ends = await asyncio.gather(*crowd, return_exceptions=True)
        assert sum(one == Renewed(b"") for one in ends) == 8
        assert sum(one == Refused("too many requests at once") for one in ends) == 8
        assert isinstance(ends[-1], NotAskedError)

    night(tmp_path, test)


def test_changes_are_told(tmp_path: Path) -> None:
    async def test(world: World) -> None:
        told: list[int] = []
        a = world.start("a", changed=lambda: told.append(1))
        b = world.start("b")
        await until(hears(a, "b"))
        before = len(told)
        b.publish({"t1": UP})
        await until(lambda: len(told) > before)
        await until(lambda: a.views["b"] == {"t1": UP})

    night(tmp_path, test)
