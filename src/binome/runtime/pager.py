"""The pager of one lookout: what turns "page this" into a message that a sender has accepted.

    want ─► outbox ─► decide (core/paging.py) ─► outbox: begun ─► sender ─► outbox: ended ─► receipt to the others

The order of obligations: an attempt is in the outbox before it is made, and accepted there only after the sender said
so. What the outbox cannot take (a full disk) is said aloud, kept in memory and written when it can be; the page goes
out meanwhile: at least once beats nothing. It asks neither etcd nor the database nor another lookout.

Its time is its own: it begins with this server's clock, but never before the newest note, and goes on by the monotonic
clock. So no jump of the clock brings a page back or lets an escalation wait, and a restart forgets no deadline.
"""

from __future__ import annotations

import asyncio
from collections import deque
from collections.abc import Callable, Mapping, Sequence
from contextlib import suppress
from datetime import tzinfo

from binome.core.acknowledgement import REFERENCE_LENGTH, token
from binome.core.page import Page, Text, identity, text_of
from binome.core.paging import Paging, Send, Took
from binome.core.paging_notes import (
    Acknowledged,
    Acknowledgement,
    AnyNote,
    Began,
    Begun,
    Ended,
    Heard,
    Over,
    Receipt,
    Sent,
    Told,
    Wanted,
)
from binome.core.proof import Route, routes, test_page, unproven, unproven_page
from binome.estate.model import People
from binome.ports import Clock, Delivery, Message, Notify, Outbox, StoreError

SEND_S = 20.0
"""How long a sender may take before the outcome is unknown."""
KEPT_MS = 14 * 86_400_000
"""How long notes of pages that have ended are kept: so long the same page is not sent again."""
WRITE_AGAIN_S = 10.0
"""After so long what the outbox did not take is tried again."""
TOLD_KEPT = 500
"""Receipts and acknowledgements that are told again to whoever asks."""
_LOOK_EVERY_MS = 3_600_000

Words = Callable[[Send, int], Text]
"""How a message is worded, for a moment since 1970."""


def words(people: People, zone: tzinfo, key: bytes) -> Words:
    """Messages in the rota's `zone`, with links that are signed with the lookouts' `key`, where the estate has any."""

    def worded(send: Send, now_ms: int) -> Text:
        link = ""
        if people.acknowledge is not None:
            base = people.acknowledge.rstrip("/")
            link = f"{base}/{token(key, send.message, send.person, send.via, now_ms)}"
        return text_of(send.pages, zone, link)

    return worded


