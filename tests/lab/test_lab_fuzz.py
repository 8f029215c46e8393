"""An episode of the fuzzer on the real engines: faults that overlap come and go, and what is promised holds."""

from __future__ import annotations

import pytest

from binome.lab.fuzz import Fuzz
from binome.lab.fuzz_plan import Episode, Strike
from binome.lab.lab import Lab
from binome.lab.matrix import quickened
from tests.lab.conftest import LITTORAL

pytestmark = pytest.mark.lab
ESTATE = quickened(LITTORAL.read_bytes())

TWO = (
    Strike(0.0, 3.0, ("cut", "primary's")),
    Strike(0.3, 1.0, ("freeze", "witness", "etcd")),
    Strike(0.5, 1.0, ("kill", "primary", "agent")),
)


def test_what_is_promised_holds_where_faults_overlap(lab: Lab) -> None:
    said: list[str] = []
    held = Fuzz(lab, said.append).play(Episode("t-1", TWO))
    assert held.amiss == []
    assert held.struck == list(TWO)
    assert held.passed_over == []
    assert held.evidence.acknowledged > 200
    assert held.whole_s is not None
    assert lab.sites()["gravelines"] == "up"
    assert not list(lab.folder.glob("fuzz-t-1-*.jsonl")), "the logs of what held are not kept"
    assert said[-1].startswith("  held")
