"""Two members, one fate: both stand in one building, feed, rack, hypervisor, carrier, site or region.

The closest domain that they share is named, since a pair of one building shares its site and region too.
"""

from __future__ import annotations

from collections.abc import Iterator

from binome.analysis import fate, placement
from binome.analysis.findings import Context, Found
from binome.analysis.outcome import required

SUBJECTS = ("services",)

_FIRE = "In Strasbourg, in March 2021, owners whose second server stood next door lost both in one fire."


def findings(context: Context) -> Iterator[Found]:
    """One finding a pair."""
    platform = context.platform
    for name, service in platform.estate.services.items():
        if len(service.on) != 2 or required(service) > 1 or service.kind == "etcd":
            continue
        both = fate.shared(platform, service.on)
        if both:
            where = fate.titles(platform, both)
            yield Found(
                fate.severity(platform, both),
                name,
                ("services", name, "on"),
                f"Both members stand in {where}: one loss takes them both.{fate.precedent(platform, both, _FIRE)}",
                placement.spread(platform, name, both, f"Put one of the two on a server outside {where}."),
                tuple(both),
            )
