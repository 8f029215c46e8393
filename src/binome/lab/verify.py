"""Burns losses of an estate in the lab, one after the other, and writes down what was seen of each.

    whole ► the primary stands where the loss is ► load ► the servers are gone ► watched ► given back ► whole again

check assumes the worst, that the loss takes the primary: so it does here, wherever a member that may lead is in it. One
lab serves many losses, as long as it is whole again after each of them. Where a person would have to act nobody does:
the loss is watched for a bounded time, and the next one has a lab of its own.
"""

from __future__ import annotations

import os
import time
from collections.abc import Callable, Collection, Iterable, Iterator, Sequence
from contextlib import suppress
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from binome.estate.model import PostgresqlService
from binome.lab import checker, repeat
from binome.lab.altered import altered
from binome.lab.clients import Clients, held_by, prepare_ledger, settings_for
from binome.lab.engines import database_of
from binome.lab.errors import LabError
from binome.lab.faults import Strike
from binome.lab.foretold import Burn, Cell, in_turn
from binome.lab.guard import passing_lab
from binome.lab.lab import Lab
from binome.lab.record import OPERATIONS, Operation, Record

COOLDOWN = "1s"
LOAD_S = 3.0
WATCHED_S = 10.0
"""How long every loss is watched at least: a primary that gives up for want of agreement has done so by then."""
IN_VAIN_S = 40.0
"""How long what should not go on by itself is watched: Patroni, the last that could act, has done so after 25 s."""
STEADY_S = 2.0
SILENT_S = 5.0
"""An operation is down where the end of the watch has been without an answer for so long."""

Say = Callable[[str], None]


@dataclass(frozen=True, slots=True)
class Patience:
    """How long a loss is watched: `ends` where it is not expected to go on, and the lab is begun anew after it."""

    ends: bool
    bound_s: float


def lab_copy(text: bytes, estate: Any) -> bytes:
    """The estate as the lab has it: with a short cooldown, since the next loss does not wait for ten minutes."""
    for name, service in estate.services.items():
        if isinstance(service, PostgresqlService):
            text = altered(text, name, {"cooldown": COOLDOWN})
    return text


def burns(
    text: bytes,
    waiting: Iterable[Cell],
    patience: Callable[[Cell], Patience],
    say: Say,
    *,
    salvage: Callable[[Burn], Path | None] = lambda _: None,
    logs: Path | None = None,
) -> Iterator[Burn]:
    """Burns losses in the estate in `text`, in the order that suits the lab; a new lab where one is not whole again.

    The lab's logs are kept where `salvage` says so after a loss, and in `logs` where the lab fails. Raises LabError
    where a new lab is not fit even for its first loss.
    """
    left = list(waiting)
    while left:
        with passing_lab(text, say=lambda _: None, salvage=logs) as lab:
            prepare_ledger(lab)
            number, good = 0, True
            while left and good:
                database = lab.database()
                ends = [cell for cell in left if patience(cell).ends]
                try:
                    repeat.settle(lab)
                    cell = in_turn(left, lab.primary(database), may_lead(lab, database), ends)
                    trial = Trial(lab, cell, patience(cell), f"{number}-")
                    trial.prepare()
                except LabError as error:
                    if not number:
                        raise
                    say(f"the lab is begun anew: {error}")
                    break
                number += 1
                left.remove(cell)
                burn = trial.run()
                good = burn.whole_s is not None
                into = salvage(burn)
                if into is not None:
                    lab.keep_evidence(into, engines=True)
                yield burn


def may_lead(lab: Lab, database: str) -> Sequence[str]:
    """The members that Patroni lets lead: with `takeover: manual` only the first, as its configuration is rendered."""
    service = lab.estate.services[database]
    manual = isinstance(service, PostgresqlService) and service.takeover == "manual"
    return service.on[:1] if manual else service.on


