"""Verdicts: what one vantage point makes of its looks at one target.

A look may go wrong for many reasons that are not the target's. So a verdict needs several looks in a row, each target
for itself, at each vantage point for itself:

    verdict now             what comes                                                 verdict then
    unsure, up              `fall` times down in a row                                 down
    unsure, down            `rise` times up in a row                                   up
    up, down, unsure        8 of the last 20 answers differ from the one before        flapping
    up, down                its 4th change between up and down within 60 answers       flapping
    flapping                20 times (or `fall`, where that is more) down in a row     down
    flapping                20 times (or `rise`, where that is more) up in a row       up
    up, down, flapping      no answer for longer than `fall` + `rise` + 1 periods      unsure

"Answers" are up and down. An *unsure* look (we could not ask; the lookout itself was starved) is no answer: it neither
lengthens a row nor breaks one, and never makes a target down. After a start everything is unsure, and so it is after a
pause: what was counted before it says nothing any more.

What enters flapping by its changes has turned within 19 answers each time, and leaving takes 20 the same: nothing goes
in and out of flapping at one pace. So no target changes its verdict more than 4 times within 60 answers for long.

Lengths of time come from the monotonic clock of the observations alone. The wall clock only says *since when*, and is
read once at a change; the beginning of the row is counted back from there.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from enum import StrEnum
from typing import NamedTuple

import msgspec

from binome.core.target import Answer, Observation, Target

TURNS_TO_FLAP = 8
TURNS_AMONG = 20
CHANGES_TO_FLAP = 4
CHANGES_AMONG = 60
CALM = 20
"""So many same answers in a row end flapping."""

_TURNS_KEPT = (1 << TURNS_AMONG) - 1
_CHANGES_KEPT = (1 << CHANGES_AMONG) - 1
_EARLY = 0.001
"""Clocks of looks may be so many seconds out of order without harm."""


class Verdict(StrEnum):
    """What is believed of a target."""

    UP = "up"
    DOWN = "down"
    UNSURE = "unsure"
    FLAPPING = "flapping"


class Judged(msgspec.Struct, frozen=True):
    """A verdict, since when by the wall clock of its vantage point, and what the target said when it came about."""

    verdict: Verdict
    since_ms: int
    said: str = ""


class Summary(msgspec.Struct, frozen=True):
    """What a lookout tells the others of its verdicts: those of all targets, or of those that changed.

    `vantage` is the lookout's server; `number` counts its summaries from its start, so that none is taken in twice or
    out of order.
    """

    vantage: str
    number: int
    judged: dict[str, Judged]
    whole: bool = False


class Pace(NamedTuple):
    """How a target is judged: `fall` and `rise` in answers, the period of its looks in seconds. Shared by many."""

    fall: int
    rise: int
    every_s: float

    @property
    def patience_s(self) -> float:
        """After so long without an answer nothing is known any more."""
        return (self.fall + self.rise + 1) * self.every_s


class Judge:
    """Judges one target from one vantage point: a fold from observations to changes of verdict."""

    __slots__ = ("_answered_s", "_changes", "_pace", "_row", "_row_s", "_turns", "_up", "judged")

    def __init__(self, pace: Pace, now_ms: int) -> None:
        self._pace = pace
        self._up = True  # the answer that the row consists of
        self._row = 0
        self._row_s = 0.0
        self._answered_s = 0.0
        self._turns = 0  # a bit an answer, the newest lowest: whether it differs from the one before
        self._changes = 0  # the same: whether the verdict changed between up and down
        self.judged = Judged(Verdict.UNSURE, now_ms)

    def observe(self, observation: Observation, at_ms: int) -> Judged | None:
        """Takes in one look; the new judgement where it changes the verdict.

        `at_ms` is what the wall clock says at the same moment at which the monotonic one says `observation.at_s`. A
        look that began before the last one that is known is old news, and changes nothing.
        """
        at_s = observation.at_s
        if self._answered_s and at_s < self._answered_s - _EARLY:
            return None
        answer = observation.answer
        paused = self._row and at_s - self._answered_s > self._pace.patience_s
        if paused:
            self._forget()
        if answer is Answer.UNSURE:
            return self._doubted(at_ms, observation.said) if paused else None
        self._count(answer is Answer.UP, at_s)
        verdict = self._verdict(self.judged.verdict if not paused else Verdict.UNSURE)
        if verdict is self.judged.verdict:
            return None
        swung = {verdict, self.judged.verdict} == {Verdict.UP, Verdict.DOWN}
        self._changes |= swung
        if swung and self._changes.bit_count() >= CHANGES_TO_FLAP:
            verdict = Verdict.FLAPPING
        begun_ms = at_ms - round((at_s - self._row_s) * 1000) if verdict in (Verdict.UP, Verdict.DOWN) else at_ms
        self.judged = Judged(verdict, begun_ms, observation.said)
        return self.judged

    def lapse(self, at_s: float, at_ms: int) -> Judged | None:
        """Says that no look came until now; the new judgement where that has lasted too long."""
        if not self._row or at_s - self._answered_s <= self._pace.patience_s:
            return None
        self._forget()
        return self._doubted(at_ms, "not looked at")

    def _forget(self) -> None:
        self._row = self._turns = self._changes = 0

    def _doubted(self, at_ms: int, said: str) -> Judged | None:
        if self.judged.verdict is Verdict.UNSURE:
            return None
        self.judged = Judged(Verdict.UNSURE, at_ms, said)
        return self.judged

    def _count(self, up: bool, at_s: float) -> None:
        self._answered_s = at_s
        turned = self._row > 0 and up is not self._up
        self._turns = (self._turns << 1 | turned) & _TURNS_KEPT
        self._changes = self._changes << 1 & _CHANGES_KEPT
        if turned or not self._row:
            self._up, self._row, self._row_s = up, 1, at_s
        else:
            self._row += 1

    def _verdict(self, now: Verdict) -> Verdict:
        enough = self._pace.rise if self._up else self._pace.fall
        steady = Verdict.UP if self._up else Verdict.DOWN
        if now is Verdict.FLAPPING:
            if self._row < max(CALM, enough):
                return now
            self._turns = self._changes = 0
            return steady
        if self._turns.bit_count() >= TURNS_TO_FLAP:
            return Verdict.FLAPPING
        return steady if self._row >= enough else now


class Judges:
    """The judges of one vantage point, of every target one."""

    def __init__(self, targets: tuple[Target, ...], now_ms: int) -> None:
        paces: dict[Pace, Pace] = {}
        self._judges: dict[str, Judge] = {}
        for target in targets:
            pace = Pace(target.fall, target.rise, target.every_ms / 1000)
            self._judges[target.name] = Judge(paces.setdefault(pace, pace), now_ms)

    def observe(self, observation: Observation, at_ms: int) -> Judged | None:
        """Takes in one look, as a Judge does; looks at what is no target are passed over."""
        judge = self._judges.get(observation.target)
        return judge.observe(observation, at_ms) if judge is not None else None

    def lapse(self, at_s: float, at_ms: int) -> Iterator[tuple[str, Judged]]:
        """The targets that became unsure because nobody looked at them for too long."""
        for name, judge in self._judges.items():
            judged = judge.lapse(at_s, at_ms)
            if judged is not None:
                yield name, judged

    def judged(self) -> Mapping[str, Judged]:
        """What is believed of every target now."""
        return {name: judge.judged for name, judge in self._judges.items()}
