"""The key beside the copy: a copy is worth its key, and a key that is lost with it, or stolen with it, is none.

`key_on` names the servers that keep a vault's key. Where it is missing nobody knows; where all of them share a place
with the vault, or with all that is copied there, one loss leaves a copy that nobody can read.
"""

from __future__ import annotations

from collections.abc import Iterator

from binome.analysis import fate
from binome.analysis.edit import as_list, put
from binome.analysis.findings import Context, Found, Severity


def findings(context: Context) -> Iterator[Found]:
    """One finding a vault."""
    platform = context.platform
    for name, vault in platform.estate.vaults.items():
        if vault.key is None:
            continue
        away = fate.elsewhere(platform, [vault.on]) or "SERVER"
        path = ("vaults", name, "key_on")
        if not vault.key_on:
            remedy = put(platform.estate, path, as_list([away]), "Say which servers keep it; one must stand elsewhere.")
            message = "Nothing says where its key is kept besides: without the key its copies cannot be read."
            yield Found(Severity.WARNING, name, ("vaults", name), message, remedy)
        elif vault.on in vault.key_on and all(not fate.apart(platform, one, [vault.on]) for one in vault.key_on):
            remedy = put(platform.estate, path, as_list([*vault.key_on, away]), "Keep the key in another place too.")
            message = "Its key lies only beside the copies: who loses or steals one has lost or stolen the other."
            yield Found(Severity.ERROR, name, path, message, remedy)
