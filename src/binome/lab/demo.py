"""The demonstration: an estate under load loses a data centre, and the clients' logs say what that cost.

    build ► load ► fault ► writes flow again ► rebuild or heal ► the pair is whole ► judge

What happens is seen by a watcher that asks every engine a few times a second and follows the clients' logs; the
demonstration itself only acts and waits. Times of events are in seconds from the fault.
"""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import suppress
from dataclasses import dataclass, field, fields
from itertools import takewhile

from binome.core.leadership import LeadershipTaken
from binome.lab import checker, engines, faults, lookouts, stage, telling
from binome.lab.checker import Evidence
from binome.lab.clients import PATIENCES_S, Clients, held_by, prepare_ledger
from binome.lab.engines import Look
from binome.lab.errors import LabError
from binome.lab.faults import Fault, Strike
from binome.lab.lab import Lab
from binome.lab.outside import Following, Page
from binome.lab.record import Record
from binome.lab.stage import NOBODY, Stage, Together

LOAD_S = 10
AFTERWARDS_S = 3
PATIENCE_WITH_ENGINES_S = 90
VERDICT_WITHIN_S = 8
FLOW_PER_S = 25
"""Writes that each client must get acknowledged in one second for writes to flow: a quarter of what it asks for."""
_WATCH_EVERY_S = 0.05


@dataclass(slots=True)
class View:
    """What can be seen at this moment; the live screen shows it."""

    estate: str
    fault: Fault
    site: str = ""
    faulted_at_s: float | None = None  # on the monotonic clock
    sites: dict[str, str] = field(default_factory=dict)
    looks: dict[str, dict[str, Look]] = field(default_factory=dict)
    acknowledged: int = 0
    unknown: int = 0
    per_second: list[int] = field(default_factory=list)  # writes acknowledged in each second since the load began

    def begin_again(self) -> None:
        """Nothing has happened yet, as before the first load."""
        fresh = View(self.estate, self.fault)
        for one in fields(View):
            setattr(self, one.name, getattr(fresh, one.name))


@dataclass(frozen=True, slots=True)
class Scene:
    """How a demonstration is played; by default as the estate stands, with nobody's place arranged for.

    `prefix` tells its clients from those of others in the same lab. `together` is what has to burn with the site: with
    an empty set the leaders of lookouts and etcd stand elsewhere; with None they stand where they happen to.
    """

    prefix: str = ""
    load_s: float = LOAD_S
    together: frozenset[Together] | None = None


@dataclass(frozen=True, slots=True)
class Event:
    """Something that happened, in seconds from the fault."""

    at_s: float
    what: str


@dataclass(frozen=True, slots=True)
class Recovery:
    """What came back out of a vault. Times are in seconds from the fault.

    `point_s` is the moment that the copy is of, `lost_beyond` the writes that were acknowledged after it, and are gone.
    `same`: what was restored is what was saved. `phases_s` are those of the restore.
    """

    backup: str
    vault: str
    proven: bool
    point_s: float
    restored_s: float
    same: bool
    phases_s: dict[str, float]
    lost_beyond: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class Outcome:
    """What the demonstration found. Times are in seconds; None where it never came."""

    estate: str
    fault: Fault
    site: str
    evidence: Evidence
    outage_s: dict[str, float]  # of the patient client, by operation
    outage_impatient_s: dict[str, float]
    unanswered: dict[str, int]  # operations that neither attempt of a client got an answer for
    flows: bool  # both clients got writes acknowledged again after the fault
    new_primary_s: float | None
    verdict_s: float | None  # until the lookouts agreed on the site as the cause, and how they said it
    scope: str
    time_to_redundancy_s: float | None
    events: tuple[Event, ...]
    engines: dict[str, str]
    faulted_at_s: float
    records: tuple[tuple[str, tuple[Record, ...]], ...]  # by client
    stage: Stage = NOBODY  # who led when the fault came
    decider: str = ""  # the lookout whose plan moved or released the database; empty where none did
    pages: tuple[Page, ...] = ()  # that providers of messages accepted
    recovery: Recovery | None = None  # where all was lost but a copy

    @property
    def good(self) -> bool:
        """Nothing acknowledged was lost, no two primaries acknowledged, writes flow and the pair is whole again.

        Where all was lost but a copy, `lost` is what that copy should have had, and there is no pair any more.
        """
        if self.recovery is not None:
            return self.flows and self.recovery.same and not self.evidence.lost and not self.evidence.double_primary
        return (
            self.flows
            and not self.evidence.lost
            and not self.evidence.double_primary
            and (self.new_primary_s is not None or self.fault in faults.KEEPS_PRIMARY)
            and self.time_to_redundancy_s is not None
        )


