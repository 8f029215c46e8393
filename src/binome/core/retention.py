"""Retention: which copies of a backup may go, and why each of the others stays.

The rules are restic's: *the last n copies of each hour, day, week, month, year*. The copies are gone through from the
newest to the oldest. A rule keeps a copy that is the first of its period, as long as it has any of its count left;
periods without a copy count nothing. So the age of a copy alone never deletes it. A copy stays if any rule keeps it. A
period is that of the calendar in which the copy's time is written: ours are written in UTC. Rules are applied to the
copies of one backup in one vault.

Four things go before the rules, all in favour of keeping:

- *No rule* keeps everything: nobody has said what may go.
- *The newest proven copy* stays, whatever its age: it is the last that is known to be good (invariant I9).
- *After a long absence* nothing goes: no copy was made for a long time, and none of those since then is proven. What
  comes after an absence may be empty, or of another machine; until one of them has been restored, all of them stay.
- *A copy of the future* stops everything: a clock is wrong, and a wrong clock chooses wrong copies.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from datetime import datetime, timedelta
from enum import StrEnum
from typing import NamedTuple

from binome.estate.model import Keep


class Snapshot(NamedTuple):
    """A copy in a vault. `at` is the time that it is a copy of, with its zone; `proven`: a restore was compared."""

    id: str
    at: datetime
    proven: bool = False


class Why(StrEnum):
    """Why a copy stays, or goes."""

    LAST = "one of the last"
    HOURLY = "hourly"
    DAILY = "daily"
    WEEKLY = "weekly"
    MONTHLY = "monthly"
    YEARLY = "yearly"
    NO_RULE = "no rule says what may go"
    LAST_PROVEN = "the newest proven copy"
    ABSENT = "paused: no copy was made for a long time, and none since then is proven"
    FUTURE = "paused: a copy is of the future, so a clock is wrong"
    NOT_KEPT = "no rule keeps it"


class Judged(NamedTuple):
    """What is to become of one copy, with every reason."""

    snapshot: Snapshot
    kept: bool
    why: tuple[Why, ...]


class Retention(NamedTuple):
    """The copies of one backup, newest first; `paused` is why nothing goes now, None where the rules decide."""

    judged: tuple[Judged, ...]
    paused: Why | None

    @property
    def kept(self) -> tuple[Snapshot, ...]:
        """Those that stay, newest first."""
        return tuple(one.snapshot for one in self.judged if one.kept)

    @property
    def gone(self) -> tuple[Snapshot, ...]:
        """Those that may be deleted, newest first."""
        return tuple(one.snapshot for one in self.judged if not one.kept)


SKEW = timedelta(minutes=10)
"""How far two servers' clocks may be apart before a copy counts as one of the future."""

ABSENCES = 3
"""After how many intervals without a copy the estate counts as absent, …"""
LEAST_ABSENCE = timedelta(days=3)
"""… and not before: a weekend's repair is no absence."""

_PERIODS: tuple[tuple[Why, Callable[[datetime], tuple[int, ...]]], ...] = (
    (Why.HOURLY, lambda at: (at.year, at.month, at.day, at.hour)),
    (Why.DAILY, lambda at: (at.year, at.month, at.day)),
    (Why.WEEKLY, lambda at: at.isocalendar()[:2]),
    (Why.MONTHLY, lambda at: (at.year, at.month)),
    (Why.YEARLY, lambda at: (at.year,)),
)


def absent_after(every_ms: int) -> timedelta:
    """How long a backup that is made so often may be missing before the estate counts as absent."""
    return max(LEAST_ABSENCE, ABSENCES * timedelta(milliseconds=every_ms))


def judge(snapshots: Iterable[Snapshot], keep: Keep, now: datetime, absence: timedelta | None = None) -> Retention:
    """What is to become of the copies of one backup in one vault. Without `absence` no absence is looked for.

    Two copies of the same moment are told apart by their ids.
    """
    newest_first = sorted(snapshots, key=lambda one: one.id)
    newest_first.sort(key=lambda one: one.at, reverse=True)
    paused = _paused(newest_first, now, absence)
    reasons = _kept_by_rules(newest_first, keep)
    last_proven = next((number for number, one in enumerate(newest_first) if one.proven), None)
    if last_proven is not None:
        reasons[last_proven].append(Why.LAST_PROVEN)
    judged = []
    for snapshot, found in zip(newest_first, reasons, strict=True):
        why = [*found, *([paused] if paused else [])]
        judged.append(Judged(snapshot, bool(why), tuple(why or [Why.NOT_KEPT])))
    return Retention(tuple(judged), paused)


def _kept_by_rules(newest_first: Sequence[Snapshot], keep: Keep) -> list[list[Why]]:
    """The rules that keep each copy, in the order given."""
    if all(count is None for _, count in keep):
        return [[Why.NO_RULE] for _ in newest_first]
    reasons: list[list[Why]] = [[Why.LAST] if number < (keep.last or 0) else [] for number in range(len(newest_first))]
    for why, period_of in _PERIODS:
        left: int = getattr(keep, why.value) or 0
        before = None
        for snapshot, found in zip(newest_first, reasons, strict=True):
            period = period_of(snapshot.at)
            if left and period != before:
                found.append(why)
                left, before = left - 1, period
    return reasons


def _paused(newest_first: Sequence[Snapshot], now: datetime, absence: timedelta | None) -> Why | None:
    if newest_first and newest_first[0].at > now + SKEW:
        return Why.FUTURE
    if absence is None:
        return None
    later = now
    for number, one in enumerate(newest_first):
        if later - one.at > absence and (number == 0 or _any_proven(newest_first)):
            return Why.ABSENT
        if one.proven:
            return None  # it is of after any absence that lies further back
        later = one.at
    return None


def _any_proven(snapshots: Iterable[Snapshot]) -> bool:
    return any(one.proven for one in snapshots)
