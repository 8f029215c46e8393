"""The entry points of pyproject.toml: what an installation makes of them."""

from __future__ import annotations

import tomllib
from importlib.metadata import EntryPoint
from pathlib import Path

import pytest

PYPROJECT = Path(__file__).parents[2] / "pyproject.toml"


def registered(group: str) -> list[EntryPoint]:
    """Those of a group."""
    lines = tomllib.loads(PYPROJECT.read_text())["project"]["entry-points"][group]
    return [EntryPoint(name, value, group) for name, value in lines.items()]


def install(monkeypatch: pytest.MonkeyPatch, *more: EntryPoint) -> None:
    """Makes the drivers of vaults and methods be found as pyproject.toml says, and more."""

    def entry_points(group: str, name: str | None = None) -> list[EntryPoint]:
        every = [*registered(group), *(one for one in more if one.group == group)]
        return [one for one in every if name in (None, one.name)]

    monkeypatch.setattr("binome.drivers.entries.entry_points", entry_points)
