"""Misgivings: why a copy that is whole, and restores, may still be none to trust.

*Its time cannot be.* A copy of the future, or one whose clock went back while it was taken, or one whose time is before
that of another although its engine had come further: whatever sorts copies by time, retention above all, would be led
astray. How far an engine had come is its `position` in the fingerprint: whose history, its branch, a place on it.

*There is far less than there was.* A copy of an emptied database is as good a copy as any. So what was saved is held
against the copies before it: less than a fifth of what is usual among them is no change that comes by itself.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from datetime import UTC, datetime
from statistics import median_low
from typing import Any, NamedTuple

from binome.core.copies import Manifest

AHEAD_MS = 300_000
"""So much may clocks differ."""
ORDER_MS = 3_600_000
"""So long may a standby, of which a copy is taken, be behind its primary."""
FIFTH = 5
LEAST = 10
LEAST_BYTES = 1 << 16


class Volume(NamedTuple):
    """How much a copy is of: its bytes, and what its method counts, by words such as `rows`."""

    size_bytes: int
    amounts: Mapping[str, int]


def astray(manifest: Manifest, now_ms: int, others: Sequence[Manifest]) -> list[str]:
    """What cannot be about the time of a copy, a line each. `others` are of the same backup."""
    wrong = []
    if manifest.at_ms > now_ms + AHEAD_MS:
        wrong.append(f"it is of {_moment(manifest.at_ms)}, and it is {_moment(now_ms)} here")
    if not manifest.began_ms <= manifest.at_ms <= manifest.ended_ms:
        wrong.append(
            f"its clock went back: it was begun {_moment(manifest.began_ms)}, is of {_moment(manifest.at_ms)}, "
            f"and was ended {_moment(manifest.ended_ms)}"
        )
    for other in others:
        if manifest.at_ms < other.at_ms - ORDER_MS and _further(manifest, other):
            wrong.append(f"it is of {_moment(manifest.at_ms)}, and later than the copy of {_moment(other.at_ms)}")
    return wrong


def scant(volume: Volume, earlier: Sequence[Volume]) -> list[str]:
    """Where a copy has far less than those before it, a line each."""
    if not earlier:
        return []
    wrong = []
    usual = median_low([one.size_bytes for one in earlier])
    if usual >= LEAST_BYTES and volume.size_bytes * FIFTH < usual:
        wrong.append(f"it is of {volume.size_bytes} bytes, and {usual} are usual")
    for name, amount in volume.amounts.items():
        before = [one.amounts[name] for one in earlier if name in one.amounts]
        usual = median_low(before) if before else 0
        if usual >= LEAST and amount * FIFTH < usual:
            wrong.append(f"it has {amount} {name}, and {usual} are usual")
    return wrong


def _further(one: Manifest, other: Manifest) -> bool:
    """Whether, of any data, an engine had come further in the same history."""
    for data, fingerprint in one.fingerprints.items():
        mine, theirs = _position(fingerprint), _position(other.fingerprints.get(data, {}))
        if mine and theirs and mine[0] == theirs[0] and mine[1:] > theirs[1:]:
            return True
    return False


def _position(fingerprint: Mapping[str, Any]) -> tuple[str, int, str] | None:
    """Whose history, its branch, and the place on it in 16 hexadecimal digits; None where it is not said."""
    found = fingerprint.get("position")
    if not isinstance(found, list) or len(found) != 3:
        return None
    whose, branch, place = found
    return str(whose), int(branch), str(place)


def _moment(at_ms: int) -> str:
    return f"{datetime.fromtimestamp(at_ms / 1000, UTC):%Y-%m-%d %H:%M:%S}Z"
