"""Nights as people live them: the transcripts' platform, three lookouts that page, providers, people.

The looking and the leading are the transcripts' (the core's own code); each lookout has the production's pager and desk
in virtual time. `etcd` may be dead: then nobody leads, and each lookout has its own view alone.
"""

from __future__ import annotations

import asyncio
from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from datetime import UTC
from functools import partial
from typing import NamedTuple

from binome.core.alarm import INCIDENT
from binome.core.entry import Fact
from binome.core.incident import FACTS
from binome.core.paging_notes import AnyNote, Sent, Told, decoded, encoded
from binome.core.verdict import Judged
from binome.estate import load
from binome.ports import Delivery, Message
from binome.runtime.desk import Desk
from binome.runtime.pager import Pager, words
from binome.sim.loop import SimulationLoop, new_loop
from tests.transcripts.stage import BEGIN_MS, TICK_MS, Stage

PEOPLE = load(
    b"""
people:
  contacts:
    ann: {email: ann@example.org, sms: "+33600000001"}
    bob: {email: bob@example.org, sms: "+33600000002"}
    cyd: {email: cyd@example.org, sms: "+33600000003"}
  rota: {weekly: [ann, bob, cyd], zone: Europe/Paris}
  routes: [{via: sms}, {via: mail, after: 2m}]
  escalate_after: 5m
  senders: {sms: {kind: sms-http}, mail: {kind: smtp}}
"""
).people
AWAKE_LOOK_S, ASLEEP_LOOK_S = 0.25, 2.5
"""How often a desk looks; less often while nothing changes that it could see."""
QUIET_FROM_S = 15.0
"""So long the platform is well before something happens; `at_s` counts from there."""


class Paged(NamedTuple):
    """A message that a provider accepted."""

    at_s: float
    lookout: str
    to: str
    via: str
    text: str


class Memory:
    """An outbox that survives everything."""

    def __init__(self) -> None:
        self.notes: list[AnyNote] = []

    def append(self, notes: Sequence[AnyNote]) -> None:
        self.notes += notes

    def read(self) -> list[AnyNote]:
        return list(self.notes)

    def forget(self, before_ms: int) -> None:
        self.notes = [note for note in self.notes if note.at_ms >= before_ms]

    def close(self) -> None:
        self.notes.clear()


class StageClock:
    def __init__(self, loop: SimulationLoop) -> None:
        self._loop = loop

    def now_ms(self) -> int:
        return BEGIN_MS + round(self._loop.now_s * 1000)

    def monotonic_s(self) -> float:
        return self._loop.now_s

    async def sleep(self, seconds: float) -> None:
        await asyncio.sleep(seconds)


class Provider:
    """Accepts, or is as dead as its night wants."""

    def __init__(self, night: Night, lookout: str, via: str) -> None:
        self._night, self._lookout, self._via = night, lookout, via

    async def send(self, message: Message) -> Delivery:
        await asyncio.sleep(0.3)
        if self._via in self._night.dead_providers:
            await asyncio.sleep(3600)
        if self._via in self._night.burned_providers:
            await asyncio.sleep(5)
            return Delivery(Sent.LATER, "no connection: timed out")
        self._night.delivered(self._lookout, self._via, message)
        return Delivery(Sent.ACCEPTED, "status 202")


