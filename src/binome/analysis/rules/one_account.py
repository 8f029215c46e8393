"""One account: who is locked out of it, or has lost it to somebody else, loses all that was ordered through it."""

from __future__ import annotations

from collections.abc import Iterator

from binome.analysis.contracts import contract
from binome.analysis.edit import Remedy
from binome.analysis.findings import Context, Found

SUBJECTS = ("domains:account",)

_PRECEDENT = (
    "In June 2014 somebody else logged in to Code Spaces' one account and deleted servers and backups: the company "
    "closed within a day."
)


def findings(context: Context) -> Iterator[Found]:
    """One finding an account that holds too much of any service."""
    for name, domain in context.platform.estate.domains.items():
        if domain.kind == "account":
            remedy = Remedy("Order one member of each, and the vaults, through another account.")
            yield from contract(context, name, ("domains", name), _PRECEDENT, remedy)
