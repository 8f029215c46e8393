"""What moves where nothing should: the comparing half of a soak. It reads nothing itself.

    readings, one a second ─► Known ─► moves: who says so, of what, what it was and what it is now
    the journal as it grows ─► Journal ─► moves: every fact is one, but that one more lookout says the same

A *reading* is everything that was answered at one moment: a word for each thing that somebody says of something. A
thing that is not in a reading was not answered, and is compared again once it is: an answer that comes too late on a
busy machine is no movement. Who answers nothing at all `UNANSWERED` times in a row has moved, though.
"""

from __future__ import annotations

from collections.abc import Mapping
from enum import StrEnum
from typing import Any, NamedTuple

import msgspec

from binome.core.entry import Entry, Fact, UnknownFact
from binome.core.looking import VerdictsAgreed
from binome.core.quorum import NOTHING_KNOWN, Agreed

UNANSWERED = 3
"""After so many readings in a row without a word of somebody, that somebody is silent."""
_WORDS = 120


class Movement(StrEnum):
    """What kind of thing moved."""

    VERDICT = "verdict"  # one lookout's own
    AGREED = "agreed verdict"
    PRIMARY = "primary"
    TIMELINE = "timeline"
    ENGINE = "engine"  # its role, or whether it works
    LEADER = "leader"  # of the lookouts
    GENERATION = "generation"
    SCOPE = "scope"
    SILENCE = "silence"  # of a site or a lookout
    AGENT = "agent"  # not connected, or fenced
    TAKEOVER = "takeover"
    PLAN = "plan"
    PRODUCT = "product"
    INCIDENT = "incident"
    PAGE = "page"
    PROBLEM = "problem"  # that a lookout has with itself
    NO_ANSWER = "no answer"
    LOST = "lost"
    DOUBLE = "two primaries"
    FACT = "fact"  # of the journal, and of no kind above


VERDICTS = (Movement.VERDICT, Movement.AGREED)


class Thing(NamedTuple):
    """What somebody can say something of: `by` says it, `subject` is what it is of (empty: of all there is)."""

    by: str
    kind: Movement
    subject: str = ""


Reading = Mapping[Thing, str]
"""What was said of each thing at one moment."""


class Move(NamedTuple):
    """Something that moved: when (milliseconds since 1970), what, and by whom it is said."""

    at_ms: int
    kind: Movement
    what: str
    by: str

    def as_json(self) -> dict[str, Any]:
        """The record of `soak.json`."""
        return {"at_ms": self.at_ms, "kind": self.kind.value, "what": self.what, "by": self.by}


class Known:
    """What was said last of everything; `take` finds what a new reading says otherwise."""

    def __init__(self) -> None:
        self.said: dict[Thing, str] = {}
        self.unsure_s: dict[str, float] = {}  # by target: how long some lookout was unsure of it
        self._unanswered: dict[str, int] = {}

    def take(self, reading: Reading, at_ms: int, lasted_s: float = 0) -> list[Move]:
        """What moved since the last reading, which was `lasted_s` ago. The first one only says how things are."""
        moves = []
        for thing, now in reading.items():
            before = self.said.get(thing, now)
            if before != now:
                what = f"{thing.subject}: {before} → {now}" if thing.subject else f"{before} → {now}"
                moves.append(Move(at_ms, thing.kind, what, thing.by))
            self.said[thing] = now
        for target in {thing.subject for thing, now in reading.items() if _is_unsure(thing, now)}:
            self.unsure_s[target] = self.unsure_s.get(target, 0) + lasted_s
        answered = {thing.by for thing in reading}
        for by in {thing.by for thing in self.said}:
            self._unanswered[by] = 0 if by in answered else self._unanswered.get(by, 0) + 1
            if self._unanswered[by] == UNANSWERED:
                moves.append(Move(at_ms, Movement.NO_ANSWER, f"{by} answers nothing any more", "the watch"))
        return moves

    def amiss(self) -> list[str]:
        """What is not as it is where all is well: targets that are down or flapping, scopes, silences."""
        wrong = {Movement.SCOPE, Movement.SILENCE}
        return [
            f"{thing.by} says {thing.subject or thing.kind} {word}"
            for thing, word in self.said.items()
            if (thing.kind is Movement.VERDICT and word in ("down", "flapping"))
            or (thing.kind in wrong and word != "none")
        ]

    def unsure(self) -> list[str]:
        """The targets of which some lookout is unsure now."""
        return sorted({thing.subject for thing, word in self.said.items() if _is_unsure(thing, word)})


