"""The metrics: what they say, how hostile words look in them, who gets them, and what is thrown at their listener."""

from __future__ import annotations

import asyncio
import math
import re
from collections.abc import Awaitable, Callable
from contextlib import suppress
from pathlib import Path
from typing import Any

import pytest
import uvloop

from binome.core.database import DatabaseSeen
from binome.ports import Standing
from binome.runtime import listener as listening
from binome.runtime import metrics
from binome.runtime.listener import HEAD_BYTES, Answer, Listener
from binome.runtime.metrics import AT_ONCE, FAMILIES, answering, exposition, label, listener, slices
from tests.drivers.probe_suite import descriptors, settled, until
from tests.runtime.seen import HOSTILE, Seen, cut_off, fire, hostile, leaderless, well
from tests.runtime.world import LITTORAL

PAGE = (Path(__file__).parents[2] / "docs" / "looking.md").read_text(encoding="utf-8")
SAMPLE = re.compile(r'(\w+)(?:\{((?:\w+="(?:[^"\\\n]|\\["\\n])*",?)*)\})? (\S+)')
GET = b"GET /metrics HTTP/1.1\r\nHost: x\r\n\r\n"


def samples(seen: Seen) -> dict[str, float]:
    """Each sample with its value; fails where a line is not of the format."""
    found = {}
    for line in exposition(seen.sources).splitlines():
        if line.startswith("#"):
            assert re.fullmatch(r"# (HELP \w+ \S.*|TYPE \w+ (gauge|counter))", line), line
            continue
        match = SAMPLE.fullmatch(line)
        assert match, line
        found[line.rpartition(" ")[0]] = float(match[3])
    return found


@pytest.mark.parametrize(
    ("night", "sample", "value"),
    [
        (well, 'binome_target_agreed{target="database@sbg-db"}', 1),
        (fire, 'binome_target_agreed{target="database@sbg-db"}', 0),
        (fire, 'binome_target_own{target="database@sbg-db"}', 0),
        (cut_off, 'binome_target_agreed{target="database@sbg-db"}', 1),
        (cut_off, 'binome_target_own{target="database@sbg-db"}', 0),
        (Seen, 'binome_target_agreed{target="database@sbg-db"}', math.nan),
        (fire, 'binome_targets{view="agreed",verdict="down"}', 8),
        (fire, 'binome_targets{view="own",verdict="up"}', 12),
        (well, 'binome_probe_seconds{target="gra-web"}', 0.0042),
        (well, "binome_prober_lag_seconds", 0.004),
        (fire, 'binome_lookout_heard{lookout="sbg-edge"}', 0),
        (fire, 'binome_lookout_heard{lookout="par-watch"}', 1),
        (fire, "binome_lookout_groups_heard", 2),
        (cut_off, "binome_lookout_groups_heard", 1),
        (well, "binome_lookout_groups_needed", 2),
        (fire, "binome_leads", 1),
        (leaderless, "binome_leads", 0),
        (fire, 'binome_leader{server="par-watch"}', 1),
        (fire, "binome_generation", 7),
        (fire, 'binome_scopes_open{kind="site"}', 1),
        (leaderless, "binome_problems", 1),
        (well, "binome_etcd_size_bytes", 3 << 20),
        (well, "binome_etcd_append_seconds", 0.012),
    ],
)
def test_what_they_say(night: Callable[[], Seen], sample: str, value: float) -> None:
    assert samples(night())[sample] == pytest.approx(value, nan_ok=True)


def test_who_is_primary_and_that_nobody_is() -> None:
    seen = well()
    seen.fact(DatabaseSeen("database", "gra-db", ("sbg-db",)))
    name = 'binome_database_primary{database="database",server="gra-db"}'
    assert samples(seen)[name] == 1
    assert samples(seen)['binome_database_synchronous{database="database"}'] == 1
    seen.fact(DatabaseSeen("database", ""))
    assert samples(seen)[name] == 0


def test_what_nobody_knows_has_no_sample() -> None:
    seen = leaderless()
    seen.stand = Standing("")
    found = samples(seen)
    assert not [one for one in found if one.startswith(("binome_leader{", "binome_etcd_"))]


def test_what_a_target_said_is_in_no_label_and_hostile_names_are_escaped() -> None:
    text = exposition(hostile().sources)
    assert "owned" not in text and all(line.isprintable() for line in text.splitlines())
    seen = well()
    seen.fact(DatabaseSeen("database", HOSTILE))  # Patroni's key, whoever wrote it
    assert any("owned" in one for one in samples(seen))
    assert all(line.isprintable() for line in exposition(seen.sources).split("\n"))


@pytest.mark.parametrize(
    ("said", "shown"),
    [("a", "a"), ('"', r"\""), ("\\", r"\\"), ("\n", r"\n"), ("\x1b", r"\\x1b"), ("\x9b", r"\\x9b"), ("é", "é")],
)
def test_a_label_is_escaped(said: str, shown: str) -> None:
    assert label(said) == shown


def test_every_metric_is_in_the_documentation_and_no_other() -> None:
    rows = re.findall(r"^\| `(binome_\w+)` \| (gauge|counter) \| .*? \|$", PAGE, re.MULTILINE)
    assert rows == [(one.name, one.type) for one in FAMILIES]


