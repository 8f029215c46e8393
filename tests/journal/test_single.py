"""The journal of a single server does what every journal must."""

from __future__ import annotations

import asyncio
from pathlib import Path

import pytest

from tests.journal.journal_case import FAULTS, Case, left_out
from tests.journal.journal_harness import SingleServer
from tests.journal.journal_suite import CASES


@pytest.mark.parametrize("case", [one for one in CASES if one.runs_for(SingleServer.lacks)], ids=lambda one: one.name)
def test_suite(case: Case, tmp_path: Path) -> None:
    async def run() -> None:
        server = SingleServer(tmp_path)
        server.start("a")
        await case.run(server)
        await server.stop("a")

    asyncio.run(run())


def test_what_it_is_not_put_through_has_a_reason() -> None:
    """Each fault that it lacks leaves a case out, and it lacks no more than it says."""
    assert SingleServer.lacks.keys() <= FAULTS.keys()
    out = left_out(SingleServer.lacks)
    assert len(out) == sum(not one.runs_for(SingleServer.lacks) for one in CASES) < len(CASES)
    assert all(reason for reasons in out.values() for reason in reasons)
    assert {reason for reasons in out.values() for reason in reasons} == set(SingleServer.lacks.values())
    assert {need for one in CASES for need in one.needs} == set(FAULTS), "every fault has a case"
