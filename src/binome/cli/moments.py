"""Times as people read them: absolute, with the zone, where something is recorded; relative where it happens."""

from __future__ import annotations

from datetime import datetime

_DAY_MS = 86_400_000


def moment(at_ms: int, now_ms: int) -> str:
    """A time of day with its zone; with its date where it is over a day away. As it is, if no calendar has it."""
    form = "%H:%M:%S %Z" if 0 <= now_ms - at_ms < _DAY_MS else "%Y-%m-%d %H:%M:%S %Z"
    try:
        return format(datetime.fromtimestamp(at_ms / 1000).astimezone(), form)
    except (OverflowError, ValueError, OSError):
        return f"{at_ms} ms"


def ago(at_ms: int, now_ms: int) -> str:
    """How long ago, in the one or two units that matter: `4 min`, `2 h 5 min`, `3 days`."""
    return lasted((now_ms - at_ms) / 1000)


def lasted(seconds: float) -> str:
    """A length of time, in the one or two units that matter."""
    whole = max(0, int(seconds))
    if whole < 100:
        return f"{whole} s"
    minutes = whole // 60
    if minutes < 100:
        return f"{minutes} min"
    hours, minutes = divmod(minutes, 60)
    if hours < 48:
        return f"{hours} h {minutes} min" if minutes else f"{hours} h"
    return f"{hours // 24} days"
