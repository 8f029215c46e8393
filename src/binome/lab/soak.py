"""A soak: an estate under load, and nothing happens. Then nothing may move.

    build ► load ► steady for ten seconds ► look every second, for as long as was asked ► judge

What a busy machine makes of heartbeats and looks is only seen in time. So everything that could move is looked at: each
engine's role, each lookout's own verdicts and what it knows, the journal, the pages, and what the clients got. What
goes and comes back between two looks is found by since when the verdicts hold (movement.py).
"""

from __future__ import annotations

import platform
import re
import time
from collections.abc import Callable, Iterator
from contextlib import suppress
from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import Any

from binome.estate.model import PostgresqlService
from binome.lab import checker, engines, inside, lookouts
from binome.lab.account import Account
from binome.lab.checker import Evidence
from binome.lab.clients import Clients, held_by, prepare_ledger
from binome.lab.errors import LabError, LabTimeoutError
from binome.lab.lab import Lab
from binome.lab.movement import VERDICTS, Journal, Known, Move, Movement, Thing, rejudged
from binome.render.places import METRICS_PORT, PATRONI_PORT
from binome.runtime.peer_messages import version

LOOK_EVERY_S = 1.0
STEADY_S = 10
STEADY_WITHIN_S = 120
_VERDICTS = {"1": "up", "0": "down", "0.5": "flapping", "NaN": "unsure"}
_OWN = re.compile(r'^binome_target_own\{target="(.*)"\} (\S+)$', re.MULTILINE)
_ACT_AFTER = re.compile(rb"(?m)^(?P<key>\s+act_after:[ \t]*)[^\s,}#]+|(?P<flow>\bact_after:[ \t]*)[^\s,}#]+")
_NAMED = 100


@dataclass(slots=True)
class Soaked:
    """What a soak found. Times are in milliseconds since 1970, lengths in seconds."""

    estate: str
    act_after_ms: dict[str, int]  # by database
    begun_ms: int
    minutes: float  # that it really lasted
    readings: int = 0
    verdicts: int = 0  # that are followed: of every target at every lookout
    dated: int = 0  # of those, whose beginning is compared too
    moves: list[Move] = field(default_factory=list)
    unsure_s: dict[str, float] = field(default_factory=dict)
    evidence: Evidence = field(default_factory=lambda: Evidence(0, (), 0, 0, ()))
    gaps_s: dict[str, float] = field(default_factory=dict)  # by operation: the longest of either client
    longest_write_gap_at_ms: int = 0
    troubled: dict[str, int] = field(default_factory=dict)

    @property
    def good(self) -> bool:
        """Nothing moved; writes were acknowledged, and all of them are there."""
        return not self.moves and self.evidence.acknowledged > 0

    def as_json(self) -> dict[str, Any]:
        """The record of `soak.json`."""
        return {
            "estate": self.estate,
            "date": datetime.fromtimestamp(self.begun_ms / 1000, UTC).isoformat(timespec="seconds"),
            "minutes": round(self.minutes, 2),
            "act_after_ms": self.act_after_ms,
            "good": self.good,
            "readings": self.readings,
            "verdicts": self.verdicts,
            "dated": self.dated,
            "verdict_changes": [one.as_json() for one in self.moves if one.kind in VERDICTS],
            "moves": [one.as_json() for one in self.moves if one.kind not in VERDICTS],
            "unsure_s": {target: round(seconds, 1) for target, seconds in sorted(self.unsure_s.items())},
            "acknowledged": self.evidence.acknowledged,
            "lost": len(self.evidence.lost),
            "double_primary": len(self.evidence.double_primary),
            "lost_ids": self.evidence.lost[:_NAMED],
            "double_primary_ids": self.evidence.double_primary[:_NAMED],
            "longest_gap_s": self.gaps_s,
            "longest_write_gap_at_ms": self.longest_write_gap_at_ms,
            "attempts_not_acknowledged": self.troubled,
            "versions": {"binome": version(), "python": platform.python_version(), **engines.versions()},
        }


def with_act_after(text: bytes, words: str) -> bytes | None:
    """The estate with another `act_after` at every database that has one; None where none has."""
    changed, count = _ACT_AFTER.subn(lambda one: (one["key"] or one["flow"]) + words.encode(), text)
    return changed if count else None


