"""What probes ask besides when `binome preflight` looks: members, settings, addresses, and what time it is there."""

from __future__ import annotations

import asyncio
import json
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from email.utils import formatdate
from typing import Any

import pytest

from binome.core.target import Answer
from binome.drivers.probe.etcd import EtcdProbe
from binome.drivers.probe.haproxy import HaproxyProbe
from binome.drivers.probe.http import HttpProbe
from binome.drivers.probe.patroni import PatroniProbe
from binome.drivers.probe.shared.thorough import MOST_DETAILS
from binome.ports import Clock, Finding, Probe, Surroundings
from tests.drivers.http_server import answer, http
from tests.drivers.probe_suite import ProbeSuite, served, surroundings, target
from tests.drivers.test_probe_engines import HEALTHY, PRIMARY, STATISTICS, STATUS

ANSWERS: dict[str, Any] = {
    "/patroni": PRIMARY,
    "/cluster": {
        "members": [
            {"name": "gra-db", "role": "leader", "state": "running", "host": "10.20.1.12", "port": 5432},
            {
                "name": "sbg-db",
                "role": "sync_standby",
                "state": "in archive recovery",
                "host": "10.20.2.12",
                "port": 5432,
            },
            {"name": "\x1b[2J", "role": 7},
            "nobody",
        ]
    },
    "/config": {"ttl": 20, "synchronous_mode": True, "postgresql": {"parameters": {"max_connections": 200}}},
    "/health": HEALTHY,
    "/v3/maintenance/status": STATUS,
    "/v3/cluster/member/list": {
        "members": [
            {"ID": "17237436991929493444", "name": "gra-db", "peerURLs": ["http://10.20.1.12:2380"]},
            {"ID": "2", "peerURLs": ["http://10.20.3.10:2380"]},
            {"ID": "nobody"},
        ]
    },
}


def engine(head: bytes, **others: Any) -> bytes:
    path = head.split(b" ")[1].decode()
    found = {**ANSWERS, **others}.get(path)
    return answer(b"", "404 Not Found") if found is None else answer(json.dumps(found).encode())


class _Thorough(ProbeSuite):
    def options(self) -> dict[str, Any]:
        return {"thorough": True}

    @asynccontextmanager
    async def answering(self) -> AsyncIterator[int]:
        async with http(engine) as port:
            yield port


class TestPatroni(_Thorough):
    kind = "patroni"

    def make(self) -> Probe:
        return PatroniProbe(surroundings())


class TestEtcd(_Thorough):
    kind = "etcd"

    def make(self) -> Probe:
        return EtcdProbe(surroundings())


class TestHaproxy(_Thorough):
    kind = "haproxy"

    def make(self) -> Probe:
        return HaproxyProbe(surroundings())

    @asynccontextmanager
    async def answering(self) -> AsyncIterator[int]:
        async with http(lambda _: answer(STATISTICS.encode())) as port:
            yield port


def look(
    make: Callable[[Surroundings], Probe],
    reply: Callable[[bytes], bytes],
    options: dict[str, Any] | None = None,
    clock: Clock | None = None,
) -> Finding:
    async def run() -> Finding:
        async with http(reply) as port:
            around = surroundings() if clock is None else surroundings(clock=clock)
            return await make(around).look(target("it", port, {"thorough": True} if options is None else options))

    return asyncio.run(run())


def test_patroni_says_who_its_members_are_and_what_they_agreed_on() -> None:
    details = look(PatroniProbe, engine).details
    assert details["cluster"] == 3 and details["config"] == 3
    assert details["member/gra-db"] == "leader running 10.20.1.12 5432"
    assert details["member/sbg-db"] == "sync_standby in archive recovery 10.20.2.12 5432"
    assert details["config/ttl"] == 20 and details["config/synchronous_mode"] is True
    assert details["config/postgresql/parameters/max_connections"] == 200
    assert "config" not in look(PatroniProbe, engine, {}).details, "a lookout does not pay for it"


def test_etcd_says_who_its_members_are() -> None:
    details = look(EtcdProbe, engine).details
    assert details["members"] == 2
    assert details[f"member/{17237436991929493444:x}"] == "gra-db http://10.20.1.12:2380"
    assert details["member/2"] == "- http://10.20.3.10:2380"
    assert "members" not in look(EtcdProbe, engine, {}).details