@pytest.mark.parametrize(
    ("address", "admitted"),
    [
        ("10.20.1.10", True),
        ("10.20.4.10", True),
        ("10.20.1.99", False),
        ("127.0.0.1", False),
        ("", False),
        ("x", False),
    ],
)
def test_the_addresses_of_the_estate_are_let_in(address: str, admitted: bool) -> None:
    seen = Seen()
    assert listener(LITTORAL, seen.sources, seen.clock).admits(address) is admitted


def night(test: Callable[[Listener, Seen], Awaitable[None]]) -> None:
    async def run() -> None:
        before = await settled()
        seen = well()
        server = listener(LITTORAL, seen.sources, seen.clock)
        server.admits = lambda address: address == "127.0.0.1"  # which no estate may name
        await server.open("127.0.0.1", 0)
        try:
            await test(server, seen)
        finally:
            server.close()
        await until(lambda: descriptors() <= before)

    asyncio.run(run())


async def said(server: Listener, request: bytes, address: str = "127.0.0.1") -> bytes:
    reader, writer = await asyncio.open_connection("127.0.0.1", server.port, local_addr=(address, 0))
    try:
        writer.write(request)
        return await asyncio.wait_for(reader.read(), 3)
    finally:
        writer.transport.abort()


@pytest.mark.parametrize(
    ("request_", "status"),
    [
        (GET, 200),
        (GET.replace(b"/metrics", b"/metrics?all"), 200),
        (GET.replace(b"/metrics", b"/"), 404),
        (GET.replace(b"GET", b"POST"), 405),
        (b"\x16\x03\x01\x02\x00\x01", 400),
        (b"GET /metrics HTTP/1.1\r\n" + b"X: y\r\n" * HEAD_BYTES, 431),
    ],
)
def test_one_answer_for_each_request(request_: bytes, status: int) -> None:
    async def test(server: Listener, _: Seen) -> None:
        answer = await said(server, request_)
        assert answer.startswith(f"HTTP/1.1 {status} ".encode()), answer
        if status == 200:
            assert b"\r\nContent-Type: text/plain; version=0.0.4; charset=utf-8\r\n" in answer
            assert b"\n# TYPE binome_generation gauge\nbinome_generation 7\n" in answer

    night(test)


def test_a_stranger_is_hung_up_on() -> None:
    async def test(server: Listener, _: Seen) -> None:
        try:
            answer = await said(server, GET, "127.0.0.9")
        except ConnectionError:
            answer = b""
        assert answer == b""
        assert (await said(server, GET)).startswith(b"HTTP/1.1 200 ")

    night(test)


def test_many_connections_keep_nobody_out_for_long(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(listening, "ASKED_WITHIN_S", 0.3)

    async def test(server: Listener, _: Seen) -> None:
        held: list[Any] = [await asyncio.open_connection("127.0.0.1", server.port) for _ in range(AT_ONCE)]
        with suppress(ConnectionError):
            assert await said(server, GET) == b""
        for reader, _ in held:  # each is let go
            with pytest.raises(ConnectionError):
                if not await asyncio.wait_for(reader.read(), 2):
                    raise ConnectionResetError
        assert (await said(server, GET)).startswith(b"HTTP/1.1 200 ")
        for _, writer in held:
            writer.transport.abort()

    night(test)


def test_the_text_is_made_once_a_second_however_many_ask() -> None:
    seen = well()
    answer = answering(seen.sources, seen.clock)

    async def asked() -> Answer:
        found = answer(listening.Request(b"GET", b"/metrics", b""))
        return found if isinstance(found, Answer) else await found

    async def run() -> None:
        first, second = await asyncio.gather(asked(), asked())
        assert second is first, "also who asks while it is being made"
        seen.troubles = ["new"]
        assert await asked() is first
        seen.clock.now_s += 1
        assert b"\nbinome_problems 1\n" in ((await asked()).body or b"")

    asyncio.run(run())


def test_no_more_than_a_slice_is_written_before_the_loop_goes_on(monkeypatch: pytest.MonkeyPatch) -> None:
    seen, written = well(), 0
    whole = exposition(seen.sources)

    def counted(value: str) -> str:
        nonlocal written
        written += 1
        return label(value)

    monkeypatch.setattr(metrics, "SLICE", 6)
    monkeypatch.setattr(metrics, "label", counted)
    most, turns = 0, slices(seen.sources)
    while True:
        written = 0
        try:
            next(turns)
        except StopIteration as made:
            assert made.value == whole
            break
        most = max(most, written)
    assert 6 <= most <= 3 * 6, "a sample has three labels at most"


def test_who_hangs_up_while_the_text_is_made_leaves_it_to_the_others() -> None:
    seen = well()
    answer = answering(seen.sources, seen.clock)

    async def run() -> None:
        request = listening.Request(b"GET", b"/metrics", b"")
        first, second = answer(request), answer(request)
        assert isinstance(first, asyncio.Future) and not isinstance(second, Answer)
        first.cancel()
        assert (await second).status == 200

    asyncio.run(run())


@pytest.mark.parametrize("loop", [asyncio.new_event_loop, uvloop.new_event_loop])
def test_an_answer_that_fails_is_told_and_ends_nothing_in_either_loop(loop: Callable[[], Any]) -> None:
    async def run() -> None:
        def fails(_: listening.Request) -> Answer:
            raise RuntimeError("x")

        server = Listener(fails)
        await server.open("127.0.0.1", 0)
        for _ in range(2):
            assert (await said(server, GET)).startswith(b"HTTP/1.1 500 ")
        server.close()

    with asyncio.Runner(loop_factory=loop) as runner:
        runner.run(run())
