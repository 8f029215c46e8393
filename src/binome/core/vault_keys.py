"""Where the key of a vault is kept, and what that is worth.

A copy is worth its key. A key that is kept only beside the copies goes with them to whoever steals them, and burns with
them; one that is kept only beside the source burns on the very night that the copy is needed. *Beside* is: in one fault
domain with it, other than by contract. So some holder must be apart from the copies, and some apart from the source;
it need not be the same one.
"""

from __future__ import annotations

from enum import StrEnum
from typing import NamedTuple

from binome.analysis import fate
from binome.analysis.outcome import Platform


class Doubt(StrEnum):
    """What is wrong with where a key is kept."""

    NOWHERE = "nothing says which servers keep it: add key_on"
    ONLY_BESIDE_COPIES = "it is kept only beside the copies"
    ONLY_BESIDE_SOURCE = "it is kept only beside the source"


class Holder(NamedTuple):
    """A server that keeps a key; what it is in one place with, as titles of domains, or empty."""

    server: str
    beside_copies: str
    beside_source: str


class Kept(NamedTuple):
    """Who keeps the key of a vault, and what is wrong with that."""

    holders: tuple[Holder, ...]
    doubts: tuple[Doubt, ...]


def kept(platform: Platform, vault: str) -> Kept:
    """Who keeps the key of a vault. Every member of a service whose data has copies there is a source."""
    estate, one = platform.estate, platform.estate.vaults[vault]
    data = (name for backup in estate.backups.values() if vault in backup.to for name in backup.of)
    services = dict.fromkeys(estate.data[name].in_ for name in data)
    sources = tuple(dict.fromkeys(member for service in services for member in estate.services[service].on))
    holders = tuple(
        Holder(server, _beside(platform, server, (one.on,)), _beside(platform, server, sources))
        for server in one.key_on
    )
    doubts = []
    if not holders:
        doubts.append(Doubt.NOWHERE)
    elif all(holder.beside_copies for holder in holders):
        doubts.append(Doubt.ONLY_BESIDE_COPIES)
    elif sources and all(holder.beside_source for holder in holders):
        doubts.append(Doubt.ONLY_BESIDE_SOURCE)
    return Kept(holders, tuple(doubts))


def _beside(platform: Platform, server: str, others: tuple[str, ...]) -> str:
    if server in others:
        return f"server {server}"
    places = dict.fromkeys(place for other in others for place in fate.shared(platform, [server, other]))
    return fate.titles(platform, platform.domains.innermost(places))
