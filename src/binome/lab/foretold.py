"""What `binome check` foretells of a loss, of as much of a product as the lab can build, and whether it came so. Pure.

    loss ► the servers that it takes ► burned ► what clients were answered, what still works ► held against check

A product is measured by the operations that its needs serve: a database by writes and reads, a web service by pages,
both through the edges. What is not built (links, names) is left out on both sides and named. Losses that take the same
servers are one burn. Of the outcomes, *restore* and *gone* are one here, `lost`: no member with the data is left, and
copies are not built.

An outage agrees with what was foretold where neither is more than twice the other. Below a second they are alike: the
client that they are measured with waits so long for an answer.
"""

from __future__ import annotations

from collections.abc import Collection, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from enum import StrEnum
from itertools import combinations

from binome.analysis.losses import Loss, singles
from binome.analysis.outcome import (
    UNTOUCHED,
    Cause,
    Detail,
    Evaluation,
    Outcome,
    Platform,
    details,
    required,
    required_for_load,
)
from binome.estate.model import PostgresqlService
from binome.lab.clients import ways_in
from binome.lab.record import Operation

FACTOR = 2.0
LEAST_S = 1.0
"""Outages below this count as this long: the patience of the client that they are measured with."""
NO_SERVER = "no server stands in it"
_NOT_BUILT = {
    "registrar": "the lab builds no names",
    "provider": "the lab builds no links",
}


class Fate(StrEnum):
    """What was seen to become of a product; worst last."""

    UP = "up"
    DEGRADED = "degraded"
    MANUAL = "manual"
    LOST = "lost"


FATES = {
    Outcome.UP: Fate.UP,
    Outcome.DEGRADED: Fate.DEGRADED,
    Outcome.MANUAL: Fate.MANUAL,
    Outcome.RESTORE: Fate.LOST,
    Outcome.GONE: Fate.LOST,
}
"""What would be seen of each outcome that check foretells."""


class Answer(StrEnum):
    """Whether it came as it was foretold, and if not, what was otherwise."""

    AGREES = "agrees"
    OUTCOME = "another outcome"
    LONGER = "a longer outage"
    SHORTER = "a shorter outage"
    LOSES = "acknowledged writes lost"
    DOUBLED = "acknowledged by two primaries"


@dataclass(frozen=True, slots=True)
class Cell:
    """A loss, and the servers that the lab burns for it; `not_built` says why it can burn none."""

    loss: Loss
    kind: str
    servers: tuple[str, ...]
    not_built: str = ""


@dataclass(frozen=True, slots=True)
class Measure:
    """How a product is measured: by which operations, over which of its needs, and without which."""

    operations: tuple[Operation, ...]
    over: tuple[str, ...]
    without: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class Burn:
    """What was seen when servers were lost together. Outages are in seconds, of the patient client, by operation."""

    servers: tuple[str, ...]
    primary: str  # of the database, when they were lost
    watched_s: float
    outage_s: Mapping[str, float]
    down: tuple[str, ...]  # operations that nobody got answers to in the end
    working: Mapping[str, Sequence[str]]  # service → members that work in the end
    acknowledged: int
    lost: int | None  # acknowledged writes; None where there is no primary to ask
    double_primary: int
    whole_s: float | None  # from the return of the servers; None where the lab was begun anew instead
    load: float  # processes that wanted each core
    date: str


def cells(platform: Platform, *, pairs: bool) -> list[Cell]:
    """Every single loss that check evaluates, and with `pairs` every two sites."""
    losses = singles(platform.domains)
    if pairs:
        losses += combinations(platform.estate.sites, 2)
    return [cell_of(platform, loss) for loss in losses]


def cell_of(platform: Platform, loss: Loss) -> Cell:
    """A loss, and what the lab burns for it."""
    lost = platform.domains.lost(loss)
    servers = tuple(server for server in platform.estate.servers if server in lost)
    kinds = [platform.domains.kinds[name] for name in loss]
    why = "" if servers else _NOT_BUILT.get(kinds[0], NO_SERVER)
    return Cell(loss, " and ".join(dict.fromkeys(kinds)), servers, why)


def measures(platform: Platform) -> dict[str, Measure]:
    """How each product is measured. Raises LabError where clients have no way into the estate."""
    ways, services = ways_in(platform.estate), platform.estate.services
    found = {}
    for product in platform.products:
        chain = platform.chains(product)
        operations: list[Operation] = ["write", "read"] if ways.database in chain else []
        if ways.web in chain or (ways.edge in chain and not operations):
            operations.append("web")
        direct = [name for name in (ways.edge, ways.web, ways.database) if name in chain]
        agreed = services[ways.database].needs if ways.database in chain else ()
        over = (*direct, *(name for name in agreed if name in services and services[name].kind == "etcd"))
        found[product] = Measure(tuple(operations), over, tuple(name for name in chain if name not in over))
    return found


