"""Shared fate: which one domain takes too many of some servers, and which server stands apart from them.

Hosters and accounts are left out here: they fail by contract, not by fire, and have rules of their own.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Sequence

from binome.analysis.domains import CONTRACTS
from binome.analysis.findings import Severity
from binome.analysis.outcome import Platform


def common(platform: Platform, members: Sequence[str], need: int = 1) -> list[str]:
    """Every domain whose loss leaves fewer than `need` of the members."""
    return too_few(platform, [platform.domains.around(member) for member in members], need)


def too_few(platform: Platform, places: Sequence[frozenset[str]], need: int) -> list[str]:
    """Every domain whose loss leaves fewer than `need` of the things that stand in these places."""
    held = Counter(domain for place in places for domain in place)
    taken = (name for name, count in held.items() if len(places) - count < need)
    return [name for name in taken if platform.domains.kinds[name] not in CONTRACTS]


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


WATER = "In Paris, in April 2023, water in one data centre took a whole cloud region for a time, all its zones."


def precedent(platform: Platform, names: Iterable[str], of_a_site: str) -> str:
    """What happened where such a place was lost; nothing where none fits, as for a rack, a feed or a carrier."""
    kinds = {platform.domains.kinds[name] for name in names}
    if kinds & {"building", "site"}:
        return f"  {of_a_site}"
    return f"  {WATER}" if kinds == {"region"} else ""
