"""A takeover that takes longer than the promise: it waits for a person, for Patroni's TTL, or nobody knows for what."""

from __future__ import annotations

from collections.abc import Iterator

from binome.analysis.edit import Remedy, put
from binome.analysis.findings import Context, Found, Severity
from binome.analysis.outcome import Platform, required
from binome.analysis.times import duration, needs_person

SUBJECTS = ("services",)


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
        if service is None or service.kind == "etcd" or len(service.on) == required(service):
            continue
        outage = platform.times.governed(name)
        if not outage.within(rto):
            key = "takeover" if needs_person(service) else "kind"
            waits = "waits for a person, " if needs_person(service) else "takes "
            yield Found(
                Severity.ERROR,
                name,
                ("services", name, key),
                f"Its takeover {waits}{_said(platform, name)}, and {product} promises to be back in "
                f"{duration(rto / 1000)}.  In Strasbourg, in March 2021, the first alarm came at 00:48 and the word of "
                "the fire at about three.",
                _remedy(platform, name),
            )


def _said(platform: Platform, name: str) -> str:
    outage = platform.times.governed(name)
    return "a time that nobody has measured or declared" if outage.seconds is None else str(outage)


def _remedy(platform: Platform, name: str) -> Remedy:
    if needs_person(platform.estate.services[name]):
        return put(
            platform.estate, ("services", name, "takeover"), "automatic", "Let it be taken over without a person."
        )
    words = "Measure it and hand it in with --measured, or declare it: takeover_outage: 5s."
    return Remedy(words)