def foretold(platform: Platform, losses: Sequence[Loss]) -> list[dict[str, Detail]]:
    """What check says of each loss, by product, of what the lab measures of it."""
    evaluation, how = Evaluation(platform, losses), measures(platform)
    whole = {product: details(evaluation, product) for product in platform.products}
    found = []
    for position in range(len(losses)):
        found.append(
            {
                product: Detail(
                    tuple(
                        effect
                        for effect in some.get(position, UNTOUCHED).effects
                        if effect.subject in how[product].over and effect.cause is not Cause.NO_NAME
                    )
                )
                for product, some in whole.items()
            }
        )
    return found


def fate(platform: Platform, measure: Measure, burn: Burn) -> Fate:
    """What was seen to become of a product."""
    services = {name: platform.estate.services[name] for name in measure.over}
    lost = set(burn.servers)
    if set(burn.down) & set(measure.operations):
        for name, service in services.items():
            holds = isinstance(service, PostgresqlService) or name in platform.data_of
            spared = any(spare not in lost for spare in service.spares if spare not in service.on)
            if lost.issuperset(service.on) and service.kind != "etcd" and (holds or not spared):
                return Fate.LOST
        return Fate.MANUAL
    for name, service in services.items():
        if service.kind == "etcd" or lost.isdisjoint(service.on):
            continue
        working, spares = len(burn.working[name]), (one for one in service.spares if one not in service.on)
        alone = len(service.on) > required(service) >= working and lost.issuperset(spares)
        if alone or working < required_for_load(service):
            return Fate.DEGRADED
    return Fate.UP


def outage_s(measure: Measure, burn: Burn) -> float:
    """How long a product was away: the longest of its operations, since they come back side by side."""
    return max((burn.outage_s[one] for one in measure.operations), default=0.0)


def judge(said: Detail, measure: Measure, seen: Fate, burn: Burn) -> Answer:
    """Holds what was seen of a product against what check said."""
    if burn.double_primary:
        return Answer.DOUBLED
    if FATES[said.outcome] is not seen:
        return Answer.OUTCOME
    if not said.outcome.goes_on:
        return Answer.AGREES  # for how long nobody waits to see
    if said.loss_s == 0 and burn.lost:
        return Answer.LOSES
    if said.outage_s is None:
        return Answer.AGREES
    expected, came = max(said.outage_s, LEAST_S), max(outage_s(measure, burn), LEAST_S)
    if came > FACTOR * expected:
        return Answer.LONGER
    return Answer.SHORTER if expected > FACTOR * came else Answer.AGREES


def measured(platform: Platform, burns: Iterable[Burn]) -> dict[str, dict[str, dict[str, float]]]:
    """The longest outage that each service was seen to have, as `check --measured` reads it.

    Only losses count that take a member and leave the service to go on as check expects of a takeover: of a database
    whose takeover Binôme hastens, those in which it can.
    """
    ways = ways_in(platform.estate)
    serves: dict[str, tuple[Operation, ...]] = {
        ways.database: ("write", "read"),
        ways.web: ("web",),
        ways.edge: ("web",),
    }
    some = list(burns)
    evaluation = Evaluation(platform, [burn.servers for burn in some])
    found: dict[str, float] = {}
    for name, operations in serves.items():
        usual = platform.times.takeover(name).seconds
        for effect in evaluation.of(name):
            if effect.cause is not Cause.TAKEN_OVER or effect.outage.seconds != usual:
                continue
            for position, burn in enumerate(some):
                if effect.lost >> position & 1 and not set(operations) & set(burn.down):
                    longest = max(burn.outage_s[one] for one in operations)
                    found[name] = max(found.get(name, 0.0), longest)
    return {"services": {name: {"takeover_s": round(seconds, 2)} for name, seconds in sorted(found.items())}}


def in_turn(waiting: Sequence[Cell], primary: str, movable: Collection[str], ends: Collection[Cell]) -> Cell:
    """Which of the burns that are left comes next: one that finds the database where it is to be lost, if there is one.

    `movable` are the members of the database that may lead, `ends` the burns that a lab does not come back from: last.
    """

    def effort(cell: Cell) -> tuple[bool, int]:
        holds = any(member in cell.servers for member in movable)
        return cell in ends, 0 if primary in cell.servers else 1 if not holds else 2

    return min(waiting, key=effort)


def distinct(some: Iterable[Cell]) -> Iterator[Cell]:
    """One of those that take the same servers, and none that takes none."""
    seen: set[tuple[str, ...]] = set()
    for cell in some:
        if cell.servers and cell.servers not in seen:
            seen.add(cell.servers)
            yield cell
