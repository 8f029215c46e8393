"""What people may put into the journal."""

from __future__ import annotations

from typing import Any

import pytest

from binome.core.maintenance import MaintenanceAsked, MaintenanceEndAsked
from binome.core.request import admitted

ASKED = {
    "kind": "maintenance-asked", "request": "r1", "subject": "web", "until_ms": 5, "why": "new disks", "who": "ops-1"
}  # fmt: skip


def test_requests_are_admitted() -> None:
    assert admitted("r1", {**ASKED, "more": 1}) == MaintenanceAsked("r1", "web", 5, "new disks", "ops-1")
    end = {"kind": "maintenance-end-asked", "request": "r2", "subject": "web", "who": "ops-1"}
    assert admitted("r2", end) == MaintenanceEndAsked("r2", "web", "ops-1")


@pytest.mark.parametrize(
    ("request_", "fact", "reason"),
    [
        ("r1", {"kind": "plan-made"}, "one of the kinds"),
        ("r1", {"kind": "leadership-taken", "leader": "me"}, "one of the kinds"),
        ("r1", {"kind": []}, "one of the kinds"),
        ("r1", {}, "one of the kinds"),
        ("r1", None, "one of the kinds"),
        ("r1", {**ASKED, "until_ms": "5"}, "until_ms"),
        ("r1", {**ASKED, "until_ms": 10**18}, "until_ms"),
        ("r1", {**ASKED, "until_ms": -1}, "until_ms"),
        ("r1", {**ASKED, "why": "w" * 501}, "why"),
        ("r1", {**ASKED, "why": "two\nlines"}, "why"),
        ("r1", {**ASKED, "who": "w" * 201}, "who"),
        ("r2", ASKED, "another request"),
        ("r" * 65, {**ASKED, "request": "r" * 65}, "1 to 64"),
        ("r/1", {**ASKED, "request": "r/1"}, "1 to 64"),
        ("", {**ASKED, "request": ""}, "1 to 64"),
        ([], ASKED, "1 to 64"),
    ],
)
def test_anything_else_is_not(request_: Any, fact: Any, reason: str) -> None:
    with pytest.raises(ValueError, match=reason):
        admitted(request_, fact)