class Pager:
    """Pages people from one lookout. `run` must run; everything else may be called at any time from the same loop."""

    def __init__(
        self,
        people: People,
        *,
        estate: str,
        name: str,
        rank: int,
        outbox: Outbox | None,
        senders: Mapping[str, Notify],
        clock: Clock,
        order: Callable[[int], Sequence[str]],
        words: Words,
        tell: Callable[[Sequence[Told]], None] = lambda _told: None,
        ahead: Callable[[], int] | None = None,
    ) -> None:
        """`estate` is what the platform is called, `name` this lookout, `rank` its place in `lookout.on`, from 0.

        `ahead` says how many of the `rank` lookouts before this one are there now, all of them unless given: for the
        receipt of one that is gone nobody waits.

        `order` says in which order people are asked at a moment since 1970 (core/oncall.py). `tell` hands what it is
        given to the other lookouts, as far as it can.

        Raises StoreError where the outbox cannot be read; nothing else can keep it from beginning.
        """
        self._estate, self._name, self._outbox, self._senders = estate, name, outbox, senders
        self._clock, self._order, self._words, self._tell = clock, order, words, tell
        self._ahead = ahead or (lambda: rank)
        self.state = Paging(people)
        self._changed = asyncio.Event()
        self._sending: set[asyncio.Task[None]] = set()
        self._unwritten: list[AnyNote] = []
        self._trouble = "" if outbox is not None else "pages are kept in memory alone"
        self._told: deque[Told] = deque(maxlen=TOLD_KEPT)
        self._begun: dict[str, Begun] = {}
        for note in self._kept():
            self._take_in(note)
        self._shift_ms = max(clock.now_ms(), self.state.latest_ms) - clock.monotonic_s() * 1000
        self._looked_ms = 0
        begun = () if self.state.began_ms is not None else (Began(self._now_ms(), self._now_ms()),)
        self._record(*begun, *self.state.restarted(self._now_ms()))

    # -- what others ask of it

    def want(self, page: Page) -> Took:
        """Takes a page up. It is durable when this returns, as far as the outbox can be written."""
        now_ms = self._now_ms()
        wanted = self.state.wanted(page, self._order(self._clock.now_ms()), self._ahead(), now_ms)
        if isinstance(wanted, Wanted):
            self._record(wanted)
            return Took.NEW
        return wanted

    def over(self, cause: str, episode: str) -> None:
        """Says that an episode is over: its pages are told once, and escalate no further."""
        self._record(Over(self._now_ms(), cause, episode))

    def acknowledge(self, reference: str, who: str, via: str = "") -> bool:
        """Takes an acknowledgement of a page (its identity, or the reference in a link); whether it is the first."""
        reference = reference[:REFERENCE_LENGTH]
        if self.state.acknowledged(reference) is not None:
            return False
        given = Acknowledgement(reference, who, via)
        self._record(Acknowledged(self._now_ms(), given))
        self._say(given)
        return True

    def hear(self, told: Sequence[Told]) -> None:
        """Takes in what other lookouts tell; what is known already is passed over, and so is our own."""
        for one in told:
            if self.state.knows(one) or (isinstance(one, Receipt) and one.lookout == self._name):
                continue
            now_ms = self._now_ms()
            self._record(Heard(now_ms, one) if isinstance(one, Receipt) else Acknowledged(now_ms, one))
            if isinstance(one, Acknowledgement):
                self._told.append(one)  # who hears it tells it on: the one who gave it may be gone

    def prove(self, request: str, person: str = "", via: str = "") -> tuple[tuple[Route, Took], ...]:
        """Sends a test by every route, or those of one person or one sender; which, and what became of each.

        `request` is unique for ever. A route is proven when the link of its test is used.
        """
        now_ms = self._clock.now_ms()
        chosen = routes(self.state.people, person, via)
        return tuple((route, self.want(test_page(self._estate, route, request, now_ms))) for route in chosen)

    def look_at_proofs(self) -> Took | None:
        """Pages that routes have not been proven for a week; None where all have. Done every hour by itself."""
        now_ms = self._now_ms()
        began_ms = now_ms if self.state.began_ms is None else self.state.began_ms
        due = unproven(self.state.people, self.state.proven, began_ms, now_ms)
        page = unproven_page(self.state.people, self._estate, due, now_ms)
        return None if page is None else self.want(page)

    def told(self) -> tuple[Told, ...]:
        """The newest receipts of our own, and acknowledgements, for lookouts that may have missed them."""
        return tuple(self._told)

    def problems(self) -> list[str]:
        """What is wrong, one line each; nothing where all is well."""
        return [*([self._trouble] if self._trouble else []), *self.state.problems(self._now_ms())]

    async def run(self) -> None:
        """Sends what is due, until it is cancelled."""
        try:
            while True:
                self._changed.clear()
                wake_at_ms = self._turn()
                now_ms = self._now_ms()
                wake_at_ms = min(self._looked_ms + _LOOK_EVERY_MS, wake_at_ms or now_ms + _LOOK_EVERY_MS)
                wait_s = max(wake_at_ms - now_ms, 1) / 1000
                if self._unwritten:
                    wait_s = min(wait_s, WRITE_AGAIN_S)
                with suppress(TimeoutError):
                    await asyncio.wait_for(self._changed.wait(), wait_s)
        finally:
            for task in self._sending:
                task.cancel()

    # -- the loop

    def _turn(self) -> int | None:
        now_ms = self._now_ms()
        self._write()
        decision = self.state.decide(now_ms)
        if decision.record:
            self._record(*decision.record)
        for send in decision.send:
            self._record(send.begun)
            task = asyncio.ensure_future(self._send(send))
            self._sending.add(task)
            task.add_done_callback(self._sending.discard)
        if now_ms - self._looked_ms >= _LOOK_EVERY_MS:
            self._looked_ms = now_ms
            self._forget(now_ms)
            self.look_at_proofs()
        return decision.wake_at_ms

    async def _send(self, send: Send) -> None:
        """One attempt. It is marked as accepted when, and only when, the sender has said so."""
        delivery = await self._delivered(send)
        self._record(Ended(self._now_ms(), send.attempt, delivery.outcome, delivery.said))
        if delivery.outcome is Sent.ACCEPTED:
            self._say(self._receipt(send.begun))

    async def _delivered(self, send: Send) -> Delivery:
        sender = self._senders.get(send.via)
        if sender is None:
            return Delivery(Sent.REFUSED, f"no sender {send.via} could be loaded")
        try:
            now_ms = self._clock.now_ms()
            text = self._words(send, now_ms)
            rounds = ",".join(f"{page}.{round_}" for page, round_ in send.begun.pages)
            message = Message(
                identity(rounds, send.person, send.via),
                send.person,
                send.address.partition(":")[2],
                text.sms,
                text.subject,
                text.body,
                now_ms,
            )
            async with asyncio.timeout(SEND_S):
                return await sender.send(message)
        except TimeoutError:
            return Delivery(Sent.UNKNOWN, f"no answer within {SEND_S:g} s")
        except Exception as error:  # a third party's sender: nobody knows how far it came
            return Delivery(Sent.UNKNOWN, f"the sender failed: {type(error).__name__}")

    def _receipt(self, begun: Begun) -> Receipt:
        return Receipt(self._name, begun.message, begun.person, begun.via, begun.address, begun.pages)

    def _say(self, told: Told) -> None:
        if told not in self._told:
            self._told.append(told)
        self._tell((told,))

    # -- notes

    def _kept(self) -> list[AnyNote]:
        return [] if self._outbox is None else self._outbox.read()

    def _take_in(self, note: AnyNote) -> None:
        """A note from the outbox, after a restart: the state, and what the others may not have been told."""
        self.state.apply(note)
        if isinstance(note, Begun):
            self._begun[note.attempt] = note
        elif isinstance(note, Ended):
            begun = self._begun.pop(note.attempt, None)
            if begun is not None and note.outcome is Sent.ACCEPTED:
                self._told.append(self._receipt(begun))
        elif isinstance(note, Acknowledged):
            self._told.append(note.acknowledgement)

    def _record(self, *notes: AnyNote) -> None:
        """Makes notes durable and takes them in; where they cannot be made durable says so, and takes them in."""
        if self._outbox is not None:
            self._unwritten.extend(notes)
            self._write()
        for note in notes:
            self.state.apply(note)
        self._changed.set()

    def _write(self) -> None:
        """Writes what is not durable yet, in its order; what cannot be written now is tried again."""
        if self._outbox is None or not self._unwritten:
            return
        try:
            self._outbox.append(self._unwritten)
        except StoreError as error:
            self._trouble = f"the outbox cannot be written ({error}); pages go out, and may come twice"
        else:
            self._unwritten.clear()
            self._trouble = ""

    def _forget(self, now_ms: int) -> None:
        before_ms = min(now_ms - KEPT_MS, self.state.settled_before_ms() or now_ms)
        self.state.forget(before_ms)
        if self._outbox is not None:
            try:
                if self.state.began_ms is not None and self.state.began_ms < before_ms:
                    self._outbox.append([Began(now_ms, self.state.began_ms)])
                self._outbox.forget(before_ms)
            except StoreError as error:
                self._trouble = f"the outbox cannot be written ({error}); pages go out, and may come twice"

    def _now_ms(self) -> int:
        return round(self._shift_ms + self._clock.monotonic_s() * 1000)
