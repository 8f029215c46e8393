"""Nights of paging: the pagers of three lookouts in virtual time, as they are in production, with bad luck.

    seed ─► pages, people, faults ─► three pagers, each with its outbox, two providers ─► what happened ─► invariants

The pager and its machine are the production's code; the outbox is a list that survives a crash up to its last append.
A crash may come at every boundary: before and after an append is durable, before and after a message is delivered, and
at any moment between. Clocks jump, links between lookouts are cut and lose receipts, a lookout loses its way out,
providers are away, refuse, or deliver and never answer. People acknowledge, later or never.

checkers_of_paging.py says what must hold of it.
"""

from __future__ import annotations

import asyncio
from collections import defaultdict
from collections.abc import Callable, Sequence
from datetime import UTC
from functools import partial
from random import Random
from typing import NamedTuple

import msgspec

from binome.core.page import Page, Severity
from binome.core.paging import Took
from binome.core.paging_notes import AnyNote, Sent, Told
from binome.estate import load
from binome.ports import Delivery, Message, Outbox, StoreError
from binome.runtime.pager import Pager, words
from binome.sim.checkers_of_paging import Delivered, History, Violation, violations
from binome.sim.loop import KilledError, SimulationLoop, new_loop
from binome.sim.network import Network
from binome.sim.process import Clock, Process, current

PEOPLE = load(
    b"""
people:
  contacts:
    ann: {email: ann@example.org, sms: "+33600000001"}
    bob: {email: bob@example.org, sms: "+33600000002"}
    cyd: {sms: "+33600000003"}
  rota: {weekly: [ann, bob, cyd]}
  routes: [{via: sms}, {via: mail, after: 2m}]
  escalate_after: 3m
  senders: {sms: {kind: sms-http}, mail: {kind: smtp}}
"""
).people
NAMES = ("gra", "sbg", "par")
FAULTS_S = 1_200.0
"""Until then faults begin; each lasts two minutes at most."""
END_S = 5_400.0
"""Peace is long enough for the slowest retry and two rounds of escalation."""
GOSSIP_S = 5.0
JUMP_MS = 600_000
"""So far a clock jumps, ahead or back."""
FAULT_KINDS = ("crash", "boundary", "cut", "loss", "offline", "down", "refuse", "mute", "slow", "jump")


class Fault(NamedTuple):
    """Bad luck: when it begins, how long it lasts, whom it meets (a lookout or a provider by its place)."""

    at_s: float
    kind: str
    whom: int
    for_s: float


class SimulatedOutbox:
    """`ports.Outbox` on a disk that keeps what was synced. A crash comes before or after that."""

    def __init__(self, lookout: Lookout) -> None:
        """A life's outbox, with what the lives before it left."""
        self._lookout = lookout

    def append(self, notes: Sequence[AnyNote]) -> None:
        """Keeps notes, or does not live to do so."""
        self._lookout.boundary()
        self._lookout.disk.extend(notes)
        self._lookout.kept(notes)
        self._lookout.boundary()

    def read(self) -> list[AnyNote]:
        """All that was kept."""
        return list(self._lookout.disk)

    def forget(self, before_ms: int) -> None:
        """Lets go of what is older."""
        self._lookout.disk = [note for note in self._lookout.disk if note.at_ms >= before_ms]

    def close(self) -> None:
        """Nobody does that: a life ends by a crash."""
        raise StoreError("a simulated outbox is closed by a crash alone")


class _Provider:
    """A way to people. `down`, `refuse`, `mute` and `slow` count the faults that make it so."""

    def __init__(self, world: World, via: str, chance: Random) -> None:
        self._world, self._via, self._chance = world, via, chance
        self.faults: defaultdict[str, int] = defaultdict(int)

    async def send(self, message: Message) -> Delivery:
        lookout = self._world.lookouts[current_lookout()]
        lookout.boundary()
        await asyncio.sleep(self._chance.uniform(0.05, 0.8))
        if self.faults["down"] or lookout.offline:
            return Delivery(Sent.LATER, "no connection")
        if self.faults["refuse"]:
            return Delivery(Sent.REFUSED, "status 403")
        if self.faults["slow"]:
            await asyncio.sleep(self._chance.uniform(3, 15))
        self._world.deliver(lookout, self._via, message)
        lookout.boundary()
        if self.faults["mute"]:
            await asyncio.sleep(3_600)
        return Delivery(Sent.ACCEPTED, "status 200")


