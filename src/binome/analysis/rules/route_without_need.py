"""A way in that leads nowhere: an edge routes to a service that neither it nor any product behind it needs.

The loss of that service is then counted for nobody, though every request to it fails. An estate without products is not
asked: there each service answers for itself.
"""

from __future__ import annotations

from collections.abc import Iterator

from binome.analysis.edit import Remedy, as_list, put
from binome.analysis.explain import listed
from binome.analysis.findings import Context, Found, Severity
from binome.analysis.outcome import Platform
from binome.estate.model import HaproxyService

SUBJECTS = ("services",)


def findings(context: Context) -> Iterator[Found]:
    """One finding an edge that a product needs."""
    platform = context.platform
    for name, service in platform.estate.services.items():
        if not isinstance(service, HaproxyService):
            continue
        chains = [platform.chains(product) for product in platform.estate.products]
        behind = [set(chain) for chain in chains if name in chain]
        targets = list(dict.fromkeys([*service.routes, *service.reads]))
        missing = [one for one in targets if not any(one in chain for chain in behind)]
        if not behind or not targets:
            continue
        if not missing and all(not chain.isdisjoint(targets) for chain in behind):
            continue
        several = len(missing) > 1
        message = (
            f"It routes to {listed(missing)}, which neither it nor a product behind it needs: the loss of "
            f"{'them' if several else 'it'} counts for nobody, though every such request fails."
            if missing
            else f"A product needs {name} and none of what it routes to ({listed(targets)}): the loss of all of it "
            "counts for nothing."
        )
        yield Found(Severity.ERROR, name, ("services", name, "routes"), message, _remedy(platform, name, missing))


def _remedy(platform: Platform, name: str, missing: list[str]) -> Remedy:
    """The line, unless what is routed to needs the edge itself."""
    if not missing:
        return Remedy("Say under the product's needs which of them its requests go to.")
    words = f"Say that it needs {listed(missing)}, or that the product does."
    if any(_needs(platform, one, name) for one in missing):
        return Remedy(words)
    needs = as_list([*platform.estate.services[name].needs, *missing])
    return put(platform.estate, ("services", name, "needs"), needs, words)


def _needs(platform: Platform, name: str, other: str) -> bool:
    ahead = [name]
    for one in ahead:  # grows while it is walked
        ahead.extend(need for need in platform.needs(one) if need not in ahead)
    return other in ahead
