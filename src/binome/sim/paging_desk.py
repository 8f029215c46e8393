"""Nights of paging in which the pages come from production's desk: servers break, somebody leads or nobody does.

    what is broken ─► verdicts ─► decide, while somebody leads ─► state ─► desk ─► pager     at each of three lookouts
                  └─► each lookout's own view, while nobody leads ──────────┘

Looking and agreeing are the world's, and always right: what is tried here is what lookouts make of it for people, while
they die, forget what was not in their outboxes, lose each other's words, their clocks and their leader. The journal is
one list that everybody reads at once.
"""

from __future__ import annotations

import asyncio
from collections.abc import Mapping, Sequence
from random import Random

from binome.core.alarm import INCIDENT, RESOLVED
from binome.core.decide import decide
from binome.core.entry import Draft, Fact, seal
from binome.core.looking import VerdictsAgreed
from binome.core.quorum import Agreed
from binome.core.state import State
from binome.core.target import targets
from binome.core.verdict import Judged, Verdict
from binome.estate import load
from binome.runtime.desk import Desk
from binome.runtime.pager import Pager
from binome.sim.checkers_of_paging import HEARD_S, Violation
from binome.sim.paging import FAULT_KINDS, FAULTS_S, NAMES, PEOPLE, Fault, Lookout, World
from binome.sim.process import BEGIN_MS

SERVERS = tuple(f"s{number}" for number in range(9))
_PLACES = ", ".join(
    f"{name}: {{site: site-{number % 3}, address: 10.0.0.{number + 10}}}" for number, name in enumerate(SERVERS)
)
_LOOKOUTS = ", ".join(
    f"{name}: {{site: watch-{name}, address: 10.0.0.{number + 1}}}" for number, name in enumerate(NAMES)
)
ESTATE = load(
    f"""
estate: night
sites: {{site-0: {{}}, site-1: {{}}, site-2: {{}}, watch-gra: {{}}, watch-sbg: {{}}, watch-par: {{}}}}
servers: {{{_LOOKOUTS}, {_PLACES}}}
services: {{web: {{kind: http, on: [{", ".join(SERVERS)}], port: 80, health: /}}}}
lookout: {{on: [gra, sbg, par]}}
""".encode()
).model_copy(update={"people": PEOPLE})
OF_SERVER = {name: tuple(one.name for one in targets(ESTATE) if one.server == name) for name in SERVERS}
ALL = tuple(one.name for one in targets(ESTATE))
LOOK_S, PEACE_LOOK_S = 3.0, 15.0
LONG_S = 600.0
"""Of what was open for so long somebody was paged: no lookout is away for longer, and no journal."""
KINDS = (*FAULT_KINDS, "unled", "unled", "unled", "crash")


