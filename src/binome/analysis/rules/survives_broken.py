"""The promise to survive does not hold: a loss that a product says it survives stops it, or waits for a person.

What an accepted finding is about does not count (waived.py). For `survives: two` pairs are held against it once every
single loss is survived.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping

from binome.analysis.edit import Remedy
from binome.analysis.findings import Context, Found, Severity
from binome.analysis.losses import bits
from binome.analysis.outcome import Evaluation, Outcome, Platform, outcome_at

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
        said, count = list(_closest(platform, stopped)), len(stopped)
        if not said and product.survives == "two":
            pairs = pairs or Evaluation(platform, context.survey.worse_pairs)
            broken = _pairs(context, pairs, name)
            said, count = [f"{' with '.join(loss)} ({outcome})" for loss, outcome in broken], len(broken)
        if said:
            more = f" and {len(said) - 4} others" if len(said) > 4 else ""
            losses = f"{count} loss{'es' if count > 1 else ''}"
            yield Found(
                Severity.ERROR,
                name,
                ("products", name, "survives" if "survives" in product.model_fields_set else "needs"),
                f"It is to survive {product.survives} and does not survive {losses}: {', '.join(said[:4])}{more}.",
                Remedy(f"Mend what stops it, or promise less: survives: {_LESS[product.survives]}."),
            )


def _closest(platform: Platform, stopped: Mapping[str, Outcome]) -> Iterator[str]:
    """The closest domains of each outcome, worst first."""
    for outcome in sorted(set(stopped.values()), reverse=True):
        for name in platform.domains.innermost(name for name, one in stopped.items() if one is outcome):
            yield f"{platform.domains.title(name)} ({outcome})"


def _pairs(context: Context, pairs: Evaluation, product: str) -> list[tuple[tuple[str, ...], Outcome]]:
    levels = context.waived.levels(pairs, product)
    broken = [(pairs.losses.losses[position], outcome_at(levels, position)) for position in bits(levels[1])]
    alone = {domain for domain, outcome in context.survey.singly(product) if not outcome.goes_on}
    return sorted(
        ((loss, outcome) for loss, outcome in broken if alone.isdisjoint(loss)), key=lambda one: (-one[1], one[0])
    )
