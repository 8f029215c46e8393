"""The answer as plain data, with the stable names that other tools read; docs/check.md describes them.

Every single loss is listed; a pair only where it is worse for a product than either of its losses alone. A loss
lists every product. Where a file names no products its services stand for them: of thousands a loss hurts few, so
those that are not listed are up.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Any

from binome.analysis.explain import because
from binome.analysis.findings import Finding
from binome.analysis.losses import Loss
from binome.analysis.outcome import UNTOUCHED, Detail, Evaluation, Platform, details
from binome.analysis.survey import Survey


def as_json(survey: Survey, findings: Sequence[Finding], asked: Loss | None = None) -> dict[str, Any]:
    """The whole answer; with `asked`, of that one loss only."""
    platform = survey.platform
    every = [survey.singles, Evaluation(platform, survey.worse_pairs)]
    if asked is not None:
        every = [Evaluation(platform, [asked])]
    return {
        "estate": platform.estate.estate,
        "losses": [loss for evaluation in every for loss in losses_of(evaluation)],
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


def losses_of(evaluation: Evaluation) -> Iterator[dict[str, Any]]:
    """Each loss of an evaluation, with what it does to the products."""
    platform = evaluation.platform
    everything = bool(platform.estate.products)
    by_loss: dict[int, dict[str, Detail]] = {}
    for product in platform.products:
        among = evaluation.losses.all if everything else evaluation.levels(product)[0]
        for position, detail in details(evaluation, product, among).items():
            by_loss.setdefault(position, {})[product] = detail
    for position, loss in enumerate(evaluation.losses.losses):
        here = by_loss.get(position, {})
        products = platform.products if everything else here
        yield {
            "domains": list(loss),
            "products": {
                product: _detail(platform, product, here.get(product, UNTOUCHED), loss) for product in products
            },
        }


def _detail(platform: Platform, product: str, detail: Detail, loss: Loss) -> dict[str, Any]:
    return {
        "outcome": str(detail.outcome),
        "outage_s": detail.outage_s,
        "loss_s": detail.loss_s,
        "because": because(platform, product, detail, loss),
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
