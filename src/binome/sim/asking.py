"""People who are asked to confirm a takeover, and others who want a database moved.

Some say yes at once, some late, some twice, some never; who has a code of an earlier loss may say that one first, by
mistake. Whatever they say is a request as any other (people.py), and its id is new each time: only the code tells.
"""

from __future__ import annotations

import asyncio
from random import Random
from typing import TYPE_CHECKING

import msgspec

from binome.core.entry import Draft
from binome.core.takeover import SwitchoverAsked, TakeoverAsked
from binome.sim.fault import BEGIN_S, END_S
from binome.sim.history import Agreed, Event
from binome.sim.people import ask
from binome.sim.process import BEGIN_MS

if TYPE_CHECKING:
    from binome.sim.world import World

SERVICE = "db"


class Mood(msgspec.Struct, frozen=True):
    """What people are like in a night: how they answer a page, and what they want of themselves, when."""

    answers: str  # at once, late, twice, never
    uses_old_codes: bool
    attests_s: tuple[float, ...]  # somebody takes over by the command, without a code
    switches: tuple[tuple[float, str], ...]  # when, and to which member


def mood(seed: str, members: list[str]) -> Mood:
    """What they are like in a seed's night."""
    chance = Random(f"{seed}/asking")
    switches = [
        (round(chance.uniform(BEGIN_S, END_S - 8), 3), chance.choice([*members, ""]))
        for _ in range(chance.randint(0, 3))
    ]
    attests = [round(chance.uniform(BEGIN_S, END_S - 8), 3) for _ in range(chance.choice((0, 0, 1)))]
    answers = chance.choice(("at once", "late", "twice", "never"))
    return Mood(answers, chance.random() < 0.5, tuple(attests), tuple(switches))


class People:
    """The people of a night. `mood` says what they are like."""

    def __init__(self, mood: Mood, world: World, chance: Random) -> None:
        self._mood, self._world, self._chance = mood, world, chance
        self._codes: list[str] = []
        self._asked = 0
        world.history.watchers.append(self._reads)
        for at_s in mood.attests_s:
            world.loop.at(at_s, self._takeover, "", "attested")
        for at_s, to in mood.switches:
            world.loop.at(at_s, self._switch, to)

    def _reads(self, event: Event) -> None:
        """Somebody gets the page that asks for a yes."""
        if not isinstance(event, Agreed):
            return
        for entry in event.entries:
            fact = msgspec.json.decode(entry.fact)
            if fact["kind"] == "takeover-wanted" and fact["code"] not in self._codes:
                self._answer(fact["code"])
                self._codes.append(fact["code"])

    def _answer(self, code: str) -> None:
        chance, after = self._chance, self._world.loop.after
        if self._mood.uses_old_codes and self._codes:
            after(chance.uniform(0.2, 1), self._takeover, self._codes[-1], "an old code")
        match self._mood.answers:
            case "at once":
                after(chance.uniform(0.5, 2), self._takeover, code, "a yes")
            case "late":
                after(chance.uniform(8, 25), self._takeover, code, "a late yes")
            case "twice":
                for _ in range(2):
                    after(chance.uniform(0.5, 4), self._takeover, code, "a yes of two")

    def _takeover(self, code: str, said: str) -> None:
        name = self._named(said)
        self._ask(name, TakeoverAsked(name, SERVICE, "ada", code))

    def _switch(self, to: str) -> None:
        name = self._named("a switchover")
        self._ask(name, SwitchoverAsked(name, SERVICE, to, "grace"))

    def _named(self, said: str) -> str:
        self._world.history.note(f"asked: {said}")
        self._asked += 1
        return f"q{self._asked}"

    def _ask(self, name: str, fact: TakeoverAsked | SwitchoverAsked) -> None:
        if self._world.loop.now_s > END_S - 2:
            return
        self._world.wanted += 1
        draft = Draft(f"asked/{name}", BEGIN_MS + int(self._world.loop.now_s * 1000), "person", fact)
        self._world.loop.spawn(None, self._asks(draft))

    async def _asks(self, draft: Draft) -> None:
        await asyncio.sleep(0)
        await ask(draft, self._chance.randrange(100), self._world)
