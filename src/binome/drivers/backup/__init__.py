"""The methods of copying: a module for each, found by entry points of the group `binome.backups`.

Built-in methods are registered in pyproject.toml exactly as a third party registers its own: the entry point's name is
the method, its object a `ports_of_copies.CopierFactory`.
"""

from __future__ import annotations

from collections.abc import Callable

from binome.drivers.entries import EntryError, found
from binome.ports_of_copies import Copier

GROUP = "binome.backups"


def load(method: str, secret: Callable[[str], str]) -> Copier:
    """The method of that name. Raises ValueError, in one sentence with its remedy, where it cannot be had."""
    try:
        made: Copier = found(GROUP, method)(secret)
    except EntryError as error:
        raise ValueError(str(error)) from error
    return made
