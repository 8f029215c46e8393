"""Incidents: what a human hears of. One cause is one incident, whatever it is taken for and however often it returns.

    scope opened                              ► incident opened, with the next number
    its cause is corrected                    ► the same incident, corrected: it grows or shrinks
    its scope is joined to another's          ► joined: one goes on, the other says which
    a scope within what was lost, meanwhile   ► the same incident: a site that comes back may be known only in part
    all its scopes have ended                 ► quiet; resolved once nothing of it came back for a minute
    a scope with the same name meanwhile      ► the same incident goes on
    a person says so                          ► resolved, until the cause turns out to be something else

An incident's *episode* is the id of its first scope: it follows from kind, subject and count, so that a lookout without
a leader names it as a later leader will, and pages of both are one. Numbers are given by the leader alone.

The *moments* of an incident are the facts that concern it, in their order: what was seen and by whom, what was decided
and why, what was done, what people said. Those of the minute before it opened belong to it as well: a silence is
noticed, and a database may have taken over, before the cause is known. A fact that names a server, a site, a service or
a product belongs to the incidents whose cause names it too; to all that are open where none does.

What people ask for (a note, an acknowledgement, a resolution, a silence, to be on call out of turn) is answered by the
leader with `RequestAnswered`, and takes effect with it. A silence mutes that pages are made, never that anybody looks.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Iterator
from enum import StrEnum
from typing import NamedTuple

from binome.core.causes import RANK, Kind
from binome.core.concerns import is_told, names_of
from binome.core.decision import Decision, View
from binome.core.entry import Draft, Fact
from binome.core.graph import Graph
from binome.core.looking import VerdictsAgreed
from binome.core.maintenance import GRANTED
from binome.core.oncall import Override
from binome.core.scope import Cause, ScopeChanged, ScopeEnded, ScopeOpened
from binome.core.scoping import graphs
from binome.estate import Estate

CAPABILITY = "incident"
QUIET_MS = 60_000
"""So long nothing of an incident may come back before it is resolved."""
BEFORE_MS = 60_000
"""Facts of so long before it opened belong to an incident."""
KEPT = 100  # incidents that are known by heart; older ones are in the journal
FIRST_MOMENTS, LAST_MOMENTS = 100, 200
"""Of each incident so many moments are kept, from its beginning and from its end."""
RECENT = 200  # facts kept for incidents to come


class Refused(StrEnum):
    """Why a request was not granted."""

    NO_SUCH_INCIDENT = "no such incident"
    RESOLVED_ALREADY = "the incident is resolved already"
    NO_SUCH_SUBJECT = "no such subject"
    NO_SUCH_PERSON = "no such person"
    OVER_ALREADY = "its end has passed already"


class Resolved(StrEnum):
    """Why an incident is resolved."""

    UP_AGAIN = "all of it is well again"
    BY_PERSON = "a person says so"


class IncidentOpened(Fact, frozen=True, tag="incident-opened"):
    """An incident begins with a scope."""

    incident: int
    scope: str


class IncidentReturned(Fact, frozen=True, tag="incident-returned"):
    """One more scope belongs to an incident: the same again, or something within what it is about."""

    incident: int
    scope: str


class IncidentJoined(Fact, frozen=True, tag="incident-joined"):
    """An incident turned out to be a part of another."""

    incident: int
    into: int


class IncidentResolved(Fact, frozen=True, tag="incident-resolved"):
    """An incident is over."""

    incident: int
    why: Resolved


class IncidentAcknowledged(Fact, frozen=True, tag="incident-acknowledged"):
    """Somebody acknowledged a page (its identity), by the button behind its link or at a lookout."""

    incident: int
    who: str
    page: str


class PageAccepted(Fact, frozen=True, tag="page-accepted"):
    """A sender accepted a page about an incident."""

    incident: int
    person: str
    via: str


class NoteAsked(Fact, frozen=True, tag="note-asked"):
    """A person writes into the log book of an incident."""

    request: str
    incident: int
    text: str
    who: str


class AcknowledgeAsked(Fact, frozen=True, tag="acknowledge-asked"):
    """A person sees to an incident."""

    request: str
    incident: int
    who: str


class ResolveAsked(Fact, frozen=True, tag="resolve-asked"):
    """A person says that an incident is over."""

    request: str
    incident: int
    why: str
    who: str


class SilenceAsked(Fact, frozen=True, tag="silence-asked"):
    """A person wants no pages about a subject until a time."""

    request: str
    subject: str
    until_ms: int
    why: str
    who: str


class OverrideAsked(Fact, frozen=True, tag="override-asked"):
    """A person is on call out of turn."""

    request: str
    person: str
    from_ms: int
    until_ms: int
    who: str


class RequestAnswered(Fact, frozen=True, tag="request-answered"):
    """What comes of a request: granted, or why not."""

    request: str
    said: str


REQUESTS = (NoteAsked, AcknowledgeAsked, ResolveAsked, SilenceAsked, OverrideAsked)
FACTS = (
    *(IncidentOpened, IncidentReturned, IncidentJoined, IncidentResolved, IncidentAcknowledged, PageAccepted),
    *REQUESTS,
    RequestAnswered,
)
Asked = NoteAsked | AcknowledgeAsked | ResolveAsked | SilenceAsked | OverrideAsked


class Moment(NamedTuple):
    """A fact of a log book."""

    at_ms: int
    origin: str
    fact: Fact


class Silenced(NamedTuple):
    """A subject that nobody is paged about, until when and why."""

    until_ms: int
    why: str
    who: str


class Incident:
    """An incident in time. Read-only for everyone but the slice."""

    def __init__(self, number: int, scope: str, cause: Cause, at_ms: int) -> None:
        self.number, self.episode, self.opened_ms = number, scope, at_ms
        self.cause = self.widest = cause  # what is known of it now; as what it was known when it was widest
        self.since_ms = cause.since_ms
        self.first_name = cause.name
        self.scopes: dict[str, Cause] = {}  # those that are open
        self.places: dict[str, Kind] = {}  # the servers, and what holds servers, that it was or is about
        self.widened: tuple[str, ...] = ()  # as what else it was paged, each wider than the one before
        self.names: set[str] = set()
        self.first: list[Moment] = []
        self.last: deque[Moment] = deque(maxlen=LAST_MOMENTS)
        self.left_out = 0
        self.told: set[tuple[str, str]] = set()  # person and sender by whom a page was accepted
        self.acknowledged_by = ""  # who did last
        self.acknowledged: set[str] = set()  # pages; older ones of their episode go with them, newer ones do not
        self.acknowledged_ms = 0  # when somebody acknowledged all of it, by a command
        self.quiet_ms: int | None = None  # since when none of its scopes is open
        self.toward = ""  # the scope that its last one was joined to
        self.into = 0  # the incident that it was joined to
        self.resolved_ms: int | None = None
        self.why = ""

    @property
    def is_open(self) -> bool:
        """Whether it goes on."""
        return self.resolved_ms is None

    def moments(self) -> list[Moment]:
        """Its log book, without what was left out in the middle."""
        return [*self.first, *self.last]

    def add(self, moment: Moment) -> None:
        """Writes into its log book."""
        if len(self.first) < FIRST_MOMENTS:
            self.first.append(moment)
            return
        self.left_out += len(self.last) == LAST_MOMENTS
        self.last.append(moment)

    def take(self, scope: str, cause: Cause) -> None:
        """Takes in what is known of one of its scopes now; the widest of them is its cause."""
        self.scopes[scope] = cause
        is_place = cause.kind not in (Kind.NETWORK, Kind.VANTAGE) and RANK[cause.kind] >= RANK[Kind.SERVER]
        if is_place:
            wider = RANK[cause.kind] > max((RANK[kind] for kind in self.places.values()), default=RANK[Kind.SERVER])
            if wider and cause.name != self.first_name:
                self.widened = (*self.widened, cause.name)
            self.places[cause.subject] = cause.kind
        self.cause = max(self.scopes.values(), key=lambda one: one.width)
        self.widest = max(self.widest, self.cause, key=lambda one: one.width)
        self.since_ms = min(self.since_ms, cause.since_ms)
        self.names |= {cause.subject, *cause.subject.replace("/", "@").split("@"), *cause.services, *cause.products}


class IncidentSlice:
    """The incidents, by number; what people asked for; the silences and who took which turn."""

    def __init__(self) -> None:
        self.all: dict[int, Incident] = {}
        self.count = 0
        self.of_scope: dict[str, int] = {}  # open scopes → their incident
        self.asked: dict[str, tuple[Asked, int, str]] = {}  # what waits for an answer, when and where it was asked
        self.silenced: dict[str, Silenced] = {}
        self.overrides: tuple[Override, ...] = ()
        self._causes: dict[str, Cause] = {}  # of the scopes that are open
        self._recent: deque[tuple[Moment, set[str]]] = deque(maxlen=RECENT)  # with what each speaks of

    def open(self) -> list[Incident]:
        """The incidents that go on, the oldest first."""
        return [one for one in self.all.values() if one.is_open]

    def apply(self, fact: Fact, at_ms: int, origin: str, subject_of: Callable[[str], str]) -> Iterator[tuple[str, str]]:
        """Takes in any fact; the requests that it answers, and how. `subject_of` says what a plan is for."""
        moment = Moment(at_ms, origin, fact)
        match fact:
            case VerdictsAgreed():
                return
            case ScopeOpened() | ScopeChanged() | ScopeEnded():
                self._scoped(fact, moment)
            case IncidentOpened() | IncidentReturned() | IncidentJoined() | IncidentResolved():
                self._moved(fact, moment)
            case IncidentAcknowledged() | PageAccepted():
                self._heard(fact, moment)
            case NoteAsked() | AcknowledgeAsked() | ResolveAsked() | SilenceAsked() | OverrideAsked():
                self.asked[fact.request] = fact, at_ms, origin
            case RequestAnswered():
                if fact.request in self.asked:
                    self._answered(*self.asked.pop(fact.request), fact.said, at_ms)
                    yield fact.request, fact.said
            case _ if is_told(fact):
                self._tell(moment, names_of(fact, subject_of))

    def _scoped(self, fact: ScopeOpened | ScopeChanged | ScopeEnded, moment: Moment) -> None:
        one = self.all.get(self.of_scope.get(fact.scope, 0))
        if isinstance(fact, ScopeEnded):
            self._causes.pop(fact.scope, None)
            self.of_scope.pop(fact.scope, None)
            if one is not None:
                one.add(moment)
                one.scopes.pop(fact.scope, None)
                if not one.scopes:
                    one.quiet_ms, one.toward = moment.at_ms, fact.into
            return
        self._causes[fact.scope] = fact.cause
        if one is None:
            self._recent.append((moment, {fact.scope}))
            return
        if not one.is_open and fact.cause.name != one.cause.name:
            del self.of_scope[fact.scope]  # a person said that it is over, and it is something else
            self._recent.append((moment, {fact.scope}))
            return
        one.add(moment)
        one.take(fact.scope, fact.cause)

    def _moved(
        self, fact: IncidentOpened | IncidentReturned | IncidentJoined | IncidentResolved, moment: Moment
    ) -> None:
        one = self.all.get(fact.incident)
        match fact:
            case IncidentOpened() if one is None and fact.scope in self._causes and fact.scope not in self.of_scope:
                self._opened(fact, moment)
                return
            case IncidentReturned() if one is not None and fact.scope in self._causes:
                one.quiet_ms, one.toward = None, ""
                one.take(fact.scope, self._causes[fact.scope])
                self.of_scope[fact.scope] = one.number
            case IncidentJoined() if one is not None and one.is_open and fact.into in self.all:
                one.resolved_ms, one.why, one.into = moment.at_ms, f"it is a part of incident {fact.into}", fact.into
                self.all[fact.into].add(moment)
                self.all[fact.into].since_ms = min(self.all[fact.into].since_ms, one.since_ms)
            case IncidentResolved() if one is not None and one.is_open:
                one.resolved_ms, one.why = moment.at_ms, fact.why.value
            case _:
                return
        one.add(moment)

    def _opened(self, fact: IncidentOpened, moment: Moment) -> None:
        one = self.all[fact.incident] = Incident(fact.incident, fact.scope, self._causes[fact.scope], moment.at_ms)
        self.count = max(self.count, one.number)
        one.take(fact.scope, one.cause)
        self.of_scope[fact.scope] = one.number
        from_ms = min(one.since_ms, moment.at_ms) - BEFORE_MS
        others = set[str]().union(*(other.names for other in self.open() if other is not one))
        for before, names in self._recent:
            elsewhere = not others.isdisjoint(names)
            scoped = isinstance(before.fact, ScopeOpened | ScopeChanged)
            ours = fact.scope in names if scoped else not one.names.isdisjoint(names) or not elsewhere
            if before.at_ms >= from_ms and ours:
                one.add(before)
        one.add(moment)
        for number in [one.number for one in self.all.values() if not one.is_open][: max(len(self.all) - KEPT, 0)]:
            del self.all[number]

    def _heard(self, fact: IncidentAcknowledged | PageAccepted, moment: Moment) -> None:
        one = self.all.get(fact.incident)
        if one is None:
            return
        one.add(moment)
        if isinstance(fact, PageAccepted):
            one.told.add((fact.person, fact.via))
        else:
            one.acknowledged.add(fact.page)
            one.acknowledged_by = fact.who

    def _answered(self, asked: Asked, at_ms: int, origin: str, said: str, now_ms: int) -> None:
        """A request takes effect, if it was granted."""
        if said != GRANTED:
            return
        match asked:
            case SilenceAsked():
                self.silenced = {name: one for name, one in self.silenced.items() if one.until_ms > now_ms}
                self.silenced[asked.subject] = Silenced(asked.until_ms, asked.why, asked.who)
                self._tell(Moment(at_ms, origin, asked), {asked.subject})
            case OverrideAsked():
                living = tuple(one for one in self.overrides if one.until_ms > now_ms)
                self.overrides = (*living, Override(asked.person, asked.from_ms, asked.until_ms))
            case NoteAsked() | AcknowledgeAsked() | ResolveAsked():
                one = self.all.get(asked.incident)
                if one is None:
                    return
                one.add(Moment(at_ms, origin, asked))
                if isinstance(asked, AcknowledgeAsked):
                    one.acknowledged_by, one.acknowledged_ms = asked.who, at_ms
                if isinstance(asked, ResolveAsked):
                    one.resolved_ms, one.why = now_ms, f"{asked.who} says so: {asked.why}"

    def _tell(self, moment: Moment, names: set[str]) -> None:
        """Writes a moment into the log books that it belongs to, and keeps it for those to come."""
        self._recent.append((moment, names))
        concerned = [one for one in self.open() if not one.names.isdisjoint(names)]
        for one in concerned or self.open():
            one.add(moment)


def decide(estate: Estate, view: View, now_ms: int) -> Decision:
    """Which incidents begin, go on, are joined and are over; and what comes of what people ask."""
    known = view.incident
    graph = graphs.of(estate)
    record = [*_beginnings(graph, view, now_ms)]
    wakes = []
    for one in known.open():
        if one.quiet_ms is None:
            continue
        into = known.of_scope.get(one.toward, 0)
        if into not in (0, one.number):
            joined = IncidentJoined(one.number, into)
            record.append(Draft(f"{CAPABILITY}/{one.number}/joined", now_ms, CAPABILITY, joined))
        elif now_ms >= one.quiet_ms + QUIET_MS and not _returns(graph, view, one):
            over = IncidentResolved(one.number, Resolved.UP_AGAIN)
            record.append(Draft(f"{CAPABILITY}/{one.number}/resolved", now_ms, CAPABILITY, over))
        else:
            wakes.append(one.quiet_ms + QUIET_MS)
    for request, (asked, _, _) in known.asked.items():
        answer = RequestAnswered(request, _answer(estate, view, asked, now_ms))
        record.append(Draft(f"{CAPABILITY}/{request}/answered", now_ms, CAPABILITY, answer))
    return Decision(tuple(record), wake_at_ms=min((wake for wake in wakes if wake > now_ms), default=None))


def _returns(graph: Graph, view: View, one: Incident) -> bool:
    """Whether a scope is open, and not said to belong anywhere yet, that is this incident again."""
    new = (scope for scope in view.scope.open.values() if scope.id not in view.incident.of_scope)
    return any(_belongs(graph, one, scope.cause) for scope in new)


def _belongs(graph: Graph, one: Incident, cause: Cause) -> bool:
    """Whether a cause is an incident's again, or lies within what that is about."""
    if cause.name == one.cause.name:
        return True
    servers = servers_of(graph, cause) if cause.kind is not Kind.NETWORK else set()
    return bool(servers) and any(all(graph.domains.holds(place, server) for server in servers) for place in one.places)


