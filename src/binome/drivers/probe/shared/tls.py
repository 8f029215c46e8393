"""Contexts of TLS: whom we believe, made once for each file of authorities and anew when the file changes."""

from __future__ import annotations

import ssl
from functools import lru_cache
from pathlib import Path

from binome.drivers.probe.shared.findings import NotAskedError


def context(authorities: str = "") -> ssl.SSLContext:
    """A client's context that checks chain and name against a file of authorities, or against the system's.

    Raises NotAskedError where the file cannot be read: that is no word about the target.
    """
    try:
        changed_ns = Path(authorities).stat().st_mtime_ns if authorities else 0
        return _context(authorities, changed_ns)
    except OSError as error:
        why = (error.strerror or "no certificate in it").lower()
        raise NotAskedError(f"the authorities in {authorities or 'the system'} cannot be read: {why}") from None


@lru_cache(maxsize=64)
def _context(authorities: str, _changed_ns: int) -> ssl.SSLContext:
    return ssl.create_default_context(cafile=authorities or None)
