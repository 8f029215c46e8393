"""How long things take, and who says so.

Every figure has one of four sources, the first that knows it: *measured* by a drill or a proof, *declared* in the
file, the documented *default* of a kind, or *unknown*. Unknown is an answer: it is never zero, it makes every sum
that it is part of unknown, and it breaks any objective that it is held against.

The defaults are the worst that was measured at the settings that Binôme renders (docs/check.md has the runs):

=============  ======  ==========================================================================================
postgresql     25 s    Patroni's TTL alone, etcd's leader lost too: 24.6 s without writes
  automatic    a + 2.5 after `act_after`, with the leaders of etcd and of the lookouts lost too: 0.35 + 2.7 s
  a standby    4 s     the primary of a `manual` one drops a synchronous standby by itself: 3.4 to 3.9 s without writes
http, haproxy  1 s     a refused or timed out request is tried on the next member: 0.55 s
etcd           0 s     a new leader is elected while the database goes on
=============  ======  ==========================================================================================

With `takeover: confirm` or `shadow`, with asynchronous replication (nobody can tell how far a standby was behind), and
with `automatic` when too few lookout sites are left to agree, only Patroni's TTL acts: no declared figure below its
default is believed then. A measured one is, where Binôme never hastens; where it does, what was measured is a hastened
takeover, and says nothing about one that nobody hastens.
"""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from typing import Any

from binome.estate import Estate
from binome.estate.model import AnyService, Backup, GenericService, PostgresqlService
from binome.estate.problem import did_you_mean
from binome.shown import shown

DEFAULT_TAKEOVER_S = {"postgresql": 25.0, "http": 1.0, "haproxy": 1.0, "etcd": 0.0}
HASTENED_S = 2.5
"""What a takeover that Binôme hastens takes from the end of `act_after`."""
LET_GO_S = 4.0
"""How long Patroni alone waits for a synchronous standby that is lost."""

MEASURES = {"services": ("takeover_s", "rebuild_s", "lag_s"), "backups": ("restore_s", "age_s")}
"""What a file of measured values may say: of each service, of each backup."""


class MeasuredError(Exception):
    """The file of measured values is refused; every mistake is in `problems`."""

    def __init__(self, problems: list[str]) -> None:
        self.problems = problems
        super().__init__("\n".join(problems))


@dataclass(frozen=True, slots=True)
class Time:
    """A duration in seconds, or None where nobody knows; and who says so."""

    seconds: float | None
    source: str

    def within(self, bound_ms: float | None) -> bool:
        """Whether it keeps to a bound; nothing unknown does."""
        return bound_ms is None or (self.seconds is not None and self.seconds * 1000 <= bound_ms)

    def __str__(self) -> str:
        return "unknown" if self.seconds is None else f"{duration(self.seconds)} ({self.source})"


UNKNOWN = Time(None, "unknown")
MEASURED = "measured"


@dataclass(frozen=True, slots=True)
class Measured:
    """What drills and proofs measured: seconds by section, name and measure."""

    values: Mapping[tuple[str, str, str], float] = field(default_factory=dict)

    @classmethod
    def read(cls, raw: bytes, estate: Estate) -> Measured:
        """Reads a JSON file of measured values; raises MeasuredError with every mistake."""
        problems: list[str] = []
        try:
            content = json.loads(raw, object_pairs_hook=lambda pairs: _once(pairs, problems))
        except ValueError as error:
            raise MeasuredError([f"this is not JSON: {error}"]) from None
        except RecursionError:
            raise MeasuredError(["this is nested too deeply: sections, names, measures."]) from None
        values: dict[tuple[str, str, str], float] = {}
        for path, value in _leaves(content, (), problems):
            problem = _problem(path, value, estate)
            if problem is None:
                values[path[0], path[1], path[2]] = float(value)
            else:
                problems.append(problem)
        if problems:
            raise MeasuredError(problems)
        return cls(values)


def _once(pairs: list[tuple[str, Any]], problems: list[str]) -> dict[str, Any]:
    """An object of JSON, whose keys must differ: of two values one would be passed over in silence."""
    counted = Counter(key for key, _ in pairs)
    problems.extend(
        f"{shown(key)} is there {count} times; give it once." for key, count in counted.items() if count > 1
    )
    return dict(pairs)


def _leaves(node: Any, path: tuple[str, ...], problems: list[str]) -> Iterator[tuple[tuple[str, ...], Any]]:
    if len(path) == 3:
        yield path, node
    elif not isinstance(node, dict):
        problems.append(f"{shown('.'.join(path)) or 'the file'}: expected an object.")
    else:
        for key, child in node.items():
            yield from _leaves(child, (*path, key), problems)


def _problem(path: tuple[str, ...], value: Any, estate: Estate) -> str | None:
    section, name, measure = path
    where = shown(".".join(path), 120)
    if section not in MEASURES:
        remedy = did_you_mean(section, [frozenset(MEASURES)], "Use services or backups.")
        return f"{where}: there is no section {shown(section)}.  {remedy}"
    if name not in getattr(estate, section):
        remedy = did_you_mean(name, [frozenset(getattr(estate, section))], "Remove it.")
        return f"{where}: the estate has no {section.removesuffix('s')} {shown(name)}.  {remedy}"
    if measure not in MEASURES[section]:
        remedy = did_you_mean(measure, [frozenset(MEASURES[section])], f"Use one of {', '.join(MEASURES[section])}.")
        return f"{where}: there is no measure {shown(measure)}.  {remedy}"
    if isinstance(value, bool) or not isinstance(value, int | float) or not 0 <= value < 1e12:
        return f"{where}: expected seconds, a number of at least 0."
    return None


