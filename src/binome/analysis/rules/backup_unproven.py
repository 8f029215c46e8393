"""A copy that nobody ever restored: whether it is one is learned on the worst day.

A proof is a restore on a server that does not run what is copied.
"""

from __future__ import annotations

from collections.abc import Iterator

from binome.analysis import placement
from binome.analysis.edit import Remedy, put
from binome.analysis.findings import Context, Found, Severity

SUBJECTS = ("backups",)

_PRECEDENT = (
    "In January 2017 GitLab found, with its database deleted, that none of its five ways of copying had worked: six "
    "hours of data were lost."
)


def findings(context: Context) -> Iterator[Found]:
    """One finding a backup."""
    platform = context.platform
    for name, backup in platform.estate.backups.items():
        members = [one for data in backup.of for one in platform.estate.services[platform.estate.data[data].in_].on]
        server, path = placement.prover(platform, backup, members), ("backups", name, "proof")
        if backup.proof is None:
            words = "Restore it every day on a server that can be spared: proof: {every: 1d, on: …}."
            remedy = put(platform.estate, path, f"{{every: 1d, on: {server}}}", words) if server else Remedy(words)
            message = "It is never restored: nobody knows whether it can be, how long that takes, nor how old it is."
            yield Found(Severity.WARNING, name, path[:-1], f"{message}  {_PRECEDENT}", remedy)
        elif backup.proof.on in members:
            words = "Restore it on a server that does not run what is copied."
            remedy = put(platform.estate, (*path, "on"), server, words) if server else Remedy(words)
            message = f"It is proven on {backup.proof.on}, which runs what the copy is to replace."
            yield Found(Severity.WARNING, name, path, f"{message}  {_PRECEDENT}", remedy)
