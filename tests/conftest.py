"""What all tests share."""

from __future__ import annotations

import pytest


def pytest_addoption(parser: pytest.Parser) -> None:
    parser.addoption(
        "--rewrite",
        action="store_true",
        help="write the expected texts of the data-driven tests from what comes out now, instead of comparing; "
        "then read the difference in git before it is committed",
    )


@pytest.fixture
def rewrite(request: pytest.FixtureRequest) -> bool:
    """Whether expected texts are written instead of compared."""
    return bool(request.config.getoption("--rewrite"))
