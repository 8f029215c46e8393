"""What must hold of any night of paging, judged by what the world saw alone: nothing here knows how the pager works.

- *lost*: every page that a lookout took up was delivered to somebody
- *doubled*: a lookout begins no attempt of which its own outbox knows that it was accepted, here or at another lookout
- *storm*: a lookout sends a number at most one message a minute
- *escalation*: a page that asks and that nobody acknowledged was delivered to everybody on call
- *acknowledged*: a lookout that knows of an acknowledgement begins nothing more for its page; once everybody can have
  heard of it, nothing more is sent
- *over*: of what is over, and was told, nothing more is sent once everybody can have heard of it
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Collection, Iterator, Sequence
from typing import NamedTuple

from binome.core.page import Page, Severity
from binome.core.paging import BUDGET_MS
from binome.core.paging_notes import Acknowledged, AnyNote, Begun, Ended, Heard, Over, Sent

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
        self.over: dict[tuple[str, str], float] = {}  # cause, episode → when an outbox knew that it is over
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
                case Over(cause=cause, episode=episode):
                    self.over.setdefault((cause, episode), now_s)
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
        *_after_the_end(history),
    ]


def _lost(history: History) -> Iterator[Violation]:
    reached = {page for one in history.delivered for page, _ in one.steps}
    for page, (at_s, said) in history.wanted.items():
        if page not in reached:
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
        asks = said.severity is not Severity.INFO and (said.cause, said.episode) not in history.over
        if asks and not _is_answered(history, page) and missing and reached[page]:
            yield Violation("escalation", f"{said.cause}: {', '.join(sorted(missing))} never heard of it")


def _is_answered(history: History, page: str) -> bool:
    """Whether somebody acknowledged a page, or a newer one of its episode."""
    at_s, said = history.wanted[page]
    others = ((one, history.wanted[one]) for one in history.answered if one in history.wanted)
    return any(
        one == page or ((new.cause, new.episode) == (said.cause, said.episode) and new_s >= at_s)
        for one, (new_s, new) in others
    )


def _after_acks(history: History) -> Iterator[Violation]:
    for one in history.delivered:
        begun_s = history.begun.get((one.lookout, one.attempt), one.at_s)
        for page, _ in one.steps:
            told = [key for key in history.told if key[0] == one.lookout and page.startswith(key[1])]
            known_s = min((history.told[key] for key in told), default=NEVER_S)
            everywhere_s = max(history.acknowledged.get(page, NEVER_S), history.quiet_s) + HEARD_S
            if known_s < begun_s or one.at_s > everywhere_s:
                yield Violation("acknowledged", f"{page} for {one.person} at {one.at_s:.1f} s")


def _after_the_end(history: History) -> Iterator[Violation]:
    """What asks for something is not sent once it is over; that it is over may be told."""
    told: set[str] = set()
    for one in history.delivered:
        for page, _ in one.steps:
            _, said = history.wanted[page]
            over_s = history.over.get((said.cause, said.episode), NEVER_S)
            if (
                page in told
                and said.severity is not Severity.INFO
                and one.at_s > max(over_s, history.quiet_s) + HEARD_S
            ):
                yield Violation("over", f"{said.what} for {one.person} at {one.at_s:.1f} s, over since {over_s:.1f} s")
            told.add(page)
