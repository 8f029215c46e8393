"""The timeline as a drawing: every acknowledgement by when it came and how long it took."""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence
from html import escape

from binome.lab.checker import outage
from binome.lab.demo import Outcome
from binome.lab.record import OPERATIONS, Operation, Record

_WIDTH, _HEIGHT = 1000, 410
_LEFT, _RIGHT, _TOP, _BOTTOM = 56, 12, 104, 34
_FASTEST_S, _SLOWEST_S = 0.0003, 3.0
_TICKS = ((0.001, "1 ms"), (0.01, "10 ms"), (0.1, "100 ms"), (1.0, "1 s"))
LEGEND = (
    "Blue: writes; yellow: reads; grey: web pages. Red lines: what happened; "
    "red band: the longest time in which no write was acknowledged."
)


def timeline(outcome: Outcome) -> str:
    """An SVG element, with the fault at zero. Marks of one kind are one path: thousands of them stay small."""
    answers = [one for _, records in outcome.records for one in _latencies(records)]
    begin_s = min((at_s for _, at_s, _ in answers), default=outcome.faulted_at_s) - outcome.faulted_at_s
    end_s = max((at_s for _, at_s, _ in answers), default=outcome.faulted_at_s) - outcome.faulted_at_s
    across = _Scale(begin_s, max(end_s, begin_s + 1), _LEFT, _WIDTH - _RIGHT)
    parts = [
        f'<svg viewBox="0 0 {_WIDTH} {_HEIGHT}" role="img" aria-label="Answers over time" '
        'font-size="12" fill="currentColor">'
    ]
    parts += _axes(across)
    parts += _silence(outcome, across)
    for operation in reversed(OPERATIONS):  # writes are drawn last, above the others
        parts.append(_marks(operation, answers, across, outcome.faulted_at_s))
    parts += _events(outcome, across)
    return "\n".join([*parts, "</svg>"])


class _Scale:
    def __init__(self, low: float, high: float, first: float, last: float) -> None:
        self.low, self.high, self._first = low, high, first
        self._factor = (last - first) / (high - low)

    def __call__(self, value: float) -> float:
        return round(self._first + (min(max(value, self.low), self.high) - self.low) * self._factor, 1)


_logarithmic = _Scale(math.log10(_FASTEST_S), math.log10(_SLOWEST_S), _HEIGHT - _BOTTOM, _TOP)


def _upwards(latency_s: float) -> float:
    return _logarithmic(math.log10(max(latency_s, _FASTEST_S)))


def _latencies(records: Sequence[Record]) -> Iterator[tuple[Operation, float, float]]:
    """(operation, when the answer came, how long since the operation's first attempt), for each acknowledgement."""
    begun: dict[str, float] = {}
    for record in records:
        if record.state == "sent":
            begun.setdefault(record.id, record.at_s)
        elif record.state == "acknowledged":
            yield record.operation, record.at_s, record.at_s - begun[record.id]


def _marks(
    operation: Operation, answers: Sequence[tuple[Operation, float, float]], across: _Scale, zero_s: float
) -> str:
    places = {
        f"M{across(at_s - zero_s):g} {_upwards(latency_s):g}h0"
        for kind, at_s, latency_s in answers
        if kind == operation
    }
    path = "".join(sorted(places))
    return (
        f'<path d="{path}" stroke="var(--{operation})" stroke-width="2.2" stroke-linecap="round" fill="none" '
        f'opacity="0.75"><title>{operation}</title></path>'
    )


def _axes(across: _Scale) -> Iterator[str]:
    for latency_s, label in _TICKS:
        y = _upwards(latency_s)
        yield f'<path d="M{_LEFT} {y}H{_WIDTH - _RIGHT}" stroke="var(--line)"/>'
        yield f'<text x="{_LEFT - 8}" y="{y + 4}" text-anchor="end" fill="var(--soft)">{label}</text>'
    step = next(step for step in (1, 2, 5, 10, 20, 50, 100, 500) if (across.high - across.low) / step <= 12)
    first = math.ceil(across.low / step) * step
    for second in range(first, math.floor(across.high) + 1, step):
        x = across(second)
        sign = f"{second:+d}" if second else "0"
        yield f'<text x="{x}" y="{_HEIGHT - 12}" text-anchor="middle" fill="var(--soft)">{sign} s</text>'
        yield f'<path d="M{x} {_HEIGHT - _BOTTOM}v5" stroke="var(--soft)"/>'


def _silence(outcome: Outcome, across: _Scale) -> Iterator[str]:
    """The longest outage of writes, as the patient client had it, as a band with its length."""
    gap = outage(dict(outcome.records)["patient"], "write")
    left, right = across(gap.begin_s - outcome.faulted_at_s), across(gap.end_s - outcome.faulted_at_s)
    yield f'<path d="M{left} {_TOP}H{right}V{_HEIGHT - _BOTTOM}H{left}z" fill="var(--mark)" opacity="0.08"/>'
    if right - left > 130:
        yield (
            f'<text x="{(left + right) / 2:g}" y="{_TOP + 18}" text-anchor="middle" fill="var(--mark)">'
            f"no write for {gap.seconds:.1f} s</text>"
        )


def _events(outcome: Outcome, across: _Scale) -> Iterator[str]:
    """The events since the fault, their words in rows so that near ones do not cover each other."""
    free_from = [-math.inf] * 6
    for event in outcome.events:
        if event.at_s < 0:
            continue
        x = across(event.at_s)
        width = 6.3 * len(event.what) + 14
        leftwards = x + width > _WIDTH
        begin = x - width if leftwards else x
        row = next((row for row, free in enumerate(free_from) if begin >= free), None)
        if row is None:
            continue
        free_from[row] = x if leftwards else x + width
        y = 14 + 15 * row
        anchor, offset = ("end", -4) if leftwards else ("start", 4)
        yield f'<path d="M{x} {y - 9}V{_HEIGHT - _BOTTOM}" stroke="var(--mark)" stroke-dasharray="3 3"/>'
        yield f'<text x="{x + offset}" y="{y}" text-anchor="{anchor}" fill="var(--mark)">{escape(event.what)}</text>'
