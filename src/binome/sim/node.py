"""A lookout in the simulation: a machine with a clock and a disk, and the production code on it.

Nothing of the production code is changed: `OrderedJournal` gets the modelled etcd, the simulated store and clock, and
`Loop` gets the journal through a proxy that notes what passes. A lookout that ends by itself is started again after a
second, as systemd does, and noted.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Mapping, Sequence
from random import Random
from typing import NoReturn

from binome.core.entry import Draft, Entry
from binome.estate import Estate
from binome.journal.ordered import OrderedJournal
from binome.ports import Driver, Journal, StoreError
from binome.runtime.agent import Agent
from binome.runtime.agents import Word
from binome.runtime.databases import Databases
from binome.runtime.loop import Loop
from binome.runtime.primary import stand_back_s
from binome.runtime.rejoins import Rejoins
from binome.sim.agent import SimulatedDriver
from binome.sim.disk import File, SimulatedStore
from binome.sim.etcd import Cluster
from binome.sim.etcd_client import SimulatedEtcd
from binome.sim.eyes import SimulatedEyes
from binome.sim.hands import SimulatedAgents, drivers, word
from binome.sim.hearing import SimulatedHearing
from binome.sim.history import Appended, Claimed, Decided, Died, Emptied, History, Killed, Mirrored, Restarted
from binome.sim.loop import KilledError
from binome.sim.pair import Pair
from binome.sim.process import Clock, Process, current
from binome.sim.servers import Server, Servers
from binome.sim.sights import Sights

START_AGAIN_S = 1.0


class ObservedJournal:
    """The journal as the loop sees it; what passes is noted."""

    def __init__(self, node: str, journal: Journal, history: History) -> None:
        self._node, self._journal, self._history = node, journal, history
        self._claimed = 0
        self.submit, self.submitted = journal.submit, journal.submitted
        self.follow, self.has = journal.follow, journal.has

    @property
    def generation(self) -> int | None:
        """What the journal says, noted when it is new."""
        generation = self._journal.generation
        if generation is not None and generation != self._claimed:
            self._claimed = generation
            self._history.add(Claimed(self._node, generation))
        return generation

    async def append(self, drafts: Sequence[Draft], *, after: int | None = None) -> None:
        """What the journal does, noted when it says that it is done."""
        self._history.add(Decided(self._node, tuple(draft.id for draft in drafts)))
        try:
            await self._journal.append(drafts, after=after)
        except Exception as error:
            self._history.note(f"an append ended with {type(error).__name__}")
            raise
        self._history.add(Appended(self._node, tuple(draft.id for draft in drafts)))


class Node:
    """One lookout."""

    def __init__(
        self,
        name: str,
        site: str,
        members: Sequence[str],
        *,
        estate: Estate,
        cluster: Cluster,
        history: History,
        driver: SimulatedDriver,
        chance: Random,
        sights: Sights | None = None,
        sites: Mapping[str, str] | None = None,
        living: Callable[[str], SimulatedHearing | None] = lambda _name: None,
        pair: Pair | None = None,
        servers: Servers | None = None,
        beside_primary: bool = False,
    ) -> None:
        self.name, self.site = name, site
        self._members, self._estate, self._cluster = members, estate, cluster
        self.history, self.driver = history, driver
        self._sights, self._living, self._pair, self._servers = sights, living, pair, servers
        self._others = {one: site for one, site in (sites or {}).items() if one != name}
        self._is_beside_primary = beside_primary
        self.loop, self.network = history.loop, cluster.network
        self.clock = Clock(self.loop)
        self.file = File(chance)
        self.mirrored = 0  # the last entry that is known to be on its disk
        self.downs = 0
        self.pauses = 0
        self.process: Process | None = None
        self.journal: OrderedJournal | None = None
        self.store: SimulatedStore | None = None
        self.etcd: SimulatedEtcd | None = None
        self.eyes: SimulatedEyes | None = None
        self._word: Word | None = None
        self.start()

    # -- its life

    def start(self) -> None:
        """Begins a life from what is on the disk."""
        if self.downs or self.process is not None:
            return
        process = self.process = Process(self.name, self.clock, paused=bool(self.pauses))
        try:
            store = SimulatedStore(self.file, self._mirrored)
        except StoreError:
            self._die(process, "the mirror cannot be opened")
            return
        self.mirrored = store.head().sequence
        self.history.add(Restarted(self.name, self.mirrored))
        self.loop.spawn(process, self._live(process, store))

    async def _live(self, process: Process, store: SimulatedStore) -> None:
        etcd = self.etcd = SimulatedEtcd(self._cluster, self.name, self.site)
        journal = OrderedJournal(
            "sim",
            self.name,
            self._members,
            etcd=etcd,
            store=store,
            clock=self.clock,
            stands_back=self._stands_back,
        )
        self.journal, self.store = journal, store
        observed = ObservedJournal(self.name, journal, self.history)
        hands: dict[str, Driver] = {"maintenance": self.driver}
        agents = SimulatedAgents(self, self._servers) if self._servers is not None else None
        if self._pair is not None and agents is not None:
            hands |= drivers(self, etcd, journal, self._pair, agents)
        loop = Loop(self.name, self._estate, observed, hands, self.clock)
        self._word = word(self._estate, loop)
        eyes = self._eyes(process, loop)
        databases = Databases(self._estate, etcd, self.clock, loop.nudge) if self._pair is not None else None
        if databases is not None:
            loop.observers = (*loop.observers, databases)
            if agents is not None:
                loop.observers = (*loop.observers, Rejoins(self._estate, agents, self.clock))
        try:
            async with asyncio.TaskGroup() as group:
                group.create_task(journal.run())
                group.create_task(loop.run())
                if eyes is not None:
                    group.create_task(eyes.run())
                if databases is not None:
                    group.create_task(databases.run())
        except Exception as error:
            self._die(process, _told(error))

    async def _stands_back(self) -> float:
        if self._pair is not None and self.etcd is not None:
            return await stand_back_s(self._estate, self.name, self.etcd)
        return float(self._is_beside_primary)

    def _eyes(self, process: Process, loop: Loop) -> SimulatedEyes | None:
        """Its eyes, in nights of looking."""
        if self._sights is None:
            return None
        eyes = self.eyes = SimulatedEyes(
            self, process, self._estate, self._sights, others=self._others, living=self._living, changed=loop.nudge
        )
        loop.observers = (eyes.watch,)
        return eyes

    def _die(self, process: Process, why: str) -> None:
        self.history.add(Died(self.name, why))
        if self.process is process:
            self.kill()
            self.loop.after(START_AGAIN_S, self.start)

    def kill(self) -> None:
        """The process is gone, and of the disk what was not synced."""
        process, self.process, self.journal, self.store, self.eyes = self.process, None, None, None, None
        if process is not None:
            process.kill()
            self.file.crash()
            self.history.add(Killed(self.name))

    def heard_of(self, server: Server, agent: Agent) -> None:
        """An agent has reported that it has fenced itself: who leads says what the journal says of its server."""
        if self.process is None or self.process.paused or self._word is None:
            return
        said = self._word(server.name)
        if said is not None:
            self.network.request(self.site, server.site, lambda: server.told(agent, self.name, said))

    def mirror(self) -> tuple[Entry, ...]:
        """What is in its mirror, read from the disk as a new life would."""
        copy = File(Random(0), durable=bytearray(self.file.durable))
        return tuple(SimulatedStore(copy).read(0, 1_000_000))

    def _mirrored(self, entries: Sequence[Entry]) -> None:
        self.mirrored = entries[-1].sequence
        self.history.add(Mirrored(self.name, tuple(entries)))

    # -- what faults do

    def set_down(self, down: bool) -> None:
        """Kills the machine, or starts it again."""
        self.downs += 1 if down else -1
        if down:
            self.kill()
        else:
            self.start()

    def lose_disk(self) -> None:
        """The machine gets another disk, with nothing on it. It must not be running, or is killed."""
        self.kill()
        self.file.replace()
        self.mirrored = 0
        self.history.add(Emptied(self.name))

    def set_paused(self, paused: bool) -> None:
        """Stops the machine, or lets it go on."""
        self.pauses += 1 if paused else -1
        if self.process is not None:
            self.process.pause(bool(self.pauses))

    def die_at(self, boundary: str, back_after_s: float, until_s: float) -> None:
        """The next append to the mirror kills the machine at a boundary; by `until_s` it is back."""

        def reached(at: str) -> None:
            if self.loop.now_s + back_after_s < until_s and at == boundary and current() is not None:
                self.file.at_boundary = _nothing
                self.history.note(f"killed {boundary}")
                self.set_down(True)
                self.loop.after(back_after_s, self.set_down, False)
                _perish(self.name)

        self.file.at_boundary = reached

    # -- what people do

    def submit(self, draft: Draft) -> asyncio.Future[BaseException | None]:
        """Asks this lookout to take a request. The future gets None once it did, else the error."""
        answer: asyncio.Future[BaseException | None] = self.loop.create_future()
        if self.process is None or self.journal is None:
            answer.set_result(ConnectionRefusedError(self.name))
        else:
            self.loop.spawn(self.process, _submit(self.journal, draft, answer))
        return answer


async def _submit(journal: Journal, draft: Draft, answer: asyncio.Future[BaseException | None]) -> None:
    try:
        await journal.submit(draft)
    except Exception as error:
        result: BaseException | None = error
    else:
        result = None
    if not answer.done():
        answer.set_result(result)


def _perish(name: str) -> NoReturn:
    raise KilledError(name)


def _nothing(_boundary: str) -> None:
    """Nothing happens at this boundary."""


def _told(error: BaseException) -> str:
    if isinstance(error, BaseExceptionGroup):
        return "; ".join(_told(one) for one in error.exceptions)
    return f"{type(error).__name__}: {error}"
