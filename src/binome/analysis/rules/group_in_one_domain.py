"""Many members, one place: one domain takes so many of a group that fewer are left than it needs."""

from __future__ import annotations

from collections.abc import Iterator

from binome.analysis import fate, placement
from binome.analysis.findings import Context, Found
from binome.analysis.outcome import required

SUBJECTS = ("services",)


def findings(context: Context) -> Iterator[Found]:
    """One finding a group of three or more members."""
    platform = context.platform
    for name, service in platform.estate.services.items():
        need = required(service)
        if len(service.on) < 3 or need == len(service.on) or service.kind == "etcd":
            continue
        places = fate.shared(platform, service.on, need)
        if places:
            where = fate.titles(platform, places)
            taken = max(sum(platform.domains.holds(place, one) for one in service.on) for place in places)
            words = f"Spread the members, so that {need} of them stand{'s' if need == 1 else ''} outside {where}."
            yield Found(
                fate.severity(platform, places),
                name,
                ("services", name, "on"),
                f"{taken} of {len(service.on)} members stand in {where}, and {need} must live: their number protects "
                f"from a broken server, not from the loss of the place.{fate.precedent(platform, places, fate.WATER)}",
                placement.spread(platform, name, places, words),
                tuple(places),
            )
