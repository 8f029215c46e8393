"""Lookouts with clocks of their own: that these are what they say; the rows of it with `make lab-test ALL=1`."""

from __future__ import annotations

import os
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

from binome.estate import load
from binome.lab import clock
from binome.lab.clients import prepare_ledger
from binome.lab.lab import Lab
from binome.lab.matrix import Trial, lab_for
from binome.lab.rows import ROWS, Row
from tests.lab.conftest import LITTORAL

pytestmark = pytest.mark.lab
CHOSEN = [row for row in ROWS if row.clocks and os.environ.get("BINOME_MATRIX") == "all"]
_SAYS = """
import sys, time
for _ in sys.stdin:
    print(time.time(), time.monotonic(), flush=True)
"""


def test_a_clock_says_what_it_is_turned_to_and_waiting_goes_on_as_before(tmp_path: Path) -> None:
    lab: Any = SimpleNamespace(estate=load(LITTORAL.read_bytes()), root=lambda server: tmp_path / server, clocks={})
    clock.give(lab)
    assert sorted(lab.clocks) == ["gra-edge", "par-watch", "sbg-edge"]
    with subprocess.Popen(
        [sys.executable, "-c", _SAYS],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
        env=os.environ | lab.clocks["par-watch"],
    ) as program:
        assert program.stdin is not None
        assert program.stdout is not None

        def wrong_by_s() -> float:
            assert program.stdin is not None
            assert program.stdout is not None
            program.stdin.write("\n")
            program.stdin.flush()
            said_s, waits_s = (float(word) for word in program.stdout.readline().split())
            assert abs(waits_s - time.monotonic()) < 5
            return said_s - time.time()

        def until_about(wanted_s: float) -> None:
            within_s = time.monotonic() + 10
            while abs(wrong_by_s() - wanted_s) > 5:
                assert time.monotonic() < within_s
                time.sleep(0.1)

        until_about(0)
        for offset in ("+600", "-600"):
            clock.turn(lab, "par-watch", offset)
            until_about(float(offset))
        clock.turn(lab, "par-watch", clock.RIGHT)
        until_about(0)
        program.stdin.close()


@pytest.fixture(scope="module")
def wound() -> Iterator[Lab]:
    with lab_for(LITTORAL.read_bytes(), CHOSEN[0]) as lab:
        prepare_ledger(lab)
        yield lab


@pytest.mark.parametrize("row", CHOSEN, ids=lambda row: row.name)
def test_row(wound: Lab, row: Row) -> None:
    trial = Trial(wound, row, print)
    trial.prepare()
    assert trial.run().amiss == []
