"""CAs and identities for tests: made once a test, in its folder."""

from __future__ import annotations

import time
from pathlib import Path

from binome.runtime.identity import Authority, Identity, new_key

DAY_MS = 86_400_000


def now_ms() -> int:
    return time.time_ns() // 1_000_000


def ca(folder: Path, estate: str = "littoral", days: int = 7) -> Authority:
    return Authority.make(folder, estate, days=days, now_ms=now_ms())


def put(
    authority: Authority, folder: Path, server: str, at_ms: int | None = None, address: str | None = "127.0.0.1"
) -> Path:
    """An identity by this CA, in a folder, as if issued at some time."""
    key = new_key()
    at_ms = now_ms() if at_ms is None else at_ms
    paper = authority.issue(server, address, key.public_key(), at_ms)
    Identity.put(folder, ca=authority.pem, certificate=paper.pem, key=key, revoked_list=authority.revoked(at_ms).pem)
    return folder


def identity(authority: Authority, folder: Path, server: str, at_ms: int | None = None) -> Identity:
    return Identity(put(authority, folder, server, at_ms), authority.register().estate, server)
