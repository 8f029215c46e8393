"""The promise to survive does not hold: a loss that a product says it survives stops it, or waits for a person.

What an accepted finding is about does not count (waived.py). For `survives: two` pairs are held against it once every
single loss is survived.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping

from binome.analysis.edges import fault
from binome.analysis.explain import listed
from binome.analysis.findings import Context, Found, Severity
from binome.analysis.losses import Loss, bits
from binome.analysis.outcome import Evaluation, Outcome, Platform, details, outcome_at

SUBJECTS = ("products",)

JUDGES_PROMISES = True
_LESS = {"one": "none", "two": "one"}


def findings(context: Context) -> Iterator[Found]:
    """One finding a product."""
    platform = context.platform
    pairs: Evaluation | None = None
    for name, product in platform.estate.products.items():
        if product.survives == "none":
            continue
        stopped = {
            domain: outcome
            for domain, outcome in context.waived.singly(context.survey.singles, name)
            if not outcome.goes_on
        }
        evaluation, broken = context.survey.singles, list(_closest(platform, stopped))
        if not broken and product.survives == "two":
            evaluation = pairs = pairs or Evaluation(platform, context.survey.worse_pairs)
            broken = _pairs(context, pairs, name)
        if broken:
            wider = len(stopped) - len(broken) if stopped else 0
            holds = (
                f", nor {wider} that {'holds' if wider == 1 else 'hold'} {'it' if len(broken) == 1 else 'them'}"
                if wider
                else ""
            )
            losses = f"{len(broken)} {'pair' if len(broken[0][0]) > 1 else 'loss'}"
            losses += "" if len(broken) == 1 else "s" if len(broken[0][0]) > 1 else "es"
            said = [f"{' with '.join(map(platform.domains.title, loss))} ({outcome})" for loss, outcome in broken]
            first = evaluation.losses.losses.index(broken[0][0])
            yield Found(
                Severity.ERROR,
                name,
                ("products", name, "survives" if "survives" in product.model_fields_set else "needs"),
                f"It is to survive {product.survives} and does not survive {losses}: {listed(said, 5)}{holds}.",
                fault(
                    platform,
                    name,
                    details(evaluation, name, 1 << first)[first],
                    broken[0][0],
                    f"promise less: survives: {_LESS[product.survives]}.",
                ),
            )


def _closest(platform: Platform, stopped: Mapping[str, Outcome]) -> Iterator[tuple[Loss, Outcome]]:
    """The closest domains of each outcome, worst first."""
    for outcome in sorted(set(stopped.values()), reverse=True):
        for name in platform.domains.innermost(name for name, one in stopped.items() if one is outcome):
            yield (name,), outcome


def _pairs(context: Context, pairs: Evaluation, product: str) -> list[tuple[Loss, Outcome]]:
    levels = context.waived.levels(pairs, product)
    broken = [(pairs.losses.losses[position], outcome_at(levels, position)) for position in bits(levels[1])]
    alone = {domain for domain, outcome in context.survey.singly(product) if not outcome.goes_on}
    return sorted(
        ((loss, outcome) for loss, outcome in broken if alone.isdisjoint(loss)), key=lambda one: (-one[1], one[0])
    )
