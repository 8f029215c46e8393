"""Our client against a real etcd of three members on loopback: the shared suite, and what only a real one has."""

from __future__ import annotations

import asyncio
from collections.abc import Iterator

import pytest

from binome.lab.loopback import LoopbackEtcd
from tests.journal.etcd_harness import real_etcd
from tests.journal.etcd_suite import CASES, Case

pytestmark = pytest.mark.lab

_QUOTA_BYTES = 24 << 20


@pytest.fixture(scope="module")
def members(tmp_path_factory: pytest.TempPathFactory) -> Iterator[LoopbackEtcd]:
    options = [f"--quota-backend-bytes={_QUOTA_BYTES}", "--strict-reconfig-check=false", "--unsafe-no-fsync"]
    with LoopbackEtcd(tmp_path_factory.mktemp("etcd"), *options) as members:
        yield members


@pytest.mark.parametrize("case", CASES, ids=lambda case: case.name)
def test_suite(case: Case, members: LoopbackEtcd) -> None:
    async def run() -> None:
        async with real_etcd(members) as harness:
            assert case.needs <= harness.offers
            await case(harness)

    asyncio.run(run())
