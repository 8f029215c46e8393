"""The desk of one lookout: between what is known and the pager.

    state, where somebody leads ──────────► alarms (core/alarm.py) ──► pager: want, over, acknowledge
    own view, where nobody does ─► causes ─► provisional incidents ──┘
    receipts and acknowledgements of the pager ──► facts, where this lookout leads

Every lookout has one, and asks nobody. It looks often and says the same again: the pager takes each page up once. With
nobody to lead, what is on the desk stays there, and what this lookout sees itself is added, as *unconfirmed*; an
episode that it named then keeps its name when a leader opens an incident about the same targets, so that nobody is
paged twice. That something is over is said only by a state that is led: who has just begun, or sees alone, ends
nothing.
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterator, Mapping, Sequence
from dataclasses import dataclass

from binome.core.acknowledgement import REFERENCE_LENGTH
from binome.core.alarm import (
    HIT,
    INCIDENT,
    OPENED,
    RESOLVED,
    Alarm,
    Name,
    alarms,
    nobody_leads_page,
    provisional_page,
    trouble_page,
)
from binome.core.causes import RANK
from binome.core.decision import View
from binome.core.entry import Draft
from binome.core.incident import CAPABILITY, IncidentAcknowledged, PageAccepted
from binome.core.muting import covers
from binome.core.page import Page
from binome.core.paging_notes import ASKING
from binome.core.scope import Cause
from binome.core.scoping import Known, graphs, provisional
from binome.core.state import State
from binome.core.verdict import Judged
from binome.estate import Estate
from binome.ports import Clock
from binome.runtime.pager import Pager
from binome.runtime.ticks import TICK_S, Ticks

LOOK_TICKS = 5
LOOK_S = LOOK_TICKS * TICK_S
NOBODY_S = 3.0
"""After so long without a leader this lookout speaks for itself."""
NOBODY_PAGED_S = 30.0
"""After so long without a leader that alone is paged; later where this lookout needs longer to see what is lost."""
TROUBLE_PAGED_S = 60.0
SETTLED_S = 10.0
"""So long somebody must have led before anything is called over."""


@dataclass(slots=True)
class _Alone:
    """A cause that this lookout saw alone, and how it was paged."""

    name: Name
    cause: Cause
    targets: set[str]
    widest: int  # the highest rank of what it was taken for: what comes back in pieces is no news


class Desk:
    """Keeps the pager's pages as what is known says. `run` must run."""

    def __init__(
        self,
        estate: Estate,
        server: str,
        pager: Pager,
        clock: Clock,
        *,
        state: Callable[[], State],
        led: Callable[[], bool],
        own: Callable[[], Mapping[str, Judged]],
        heard: Callable[[], Collection[str]],
        troubles: Callable[[], Sequence[str]] = lambda: (),
        changed: Callable[[], None] = lambda: None,
        ticks: Ticks | None = None,
    ) -> None:
        """`led` says whether somebody is known to lead now, `own` what this lookout sees, `heard` whom it hears.

        `changed` is called when there may be something for the loop to record.
        """
        self._estate, self._server, self.pager, self._clock = estate, server, pager, clock
        self._state, self._led, self._own, self._heard = state, led, own, heard
        self._troubles, self._changed, self._ticks = troubles, changed, ticks or Ticks(clock)
        looks = estate.lookout
        eyes_s = (looks.every_ms * (looks.fall + 2) + looks.timeout_ms) / 1000 if looks else 0.0
        self._nobody_paged_s = max(NOBODY_PAGED_S, eyes_s)
        self._led_s = self._unled_s = clock.monotonic_s()  # since when somebody leads; since when nobody does
        self._was_led = True
        self._alone: list[_Alone] = []
        self._known_as: dict[str, Name] = {}
        self._troubled: tuple[float, int] | None = None
        self.numbers: dict[str, int] = {}  # identity of a page → its incident

    async def run(self) -> None:
        """Looks, again and again, until it is cancelled."""
        while True:
            self.look()
            await self._ticks.next(LOOK_TICKS)

    def look(self) -> None:
        """Looks once: wants what is to be paged, and says what is over."""
        now_s, now_ms = self._clock.monotonic_s(), self._clock.now_ms()
        led = self._led()
        if led and not self._was_led:
            self._led_s = now_s
        elif not led and self._was_led:
            self._unled_s = now_s
        self._was_led = led
        state = self._state()
        if led:
            self._adopt(state)
        wanted = alarms(self._estate, state, now_ms, self._known_as)
        wanted += self._about_ourselves(state, led, now_s, now_ms)
        if not led and now_s - self._unled_s >= NOBODY_S:
            wanted += self._see_alone(state, now_ms)
        self._tell(wanted)
        if led and now_s - self._led_s >= SETTLED_S:
            self._end(wanted)
            self._alone = [one for one in self._alone if one.name in self._known_as.values()]
        self._acknowledge(state)
        if led and next(self._observed(state, now_ms), None) is not None:
            self._changed()

    def shown(self) -> list[Page]:
        """What this lookout sees alone now, and nobody has given a number."""
        return [self._page_of(one) for one in self._alone if one.name not in self._known_as.values()]

    def acknowledge(self, who: str, incident: int | None = None) -> int:
        """A person sees to an incident, or to everything: so many pages that asked are acknowledged here."""
        count = 0
        for paged in list(self.pager.state.pages.values()):
            wanted = incident is None or self.numbers.get(paged.page.id) == incident
            if wanted and paged.stage in ASKING:
                count += self.pager.acknowledge(paged.page.id, who)
        return count

    def observed(self, view: View, now_ms: int) -> Sequence[Draft]:
        """What the journal does not say yet of pages and acknowledgements of incidents."""
        return list(self._observed(view, now_ms))

    # -- within

    def _tell(self, wanted: Sequence[Alarm]) -> None:
        for alarm in wanted:
            if alarm.incident:
                self.numbers[alarm.page.id] = alarm.incident
            if not alarm.muted and alarm.page.id not in self.pager.state.pages:
                self.pager.want(alarm.page)

    def _end(self, wanted: Sequence[Alarm]) -> None:
        """Ends the episodes that are asked about and that nothing known speaks of any more."""
        ours = {INCIDENT, "takeover", "plan", "alone", "nobody-leads", "trouble", "backup"}
        current = {(one.page.cause, one.page.episode) for one in wanted if one.page.stage != RESOLVED}
        asking = {
            (paged.page.cause, paged.page.episode)
            for paged in self.pager.state.pages.values()
            if paged.stage in ASKING and paged.page.cause in ours
        }
        for cause, episode in sorted(asking - current):
            self.pager.over(cause, episode)

    def _acknowledge(self, state: State) -> None:
        """Takes over what the journal has: an acknowledgement of a page, or of all that was known of an incident."""
        for paged in list(self.pager.state.pages.values()):
            one = state.incident.all.get(self.numbers.get(paged.page.id, 0))
            if one is None or paged.stage not in ASKING:
                continue
            if paged.page.id in one.acknowledged or paged.wanted.at_ms <= one.acknowledged_ms:
                self.pager.acknowledge(paged.page.id, one.acknowledged_by)

    def _about_ourselves(self, state: State, led: bool, now_s: float, now_ms: int) -> list[Alarm]:
        found = []
        unled_s = now_s - self._unled_s
        told = any(not self._is_muted(state, one.cause, now_ms) for one in self._alone)
        if not led and unled_s >= self._nobody_paged_s and not told:  # else the page about that says so
            since_ms = now_ms - round(unled_s * 1000)
            found.append(Alarm(nobody_leads_page(self._estate, state.head.generation, since_ms)))
        troubles = self._troubles() if led else ()
        if not troubles:
            self._troubled = None
            return found
        if self._troubled is None:
            self._troubled = now_s, now_ms
        if now_s - self._troubled[0] >= TROUBLE_PAGED_S:
            found.append(Alarm(trouble_page(self._estate, self._server, troubles[0], self._troubled[1])))
        return found

    # -- without a leader

    def _see_alone(self, state: State, now_ms: int) -> Iterator[Alarm]:
        """What is seen here and is in no open scope yet: a part of what was told already is nothing new."""
        known = provisional(self._estate, state.scope, self._server, self._own(), heard=self._heard(), now_ms=now_ms)
        scopes = [set(scope.targets) for scope in state.scope.open.values()]
        for one in known:
            if one.scope not in state.scope.open and not any(scope.issuperset(one.targets) for scope in scopes):
                yield Alarm(self._page_of(self._named(one)), self._is_muted(state, one.cause, now_ms))

    def _is_muted(self, state: State, cause: Cause, now_ms: int) -> bool:
        """Whether the journal has a silence that covers it: who leads, or nobody, makes no difference to that."""
        return covers(graphs.of(self._estate), state, cause, now_ms)

    def _named(self, known: Known) -> _Alone:
        """What was seen before of the same targets, or the same cause; else something new."""
        targets = set(known.targets)
        for one in self._alone:
            if one.cause.name == known.cause.name or not one.targets.isdisjoint(targets):
                if known.cause.products and not one.cause.products:
                    one.name = Name(one.name.episode, HIT, known.cause.name)
                elif RANK[known.cause.kind] > one.widest and one.name.stage != HIT:
                    one.name = Name(one.name.episode, f"now/{known.cause.name}", known.cause.name)
                one.cause, one.widest = known.cause, max(one.widest, RANK[known.cause.kind])
                one.targets |= targets
                return one
        name = Name(known.scope, HIT if known.cause.products else OPENED, known.cause.name)
        new = _Alone(name, known.cause, targets, RANK[known.cause.kind])
        self._alone.append(new)
        return new

    def _page_of(self, one: _Alone) -> Page:
        return provisional_page(self._estate, one.cause, one.name)

    def _adopt(self, state: State) -> None:
        """Gives incidents that a leader has opened the names under which they were paged from here."""
        for one in self._alone:
            for incident in state.incident.open():
                targets = {
                    target
                    for scope in incident.scopes
                    if scope in state.scope.open
                    for target in state.scope.open[scope].targets
                }
                same = incident.cause.name == one.cause.name or not one.targets.isdisjoint(targets)
                if same and incident.episode not in self._known_as:
                    self._known_as[incident.episode] = one.name

    # -- facts

    def _observed(self, view: View, now_ms: int) -> Iterator[Draft]:
        for paged in self.pager.state.pages.values():
            number = self.numbers.get(paged.page.id, 0)
            one = view.incident.all.get(number)
            if one is None:
                continue
            for person, via in dict.fromkeys((step.person, step.via) for step in paged.accepted):
                if (person, via) not in one.told:
                    told = PageAccepted(number, person, via)
                    yield Draft(f"{CAPABILITY}/{number}/told/{person}/{via}", now_ms, self._server, told)
            given = self.pager.state.acknowledged(paged.page.id[:REFERENCE_LENGTH])
            if given is not None and one.is_open and paged.page.id not in one.acknowledged:
                fact = IncidentAcknowledged(number, given.who, paged.page.id)
                yield Draft(f"{CAPABILITY}/{number}/acknowledged/{paged.page.id}", now_ms, self._server, fact)