def _is_unsure(thing: Thing, word: str) -> bool:
    return thing.kind is Movement.VERDICT and word == "unsure"


class Journal:
    """The facts of the journal, each of them a movement where nothing should move."""

    def __init__(self) -> None:
        self._agreed: dict[str, Agreed] = {}

    def take(self, entry: Entry, fact: Fact) -> list[Move]:
        """What a fact says that moved. To be given every fact from the journal's beginning, in their order."""
        if isinstance(fact, VerdictsAgreed):
            return list(self._agreed_on(entry, fact))
        tag = fact.__struct_config__.tag
        return [Move(entry.at_ms, _kind(str(tag)), _words(str(tag), fact), f"the journal, by {entry.origin}")]

    def _agreed_on(self, entry: Entry, fact: VerdictsAgreed) -> list[Move]:
        moves = []
        for target, now in fact.verdicts.items():
            before = self._agreed.get(target, NOTHING_KNOWN)
            self._agreed[target] = now
            if (before.verdict, before.dissent) != (now.verdict, now.dissent):
                what = f"{target}: {_opinion(before)} → {_opinion(now)}"
                moves.append(Move(entry.at_ms, Movement.AGREED, what, f"the journal, by {entry.origin}"))
        return moves


def _opinion(agreed: Agreed) -> str:
    others = ", ".join(f"{verdict} for {vantage}" for vantage, verdict in agreed.dissent.items())
    return f"{agreed.verdict} ({others})" if others else agreed.verdict.value


_KINDS = {
    "scope": Movement.SCOPE,
    "site": Movement.SILENCE,
    "lookouts": Movement.SILENCE,
    "takeover": Movement.TAKEOVER,
    "switchover": Movement.TAKEOVER,
    "database": Movement.PRIMARY,
    "plan": Movement.PLAN,
    "step": Movement.PLAN,
    "product": Movement.PRODUCT,
    "incident": Movement.INCIDENT,
    "page": Movement.PAGE,
    "leadership": Movement.LEADER,
}
"""By the first word of a fact's name."""


def _kind(tag: str) -> Movement:
    return _KINDS.get(tag.partition("-")[0], Movement.FACT)


def _words(tag: str, fact: Fact) -> str:
    """A fact in a line: its name, and what of it is short."""
    if isinstance(fact, UnknownFact):
        return f"{tag}: {fact.raw.decode(errors='replace')[:_WORDS]}"
    fields = msgspec.structs.asdict(fact).items()
    said = ", ".join(f"{name} {value}" for name, value in fields if isinstance(value, str | int) and value != "")
    return f"{tag}: {said}"[:_WORDS]


def rejudged(before: Mapping[Thing, int], now: Mapping[Thing, int], moves: list[Move], at_ms: int) -> list[Move]:
    """The verdicts that began anew between two times, and that no reading has seen: they went and came back.

    `before` and `now` say since when (milliseconds since 1970) each lookout's own verdicts hold.
    """
    seen = {(move.by, move.what.partition(": ")[0]) for move in moves if move.kind is Movement.VERDICT}
    return [
        Move(now[thing] or at_ms, Movement.VERDICT, f"{thing.subject}: judged anew", thing.by)
        for thing, since_ms in before.items()
        if thing in now and now[thing] != since_ms and (thing.by, thing.subject) not in seen
    ]
