"""A standby that is behind, and a promise that nothing is lost: an asynchronous takeover loses the lag."""

from __future__ import annotations

from collections.abc import Iterator

from binome.analysis.edit import put
from binome.analysis.findings import Context, Found, Severity
from binome.analysis.times import duration

SUBJECTS = ("services",)


def findings(context: Context) -> Iterator[Found]:
    """One finding a database: the product that may lose least speaks for all."""
    platform = context.platform
    strict: dict[str, tuple[int, str]] = {}
    for product, promised in platform.estate.products.items():
        rpo = promised.objective.rpo_ms
        if rpo is None:
            continue
        for name in platform.chains(product):
            strict[name] = min(strict.get(name, (rpo, product)), (rpo, product))
    for name, (rpo, product) in strict.items():
        service = platform.estate.services.get(name)
        if service is None or service.kind != "postgresql" or service.replication == "synchronous":
            continue
        lag = platform.times.lag(name)
        if len(service.on) > 1 and not lag.within(rpo):
            behind = "by an unknown time" if lag.seconds is None else f"by {lag}"
            yield Found(
                Severity.ERROR,
                name,
                ("services", name, "replication"),
                f"Its standby may be behind {behind}, and {product} promises to lose at most {duration(rpo / 1000)}."
                "  In October 2018 GitHub promoted replicas that lacked seconds of writes: a day of repair.",
                put(platform.estate, ("services", name, "replication"), "synchronous", "Wait for the standby."),
            )
