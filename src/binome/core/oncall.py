"""On call: whose turn it is, until when, and who comes after.

A turn is decided from the rota and a moment alone. Turns are counted on the calendar of the rota's zone, from its first
Monday (weeks) or first day (days), never from a number of seconds: a week with 167 or 169 hours is a turn like any
other, a year with 53 weeks and February 29 shift nobody. The rules that hold:

- Somebody is on call at every moment. A rota that names nobody is a *hole*: then everybody is, and it is said aloud.
- A handover at a time that the clock skips happens when the clock has skipped it; at a time that comes twice, the first
  time.
- An override goes before the turn; of two overrides that overlap the later one given counts. Whose turn it would have
  been is asked next.
- With turns of weeks and of days, the week's person is paged first and the day's second.

The order of escalation is then: those on call, the others of the rota in the order of their turns, and at last whoever
else can be reached. Zones are arguments: their rules lie in files, which the core does not read.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from datetime import UTC, date, datetime, timedelta, tzinfo
from enum import StrEnum
from typing import NamedTuple

from binome.estate.model import People, Rota

_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
_DAYS = ("Mon", "Tue", "Wed", "Thu", "Fri", "Sat", "Sun")
_LEAST_MS, _MOST_MS = -62_000_000_000_000, 253_000_000_000_000  # the calendar's own ends, with room for a turn
_LOOKS = 1_000  # boundaries that are looked through for a change of turn


class Why(StrEnum):
    """Why these people are on call."""

    TURN = "it is their turn"
    OVERRIDE = "they took it out of turn"
    HOLE = "the rota names nobody: everybody is on call"
    NOBODY = "there is nobody who could be reached"


class Override(NamedTuple):
    """Somebody on call out of turn, from a moment until before another."""

    who: str
    from_ms: int
    until_ms: int


class Turn(NamedTuple):
    """Who is on call; `until_ms` is None where that never changes."""

    who: tuple[str, ...]
    why: Why
    from_ms: int
    until_ms: int | None


class OnCall(NamedTuple):
    """The answer: who, who next, and in which order people are asked."""

    now: Turn
    next: Turn | None
    order: tuple[str, ...]


def on_call(people: People, zone: tzinfo, at_ms: int, asked: Sequence[Override] = ()) -> OnCall:
    """Who is on call at a moment, `at_ms` since 1970.

    `zone` is the zone that `people.rota.zone` names. `asked` are overrides that people asked for later, in the order in
    which they did; they go before those of the file. Raises ValueError for a moment that no calendar has.
    """
    if not _LEAST_MS <= at_ms <= _MOST_MS:
        raise ValueError(f"{at_ms} ms since 1970 is in no calendar")
    overrides = [*_of_file(people.rota, zone), *asked]
    order, why = _asked_first(people, zone, at_ms, overrides)
    first = _first(order, people, why)
    until_ms = _change(people, zone, at_ms, overrides)
    after = None
    if until_ms is not None:
        then, then_why = _asked_first(people, zone, until_ms, overrides)
        then_first = _first(then, people, then_why)
        end_ms = _change(people, zone, until_ms, overrides)
        after = Turn(then_first, then_why, until_ms, end_ms)
    return OnCall(Turn(first, why, at_ms, until_ms), after, order)


def when(local: datetime, zone: tzinfo) -> int:
    """The moment of a wall clock's time, in milliseconds since 1970: the first of two, or as if not yet skipped."""
    return round((local.replace(tzinfo=zone, fold=0) - _EPOCH) / timedelta(milliseconds=1))


def clock(at_ms: int, zone: tzinfo) -> datetime:
    """What a clock in the zone shows at a moment."""
    return (_EPOCH + timedelta(milliseconds=at_ms)).astimezone(zone)


def _of_file(rota: Rota, zone: tzinfo) -> Iterator[Override]:
    for one in rota.overrides:
        yield Override(one.who, when(one.from_, zone), when(one.until, zone))


def _asked_first(
    people: People, zone: tzinfo, at_ms: int, overrides: Sequence[Override]
) -> tuple[tuple[str, ...], Why]:
    """Everybody in the order in which they are asked, and why the first is."""
    rota = people.rota
    out_of_turn = [one.who for one in reversed(overrides) if one.from_ms <= at_ms < one.until_ms]
    weekly = _rotated(rota.weekly, _turn(rota, zone, at_ms, days=7)[0])
    daily = _rotated(rota.daily, _turn(rota, zone, at_ms, days=1)[0])
    everybody = [*out_of_turn[:1], *weekly[:1], *daily[:1], *weekly[1:], *daily[1:], *people.contacts]
    order = tuple(dict.fromkeys(everybody))
    if out_of_turn:
        return order, Why.OVERRIDE
    if weekly or daily:
        return order, Why.TURN
    return order, Why.HOLE if order else Why.NOBODY


def _first(order: tuple[str, ...], people: People, why: Why) -> tuple[str, ...]:
    """Those who are on call, of all who would be asked."""
    if why is Why.HOLE:
        return order
    both = why is Why.TURN and people.rota.weekly and people.rota.daily
    return order[: 2 if both else 1]


def _rotated(names: tuple[str, ...], turn: int) -> tuple[str, ...]:
    begin = turn % len(names) if names else 0
    return names[begin:] + names[:begin]


def _handover(rota: Rota) -> tuple[int, int, int]:
    """The day of the week (0 is Monday), the hour and the minute at which turns change."""
    day, _, time = rota.handover.rpartition(" ")
    hour, _, minute = time.partition(":")
    return _DAYS.index(day) if day else 0, int(hour), int(minute)


def _turn(rota: Rota, zone: tzinfo, at_ms: int, *, days: int) -> tuple[int, int]:
    """The number of the turn of a moment, and when the next begins. Turns are `days` days long: 1 or 7."""
    weekday, hour, minute = _handover(rota)
    shift = weekday if days == 7 else 0
    number = (clock(at_ms, zone).toordinal() - 1 - shift) // days + 1  # of a turn that begins later
    while True:
        if _begins_ms(number * days + shift, (hour, minute), zone) <= at_ms:
            return number, _begins_ms((number + 1) * days + shift, (hour, minute), zone)
        number -= 1


def _begins_ms(days_after_the_first: int, at: tuple[int, int], zone: tzinfo) -> int:
    day = date.fromordinal(days_after_the_first + 1)
    return when(datetime(day.year, day.month, day.day, *at), zone)


def _change(people: People, zone: tzinfo, at_ms: int, overrides: Sequence[Override]) -> int | None:
    """When others are on call than at `at_ms`, or for another reason; None where that is not to be seen."""
    here_ms = at_ms
    order, why = _asked_first(people, zone, at_ms, overrides)
    first = _first(order, people, why)
    for _ in range(_LOOKS):
        edges = [edge for one in overrides for edge in (one.from_ms, one.until_ms) if edge > here_ms]
        if len(people.rota.weekly) > 1:
            edges.append(_turn(people.rota, zone, here_ms, days=7)[1])
        if len(people.rota.daily) > 1:
            edges.append(_turn(people.rota, zone, here_ms, days=1)[1])
        if not edges or min(edges) > _MOST_MS:
            return None
        here_ms = min(edges)
        order, then_why = _asked_first(people, zone, here_ms, overrides)
        if _first(order, people, then_why) != first or then_why is not why:
            return here_ms
    return None
