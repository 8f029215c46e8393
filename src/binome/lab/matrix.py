"""The fault matrix: each row's fault in a lab under load, and what came of it (rows.py).

    whole ► load ► fault ► lasts ► what people are shown ► the fault ends ► whole again ► judge

One lab serves many rows, as long as it is whole again after each of them: a row that leaves it otherwise has failed,
and the next one gets a lab of its own. What happened is read from the clients' logs, from the database's timeline
(every promotion has one), from the journal, from the lookouts' outboxes and from `binome status`.
"""

from __future__ import annotations

import re
import subprocess
import sys
import time
from collections.abc import Callable, Iterable, Iterator
from contextlib import AbstractContextManager, suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from binome.core.leadership import LeadershipTaken
from binome.core.plan import PlanMade
from binome.core.takeover import CAPABILITY, PROMOTE
from binome.lab import checker, clock, disks, inside, lookouts, telling
from binome.lab.acts import Acts, cast
from binome.lab.checker import Evidence
from binome.lab.clients import Clients, held_by, prepare_ledger
from binome.lab.errors import LabError
from binome.lab.grey import Grey
from binome.lab.guard import passing_lab
from binome.lab.lab import Lab
from binome.lab.rows import WHOLE_S, Row
from binome.lab.sessions import Sessions, longest
from binome.render import Folders
from binome.render.places import PATRONI_PORT

COOLDOWN_S = 10
ACT_AFTER = "350ms"
_ENOUGH = 200
_BEFORE_S = 3.0
_HEALED_S = 30.0
_TIMELINE = "SELECT ('x' || substr(pg_walfile_name(pg_current_wal_lsn()), 1, 8))::bit(32)::int"

Say = Callable[[str], None]


@dataclass(slots=True)
class Seen:
    """What came of a row. Lengths are in seconds; None where it never came."""

    row: Row
    evidence: Evidence = field(default_factory=lambda: Evidence(0, (), 0, 0, ()))
    outage_s: dict[str, float] = field(default_factory=dict)  # of the patient client, by operation
    takeovers: int = 0  # while the fault lasted
    later: int = 0  # after its end
    planned: int = 0  # of both by the leading lookout; the others by Patroni's own timer
    whole_s: float | None = None
    told: list[str] = field(default_factory=list)  # while the fault lasted
    told_later: list[str] = field(default_factory=list)
    amiss: list[str] = field(default_factory=list)  # why the row does not hold
    sessions_s: float | None = None  # until the last session to the lost primary was ended at an edge elsewhere

    def as_json(self) -> dict[str, Any]:
        """The record of `matrix.json`."""
        return {
            "row": self.row.name,
            "fault": self.row.fault,
            "expected": self.row.expected,
            "holds": not self.amiss,
            "amiss": self.amiss,
            "acknowledged": self.evidence.acknowledged,
            "lost": len(self.evidence.lost),
            "double_primary": len(self.evidence.double_primary),
            "outage_s": self.outage_s,
            "takeovers": self.takeovers,
            "later": self.later,
            "planned": self.planned,
            "whole_s": self.whole_s,
            "sessions_s": self.sessions_s,
            "told": self.told,
            "told_later": self.told_later,
        }


def judge(row: Row, seen: Seen, names: dict[str, str]) -> list[str]:
    """Why what was seen is not what the row expects. `names` are the servers by the parts that they played."""
    amiss = []
    if seen.evidence.lost:
        amiss.append(f"{len(seen.evidence.lost)} acknowledged writes lost")
    if seen.evidence.double_primary:
        amiss.append(f"{len(seen.evidence.double_primary)} writes acknowledged by two primaries")
    if seen.evidence.acknowledged < _ENOUGH:
        amiss.append(f"only {seen.evidence.acknowledged} writes acknowledged: that proves nothing")
    if row.outage_s is not None and seen.outage_s["write"] > row.outage_s:
        amiss.append(f"writes out for {seen.outage_s['write']:.1f} s")
    least, most = row.takeovers
    if not least <= seen.takeovers <= most:
        amiss.append(f"{seen.takeovers} takeovers")
    if seen.later > row.later:
        amiss.append(f"{seen.later} takeovers after its end")
    if row.sessions_s is not None and (seen.sessions_s is None or seen.sessions_s > row.sessions_s):
        after = "are not ended" if seen.sessions_s is None else f"are ended after {seen.sessions_s:.1f} s"
        amiss.append(f"sessions to the lost primary {after}")
    for pattern in row.told:
        if not any(re.search(named(pattern, names), line) for line in seen.told):
            amiss.append(f"nobody is told {named(pattern, names)!r}")
    for pattern in row.untold:
        amiss += [f"told: {line}" for line in [*seen.told, *seen.told_later] if re.search(named(pattern, names), line)]
    return amiss


