"""The answer as plain data, with the stable names that other tools read; docs/check.md describes them.

Every single loss is listed; a pair only where it is worse for a product than either of its losses alone. A loss
lists every product. Where a file names no products its services stand for them, and there may be thousands: a single
loss lists those that it hurts or costs data, a pair those that it makes worse by itself and not through what they need.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from typing import Any

from binome.analysis.explain import because
from binome.analysis.findings import Finding
from binome.analysis.losses import Loss, union
from binome.analysis.outcome import UNTOUCHED, Detail, Effect, Evaluation, Platform, details
from binome.analysis.survey import Survey, together


def as_json(survey: Survey, findings: Sequence[Finding], asked: Loss | None = None) -> dict[str, Any]:
    """The whole answer; with `asked`, of that one loss only."""
    platform = survey.platform
    if asked is None:
        losses = [*losses_of(survey.singles), *_pairs(survey)]
    else:
        losses = list(losses_of(Evaluation(platform, [asked])))
    return {
        "estate": platform.estate.estate,
        "losses": losses,
        "findings": [_finding(finding) for finding in findings],
        "summary": {
            "losses_tried": survey.tried,
            "products": {
                product: {
                    "survives_one": survey.survives_one(product),
                    "survives_two": survey.survives_two(product),
                    "worst_one": str(survey.one[product].outcome),
                    "worst_two": str(survey.two[product].outcome),
                }
                for product in platform.products
            },
        },
    }


def losses_of(evaluation: Evaluation, among: Mapping[str, int] | None = None) -> Iterator[dict[str, Any]]:
    """Each loss of an evaluation, with what it does to the products; of services the losses that are in `among`."""
    platform = evaluation.platform
    everything = bool(platform.estate.products)
    by_loss: dict[int, dict[str, Detail]] = {}
    for product in platform.products:
        hurt = (among or {}).get(product, evaluation.hurt(product))
        for position, detail in details(evaluation, product, -1 if everything else hurt).items():
            by_loss.setdefault(position, {})[product] = detail
    for position, loss in enumerate(evaluation.losses.losses):
        here, said = by_loss.get(position, {}), dict[Effect, str]()
        products = platform.products if everything else here
        yield {
            "domains": list(loss),
            "products": {
                product: _detail(platform, product, here.get(product, UNTOUCHED), loss, said) for product in products
            },
        }


def _pairs(survey: Survey) -> Iterator[dict[str, Any]]:
    pairs = Evaluation(survey.platform, survey.worse_pairs)
    beyond = {product: worse.any for product, worse in together(survey, pairs).items()}
    if not survey.platform.estate.products:
        beyond = {
            name: positions & union(effect.lost for effect in pairs.of(name)) for name, positions in beyond.items()
        }
    return losses_of(pairs, beyond)


def _detail(platform: Platform, product: str, detail: Detail, loss: Loss, said: dict[Effect, str]) -> dict[str, Any]:
    return {
        "outcome": str(detail.outcome),
        "outage_s": detail.outage_s,
        "loss_s": detail.loss_s,
        "because": because(platform, product, detail, loss, said),
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
