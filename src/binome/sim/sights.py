"""What there is to see in a night: which targets live, and what each lookout's eyes make of it.

A look is a question to the target's site and an answer back, over the modelled links. Who is alive answers, as far as
links let him; the eye then may lie, be late, or be unsteady. A probe knows nothing of that: it is the production
prober's probe of every kind.
"""

from __future__ import annotations

import asyncio
from collections import Counter
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from random import Random

from binome.core.target import Answer, Target, targets
from binome.estate import Estate
from binome.ports import Finding
from binome.sim.network import Network
from binome.sim.process import current

KNOCK_S = 0.2


@dataclass(slots=True)
class Eye:
    """What is wrong with one lookout's sight. Counters, so that two faults do not end each other."""

    chance: Random
    says: Counter[Answer] = field(default_factory=Counter)  # it sees nothing else, whatever there is
    unsteady: int = 0
    late_s: float = 0.0

    def sees(self, answer: Answer) -> Answer:
        """What it makes of an answer, or of none."""
        for said in (Answer.DOWN, Answer.UP):
            if self.says[said] > 0:
                return said
        if self.unsteady and self.chance.random() < 0.5:
            return Answer.DOWN if answer is Answer.UP else Answer.UP
        return answer


class Sights:
    """All that can be looked at. `is_down` says of a lookout's machine whether it has no power."""

    def __init__(
        self,
        estate: Estate,
        network: Network,
        site_of: Callable[[str], str],
        chance: Callable[[str], Random],
        is_down: Callable[[str], bool],
    ) -> None:
        self.downs: Counter[str] = Counter()  # targets, servers and sites, each by how many faults hold it
        self.network = network
        self.eyes = {name: Eye(chance(f"eye/{name}")) for name in (estate.lookout.on if estate.lookout else ())}
        self.targets: Mapping[str, Target] = {target.name: target for target in targets(estate)}
        self._site_of, self._is_down = site_of, is_down
        self._server_at = {server.address: name for name, server in estate.servers.items()}
        self._down_services: Callable[[str], bool] = lambda _target: False

    def watch_services(self, is_down: Callable[[str], bool]) -> None:
        """Lets a model of a service say of its own targets whether they are down."""
        self._down_services = is_down

    def alive(self, server: str) -> bool:
        """Whether a server has power, and its site has."""
        return not (self.downs[server] or self.downs[self._site_of(server)] or self._is_down(server))

    def works(self, target: Target) -> bool:
        """Whether a target answers who reaches it."""
        return self.alive(target.server) and not self.downs[target.name] and not self._down_services(target.name)

    async def ask(self, site: str, server: str, within_s: float, answers: Callable[[], bool]) -> bool:
        """A question from a site to a server: whether an answer came in time."""
        current()
        answer: asyncio.Future[bool] = asyncio.get_running_loop().create_future()
        there = self._site_of(server)

        def settle(came: bool) -> None:
            if not answer.done():
                answer.set_result(came)

        def arrive() -> None:
            if answers():
                self.network.request(there, site, lambda: settle(True))

        self.network.request(site, there, arrive)
        timer = asyncio.get_running_loop().call_later(within_s, settle, False)
        try:
            return await answer
        finally:
            timer.cancel()

    async def knock(self, site: str, address: str) -> bool:
        """Whether a host lives, as `runtime.knock` asks."""
        server = self._server_at[address]
        return await self.ask(site, server, KNOCK_S, lambda: self.alive(server))


class SimulatedProbe:
    """A lookout's probe of any kind."""

    def __init__(self, name: str, site: str, sights: Sights) -> None:
        self._site, self._sights, self._eye = site, sights, sights.eyes[name]

    async def look(self, target: Target) -> Finding:
        """Asks, and tells what the eye makes of the answer."""
        late_s, within_s = self._eye.late_s, target.timeout_ms / 1000
        if late_s:
            await asyncio.sleep(min(late_s, within_s))
        left_s = within_s - late_s
        came = left_s > 0 and await self._sights.ask(
            self._site, target.server, left_s, lambda: self._sights.works(target)
        )
        answer = self._eye.sees(Answer.UP if came else Answer.DOWN)
        return Finding(answer, "well" if answer is Answer.UP else "no answer", 0.0)
