"""A night of backups with real hands, through a change of leader after each entry: nothing lost, nothing double."""

from __future__ import annotations

import asyncio
import time
from collections import Counter
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any, cast

import msgspec
import pytest

from binome.cli import agent_hands
from binome.cli.agent_hands import AgentHands
from binome.cli.agent_start import settings_of
from binome.core.entry import Entry
from binome.core.plan import Command, Outcome
from binome.ports import StoreError
from binome.render import Folders
from binome.runtime.agent import Agent
from binome.runtime.backups import LOST_S, Backups
from binome.runtime.everywhere import AtServer
from binome.runtime.peer_messages import Job
from tests.runtime.world import LITTORAL, MemoryStore, World, settle

SERVERS = ("gra-db", "sbg-db", "par-spare")
SCRIPT = """\
echo "$@" >> LOG
while [ -e HOLD ]; do sleep 0.01; done
case $2 in
take) echo '{"at_ms": 7200000, "size_bytes": 7, "stored": {"vault-ams": "a1", "vault-par": "p1"}, "failed": {}}';;
prove) verdict=proven
  case "$*" in *--damage*) verdict=altered;; esac
  echo "{\\"vault\\": \\"$6\\", \\"copy\\": \\"$4\\", \\"at_ms\\": 7200000, \\"verdict\\": \\"$verdict\\"}";;
esac
"""


class Agents:
    """Real agents' hands, in this process; what is ordered of them is accepted as every agent does."""

    def __init__(self, folder: Path, clock: Any) -> None:
        self.folder, self.clock = folder, clock
        self.gone: set[str] = set()
        self.agents: dict[str, Agent] = {}
        self.hands: dict[str, AgentHands] = {}
        for server in SERVERS:
            self.start(server)

    def start(self, server: str) -> None:
        settings = settings_of(LITTORAL, server, Folders(str(self.folder / server)), self.folder / "estate.yaml")
        self.hands[server] = AgentHands(settings)
        nobody = cast(Any, None)
        self.agents[server] = Agent(settings, nobody, nobody, nobody, self.clock, hands=self.hands[server], boot="")

    def is_connected(self, server: str) -> bool:
        return server not in self.gone

    async def order(self, server: str, command: Command, timeout_s: float) -> Outcome:
        if server in self.gone:
            return Outcome("unknown", "gone")
        return await self.agents[server].ordered("par-watch", msgspec.structs.replace(command, server=server))

    def jobs(self, server: str) -> Sequence[Job] | None:
        return None if server in self.gone else self.hands[server].jobs()


class Cut(MemoryStore):
    """A store that takes no more than some entries: what comes of a command that they led to is never written."""

    def __init__(self, most: int) -> None:
        super().__init__()
        self.most = most

    def append(self, entries: Sequence[Entry]) -> None:
        if len(self.entries) >= self.most:
            raise StoreError("this is where it ends")
        super().append(entries)


class Leader(World):
    """A lookout that leads with these agents. Each has a generation above that of the one before."""

    def __init__(self, store: MemoryStore, agents: Agents, now_s: float) -> None:
        super().__init__(store)
        self.clock.now_s = now_s
        self.loop.estate = LITTORAL
        cast(dict[str, Any], self.loop.drivers)["backup"] = AtServer(agents)
        self.loop.observers = (Backups(agents, self.clock),)

    async def until(self, good: Callable[[], bool], within_s: float = 20.0) -> None:
        """Lets time pass, on the clock that is set by hand and on the one of processes, until it is so."""
        end_s = time.monotonic() + within_s
        while not good():
            assert time.monotonic() < end_s, self.kinds()
            await self.clock.pass_(1)
            await asyncio.sleep(0.005)

    def count(self) -> Counter[str]:
        return Counter(self.kinds())


