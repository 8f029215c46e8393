"""One hoster: data centres of one company share its network, its billing, its control plane and its fate."""

from __future__ import annotations

from collections.abc import Iterator

from binome.analysis.contracts import contract
from binome.analysis.edit import Remedy
from binome.analysis.findings import Context, Found

SUBJECTS = ("hosters",)

_PRECEDENT = (
    "In May 2024 a mistake of Google Cloud's deleted UniSuper's private cloud with its copies; a backup with another "
    "provider helped to bring it back."
)


def findings(context: Context) -> Iterator[Found]:
    """One finding a hoster that holds too much of any service."""
    for name in context.platform.estate.hosters:
        remedy = Remedy("Rent one server of each pair, and the third etcd member, from another hoster.")
        yield from contract(context, name, ("hosters", name), _PRECEDENT, remedy)
