"""What refusals mean, and who is asked next: against members that say what the test tells them to. No engine."""

from __future__ import annotations

import asyncio
import json
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager

import pytest
from aiohttp import web

from binome.journal import etcd_wire as wire
from binome.journal.etcd import EtcdClient
from binome.journal.etcd_answers import ElsewhereError, failure
from binome.journal.etcd_gateway import Timing
from binome.ports import EtcdError, EtcdUnknownError, Put

SHORT = Timing(patience_s=0.2, answer_s=0.5)


@pytest.mark.parametrize(
    ("code", "message", "kind", "name"),
    [
        (14, "etcdserver: no leader", ElsewhereError, "Unavailable"),
        (8, "etcdserver: too many requests", ElsewhereError, "ResourceExhausted"),
        (2, "raft proposal dropped", ElsewhereError, "Unknown"),
        (8, "etcdserver: mvcc: database space exceeded", EtcdError, "ResourceExhausted"),
        (3, "etcdserver: request is too large", EtcdError, "InvalidArgument"),
        (5, "etcdserver: requested lease not found", EtcdError, "NotFound"),
        (7, "etcdserver: permission denied", EtcdError, "PermissionDenied"),
        (11, "etcdserver: mvcc: required revision has been compacted", EtcdError, "OutOfRange"),
        (16, "etcdserver: invalid auth token", EtcdError, "Unauthenticated"),
        (8, "grpc: received message larger than max (5 vs. 4)", EtcdUnknownError, ""),
        (14, "etcdserver: request timed out", EtcdUnknownError, ""),
        (14, "etcdserver: request timed out, possibly due to previous leader failure", EtcdUnknownError, ""),
        (14, "etcdserver: leader changed", EtcdUnknownError, ""),
        (14, "etcdserver: server stopped", EtcdUnknownError, ""),
        (14, "transport is closing", EtcdUnknownError, ""),
        (4, "context deadline exceeded", EtcdUnknownError, ""),
        (13, "a sentence that nobody knows yet", EtcdUnknownError, ""),
        (99, "a code that nobody knows yet", EtcdUnknownError, ""),
    ],
)
def test_refusal(code: int, message: str, kind: type[Exception], name: str) -> None:
    error = failure(500, json.dumps({"error": message, "message": message, "code": code}).encode())
    assert type(error) is kind
    assert str(error) == message
    assert not name or (isinstance(error, EtcdError) and error.code == name)


def test_a_missing_gateway_is_named() -> None:
    error = failure(404, b"404 page not found\n")
    assert isinstance(error, ElsewhereError)
    assert "enable-grpc-gateway" in str(error)
    assert isinstance(failure(502, b"<html>a proxy</html>"), EtcdUnknownError)


@pytest.mark.parametrize(
    ("key", "start", "end"),
    [
        ("a", b"a", b"b"),
        ("a/", b"a/", b"a0"),
        ("é", b"\xc3\xa9", b"\xc3\xaa"),
        ("a\udcff", b"a\xff", b"b"),
        ("", b"\0", b"\0"),
    ],
)
def test_a_prefix_ends_before_what_does_not_begin_with_it(key: str, start: bytes, end: bytes) -> None:
    assert wire.span(key, True) == {"key": start, "range_end": end}
    assert wire.span(key, False) == {"key": key.encode(errors="surrogateescape")}


# -- who is asked next

_OK = {"header": {"member_id": "1", "revision": "7"}, "succeeded": True, "result": {"TTL": "5"}}


class Member:
    """A member that notes what it is asked, and answers with what `replies` has for a call, else that all is well."""

    def __init__(self) -> None:
        self.asked: list[str] = []
        self.replies: dict[str, Callable[[], Awaitable[web.Response]]] = {}
        self.url = ""

    async def handle(self, request: web.Request) -> web.Response:
        call = request.path.removeprefix("/v3/")
        await request.read()
        self.asked.append(call)
        return await self.replies[call]() if call in self.replies else web.json_response(_OK)

    def refuses(self, call: str, code: int, message: str) -> None:
        async def reply() -> web.Response:
            return web.json_response({"error": message, "message": message, "code": code}, status=503)

        self.replies[call] = reply

    def hangs(self, call: str) -> None:
        async def reply() -> web.Response:
            await asyncio.sleep(60)
            return web.Response()

        self.replies[call] = reply


@asynccontextmanager
async def two_members(timing: Timing = SHORT) -> AsyncIterator[tuple[Member, Member, EtcdClient]]:
    members = Member(), Member()
    runners = []
    for member in members:
        application = web.Application()
        application.router.add_post("/{call:.*}", member.handle)
        runner = web.AppRunner(application, shutdown_timeout=0.01)
        await runner.setup()
        runners.append(runner)
        site = web.TCPSite(runner, "127.0.0.1", 0)
        await site.start()
        member.url = f"http://127.0.0.1:{runner.addresses[0][1]}"
    async with EtcdClient([member.url for member in members], timing=timing) as etcd:
        yield *members, etcd
    for runner in runners:
        await runner.cleanup()


def says(who: Member, number: str, **status: str) -> None:
    """The member says this of itself, and who the members are."""

    async def status_reply() -> web.Response:
        return web.json_response({"header": {"member_id": number}, **status})

    async def list_reply() -> web.Response:
        return web.json_response({"members": [{"ID": "1", "name": "near"}, {"ID": "2", "name": "apart"}]})

    who.replies |= {"maintenance/status": status_reply, "cluster/member/list": list_reply}


HAND_OVER = "maintenance/transfer-leadership"


