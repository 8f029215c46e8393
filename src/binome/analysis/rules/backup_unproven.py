"""A copy that nobody ever restored: whether it is one is learned on the worst day.

A proof is a restore on a server that does not run what is copied.
"""

from __future__ import annotations

from collections.abc import Iterator

from binome.analysis import fate
from binome.analysis.edit import put
from binome.analysis.findings import Context, Found, Severity

_PRECEDENT = (
    "In January 2017 GitLab found, with its database deleted, that none of its five ways of copying had worked: six "
    "hours of data were lost."
)


def findings(context: Context) -> Iterator[Found]:
    """One finding a backup."""
    platform = context.platform
    for name, backup in platform.estate.backups.items():
        members = [one for data in backup.of for one in platform.estate.services[platform.estate.data[data].in_].on]
        server = fate.elsewhere(platform, members) or "SERVER"
        if backup.proof is None:
            remedy = put(
                platform.estate,
                ("backups", name, "proof"),
                f"{{every: 1d, on: {server}}}",
                "Restore it every day on a server that can be spared.",
            )
            message = (
                "It is never restored, so nobody knows whether it can be, how long that takes, nor how old it is."
                f"  {_PRECEDENT}"
            )
            yield Found(Severity.WARNING, name, ("backups", name), message, remedy)
        elif backup.proof.on in members:
            every = f"{backup.proof.every_ms // 60_000}m"
            remedy = put(
                platform.estate,
                ("backups", name, "proof"),
                f"{{every: {every}, on: {server}}}",
                "Restore it on a server that does not run what is copied.",
            )
            message = (
                f"It is proven on {backup.proof.on}, which is what the copy is to replace: the proof dies with the "
                f"original.  {_PRECEDENT}"
            )
            yield Found(Severity.WARNING, name, ("backups", name, "proof"), message, remedy)
