"""Drivers by their entry points: ours as others'."""

from __future__ import annotations

from importlib.metadata import entry_points
from typing import Any

from binome.estate.problem import did_you_mean


class EntryError(Exception):
    """No driver of that name, or too many of them, or one that cannot be loaded; one sentence with its remedy."""


def found(group: str, name: str) -> Any:
    """What the one entry point of that group and name stands for. Raises EntryError."""
    every = {one.value: one for one in entry_points(group=group, name=name)}
    if not every:
        known = frozenset(one.name for one in entry_points(group=group))
        remedy = did_you_mean(name, [known], "Install the package that brings it.")
        raise EntryError(f"nothing that is installed knows {name}.  {remedy}")
    if len(every) > 1:
        raise EntryError(f"{name} is registered by {' and '.join(sorted(every))}.  Remove one.")
    try:
        return next(iter(every.values())).load()
    except ImportError as error:
        raise EntryError(f"{name} cannot be loaded: {error}.  Install the extra `binome[backup]`.") from error