def current_lookout() -> str:
    """The lookout whose code is running."""
    process = current()
    return process.name if process is not None else ""


class Lookout:
    """One server with a pager that may die at any boundary and is started again."""

    def __init__(self, world: World, rank: int) -> None:
        self.name, self.rank, self._world = NAMES[rank], rank, world
        self.clock = Clock(world.loop)
        self.disk: list[AnyNote] = []
        self.pager: Pager | None = None
        self.process: Process | None = None
        self.offline = 0
        self.dies_at_boundary: int | None = None

    def start(self) -> None:
        """Begins a life."""
        if self.process is None:
            self.process = Process(self.name, self.clock)
            self._world.loop.spawn(self.process, self._live())

    def crash(self, for_s: float) -> None:
        """Ends it, for some time."""
        if self.process is not None:
            self.process.kill()
            self.process, self.pager = None, None
            self._world.loop.after(for_s, self.start)

    def do(self, work: Callable[[Pager], object]) -> None:
        """Lets its pager do something, if it lives."""

        async def doing(pager: Pager) -> None:
            work(pager)

        if self.process is not None and self.pager is not None:
            self._world.loop.spawn(self.process, doing(self.pager))

    def boundary(self) -> None:
        """A step ends and the next has not begun. Raises KilledError where this is the last."""
        current()
        self._world.history.boundaries += 1
        due = self._world.dies_at == self._world.history.boundaries
        if self.dies_at_boundary is not None:
            self.dies_at_boundary -= 1
            due = due or self.dies_at_boundary <= 0
        if due:
            self.dies_at_boundary = None
            self.crash(3.0)
            raise KilledError(self.name)

    def kept(self, notes: Sequence[AnyNote]) -> None:
        """Notes became durable."""
        self._world.history.kept(self.name, notes, self._world.loop.now_s)

    async def _live(self) -> None:
        world = self._world
        self.pager = Pager(
            PEOPLE,
            estate="night",
            name=self.name,
            rank=self.rank,
            outbox=world.outbox(self),
            senders=world.providers,
            clock=self.clock,
            order=lambda _at_ms: ("ann", "bob", "cyd"),
            words=words(PEOPLE, UTC, b"k" * 32),
            tell=lambda told: world.tell(self, told),
        )
        world.began(self, self.pager)
        running = asyncio.ensure_future(self.pager.run())
        while not running.done():
            await asyncio.sleep(GOSSIP_S)
            world.tell(self, self.pager.told())


