"""What a fault is, and what a kind of fault must say of itself."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING, NamedTuple

import msgspec

if TYPE_CHECKING:
    from binome.sim.world import World

BEGIN_S, END_S = 6.0, 66.0
"""Faults come and go in this time; afterwards there are none."""


class Fault(msgspec.Struct, frozen=True, order=True):
    """One fault. Seconds of the world's time; what `value` means is the kind's to say."""

    at_s: float
    kind: str
    target: str
    for_s: float
    value: float = 0.0

    def __str__(self) -> str:
        end = f" for {self.for_s:.2f} s" if self.for_s else ""
        return f"{self.at_s:7.2f} s  {self.kind:<20} {self.target:<12}{end}  {self.value:g}"


End = Callable[[], None]


class Kind(NamedTuple):
    """A kind of fault: how it begins, what it can be aimed at, how often at most, how long, and with what value."""

    begin: Callable[[World, Fault], End | None]
    targets: str
    at_most: int
    for_s: tuple[float, float]
    values: tuple[float, ...] = (0.0,)


class Targets(NamedTuple):
    """What a night has that faults can be aimed at."""

    sites: Sequence[str]
    nodes: Sequence[str]
    servers: Sequence[str]
    looked_at: Sequence[str] = ()  # what lookouts look at, themselves left out
    vantages: Sequence[str] = ()  # the lookouts that look
    together: Sequence[str] = ()  # lookouts that one fault could blind, as `one+other`
    pair: Sequence[str] = ()  # the databases of two servers
    plans: Sequence[str] = ()  # what plans are called, in nights that are written down
    goes_by_clocks: bool = False  # people name times of day: a clock that stays wrong would make them mean others

    def of(self, kind: Kind) -> list[str]:
        """What a kind can be aimed at."""
        match kind.targets:
            case "links":
                return [f"{one}>{other}" for one in self.sites for other in self.sites if one != other]
            case "members":
                return [f"etcd-{site}" for site in self.sites]
            case "etcd" | "any":
                return [kind.targets]
            case name:
                return list(getattr(self, name))
