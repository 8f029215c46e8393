"""No partner at all: as many members as are needed, so that each server's loss is the service's."""

from __future__ import annotations

from collections.abc import Iterator

from binome.analysis import placement
from binome.analysis.edit import Remedy
from binome.analysis.findings import Context, Found, Severity
from binome.analysis.outcome import required

SUBJECTS = ("services",)


def findings(context: Context) -> Iterator[Found]:
    """One finding a service."""
    platform = context.platform
    for name, service in platform.estate.services.items():
        if len(service.on) == required(service) and service.kind != "etcd":
            path = ("services", name, "on")
            members, words = placement.partnered(platform, name), "Give it a partner in another place."
            message = (
                f"{service.on[0]} is its only member: that server's loss is its own."
                if len(service.on) == 1
                else f"All {len(service.on)} members must live: the loss of any is its own."
            )
            yield Found(
                Severity.WARNING,
                name,
                path,
                message,
                placement.manned(platform, name, members, words) if members else Remedy(words),
                service.on,
            )
