"""What the other side said, fit for a log: one printable line, bounded, without any secret."""

from __future__ import annotations

from collections.abc import Iterable

LONGEST = 200


def said(text: str | bytes, secrets: Iterable[str] = ()) -> str:
    """A line of at most 200 characters. Whatever contains a secret, or a long enough part of one, loses it."""
    if isinstance(text, bytes):
        text = text[: 20 * LONGEST].decode("utf-8", "replace")
    for secret in secrets:
        if secret:
            text = text.replace(secret, "(secret)")
    line = " ".join("".join(one if one.isprintable() else " " for one in text[: 20 * LONGEST]).split())
    return line if len(line) <= LONGEST else line[: LONGEST - 1] + "…"
