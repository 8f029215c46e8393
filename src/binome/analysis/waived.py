"""What acceptances take out of a promise: the effects that an accepted finding is about, and nothing else.

An accepted finding is about some services or links (its subject, or those that stand wholly in its subject) and some
fault domains. What the loss of one of these domains, or of anything that holds it, does to them is known and taken;
what the same loss does to others still counts. Of a registrar it is the names that are lost, of anything else all but
the names. Where an agreement's loss is accepted, so is what it keeps its dependents from doing by themselves.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, field

from binome.analysis.losses import bits, union
from binome.analysis.outcome import (
    Cause,
    Effect,
    Evaluation,
    Levels,
    Outcome,
    Platform,
    levels_of,
    outcome_at,
    worst,
)
from binome.analysis.times import needs_person


@dataclass(frozen=True, slots=True)
class Waived:
    """The fault domains whose effects no longer count, by the service or link, and by whether names are lost."""

    domains: Mapping[tuple[str, bool], frozenset[str]] = field(default_factory=dict)

    def levels(self, evaluation: Evaluation, product: str) -> Levels:
        """The losses that are at least so bad for a product without what is accepted."""
        chains = evaluation.platform.chains(product)
        if not self.domains:
            return evaluation.levels(product)
        return worst(levels_of(self._left(evaluation, name)) for name in chains)

    def singly(self, evaluation: Evaluation, product: str) -> Iterator[tuple[str, Outcome]]:
        """Each fault domain whose loss alone still hurts a product, with the outcome."""
        levels = self.levels(evaluation, product)
        for position in bits(levels[0]):
            yield evaluation.losses.losses[position][0], outcome_at(levels, position)

    def _left(self, evaluation: Evaluation, name: str) -> Iterator[Effect]:
        """The effects on a service or a link that still count."""
        of_names, of_members = self._losses(evaluation, name, True), self._losses(evaluation, name, False)
        service = evaluation.platform.estate.services.get(name)
        agreement = 0
        if service is not None and not needs_person(service):
            for need in service.needs:
                quorum = union(one.lost for one in evaluation.of(need) if one.cause is Cause.NO_QUORUM)
                agreement |= quorum & self._losses(evaluation, need, False)
        for effect in evaluation.of(name):
            taken = of_names if effect.cause is Cause.NO_NAME else of_members
            if effect.cause is Cause.PERSON_STARTS:
                taken |= agreement
            yield Effect(effect.lost & ~taken, effect.cause, effect.subject, effect.outage, effect.loss, effect.backup)

    def _losses(self, evaluation: Evaluation, name: str, of_names: bool) -> int:
        return union(evaluation.losses.named(one) for one in self.domains.get((name, of_names), ()))


def waived(platform: Platform, accepted: Iterable[tuple[tuple[str, ...], tuple[str, ...]]]) -> Waived:
    """What acceptances take out: of each accepted finding the services or links, and the fault domains."""
    domains: dict[tuple[str, bool], frozenset[str]] = {}
    for about, explained in accepted:
        for place in explained:
            of_names = platform.domains.kinds[place] == "registrar"
            for name in about:
                known = domains.get((name, of_names), frozenset())
                domains[name, of_names] = known | {place} | platform.domains.around(place)
    return Waived(domains)
