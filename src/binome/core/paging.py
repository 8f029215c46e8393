"""Paging at one lookout: which page goes to whom, by which sender, when; and when it is enough.

Each lookout runs this machine for itself and asks nobody for agreement. It is fed with *notes*, which its outbox keeps,
and which make the same state again after a restart; `decide` then says what is to be sent now and when to ask again.

    a page is wanted ─► its turns: person by person ─► in each turn its routes, in order ─► steps

A *step* is one page for one person by one sender in one round. The rules that hold:

- Two pages are one where their identity is one, whatever they say. The first is kept.
- A step is done when a sender accepted it, here or, by a *receipt* that was heard, at another lookout. Lookout k is
  late by k × 5 s with every step, so that it hears the receipt of an earlier one and keeps still; else it sends.
- The next route goes when the one before it has not led to an acknowledgement in its time; at once when it failed. The
  next person is paged when the one before has not acknowledged in `escalate_after`; at once when none of their routes
  works. All people are asked ROUNDS times. Who only is told (`info`) is told once, and asks nobody else.
- A step that failed is tried again, later each time, until its person has been reached in that round by any route. A
  page that nobody was reached with is never given up.
- An unknown outcome is a failure, never a success: the message may come twice; how often it is tried bounds that.
- An acknowledgement ends its page and older ones of the same episode, not newer ones: those may say something else.
- A number gets one message a minute. What would be more is held back, and goes as one digest when the minute is over.

The stages of a page, as TRANSITIONS has them:

                 accepted                    acknowledged
    unheard ───────────────► unanswered ───────────────────► acknowledged
       │ over                  │ over   │ spent                  ▲
       ▼         accepted      ▼        ▼        acknowledged    │
    untold ────────────────► told     exhausted ─────────────────┘    (and from each of the others)
       └─── spent (a test alone) ────────►

Time is an argument, in milliseconds, and never runs backwards: the caller sees to it (runtime/pager.py).
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from enum import StrEnum
from typing import NamedTuple

from binome.core.acknowledgement import REFERENCE_LENGTH
from binome.core.page import Page, Severity, identity, one_line
from binome.core.paging_notes import (
    ASKING,
    OPEN,
    TRANSITIONS,
    Acknowledged,
    Acknowledgement,
    AnyNote,
    Began,
    Begun,
    Ended,
    Happening,
    Heard,
    Over,
    Receipt,
    Sent,
    Spent,
    Stage,
    Told,
    Wanted,
)
from binome.core.routes import address_of, routes_of
from binome.estate.model import People, Route

WAIT_MS = 5_000
"""So long each lookout waits for the receipt of the one before it."""
BUDGET_MS = 60_000
"""A number gets one message in this time."""
ROUNDS = 2
"""So often everybody is asked, in turn."""
ENOUGH_TRIES = 3
"""So often a route is tried before nobody waits for it any more: a test has failed, a round goes on without it."""
UNHEARD_SAID_S = 60
"""A page that nobody was reached with for so long is said to be a problem."""


_AGAIN_MS: Mapping[Sent, tuple[int, ...]] = {
    Sent.REFUSED: (60_000, 300_000, 900_000),
    Sent.LATER: (10_000, 30_000, 60_000, 120_000, 300_000),
    Sent.UNKNOWN: (60_000, 300_000, 900_000),
}
"""After how long a failed step is tried again: after the first failure, the second, …; the last for ever."""


class Took(StrEnum):
    """What became of a wish to page."""

    NEW = "taken up"
    ALREADY = "it is paged already"
    NOBODY = "nobody of the estate can be reached by it"


# -- what there is to do


class Send(NamedTuple):
    """A message to send now: one page, or several as a digest. `attempt` is unique at this lookout."""

    attempt: str
    message: str
    person: str
    via: str
    address: str
    pages: tuple[Page, ...]
    begun: Begun


class Decision(NamedTuple):
    """Notes to record, messages to send, and when to ask again if nothing happens; None: never."""

    record: tuple[AnyNote, ...]
    send: tuple[Send, ...]
    wake_at_ms: int | None


class _Step(NamedTuple):
    round: int
    person: str
    via: str


@dataclass(slots=True)
class _Failures:
    first_ms: int
    last_ms: int
    last: Sent
    count: int


@dataclass(slots=True)
class Paged:
    """A page and what became of it so far."""

    wanted: Wanted
    stage: Stage
    accepted: dict[_Step, int] = field(default_factory=dict)
    failed: dict[_Step, _Failures] = field(default_factory=dict)

    @property
    def page(self) -> Page:
        """What it says."""
        return self.wanted.page

    def happens(self, happening: Happening) -> None:
        """Moves it as the table says."""
        self.stage = TRANSITIONS.get((self.stage, happening), self.stage)

    def done(self, step: _Step, at_ms: int) -> None:
        """A sender accepted a step."""
        self.accepted.setdefault(step, at_ms)
        self.happens(Happening.ACCEPTED)


class _Due(NamedTuple):
    at_ms: int
    step: _Step


class _Waiting(NamedTuple):
    due_ms: int
    page: str
    step: _Step
    wait_ms: int


class Paging:
    """The machine. Only `apply` changes it."""

    def __init__(self, people: People) -> None:
        self.people = people
        self.pages: dict[str, Paged] = {}
        self.proven: dict[tuple[str, str], int] = {}  # person and sender → when a link that came that way was used
        self.began_ms: int | None = None  # since when this lookout pages
        self.latest_ms = 0  # of all notes
        self._flying: dict[str, Begun] = {}
        self._spoken: dict[str, int] = {}  # address → when it got its last message, as far as is known
        self._receipts: defaultdict[str, dict[_Step, int]] = defaultdict(dict)  # page → what others had accepted
        self._digests: dict[str, tuple[str, ...]] = {}  # reference → pages
        self._acknowledged: dict[str, Acknowledgement] = {}
        self._attempts = 0

    # -- notes

    def wanted(self, page: Page, order: Iterable[str], rank: int, now_ms: int) -> Wanted | Took:
        """The note that takes a page up; or why there is none. `rank` is this lookout's place among all, from 0.

        `order` is in which order people are asked (core/oncall.py); a page that names its person asks nobody else.
        """
        if page.id in self.pages:
            return Took.ALREADY
        people = (page.to,) if page.to else tuple(order)
        reached = tuple(person for person in people if self._routes(page, person))
        if not reached:
            return Took.NOBODY
        return Wanted(now_ms, page, reached, 0 if page.to else rank * WAIT_MS)

    def apply(self, note: AnyNote) -> None:
        """Takes in what happened. Notes about what is not known are passed over."""
        self.latest_ms = max(self.latest_ms, note.at_ms)
        match note:
            case Began():
                self.began_ms = note.since_ms if self.began_ms is None else min(self.began_ms, note.since_ms)
            case Wanted():
                self._want(note)
            case Begun():
                self._attempts += 1
                self._flying[note.attempt] = note
                self._digest(note.message, note.pages)
            case Ended():
                self._ended(note)
            case Heard():
                self._heard(note.receipt, note.at_ms)
            case Acknowledged():
                self._acknowledge(note.acknowledgement, note.at_ms)
            case Over():
                for paged in self._episode(note.cause, note.episode):
                    paged.happens(Happening.OVER)
            case Spent():
                if note.page in self.pages:
                    self.pages[note.page].happens(Happening.SPENT)

    def knows(self, told: Told) -> bool:
        """Whether what another lookout tells is known here."""
        if isinstance(told, Acknowledgement):
            return told.reference in self._acknowledged
        return all(
            _Step(round_, told.person, told.via) in self._receipts.get(page, {})
            or (page in self.pages and _Step(round_, told.person, told.via) in self.pages[page].accepted)
            for page, round_ in told.pages
        )

    def acknowledged(self, reference: str) -> Acknowledgement | None:
        """The acknowledgement of a page or digest, where there is one."""
        return self._acknowledged.get(reference)

    def referred(self, reference: str) -> tuple[Page, ...]:
        """The pages that a reference stands for, as far as they are known here."""
        return tuple(self.pages[page].page for page in self._behind(reference))

    def restarted(self, now_ms: int) -> tuple[Ended, ...]:
        """The notes that end the attempts during which this lookout stopped: nobody knows what became of them."""
        return tuple(Ended(now_ms, attempt, Sent.UNKNOWN, "stopped while it was sent") for attempt in self._flying)

    def forget(self, before_ms: int) -> None:
        """Lets go of pages that have ended and were wanted before a time."""
        ended = [name for name, one in self.pages.items() if one.stage not in OPEN and one.wanted.at_ms < before_ms]
        for name in ended:
            del self.pages[name]
            self._acknowledged.pop(name[:REFERENCE_LENGTH], None)
        kept = {
            reference: pages for reference, pages in self._digests.items() if any(one in self.pages for one in pages)
        }
        for reference in self._digests.keys() - kept.keys():
            self._acknowledged.pop(reference, None)
        self._digests = kept

    def settled_before_ms(self) -> int | None:
        """Notes older than this are of pages that have ended; None where no page is open."""
        return min((one.wanted.at_ms for one in self.pages.values() if one.stage in OPEN), default=None)

    def _want(self, note: Wanted) -> None:
        if note.page.id in self.pages:
            return
        asks = note.page.severity is not Severity.INFO
        paged = self.pages[note.page.id] = Paged(note, Stage.UNHEARD if asks else Stage.UNTOLD)
        for step, at_ms in self._receipts.pop(note.page.id, {}).items():
            paged.done(step, max(at_ms, note.at_ms))
        references = [
            note.page.id[:REFERENCE_LENGTH],
            *(r for r, pages in self._digests.items() if note.page.id in pages),
        ]
        if any(reference in self._acknowledged for reference in references):
            paged.happens(Happening.ACKNOWLEDGED)

    def _ended(self, note: Ended) -> None:
        begun = self._flying.pop(note.attempt, None)
        if begun is None:
            return
        if note.outcome in (Sent.ACCEPTED, Sent.UNKNOWN):
            self._spoken[begun.address] = max(self._spoken.get(begun.address, 0), begun.at_ms)
        for page, round_ in begun.pages:
            paged, step = self.pages.get(page), _Step(round_, begun.person, begun.via)
            if paged is None:
                continue
            if note.outcome is Sent.ACCEPTED:
                paged.done(step, note.at_ms)
            else:
                before = paged.failed.get(step)
                first_ms, count = (before.first_ms, before.count) if before else (note.at_ms, 0)
                paged.failed[step] = _Failures(first_ms, note.at_ms, note.outcome, count + 1)

    def _heard(self, receipt: Receipt, at_ms: int) -> None:
        self._spoken[receipt.address] = max(self._spoken.get(receipt.address, 0), at_ms)
        self._digest(receipt.message, receipt.pages)
        for page, round_ in receipt.pages:
            step = _Step(round_, receipt.person, receipt.via)
            if page in self.pages:
                self.pages[page].done(step, at_ms)
            else:
                self._receipts[page].setdefault(step, at_ms)

    def _digest(self, message: str, pages: tuple[tuple[str, int], ...]) -> None:
        if any(page != message for page, _ in pages):
            reference = message[:REFERENCE_LENGTH]
            self._digests[reference] = tuple(page for page, _ in pages)
            if reference in self._acknowledged:  # it was heard of before what it is of
                self._end(reference)

    def _acknowledge(self, given: Acknowledgement, at_ms: int) -> None:
        self._acknowledged.setdefault(given.reference, given)
        if given.via:
            self.proven[given.who, given.via] = max(at_ms, self.proven.get((given.who, given.via), 0))
        self._end(given.reference)

    def _end(self, reference: str) -> None:
        for page in self._behind(reference):
            newest = self.pages[page].wanted
            for paged in self._episode(newest.page.cause, newest.page.episode):
                if paged.wanted.at_ms <= newest.at_ms and (paged.stage in OPEN or paged.wanted is newest):
                    paged.happens(Happening.ACKNOWLEDGED)

    def _behind(self, reference: str) -> list[str]:
        digest = self._digests.get(reference, ())
        return [page for page in self.pages if page in digest or page[:REFERENCE_LENGTH] == reference]

    def _episode(self, cause: str, episode: str) -> Iterator[Paged]:
        return (one for one in self.pages.values() if (one.page.cause, one.page.episode) == (cause, episode))

    # -- what is due

    def decide(self, now_ms: int) -> Decision:
        """What is to be sent and recorded now. Record the notes and each message's `begun` before it is sent."""
        record: list[AnyNote] = []
        ready: dict[str, list[_Waiting]] = {}  # by address: what is due to it
        wake: list[int] = []
        for name, paged in self.pages.items():
            if paged.stage not in OPEN:
                continue
            dues, ends_ms = self._schedule(paged)
            for due in dues:
                if due.at_ms > now_ms:
                    wake.append(due.at_ms)
                elif address := address_of(self.people, due.step.person, due.step.via):
                    waiting = _Waiting(due.at_ms, name, due.step, paged.wanted.wait_ms)
                    ready.setdefault(address, []).append(waiting)
            if self._is_spent(paged, ends_ms, now_ms):
                record.append(Spent(now_ms, name))
            elif paged.stage is Stage.UNANSWERED and ends_ms is not None:
                wake.append(ends_ms)
        send, free_ms = self._free(ready, now_ms)
        return Decision(tuple(record), send, min([*wake, *free_ms], default=None))

    def problems(self, now_ms: int) -> list[str]:
        """What is wrong with paging, one line each."""
        said = []
        for name, paged in self.pages.items():
            about = f"page {name[:REFERENCE_LENGTH]}, {one_line(paged.page.what)[:80]}"
            waited_s = (now_ms - paged.wanted.at_ms) // 1000
            if paged.stage in (Stage.UNHEARD, Stage.UNTOLD) and waited_s >= UNHEARD_SAID_S:
                said.append(f"{about}: nobody has been reached for {waited_s} s")
            elif paged.stage is Stage.EXHAUSTED and not paged.page.to:
                said.append(f"{about}: everybody was asked {ROUNDS} times and nobody has acknowledged")
        return said

    def _is_spent(self, paged: Paged, ends_ms: int | None, now_ms: int) -> bool:
        if paged.stage is Stage.UNANSWERED:
            return ends_ms is not None and ends_ms <= now_ms
        return bool(paged.page.to) and any(one.count >= ENOUGH_TRIES for one in paged.failed.values())

    def _free(self, ready: Mapping[str, list[_Waiting]], now_ms: int) -> tuple[tuple[Send, ...], list[int]]:
        """The messages that the budget of their number allows now; and when it allows the next."""
        busy = {begun.address for begun in self._flying.values()}
        send: list[Send] = []
        later: list[int] = []
        for address, waiting in ready.items():
            if address in busy:
                continue  # the end of that attempt asks again
            free_ms = self._spoken.get(address, now_ms - 2 * BUDGET_MS) + BUDGET_MS
            # Where another lookout holds back the same, it goes first now as well.
            now = [one for one in waiting if free_ms + one.wait_ms <= now_ms or address not in self._spoken]
            later += [free_ms + one.wait_ms for one in waiting if one not in now]
            if now:
                send.append(self._message(address, now, now_ms, len(send)))
        return tuple(send), later

    def _message(self, address: str, waiting: list[_Waiting], now_ms: int, index: int) -> Send:
        """All that is due to an address by the sender whose turn it is, in one message."""
        first = min(waiting).step
        chosen = sorted({(one.page, one.step.round) for one in waiting if one.step.via == first.via})
        names = sorted({page for page, _ in chosen})
        message = names[0] if len(names) == 1 else identity("digest", *names)
        attempt = f"{self._attempts + index}-{message}"
        begun = Begun(now_ms, attempt, message, first.person, first.via, address, tuple(chosen))
        return Send(
            attempt, message, first.person, first.via, address, tuple(self.pages[name].page for name in names), begun
        )

    def _schedule(self, paged: Paged) -> tuple[list[_Due], int | None]:
        """When each step is due that has not been done; and when enough was done, None while somebody is to be asked.

        A round begins when everybody was asked in the one before it, however late that was.
        """
        start_ms = latest_ms = paged.wanted.at_ms
        dues: list[_Due] = []
        for round_ in range(ROUNDS if paged.accepted and paged.stage in ASKING and not paged.page.to else 1):
            if round_ and not self._all_asked(paged, round_ - 1):
                return dues, None
            for person in paged.wanted.order:
                if round_:
                    start_ms = max(start_ms, latest_ms)
                dues += self._turn(paged, round_, person, start_ms)
                latest_ms = max([latest_ms, *self._ends(paged, round_, person)])
                failed_ms = self._failed_ms(paged, round_, person)
                start_ms += self.people.escalate_after_ms
                if failed_ms is not None and round_ == 0:
                    start_ms = min(start_ms, failed_ms)
                elif paged.stage not in ASKING:
                    return dues, None
        return dues, max(start_ms, latest_ms) if self._all_asked(paged, round_) else None

    def _all_asked(self, paged: Paged, round_: int) -> bool:
        """Whether everybody was reached in a round, or tried by every route as often as is enough."""
        return all(
            any((one.round, one.person) == (round_, person) for one in paged.accepted)
            or all(
                (failures := paged.failed.get(_Step(round_, person, route.via))) and failures.count >= ENOUGH_TRIES
                for route in self._routes(paged.page, person)
            )
            for person in paged.wanted.order
        )

    def _turn(self, paged: Paged, round_: int, person: str, start_ms: int) -> Iterator[_Due]:
        """The steps of one person in one round that are still to be done."""
        due_ms = start_ms
        before: _Failures | None = None
        reached = any((one.round, one.person) == (round_, person) for one in paged.accepted)
        for route in self._routes(paged.page, person):
            due_ms += route.after_ms
            if before is not None:
                due_ms = min(due_ms, before.first_ms)
            step = _Step(round_, person, route.via)
            before = paged.failed.get(step) if step not in paged.accepted else None
            if step in paged.accepted:
                continue
            if before is None:
                yield _Due(due_ms + paged.wanted.wait_ms, step)
                if paged.stage not in ASKING:
                    return  # who only is told is told by one route, if it works
            elif not reached:
                delays = _AGAIN_MS[before.last]
                yield _Due(before.last_ms + delays[min(before.count, len(delays)) - 1], step)

    def _routes(self, page: Page, person: str) -> list[Route]:
        """The routes by which a person can be reached with a page; each sender once."""
        chosen = routes_of(self.people, page.severity)
        if page.via:
            chosen = tuple(
                Route.model_construct(via=name, after_ms=0, for_=()) for name in self.people.senders if name == page.via
            )
        once = {route.via: route for route in reversed(chosen)}
        return [
            route
            for route in chosen
            if once[route.via] is route and address_of(self.people, person, route.via) is not None
        ]

    def _ends(self, paged: Paged, round_: int, person: str) -> Iterator[int]:
        """Until when a person who was reached has time to answer."""
        for step, at_ms in paged.accepted.items():
            if (step.round, step.person) == (round_, person):
                yield at_ms + self.people.escalate_after_ms

    def _failed_ms(self, paged: Paged, round_: int, person: str) -> int | None:
        """When the last of a person's routes had failed for the first time; None where one has not, or did better."""
        steps = [_Step(round_, person, route.via) for route in self._routes(paged.page, person)]
        if any(step in paged.accepted or step not in paged.failed for step in steps):
            return None
        return max((paged.failed[step].first_ms for step in steps), default=None)