@pytest.fixture
def agents_of(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Callable[[], Agents]:
    script = tmp_path / "binome"
    script.write_text(SCRIPT.replace("LOG", str(tmp_path / "log")).replace("HOLD", str(tmp_path / "hold")))
    monkeypatch.setattr(agent_hands, "PROGRAM", ("sh", str(script)))
    return lambda: Agents(tmp_path, World().clock)


def ran(tmp_path: Path) -> list[str]:
    return (tmp_path / "log").read_text().splitlines()


TWO_AM_S = 7200.0


def is_over(leader: Leader) -> bool:
    """One night's copy was taken and proven, its proof was tried, and no plan is left."""
    counted = leader.count()
    ended = counted["copy-taken"] + counted["proof-made"] + counted["copy-failed"] + counted["proof-failed"]
    return ended >= 4 and not leader.loop.state.plans


@pytest.mark.parametrize("entries", range(1, 1 + 4 * 5 + 1))
def test_a_change_of_leader_after_any_entry_neither_loses_nor_doubles_a_job(
    tmp_path: Path, agents_of: Callable[[], Agents], entries: int
) -> None:
    async def test() -> None:
        agents, store = agents_of(), Cut(entries)
        first = Leader(store, agents, TWO_AM_S - 60)
        await first.start()
        await first.until(lambda: len(store.entries) >= entries)
        await first.clock.pass_(5)
        await first.crash()
        store.most = 1000
        second = Leader(store, agents, first.clock.now_s + 30)
        await second.start()
        await second.until(lambda: is_over(second))
        await second.crash()
        what = Counter(one.split()[1] + (" damaged" if "--damage" in one else "") for one in ran(tmp_path))
        assert what == {"take": 1, "prove": 2, "prove damaged": 1}
        counted = second.count()
        assert (counted["copy-taken"], counted["proof-made"]) == (1, 3)
        assert counted["copy-failed"] + counted["proof-failed"] == 0
        assert [agents.jobs(server) for server in SERVERS] == [[]] * 3, "every result was acknowledged"

    asyncio.run(test())


def test_a_job_that_runs_is_adopted_by_the_next_leader(tmp_path: Path, agents_of: Callable[[], Agents]) -> None:
    async def test() -> None:
        agents, store = agents_of(), MemoryStore()
        (tmp_path / "hold").touch()
        first = Leader(store, agents, TWO_AM_S - 60)
        await first.start()
        await first.until(lambda: bool(agents.jobs("gra-db")) and (tmp_path / "log").exists())
        await first.crash()
        second = Leader(store, agents, first.clock.now_s + 30)
        await second.start()
        await second.clock.pass_(3600)
        assert second.count()["copy-failed"] == 0, "it goes on, and nobody begins another"
        (tmp_path / "hold").unlink()
        await second.until(lambda: is_over(second))
        await second.crash()
        assert [one.split()[1] for one in ran(tmp_path)] == ["take", "prove", "prove", "prove"]

    asyncio.run(test())


def test_an_agent_that_is_started_anew_has_lost_its_job_and_gets_another(
    tmp_path: Path, agents_of: Callable[[], Agents]
) -> None:
    async def test() -> None:
        agents, store = agents_of(), MemoryStore()
        (tmp_path / "hold").touch()
        leader = Leader(store, agents, TWO_AM_S - 60)
        await leader.start()
        await leader.until(lambda: bool(agents.jobs("gra-db")) and (tmp_path / "log").exists())
        agents.gone.add("gra-db")
        await leader.clock.pass_(60)
        agents.start("gra-db")
        agents.gone.clear()
        await leader.until(lambda: leader.count()["copy-failed"] == 1)
        (tmp_path / "hold").unlink()
        await leader.clock.pass_(300)
        await leader.until(lambda: leader.count()["copy-taken"] == 1)
        await leader.crash()
        takes = [one for one in ran(tmp_path) if " take " in one]
        assert ["gra-db" in takes[0], "sbg-db" in takes[1]] == [True, True], "another member is tried"

    asyncio.run(test())


def test_an_agent_that_knows_nothing_of_its_job_is_asked_for_a_while(
    tmp_path: Path, agents_of: Callable[[], Agents]
) -> None:
    async def test() -> None:
        agents, store = agents_of(), MemoryStore()
        (tmp_path / "hold").touch()
        leader = Leader(store, agents, TWO_AM_S - 60)
        await leader.start()
        await leader.until(lambda: leader.count()["step-ended"] == 1)
        (job,) = agents.jobs("gra-db") or ()
        await agents.hands["gra-db"]._jobs.forget(job.id)
        await leader.clock.pass_(0.1)
        assert leader.count()["copy-failed"] == 0
        await leader.clock.pass_(LOST_S)
        await leader.until(lambda: leader.count()["copy-failed"] == 1)
        await leader.crash()
        await settle()

    asyncio.run(test())
