"""How a value that somebody else has chosen may stand in a line of ours. It imports nothing: an agent stays small."""

from __future__ import annotations


def shown(value: object, limit: int = 60) -> str:
    """A value as an error message may show it: one line of printable ASCII, never longer than `limit`."""
    text = value if isinstance(value, str) else repr(value)
    text = text[: limit + 1].encode("unicode_escape").decode("ascii")
    return text if len(text) <= limit else text[: limit - 1] + "…"
