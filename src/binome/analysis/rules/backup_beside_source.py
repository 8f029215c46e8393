"""The copy beside the original: one domain holds every copy of a backup and a member of what is copied.

Any member may be the primary, so one that shares the fate of all copies is enough.
"""

from __future__ import annotations

from collections.abc import Iterator

from binome.analysis import fate, placement
from binome.analysis.edit import Remedy, as_list, put
from binome.analysis.explain import listed
from binome.analysis.findings import Context, Found
from binome.analysis.outcome import Platform

SUBJECTS = ("backups",)

_FIRE = "In Strasbourg, in March 2021, owners with such backups began again from nothing."


def findings(context: Context) -> Iterator[Found]:
    """One finding a backup."""
    platform = context.platform
    for name, backup in platform.estate.backups.items():
        vaults = [platform.estate.vaults[vault].on for vault in backup.to]
        sources = {platform.estate.data[data].in_: data for data in backup.of}
        members = [member for service in sources for member in platform.estate.services[service].on]
        places = [*(vaults if len(set(vaults)) == 1 else ()), *fate.common(platform, vaults)]
        beside = [place for place in places if _near(platform, place, members)]
        if beside:
            closest = platform.domains.innermost(beside)
            near = [member for member in dict.fromkeys(members) if _near(platform, closest[0], [member])]
            path, where = ("backups", name, "to"), fate.titles(platform, closest)
            yield Found(
                fate.severity(platform, closest),
                name,
                path,
                f"Every copy stands in {where}, with {listed(near)} which it is a copy of: one loss takes the original "
                f"and the backup.{fate.precedent(platform, closest, _FIRE)}",
                _remedy(platform, name, members),
                tuple(closest),
            )


def _near(platform: Platform, place: str, members: list[str]) -> bool:
    return any(platform.domains.holds(place, member) for member in members)


def _remedy(platform: Platform, name: str, members: list[str]) -> Remedy:
    backup, vaults = platform.estate.backups[name], platform.estate.vaults
    away = {vault for vault, one in vaults.items() if fate.apart(platform, one.on, members)}
    words = "Send a copy to a vault in another place."
    if away:
        return put(platform.estate, ("backups", name, "to"), as_list([*backup.to, min(away)]), words)
    server = placement.keeper(platform, members)
    if server:
        words = f"Send a copy to a vault in another place: one on {server} would do."
    return Remedy(words)
