"""The answers of engines that speak JSON over HTTP."""

from __future__ import annotations

import json
from typing import Any

from binome.drivers.probe.shared.findings import WrongError
from binome.drivers.probe.shared.http_client import Request, Response, exchange


async def asked(request: Request) -> tuple[Response, dict[str, Any]]:
    """An answer and the JSON object in it. Raises WrongError where there is none, and OSError."""
    response = await exchange(request)
    try:
        found = json.loads(response.body)
    except (ValueError, RecursionError):
        found = None
    if not isinstance(found, dict):
        raise WrongError(f"{response.status} {response.reason}, and no JSON object")
    return response, found


def text(value: Any) -> str:
    """A value that should be a word; empty where it is none."""
    return value if isinstance(value, str) else ""


def number(value: Any) -> int | None:
    """A value that should be a whole number, or digits; None where it is neither."""
    if isinstance(value, str) and value.isascii() and value.isdigit() and len(value) <= 20:  # of 64 bits
        return int(value)
    return value if isinstance(value, int) and not isinstance(value, bool) else None
