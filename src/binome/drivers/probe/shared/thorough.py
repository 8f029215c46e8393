"""What is asked besides, once, when `binome preflight` looks: a lookout asks each second, and does not pay for it.

A target with the option `thorough` is asked more after it has answered, in the time that is left: one question after
the other, each for itself. A question that fails costs its own details and nothing else: the answer is the answer.

A clock is read from the header `Date`, which counts whole seconds. So it is asked again and again until its second
changes: each answer says that the clock stood between `Date` and `Date` + 1 s at some moment between our question and
its answer, and what all of them say together is narrow.
"""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Sequence
from email.utils import parsedate_to_datetime

from binome.core.target import Answer, Target
from binome.drivers.probe.shared.findings import Details, NotAskedError, WrongError, printable
from binome.drivers.probe.shared.http_client import Request, Response, exchange
from binome.ports import Clock, Finding

Question = Callable[[], Awaitable[Details]]
MOST_DETAILS = 500
_NARROW_MS = 300
_MOST_ANSWERS = 14
_PAUSE_S = 0.1


async def thoroughly(found: Finding, target: Target, questions: Sequence[Question]) -> Finding:
    """What was found, with the details of each question that was answered in the target's time; raises nothing."""
    if found.answer is not Answer.UP or not target.options.get("thorough"):
        return found
    loop = asyncio.get_running_loop()
    ends_s = loop.time() + target.timeout_ms / 1000 - found.took_s
    details = dict(found.details)
    for question in questions:
        try:
            async with asyncio.timeout_at(ends_s):
                details.update(await question())
        except (WrongError, NotAskedError, OSError, EOFError, ValueError):
            continue
    return found._replace(details=details)


def clock_of(request: Request, clock: Clock) -> Question:
    """The question how far the clock of whoever answers `request` is ahead of ours.

    Details: it is at least `clock_least_ms` ahead and at most `clock_most_ms`. None where no `Date` comes, or where the
    answers contradict each other.
    """

    async def ask() -> Details:
        least_ms, most_ms = -(1 << 62), 1 << 62
        for number in range(_MOST_ANSWERS):
            if number:
                await clock.sleep(_PAUSE_S)
            asked_ms = clock.now_ms()
            try:
                date_ms = _date_ms(await exchange(request))
            except OSError:
                break
            answered_ms = clock.now_ms()
            if date_ms is None:
                break
            least_ms, most_ms = max(least_ms, date_ms - answered_ms), min(most_ms, date_ms + 1000 - asked_ms)
            if most_ms - least_ms <= _NARROW_MS:
                break
        told = -(1 << 62) < least_ms <= most_ms
        return {"clock_least_ms": least_ms, "clock_most_ms": most_ms} if told else {}

    return ask


def flat(value: object, path: str) -> Details:
    """A tree of JSON as details: `config/postgresql/parameters/ttl`; at most 500 of them, each plain and short."""
    found: dict[str, str | int | float | bool | None] = {}
    left: list[tuple[str, object]] = [(path, value)]
    while left and len(found) < MOST_DETAILS:
        name, one = left.pop()
        if isinstance(one, dict):
            left += [(f"{name}/{key}", inner) for key, inner in one.items()]
        elif one is None or isinstance(one, bool | int | float):
            found[printable(name)] = one
        else:
            found[printable(name)] = printable(str(one))
    return found


def _date_ms(response: Response) -> int | None:
    try:
        return int(parsedate_to_datetime(response.headers["date"]).timestamp()) * 1000
    except (KeyError, ValueError, TypeError, OverflowError):
        return None
