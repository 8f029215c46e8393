"""The network: links between sites, each direction with a character of its own.

A message is late, lost, doubled, or overtaken by another. A *stream* is what TCP makes of that: in order, nothing
lost, late instead; a cut breaks it. Faults add to a link's delay, loss and cuts and take away again what they added, so
that two faults on one link do not end each other.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from random import Random

from binome.sim.loop import SimulationLoop

LOCAL_S = 0.0002
"""A message within one site."""


@dataclass(slots=True)
class Link:
    """One direction between two sites. Times in seconds, shares of messages between 0 and 1."""

    chance: Random
    delay_s: float
    jitter_s: float = 0.001
    slow_s: float = 0.0
    loss: float = 0.0
    doubled: float = 0.0
    cuts: int = 0

    @property
    def up(self) -> bool:
        """Whether anything gets through."""
        return self.cuts == 0

    def delays_s(self) -> list[float]:
        """When a message arrives, counted from now: never, once or twice."""
        if self.cuts or (self.loss and self.chance.random() < self.loss):
            return []
        copies = 2 if self.doubled and self.chance.random() < self.doubled else 1
        return [self.travel_s() for _ in range(copies)]

    def travel_s(self) -> float:
        """How long one message takes that is not lost."""
        slow_s = self.slow_s * self.chance.random() if self.slow_s else 0.0
        return self.delay_s + self.jitter_s * self.chance.random() + slow_s


class Network:
    """All links. `generator` gives each link the chance of its own."""

    def __init__(self, loop: SimulationLoop, sites: list[str], generator: Callable[[str], Random]) -> None:
        self.loop = loop
        self.links: dict[tuple[str, str], Link] = {}
        for source in sites:
            for target in sites:
                chance = generator(f"link/{source}/{target}")
                delay_s = LOCAL_S if source == target else 0.002 + 0.008 * chance.random()
                self.links[source, target] = Link(chance, delay_s)

    def send(self, source: str, target: str, deliver: Callable[[], None]) -> None:
        """A message of its own: what happens to it is the link's to say."""
        for delay_s in self.links[source, target].delays_s():
            self.loop.after(delay_s, deliver)

    def request(self, source: str, target: str, deliver: Callable[[], None]) -> None:
        """A message over TCP: never doubled; lost only with the connection."""
        for delay_s in self.links[source, target].delays_s()[:1]:
            self.loop.after(delay_s, deliver)

    def both_ways(self, one: str, other: str) -> bool:
        """Whether two sites can have a conversation."""
        return self.links[one, other].up and self.links[other, one].up

    def round_trip_s(self, one: str, other: str) -> float:
        """How long a question and its answer take just now."""
        return self.links[one, other].travel_s() + self.links[other, one].travel_s()
