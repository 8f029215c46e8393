"""Kinds are found by entry points, ours as others'; what is not there is said, and stops nobody else."""

from __future__ import annotations

import asyncio
import subprocess
import sys
from importlib.metadata import EntryPoint
from pathlib import Path
from typing import Any

import pytest

from binome.core.target import Answer, Target
from binome.drivers import probe
from binome.drivers.probe.shared import reach as reach_module
from binome.drivers.probe.shared.reach import Reach
from binome.drivers.probe.tcp import TcpProbe
from binome.estate.probe_keys import PROBE_KEYS
from binome.ports import Finding, Surroundings
from tests.drivers.probe_suite import surroundings, target

PYPROJECT = Path(__file__).parents[2] / "pyproject.toml"


def registered() -> list[EntryPoint]:
    """Those of pyproject.toml: what an installation makes of them."""
    import tomllib

    lines = tomllib.loads(PYPROJECT.read_text())["project"]["entry-points"][probe.GROUP]
    return [EntryPoint(name, value, probe.GROUP) for name, value in lines.items()]


@pytest.fixture
def installed(monkeypatch: pytest.MonkeyPatch) -> list[EntryPoint]:
    found = registered()

    def entry_points(group: str, name: str | None = None) -> list[EntryPoint]:
        return [one for one in found if group == one.group and name in (None, one.name)]

    monkeypatch.setattr(probe, "entry_points", entry_points)
    return found


class Ldap:
    """A third party's."""

    def __init__(self, around: Surroundings) -> None:
        self.around = around

    async def look(self, one: Target) -> Finding:
        return Finding(Answer.UP, str(one.options["base"]), 0)


def broken(_: Surroundings) -> Any:
    raise ValueError("no licence")


def test_every_module_is_registered_and_every_kind_has_its_keys(installed: list[EntryPoint]) -> None:
    modules = {path.stem for path in Path(probe.__file__).parent.glob("*.py")} - {"__init__"}
    assert modules == set(probe.kinds()) == set(PROBE_KEYS)
    loaded = probe.load([target(kind, 0) for kind in modules], surroundings())
    assert loaded.problems == () and set(loaded.probes) == modules
    assert isinstance(loaded.probes["tcp"], TcpProbe)


def test_a_third_partys_kind_looks_like_ours(installed: list[EntryPoint]) -> None:
    installed.append(EntryPoint("ldap", f"{__name__}:Ldap", probe.GROUP))
    loaded = probe.load([target("ldap", 1)], surroundings())
    found = asyncio.run(loaded.probes["ldap"].look(target("ldap", 1, {"base": "dc=x"})))
    assert (found.answer, found.said) == (Answer.UP, "dc=x")


def test_what_is_not_there_is_said_with_its_remedy(installed: list[EntryPoint]) -> None:
    installed += [
        EntryPoint("broken", f"{__name__}:broken", probe.GROUP),
        EntryPoint("absent", "binome_absent:Probe", probe.GROUP),
        EntryPoint("icmp", f"{__name__}:Ldap", probe.GROUP),
    ]
    loaded = probe.load([target(kind, 1) for kind in ("htpp", "x9", "broken", "absent", "icmp", "tcp")], surroundings())
    assert loaded.problems == (
        "it is of kind htpp, and no probe of that kind is installed.  Did you mean http?",
        "it is of kind x9, and no probe of that kind is installed.  Install the package that brings it.",
        "it is of kind broken, and its probe cannot be loaded: no licence.  Mend or remove that package.",
        "it is of kind absent, and its probe cannot be loaded: No module named 'binome_absent'.  "
        "Install the extra `binome[looking]`.",
        "it is of kind icmp, which is registered by binome.drivers.probe.icmp:IcmpProbe and "
        f"{__name__}:Ldap.  Remove one.",
    )
    assert set(loaded.probes) == {"tcp"}


def test_the_probes_need_no_aiohttp() -> None:
    modules = ", ".join(one.value.partition(":")[0] for one in registered())
    code = (
        f"import {modules}, binome.runtime.prober, binome.runtime.heartbeats, sys; assert 'aiohttp' not in sys.modules"
    )
    subprocess.run([sys.executable, "-c", code], check=True, timeout=60)


def test_a_name_is_resolved_once_and_judged_by_its_addresses(monkeypatch: pytest.MonkeyPatch) -> None:
    answers = iter([["169.254.169.254", "127.0.0.1"], ["::1"], ["127.0.0.1"], []])
    asked = []

    async def resolve(host: str) -> list[str]:
        asked.append(host)
        return next(answers)

    monkeypatch.setattr(reach_module, "_asked", resolve)
    reach = Reach(frozenset({"127.0.0.1"}))

    async def run() -> None:
        assert await reach.address_of("app.example") == "127.0.0.1", "the first that may be reached"
        with pytest.raises(Exception, match="it leads to ::1, this server itself, which the estate does not name"):
            await reach.address_of("app.example")
        assert await reach.address_of("app.example") == "127.0.0.1"
        with pytest.raises(Exception, match=r"app\.example has no address"):
            await reach.address_of("app.example")

    asyncio.run(run())
    assert asked == ["app.example"] * 4