class Soak:
    """A soak of a lab that is whole. `say` hears of what moves, and of each minute."""

    def __init__(self, lab: Lab, say: Callable[[str], None]) -> None:
        self.lab, self._say = lab, say
        self._names = lookouts.names(lab.estate)
        self._clients = Clients(lab)
        self._account = Account()
        self._known, self._journal = Known(), Journal()
        self._following = lookouts.Following({name: lab.root(name) for name in self._names})
        self._taken_s = time.monotonic()

    def run(self, minutes: float) -> Soaked:
        """Loads, waits until nothing moves, and looks for `minutes`. Raises LabError where lab or clients fail."""
        prepare_ledger(self.lab)
        self._clients.start()
        self._settle()
        begun_s, found = time.monotonic(), self._begun()
        standing = self._known.unsure()
        self._say(
            f"steady: {self._count(Movement.VERDICT)} verdicts of {len(self._names)} lookouts; "
            f"looking for {minutes:g} min{f'; unsure from the beginning: {_some(standing)}' if standing else ''}"
        )
        since_ms, paged = self._since_ms(), self._pages()
        found.verdicts, found.dated = self._count(Movement.VERDICT), len(since_ms)
        told = 0
        while (lasted_s := time.monotonic() - begun_s) < minutes * 60:
            time.sleep(min(LOOK_EVERY_S, minutes * 60 - lasted_s))
            self._note(found, self._look())
            found.readings += 1
            if int((time.monotonic() - begun_s) // 60) > told:
                told += 1
                self._say(self._minute(told, found))
        found.minutes = (time.monotonic() - begun_s) / 60
        self._note(found, rejudged(since_ms, self._since_ms(), found.moves, _now_ms()))
        self._note(found, [Move(_now_ms(), Movement.PAGE, page, by) for by, page in self._pages() - paged])
        self._judge(found)
        return found

    def _begun(self) -> Soaked:
        self._account.begin()
        self._known.unsure_s.clear()
        databases = {
            name: one.act_after_ms
            for name, one in self.lab.estate.services.items()
            if isinstance(one, PostgresqlService)
        }
        return Soaked(self.lab.estate.estate, databases, _now_ms(), 0)

    def _settle(self) -> None:
        """Waits until for `STEADY_S` nothing has moved and nothing is amiss."""
        deadline_s = time.monotonic() + STEADY_WITHIN_S
        calm_s = time.monotonic()
        moves: list[Move] = []
        while time.monotonic() - calm_s < STEADY_S or self._known.amiss():
            if time.monotonic() > deadline_s:
                left = [*self._known.amiss(), *(f"{one.what} (says {one.by})" for one in moves)]
                raise LabTimeoutError(f"not steady after {STEADY_WITHIN_S} s: {_some(left)}")
            time.sleep(LOOK_EVERY_S)
            new = self._look()
            if new or self._account.acknowledged == 0:
                moves, calm_s = new or moves, time.monotonic()

    def _look(self) -> list[Move]:
        """One look at everything; what moved."""
        for name, log in self._clients.logs.items():
            self._account.take(name, log.grown())
            log.records.clear()  # of hours of load only the account is kept
        reading = dict(self._read())
        now_s = time.monotonic()
        moves = self._known.take(reading, _now_ms(), now_s - self._taken_s)
        self._taken_s = now_s
        for entry, fact in self._following.grown():
            moves += self._journal.take(entry, fact)
        return moves

    def _note(self, found: Soaked, moves: list[Move]) -> None:
        for move in moves:
            found.moves.append(move)
            self._say(move_line(move))

    def _minute(self, minute: int, found: Soaked) -> str:
        moved = f"{len(found.moves)} moves" if found.moves else "nothing has moved"
        gap_s = self._account.longest("write").seconds
        return f"{minute:4} min: {moved}; {self._account.acknowledged:,} writes, longest gap {gap_s:.2f} s"

    def _judge(self, found: Soaked) -> None:
        account = self._account
        try:
            self._clients.stop()
            for name, log in self._clients.logs.items():
                account.take(name, log.records)
            primary = self.lab.primary(self.lab.database())
            found.evidence = checker.check(account.writes, held_by(self.lab, primary))
        except LabError as error:  # what was seen until now is told all the same
            self._note(found, [Move(_now_ms(), Movement.NO_ANSWER, f"nothing can be judged: {error}", "the watch")])
        found.unsure_s = dict(self._known.unsure_s)
        found.gaps_s = {name: round(account.longest(name).seconds, 3) for name in ("write", "read", "web")}
        found.longest_write_gap_at_ms = _now_ms() - round((time.monotonic() - account.longest("write").begin_s) * 1000)
        found.troubled = {name: account.troubled[name] for name in ("write", "read", "web")}
        for kind, ids in ((Movement.LOST, found.evidence.lost), (Movement.DOUBLE, found.evidence.double_primary)):
            if ids:
                self._note(found, [Move(_now_ms(), kind, f"{len(ids):,} writes: {_some(ids)}", "the clients' logs")])

    def _count(self, kind: Movement) -> int:
        return sum(thing.kind is kind for thing in self._known.said)

    # -- what is read

    def _read(self) -> Iterator[tuple[Thing, str]]:
        """Everything that can be read now."""
        for service, members in self.lab.looks().items():
            for server, look in members.items():
                if look.state != "down":  # no answer
                    yield Thing(f"{service} on {server}", Movement.ENGINE), f"{look.role} {look.state}"
            if isinstance(self.lab.estate.services[service], PostgresqlService):
                yield from self._database(service, [name for name, one in members.items() if one.role == "primary"])
        for name in self._names:
            yield from self._of_lookout(name)

    def _database(self, service: str, primaries: list[str]) -> Iterator[tuple[Thing, str]]:
        if not primaries:
            return
        yield Thing(service, Movement.PRIMARY), " and ".join(primaries)
        for server in primaries:
            address = self.lab.estate.servers[server].address or ""
            with suppress(OSError, TypeError, KeyError):
                timeline = inside.ask(server, (address, PATRONI_PORT), "/patroni")["timeline"]
                yield Thing(service, Movement.TIMELINE), str(timeline)

    def _of_lookout(self, name: str) -> Iterator[tuple[Thing, str]]:
        said = lookouts.said(self.lab.root(name))
        if said is not None and "leads" in said:
            yield from told_by(name, said)
        address = self.lab.estate.servers[name].address or ""
        with suppress(OSError):
            yield from verdicts_of(name, inside.fetch(name, (address, METRICS_PORT), "/metrics").decode())

    def _since_ms(self) -> dict[Thing, int]:
        """Since when each lookout's own verdicts hold."""
        since_ms: dict[Thing, int] = {}
        for name in self._names:
            for site in self.lab.estate.sites:
                answer = lookouts.asked(self.lab.root(name), do="explain", target=site) or {}
                for target in answer.get("targets", ()):
                    for one in target["vantages"]:
                        if one["vantage"] == name and one["since_ms"] is not None:
                            since_ms[Thing(name, Movement.VERDICT, target["target"])] = one["since_ms"]
        return since_ms

    def _pages(self) -> set[tuple[str, str]]:
        """The pages in the lookouts' outboxes, each with its lookout."""
        pages = set()
        for name in self._names:
            pages |= {(name, note) for note in lookouts.wanted_pages(self.lab.root(name))}
        return pages


def told_by(name: str, status: dict[str, Any]) -> Iterator[tuple[Thing, str]]:
    """What a lookout's status says of things that should not move."""
    silent = [one["peer"] for one in status["peers"] if one["silent"]]
    agents = [f"{one['server']} {'fenced' if one['fenced'] else 'away'}" for one in status["agents"] if _lacks(one)]
    said = {
        Movement.LEADER: [status["leader"]] if status["leader"] else [],
        Movement.GENERATION: [str(status["generation"])],
        Movement.SCOPE: [one["scope"] for one in status["scopes"]],
        Movement.SILENCE: [*silent, *(one["site"] for one in status["silent_sites"])],
        Movement.AGENT: agents,
        Movement.TAKEOVER: [f"{one['service']}: {one['said']}" for one in status["takeovers"]],
        Movement.PLAN: [one["plan"] for one in status["plans"]],
        Movement.PROBLEM: status["problems"],
        Movement.PRODUCT: [one["product"] for one in status["products"] if one["hit_by"] or one["no_primary"]],
    }
    for kind, words in said.items():
        yield Thing(name, kind), ", ".join(sorted(words)) or "none"
    for one in status["databases"]:
        standbys = " and ".join(sorted(one["synchronous"])) or "nobody"
        primary = "none" if one["leaderless"] else one["primary"]
        yield Thing(name, Movement.PRIMARY, one["database"]), f"{primary}, with {standbys} in step"


def _lacks(agent: dict[str, Any]) -> bool:
    return agent["fenced"] or not agent["connected"]


def verdicts_of(name: str, metrics: str) -> Iterator[tuple[Thing, str]]:
    """A lookout's own verdicts, from its metrics."""
    for target, number in _OWN.findall(metrics):
        yield Thing(name, Movement.VERDICT, target), _VERDICTS.get(number, number)


def move_line(move: Move) -> str:
    """A movement as a line."""
    at = datetime.fromtimestamp(move.at_ms / 1000, UTC).strftime("%H:%M:%S")
    return f"{at} UTC  {move.kind}: {move.what}  (says {move.by})"


def summary_lines(found: Soaked) -> list[str]:
    """The result in a few lines; the first is the answer."""
    evidence = found.evidence
    if found.moves:
        kinds = ", ".join(sorted({one.kind.value for one in found.moves}))
        answer = f"In {found.minutes:.1f} quiet minutes something moved, {len(found.moves)} times: {kinds}."
    elif not evidence.acknowledged:
        answer = "Nothing moved, but no write was acknowledged either."
    else:
        answer = f"In {found.minutes:.1f} quiet minutes nothing moved."
    unsure = [f"{target} {seconds:.0f} s" for target, seconds in sorted(found.unsure_s.items())]
    gaps = ", ".join(f"{name} {seconds:.2f} s" for name, seconds in found.gaps_s.items())
    acting = ", ".join(f"{name} after {act_after_ms / 1000:g} s" for name, act_after_ms in found.act_after_ms.items())
    return [
        answer,
        f"writes    {evidence.acknowledged:,} acknowledged, {len(evidence.lost):,} lost, "
        f"{len(evidence.double_primary):,} by two primaries",
        f"gaps      {gaps}: the longest that a client had",
        f"unsure    {_some(unsure) or 'of nothing, no lookout'}",
        f"acting    {acting}; {found.readings:,} readings",
    ]


def _some(words: tuple[str, ...] | list[str]) -> str:
    first, others = words[:5], len(words) - 5
    return f"{', '.join(first)}{f' and {others:,} more' if others > 0 else ''}"


def _now_ms() -> int:
    return time.time_ns() // 1_000_000
