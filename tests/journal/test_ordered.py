"""The ordered journal on a real etcd of three members: who may append, what an answer that did not come leaves, what
outlives etcd itself. The simulation runs the same code through thousands of such nights; these are its anchors.
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator
from contextlib import asynccontextmanager
from pathlib import Path

import msgspec
import pytest
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey

from binome.core.entry import Draft
from binome.core.maintenance import MaintenanceAsked, MaintenanceEndAsked
from binome.journal import heads, ordered, tidy
from binome.journal.exchange import HeadExchange
from binome.journal.ordered import OrderedJournal
from binome.journal.sqlite import SqliteStore
from binome.lab.loopback import LoopbackEtcd
from binome.ports import AppendUnknownError, Compare, Delete, MovedOnError, NotLeaderError, Put, StoreError
from binome.runtime.clock import SystemClock
from tests.journal.etcd_harness import RealEtcd, real_etcd
from tests.journal.etcd_suite import until

pytestmark = pytest.mark.lab

NAMES = ("a", "b", "c")
_estates = iter(range(1_000_000))


@pytest.fixture(scope="module")
def members(tmp_path_factory: pytest.TempPathFactory) -> Iterator[LoopbackEtcd]:
    options = ["--quota-backend-bytes=25165824", "--strict-reconfig-check=false", "--unsafe-no-fsync"]
    with LoopbackEtcd(tmp_path_factory.mktemp("etcd"), *options) as members:
        yield members


def draft(id_: str, subject: str = "database") -> Draft:
    return Draft(id_, 1, "test", MaintenanceEndAsked(id_, subject, "ops-1"))


class Lookouts:
    """Three journals on one etcd, each with a mirror of its own; any of them can be stopped and started again."""

    def __init__(self, etcd: RealEtcd, folder: Path) -> None:
        self.etcd = etcd
        self.folder = folder
        self.estate = f"estate-{next(_estates)}"
        self.journals: dict[str, OrderedJournal] = {}
        self.stores: dict[str, SqliteStore] = {}
        self.tasks: dict[str, asyncio.Task[None]] = {}
        self.beside_primary: set[str] = set()

    def start(self, name: str) -> OrderedJournal:
        store = SqliteStore(self.folder / f"{name}.sqlite")
        etcd = self.etcd.client(NAMES.index(name))

        async def beside_primary() -> bool:
            return name in self.beside_primary

        self.stores[name] = store
        self.journals[name] = OrderedJournal(
            self.estate, name, NAMES, etcd=etcd, store=store, clock=SystemClock(), beside_primary=beside_primary
        )
        self.tasks[name] = asyncio.ensure_future(self.journals[name].run())
        return self.journals[name]

    async def stop(self, name: str) -> None:
        task = self.tasks.pop(name)
        task.cancel()
        await asyncio.gather(task, return_exceptions=True)
        self.stores.pop(name).close()
        del self.journals[name]

    async def leader(self) -> str:
        await until(lambda: any(one.generation for one in self.journals.values()), "somebody leads")
        (leader,) = [name for name, one in self.journals.items() if one.generation]
        return leader

    async def mirrored(self, sequence: int) -> None:
        await until(lambda: min(one.head().sequence for one in self.stores.values()) >= sequence, "the mirrors have it")

    def ids(self, name: str) -> list[str]:
        return [entry.id for entry in self.stores[name].read(0) if not entry.id.startswith("leadership/")]

    async def append(self, name: str, *ids: str) -> None:
        """As the loop does: what is unknown or refused for now is appended again until it is known."""
        for _ in range(100):
            try:
                await self.journals[name].append([draft(id_) for id_ in ids])
                return
            except (AppendUnknownError, StoreError):
                await asyncio.sleep(0.1)
        raise AssertionError("never appended")


def night(test: Callable[[Lookouts], Awaitable[None]], members: LoopbackEtcd, tmp_path: Path) -> None:
    async def run() -> None:
        async with real_etcd(members) as etcd, _lookouts(etcd, tmp_path) as lookouts:
            await test(lookouts)

    asyncio.run(run())


@asynccontextmanager
async def _lookouts(etcd: RealEtcd, folder: Path) -> AsyncIterator[Lookouts]:
    lookouts = Lookouts(etcd, folder)
    for name in NAMES:
        lookouts.start(name)
    try:
        yield lookouts
    finally:
        for name in tuple(lookouts.tasks):
            await lookouts.stop(name)


def test_one_leads_and_all_have_the_same_entries(members: LoopbackEtcd, tmp_path: Path) -> None:
    async def test(lookouts: Lookouts) -> None:
        leader = await lookouts.leader()
        await lookouts.append(leader, "one", "two")
        await lookouts.append(leader, "two", "three")
        await lookouts.mirrored(4)
        assert {tuple(lookouts.ids(name)) for name in NAMES} == {("one", "two", "three")}
        assert len({store.head() for store in lookouts.stores.values()}) == 1
        for name in set(NAMES) - {leader}:
            with pytest.raises(NotLeaderError):
                await lookouts.journals[name].append([draft("other")])

    night(test, members, tmp_path)


def test_who_stands_beside_a_primary_leads_only_where_nobody_else_can(members: LoopbackEtcd, tmp_path: Path) -> None:
    async def test(lookouts: Lookouts) -> None:
        led = await lookouts.leader()
        apart = next(name for name in NAMES if name != led)
        lookouts.beside_primary = set(NAMES) - {apart}
        await lookouts.stop(led)
        assert await lookouts.leader() == apart
        lookouts.start(led)
        await lookouts.stop(apart)
        assert await lookouts.leader() in lookouts.beside_primary

    night(test, members, tmp_path)


def test_a_leader_that_was_replaced_and_does_not_know_it_is_refused(members: LoopbackEtcd, tmp_path: Path) -> None:
    async def test(lookouts: Lookouts) -> None:
        old = await lookouts.leader()
        before = lookouts.journals[old].generation or 0
        asleep = lookouts.tasks[old]
        asleep.cancel()  # it renews nothing and sees nothing, and still believes
        reign = lookouts.journals[old]._campaign.reign
        assert reign is not None
        await lookouts.etcd.client().transact((), [Delete(f"/binome/{lookouts.estate}/leader")])
        others = [lookouts.journals[name] for name in NAMES if name != old]
        await until(lambda: any((one.generation or 0) > before for one in others), "another one leads")
        reign.believed_until_s = float("inf")
        with pytest.raises(NotLeaderError):
            await lookouts.journals[old].append([draft("of the old one")])
        assert all("of the old one" not in lookouts.ids(name) for name in NAMES)

    night(test, members, tmp_path)


def test_an_answer_that_was_lost_is_unknown_and_never_doubled(members: LoopbackEtcd, tmp_path: Path) -> None:
    async def test(lookouts: Lookouts) -> None:
        leader = await lookouts.leader()
        await lookouts.append(leader, "before")
        unknown = 0
        for number in range(5):
            await lookouts.etcd.drop_next_reply()
            try:
                await lookouts.journals[leader].append([draft(f"lost-{number}")])
            except AppendUnknownError:
                unknown += 1
                await lookouts.append(leader, f"lost-{number}", f"after-{number}")
        assert unknown > 0
        await lookouts.append(leader, "end")
        await lookouts.mirrored(lookouts.stores[leader].head().sequence)
        ids = lookouts.ids(leader)
        assert len(ids) == len(set(ids))
        assert {f"lost-{number}" for number in range(5)} <= set(ids)

    night(test, members, tmp_path)


def test_without_quorum_nobody_leads_and_afterwards_all_goes_on(members: LoopbackEtcd, tmp_path: Path) -> None:
    async def test(lookouts: Lookouts) -> None:
        leader = await lookouts.leader()
        await lookouts.append(leader, "before")
        await lookouts.mirrored(lookouts.stores[leader].head().sequence)
        for member in (0, 1):
            await lookouts.etcd.kill(member)
        await until(lambda: not any(one.generation for one in lookouts.journals.values()), "nobody believes to lead")
        assert "before" in [entry.id for entry in await lookouts.journals[leader].follow(0, 0)], "reading works alone"
        for member in (0, 1):
            await lookouts.etcd.restart(member)
        leader = await lookouts.leader()
        await lookouts.append(leader, "after")
        await lookouts.mirrored(lookouts.stores[leader].head().sequence)
        assert lookouts.ids("c") == ["before", "after"]

    night(test, members, tmp_path)


def test_a_mirror_that_was_away_past_a_compaction_catches_up(members: LoopbackEtcd, tmp_path: Path) -> None:
    async def test(lookouts: Lookouts) -> None:
        leader = await lookouts.leader()
        away = next(name for name in NAMES if name != leader)
        await lookouts.stop(away)
        await lookouts.append(leader, "one")
        await lookouts.append(leader, "two")
        client = lookouts.etcd.client()
        await client.compact((await client.range("/nothing")).revision)
        lookouts.start(away)
        await lookouts.mirrored(lookouts.stores[leader].head().sequence)
        assert lookouts.ids(away) == ["one", "two"]

    night(test, members, tmp_path)


def test_what_every_mirror_has_is_trimmed_from_etcd(
    members: LoopbackEtcd, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(tidy, "TRIM_EVERY_S", 0.2)
    monkeypatch.setattr(ordered, "MARK_EVERY_S", 0.1)

    async def test(lookouts: Lookouts) -> None:
        client = lookouts.etcd.client()
        batches = f"/binome/{lookouts.estate}/batch/"
        leader = await lookouts.leader()
        away = next(name for name in NAMES if name != leader)
        await lookouts.stop(away)
        for number in range(3):
            await lookouts.append(leader, f"kept-{number}")
        for _ in range(10):
            await asyncio.sleep(0.1)
            assert len((await client.range(batches, prefix=True)).keys) >= 3, "one mirror does not have them yet"
        lookouts.start(away)
        while (await client.range(batches, prefix=True)).keys:
            await asyncio.sleep(0.05)
        await lookouts.append(leader, "after")
        await lookouts.mirrored(lookouts.stores[leader].head().sequence)
        assert lookouts.ids(away) == ["kept-0", "kept-1", "kept-2", "after"]

    night(test, members, tmp_path)


def test_a_full_etcd_refuses_aloud_and_nothing_is_lost(members: LoopbackEtcd, tmp_path: Path) -> None:
    async def test(lookouts: Lookouts) -> None:
        leader = await lookouts.leader()
        await lookouts.append(leader, "before")
        await lookouts.etcd.fill()
        with pytest.raises((StoreError, NotLeaderError)):
            await lookouts.journals[leader].append([draft("in vain")])
        await lookouts.etcd.make_room()
        leader = await lookouts.leader()
        await lookouts.append(leader, "after")
        assert lookouts.ids(leader) == ["before", "after"]

    night(test, members, tmp_path)


def test_an_etcd_rebuilt_from_nothing_goes_on_above_the_mirrors(members: LoopbackEtcd, tmp_path: Path) -> None:
    async def test(lookouts: Lookouts) -> None:
        leader = await lookouts.leader()
        await lookouts.append(leader, "one", "two")
        await lookouts.mirrored(lookouts.stores[leader].head().sequence)
        generation = lookouts.journals[leader].generation or 0
        behind = next(name for name in NAMES if name != leader)
        await lookouts.stop(behind)
        await lookouts.append(leader, "three")
        await lookouts.mirrored(lookouts.stores[leader].head().sequence)  # a majority has it; one more would be lost
        for name in tuple(lookouts.tasks):
            await lookouts.stop(name)
        # For the journal an etcd without its keys is one that was rebuilt from nothing.
        await lookouts.etcd.client().transact((), [Delete(f"/binome/{lookouts.estate}/", prefix=True)])
        lookouts.start(behind)
        client = lookouts.etcd.client()
        while not (await client.range(f"/binome/{lookouts.estate}/mirror/{behind}")).keys:
            await asyncio.sleep(0.05)
        assert not (await client.range(f"/binome/{lookouts.estate}/leader")).keys, "one mirror is no majority"
        for name in NAMES:
            if name != behind:
                lookouts.start(name)
        leader = await lookouts.leader()
        await lookouts.append(leader, "four")
        await lookouts.mirrored(lookouts.stores[leader].head().sequence)
        assert (lookouts.journals[leader].generation or 0) > generation
        assert {tuple(lookouts.ids(name)) for name in NAMES} == {("one", "two", "three", "four")}

    night(test, members, tmp_path)


def test_an_etcd_that_came_back_older_goes_on_from_the_mirrors(members: LoopbackEtcd, tmp_path: Path) -> None:
    async def test(lookouts: Lookouts) -> None:
        leader = await lookouts.leader()
        await lookouts.append(leader, "one")
        await lookouts.mirrored(lookouts.stores[leader].head().sequence)
        behind = next(name for name in NAMES if name != leader)
        await lookouts.stop(behind)
        client, root = lookouts.etcd.client(), f"/binome/{lookouts.estate}/"
        older = (await client.range(root, prefix=True)).keys
        await lookouts.append(leader, "acknowledged")
        await lookouts.mirrored(lookouts.stores[leader].head().sequence)
        for name in tuple(lookouts.tasks):
            await lookouts.stop(name)
        await client.transact((), [Delete(root, prefix=True)])
        await client.transact((), [Put(one.key, one.value) for one in older if one.key != f"{root}leader"])
        for name in (behind, *(name for name in NAMES if name != behind)):
            lookouts.start(name)
        leader = await lookouts.leader()
        await lookouts.append(leader, "after")
        await lookouts.mirrored(lookouts.stores[leader].head().sequence)
        assert {tuple(lookouts.ids(name)) for name in NAMES} == {("one", "acknowledged", "after")}

    night(test, members, tmp_path)


def test_many_requests_and_values_that_nobody_can_read_stop_nobody(members: LoopbackEtcd, tmp_path: Path) -> None:
    async def test(lookouts: Lookouts) -> None:
        leader = await lookouts.leader()
        root = f"/binome/{lookouts.estate}/"
        for key in ("request/junk", "mirror/junk", "batch/junk", "whatever"):
            await lookouts.etcd.client().transact((), [Put(f"{root}{key}", b"\xffjunk")])
        journal = lookouts.journals[leader]
        for number in range(150):
            asked = MaintenanceAsked(f"r{number}", "web", 1, "w" * 5000, "ops-1")
            await journal.submit(Draft(f"request/r{number}", 1, leader, asked))
        await until(lambda: len(journal.submitted()) == 150, "the requests are seen")
        await journal.append(journal.submitted())
        await until(lambda: not journal.submitted(), "they are answered")
        await lookouts.mirrored(lookouts.stores[leader].head().sequence)
        assert any("junk in etcd cannot be read" in problem for problem in journal.problems())
        assert len(lookouts.ids(leader)) == len(set(lookouts.ids(leader))) == 150
        with pytest.raises(StoreError, match="bytes; at most"):
            await journal.submit(Draft("request/large", 1, leader, MaintenanceAsked("l", "web", 1, "w" * 20_000, "x")))

    night(test, members, tmp_path)


def test_a_decision_made_from_an_older_journal_is_refused(members: LoopbackEtcd, tmp_path: Path) -> None:
    async def test(lookouts: Lookouts) -> None:
        leader = await lookouts.leader()
        seen = lookouts.stores[leader].head().sequence
        await lookouts.append(leader, "meanwhile")
        with pytest.raises(MovedOnError):
            await lookouts.journals[leader].append([draft("decided before")], after=seen)
        await lookouts.journals[leader].append([draft("decided after")], after=seen + 1)
        assert lookouts.ids(leader) == ["meanwhile", "decided after"]

    night(test, members, tmp_path)


def test_a_few_appends_pass_at_once_and_many_are_spread(members: LoopbackEtcd, tmp_path: Path) -> None:
    async def test(lookouts: Lookouts) -> None:
        leader = await lookouts.leader()
        clock, begun = SystemClock(), []
        for number in range(25):
            await lookouts.append(leader, f"n{number}")
            begun.append(clock.monotonic_s())
        assert max(later - earlier for earlier, later in zip(begun, begun[20:], strict=False)) >= 1, (
            "20 within a second"
        )

    night(test, members, tmp_path)


def test_facts_and_other_keys_are_committed_together_or_not_at_all(members: LoopbackEtcd, tmp_path: Path) -> None:
    async def test(lookouts: Lookouts) -> None:
        leader = await lookouts.leader()
        journal, client = lookouts.journals[leader], lookouts.etcd.client()
        key = f"/service/{lookouts.estate}/leader"
        revision = (await client.transact((), [Put(key, b"burned")])).revision
        holds, fails = Compare(key, "mod_revision", revision), Compare(key, "mod_revision", revision - 1)
        assert not await journal.commit([draft("refused")], [fails], [Delete(key)])
        assert journal.generation is not None, "a condition of somebody else's is no reason not to lead"
        assert (await client.range(key)).keys[0].value == b"burned"
        assert await journal.commit([draft("intended")], [holds], [Delete(key)])
        assert await journal.commit([draft("intended")], [holds], [Delete(key)]), "done before is done"
        assert not (await client.range(key)).keys
        await lookouts.append(leader, "after")
        assert lookouts.ids(leader) == ["intended", "after"]
        await client.transact((), [Delete(f"/binome/{lookouts.estate}/leader")])
        with pytest.raises(NotLeaderError):
            await journal.commit([draft("of the old one")], [], [Put(key, b"x")])
        assert not (await client.range(key)).keys

    night(test, members, tmp_path)


def test_a_request_reaches_whoever_leads_once(members: LoopbackEtcd, tmp_path: Path) -> None:
    async def test(lookouts: Lookouts) -> None:
        leader = await lookouts.leader()
        other = next(name for name in NAMES if name != leader)
        asked = Draft("request/r1", 1, other, MaintenanceAsked("r1", "web", 1, "why", "ops-1"))
        await lookouts.journals[other].submit(asked)
        journal = lookouts.journals[leader]
        await until(lambda: bool(journal.submitted()), "the request is seen")
        await journal.append(journal.submitted())
        await until(lambda: not journal.submitted(), "it is answered")
        await lookouts.mirrored(lookouts.stores[leader].head().sequence)
        assert lookouts.ids(other) == ["request/r1"]

    night(test, members, tmp_path)


def test_every_lookout_keeps_the_others_heads_and_refuses_a_journal_that_lost_its_end(
    members: LoopbackEtcd, tmp_path: Path
) -> None:
    async def test(lookouts: Lookouts) -> None:
        leader = await lookouts.leader()
        await lookouts.append(leader, "one")
        await lookouts.mirrored(lookouts.stores[leader].head().sequence)
        exchanges = {
            name: HeadExchange(
                lookouts.estate,
                name,
                NAMES,
                etcd=lookouts.etcd.client(),
                store=lookouts.stores[name],
                clock=SystemClock(),
                key=Ed25519PrivateKey.generate(),
                folder=tmp_path / f"heads-{name}",
            )
            for name in NAMES
        }
        for _ in range(2):
            for exchange in exchanges.values():
                await exchange.exchange()
        for name in NAMES:
            kept = heads.load_all([tmp_path / f"heads-{name}"]).values()
            assert {signed.signer for signed in kept} == set(NAMES) - {name}
        key, head = Ed25519PrivateKey.generate(), lookouts.stores["a"].head()
        evil = heads.sign(key, head, estate="x/../../x", signer="a", at_ms=1)
        told = f"/binome/{lookouts.estate}/signed/a"
        await lookouts.etcd.client().transact((), [Put(told, msgspec.json.encode(evil))])
        with pytest.raises(heads.HeadError, match="names a of x"):
            await exchanges["b"].exchange()
        shorter = SqliteStore(tmp_path / "shorter.sqlite")
        shorter.append(lookouts.stores["a"].read(0, 1))
        exchanges["a"]._store = shorter
        await exchanges["a"].exchange()
        with pytest.raises(heads.HeadError, match="the journal lost it, or was forked"):
            await exchanges["b"].exchange()
        shorter.close()

    night(test, members, tmp_path)
