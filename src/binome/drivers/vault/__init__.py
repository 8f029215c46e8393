"""The vaults: a module for each kind, found by entry points of the group `binome.vaults`.

Built-in kinds are registered in pyproject.toml exactly as a third party registers its own: the entry point's name is
the kind, its object a `ports.VaultFactory`.
"""

from __future__ import annotations

from collections.abc import Callable

from binome.drivers.entries import EntryError, found
from binome.estate import Estate
from binome.ports_of_copies import Vault, VaultPlace

GROUP = "binome.vaults"


def place_of(estate: Estate, name: str, server: str) -> VaultPlace:
    """A vault as a server reaches it. Raises ValueError, with what to change, where it cannot."""
    vault = estate.vaults[name]
    secrets = vault.key or "", vault.user or "", vault.password or ""
    if vault.on == server:
        return VaultPlace(name, vault.kind, vault.path, *secrets)
    if vault.kind == "directory":
        raise ValueError(f"vault {name} is a directory of {vault.on}, and {server} is another.  Use kind restic.")
    if vault.url is not None:
        return VaultPlace(name, vault.kind, vault.url, *secrets)
    address = estate.servers[vault.on].address
    if address is None:
        raise ValueError(f"{vault.on} has no address.  Add address: to servers.{vault.on}, or url: to vaults.{name}.")
    host = f"[{address}]" if ":" in address else address
    return VaultPlace(name, vault.kind, f"sftp:{host}:{vault.path}", *secrets)


def load(place: VaultPlace, secret: Callable[[str], str]) -> Vault:
    """The vault at a place. Raises ValueError, in one sentence with its remedy, where it cannot be had."""
    try:
        made: Vault = found(GROUP, place.kind)(place, secret)
    except (EntryError, OSError) as error:
        raise ValueError(f"vault {place.name}: {error}") from error
    return made