class Watcher:
    """Looks at the lab and at the clients' logs until it is closed, and keeps the view and the list of events."""

    def __init__(
        self, lab: Lab, clients: Clients, view: View, say: Callable[[Event], None], load_s: float = LOAD_S
    ) -> None:
        self.view = view
        self.events: list[Event] = []
        self.role_since_s: dict[tuple[str, Look], float] = {}  # (server, look) of the database → since when
        self._lab, self._clients, self._say = lab, clients, say
        self._database = lab.database()
        self._journal = lookouts.Following({name: lab.root(name) for name in lookouts.names(lab.estate)})
        self.pages = Following(lab.outside)
        self.verdict: tuple[float, str] | None = None  # when a site was agreed to be lost, and the sentence
        self.decider = ""
        self._leaders: dict[int, str] = {}  # generation → who led in it
        self._load_s = load_s
        self._begun_s = time.monotonic()
        self._stop = threading.Event()
        self._thread = threading.Thread(target=self._watch, name="watcher", daemon=True)
        self.failure: BaseException | None = None

    def __enter__(self) -> Watcher:
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._stop.set()
        self._thread.join()

    @property
    def expected_at_s(self) -> float:
        """When the fault was expected, on the monotonic clock: events before it are told from there."""
        return self._begun_s + self._load_s

    def happened(self, what: str, at_s: float | None = None) -> None:
        """Notes an event, now or at a time of the monotonic clock."""
        at_s = time.monotonic() if at_s is None else at_s
        event = Event(round(at_s - (self.view.faulted_at_s or self.expected_at_s), 2), what)
        self.events.append(event)
        self._say(event)

    def acknowledged_since(self, at_s: float) -> int:
        """How many writes the client that got fewest has had acknowledged since a time of the monotonic clock."""
        return min(
            sum(one.operation == "write" and one.state == "acknowledged" for one in _since_then(log.records, at_s))
            for log in self._clients.logs.values()
        )

    def _watch(self) -> None:
        try:
            while not self._stop.wait(_WATCH_EVERY_S):
                self._follow_logs()
                self._follow_journal()
                for at_s, words in self.pages.grown():
                    self.happened(words, at_s)
                self._look()
        except BaseException as error:  # handed to whoever waits for what we see
            self.failure = error

    def _follow_logs(self) -> None:
        counts = self.view.per_second
        counts += [0] * (int(time.monotonic() - self._begun_s) + 1 - len(counts))
        for log in self._clients.logs.values():
            for one in log.grown():
                if one.operation != "write":
                    continue
                self.view.unknown += one.state == "unknown"
                if one.state == "acknowledged":
                    self.view.acknowledged += 1
                    second = int(max(one.at_s - self._begun_s, 0))
                    counts += [0] * (second + 1 - len(counts))  # reading may itself take longer than a second
                    counts[second] += 1

    def _follow_journal(self) -> None:
        """Notes what the lookouts have agreed on and decided; before the load there is nothing to tell of."""
        for entry, fact in self._journal.grown():
            at_s = time.monotonic() - (time.time_ns() // 1_000_000 - entry.at_ms) / 1000
            words = telling.words(fact, entry)
            if isinstance(fact, LeadershipTaken):
                self._leaders[entry.generation] = fact.leader
            if self.view.faulted_at_s is not None and at_s >= self.view.faulted_at_s and telling.moves(fact):
                self.decider = self.decider or self._leaders.get(entry.generation, "")
            if words and self.view.faulted_at_s is not None and at_s >= self.view.faulted_at_s:
                self.happened(words, at_s)
                if self.verdict is None and telling.names_site(fact, self.view.site):
                    self.verdict = at_s, words

    def _look(self) -> None:
        looks, before = self._lab.looks(), self.view.looks
        at_s = time.monotonic()  # after the answer: what was seen was so by then
        self.view.sites, self.view.looks = self._lab.sites(), looks
        for server, look in looks[self._database].items():
            seen = before.get(self._database, {}).get(server)
            if before and seen != look:
                self.role_since_s[server, look] = at_s
                if look == Look("primary", "up"):
                    self.happened(f"{server} is primary", at_s)
                elif look == Look("standby", "up"):
                    self.happened(f"{server} follows as standby", at_s)
                elif seen is not None and seen.role == "primary" and look.role == "standby":
                    self.happened(f"{server} is primary no more", at_s)


def demonstrate(lab: Lab, view: View, say: Callable[[Event], None], scene: Scene | None = None) -> Outcome:
    """Runs the demonstration on a lab that is whole. Raises LabError where the lab or a client fails."""
    scene = scene or Scene()
    database = lab.database()
    prepare_ledger(lab)
    clients = Clients(lab, scene.prefix)
    clients.start()
    with Watcher(lab, clients, view, say, scene.load_s) as watcher:
        watcher.happened(f"{len(PATIENCES_S)} clients write, read and fetch")
        pause(scene.load_s, watcher)
        primary = lab.primary(database)
        strike = Strike(lab, view.fault, primary)
        led_by = stage.arranged(lab, strike.site, scene.together)
        faulted_at_s = _struck(strike, view, watcher)
        flow = waited(lambda: _flow_again(watcher, database, primary), watcher)
        if flow:
            silence = checker.outage(clients.logs["patient"].records, "write")
            watcher.happened("writes flow again", silence.end_s)
        else:
            watcher.happened("writes do not flow")
        if lookouts.names(lab.estate) and view.fault in faults.OF_SITES:
            # Who looks needs a few seconds to be sure; a site that is back is no loss.
            waited(lambda: watcher.verdict is not None, watcher, VERDICT_WITHIN_S)
        whole_at_s = _made_whole(strike, watcher)
        watcher.happened("the pair is whole again" if whole_at_s else "the pair is not whole again")
        pause(AFTERWARDS_S, watcher)
        flow = flow and watcher.acknowledged_since(time.monotonic() - AFTERWARDS_S / 2) > 0
        clients.stop()
    evidence = checker.check(clients.records(), _held(lab, database))
    by_client = {name: checker.outages(log.records) for name, log in clients.logs.items()}
    again_at_s = new_primary_at_s(watcher, clients, primary, faulted_at_s)
    return Outcome(
        estate=lab.estate.estate,
        fault=view.fault,
        site=strike.site,
        evidence=evidence,
        outage_s=by_client["patient"],
        outage_impatient_s=by_client["impatient"],
        unanswered=checker.unanswered(clients.records()),
        flows=flow,
        new_primary_s=_since(faulted_at_s, again_at_s),
        verdict_s=_since(faulted_at_s, watcher.verdict[0]) if watcher.verdict else None,
        scope=watcher.verdict[1] if watcher.verdict else "",
        time_to_redundancy_s=_since(faulted_at_s, whole_at_s),
        events=tuple(sorted(watcher.events, key=lambda event: event.at_s)),
        engines=engines.versions(),
        faulted_at_s=faulted_at_s,
        records=tuple((name, tuple(log.records)) for name, log in clients.logs.items()),
        stage=led_by,
        decider=watcher.decider,
        pages=watcher.pages.since(faulted_at_s),
    )


def _struck(strike: Strike, view: View, watcher: Watcher) -> float:
    """Injects the fault; when it came."""
    view.site, view.faulted_at_s = strike.site, time.monotonic()
    watcher.happened(strike.words, view.faulted_at_s)
    strike.strike()
    return view.faulted_at_s


def _made_whole(strike: Strike, watcher: Watcher) -> float | None:
    """Brings back what was lost; when the pair was whole again, or None."""
    try:
        if strike.mending:
            watcher.happened(strike.mending)
        strike.mend()
    except LabError as error:
        watcher.happened(str(error))
        return None
    return time.monotonic()


def _flow_again(watcher: Watcher, database: str, primary: str) -> bool:
    """Whether writes were acknowledged throughout the last second, by a primary that is not lost."""
    now = time.monotonic()
    faulted_at_s = watcher.view.faulted_at_s or now
    if now - faulted_at_s < 1.5 or watcher.acknowledged_since(now - 1) < FLOW_PER_S:
        return False
    looks = watcher.view.looks[database]
    fault = watcher.view.fault
    return fault in faults.KEEPS_PRIMARY or any(
        look == Look("primary", "up") for server, look in looks.items() if server != primary or fault == "kill-postgres"
    )


def new_primary_at_s(watcher: Watcher, clients: Clients, primary: str, faulted_at_s: float) -> float | None:
    """When a primary was there again: when it said so, or when a write on a new timeline proved it, if that was sooner.

    Who is asked says so at once; but it is asked only a few times a second.
    """
    if watcher.view.fault in faults.KEEPS_PRIMARY:
        return None
    times = [
        at_s
        for (server, look), at_s in watcher.role_since_s.items()
        if look == Look("primary", "up")
        and at_s >= faulted_at_s
        and (server != primary or watcher.view.fault == "kill-postgres")
    ]
    writes = [one for one in clients.records() if one.operation == "write" and one.state == "acknowledged"]
    before = max((one.timeline for one in writes if one.at_s < faulted_at_s), default=0)
    times += [one.at_s for one in writes if one.at_s >= faulted_at_s and one.timeline > before]
    return min(times, default=None)


def _held(lab: Lab, database: str) -> set[str]:
    """The ids that the primary holds; where there is none, those of a member that answers; else of nobody."""
    looks = {server: look for server, look in lab.looks()[database].items() if look.state != "down"}
    for server in sorted(looks, key=lambda server: looks[server].role != "primary"):
        with suppress(LabError):
            return held_by(lab, server)
    return set()


def _since_then(records: Sequence[Record], at_s: float) -> Iterator[Record]:
    """The records since a time; the newest first."""
    return takewhile(lambda one: one.at_s >= at_s, reversed(records))


def _since(begin_s: float, at_s: float | None) -> float | None:
    return None if at_s is None else round(at_s - begin_s, 2)


def waited(
    condition: Callable[[], bool],
    watcher: Watcher,
    within_s: float = PATIENCE_WITH_ENGINES_S,
    every_s: float = _WATCH_EVERY_S,
) -> bool:
    """Whether the condition came true while the engines still had time."""
    deadline = time.monotonic() + within_s
    while not condition():
        if time.monotonic() > deadline:
            return False
        pause(every_s, watcher)
    return True


def pause(seconds: float, watcher: Watcher) -> None:
    """Lets the load go on; what the watcher ran into ends the demonstration."""
    deadline = time.monotonic() + seconds
    while (left := deadline - time.monotonic()) > 0:
        if watcher.failure is not None:
            raise watcher.failure
        time.sleep(min(left, 0.1))
