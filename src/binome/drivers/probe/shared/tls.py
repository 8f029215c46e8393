"""Contexts of TLS: whom we believe, made once for each file of authorities and anew when the file changes."""

from __future__ import annotations

import ssl
from functools import lru_cache
from pathlib import Path

from binome.drivers.probe.shared.findings import NotAskedError


def context(authorities: str = "", certificate: str = "", key: str = "") -> ssl.SSLContext:
    """A client's context that checks chain and name against a file of authorities, or against the system's.

    With files of a certificate and its key it shows who we are. Raises NotAskedError where a file cannot be read: that
    is no word about the target.
    """
    files = (authorities, certificate, key)
    try:
        return _context(files, tuple(Path(file).stat().st_mtime_ns if file else 0 for file in files))
    except OSError as error:
        why = (error.strerror or "no certificate in it").lower()
        ours = f", or {certificate} with {key}," if certificate else ""
        where = authorities or "the system"
        raise NotAskedError(f"the authorities in {where}{ours} cannot be read: {why}") from None


@lru_cache(maxsize=64)
def _context(files: tuple[str, str, str], _changed_ns: tuple[int, ...]) -> ssl.SSLContext:
    authorities, certificate, key = files
    made = ssl.create_default_context(cafile=authorities or None)
    if certificate:
        made.load_cert_chain(certificate, key or None)
    return made
