"""The ordered journal on a real etcd of three members: the shared suite, and what only this journal has.

The simulation runs the same code through thousands of such nights; these are its anchors.
"""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Iterator
from pathlib import Path

import msgspec
import pytest
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey

from binome.core.entry import Draft
from binome.core.maintenance import MaintenanceAsked
from binome.journal import heads, ordered, tidy
from binome.journal.agreed import BELIEF_S, LEASE_S
from binome.journal.exchange import HeadExchange
from binome.journal.ordered import OrderedJournal
from binome.journal.sqlite import SqliteStore
from binome.lab.loopback import LoopbackEtcd
from binome.ports import Compare, Delete, NotLeaderError, Put, Standing, StoreError
from binome.runtime.clock import SystemClock
from tests.journal.etcd_suite import until
from tests.journal.journal_case import Case, all_have, append, draft, ids, leader, victims
from tests.journal.journal_harness import Lookouts, lookouts
from tests.journal.journal_suite import CASES

pytestmark = pytest.mark.lab


@pytest.fixture(scope="module")
def members(tmp_path_factory: pytest.TempPathFactory) -> Iterator[LoopbackEtcd]:
    options = ["--quota-backend-bytes=25165824", "--strict-reconfig-check=false", "--unsafe-no-fsync"]
    with LoopbackEtcd(tmp_path_factory.mktemp("etcd"), *options) as members:
        yield members


def night(test: Callable[[Lookouts], Awaitable[None]], members: LoopbackEtcd, tmp_path: Path) -> None:
    async def run() -> None:
        async with lookouts(members, tmp_path) as servers:
            await test(servers)

    asyncio.run(run())


