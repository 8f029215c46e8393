"""One hoster: data centres of one company share its network, its billing, its control plane and its fate."""

from __future__ import annotations

from collections.abc import Iterator

from binome.analysis.contracts import contract
from binome.analysis.edit import Remedy
from binome.analysis.findings import Context, Found

_PRECEDENT = (
    "In May 2024 Google Cloud deleted UniSuper's whole subscription, both regions of it; a copy with another provider "
    "saved it."
)


def findings(context: Context) -> Iterator[Found]:
    """One finding a hoster that holds too much of any service."""
    for name in context.platform.estate.hosters:
        remedy = Remedy("Rent one server of each pair, and the third etcd member, from another hoster.")
        yield from contract(context, name, ("hosters", name), _PRECEDENT, remedy)