class Night(Stage):
    """One night."""

    def __init__(
        self,
        estate: str = "night",
        *,
        etcd: bool = True,
        dead_providers: Sequence[str] = (),
        burned_providers: Sequence[str] = (),
    ) -> None:
        """Providers that are dead take what they are given and never answer; to one that burned there is no way."""
        super().__init__(estate)
        self.estate = self.estate.model_copy(update={"people": PEOPLE, "estate": "littoral"})
        self.loop = new_loop()
        self.etcd, self.dead_providers, self.burned_providers = etcd, dead_providers, burned_providers
        self._look_s = AWAKE_LOOK_S
        self.paged: list[Paged] = []
        self.facts: list[Fact] = []
        self.nudged: Counter[str] = Counter()  # how often each lookout's loop was told that there is something new
        self.on_message: Callable[[Paged, Message], None] = lambda _paged, _message: None
        self.outboxes = {name: Memory() for name in self.vantages}
        self.desks: dict[str, Desk] = {}
        for name in self.vantages:
            self.begin(name)
        self.until_s(0)

    def begin(self, name: str) -> None:
        """A lookout's people begin, also anew."""
        clock = StageClock(self.loop)
        pager = Pager(
            PEOPLE,
            estate="night",
            name=name,
            rank=self.vantages.index(name),
            outbox=self.outboxes[name],
            senders={via: Provider(self, name, via) for via in PEOPLE.senders},
            clock=clock,
            order=lambda _at_ms: ("ann", "bob", "cyd"),
            words=words(PEOPLE, UTC, b"k" * 32),
            tell=partial(self._gossip, name),
            ahead=partial(self._ahead, name),
        )
        self.desks[name] = Desk(
            self.estate,
            name,
            pager,
            clock,
            state=lambda: self.state,
            led=lambda: self.etcd and bool(self.leader) and name not in self.dead,
            own=lambda: self._own(name),
            heard=lambda: [other for other in self.vantages if other != name and self._hears(name, other)],
            changed=lambda: self.nudged.update([name]),
        )
        self.loop.spawn(None, self._live(name, self.desks[name]))

    def _ahead(self, name: str) -> int:
        return sum(self._hears(name, other) for other in self.vantages[: self.vantages.index(name)])

    def _own(self, name: str) -> Mapping[str, Judged]:
        return self.judges[name].judged()

    async def _live(self, name: str, desk: Desk) -> None:
        running = asyncio.ensure_future(desk.pager.run())
        while name not in self.dead:
            desk.look()
            self._gossip(name, desk.pager.told())
            await asyncio.sleep(self._look_s)
        running.cancel()

    def _gossip(self, name: str, told: Sequence[Told]) -> None:
        raw = encoded(told)
        for other in self.vantages if told else ():
            if other != name and self._hears(name, other):
                self.loop.after(0.05, self._hear, other, raw)

    def _hear(self, name: str, raw: bytes) -> None:
        if name not in self.dead:
            self.desks[name].pager.hear(decoded(raw))

    def delivered(self, lookout: str, via: str, message: Message) -> None:
        paged = Paged(self.loop.now_s - QUIET_FROM_S, lookout, message.person, via, message.sms)
        self.paged.append(paged)
        self.on_message(paged, message)

    # -- time

    def until_s(self, at_s: float) -> None:
        """Looks, leads and pages until then."""
        end_ms = BEGIN_MS + round((QUIET_FROM_S + at_s) * 1000)
        while self.now_ms < end_ms:
            self._look()
            self._judge()
            self.turn()
            self.now_ms += TICK_MS

    def sleeps_until_s(self, at_s: float, step_ms: int = 1_000) -> None:
        """The same where nothing changes that could be seen: nobody looks, and it goes faster."""
        end_ms = BEGIN_MS + round((QUIET_FROM_S + at_s) * 1000)
        self._look_s = ASLEEP_LOOK_S
        while self.now_ms < end_ms:
            self.turn()
            self.now_ms += step_ms
        self._look_s = AWAKE_LOOK_S

    def turn(self) -> None:
        if self.etcd:
            self._lead()
        self.loop.run_until((self.now_ms - BEGIN_MS) / 1000)
        assert self.loop.mishaps == []
        if self.etcd and self.leader:
            fresh = self.desks[self.leader].observed(self.state, self.now_ms)
            self.record([draft for draft in fresh if draft.id not in self._told])

    def _tell(self, fact: Fact, names: dict[str, str]) -> None:
        self.facts.append(fact)
        if not isinstance(fact, FACTS):
            super()._tell(fact, names)

    # -- what came of it

    def messages(self) -> Counter[str]:
        """How many messages each person got."""
        return Counter(one.to for one in self.paged)

    def first(self, to: str, via: str = "") -> float:
        """When somebody got the first message, by a sender or any, in seconds after the fire."""
        return min(one.at_s for one in self.paged if one.to == to and via in ("", one.via))

    def unheard(self) -> list[str]:
        """Pages about incidents that a living lookout wanted, and that reached nobody."""
        return [
            paged.page.what
            for name, desk in self.desks.items()
            for paged in desk.pager.state.pages.values()
            if name not in self.dead and paged.page.cause == INCIDENT and not paged.accepted
        ]