class World:
    """One night."""

    def __init__(
        self,
        seed: str,
        faults: Sequence[Fault],
        *,
        dies_at: int | None = None,
        pages: int = 8,
        alive: Sequence[str] = NAMES,
        outbox: Callable[[Lookout], Outbox] = SimulatedOutbox,
    ) -> None:
        """`alive` are the lookouts that are there at all; one of them dies at the boundary of number `dies_at`.

        `outbox` opens a lookout's outbox anew for each of its lives.
        """
        self.history, self.dies_at, self.outbox = History(tuple(PEOPLE.contacts)), dies_at, outbox
        self.chance = Random(f"{seed}/paging")
        self.loop: SimulationLoop = new_loop()
        self.network = Network(self.loop, list(NAMES), lambda name: Random(f"{seed}/{name}"))
        self.providers = {via: _Provider(self, via, Random(f"{seed}/{via}")) for via in ("sms", "mail")}
        self.lookouts = {name: Lookout(self, rank) for rank, name in enumerate(NAMES)}
        self._answers = {page: self.chance.choice((None, None, 40.0, 250.0)) for page in range(pages)}
        self._seen: dict[str, Page] = {}
        self._by_id: dict[str, int] = {}
        for number in range(pages):
            self.loop.at(self.chance.uniform(1, FAULTS_S * 0.8), self._happen, number)
        for fault in faults:
            self.loop.at(fault.at_s, self._strike, fault)
        for name in alive:
            self.lookouts[name].start()

    def play(self) -> list[Violation]:
        """Lives through the night; what was broken."""
        self.loop.run_until(FAULTS_S + 150)
        self.history.quiet_s = self.loop.now_s
        self.loop.run_until(END_S)
        mishaps = [Violation("mishap", f"{name}: {what}") for _, name, what in self.loop.mishaps]
        self.loop.dispose()
        return [*mishaps, *violations(self.history)]

    def began(self, _lookout: Lookout, pager: Pager) -> None:
        """A lookout begins a life: it looks, and sees what others see. Called by its own process."""
        for page in self._seen.values():
            self._want(page, pager)

    def tell(self, source: Lookout, told: Sequence[Told]) -> None:
        """One lookout tells the others; nobody knows whether they hear it."""
        for target in self.lookouts.values():
            if target is not source:
                self.network.send(source.name, target.name, partial(target.do, partial(_hear, told)))

    def deliver(self, lookout: Lookout, via: str, message: Message) -> None:
        """A message reaches its number."""
        begun = self.history.flying(lookout.name, message.person, via)
        self.history.delivered.append(
            Delivered(self.loop.now_s, lookout.name, begun.person, via, begun.address, begun.attempt, begun.pages)
        )
        for page, _ in begun.pages:
            wait_s = self._answers.get(self._by_id[page]) if page in self._by_id else None
            if wait_s is not None and page not in self.history.acknowledged:
                self.loop.after(wait_s, self._answer, page, begun.person, via)

    def _answer(self, page: str, person: str, via: str) -> None:
        alive = [one for one in self.lookouts.values() if one.pager is not None]
        if alive and page not in self.history.acknowledged:
            chosen = self.chance.choice(alive)

            def work(pager: Pager) -> None:
                self.history.answered.add(page)  # where the lookout dies now, nobody knows whether it was heard
                pager.acknowledge(page, person, via)
                self.history.acknowledged.setdefault(page, self.loop.now_s)

            chosen.do(work)

    def _happen(self, number: int) -> None:
        """Something is to be paged; some lookouts see it, sooner or later. Two pages in two say the same words."""
        severity = self.chance.choice((Severity.CRITICAL, Severity.CRITICAL, Severity.WARNING, Severity.INFO))
        page = Page(
            cause=f"site/{number}",
            episode="1",
            stage="opened",
            severity=severity,
            name="night",
            what=f"Site {number // 2} lost",
            since_ms=0,
        )
        self._by_id[page.id] = number
        self._seen[page.id] = page
        for lookout in self.lookouts.values():
            if lookout.pager is not None and self.chance.random() < 0.9:
                seen = msgspec.structs.replace(page, detail=f"seen by {lookout.name}")
                self.loop.after(self.chance.uniform(0, 2), lookout.do, partial(self._want, seen))

    def _want(self, page: Page, pager: Pager) -> None:
        if pager.want(page) in (Took.NEW, Took.ALREADY):
            self.history.wanted.setdefault(page.id, (self.loop.now_s, page))

    def _strike(self, fault: Fault) -> None:
        lookout = self.lookouts[NAMES[fault.whom % 3]]
        provider = list(self.providers.values())[fault.whom % 2]
        other = NAMES[(fault.whom + 1) % 3]
        if fault.kind == "crash":
            lookout.crash(fault.for_s)
        elif fault.kind == "boundary":
            lookout.dies_at_boundary = 1 + fault.whom
        elif fault.kind == "jump":
            lookout.clock.offset_ms += (-1) ** fault.whom * JUMP_MS
            self.history.jumps[lookout.name].append(self.loop.now_s)
            if fault.whom % 4 < 2:
                lookout.crash(fault.for_s)  # in its next life it believes the new time
        elif fault.kind in ("cut", "loss"):
            for way in ((lookout.name, other), (other, lookout.name)):
                self._worsen(way, fault, 1)
                self.loop.after(fault.for_s, self._worsen, way, fault, -1)
        elif fault.kind == "offline":
            lookout.offline += 1
            self.loop.after(fault.for_s, self._back, lookout)
        else:
            provider.faults[fault.kind] += 1
            self.loop.after(fault.for_s, self._mended, provider, fault.kind)

    def _worsen(self, way: tuple[str, str], fault: Fault, sign: int) -> None:
        link = self.network.links[way]
        if fault.kind == "cut":
            link.cuts += sign
        else:
            link.loss += sign * 0.4

    def _back(self, lookout: Lookout) -> None:
        lookout.offline -= 1

    def _mended(self, provider: _Provider, kind: str) -> None:
        provider.faults[kind] -= 1


def _hear(told: Sequence[Told], pager: Pager) -> None:
    pager.hear(told)


def drawn(seed: str) -> list[Fault]:
    """The bad luck of a night."""
    chance = Random(f"{seed}/bad luck")
    return [
        Fault(chance.uniform(2, FAULTS_S), chance.choice(FAULT_KINDS), chance.randrange(12), chance.uniform(2, 120))
        for _ in range(chance.randint(0, 25))
    ]
