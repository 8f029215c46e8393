"""The answer as JSON text, with the stable names that other tools read; docs/check.md describes them.

Every single loss is listed; a pair only where it is worse for a product than either of its losses alone. A loss lists
the products that it touches. Where a file names no products its services stand for them, and there may be thousands:
a single loss lists those that it hurts or costs data, a pair those that it makes worse by itself and not through what
they need, each with fewer reasons.

The text comes in parts, a line a product, so that no answer is held as a whole. What the products of a loss have in
common is put into words once.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from binome.analysis.explain import sentence
from binome.analysis.findings import Finding
from binome.analysis.losses import Loss, bits, bitset, union
from binome.analysis.outcome import Effect, Evaluation, Platform, outcome_at
from binome.analysis.survey import Survey, together

MOST_REASONS = 12
"""How many reasons a product has in a loss."""

MOST_REASONS_OF_A_SERVICE = 2
"""The same where services stand for themselves: each of a thousand is a reason already."""


@dataclass(frozen=True, slots=True)
class _Touched:
    """What a loss does to a product: the worst `effects` of it, and whether there are more."""

    outcome: str
    outage_s: float | None
    loss_s: float | None
    effects: Sequence[Effect]
    more: bool


def as_json(survey: Survey, findings: Sequence[Finding], asked: Loss | None = None) -> Iterator[str]:
    """The whole answer, in parts; with `asked`, of that one loss only."""
    platform = survey.platform
    yield f'{{\n"estate": {_text(platform.estate.estate)},\n"losses": ['
    yield from _joined(_every_loss(survey) if asked is None else _losses(Evaluation(platform, [asked])))
    yield '],\n"findings": ['
    yield from _joined([_text(_finding(finding))] for finding in findings)
    yield f'],\n"summary": {{"losses_tried": {survey.tried}, "products": {{'
    yield from _joined([f"{_text(product)}: {_text(_summary(survey, product))}"] for product in platform.products)
    yield "}}\n}\n"


_text: Callable[[Any], str] = json.JSONEncoder(ensure_ascii=False).encode


def _joined(entries: Iterable[Iterable[str]]) -> Iterator[str]:
    """Entries of a list or an object, each on lines of its own."""
    before = "\n"
    for entry in entries:
        yield before
        yield from entry
        before = ",\n"
    yield "\n" if before == ",\n" else ""


def _every_loss(survey: Survey) -> Iterator[Iterator[str]]:
    yield from _losses(survey.singles)
    pairs = Evaluation(survey.platform, survey.worse_pairs)
    beyond = {product: worse.any for product, worse in together(survey, pairs).items()}
    if not survey.platform.estate.products:
        beyond = {
            name: positions & union(effect.lost for effect in pairs.of(name)) for name, positions in beyond.items()
        }
    yield from _losses(pairs, beyond)


def _losses(evaluation: Evaluation, among: Mapping[str, int] | None = None) -> Iterator[Iterator[str]]:
    """Each loss of an evaluation, with what it does to the products; of services the losses that are in `among`."""
    platform = evaluation.platform
    everything = bool(platform.estate.products)
    most = MOST_REASONS if everything else MOST_REASONS_OF_A_SERVICE
    by_loss: dict[int, dict[str, _Touched]] = {}
    for product in platform.products:
        hurt = (among or {}).get(product, evaluation.hurt(product))
        for position, touched in _touched(evaluation, product, -1 if everything else hurt, most):
            by_loss.setdefault(position, {})[product] = touched
    for position, loss in enumerate(evaluation.losses.losses):
        yield _loss(platform, loss, by_loss.pop(position, {}))


def _loss(platform: Platform, loss: Loss, products: Mapping[str, _Touched]) -> Iterator[str]:
    said: dict[Effect, str] = {}
    yield f'{{"domains": {_text(list(loss))}, "products": {{'
    yield from _joined(
        [f"  {_text(product)}: {_text(_product(platform, product, touched, loss, said))}"]
        for product, touched in products.items()
    )
    yield "}}"


def _touched(evaluation: Evaluation, product: str, among: int, most: int) -> Iterator[tuple[int, _Touched]]:
    """What each loss (of those in `among`) that touches a product does to it, with its `most` worst effects."""
    effects, levels = evaluation.effects(product), evaluation.levels(product)
    reasons: dict[int, list[Effect]] = {}
    more = full = 0
    for effect in effects:
        here = effect.lost & among
        more |= here & full
        filled = []
        for position in bits(here & ~full):
            known = reasons.setdefault(position, [])
            known.append(effect)
            if len(known) == most:
                filled.append(position)
        full |= bitset(filled) if filled else 0
    outages = _longest((effect.outage.seconds, effect.lost & among) for effect in effects)
    losses = _longest((effect.loss.seconds, effect.lost & among) for effect in effects)
    for position, known in reasons.items():
        outcome = str(outcome_at(levels, position))
        beyond = bool(more >> position & 1)
        yield position, _Touched(outcome, outages[position], losses[position], known, beyond)


def _longest(times: Iterable[tuple[float | None, int]]) -> dict[int, float | None]:
    """The longest time of each loss in seconds; unknown if any is."""
    masks: dict[float | None, int] = {}
    for seconds, lost in times:
        masks[seconds] = masks.get(seconds, 0) | lost
    found: dict[int, float | None] = {}
    done = 0
    for seconds in sorted(masks, key=lambda one: float("inf") if one is None else one, reverse=True):
        found.update(dict.fromkeys(bits(masks[seconds] & ~done), seconds))
        done |= masks[seconds]
    return found


def _product(
    platform: Platform, product: str, touched: _Touched, loss: Loss, said: dict[Effect, str]
) -> dict[str, Any]:
    """One sentence an effect, worst first, with the chain to it; `said` keeps those that the loss's products share."""
    chains = platform.chains(product)
    because = []
    for effect in touched.effects:
        if effect not in said:
            said[effect] = sentence(platform, effect.subject, [effect], loss)
        because.append(f"{' → '.join(chains[effect.subject])}: {said[effect]}")
    if touched.more:
        because.append("and more")
    return {
        "outcome": touched.outcome,
        "outage_s": touched.outage_s,
        "loss_s": touched.loss_s,
        "because": because,
    }


def _summary(survey: Survey, product: str) -> dict[str, Any]:
    return {
        "survives_one": survey.survives_one(product),
        "survives_two": survey.survives_two(product),
        "worst_one": str(survey.one[product].outcome),
        "worst_two": str(survey.two[product].outcome),
    }


def _finding(finding: Finding) -> dict[str, Any]:
    found = finding.found
    return {
        "rule": finding.rule,
        "severity": str(found.severity),
        "subject": found.subject,
        "place": {"line": finding.place.line, "column": finding.place.column},
        "message": found.message,
        "remedy": str(found.remedy),
        "accepted": not finding.counts,
    }