@pytest.mark.parametrize(
    ("why", "status", "handed"),
    [
        ("it follows, and has all", {"leader": "1", "raftIndex": "5000", "raftAppliedIndex": "4990"}, True),
        ("it is behind", {"leader": "1", "raftIndex": "5000", "raftAppliedIndex": "4700"}, False),
        ("it knows another leader", {"leader": "3", "raftIndex": "5000", "raftAppliedIndex": "5000"}, False),
        ("it knows of none", {"raftIndex": "5000", "raftAppliedIndex": "5000"}, False),
        ("it leads already", {"leader": "2", "raftIndex": "5000", "raftAppliedIndex": "5000"}, False),
        ("it does not answer", None, False),
        ("it hangs", {}, False),
    ],
)
def test_leadership_is_handed_only_to_a_member_that_is_fit(
    why: str, status: dict[str, str] | None, handed: bool
) -> None:
    async def run() -> None:
        async with two_members() as (near, apart, etcd):
            leads = "2" if status and status.get("leader") == "2" else "1"
            says(near, "1", leader=leads, raftIndex="5000", raftAppliedIndex="5000")
            if status:
                says(apart, "2", **status)
            elif status is None:
                apart.refuses("maintenance/status", 14, "transport is closing")
            else:
                apart.hangs("maintenance/status")
            assert await etcd.lead_from({"apart"}) is handed, why
            assert (HAND_OVER in [*near.asked, *apart.asked]) is handed, why

    asyncio.run(run())


def test_a_change_that_nobody_knows_of_is_not_sent_again() -> None:
    async def run() -> None:
        async with two_members() as (first, second, etcd):
            first.refuses("kv/txn", 14, "etcdserver: request timed out")
            with pytest.raises(EtcdUnknownError):
                await etcd.transact((), [Put("a", b"")])
            first.hangs("kv/txn")
            with pytest.raises(EtcdUnknownError):
                await etcd.transact((), [Put("a", b"")])
            assert first.asked.count("kv/txn") == 2
            assert second.asked == []

    asyncio.run(run())


def test_a_change_that_was_refused_for_sure_is_sent_to_the_next() -> None:
    async def run() -> None:
        async with two_members() as (first, second, etcd):
            first.refuses("kv/txn", 14, "etcdserver: no leader")
            assert await etcd.transact((), [Put("a", b"")]) == (True, 7)
            second.refuses("kv/txn", 14, "etcdserver: no leader")
            with pytest.raises(EtcdError) as refused:
                await etcd.transact((), [Put("a", b"")])
            assert refused.value.code == "Unavailable"
            assert first.url.removeprefix("http://") in str(refused.value)

    asyncio.run(run())


def test_a_refusal_that_all_would_give_is_asked_for_once() -> None:
    async def run() -> None:
        async with two_members() as (first, second, etcd):
            first.refuses("kv/range", 3, "etcdserver: key is not provided")
            with pytest.raises(EtcdError):
                await etcd.range("a")
            assert second.asked == []

    asyncio.run(run())


def test_a_range_may_be_asked_for_anywhere() -> None:
    async def run() -> None:
        async with two_members() as (first, second, etcd):
            first.refuses("kv/range", 14, "etcdserver: request timed out")
            assert (await etcd.range("a")).revision == 7
            second.refuses("kv/range", 14, "etcdserver: request timed out")
            with pytest.raises(EtcdError) as refused:  # whoever reads has changed nothing
                await etcd.range("a")
            assert refused.value.code == "Unavailable"

    asyncio.run(run())


def test_keeping_alive_is_repeated_and_unknown_at_the_end() -> None:
    async def run() -> None:
        async with two_members() as (first, second, etcd):
            first.hangs("lease/keepalive")
            assert await etcd.keep_alive(5)
            second.refuses("lease/keepalive", 14, "etcdserver: no leader")
            with pytest.raises(EtcdUnknownError):
                await etcd.keep_alive(5)

    asyncio.run(run())


def test_who_did_not_answer_in_time_comes_last_for_a_while() -> None:
    async def run() -> None:
        async with two_members(SHORT._replace(avoid_s=0.5)) as (first, second, etcd):
            first.hangs("kv/range")
            await etcd.range("a")
            await etcd.range("a")
            assert (first.asked, second.asked) == (["kv/range"], ["kv/range"] * 2)
            del first.replies["kv/range"]
            while len(first.asked) < 2:  # bounded: the test's runner stops what never ends
                async with asyncio.timeout(5):
                    await etcd.range("a")

    asyncio.run(asyncio.wait_for(run(), 10))


def test_a_change_is_sent_to_who_was_heard_of_lately() -> None:
    async def run() -> None:
        async with two_members() as (first, second, etcd):
            first.hangs("maintenance/status")
            assert (await etcd.transact((), [Put("a", b"")])).succeeded
            assert first.asked == ["maintenance/status"]
            assert second.asked == ["maintenance/status", "kv/txn"]
            await etcd.transact((), [Put("a", b"")])
            assert second.asked[2:] == ["kv/txn"]

    asyncio.run(run())


def test_an_answer_that_is_none_of_etcds_is_unknown() -> None:
    async def run() -> None:
        async def page() -> web.Response:
            return web.Response(text="<html>welcome to the hotel</html>")

        async with two_members() as (first, second, etcd):
            first.replies["kv/txn"] = page
            with pytest.raises(EtcdUnknownError):
                await etcd.transact((), [Put("a", b"")])
            assert "kv/txn" not in second.asked

    asyncio.run(run())


def test_nobody_listens() -> None:
    async def run() -> None:
        async with EtcdClient(["http://127.0.0.1:1", "http://127.0.0.1:2"], timing=SHORT) as etcd:
            with pytest.raises(EtcdError) as refused:
                await etcd.transact((), [Put("a", b"")])
            assert refused.value.code == "Unavailable"
            assert "127.0.0.1:2" in str(refused.value)

    asyncio.run(run())
