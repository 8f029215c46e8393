"""Our client against a real etcd of three members on loopback: the shared suite, and what only a real one has."""

from __future__ import annotations

import asyncio
import ssl
import subprocess
import sys
import time
from collections.abc import Awaitable, Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from binome.journal.etcd import EtcdClient
from binome.journal.etcd_gateway import Timing
from binome.journal.etcd_watch import Watch
from binome.lab.loopback import LoopbackEtcd
from binome.ports import CompactedError, EtcdError, EtcdUnknownError
from tests.journal import certificates
from tests.journal.etcd_harness import real_etcd
from tests.journal.etcd_suite import CASES, Case, eventually, put, until, watching

pytestmark = pytest.mark.lab

_QUOTA_BYTES = 32 << 20


@pytest.fixture(scope="module")
def members(tmp_path_factory: pytest.TempPathFactory) -> Iterator[LoopbackEtcd]:
    options = [
        f"--quota-backend-bytes={_QUOTA_BYTES}",
        "--strict-reconfig-check=false",  # else a member joins only 5 s after the last fault
        "--unsafe-no-fsync",  # what is killed here leaves the page cache whole
        "--experimental-watch-progress-notify-interval=300ms",
    ]
    with LoopbackEtcd(tmp_path_factory.mktemp("etcd"), *options) as members:
        yield members


@pytest.mark.parametrize("case", CASES, ids=lambda case: case.name)
def test_suite(case: Case, members: LoopbackEtcd) -> None:
    async def run() -> None:
        async with real_etcd(members) as harness:
            assert case.needs <= harness.offers
            await case(harness)

    asyncio.run(run())


def test_who_has_no_leader_says_so_at_once(members: LoopbackEtcd) -> None:
    """Else a member would hold on to what it is asked until there is one, for seconds, and nobody would know."""

    async def run() -> None:
        async with real_etcd(members) as harness:
            etcd = harness.client()
            for member in (1, 2):
                await harness.kill(member)
            refused = ""
            end_s = time.monotonic() + 10
            while "no leader" not in refused:
                assert time.monotonic() < end_s, f"it says so: {refused}"
                begin_s = time.monotonic()
                try:
                    await put(etcd, "/leaderless", b"")
                except (EtcdError, EtcdUnknownError) as error:
                    refused = str(error)
            assert time.monotonic() - begin_s < 0.4
            for member in (1, 2):
                await harness.restart(member)

    asyncio.run(run())


def test_a_password_that_nobody_asks_for_does_no_harm(members: LoopbackEtcd) -> None:
    async def run() -> None:
        async with EtcdClient(members.urls, user="binome", password="ours") as etcd:
            await put(etcd, "/open", b"")

    asyncio.run(run())


# -- streams


def test_a_stream_that_has_gone_silent_is_left(members: LoopbackEtcd) -> None:
    """The member answers all other requests: only the promise to be told that there is nothing new is broken."""

    async def run() -> None:
        async with real_etcd(members) as harness:
            etcd = harness.client(timing=Timing(progress_s=1.5))
            start = await put(etcd, "/silent/a", b"1")
            async with watching(etcd, "/silent/", start) as seen:
                await until(lambda: seen.values == [b"1"], "the watch is there")
                harness.relays[0].swallows_streams = True
                await put(etcd, "/silent/a", b"2")
                await until(lambda: seen.values == [b"1", b"2"], "the watch goes on elsewhere")

    asyncio.run(run())


def test_an_idle_watch_is_not_overtaken_by_the_compaction(members: LoopbackEtcd) -> None:
    """etcd says now and then that there was nothing: what is compacted up to there is no loss to a watch that moves."""

    async def run() -> None:
        async with real_etcd(members) as harness:
            etcd = harness.client()
            start = await put(etcd, "/idle/a", b"1")
            watch = Watch(etcd._gateway, "/idle/", start)
            values: list[bytes | None] = []

            async def follow() -> None:
                async for batch in watch.changes():
                    values.extend(change.value for change in batch)

            task = asyncio.create_task(follow())
            await until(lambda: values == [b"1"], "the watch is there")
            compacted = await put(etcd, "/elsewhere", b"")
            await etcd.compact(compacted)
            await until(lambda: watch.wanted > compacted, "etcd says that there was nothing")
            for relay in harness.relays:
                relay.cut_all()
            await eventually(lambda: put(etcd, "/idle/a", b"2"), "a change")
            await until(lambda: b"2" in values or task.done(), "the watch goes on")
            assert not task.done()
            task.cancel()

    asyncio.run(run())


def test_a_watch_of_an_etcd_that_was_built_anew_ends(members: LoopbackEtcd) -> None:
    """It counts from one again, and would tell nothing until it got to where the old one was."""

    async def run() -> None:
        async with real_etcd(members) as harness:
            etcd = harness.client()
            now = (await etcd.range("/anew")).revision
            async with watching(etcd, "/anew/", now + 1000) as seen:
                await until(lambda: seen.error is not None, "the watch ends")
            assert isinstance(seen.error, CompactedError)

    asyncio.run(run())


# -- TLS and passwords

_TOKEN_S = 2


