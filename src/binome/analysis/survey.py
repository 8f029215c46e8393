"""Every single loss and every pair: what is worst for each product, and which pairs are worth telling.

A pair is worth telling where it is worse for a product than either of its losses alone. For an outcome `o`, the single
losses that are at least that bad are known; every pair that one of them is part of is explained by it. What remains
of the pairs that are at least `o` are the ones that only the two together bring about.

Pairs are decided in portions, so that memory stays bounded however many fault domains there are.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, field

from binome.analysis.losses import AT_ONCE, Loss, bits, pairs, singles, union
from binome.analysis.outcome import UNHURT, Evaluation, Levels, Outcome, Platform, outcome_at, worst


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
        _portion(found, portion, alone)
    return found


def _portion(found: Survey, portion: list[Loss], alone: dict[str, Levels]) -> None:
    evaluation = Evaluation(found.platform, portion)
    above = (1 << len(found.platform.domains.above_servers)) - 1
    explained: dict[int, int] = {}
    worse = 0
    for product, single in alone.items():
        levels = evaluation.levels(product)
        found.two[product].meet(levels, portion)
        for level, reasons in zip(levels, single, strict=True):
            reasons &= above  # noqa: PLW2901 - a server's loss alone explains no pair
            if reasons not in explained:
                names = (found.singles.losses.losses[position][0] for position in bits(reasons))
                explained[reasons] = union(evaluation.losses.named(name) for name in names)
            worse |= level & ~explained[reasons]
    found.pairs_tried += len(portion)
    found.worse_pairs.extend(portion[position] for position in bits(worse))
