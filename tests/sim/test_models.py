"""The models do what the real ones do: etcd and the disk through the suites that etcd and SQLite pass too."""

from __future__ import annotations

import asyncio
from random import Random

import pytest

from binome.ports import Etcd, Store
from binome.sim.disk import BOUNDARIES, File, SimulatedStore
from binome.sim.etcd import Cluster
from binome.sim.etcd_client import SimulatedEtcd
from binome.sim.loop import KilledError, new_loop
from binome.sim.network import Network
from tests.journal.etcd_suite import CASES, Case
from tests.journal.store_suite import StoreDisk, StoreSuite, chain, expect, said


class ModelDisk:
    """A disk of the simulation."""

    def __init__(self) -> None:
        self.file = File(Random("disk"))

    def open(self) -> Store:
        return SimulatedStore(self.file)

    def power_loss(self) -> None:
        self.file.crash()

    def full(self, is_full: bool) -> None:
        self.file.full += 1 if is_full else -1


class TestSimulatedStore(StoreSuite):
    """The simulated store is a store."""

    @pytest.fixture
    def disk(self) -> StoreDisk:
        return ModelDisk()


@pytest.mark.parametrize("boundary", BOUNDARIES)
@pytest.mark.parametrize("seed", range(30))
def test_a_crash_at_any_boundary_leaves_whole_appends(boundary: str, seed: int) -> None:
    file, entries = File(Random(seed)), chain(5)
    store = SimulatedStore(file)
    store.append(entries[:2])

    def die(at: str) -> None:
        if at == boundary:
            raise KilledError(at)

    file.at_boundary = die
    with pytest.raises(KilledError):
        store.append(entries[2:])
    file.crash()
    file.at_boundary = lambda _boundary: None
    found = SimulatedStore(file).read(0)
    assert said(found) in (said(entries[:2]), said(entries))
    if boundary == BOUNDARIES[0]:
        assert len(found) == 2
    if boundary == BOUNDARIES[2]:
        expect(SimulatedStore(File(Random(seed), durable=bytearray(file.durable))), entries)


def test_a_crash_tears_what_was_not_synced() -> None:
    left = set()
    for seed in range(40):
        file = File(Random(seed))
        file.write(b"0123456789")
        file.crash()
        left.add(bytes(file.durable))
    assert {b"", b"0123456789"} < left


class ModelHarness:
    """The modelled cluster on three sites, in virtual time; clients sit beside member 0, 1 or 2."""

    offers = frozenset({"kill", "pause", "hang", "drop_next_reply", "replace", "fill"})

    def __init__(self) -> None:
        self.loop = new_loop()
        network = Network(self.loop, ["a", "b", "c"], lambda name: Random(f"suite/{name}"))
        self.cluster = Cluster(network, ["a", "b", "c"], Random("suite/etcd"))

    def run(self, case: Case) -> None:
        """Lets a case pass."""
        task = self.loop.spawn(None, case(self))
        end_s = self.loop.now_s + 200
        while not task.done() and self.loop.now_s < end_s:
            self.loop.run_until(self.loop.now_s + 1)
        assert task.done(), "the case does not end"
        task.result()
        assert not self.loop.mishaps

    def client(self, first: int = 0) -> Etcd:
        return SimulatedEtcd(self.cluster, "suite", "abc"[first])

    async def leader(self) -> int:
        while (leader := self.cluster.leader) is None or not leader.well:
            await asyncio.sleep(0.1)
        return self.cluster.members.index(leader)

    async def kill(self, member: int) -> None:
        self.cluster.set_down(self.cluster.members[member], True)

    async def restart(self, member: int) -> None:
        self.cluster.set_down(self.cluster.members[member], False)
        await asyncio.sleep(3)

    async def pause(self, member: int) -> None:
        self.cluster.set_paused(self.cluster.members[member], True)

    async def resume(self, member: int) -> None:
        self.cluster.set_paused(self.cluster.members[member], False)
        await asyncio.sleep(3)

    async def hang(self, member: int) -> None:
        self.cluster.set_deaf(self.cluster.members[member], True)

    async def answer(self, member: int) -> None:
        self.cluster.set_deaf(self.cluster.members[member], False)

    async def drop_next_reply(self) -> None:
        self.cluster.lose_next_reply()

    async def replace(self, member: int) -> None:
        one = self.cluster.members[member]
        self.cluster.replace(one)
        while one.learns:
            await asyncio.sleep(0.1)

    async def fill(self) -> None:
        self.cluster.state.alarmed = True

    async def make_room(self) -> None:
        self.cluster.disarm()


@pytest.fixture(scope="module")
def harness() -> ModelHarness:
    return ModelHarness()


@pytest.mark.parametrize("case", CASES, ids=lambda case: case.name)
def test_the_modelled_etcd(harness: ModelHarness, case: Case) -> None:
    if not case.needs <= harness.offers:
        pytest.skip(f"the model does not offer {', '.join(case.needs - harness.offers)}")
    harness.run(case)
