"""The objective cannot be met by what is declared: one loss breaks it by itself.

An availability leaves a budget of minutes a month (99.99 % of 30 days: 4.3 min). An outage that is longer than that
breaks the month at once. A loss that needs a person or a copy is held against RTO and RPO too; that of a takeover has
rules of its own. Not counted twice: what `survives` promises already, and what an accepted finding is about.
"""

from __future__ import annotations

from collections.abc import Iterator

from binome.analysis.edit import Remedy
from binome.analysis.findings import Context, Found, Severity
from binome.analysis.outcome import Detail, details
from binome.analysis.times import duration
from binome.estate.model import Objective, Product

SUBJECTS = ("products",)

JUDGES_PROMISES = True
MONTH_S = 30 * 86_400


def findings(context: Context) -> Iterator[Found]:
    """One finding a product."""
    platform, singles = context.platform, context.survey.singles
    for name, product in platform.estate.products.items():
        broken = {}
        for position, detail in details(singles, name).items():
            domain = singles.losses.losses[position][0]
            why = _breach(product, detail)
            if why and domain not in context.accepted_losses:
                broken[domain] = why
        inner = platform.domains.innermost(broken)
        if inner:
            said = "; ".join(f"{platform.domains.title(one)}: {broken[one]}" for one in inner[:3])
            more = f"; and {len(inner) - 3} others" if len(inner) > 3 else ""
            yield Found(
                Severity.ERROR,
                name,
                ("products", name, "objective"),
                f"One loss breaks it.  {said[:1].upper()}{said[1:]}{more}.",
                Remedy(
                    "Make these losses shorter (a partner, automatic takeover, a measured restore), or promise less."
                ),
            )


def _breach(product: Product, detail: Detail) -> str:
    """How a loss breaks the objective; empty where it does not."""
    objective: Objective = product.objective
    if product.survives != "none" and not detail.outcome.goes_on:
        return ""
    budget_ms = None if objective.availability is None else (1 - objective.availability) * MONTH_S * 1000
    outage = "unknown" if detail.outage_s is None else duration(detail.outage_s)
    if _beyond(detail.outage_s, budget_ms):
        return f"outage {outage}, and {objective.availability:.4%} leaves {duration((budget_ms or 0) / 1000)} a month"
    if not detail.outcome.goes_on:
        if _beyond(detail.outage_s, objective.rto_ms):
            return f"outage {outage}, and the RTO is {duration((objective.rto_ms or 0) / 1000)}"
        if _beyond(detail.loss_s, objective.rpo_ms):
            lost = "an unknown span" if detail.loss_s is None else duration(detail.loss_s)
            return f"loses {lost}, and the RPO is {duration((objective.rpo_ms or 0) / 1000)}"
    return ""


def _beyond(seconds: float | None, bound_ms: float | None) -> bool:
    return bound_ms is not None and (seconds is None or seconds * 1000 > bound_ms + 1e-6)
