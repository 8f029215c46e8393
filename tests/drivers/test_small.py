"""What an agent runs stays small: none of these may bring a web client, the estate or the ports with it."""

from __future__ import annotations

import subprocess
import sys

import pytest

AGENTS = (
    "binome.drivers.database.patroni.member",
    "binome.drivers.traffic.haproxy.traffic",
    "binome.drivers.host.routes",
)


@pytest.mark.parametrize("module", AGENTS)
def test_what_an_agent_runs_is_small(module: str) -> None:
    program = (
        f"import sys, {module}; print([one for one in ('aiohttp', 'pydantic', 'binome.estate') if one in sys.modules])"
    )
    told = subprocess.run([sys.executable, "-c", program], check=True, capture_output=True, text=True)
    assert told.stdout == "[]\n"
