"""Writes that a takeover may lose, and nobody knows how many: a standby's lag is neither declared nor measured.

Where a product promises an RPO the promise is broken already, and `replication-against-rpo` says so of a database.
"""

from __future__ import annotations

from collections.abc import Iterator

from binome.analysis.edit import put
from binome.analysis.findings import Context, Found, Severity

SUBJECTS = ("services",)


def findings(context: Context) -> Iterator[Found]:
    """One finding a service."""
    platform = context.platform
    strict = {
        name
        for product, promised in platform.estate.products.items()
        if promised.objective.rpo_ms is not None
        for name in platform.chains(product)
    }
    for name, service in platform.estate.services.items():
        if len(service.on) < 2 or service.kind == "etcd" or platform.times.lag(name).seconds is not None:
            continue
        if service.kind == "postgresql":
            if service.replication == "synchronous" or name in strict:
                continue
            message = "Its standby may be behind, and nobody has said how far: what a takeover loses is unknown."
            words = "Say what you hold it to, or measure it and hand it in with --measured."
        else:
            held = platform.data_of[name][0]
            message = (
                f"It holds {held}, and nothing says how its members copy it: what the loss of one costs is unknown."
            )
            words = "Say how far a member may be behind another: 0s if every write is on two before it is acknowledged."
        if service.kind == "haproxy":
            continue
        value = "30s" if service.kind == "postgresql" else "0s"
        yield Found(
            Severity.WARNING,
            name,
            ("services", name, "replication" if service.kind == "postgresql" else "on"),
            message,
            put(platform.estate, ("services", name, "lag"), value, words),
        )