class Trial:
    """One loss in a lab."""

    def __init__(self, lab: Lab, cell: Cell, patience: Patience, prefix: str) -> None:
        self._lab, self._cell, self._patience = lab, cell, patience
        self._database = database_of(lab.estate)
        self._clients = Clients(lab, prefix)
        asked = settings_for(lab, prefix, 1)
        self._rates = {"write": asked.writes_per_s, "read": asked.reads_per_s, "web": asked.fetches_per_s}

    def prepare(self) -> None:
        """Moves the primary to where the loss takes it. Raises LabError where the lab does not get fit for the loss."""
        members = may_lead(self._lab, self._database)
        if set(members).isdisjoint(self._cell.servers):
            return
        for _ in members:
            primary = self._lab.primary(self._database)
            if primary in self._cell.servers:
                return
            strike = Strike(self._lab, "switchover", primary)
            strike.strike()
            strike.mend()
            repeat.settle(self._lab)
        raise LabError(f"{self._database} cannot be moved to where {', '.join(self._cell.loss)} takes it.")

    def run(self) -> Burn:
        """Burns the loss, and gives back what it took. Raises LabError where the clients fail."""
        lab, primary = self._lab, self._lab.primary(self._database)
        self._clients.start()
        lab.wait_for(lambda: list(self._unserved(time.monotonic())), "answers to the clients", 30)
        time.sleep(LOAD_S)
        begun_s = time.monotonic()
        lab.take(self._cell.servers)
        ended_s = self._watch(begun_s)
        working = {
            name: [server for server, one in members.items() if one.state == "up"]
            for name, members in lab.looks().items()
        }
        self._clients.stop()
        records = self._clients.records()
        held = self._held()
        evidence = checker.check(records, held or ())
        patient = self._clients.logs["patient"].records
        return Burn(
            servers=self._cell.servers,
            primary=primary,
            watched_s=round(ended_s - begun_s, 1),
            outage_s=outages(patient, begun_s),
            down=silent(patient, ended_s),
            working=working,
            acknowledged=evidence.acknowledged,
            lost=None if held is None else len(evidence.lost),
            double_primary=len(evidence.double_primary),
            whole_s=None if self._patience.ends else self._whole_again(),
            load=round(os.getloadavg()[0] / (os.cpu_count() or 1), 1),
            date=datetime.now(UTC).date().isoformat(),
        )

    def _watch(self, begun_s: float) -> float:
        """Watches until all operations are steady again, or the patience is over; when that was."""
        steady_s: float | None = None
        while True:
            now = time.monotonic()
            if any(self._unserved(now)):
                steady_s = None
            elif steady_s is None:
                steady_s = now
            steady = steady_s is not None and now - steady_s >= STEADY_S
            if now - begun_s >= self._patience.bound_s:
                return now
            if steady and not self._patience.ends and now - begun_s >= WATCHED_S:
                return now
            time.sleep(0.1)

    def _unserved(self, now: float) -> Iterator[str]:
        """The operations of which less than a quarter of what the patient client asks was answered in this second."""
        log = self._clients.logs["patient"]
        log.grown()
        answered = dict.fromkeys(OPERATIONS, 0)
        for one in reversed(log.records):
            if one.at_s < now - 1:
                break
            answered[one.operation] += one.state == "acknowledged"
        return (one for one in OPERATIONS if answered[one] < self._rates[one] / 4)

    def _held(self) -> set[str] | None:
        with suppress(LabError):
            return held_by(self._lab, self._lab.primary(self._database))
        return None

    def _whole_again(self) -> float | None:
        """Gives back what was taken; seconds until everything was whole, or None where it did not get so."""
        begun_s = time.monotonic()
        with suppress(LabError):
            self._lab.give_back(self._cell.servers)
            repeat.settle(self._lab)
            return round(time.monotonic() - begun_s, 1)
        return None


def outages(records: Iterable[Record], begun_s: float) -> dict[str, float]:
    """The longest time without an answer since a loss, by operation; what came a second before it is looked at too."""
    since = [one for one in records if one.at_s >= begun_s - 1]
    return {one: round(checker.outage(since, one).seconds, 2) for one in OPERATIONS}


def silent(records: Iterable[Record], ended_s: float) -> tuple[Operation, ...]:
    """The operations without an answer in the last seconds before a time."""
    answered: Collection[str] = {
        one.operation for one in records if one.state == "acknowledged" and ended_s - SILENT_S <= one.at_s <= ended_s
    }
    return tuple(one for one in OPERATIONS if one not in answered)
