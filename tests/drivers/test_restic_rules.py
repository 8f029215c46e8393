"""Retention against restic itself, on random dates: what `restic forget` would keep is what we keep."""

from __future__ import annotations

import json
import os
import subprocess
from datetime import UTC, datetime, timedelta, timezone
from pathlib import Path
from tempfile import TemporaryDirectory

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from binome.core.retention import Snapshot, judge
from binome.estate.model import Keep
from tests.drivers import restic_repository

ZONES = st.sampled_from([UTC, timezone(timedelta(hours=2)), timezone(timedelta(hours=-9))])
FROM, UNTIL = datetime(2023, 12, 20), datetime(2025, 1, 10)
SPREAD = st.datetimes(FROM, UNTIL, timezones=ZONES)
CLOSE = st.datetimes(datetime(2024, 12, 28), datetime(2025, 1, 3), timezones=ZONES)  # hours, and a year's end
DATES = st.lists(SPREAD | CLOSE, min_size=1, max_size=40, unique_by=lambda at: at.timestamp())
FEW = st.dictionaries(st.sampled_from(list(Keep.model_fields)), st.integers(1, 9), min_size=1, max_size=2)
KEEPS = FEW.map(lambda counts: Keep(**counts))  # with more rules each hides what another does


def forget(repository: Path, keep: Keep) -> set[str]:
    """The ids that restic would keep."""
    rules = [f"--keep-{name}={count}" for name, count in keep if count is not None]
    given = {**os.environ, "RESTIC_PASSWORD": restic_repository.PASSWORD, "RESTIC_REPOSITORY": str(repository)}
    command = ["restic", "forget", "--no-cache", "--no-lock", "--dry-run", "--json", "--group-by=", *rules]
    told = subprocess.run(command, env=given, capture_output=True, check=True, timeout=60).stdout
    return {one["id"] for group in json.loads(told) for one in group["keep"] or []}


@pytest.mark.lab
@settings(max_examples=150, deadline=None, suppress_health_check=[HealthCheck.too_slow])
@given(DATES, KEEPS)
def test_what_restic_keeps_we_keep(dates: list[datetime], keep: Keep) -> None:
    with TemporaryDirectory(prefix="binome-restic-") as folder:
        made = restic_repository.make(Path(folder), [{"time": at.isoformat()} for at in dates])
        snapshots = [Snapshot(id_, datetime.fromisoformat(one["time"])) for id_, one in made.items()]
        ours = {one.id for one in judge(snapshots, keep, datetime(2026, 1, 1, tzinfo=UTC)).kept}
        assert ours == forget(Path(folder), keep)
