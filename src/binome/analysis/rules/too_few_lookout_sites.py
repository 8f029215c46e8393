"""Seen from too few places: an outage and a cut cable look the same to who has one window.

A verdict needs a majority of all configured sites, of three at least; with fewer, Binôme pages and acts on nothing. A
domain that takes the majority takes the sight as well.
"""

from __future__ import annotations

from collections.abc import Iterator

from binome.analysis import fate
from binome.analysis.edit import Remedy, as_list, put
from binome.analysis.explain import listed
from binome.analysis.findings import Context, Found, Severity

_PRECEDENT = (
    "In October 2018 a cut of 43 seconds made GitHub's failover promote databases on the wrong side: a day of repair."
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
            message = f"Nothing looks at the platform, so no takeover of {listed(hasty)} can be hastened.  {_PRECEDENT}"
            yield Found(Severity.WARNING, hasty[0], ("services", hasty[0], "takeover"), message, Remedy(words))
        return
    sites = dict.fromkeys(platform.domains.site(server, platform.estate) for server in lookout.on)
    places = fate.shared(platform, lookout.on, len(lookout.on) // 2 + 1) if len(sites) > 2 else []
    if len(sites) < 3:
        message = (
            f"It looks from {listed(list(sites))} only: with fewer than three sites a verdict is unconfirmed, paged "
            f"but never acted on, and a lookout beside what it looks at burns with it.  {_PRECEDENT}"
        )
    elif places:
        message = (
            f"Most of it stands in {fate.titles(platform, places)}: with that, the verdict goes too.  {_PRECEDENT}"
        )
    else:
        return
    path = ("lookout", "on")
    yield Found(
        Severity.WARNING,
        "lookout",
        path,
        message,
        put(platform.estate, path, as_list(_three(context, lookout.on)), "Look from three sites."),
    )


def _three(context: Context, servers: tuple[str, ...]) -> list[str]:
    """Servers in up to three sites that share nothing: those that look already first."""
    platform = context.platform
    chosen: list[str] = []
    while len(chosen) < 3:
        near = [one for one in servers if fate.apart(platform, one, chosen)]
        more = near[0] if near else fate.elsewhere(platform, chosen)
        if more is None:
            break
        chosen.append(more)
    return chosen or list(servers)
