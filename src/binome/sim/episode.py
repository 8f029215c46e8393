"""Episodes: a seed's night, twice; and the shrinking of a schedule that breaks an invariant.

Shrinking is delta debugging: halves of the schedule are left out, then quarters, until no single fault can be left out
without the same invariant holding again; then faults are made shorter.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence

import msgspec

from binome.sim.checkers import Violation, check
from binome.sim.fault import Fault
from binome.sim.faults import schedule
from binome.sim.history import History
from binome.sim.shape import Shape
from binome.sim.world import night


class Episode(msgspec.Struct, frozen=True):
    """What came of a seed."""

    seed: str
    faults: tuple[Fault, ...]
    violations: tuple[Violation, ...]
    digest: str
    virtual_s: float
    seen: dict[str, int]


def play(seed: str, faults: Sequence[Fault] | None = None, *, twice: bool = True) -> Episode:
    """Lives through a night, of the seed's own schedule or another; one that passes in two ways is a violation."""
    chosen = tuple(schedule(seed, Shape(seed).targets) if faults is None else faults)
    history = night(seed, chosen)
    violations = check(history)
    if twice and night(seed, chosen).digest() != history.digest():
        violations.append(Violation("determinism", 0.0, "the same night passed in two ways"))
    return Episode(seed, chosen, tuple(violations), history.digest(), history.loop.now_s, _seen(history))


def _seen(history: History) -> dict[str, int]:
    """How often each situation came up, and each kind of event."""
    seen = dict(history.seen)
    for _, event in history.events:
        name = f"event: {type(event).__name__}"
        seen[name] = seen.get(name, 0) + 1
    return seen


def shrink(seed: str, faults: Sequence[Fault], invariant: str, attempts: int = 80) -> tuple[Fault, ...]:
    """The least of a schedule that still breaks the invariant, as far as so many attempts find it."""
    left = attempts

    def breaks(candidate: Sequence[Fault]) -> bool:
        nonlocal left
        left -= 1
        return any(one.invariant == invariant for one in play(seed, candidate, twice=False).violations)

    least = minimal(list(faults), lambda candidate: left > 0 and breaks(candidate))
    for place, fault in enumerate(least):
        shorter = msgspec.structs.replace(fault, for_s=round(fault.for_s / 4, 3))
        candidate = [*least[:place], shorter, *least[place + 1 :]]
        if fault.for_s and left > 0 and breaks(candidate):
            least = candidate
    return tuple(least)


def minimal(items: list[Fault], breaks: Callable[[Sequence[Fault]], bool]) -> list[Fault]:
    """Delta debugging: a part of `items` that still breaks, and of which no piece can be left out."""
    if breaks([]):
        return []
    pieces = 2
    while len(items) >= 2:
        size = -(-len(items) // pieces)
        for begin in range(0, len(items), size):
            without = items[:begin] + items[begin + size :]
            if breaks(without):
                items, pieces = without, max(2, pieces - 1)
                break
        else:
            if size == 1:
                break
            pieces = min(len(items), pieces * 2)
    return items
