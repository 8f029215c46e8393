"""One lab for all nights; after each of them it is whole, and every acknowledged write of that night is there."""

from __future__ import annotations

import os
import re
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from binome.lab import checker
from binome.lab.checker import Evidence
from binome.lab.clients import Clients, held_by, prepare_ledger
from binome.lab.guard import passing_lab
from binome.lab.lab import Lab

LITTORAL = Path(__file__).parents[2] / "examples" / "littoral" / "estate.yaml"


ENGINES_ALONE = re.sub(rb"(?m)^lookout:.*\n(?:[ \t].*\n)*", b"", LITTORAL.read_bytes())
"""The example without lookouts, for tests of what engines and hands do by themselves: nobody takes over or fences."""


@pytest.fixture(scope="module")
def lab(request: pytest.FixtureRequest) -> Iterator[Lab]:
    """The example's lab, or that of a module's own `ESTATE`."""
    assert os.geteuid() == 0, "the lab's tests need root: sudo make test"
    with passing_lab(getattr(request.module, "ESTATE", LITTORAL.read_bytes()), say=print) as lab:
        prepare_ledger(lab)
        yield lab


class Night:
    """A lab under load, and the judgement at its end."""

    def __init__(self, lab: Lab, name: str) -> None:
        self.lab = lab
        self.clients = Clients(lab, f"{name}-")
        self.service = lab.database()
        self.primary = lab.primary(self.service)
        members = lab.estate.services[self.service].on
        self.standby = next(member for member in members if member != self.primary)
        self.evidence: Evidence | None = None

    def site_of(self, server: str) -> str:
        return self.lab.estate.servers[server].site or ""

    def until(self, condition: Callable[[], bool], what: str, timeout_s: float = 60) -> None:
        self.lab.wait_for(lambda: [] if condition() else [what], what, timeout_s)

    def acknowledged(self) -> int:
        """How many writes were acknowledged until now."""
        for log in self.clients.logs.values():
            log.grown()
        return sum(one.operation == "write" and one.state == "acknowledged" for one in self.clients.records())

    def until_writes_flow(self, more: int = 100, timeout_s: float = 60) -> None:
        enough = self.acknowledged() + more
        self.until(lambda: self.acknowledged() >= enough, f"{more} more writes", timeout_s)

    def until_primary(self, server: str) -> None:
        self.until(lambda: self.lab.look(self.service, server).role == "primary", f"{server} as primary")

    def write_outage_s(self) -> float:
        return checker.outages(self.clients.logs["patient"].records)["write"]


@pytest.fixture
def night(lab: Lab, request: pytest.FixtureRequest) -> Iterator[Night]:
    """Load before, during and after what the test does; then nothing may be lost, and the pair must be whole."""
    with nothing_lost(lab, request.node.name.removeprefix("test_").replace("_", "-")) as night:
        yield night


@contextmanager
def nothing_lost(lab: Lab, name: str) -> Iterator[Night]:
    lab.wait_until_whole()
    night = Night(lab, name)
    night.clients.start()
    night.until_writes_flow()
    yield night
    lab.wait_until_whole()
    night.until_writes_flow()
    night.clients.stop()
    night.evidence = checker.check(night.clients.records(), held_by(lab, lab.primary(night.service)))
    assert night.evidence.acknowledged >= 200
    assert night.evidence.lost == ()
    assert night.evidence.double_primary == ()
