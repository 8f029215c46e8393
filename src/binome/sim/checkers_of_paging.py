"""What must hold of any night of paging, judged by what the world saw alone: nothing here knows how the pager works.

- *lost*: every page that a lookout took up was delivered to somebody
- *doubled*: a lookout begins no attempt of which its own outbox knows that it was accepted, here or at another lookout
- *storm*: a lookout sends a number at most one message a minute
- *escalation*: a critical page that nobody acknowledged was delivered to everybody on call
- *acknowledged*: a lookout that knows of an acknowledgement begins nothing more for its page; once everybody can have
  heard of it, nothing more is sent
- *unpaged*: of every incident that was open for long enough, somebody was paged
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Collection, Iterator, Sequence
from typing import NamedTuple

from binome.core.page import Page, Severity
from binome.core.paging import BUDGET_MS
from binome.core.paging_notes import Acknowledged, AnyNote, Begun, Ended, Heard, Sent

NEVER_S = float("inf")
ON_ITS_WAY_S = 16.0
"""So long a message may be on its way to a number, as providers are here."""
HEARD_S = 30.0
"""In peace every lookout has heard of an acknowledgement after so long."""

Step = tuple[str, str, str, int]
"""Person, sender, page and round."""


class Violation(NamedTuple):
    """An invariant that was broken, and how."""

    invariant: str
    what: str


class Delivered(NamedTuple):
    """A message that reached its number. `steps` are its pages with their rounds."""

    at_s: float
    lookout: str
    person: str
    via: str
    address: str
    attempt: str
    steps: tuple[tuple[str, int], ...]


class History:
    """What happened, as the world saw it. Times are seconds since the night began."""

    def __init__(self, people: Collection[str]) -> None:
        """`people` are those on call."""
        self.people = people
        self.wanted: dict[str, tuple[float, Page]] = {}
        self.delivered: list[Delivered] = []
        self.begun: dict[tuple[str, str], float] = {}  # lookout, attempt → when its outbox knew that it begins
        self.known: dict[tuple[str, Step], float] = {}  # lookout, step → when its outbox knew that it was accepted
        self.told: dict[tuple[str, str], float] = {}  # lookout, reference → when its outbox knew the acknowledgement
        self.answered: set[str] = set()  # a person pressed the button
        self.acknowledged: dict[str, float] = {}  # and was told that it counts
        self.over: set[str] = set()  # pages of what was over before anybody had to be asked
        self.unpaged: list[str] = []  # incidents that were open for long enough, and of which no lookout took up a page
        self.quiet_s = 0.0  # since then nothing bad happens, and everybody lives
        self.boundaries = 0
        self.jumps: defaultdict[str, list[float]] = defaultdict(list)  # lookout → when its clock jumped
        self._flying: dict[tuple[str, str], Begun] = {}

    def kept(self, lookout: str, notes: Sequence[AnyNote], now_s: float) -> None:
        """Notes became durable at a lookout."""
        for note in notes:
            match note:
                case Begun():
                    self._flying[lookout, note.attempt] = note
                    self.begun[lookout, note.attempt] = now_s
                case Ended(attempt=attempt, outcome=Sent.ACCEPTED) if (lookout, attempt) in self._flying:
                    begun = self._flying[lookout, attempt]
                    self._known(lookout, begun.person, begun.via, begun.pages, now_s)
                case Heard(receipt=receipt):
                    self._known(lookout, receipt.person, receipt.via, receipt.pages, now_s)
                case Acknowledged(acknowledgement=given):
                    self.told.setdefault((lookout, given.reference), now_s)

    def _known(self, lookout: str, person: str, via: str, pages: Sequence[tuple[str, int]], now_s: float) -> None:
        for page, round_ in pages:
            self.known.setdefault((lookout, (person, via, page, round_)), now_s)

    def flying(self, lookout: str, person: str, via: str) -> Begun:
        """The attempt by which a lookout sends to a person now."""
        return [
            one for (by, _), one in self._flying.items() if by == lookout and (one.person, one.via) == (person, via)
        ][-1]


def violations(history: History) -> list[Violation]:
    """The invariants that a night broke."""
    return [
        *_lost(history),
        *_doubled(history),
        *_storms(history),
        *_escalations(history),
        *_after_acks(history),
        *(Violation("unpaged", what) for what in history.unpaged),
    ]


def _lost(history: History) -> Iterator[Violation]:
    reached = {page for one in history.delivered for page, _ in one.steps}
    for page, (at_s, said) in history.wanted.items():
        if page not in reached and page not in history.over:
            yield Violation("lost", f"{said.what} ({said.cause}), wanted at {at_s:.1f} s")


def _doubled(history: History) -> Iterator[Violation]:
    for one in history.delivered:
        begun_s = history.begun.get((one.lookout, one.attempt), one.at_s)
        for page, round_ in one.steps:
            known_s = history.known.get((one.lookout, (one.person, one.via, page, round_)), NEVER_S)
            if known_s < begun_s:
                what = f"{page} for {one.person} by {one.via} again from {one.lookout}, begun at {begun_s:.1f} s"
                yield Violation("doubled", f"{what}, known since {known_s:.1f} s")


def _storms(history: History) -> Iterator[Violation]:
    last: dict[tuple[str, str], float] = {}
    for one in history.delivered:
        to = (one.lookout, one.address)
        before_s = last.get(to, -NEVER_S)
        # A clock that jumped over a restart moves what goes by it: then the minute is another one.
        jumped = any(before_s <= at_s <= one.at_s + 120 for at_s in history.jumps[one.lookout])
        if not jumped and one.at_s - before_s < BUDGET_MS / 1000 - ON_ITS_WAY_S:
            yield Violation("storm", f"{to} at {before_s:.1f} and {one.at_s:.1f} s")
        last[to] = one.at_s


def _escalations(history: History) -> Iterator[Violation]:
    reached: defaultdict[str, set[str]] = defaultdict(set)
    for one in history.delivered:
        for page, _ in one.steps:
            reached[page].add(one.person)
    for page, (_, said) in history.wanted.items():
        missing = set(history.people) - reached[page]
        asks = said.severity is Severity.CRITICAL and page not in history.answered and page not in history.over
        if asks and missing and reached[page]:
            yield Violation("escalation", f"{said.cause}: {', '.join(sorted(missing))} never heard of it")


def _after_acks(history: History) -> Iterator[Violation]:
    for one in history.delivered:
        begun_s = history.begun.get((one.lookout, one.attempt), one.at_s)
        for page, _ in one.steps:
            told = [key for key in history.told if key[0] == one.lookout and page.startswith(key[1])]
            known_s = min((history.told[key] for key in told), default=NEVER_S)
            everywhere_s = max(history.acknowledged.get(page, NEVER_S), history.quiet_s) + HEARD_S
            if known_s < begun_s or one.at_s > everywhere_s:
                yield Violation("acknowledged", f"{page} for {one.person} at {one.at_s:.1f} s")