def test_haproxy_says_where_its_servers_are() -> None:
    shown = "# pxname,svname,status,addr,\nweb,gra-web,UP,10.20.1.11:8000,\nweb,BACKEND,UP,,\n"
    details = look(HaproxyProbe, lambda _: answer(shown.encode())).details
    assert details == {"web/gra-web": "UP", "web/gra-web/address": "10.20.1.11:8000", "web": "UP"}
    assert look(HaproxyProbe, lambda _: answer(shown.encode()), {}).details == {"web/gra-web": "UP", "web": "UP"}


@pytest.mark.parametrize("odd", [None, [], {"members": {}}, {"members": [1]}, "x", {"members": [{"name": 1}]}])
def test_a_question_that_fails_costs_its_own_details_alone(odd: Any) -> None:
    found = look(PatroniProbe, lambda head: engine(head, **{"/cluster": odd}))
    assert found.answer is Answer.UP and "cluster" not in found.details and found.details["config"] == 3
    found = look(PatroniProbe, lambda head: engine(head, **{"/config": [] if odd is None else None}))
    assert found.answer is Answer.UP and "config" not in found.details and found.details["cluster"] == 3
    found = look(EtcdProbe, lambda head: engine(head, **{"/v3/cluster/member/list": odd}))
    assert found.answer is Answer.UP and "members" not in found.details and found.details["leads"] is True


def test_a_question_without_an_answer_costs_no_more_than_the_time_of_the_look() -> None:
    async def reply(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        head = await reader.readuntil(b"\r\n\r\n")
        if head.startswith(b"GET /config"):
            await asyncio.sleep(60)
        writer.write(engine(head))
        await writer.drain()
        await reader.read(1)

    async def run() -> Finding:
        async with served(reply) as port, asyncio.timeout(1):
            return await PatroniProbe(surroundings()).look(target("it", port, {"thorough": True}))

    found = asyncio.run(run())
    assert (found.answer, found.said) == (Answer.UP, "primary, running")
    assert found.details["cluster"] == 3 and "config" not in found.details


def test_what_a_target_tells_is_bounded() -> None:
    many = {f"setting-{number}": number for number in range(5000)}
    found = look(PatroniProbe, lambda head: engine(head, **{"/config": {**many, "\x1b": "\x1b" * 900}}))
    assert len(found.details) < MOST_DETAILS + 50
    assert all(str(one).isprintable() and len(str(one)) <= 200 for pair in found.details.items() for one in pair)


class Passing:
    """A clock that goes on by a tenth of a second whenever somebody waits, and by 5 ms whenever somebody looks."""

    def __init__(self, ahead_ms: int) -> None:
        self._now_ms, self.ahead_ms = 1_800_000_000_450, ahead_ms
        self.asked = 0

    def now_ms(self) -> int:
        self._now_ms += 5
        return self._now_ms

    def monotonic_s(self) -> float:
        return self._now_ms / 1000

    async def sleep(self, seconds: float) -> None:
        self._now_ms += round(seconds * 1000)

    def answer(self, head: bytes) -> bytes:
        """An answer of somebody whose clock is `ahead_ms` ahead of this one."""
        self.asked += 1
        return answer(more=f"Date: {formatdate((self._now_ms + self.ahead_ms) // 1000, usegmt=True)}\r\n")


@pytest.mark.parametrize("ahead_ms", [0, 400, 1_300, -1_300, 5_000, -3_600_000])
def test_how_far_a_clock_is_ahead_is_known_to_a_third_of_a_second(ahead_ms: int) -> None:
    clock = Passing(ahead_ms)
    details = look(HttpProbe, clock.answer, clock=clock).details
    least_ms, most_ms = details["clock_least_ms"], details["clock_most_ms"]
    assert isinstance(least_ms, int) and isinstance(most_ms, int)
    assert least_ms <= ahead_ms <= most_ms and most_ms - least_ms <= 300
    assert clock.asked <= 14


@pytest.mark.parametrize("date", ["", "Date: soon\r\n", "Date: Tue, 99 Nov 2026 25:00:00 GMT\r\n", "Date: \x80\r\n"])
def test_no_date_is_no_time(date: str) -> None:
    found = look(HttpProbe, lambda _: answer(more=date))
    assert found.answer is Answer.UP and dict(found.details) == {}


def test_dates_that_contradict_each_other_are_no_time() -> None:
    dates = iter([formatdate(1_800_000_000 - 90 * number, usegmt=True) for number in range(20)])
    found = look(HttpProbe, lambda _: answer(more=f"Date: {next(dates)}\r\n"), clock=Passing(0))
    assert found.answer is Answer.UP and dict(found.details) == {}
