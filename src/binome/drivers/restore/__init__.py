"""How copies are restored: a module for each method, found by entry points of the group `binome.restorers`.

The entry point's name is the method, its object a `ports_of_copies.RestorerFactory`.
"""

from __future__ import annotations

from binome.drivers.entries import EntryError, found
from binome.ports_of_copies import Restorer

GROUP = "binome.restorers"


def load(method: str) -> Restorer:
    """What restores copies of that method. Raises ValueError, in a sentence with its remedy, where it cannot be had."""
    try:
        made: Restorer = found(GROUP, method)()
    except EntryError as error:
        raise ValueError(str(error)) from error
    return made
