"""The key beside the copy: a copy is worth its key, and a key that is lost with it, or stolen with it, is none.

`key_on` names the servers that keep a vault's key. Where it is missing nobody knows; where all of them share a place
with the vault, whoever loses that place or breaks into it has both.
"""

from __future__ import annotations

from collections.abc import Iterator

from binome.analysis import fate, placement
from binome.analysis.edit import Remedy, as_list, put
from binome.analysis.findings import Context, Found, Severity
from binome.analysis.outcome import Platform
from binome.estate.model import Vault

SUBJECTS = ("vaults",)


def findings(context: Context) -> Iterator[Found]:
    """One finding a vault."""
    platform = context.platform
    for name, vault in platform.estate.vaults.items():
        if vault.key is None:
            continue
        away, path = placement.keeper(platform, [vault.on]), ("vaults", name, "key_on")
        if not vault.key_on:
            words = "Say which servers keep it (key_on); one must stand elsewhere."
            message = "Nothing says where its key is kept besides: without the key its copies cannot be read."
            severity = Severity.WARNING
        elif all(not fate.apart(platform, one, [vault.on]) for one in vault.key_on):
            words = "Keep the key in another place too."
            message = "Its key lies only beside the copies: who loses or steals one has lost or stolen the other."
            severity = _severity(platform, vault)
        else:
            continue
        remedy = put(platform.estate, path, as_list([*vault.key_on, away]), words) if away else Remedy(words)
        yield Found(severity, name, path if vault.key_on else path[:-1], message, remedy)


def _severity(platform: Platform, vault: Vault) -> Severity:
    """That of the softest: one key that shares no more than a region with the copies is as far as a region is wide."""
    places = [fate.shared(platform, [vault.on, one]) for one in vault.key_on if one != vault.on]
    return min((fate.severity(platform, shared) for shared in places), default=Severity.ERROR)