class Times:
    """The figures of one estate."""

    def __init__(self, estate: Estate, measured: Measured) -> None:
        self._estate = estate
        self._measured = measured.values
        self._holding = {data.in_ for data in estate.data.values()}
        self.response = _declared(estate.people.response_ms) or UNKNOWN

    def takeover(self, name: str) -> Time:
        """How long a service is away when some of its members are lost and the others go on."""
        service = self._estate.services[name]
        known = self._known(("services", name, "takeover_s"), service.takeover_outage_ms)
        return known or self._default(service)

    def _default(self, service: AnyService) -> Time:
        default = DEFAULT_TAKEOVER_S.get(service.kind)
        if isinstance(service, PostgresqlService) and is_hastened(service):
            hastened = service.act_after_ms / 1000 + HASTENED_S
            if hastened < DEFAULT_TAKEOVER_S["postgresql"]:  # else Patroni's TTL is sooner
                return Time(hastened, f"default: {HASTENED_S:g} s after act_after")
        return UNKNOWN if default is None else Time(default, f"default of {service.kind}")

    def patience(self, name: str, *, hastens: bool) -> Time:
        """The same where only Patroni's TTL acts: nothing quicker than its default is believed.

        A measured time stands, unless Binôme `hastens` this takeover while it can: then it measured that.
        """
        known = self.takeover(name)
        if known.source == MEASURED and not hastens:
            return known
        default = DEFAULT_TAKEOVER_S["postgresql"]
        slow = known.seconds is not None and known.seconds >= default
        return known if slow else Time(default, "default of postgresql")

    def let_go(self, name: str) -> Time:
        """How long a primary that lives waits for a lost standby which nobody takes from it but its own Patroni."""
        service = self._estate.services[name]
        waits = isinstance(service, PostgresqlService) and service.replication == "synchronous"
        return Time(LET_GO_S if waits else 0.0, "default of a standby")

    def rebuild(self, name: str) -> Time:
        """How long it takes from a hand on the keyboard to a new member on a spare."""
        return self._known(("services", name, "rebuild_s"), self._estate.services[name].rebuild_ms) or UNKNOWN

    def rebuilt(self, name: str) -> Time:
        """How long it takes from the loss: somebody comes, then rebuilds."""
        return plus(self.response, self.rebuild(name))

    def lag(self, name: str) -> Time:
        """How much the others may be behind a member: what going on without it loses.

        Of a service that holds data and is no database nothing is known about how it is copied, unless declared.
        """
        service = self._estate.services[name]
        if not isinstance(service, PostgresqlService) and name not in self._holding:
            return Time(0.0, "no state")
        return self._known(("services", name, "lag_s"), getattr(service, "lag_ms", None)) or UNKNOWN

    def restore(self, name: str) -> Time:
        """How long a restore of this backup takes."""
        return self._known(("backups", name, "restore_s"), self._estate.backups[name].restore_ms) or UNKNOWN

    def restored(self, name: str) -> Time:
        """How long it takes from the loss: a measured time is all of it, before a declared one somebody comes."""
        restore = self.restore(name)
        return restore if restore.source == MEASURED else plus(self.response, restore)

    def age(self, name: str) -> Time:
        """How old the newest proven copy is at worst: one that is never proven has no age that counts."""
        backup: Backup = self._estate.backups[name]
        proven = None if backup.proof is None else backup.every_ms + backup.proof.every_ms
        return self._known(("backups", name, "age_s"), proven) or UNKNOWN

    def _known(self, measure: tuple[str, str, str], declared_ms: int | None) -> Time | None:
        if measure in self._measured:
            return Time(self._measured[measure], MEASURED)
        return _declared(declared_ms)


def is_hastened(service: AnyService) -> bool:
    """Whether Binôme takes a database over sooner than Patroni's TTL: where nothing is lost by it, and nobody asked."""
    return (
        isinstance(service, PostgresqlService)
        and service.takeover == "automatic"
        and service.replication == "synchronous"
    )


def needs_person(service: AnyService) -> bool:
    """Whether a member's loss waits for a person: Patroni's TTL acts unless `manual`; nothing acts for other kinds."""
    if isinstance(service, PostgresqlService):
        return service.takeover == "manual"
    return isinstance(service, GenericService) and service.takeover != "automatic"


def plus(first: Time, second: Time) -> Time:
    """One after the other."""
    if first.seconds is None or second.seconds is None:
        return UNKNOWN
    return Time(first.seconds + second.seconds, second.source)


def longest(seconds: list[float | None]) -> float | None:
    """The longest of some durations in seconds: unknown if any is, 0 if there is none."""
    known = [one for one in seconds if one is not None]
    return max(known, default=0.0) if len(known) == len(seconds) else None


def duration(seconds: float) -> str:
    """A duration as people say it: `1.1 s`, `25 s`, `15 min`, `6 h`, `2 d`."""
    if seconds < 60 or (seconds < 120 and seconds % 60):
        return f"{seconds:.3g} s"
    if seconds < 3_600:
        return f"{seconds / 60:.3g} min"
    return f"{seconds / 3_600:.3g} h" if seconds < 172_800 else f"{seconds / 86_400:.3g} d"


def _declared(milliseconds: int | None) -> Time | None:
    return None if milliseconds is None else Time(milliseconds / 1000, "declared")
