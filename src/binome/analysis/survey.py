"""Every single loss and every pair: what is worst for each product, and which pairs are worth telling.

A pair is worth telling where it is worse for a product than either of its losses alone: by its outcome, by a longer
outage or by more data lost. All three are *grades*: for any grade, a worse outcome or a longer time, the single losses
that reach it are known; every pair that one of them is part of is explained by it. What remains of the pairs that
reach the grade are the ones that only the two together bring about.

Pairs are decided in portions, so that memory stays bounded however many fault domains there are.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from math import inf

from binome.analysis.losses import AT_ONCE, Loss, bits, pairs, singles, union
from binome.analysis.outcome import UNHURT, Effect, Evaluation, Levels, Outcome, Platform, outcome_at, worst


@dataclass(slots=True)
class Worst:
    """The worst that was found for a product, and the first loss that brings it about."""

    outcome: Outcome = Outcome.UP
    loss: Loss | None = None

    def meet(self, levels: Levels, losses: list[Loss]) -> None:
        """Takes note of some more losses."""
        outcome = Outcome(sum(1 for level in levels if level))
        if outcome > self.outcome:
            level = levels[outcome - 1]
            self.outcome, self.loss = outcome, losses[(level & -level).bit_length() - 1]


@dataclass(slots=True)
class Survey:
    """What every single loss and every pair does."""

    platform: Platform
    singles: Evaluation
    pairs_tried: int = 0
    worse_pairs: list[Loss] = field(default_factory=list)
    one: dict[str, Worst] = field(default_factory=dict)
    two: dict[str, Worst] = field(default_factory=dict)
    _worst: Levels = UNHURT

    @property
    def tried(self) -> int:
        """How many losses were tried."""
        return len(self.singles.losses.losses) + self.pairs_tried

    def survives_one(self, product: str) -> bool:
        """Whether it goes on by itself whatever single fault domain is lost."""
        return self.one[product].outcome.goes_on

    def survives_two(self, product: str) -> bool:
        """Whether it goes on by itself whatever two fault domains above the server are lost."""
        return self.survives_one(product) and self.two[product].outcome.goes_on

    def outcome_of(self, domain: str) -> Outcome:
        """The worst that the loss of one fault domain does to any product."""
        bit = self.singles.losses.named(domain)
        return Outcome(sum(1 for level in self._worst if level & bit))

    def alone(self, product: str, domain: str) -> Outcome:
        """What the loss of one fault domain does to a product."""
        bit = self.singles.losses.named(domain)
        return Outcome(sum(1 for level in self.singles.levels(product) if level & bit))

    def singly(self, product: str) -> Iterator[tuple[str, Outcome]]:
        """Each fault domain whose loss alone hurts a product, with the outcome."""
        levels = self.singles.levels(product)
        for position in bits(levels[0]):
            yield self.singles.losses.losses[position][0], outcome_at(levels, position)


@dataclass(slots=True)
class Worse:
    """The pairs that are worse for a product than either loss alone: `levels` by outcome, each with the grade that only
    the two reach; `longer` by their outage; `costlier` by the data that they lose."""

    levels: Levels = UNHURT
    longer: int = 0
    costlier: int = 0

    @property
    def any(self) -> int:
        """The pairs that are worse in any way."""
        return self.levels[0] | self.levels[1] | self.levels[2] | self.levels[3] | self.longer | self.costlier


def survey(platform: Platform, at_once: int = AT_ONCE) -> Survey:
    """Tries every single loss and every pair, `at_once` pairs in one step."""
    every = singles(platform.domains)
    evaluation = Evaluation(platform, every)
    alone = {product: evaluation.levels(product) for product in platform.products}
    found = Survey(platform, evaluation, _worst=worst(alone.values()))
    for product, levels in alone.items():
        found.one[product] = Worst()
        found.one[product].meet(levels, every)
        found.two[product] = Worst(
            found.one[product].outcome if len(platform.domains.above_servers) < 2 else Outcome.UP
        )
    for portion in pairs(platform.domains, at_once):
        _portion(found, portion)
    return found


def together(found: Survey, evaluation: Evaluation) -> dict[str, Worse]:
    """Of some pairs, for each product: those that are worse than either of their losses alone."""
    longer = _higher(found, evaluation, lambda effect: effect.outage.seconds)
    costlier = _higher(found, evaluation, lambda effect: effect.loss.seconds)
    return {
        product: Worse(levels, longer.get(product, 0), costlier.get(product, 0))
        for product, levels in _by_outcome(found, evaluation)
    }


def _above(found: Survey) -> int:
    """The first of the single losses: no pair names a server."""
    return (1 << len(found.platform.domains.above_servers)) - 1


def _explained(found: Survey, evaluation: Evaluation, reasons: int) -> int:
    """The pairs that one of the single losses `reasons` is part of."""
    return union(evaluation.losses.named(found.singles.losses.losses[position][0]) for position in bits(reasons))


def _by_outcome(found: Survey, evaluation: Evaluation) -> Iterator[tuple[str, Levels]]:
    above = _above(found)
    explained: dict[int, int] = {}
    for product in found.platform.products:
        beyond = []
        for level, alone in zip(evaluation.levels(product), found.singles.levels(product), strict=True):
            reasons = alone & above
            if reasons not in explained:
                explained[reasons] = _explained(found, evaluation, reasons)
            beyond.append(level & ~explained[reasons])
        yield product, (beyond[0], beyond[1], beyond[2], beyond[3])


class _Ladder:
    """The times of some losses, and for each time the losses in which a service, or what it needs, takes as long."""

    def __init__(self, evaluation: Evaluation, time_of: Callable[[Effect], float | None]) -> None:
        every = ((name, evaluation.platform.needs(name)) for name in evaluation.platform.order)
        self._needs = [(name, needs) for name, needs in every if needs]
        self._own: dict[float, dict[str, int]] = {}
        for name in (*evaluation.platform.estate.links, *evaluation.platform.order):
            for effect in evaluation.of(name):
                seconds = time_of(effect)
                if seconds != 0:
                    here = self._own.setdefault(inf if seconds is None else seconds, {})
                    here[name] = here.get(name, 0) | effect.lost

    @property
    def rungs(self) -> set[float]:
        """Every time but none at all; unknown is infinite."""
        return set(self._own)

    def at(self, seconds: float) -> dict[str, int]:
        """The losses that take just so long, of each service and link that has any."""
        found = self._own.get(seconds, {})
        if found:
            for name, needs in self._needs:
                for need in needs:
                    if need in found:
                        found[name] = found.get(name, 0) | found[need]
        return found


def _higher(found: Survey, evaluation: Evaluation, time_of: Callable[[Effect], float | None]) -> dict[str, int]:
    """For each product the pairs whose time is longer than with either of their losses alone; unknown is longest."""
    above, products = _above(found), found.platform.products
    alone, both = _Ladder(found.singles, time_of), _Ladder(evaluation, time_of)
    reasons, explained, higher = dict.fromkeys(products, 0), dict.fromkeys(products, 0), dict.fromkeys(products, 0)
    for seconds in sorted(alone.rungs | both.rungs, reverse=True):
        single, double = alone.at(seconds), both.at(seconds)
        for product, needs in products.items():
            new = above & ~reasons[product] & union(single[need] for need in needs if need in single)
            if new:
                reasons[product] |= new
                explained[product] |= _explained(found, evaluation, new)
            higher[product] |= union(double[need] for need in needs if need in double) & ~explained[product]
    return higher


def _portion(found: Survey, portion: list[Loss]) -> None:
    evaluation = Evaluation(found.platform, portion)
    worse = 0
    for product, beyond in together(found, evaluation).items():
        found.two[product].meet(evaluation.levels(product), portion)
        worse |= beyond.any
    found.pairs_tried += len(portion)
    found.worse_pairs.extend(portion[position] for position in bits(worse))
