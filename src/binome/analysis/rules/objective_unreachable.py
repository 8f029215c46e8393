"""The objective cannot be met by what is declared: one loss breaks it by itself.

The outage and the data lost are held against it as every loss was evaluated: an availability leaves a budget of minutes
a month (99.99 % of 30 days: 4.3 min), and an outage that is longer than that breaks the month at once; RTO and RPO are
bounds of any loss. For `survives: two` they are bounds of any two as well. Why a takeover or a standby is too slow,
the rules about services explain. Not counted twice: what `survives` promises already, and what an accepted finding is
about.
"""

from __future__ import annotations

from collections.abc import Iterator

from binome.analysis.edges import fault
from binome.analysis.explain import listed
from binome.analysis.findings import Context, Found, Severity
from binome.analysis.losses import bits
from binome.analysis.outcome import Detail, Evaluation, details
from binome.analysis.times import duration
from binome.estate.model import Product

SUBJECTS = ("products",)

JUDGES_PROMISES = True
MONTH_S = 30 * 86_400
MOST_NAMED = 3


def findings(context: Context) -> Iterator[Found]:
    """One finding a product."""
    platform = context.platform
    pairs: Evaluation | None = None
    for name, product in platform.estate.products.items():
        broken = _alone(context, name, product)
        evaluation = context.survey.singles
        if not broken and product.survives == "two":
            evaluation = pairs = pairs or Evaluation(platform, context.survey.worse_pairs)
            broken = _together(context, pairs, name, product)
        if not broken:
            continue
        why = details(evaluation, name, sum(1 << position for position in broken))
        said: dict[str, list[str]] = {}
        for position in broken[:MOST_NAMED]:
            loss = " with ".join(map(platform.domains.title, evaluation.losses.losses[position]))
            said.setdefault(_breach(product, why[position]), []).append(loss)
        words = "; ".join(f"{listed(losses)}: {breach}" for breach, losses in said.items())
        more = f"; and {len(broken) - MOST_NAMED} more" if len(broken) > MOST_NAMED else ""
        subject = "One loss breaks it" if evaluation is context.survey.singles else "Two losses at once break it"
        yield Found(
            Severity.ERROR,
            name,
            ("products", name, "objective"),
            f"{subject}.  {words[:1].upper()}{words[1:]}{more}.",
            fault(
                platform,
                name,
                _breaking(product, why[broken[0]]),
                evaluation.losses.losses[broken[0]],
                "promise less.",
            ),
        )


def _broken(evaluation: Evaluation, name: str, product: Product) -> int:
    """The losses that break the objective."""
    objective = product.objective
    broken = 0
    if objective.availability is not None:
        broken |= evaluation.late(name, _budget_ms(objective.availability))
    broken |= evaluation.late(name, objective.rto_ms) | evaluation.costly(name, objective.rpo_ms)
    return broken if product.survives == "none" else broken & ~evaluation.levels(name)[1]


def _alone(context: Context, name: str, product: Product) -> list[int]:
    """The closest of the single losses that break it."""
    singles = context.survey.singles
    found = {singles.losses.losses[position][0]: position for position in bits(_broken(singles, name, product))}
    inner = context.platform.domains.innermost(one for one in found if one not in context.accepted_losses)
    return [found[one] for one in inner]


def _together(context: Context, pairs: Evaluation, name: str, product: Product) -> list[int]:
    """The pairs that break it though neither of their losses does; only a pair that is worse than both can."""
    known = context.accepted_losses | {
        context.survey.singles.losses.losses[position][0]
        for position in bits(_broken(context.survey.singles, name, product) | context.survey.singles.levels(name)[1])
    }
    every = bits(_broken(pairs, name, product))
    return [position for position in every if known.isdisjoint(pairs.losses.losses[position])]


def _breach(product: Product, detail: Detail) -> str:
    """How a loss breaks the objective."""
    objective = product.objective
    outage = "outage unknown" if detail.outage_s is None else f"outage {duration(detail.outage_s)}"
    if _beyond(detail.outage_s, objective.rto_ms):
        return f"{outage}, and the RTO is {duration((objective.rto_ms or 0) / 1000)}"
    if _beyond(detail.loss_s, objective.rpo_ms):
        lost = "an unknown span of writes" if detail.loss_s is None else f"{duration(detail.loss_s)} of writes"
        return f"loses {lost}, and the RPO is {duration((objective.rpo_ms or 0) / 1000)}"
    budget_s = _budget_ms(objective.availability or 0.0) / 1000
    return f"{outage}, and {objective.availability:.4%} leaves {duration(budget_s)} a month"


def _breaking(product: Product, detail: Detail) -> Detail:
    """Of all that a loss does, what breaks the objective by itself: the longest outage breaks it if any does."""
    objective = product.objective
    bounds = [objective.rto_ms, None if objective.availability is None else _budget_ms(objective.availability)]
    return Detail(
        tuple(
            effect
            for effect in detail.effects
            if any(_beyond(effect.outage.seconds, bound) for bound in bounds)
            or _beyond(effect.loss.seconds, objective.rpo_ms)
        )
    )


def _budget_ms(availability: float) -> float:
    return (1 - availability) * MONTH_S * 1000 + 1e-6


def _beyond(seconds: float | None, bound_ms: float | None) -> bool:
    return bound_ms is not None and (seconds is None or seconds * 1000 > bound_ms)
