"""Damage on purpose: what a proof is rehearsed with, on a copy of a copy."""

from __future__ import annotations

from pathlib import Path

from binome.core.copies import MANIFEST


def damage(folder: Path) -> str:
    """Flips one bit in the middle of the longest file of a copy, and says which. Raises OSError."""
    files = sorted(path for path in folder.rglob("*") if path.is_file() and path != folder / MANIFEST)
    longest = max(files, key=lambda path: path.stat().st_size)
    with longest.open("r+b") as file:
        middle = longest.stat().st_size // 2
        file.seek(middle)
        (byte,) = file.read(1)
        file.seek(middle)
        file.write(bytes([byte ^ 1]))
    return f"{longest.relative_to(folder)}, byte {middle}"