@pytest.mark.parametrize("case", CASES, ids=lambda one: one.name)
def test_suite(case: Case, members: LoopbackEtcd, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(tidy, "TRIM_EVERY_S", 1e6)  # what etcd keeps is the case's own concern
    assert case.runs_for(Lookouts.lacks)
    night(case.run, members, tmp_path)


def test_who_stands_beside_a_primary_leads_only_where_nobody_else_can(members: LoopbackEtcd, tmp_path: Path) -> None:
    async def test(servers: Lookouts) -> None:
        led = await leader(servers)
        apart = next(name for name in servers.names if name != led)
        (other,) = set(servers.names) - {led, apart}
        servers.beside_primary = {led, other}
        await servers.stop(other)  # it may be in the middle of a campaign, and has asked before where it stands
        servers.start(other)
        await servers.stop(led)
        assert await leader(servers) == apart
        servers.start(led)
        await servers.stop(apart)
        assert await leader(servers) in servers.beside_primary

    night(test, members, tmp_path)


def test_who_leads_goes_above_what_agents_have_seen_also_when_they_turn_up_later(
    members: LoopbackEtcd, tmp_path: Path
) -> None:
    async def test(servers: Lookouts) -> None:
        first = servers.journals[await leader(servers)].generation
        assert first is not None and first < 1000
        servers.seen = 1000
        await until(lambda: any(one.generation == 1001 for one in servers.journals.values()), "a generation above it")

    night(test, members, tmp_path)


def test_who_leads_leads_on_where_etcd_was_without_a_majority_and_nobody_else_led(
    members: LoopbackEtcd, tmp_path: Path
) -> None:
    async def test(servers: Lookouts) -> None:
        journal = servers.journals[await leader(servers)]
        generation, followers = journal.generation, {0, 1, 2} - {await servers.etcd.leader()}
        for member in followers:
            await servers.pause(member)
        await until(lambda: journal.generation is None, "the belief ends, though nobody says so")
        await asyncio.sleep(LEASE_S - BELIEF_S + 0.5)  # beyond the time that the lease had, which etcd stretches
        for member in followers:
            await servers.resume(member)
        await until(lambda: journal.generation is not None, "it leads again")
        assert journal.generation == generation, "nobody had to campaign, which takes as long as the lease"
        await append(servers, "after")

    night(test, members, tmp_path)


def test_a_few_appends_pass_at_once_and_many_are_spread(members: LoopbackEtcd, tmp_path: Path) -> None:
    async def test(servers: Lookouts) -> None:
        clock, begun = SystemClock(), []
        for number in range(25):
            await append(servers, f"n{number}")
            begun.append(clock.monotonic_s())
        assert max(later - earlier for earlier, later in zip(begun, begun[20:], strict=False)) >= 1, (
            "20 within a second"
        )

    night(test, members, tmp_path)


def test_facts_and_other_keys_are_committed_together_or_not_at_all(members: LoopbackEtcd, tmp_path: Path) -> None:
    async def test(servers: Lookouts) -> None:
        name, client = await leader(servers), servers.etcd.client()
        journal = servers.journals[name]
        assert isinstance(journal, OrderedJournal)
        key = f"/service/{servers.estate}/leader"
        revision = (await client.transact((), [Put(key, b"burned")])).revision
        holds, fails = Compare(key, "mod_revision", revision), Compare(key, "mod_revision", revision - 1)
        assert not await journal.commit([draft("refused")], [fails], [Delete(key)])
        assert journal.generation is not None, "a condition of somebody else's is no reason not to lead"
        assert (await client.range(key)).keys[0].value == b"burned"
        assert await journal.commit([draft("intended")], [holds], [Delete(key)])
        assert await journal.commit([draft("intended")], [holds], [Delete(key)]), "done before is done"
        assert not (await client.range(key)).keys
        await append(servers, "after")
        assert await ids(servers, name) == ["intended", "after"]
        await client.transact((), [Delete(f"{servers.root}leader")])
        with pytest.raises(NotLeaderError):
            await journal.commit([draft("of the old one")], [], [Put(key, b"x")])
        assert not (await client.range(key)).keys

    night(test, members, tmp_path)


def test_all_know_how_the_journal_stands_and_nobody_says_who_leads_without_etcd(
    members: LoopbackEtcd, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(tidy, "TRIM_EVERY_S", 0.2)  # etcd's size is asked for then

    async def test(servers: Lookouts) -> None:
        name = await append(servers, "one")

        def standing() -> dict[str, Standing]:
            journals = {
                one: journal for one, journal in servers.journals.items() if isinstance(journal, OrderedJournal)
            }
            assert journals.keys() == set(servers.names)
            return {one: journal.standing() for one, journal in journals.items()}

        def leaders() -> set[str]:
            return {one.leader for one in standing().values()}

        await until(lambda: leaders() == {name}, "all know who leads")
        took_s = {one: stands.append_s for one, stands in standing().items()}
        assert 0 < (took_s.pop(name) or 0) < 20
        assert None in took_s.values(), "who has not appended cannot know"
        await until(lambda: all(one.size_bytes for one in standing().values()), "all have asked for the size")
        said = (await servers.etcd.client().status()).size_bytes
        assert all(said / 4 < (one.size_bytes or 0) < said * 4 for one in standing().values()), said
        for member in (0, 1):
            await servers.kill(member)
        await until(lambda: leaders() == {""}, "nobody knows who leads")
        assert standing()[name].append_s is not None, "what was measured is known still"
        for member in (0, 1):
            await servers.restart(member)
        led = await append(servers, "after")
        await until(lambda: leaders() == {led}, "all know again")

    night(test, members, tmp_path)


def test_what_every_mirror_has_is_trimmed_from_etcd(
    members: LoopbackEtcd, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(tidy, "TRIM_EVERY_S", 0.2)
    monkeypatch.setattr(ordered, "MARK_EVERY_S", 0.1)

    async def test(servers: Lookouts) -> None:
        client = servers.etcd.client()
        name = await leader(servers)
        away = victims(servers, name)[-1]
        await servers.stop(away)
        kept = [f"kept-{number}" for number in range(3)]
        for id_ in kept:
            await append(servers, id_)
        for _ in range(10):
            await asyncio.sleep(0.1)
            batches = (await client.range(f"{servers.root}batch/", prefix=True)).keys
            assert len(batches) >= 3, "one mirror does not have them yet"
        servers.start(away)
        while (await client.range(f"{servers.root}batch/", prefix=True)).keys:
            await asyncio.sleep(0.05)
        await append(servers, "after")
        await all_have(servers, *kept, "after")

    night(test, members, tmp_path)


def test_many_requests_and_values_that_nobody_can_read_stop_nobody(members: LoopbackEtcd, tmp_path: Path) -> None:
    async def test(servers: Lookouts) -> None:
        name = await leader(servers)
        for key in ("request/junk", "mirror/junk", "batch/junk", "whatever"):
            await servers.etcd.client().transact((), [Put(f"{servers.root}{key}", b"\xffjunk")])
        journal = servers.journals[name]
        for number in range(150):
            asked = MaintenanceAsked(f"r{number}", "web", 1, "w" * 5000, "ops-1")
            await journal.submit(Draft(f"request/r{number}", 1, name, asked))
        await until(lambda: len(journal.submitted()) == 150, "the requests are seen")
        await journal.append(journal.submitted())
        await until(lambda: not journal.submitted(), "they are answered")
        await all_have(servers, *[f"request/r{number}" for number in range(150)])
        assert any("junk in etcd cannot be read" in problem for problem in journal.problems())
        with pytest.raises(StoreError, match="bytes; at most"):
            await journal.submit(Draft("request/large", 1, name, MaintenanceAsked("l", "web", 1, "w" * 20_000, "x")))

    night(test, members, tmp_path)


def test_every_lookout_keeps_the_others_heads_and_refuses_a_journal_that_lost_its_end(
    members: LoopbackEtcd, tmp_path: Path
) -> None:
    async def test(servers: Lookouts) -> None:
        await append(servers, "one")
        await all_have(servers, "one")
        exchanges = {
            name: HeadExchange(
                servers.estate,
                name,
                servers.names,
                etcd=servers.etcd.client(),
                store=servers.stores[name],
                clock=SystemClock(),
                key=Ed25519PrivateKey.generate(),
                folder=tmp_path / f"heads-{name}",
            )
            for name in servers.names
        }
        for _ in range(2):
            for exchange in exchanges.values():
                await exchange.exchange()
        for name in servers.names:
            kept = heads.load_all([tmp_path / f"heads-{name}"]).values()
            assert {signed.signer for signed in kept} == set(servers.names) - {name}
        key, head = Ed25519PrivateKey.generate(), servers.stores["a"].head()
        evil = heads.sign(key, head, estate="x/../../x", signer="a", at_ms=1)
        await servers.etcd.client().transact((), [Put(f"{servers.root}signed/a", msgspec.json.encode(evil))])
        with pytest.raises(heads.HeadError, match="names a of x"):
            await exchanges["b"].exchange()
        shorter = SqliteStore(tmp_path / "shorter.sqlite")
        shorter.append(servers.stores["a"].read(0, 1))
        exchanges["a"]._store = shorter
        await exchanges["a"].exchange()
        with pytest.raises(heads.HeadError, match="the journal lost it, or was forked"):
            await exchanges["b"].exchange()
        shorter.close()

    night(test, members, tmp_path)
