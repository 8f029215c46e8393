"""The probe of kind tls: certificates that are good, old, young, foreign or of somebody else."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest

from binome.core.target import Answer
from binome.drivers.probe.tls import TlsProbe
from binome.ports import Finding
from tests.drivers.certificates import NOW, Authority
from tests.drivers.probe_suite import ProbeSuite, served, silent, surroundings, target


class TestTls(ProbeSuite):
    kind = "tls"

    @pytest.fixture(autouse=True)
    def authority(self, tmp_path: Path) -> None:
        self.issuer = Authority(tmp_path)

    def make(self) -> TlsProbe:
        return TlsProbe(surroundings())

    def options(self) -> dict[str, Any]:
        return {"ca": str(self.issuer.file), "host": "app.example"}

    @asynccontextmanager
    async def answering(self) -> AsyncIterator[int]:
        async with served(silent, ssl=self.issuer.server("app.example")) as port:
            yield port


def look(context: Any, options: dict[str, Any]) -> Finding:
    async def run() -> Finding:
        async with served(silent, ssl=context) as port:
            return await TlsProbe(surroundings()).look(target("tls", port, {"host": "app.example", **options}))

    return asyncio.run(run())


def test_days_are_counted(tmp_path: Path) -> None:
    authority = Authority(tmp_path)
    found = look(authority.server("app.example"), {"ca": str(authority.file), "days": 30})
    assert (found.answer, found.details["days_left"]) == (Answer.UP, 30)
    found = look(authority.server("app.example"), {"ca": str(authority.file), "days": 31})
    assert (found.answer, found.said) == (Answer.DOWN, "its certificate ends in 30 days, and should be good for 31")


@pytest.mark.parametrize(
    ("begins", "ends", "says"),
    [
        (datetime(1970, 1, 1, tzinfo=UTC), datetime(1970, 1, 2, tzinfo=UTC), "certificate has expired"),
        (NOW + timedelta(days=1), NOW + timedelta(days=2), "certificate is not yet valid"),
    ],
)
def test_a_certificate_of_another_time(tmp_path: Path, begins: datetime, ends: datetime, says: str) -> None:
    authority = Authority(tmp_path)
    found = look(authority.server("app.example", begins, ends), {"ca": str(authority.file)})
    assert (found.answer, found.said) == (Answer.DOWN, f"its certificate is refused: {says}")


def test_a_certificate_of_somebody_else(tmp_path: Path) -> None:
    authority, stranger = Authority(tmp_path), Authority(tmp_path, "stranger")
    found = look(stranger.server("app.example"), {"ca": str(authority.file)})
    assert found.said == "its certificate is refused: unable to get local issuer certificate"
    assert look(authority.server("app.example"), {}).answer is Answer.DOWN, "the system does not know it"
    found = look(authority.server("other.example"), {"ca": str(authority.file)})
    assert "Hostname mismatch" in found.said and found.answer is Answer.DOWN
