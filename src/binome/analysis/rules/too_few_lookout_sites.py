"""Seen from too few places: an outage and a cut cable look the same to who has one window.

A verdict needs a majority of all configured sites, of three at least; with fewer, Binôme pages and acts on nothing. A
domain that takes the majority takes the sight as well.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence

from binome.analysis import fate, placement
from binome.analysis.edit import Remedy, as_list, put
from binome.analysis.explain import listed
from binome.analysis.findings import Context, Found, Severity
from binome.analysis.outcome import Platform

SUBJECTS = (
    "lookout",
    "services",
)


def findings(context: Context) -> Iterator[Found]:
    """At most one finding."""
    platform = context.platform
    lookout = platform.estate.lookout
    if lookout is None:
        hasty = [
            name
            for name, service in platform.estate.services.items()
            if service.kind == "postgresql" and service.takeover == "automatic"
        ]
        if hasty:
            words = "Look from three sites: lookout: {on: [SERVER, SERVER, SERVER]}."
            message = f"Nothing looks at the platform, so no takeover of {listed(hasty)} can be hastened."
            yield Found(Severity.WARNING, hasty[0], ("services", hasty[0], "takeover"), message, Remedy(words))
        return
    sites = _sites(platform, lookout.on)
    blinding = platform.domains.innermost(_blinding(platform, lookout.on))
    if len(sites) < 3:
        message = (
            f"It looks from {listed(list(sites))} only: with fewer than three sites a verdict is unconfirmed, paged "
            "but never acted on, and a lookout beside what it looks at is lost with it."
        )
    elif blinding:
        message = (
            f"Without {fate.titles(platform, blinding)} no majority of its {len(sites)} sites is left: with that, the "
            "verdict goes too."
        )
    else:
        return
    path, words = ("lookout", "on"), "Look from three sites, no two of which share a place."
    three = _three(platform, lookout.on)
    remedy = put(platform.estate, path, as_list(three), words) if three else Remedy(words)
    yield Found(Severity.WARNING, "lookout", path, message, remedy)


def _sites(platform: Platform, servers: Sequence[str]) -> dict[str, list[str]]:
    sites: dict[str, list[str]] = {}
    for server in servers:
        sites.setdefault(platform.domains.site(server, platform.estate), []).append(server)
    return sites


def _blinding(platform: Platform, servers: Sequence[str]) -> list[str]:
    """The domains whose loss leaves no majority of the sites: a site is lost where a domain takes all its lookouts."""
    around = platform.domains.around
    places = [frozenset.intersection(*map(around, here)) for here in _sites(platform, servers).values()]
    return fate.too_few(platform, places, len(places) // 2 + 1)


def _three(platform: Platform, servers: Sequence[str]) -> list[str] | None:
    """Servers in three sites that share nothing: those that look already first. None where there are no three."""
    chosen: list[str] = []
    while len(chosen) < 3:
        near = next((one for one in servers if fate.apart(platform, one, chosen)), None)
        more = near or placement.witness(platform, chosen)
        if more is None:
            return None
        chosen.append(more)
    return chosen if len(_sites(platform, chosen)) == 3 else None
