"""Clocks: none may be apart from the others by more than a second.

Each look tells how far a server's clock is ahead of ours at least and at most (the probes' `clock_least_ms` and
`clock_most_ms`). Ours may be the wrong one. So all are held against the middle one of all clocks, ours among them: it
is right as long as more than half of them are. Of two clocks nobody can say which is wrong; then ours is believed.

A clock is good where all that it may be lies within the second, bad where nothing of it does, and unknown between.
Where two programs of one server tell different times, the worse counts.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import NamedTuple

from binome.core.preflight.asked import TELL_TIME
from binome.core.preflight.check import Check, Name, Question, Sight, State
from binome.core.target import Answer

APART_MS = 1_000
_EXPECTED = "within 1 s of the other clocks"
_REMEDY = "Let it follow time servers again (chronyc tracking, timedatectl), and see why it did not."


class _Span(NamedTuple):
    """How far a clock is ahead of ours, at least and at most."""

    least_ms: int
    most_ms: int

    @property
    def middle_ms(self) -> int:
        return (self.least_ms + self.most_ms) // 2


def checks(sight: Sight) -> Iterator[Check]:
    """A check for each server with something that tells the time, and one for the clock of this machine."""
    spans: dict[str, list[_Span]] = {}
    silent: dict[str, bool] = {}  # server → whether it answered, of those that told no time
    for target in sight.asked:
        if not target.server or target.kind not in TELL_TIME:
            continue
        seen = sight.seen.get(target.name)
        least_ms, most_ms = (seen.details.get(f"clock_{one}_ms") if seen else None for one in ("least", "most"))
        if isinstance(least_ms, int) and isinstance(most_ms, int):
            spans.setdefault(target.server, []).append(_Span(least_ms, most_ms))
        else:
            silent[target.server] = silent.get(target.server, False) or (seen is not None and seen.answer is Answer.UP)
    reference_ms = _middle([0, *(min(found, key=_width).middle_ms for found in spans.values())])
    for server in sight.estate.servers:
        if server in spans:
            yield max((_check(server, span, reference_ms) for span in spans[server]), key=_badness)
        elif server in silent:
            question = Question(Name.CLOCK, server, _EXPECTED, ("servers", server))
            if silent[server]:
                remedy = "Let what runs there send the header Date; an edge does when it is rendered anew."
                yield question.unknown("it answers, and does not say what time it is", remedy)
            else:
                yield question.unknown("it does not answer", "See why: the checks of what runs there are above.")
    if spans:
        yield _check("this machine", _Span(0, 0), reference_ms)


def _check(subject: str, span: _Span, reference_ms: int) -> Check:
    least_ms, most_ms = span.least_ms - reference_ms, span.most_ms - reference_ms
    if least_ms >= -APART_MS and most_ms <= APART_MS:
        state = State.GOOD
    elif least_ms > APART_MS or most_ms < -APART_MS:
        state = State.BAD
    else:
        state = State.UNKNOWN
    remedy = {
        State.GOOD: "",
        State.BAD: _REMEDY,
        State.UNKNOWN: "Ask again, with a longer --timeout: the more often it answers, the better its time is known.",
    }[state]
    path: tuple[str | int, ...] = () if subject == "this machine" else ("servers", subject)
    return Question(Name.CLOCK, subject, _EXPECTED, path).check(state, _words(least_ms, most_ms), remedy)


def _words(least_ms: int, most_ms: int) -> str:
    middle_s, half_s = (least_ms + most_ms) / 2000, (most_ms - least_ms) / 2000
    return f"{abs(middle_s):.1f} s {'ahead' if middle_s >= 0 else 'behind'}, to {half_s:.1f} s"


def _middle(values: list[int]) -> int:
    """The middle one; of two the one that is nearer to our own clock, which is 0."""
    ordered, half = sorted(values), len(values) // 2
    return ordered[half] if len(ordered) % 2 else min(ordered[half - 1 : half + 1], key=abs)


def _width(span: _Span) -> int:
    return span.most_ms - span.least_ms


def _badness(check: Check) -> int:
    return -list(State).index(check.state)