def two_minds(told: Iterable[lookouts.Told]) -> list[str]:
    """Where two have written as leaders: a generation that falls, or one that two have taken."""
    amiss, newest, taken_by = [], 0, dict[int, str]()
    for entry, fact in told:
        if entry.generation < newest:
            amiss.append(f"entry {entry.sequence} is of generation {entry.generation}, after {newest}")
        newest = max(newest, entry.generation)
        if isinstance(fact, LeadershipTaken):
            first = taken_by.setdefault(entry.generation, fact.leader)
            amiss += (
                [f"{first} and {fact.leader} both took generation {entry.generation}"] if first != fact.leader else []
            )
    return amiss


def named(pattern: str, names: dict[str, str]) -> str:
    """A pattern with the names of the servers that play its parts."""
    for part, name in names.items():
        pattern = pattern.replace(f"{{{part}}}", re.escape(name))
    return pattern


def quickened(text: bytes) -> bytes:
    """The estate as the matrix runs it: it acts after 350 ms, and a takeover may follow another after 10 s."""
    text = re.sub(rb"(?m)^(\s+act_after:[ \t]*)\S+", rb"\g<1>" + ACT_AFTER.encode(), text)
    return re.sub(rb"(?m)^(\s+cooldown:[ \t]*)\S+", rb"\g<1>" + f"{COOLDOWN_S}s".encode(), text)


def run_rows(text: bytes, rows: Iterable[Row], say: Say, salvage: Path | None = None) -> Iterator[Seen]:
    """Runs rows on the estate in `text`; a new lab after each that is not whole again."""
    waiting = list(rows)
    while waiting:
        first = waiting[0]
        with lab_for(text, first, salvage) as lab:
            prepare_ledger(lab)
            good, fresh = True, True
            while waiting and good and (waiting[0].disks, waiting[0].clocks) == (first.disks, first.clocks):
                trial = Trial(lab, waiting[0], say)
                try:
                    trial.prepare()
                except LabError as error:
                    if fresh:
                        raise
                    say(f"this lab is fit for no other row: {error}")
                    break
                fresh = False
                waiting.pop(0)
                seen = trial.run()
                good = seen.whole_s is not None
                if salvage is not None and seen.amiss:
                    lab.keep_evidence(salvage / seen.row.name, engines=True)
                yield seen


def lab_for(text: bytes, row: Row, salvage: Path | None = None) -> AbstractContextManager[Lab]:
    """A passing lab of the estate in `text`, as the matrix runs it, with what the row needs to have been built in."""

    def before(lab: Lab) -> None:
        disks.mount(lab, disks.small(lab, row.disks))
        if row.clocks:
            clock.give(lab)

    return passing_lab(quickened(text), salvage=salvage and salvage / "lab", before=before)