@pytest.fixture(scope="module")
def guarded(tmp_path_factory: pytest.TempPathFactory) -> Iterator[tuple[LoopbackEtcd, ssl.SSLContext]]:
    """A cluster with its own CA, tokens that live two seconds, and a user who may do everything below /ours/."""
    folder = tmp_path_factory.mktemp("guarded")
    certificates.write(folder)
    trust = ssl.create_default_context(cafile=folder / "ca.pem")
    token = f"jwt,pub-key={folder}/token.pub,priv-key={folder}/token.key,sign-method=RS256,ttl={_TOKEN_S}s"
    options = ["--cert-file", f"{folder}/server.pem", "--key-file", f"{folder}/server.key", "--auth-token", token]
    with LoopbackEtcd(folder, *options, "--unsafe-no-fsync", "--bcrypt-cost=4", tls=trust) as members:
        everything = {"key": "L291cnMv", "range_end": "L291cnMw", "permType": "READWRITE"}
        steps: list[tuple[str, dict[str, Any]]] = [
            ("user/add", {"name": "root", "password": "root's"}),
            ("user/grant", {"user": "root", "role": "root"}),
            ("role/add", {"name": "ours"}),
            ("role/grant", {"name": "ours", "perm": everything}),
            ("user/add", {"name": "binome", "password": "ours"}),
            ("user/grant", {"user": "binome", "role": "ours"}),
            ("enable", {}),
        ]
        for path, body in steps:
            members.ask(0, f"/v3/auth/{path}", **body)
        yield members, trust


def test_a_user_with_a_password(guarded: tuple[LoopbackEtcd, ssl.SSLContext]) -> None:
    members, trust = guarded

    async def refusal(call: Callable[[EtcdClient], Awaitable[object]], user: str = "", password: str = "") -> EtcdError:
        async with EtcdClient(members.urls, tls=trust, user=user, password=password) as etcd:
            with pytest.raises(EtcdError) as refused:
                await call(etcd)
            return refused.value

    async def run() -> None:
        async def read(etcd: EtcdClient) -> None:
            await etcd.range("/ours/a")

        assert (await refusal(read)).code == "InvalidArgument"
        assert (await refusal(read, "binome", "theirs")).code == "InvalidArgument"
        theirs = await refusal(lambda etcd: etcd.range("/theirs"), "binome", "ours")
        assert theirs.code == "PermissionDenied"

        async def listen(etcd: EtcdClient) -> None:
            async for _ in etcd.watch("/theirs/", 1):
                pass

        assert (await refusal(listen, "binome", "ours")).code == "PermissionDenied"

    asyncio.run(asyncio.wait_for(run(), 20))


def test_tokens_expire_and_nobody_notices(guarded: tuple[LoopbackEtcd, ssl.SSLContext]) -> None:
    members, trust = guarded

    async def run() -> None:
        async with EtcdClient(members.urls, tls=trust, user="binome", password="ours") as etcd:
            start = await put(etcd, "/ours/a", b"0")
            first = await etcd._gateway.token(etcd._gateway.in_order()[0])
            values: list[bytes | None] = [b"0"]
            async with watching(etcd, "/ours/", start) as seen:
                while await etcd._gateway.token(etcd._gateway.in_order()[0]) == first:
                    values.append(b"%d" % len(values))
                    await put(etcd, "/ours/a", values[-1] or b"")
                    await asyncio.sleep(0.1)
                await until(lambda: seen.values == values, "the watch goes on")
            await asyncio.sleep(_TOKEN_S + 1)  # the token's whole life
            async with watching(etcd, "/ours/", start) as seen:
                await until(lambda: seen.values == values, "a new watch, of an old token")

    asyncio.run(asyncio.wait_for(run(), 20))


def test_a_stranger_is_not_trusted(guarded: tuple[LoopbackEtcd, ssl.SSLContext]) -> None:
    members, _ = guarded

    async def run() -> None:
        async with EtcdClient(members.urls, user="binome", password="ours") as etcd:
            with pytest.raises(EtcdError) as refused:  # nothing was sent: it is known that nothing was done
                await put(etcd, "/ours/a", b"")
            assert refused.value.code == "Unavailable"
            assert "certificate" in str(refused.value)

    asyncio.run(run())


# -- the members themselves

_STARTS_ONE = """
import sys, pathlib
from binome.lab.loopback import LoopbackEtcd
members = LoopbackEtcd(pathlib.Path(sys.argv[1]))
members.start(0, "new")
print(members.pid(0), flush=True)
sys.stdin.read()
"""


def test_members_end_with_who_started_them(tmp_path: Path) -> None:
    starter = subprocess.Popen(
        [sys.executable, "-c", _STARTS_ONE, str(tmp_path)], stdin=subprocess.PIPE, stdout=subprocess.PIPE
    )
    with starter:
        assert starter.stdout
        state = Path(f"/proc/{int(starter.stdout.readline())}/stat")
        end_s = time.monotonic() + 10
        while "(etcd)" not in state.read_text():
            assert time.monotonic() < end_s, "it became etcd"
        starter.kill()
    while state.exists() and ") Z " not in state.read_text():
        assert time.monotonic() < end_s, "etcd has ended"
