"""Shared fate: which one domain takes too many of some servers, and who could stand elsewhere instead.

Hosters and accounts are left out here: they fail by contract, not by fire, and have rules of their own.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Sequence
from itertools import islice

from binome.analysis.domains import CONTRACTS
from binome.analysis.edit import Remedy, as_list, put
from binome.analysis.findings import Severity
from binome.analysis.outcome import Platform, required

CANDIDATES = 50
"""How many servers are tried as a replacement; a remedy is a proposal, not a placement."""


def common(platform: Platform, members: Sequence[str], need: int = 1) -> list[str]:
    """Every domain whose loss leaves fewer than `need` of the members."""
    domains = platform.domains
    held = Counter(domain for member in members for domain in domains.around(member))
    taken = (name for name, count in held.items() if len(members) - count < need)
    return [name for name in taken if domains.kinds[name] not in CONTRACTS]


def shared(platform: Platform, members: Sequence[str], need: int = 1) -> list[str]:
    """The closest of those domains, the largest kind first."""
    return platform.domains.innermost(common(platform, members, need))


def apart(platform: Platform, server: str, members: Iterable[str]) -> bool:
    """Whether a server is none of the members and stands in no domain with any of them."""
    return all(server != member and not common(platform, [server, member]) for member in members)


def titles(platform: Platform, names: Iterable[str]) -> str:
    """Domains as a sentence names them: `building sbg-2 and power feed-a`."""
    return " and ".join(platform.domains.title(name) for name in names)


def severity(platform: Platform, names: Iterable[str]) -> Severity:
    """A region alone is a warning: its data centres are apart, though one flood, fire or grid may reach them all."""
    return Severity.WARNING if all(platform.domains.kinds[name] == "region" for name in names) else Severity.ERROR


def spread(platform: Platform, name: str, places: Sequence[str], words: str) -> Remedy:
    """The remedy for a service of which `places` take too many: another member, or another hypervisor for one."""
    need = required(platform.estate.services[name])
    members = moved(platform, name, need)
    if members:
        return put(platform.estate, ("services", name, "on"), as_list(members), words)
    for place in places:
        if platform.domains.kinds[place] == "hypervisor":
            return _migrated(platform, name, place, words)
    return Remedy(words)


def _migrated(platform: Platform, name: str, hypervisor: str, words: str) -> Remedy:
    """A virtual machine is moved more easily than a member: onto a hypervisor that no other member stands in."""
    domains, estate = platform.domains, platform.estate
    members = estate.services[name].on
    mover = next((one for one in reversed(members) if hypervisor in estate.servers[one].in_), None)
    near = {domain for one in members for domain in domains.around(one)}
    others = (one for one, kind in domains.kinds.items() if kind == "hypervisor" and one not in near)
    other = min(others, key=lambda one: len(domains.around(one) & near), default=None)
    if mover is None or other is None:
        return Remedy(words)
    value = as_list([other if one == hypervisor else one for one in estate.servers[mover].in_])
    return put(estate, ("servers", mover, "in"), value, words)


def moved(platform: Platform, name: str, need: int) -> list[str] | None:
    """The members of a service with one of them on another server, so that no domain takes too many; None if none fits.

    Its spares are tried first, then servers that run nothing, one of each place.
    """
    service = platform.estate.services[name]
    for candidate in islice(_candidates(platform, service.spares), CANDIDATES):
        if candidate not in service.on:
            for position in reversed(range(len(service.on))):
                members = [*service.on[:position], *service.on[position + 1 :], candidate]
                if not shared(platform, members, need):
                    return members
    return None


def elsewhere(platform: Platform, members: Sequence[str]) -> str | None:
    """A server apart from all of the members; servers that run nothing are asked first."""
    places: dict[frozenset[str], str] = {}
    for server in (*platform.idle, *platform.domains.servers):
        places.setdefault(platform.domains.around(server), server)
    return next((one for one in islice(places.values(), CANDIDATES) if apart(platform, one, members)), None)


def _candidates(platform: Platform, spares: Iterable[str]) -> Iterable[str]:
    yield from spares
    places = set()
    for server in platform.idle:
        place = platform.domains.around(server)
        if place not in places:
            places.add(place)
            yield server
