"""The eyes: a module for each kind of probe, found by entry points of the group `binome.probes`.

Built-in kinds are registered in pyproject.toml exactly as a third party registers its own: the entry point's name is
the kind, its object a `ProbeFactory`. Only the kinds that an estate asks for are imported.
"""

from __future__ import annotations

from collections.abc import Iterable
from importlib.metadata import entry_points
from typing import NamedTuple

from binome.core.target import Target
from binome.estate.problem import did_you_mean
from binome.ports import Probe, Surroundings

GROUP = "binome.probes"


class Loaded(NamedTuple):
    """The probes by kind, and what keeps others from being there: one sentence each, with its remedy."""

    probes: dict[str, Probe]
    problems: tuple[str, ...]


def kinds() -> tuple[str, ...]:
    """Every kind that is installed, in alphabetical order."""
    return tuple(sorted({one.name for one in entry_points(group=GROUP)}))


def load(targets: Iterable[Target], surroundings: Surroundings) -> Loaded:
    """The probes that some targets need. Never raises: what is not there is a problem, and the others look on."""
    first: dict[str, str] = {}
    for target in targets:
        first.setdefault(target.kind, target.name)
    probes: dict[str, Probe] = {}
    problems = []
    for kind, name in first.items():
        found = sorted(entry_points(group=GROUP, name=kind), key=lambda one: one.value)
        if not found:
            remedy = did_you_mean(kind, [frozenset(kinds())], "Install the package that brings it.")
            problems.append(f"{name} is of kind {kind}, and no probe of that kind is installed.  {remedy}")
        elif len({one.value for one in found}) > 1:
            places = " and ".join(one.value for one in found)
            problems.append(f"{name} is of kind {kind}, which is registered by {places}.  Remove one.")
        else:
            try:
                probes[kind] = found[0].load()(surroundings)
            except Exception as error:  # a third party's, or a dependency that is missing
                problems.append(f"{name} is of kind {kind}, and its probe cannot be loaded: {error}.  {_extra(error)}")
    return Loaded(probes, tuple(problems))


def _extra(error: Exception) -> str:
    missing = isinstance(error, ImportError)
    return "Install the extra `binome[looking]`." if missing else "Mend or remove that package."