class Trial:
    """One row in a lab."""

    def __init__(self, lab: Lab, row: Row, say: Say) -> None:
        self.lab, self.row, self._say = lab, row, say
        self.grey = Grey(lab)
        self.service = lab.database()
        self.clients = Clients(lab, f"{row.name}-")
        self.sessions = Sessions(lab, row.name) if row.sessions_s is not None else None
        self._following = lookouts.Following({name: lab.root(name) for name in lookouts.names(lab.estate)})
        self.acts = Acts(lab, self.grey, row.name)
        self._paged: set[tuple[str, str]] = set()

    def prepare(self) -> None:
        """Waits until the lab is fit for the row. Raises LabTimeoutError where it does not get so."""
        self.lab.wait_for(lambda: unwhole(self.lab), "the estate before the row", WHOLE_S)
        self.lab.wait_until_whole()
        time.sleep(COOLDOWN_S)  # whatever was taken over before this row no longer holds it up

    def run(self) -> Seen:
        """Runs the row in a lab that is fit for it. Raises LabError where that failed, with every fault undone."""
        seen = Seen(self.row)
        list(self._following.grown())
        self._paged = pages(self.lab)
        self.acts.names = cast(self.lab)
        before = timeline(self.lab, self.service)
        self.clients.start()
        try:
            self._say(f"{self.row.name}: {self.row.fault}")
            time.sleep(_BEFORE_S)
            if self.sessions:
                self.sessions.start()
            begun_s = time.monotonic()
            for act in self.row.acts:
                self.acts.do(act)
            time.sleep(self.row.lasts_s)
            if self.sessions:
                seen.sessions_s = longest(self.sessions.ended(), self._lost_edges(), begun_s)
            seen.takeovers = max(self._timelines(), default=before) - before
            seen.told += [f"{name}: {line}" for name in self._answering() for line in status(self.lab, name)]
            seen.told += self._heard(seen)
        finally:
            self._heal(seen)
        seen.told_later = self._heard(seen)
        self._judge(seen, before)
        return seen

    def _heard(self, seen: Seen) -> list[str]:
        """What the journal and the outboxes have told since the last time; plans and two minds are noted in `seen`."""
        words = []
        entries = list(self._following.grown())
        seen.amiss += two_minds(entries)
        for told in entries:
            seen.planned += promotes(told.fact)
            if isinstance(told.fact, PlanMade):
                words.append(f"plan: {told.fact.plan}")
            if said := telling.words(told.fact, told.entry):
                words.append(f"journal: {said}")
        paged = pages(self.lab)
        words += [f"page {name} {note}" for name, note in sorted(paged - self._paged)]
        self._paged |= paged
        return words

    def _heal(self, seen: Seen) -> None:
        """Ends the fault, and waits until everything is whole."""
        ended_s = time.monotonic()
        try:
            self.grey.heal(within_s=_HEALED_S)
            self.lab.wait_for(lambda: self.grey.supervise() or unwhole(self.lab), "whole again", WHOLE_S)
            self.lab.wait_until_whole(timeout_s=max(WHOLE_S - (time.monotonic() - ended_s), 1))
            seen.whole_s = round(time.monotonic() - ended_s, 1)
        except LabError as error:
            seen.amiss.append(f"not whole within {WHOLE_S} s: {error}")
        time.sleep(_BEFORE_S)
        self.clients.stop()
        if self.sessions:
            self.sessions.stop()
        self.acts.close()

    def _judge(self, seen: Seen, before: int) -> None:
        try:
            self.lab.wait_until_whole()  # one look that came too late on a busy machine is no primary that is gone
            held = held_by(self.lab, self.lab.primary(self.service))
            seen.later = timeline(self.lab, self.service) - before - seen.takeovers
        except LabError as error:
            seen.amiss.append(f"nothing can be judged: {error}")
            return
        seen.evidence = checker.check(self.clients.records(), held)
        seen.outage_s = checker.outages(self.clients.logs["patient"].records)
        seen.amiss += judge(self.row, seen, self.acts.names)

    def _timelines(self) -> Iterator[int]:
        """The timelines of the members that answer now; none of them need be primary."""
        for server in self.lab.estate.services[self.service].on:
            address = self.lab.estate.servers[server].address or ""
            with suppress(OSError, TypeError, KeyError):
                yield int(inside.ask(server, (address, PATRONI_PORT), "/patroni")["timeline"])

    def _lost_edges(self) -> frozenset[str]:
        """The servers of sites that are off the network: what is ended there nobody elsewhere hears."""
        return frozenset(
            one for site, state in self.lab.sites().items() if state != "up" for one in self.lab.servers_of(site)
        )

    def _answering(self) -> list[str]:
        return [name for name, said in self.lab.lookouts().items() if said is not None]


def unwhole(lab: Lab) -> list[str]:
    """What the lookouts do not yet hold for whole: causes, silent sites, agents that are away or fenced, plans."""
    missing = []
    for name, said in lab.lookouts().items():
        if said is None:
            missing.append(f"{name} (no answer)")
            continue
        missing += [f"{name}: {one['scope']}" for one in said["scopes"]]
        missing += [f"{name}: {one['site']} is silent" for one in said["silent_sites"]]
        missing += [f"{name}: {one['plan']}" for one in said["plans"]]
        # No sender is built here: that a page reaches nobody is so, and says nothing of the estate.
        missing += [f"{name}: {problem}" for problem in said["problems"] if not problem.startswith("page ")]
        missing += [f"{name}: agent {one['server']}" for one in said["agents"] if one["fenced"] or not one["connected"]]
    return missing


def status(lab: Lab, name: str) -> list[str]:
    """What `binome status` says to a person at a lookout; empty where it says nothing."""
    door = f"{Folders(str(lab.root(name))).run}/binome.sock"
    with suppress(subprocess.TimeoutExpired):
        done = subprocess.run(
            [sys.executable, "-m", "binome.cli.entry", "status", "--socket", door],
            capture_output=True,
            text=True,
            timeout=20,
            check=False,
        )
        return [line for line in done.stdout.splitlines() if line]
    return []


def pages(lab: Lab) -> set[tuple[str, str]]:
    """The pages in the lookouts' outboxes, each with its lookout."""
    found = set()
    for name in lookouts.names(lab.estate):
        found |= {(name, note) for note in lookouts.wanted_pages(lab.root(name))}
    return found


def timeline(lab: Lab, service: str) -> int:
    """The timeline of a database's primary: every promotion begins one, with a higher number."""
    return int(lab.run_sql(service, lab.primary(service), _TIMELINE))


def promotes(fact: Any) -> bool:
    """Whether a fact is a plan that makes another member the primary."""
    return (
        isinstance(fact, PlanMade)
        and fact.capability == CAPABILITY
        and any(step.verb == PROMOTE for step in fact.steps)
    )
