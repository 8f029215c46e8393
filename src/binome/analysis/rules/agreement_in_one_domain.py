"""A majority in one place: the loss of it ends all agreement, and with it every takeover, though servers live on.

An etcd needs an odd number of members in at least three places. With one or two members each server's loss is already
the loss of the majority.
"""

from __future__ import annotations

from collections.abc import Iterator

from binome.analysis import fate
from binome.analysis.edit import Remedy
from binome.analysis.findings import Context, Found, Severity
from binome.analysis.outcome import required


def findings(context: Context) -> Iterator[Found]:
    """One finding an agreement."""
    platform = context.platform
    for name, service in platform.estate.services.items():
        if service.kind != "etcd":
            continue
        need, path = required(service), ("services", name, "on")
        if need == len(service.on):
            yield Found(
                Severity.ERROR,
                name,
                path,
                f"{'Its only member' if need == 1 else f'Every one of its {need} members'} must live: the loss of any "
                "one server ends every takeover, and Patroni stops the primary's writes.",
                Remedy("Give it three members, each in another site."),
                service.on,
            )
            continue
        places = fate.shared(platform, service.on, need)
        if places:
            where = fate.titles(platform, places)
            yield Found(
                fate.severity(platform, places),
                name,
                path,
                f"A majority stands in {where}: its loss ends every takeover, and Patroni stops the writes of a "
                "primary that lives elsewhere.  In November 2020 one half-broken switch kept Cloudflare's etcd from "
                "agreeing, and its control plane was down for six hours.",
                fate.spread(platform, name, places, f"Move a member out of {where}; three sites need one each."),
                tuple(places),
            )
