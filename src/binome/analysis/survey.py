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
        _portion(found, portion)
    return found


def together(found: Survey, evaluation: Evaluation) -> Iterator[tuple[str, Levels]]:
    """Of some pairs, for each product: those that are at least so bad, while neither of their losses alone is."""
    above = (
        1 << len(found.platform.domains.above_servers)
    ) - 1  # the first of the single losses; no pair names a server
    explained: dict[int, int] = {}
    for product in found.platform.products:
        beyond = []
        for level, alone in zip(evaluation.levels(product), found.singles.levels(product), strict=True):
            reasons = alone & above
            if reasons not in explained:
                names = (found.singles.losses.losses[position][0] for position in bits(reasons))
                explained[reasons] = union(evaluation.losses.named(name) for name in names)
            beyond.append(level & ~explained[reasons])
        yield product, (beyond[0], beyond[1], beyond[2], beyond[3])


def _portion(found: Survey, portion: list[Loss]) -> None:
    evaluation = Evaluation(found.platform, portion)
    worse = 0
    for product, beyond in together(found, evaluation):
        found.two[product].meet(evaluation.levels(product), portion)
        worse |= union(beyond)
    found.pairs_tried += len(portion)
    found.worse_pairs.extend(portion[position] for position in bits(worse))
