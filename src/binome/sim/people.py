"""People: they ask a lookout for maintenance, ask again where they got no answer, and remember what they were told.

A person who gets no answer, or a refusal of the journal, asks the next lookout the same thing, under the same name.
Some end what they began before its time.
"""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from random import Random
from typing import TYPE_CHECKING

import msgspec

from binome.core.entry import Draft
from binome.core.maintenance import MaintenanceAsked, MaintenanceEndAsked
from binome.ports import AppendUnknownError, NotLeaderError, StoreError
from binome.sim.history import Acknowledged, Asked
from binome.sim.process import BEGIN_MS

if TYPE_CHECKING:
    from binome.sim.world import World

PATIENCE_S = 4.0
ASK_AGAIN_S = 1.5


class Wish(msgspec.Struct, frozen=True):
    """What one person will want: when, of which server, for how long, and whether to end it early (0: no)."""

    name: str
    at_s: float
    subject: str
    for_s: float
    end_after_s: float
    first_asked: int  # which lookout is asked first


def wishes(seed: str, servers: Sequence[str], from_s: float, until_s: float) -> list[Wish]:
    """What people will want in a night."""
    chance = Random(f"{seed}/people")
    found = []
    for number in range(chance.randint(4, 12)):
        end_after_s = chance.uniform(2, 15) if chance.random() < 0.4 else 0.0
        at_s, for_s = chance.uniform(from_s, until_s), chance.uniform(3, 20)
        found.append(Wish(f"r{number}", at_s, chance.choice(servers), for_s, end_after_s, chance.randrange(100)))
    return _together(found, Random(f"{seed}/people/together"))


def _together(found: list[Wish], chance: Random) -> list[Wish]:
    """Some want several things within one breath, as who sees to a whole rack does."""
    for place in range(1, len(found)):
        if chance.random() < 0.4:
            at_s = found[place - 1].at_s + chance.uniform(0, 0.1)
            found[place] = msgspec.structs.replace(found[place], at_s=at_s)
    return found


async def live(wish: Wish, world: World) -> None:
    """One person's night."""
    await asyncio.sleep(wish.at_s)
    now_ms = BEGIN_MS + int(world.loop.now_s * 1000)
    until_ms = now_ms + int(wish.for_s * 1000)
    begin = MaintenanceAsked(wish.name, wish.subject, until_ms, "new disks", wish.name)
    await ask(Draft(f"asked/{wish.name}", now_ms, "person", begin), wish.first_asked, world)
    if wish.end_after_s:
        await asyncio.sleep(wish.end_after_s)
        now_ms = BEGIN_MS + int(world.loop.now_s * 1000)
        end = MaintenanceEndAsked(f"{wish.name}-end", wish.subject, wish.name)
        await ask(Draft(f"asked/{wish.name}-end", now_ms, "person", end), wish.first_asked, world)


async def ask(draft: Draft, first_asked: int, world: World) -> None:
    """Asks until somebody says that the request is durable."""
    world.history.add(Asked(draft))
    turn = first_asked
    while True:
        node = world.nodes[turn % len(world.nodes)]
        if await _asked(draft, node.submit(draft)):
            world.history.add(Acknowledged(draft.id))
            world.acknowledged.add(draft.id)
            return
        turn += 1
        await asyncio.sleep(ASK_AGAIN_S)


async def _asked(draft: Draft, answer: asyncio.Future[BaseException | None]) -> bool:
    try:
        async with asyncio.timeout(PATIENCE_S):
            error = await answer
    except TimeoutError:
        return False
    if error is None:
        return True
    if isinstance(error, (AppendUnknownError, StoreError, NotLeaderError, ConnectionError)):
        return False
    raise error
