"""A takeover that takes longer than the promise: it waits for a person, for Patroni's TTL, or nobody knows for what.

Every loss of some of the members counts, as it was evaluated: one that also takes the lookout's majority is taken over
later than others. This explains what `objective-unreachable` finds.
"""

from __future__ import annotations

from collections.abc import Iterator

from binome.analysis.edges import LOOK
from binome.analysis.edit import Remedy, put
from binome.analysis.findings import Context, Found, Severity
from binome.analysis.losses import bits, union
from binome.analysis.outcome import Cause, Effect, Platform
from binome.analysis.times import duration, needs_person

SUBJECTS = ("services",)

TAKEOVERS = (Cause.TAKEN_OVER, Cause.PERSON_STARTS)


def findings(context: Context) -> Iterator[Found]:
    """One finding a service: the product with the least patience speaks for all."""
    platform = context.platform
    impatient: dict[str, tuple[int, str]] = {}
    for product, promised in platform.estate.products.items():
        rto = promised.objective.rto_ms
        if rto is None:
            continue
        for name in platform.chains(product):
            impatient[name] = min(impatient.get(name, (rto, product)), (rto, product))
    for name, (rto, product) in impatient.items():
        service = platform.estate.services.get(name)
        if service is None:
            continue
        late = [effect for effect in _takeovers(context, name) if not effect.outage.within(rto)]
        if late:
            worst = max(late, key=lambda effect: (effect.outage.seconds is None, effect.outage.seconds or 0.0))
            key = "takeover" if needs_person(service) else "kind"
            yield Found(
                Severity.ERROR,
                name,
                ("services", name, key),
                f"{_said(platform, worst)}{_where(context, late, name)}, and {product} promises to be back in "
                f"{duration(rto / 1000)}.  In Strasbourg, in March 2021, the first alarm came at 00:48 and the word of "
                "the fire at about three.",
                _remedy(platform, worst, rto),
            )


def _takeovers(context: Context, name: str) -> list[Effect]:
    """The takeovers of a service after each single loss, but those that only wait because an agreement is gone."""
    singles = context.survey.singles
    person = needs_person(context.platform.estate.services[name])
    causes = TAKEOVERS if person else (Cause.TAKEN_OVER,)
    return [effect for effect in singles.of(name) if effect.cause in causes]


def _said(platform: Platform, effect: Effect) -> str:
    outage = effect.outage
    takes = "a time that nobody has measured or declared" if outage.seconds is None else str(outage)
    if needs_person(platform.estate.services[effect.subject]):
        return f"Its takeover waits for a person, {takes}"
    return f"Its takeover takes {takes}"


def _where(context: Context, late: list[Effect], name: str) -> str:
    """After which loss, where not every one is too slow."""
    singles = context.survey.singles
    if len(late) == len(_takeovers(context, name)):
        return ""
    slow = union(effect.lost for effect in late)
    inner = context.platform.domains.innermost(singles.losses.losses[position][0] for position in bits(slow))
    return f" when {context.platform.domains.title(inner[0])} is lost"


def _remedy(platform: Platform, effect: Effect, rto: int) -> Remedy:
    name = effect.subject
    service = platform.estate.services[name]
    if needs_person(service):
        return put(
            platform.estate, ("services", name, "takeover"), "automatic", "Let it be taken over without a person."
        )
    if service.kind == "postgresql" and platform.times.takeover(name).within(rto):
        if service.takeover == "automatic":
            if service.replication != "synchronous":
                words = "Let it replicate synchronously: nobody hastens a takeover that may lose writes."
                return put(platform.estate, ("services", name, "replication"), "synchronous", words)
            return Remedy(f"{LOOK}.")
        words = "Let it be hastened, with a lookout in three sites: with anything but automatic only the TTL acts."
        return put(platform.estate, ("services", name, "takeover"), "automatic", words)
    return Remedy("Measure it and hand it in with --measured, or declare it: takeover_outage: 5s.")