class DeskWorld(World):
    """One such night."""

    def __init__(self, seed: str, faults: Sequence[Fault], **more: object) -> None:
        """Two sites break, server by server, and servers of the third; half of all that stays so. `more` is World's."""
        self.state = State()
        self.broken: dict[str, int] = {}  # server → since when
        self.said: dict[str, Verdict] = dict.fromkeys(ALL, Verdict.UP)
        self.unled = 0
        self.numbers: dict[str, int] = {}  # page → its incident
        self.named: dict[tuple[str, int, str], set[str]] = {}  # lookout, its life, what → pages of that
        self._lives: dict[str, int] = {}
        self._fate = Random(f"{seed}/servers")
        self._seed = seed
        super().__init__(seed, faults, pages=5, **more)  # type: ignore[arg-type]
        self._record([VerdictsAgreed(dict.fromkeys(ALL, Agreed(Verdict.UP, BEGIN_MS, NAMES)), confirmed=True)])
        self.loop.at(LOOK_S, self._lead)

    def play(self) -> list[Violation]:
        """Lives through the night; what was broken."""
        found = super().play()
        self._acknowledged()
        return [*found, *self._unpaged(), *self._twice(), *self._asked_after_the_end()]

    # -- what breaks

    def _happen(self, number: int) -> None:
        site = SERVERS[number::3] if number < 2 else SERVERS[3 * number - 4 : 3 * number - 3]
        stays = self._fate.random() < 0.5
        for server in site:
            delay_s = self._fate.uniform(0, 25) if len(site) > 1 else 0.0
            self.loop.after(delay_s, self._breaks, server)
            if not stays:
                self.loop.after(delay_s + self._fate.uniform(40, 700), self._repaired, server)

    def _breaks(self, server: str) -> None:
        self.broken[server] = self._now_ms()

    def _repaired(self, server: str) -> None:
        self.broken.pop(server, None)

    def _strike(self, fault: Fault) -> None:
        if fault.kind == "unled":
            self.unled += 1
            self.loop.after(fault.for_s, self._led_again)
        else:
            super()._strike(fault)

    def _led_again(self) -> None:
        self.unled -= 1

    # -- who leads, and what is written down

    def _lead(self) -> None:
        """A turn of whoever leads; the journal takes nothing while nobody does."""
        self.loop.after(self._pause_s(), self._lead)
        if self.unled:
            return
        now = {target: self._verdict(server) for server in SERVERS for target in OF_SERVER[server]}
        fresh = {
            target: Agreed(verdict, self.broken.get(_server_of(target), self._now_ms()), NAMES)
            for target, verdict in now.items()
            if self.said[target] is not verdict
        }
        if fresh:
            self.said |= now
            self._record([VerdictsAgreed(fresh, confirmed=True)])
        for _ in range(50):
            record = decide(ESTATE, self.state, self._now_ms(), generation=1).record
            if not record:
                break
            self._append(record)

    def _record(self, facts: Sequence[Fact]) -> None:
        self._append(
            [
                Draft(f"world/{self.state.head.sequence}/{number}", self._now_ms(), "world", fact)
                for number, fact in enumerate(facts)
            ]
        )

    def _append(self, drafts: Sequence[Draft]) -> None:
        for entry in seal(tuple(drafts), self.state.head, 1):
            self.state.apply(entry)

    def _verdict(self, server: str) -> Verdict:
        return Verdict.DOWN if server in self.broken else Verdict.UP

    def _pause_s(self) -> float:
        """How long whoever looks waits; in peace little changes."""
        return PEACE_LOOK_S if self.history.quiet_s else LOOK_S

    def _now_ms(self) -> int:
        return BEGIN_MS + round(self.loop.now_s * 1000)

    # -- what each lookout has

    def began(self, lookout: Lookout, pager: Pager) -> None:
        """A lookout begins a life, and its desk with it."""
        self._lives[lookout.name] = self._lives.get(lookout.name, 0) + 1
        desk = Desk(
            ESTATE,
            lookout.name,
            pager,
            lookout.clock,
            state=lambda: self.state,
            led=lambda: not self.unled,
            own=self._own,
            heard=lambda: [one.name for one in self.lookouts.values() if one.process is not None],
        )
        asyncio.ensure_future(self._look(lookout, desk))  # noqa: RUF006 - the process owns it, and ends it

    def _own(self) -> Mapping[str, Judged]:
        return {
            target: Judged(self._verdict(_server_of(target)), self.broken.get(_server_of(target), BEGIN_MS))
            for target in ALL
        }

    async def _look(self, lookout: Lookout, desk: Desk) -> None:
        life, before = self._lives[lookout.name], set(desk.pager.state.pages)
        while True:
            desk.look()
            self.numbers |= desk.numbers
            for page, paged in desk.pager.state.pages.items():
                self.history.wanted.setdefault(page, (self.loop.now_s, paged.page))
                if page not in self._by_id:
                    self._by_id[page] = Random(f"{self._seed}/{page}").randrange(len(self._answers))
                if paged.page.cause == INCIDENT and paged.page.stage != RESOLVED and page not in before:
                    key = lookout.name, life, paged.page.what.removeprefix("Unconfirmed: ")
                    self.named.setdefault(key, set()).add(page)
            if not self.unled and lookout.name == self._leader():
                fresh = desk.observed(self.state, self._now_ms())
                self._append(fresh)
            await asyncio.sleep(self._pause_s())

    def _leader(self) -> str:
        return next((one.name for one in self.lookouts.values() if one.pager is not None), "")

    # -- what must hold besides

    def _acknowledged(self) -> None:
        """Who acknowledged one page of an incident is on it, whatever else was paged of it."""
        for page, number in self.numbers.items():
            if self.state.incident.all[number].acknowledged_by:
                self.history.answered.add(page)

    def _unpaged(self) -> list[Violation]:
        paged = {number for page, number in self.numbers.items() if page in self.history.wanted}
        found = []
        for number, one in self.state.incident.all.items():
            lasted_ms = (one.resolved_ms or self._now_ms()) - one.opened_ms
            if lasted_ms >= LONG_S * 1000 and number not in paged:
                found.append(Violation("unpaged", f"incident {number}, {one.cause.name}"))
        return found

    def _asked_after_the_end(self) -> list[Violation]:
        """In peace nobody is asked about what the journal has called over for a while; that it is over may be told."""
        found = []
        for one in self.history.delivered:
            for page, _ in one.steps:
                incident = self.state.incident.all.get(self.numbers.get(page, 0))
                if incident is None or incident.resolved_ms is None or self.history.wanted[page][1].stage == RESOLVED:
                    continue
                over_s = (incident.resolved_ms - BEGIN_MS) / 1000
                if one.at_s > max(over_s, self.history.quiet_s) + HEARD_S + 2 * PEACE_LOOK_S:
                    found.append(Violation("over", f"{incident.cause.name} for {one.person} at {one.at_s:.1f} s"))
        return found

    def _twice(self) -> list[Violation]:
        """One life of a lookout pages one cause under one name, whoever leads meanwhile.

        How it named what it saw alone is forgotten with a life: that is a limit, and docs/incidents.md says so.
        """
        return [
            Violation("twice", f"{what} from {lookout}: {', '.join(sorted(pages))}")
            for (lookout, _, what), pages in self.named.items()
            if len(pages) > 1
        ]


def _server_of(target: str) -> str:
    return target.rpartition("@")[2]


def drawn(seed: str) -> list[Fault]:
    """The bad luck of such a night: there are times without a leader too."""
    chance = Random(f"{seed}/bad luck")
    return [
        Fault(chance.uniform(2, FAULTS_S), chance.choice(KINDS), chance.randrange(12), chance.uniform(2, 120))
        for _ in range(chance.randint(4, 25))
    ]
