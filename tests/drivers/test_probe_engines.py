"""The probes of kinds patroni, etcd and haproxy, before answers as the engines give them."""

from __future__ import annotations

import asyncio
import json
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from typing import Any

import pytest

from binome.core.target import Answer
from binome.drivers.probe.etcd import EtcdProbe
from binome.drivers.probe.haproxy import HaproxyProbe
from binome.drivers.probe.patroni import PatroniProbe
from binome.ports import Finding, Probe, Surroundings
from tests.drivers.http_server import answer, http
from tests.drivers.probe_suite import ProbeSuite, surroundings, target

PRIMARY = {
    "state": "running",
    "role": "primary",
    "timeline": 3,
    "xlog": {"location": 67108864},
    "replication": [
        {"application_name": "sbg-db", "sync_state": "sync", "state": "streaming"},
        {"application_name": "par-db", "sync_state": "async", "state": "streaming"},
    ],
    "dcs_last_seen": 1,
    "patroni": {"version": "4.1.5", "scope": "littoral", "name": "gra-db"},
}
STANDBY = {
    "state": "running",
    "role": "replica",
    "timeline": 3,
    "xlog": {"received_location": 1000, "replayed_location": 900, "paused": False},
    "sync_standby": True,
    "patroni": {"version": "4.1.5", "scope": "littoral", "name": "sbg-db"},
}
HEALTHY = {"health": "true", "reason": ""}
STATUS: dict[str, Any] = {"header": {"member_id": "17237436991929493444"}, "version": "3.4.23", "dbSize": "20480"}
STATUS["leader"] = STATUS["header"]["member_id"]  # ids have 64 bits
STATISTICS = """\
# pxname,svname,qcur,status,weight,
web,FRONTEND,,OPEN,,
web,gra-web,0,UP,1,
web,sbg-web,0,DOWN,1,
web,BACKEND,0,UP,1,
database,gra-db,0,DOWN,1,
database,BACKEND,0,DOWN,0,
"""


class TestPatroni(ProbeSuite):
    kind = "patroni"

    def make(self) -> Probe:
        return PatroniProbe(surroundings())

    @asynccontextmanager
    async def answering(self) -> AsyncIterator[int]:
        async with http(lambda _: answer(json.dumps(PRIMARY).encode())) as port:
            yield port


class TestEtcd(ProbeSuite):
    kind = "etcd"

    def make(self) -> Probe:
        return EtcdProbe(surroundings())

    @asynccontextmanager
    async def answering(self) -> AsyncIterator[int]:
        async with http(etcd(HEALTHY)) as port:
            yield port


class TestHaproxy(ProbeSuite):
    kind = "haproxy"

    def make(self) -> Probe:
        return HaproxyProbe(surroundings())

    @asynccontextmanager
    async def answering(self) -> AsyncIterator[int]:
        async with http(lambda _: answer(STATISTICS.encode())) as port:
            yield port


def etcd(health: dict[str, Any], status: str = "200 OK") -> Callable[[bytes], bytes]:
    def reply(head: bytes) -> bytes:
        if head.startswith(b"GET /health "):
            return answer(json.dumps(health).encode(), status)
        return answer(json.dumps(STATUS).encode())

    return reply


def look(make: Callable[[Surroundings], Probe], reply: Callable[[bytes], bytes]) -> Finding:
    async def run() -> Finding:
        async with http(reply) as port:
            return await make(surroundings()).look(target("it", port))

    return asyncio.run(run())


def test_patroni_says_what_its_member_is() -> None:
    found = look(PatroniProbe, lambda _: answer(json.dumps(PRIMARY).encode()))
    assert (found.answer, found.said) == (Answer.UP, "primary, running")
    assert found.details["role"] == "primary" and found.details["synchronous_standbys"] == "sbg-db"
    found = look(PatroniProbe, lambda _: answer(json.dumps(STANDBY).encode(), "503 Service Unavailable"))
    assert found.answer is Answer.UP, "the status is no word about Patroni"
    assert (found.details["lag_bytes"], found.details["synchronous"]) == (100, True)


@pytest.mark.parametrize(
    "said",
    [
        b"",
        b"[]",
        b"{}",
        b"null",
        b"[" * 100_000,
        b'{"role": "primary"}',
        b'{"role": 1, "state": 2}',
        b"\xff\xfe",
        b"NaN",
    ],
)
def test_what_is_no_answer_of_patroni_or_etcd_is_down(said: bytes) -> None:
    for make in (PatroniProbe, EtcdProbe):
        assert look(make, lambda _: answer(said)).answer is Answer.DOWN


def test_details_of_the_wrong_shape_are_left_out() -> None:
    odd = {"state": "\x1b[2J", "role": "primary", "xlog": 1, "replication": [1, {"sync_state": "sync"}], "patroni": []}
    found = look(PatroniProbe, lambda _: answer(json.dumps(odd).encode()))
    assert found.answer is Answer.UP and found.said == "primary, \\x1b[2J"
    assert found.details["state"] == "\\x1b[2J"


def test_etcd_is_well_when_it_says_so() -> None:
    asked: list[bytes] = []

    def reply(head: bytes) -> bytes:
        asked.append(head.split(b" ")[1])
        return etcd(HEALTHY)(head)

    assert look(EtcdProbe, reply)[:2] == (Answer.UP, "it is healthy")
    assert asked == [b"/health"], "once a second, and nothing that nobody needs"
    found = look(EtcdProbe, etcd({"health": "false", "reason": "RAFT NO LEADER"}, "503 Service Unavailable"))
    assert (found.answer, found.said) == (Answer.DOWN, "it is not healthy: RAFT NO LEADER")


def test_haproxy_says_which_backends_are_down() -> None:
    found = look(HaproxyProbe, lambda _: answer(STATISTICS.encode()))
    assert (found.answer, found.said) == (Answer.UP, "1 of 2 backends are up; down: database")
    assert found.details["web/sbg-web"] == "DOWN" and found.details["web"] == "UP"
    assert look(HaproxyProbe, lambda _: answer(b'# pxname,svname,\x1b[2J\n"')).answer is Answer.UP
    assert look(HaproxyProbe, lambda _: answer(b"<html>")).answer is Answer.DOWN
    assert look(HaproxyProbe, lambda _: answer(STATISTICS.encode(), "403 Forbidden")).said == "403 Forbidden"