def servers_of(graph: Graph, cause: Cause) -> set[str]:
    """The servers that a cause speaks of."""
    if cause.kind is Kind.SERVICE:
        return set(graph.estate.services[cause.subject].on) if cause.subject in graph.estate.services else set()
    subject = cause.subject.partition("/")[0].rpartition("@")[2]
    return {server for server in graph.estate.servers if graph.domains.holds(subject, server)}


def _beginnings(graph: Graph, view: View, now_ms: int) -> Iterator[Draft]:
    known = view.incident
    number = known.count
    for scope in view.scope.open.values():
        if scope.id in known.of_scope:
            continue
        again = next((one for one in known.open() if _belongs(graph, one, scope.cause)), None)
        if again is not None:
            fact: Fact = IncidentReturned(again.number, scope.id)
            yield Draft(f"{CAPABILITY}/{again.number}/returned/{scope.id}", now_ms, CAPABILITY, fact)
            continue
        number += 1
        yield Draft(f"{CAPABILITY}/{number}/opened", now_ms, CAPABILITY, IncidentOpened(number, scope.id))


def _answer(estate: Estate, view: View, asked: Asked, now_ms: int) -> str:
    """Granted, or why not."""
    match asked:
        case SilenceAsked() if not _is_subject(estate, asked.subject):
            return Refused.NO_SUCH_SUBJECT.value
        case SilenceAsked():
            return GRANTED if asked.until_ms > now_ms else Refused.OVER_ALREADY.value
        case OverrideAsked():
            if asked.person not in estate.people.contacts:
                return Refused.NO_SUCH_PERSON.value
            return GRANTED if asked.until_ms > max(now_ms, asked.from_ms) else Refused.OVER_ALREADY.value
    one = view.incident.all.get(asked.incident)
    if one is None:
        return Refused.NO_SUCH_INCIDENT.value
    if not isinstance(asked, NoteAsked) and not one.is_open:
        return Refused.RESOLVED_ALREADY.value
    return GRANTED


def _is_subject(estate: Estate, name: str) -> bool:
    sections = (estate.hosters, estate.sites, estate.domains, estate.servers, estate.services, estate.products)
    return any(name in section for section in sections)
