"""What a loss does: five outcomes, decided for all losses at once.

A loss has *effects* on a service or a link: what happens there (a cause), in which losses, how long it takes and how
much data it costs. Each cause stands for one outcome:

========  ==================================  =====================================================================
outcome   cause                               holds in the losses that leave …
========  ==================================  =====================================================================
up        THINNED                             an agreement its majority, a link one of its providers
up        TAKEN_OVER                          the members that it needs; they go on by themselves
up        LET_GO                              the primary of a database that waits for a person, and not all standbys
degraded  NO_PARTNER                          just the members that it needs, and no spare to build another on
degraded  SHORT                               less capacity than its load
manual    PERSON_STARTS                       the members that it needs, but its takeover waits for a person, because
                                              it is set to, or because its agreement is lost too
manual    NOT_IN_SYNC                         a standby that need not have every acknowledged write
manual    BELOW_NEED                          some members, but fewer than it needs
manual    NO_QUORUM                           an agreement without its majority: nothing that needs it goes on alone
manual    REBUILT                             no member and no data of its own to lose, but a spare to build one on
manual    NO_PROVIDER                         a link without a provider
manual    NO_NAME                             none of the internet names that lead to it
restore   RESTORED                            no member, but a copy that can be read
gone      NOTHING_LEFT                        no member, no copy, no spare
========  ==================================  =====================================================================

Which member is primary is not in the file and changes: the worst is assumed, that each loss of a member may be the
loss of the primary. With `takeover: manual` it is in the file: Patroni lets no other than the first lead by itself.
A synchronous primary waits for *one* standby; where two members are lost at once a third may lack the last writes, so
Patroni does not promote it.

The outcome of a product is the worst of all that it needs, however many steps away. Its outage is the longest of
their outages, since they are taken over side by side; its loss of data likewise; one unknown makes either unknown.

`Levels` are the same as integers: for each outcome above `up`, the losses that are at least that bad.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from enum import Enum, IntEnum
from fractions import Fraction
from graphlib import TopologicalSorter
from math import ceil

from binome.analysis.domains import Domains
from binome.analysis.losses import Loss, Losses, at_least, bits, counted, union
from binome.analysis.times import UNKNOWN, Measured, Time, Times, is_hastened, longest, needs_person
from binome.estate import Estate
from binome.estate.model import AnyService, Backup, PostgresqlService


class Outcome(IntEnum):
    """What becomes of a product; worst last."""

    UP = 0
    DEGRADED = 1
    MANUAL = 2
    RESTORE = 3
    GONE = 4

    def __str__(self) -> str:
        return self.name.lower()

    @property
    def goes_on(self) -> bool:
        """Whether customers are served without anybody doing anything."""
        return self <= Outcome.DEGRADED


class Cause(Enum):
    """What happens to a service or a link in a loss, and the outcome that it stands for."""

    THINNED = (0, Outcome.UP)
    TAKEN_OVER = (1, Outcome.UP)
    LET_GO = (2, Outcome.UP)
    NO_PARTNER = (3, Outcome.DEGRADED)
    SHORT = (4, Outcome.DEGRADED)
    PERSON_STARTS = (5, Outcome.MANUAL)
    NOT_IN_SYNC = (6, Outcome.MANUAL)
    BELOW_NEED = (7, Outcome.MANUAL)
    NO_QUORUM = (8, Outcome.MANUAL)
    REBUILT = (9, Outcome.MANUAL)
    NO_PROVIDER = (10, Outcome.MANUAL)
    NO_NAME = (11, Outcome.MANUAL)
    RESTORED = (12, Outcome.RESTORE)
    NOTHING_LEFT = (13, Outcome.GONE)

    @property
    def outcome(self) -> Outcome:
        """How bad it is."""
        return self.value[1]


AT_ONCE = Time(0.0, "at once")
NONE_LOST = Time(0.0, "none")


@dataclass(frozen=True, slots=True, eq=False)
class Effect:
    """What happens to `subject` in the losses `lost`, for how long, at the cost of how much data."""

    lost: int
    cause: Cause
    subject: str
    outage: Time = AT_ONCE
    loss: Time = NONE_LOST
    backup: str | None = None


Levels = tuple[int, int, int, int]
"""The losses that are at least degraded, manual, restore, gone: each holds the next."""

UNHURT: Levels = (0, 0, 0, 0)


class Platform:
    """An estate with all that does not depend on which losses are asked about."""

    def __init__(self, estate: Estate, measured: Measured | None = None) -> None:
        self.estate = estate
        self.domains = Domains(estate)
        self.times = Times(estate, measured or Measured())
        services = estate.services
        needs = {name: [need for need in one.needs if need in services] for name, one in services.items()}
        self.order = tuple(TopologicalSorter(needs).static_order())
        self._chains: dict[str, dict[str, tuple[str, ...]]] = {}
        self.products: Mapping[str, Sequence[str]] = {name: one.needs for name, one in estate.products.items()}
        if not self.products:  # then each service stands for itself
            self.products = {name: (name,) for name in services}
        busy = {server for service in services.values() for server in service.on}
        self.idle = [server for server in estate.servers if server not in busy]
        self.names_of: dict[str, list[str]] = {}
        for name, target in estate.names.items():
            self.names_of.setdefault(target.to, []).append(name)
        self.data_of: dict[str, list[str]] = {}
        for name, data in estate.data.items():
            self.data_of.setdefault(data.in_, []).append(name)

    def copies(self, data: str) -> list[str]:
        """The backups of some data, the one that loses least first."""
        of = (name for name, backup in self.estate.backups.items() if data in backup.of)
        every = dict.fromkeys([*self.estate.data[data].backup, *of])
        return sorted(every, key=lambda name: (_order(self.times.age(name)), _order(self.times.restore(name)), name))

    def hosts(self, service: str, backup: str) -> list[str]:
        """The servers that a backup may be restored on: the service's spares, and where restores are proven."""
        one, proof = self.estate.services[service], self.estate.backups[backup].proof
        return [*(spare for spare in one.spares if spare not in one.on), *([proof.on] if proof else [])]

    def needs(self, name: str) -> Sequence[str]:
        """What a service needs directly; a link needs nothing."""
        service = self.estate.services.get(name)
        return () if service is None else service.needs

    def chains(self, product: str) -> dict[str, tuple[str, ...]]:
        """All that a product needs, each with the shortest way to it: `database: (campaigns, web, database)`."""
        if product in self._chains:
            return self._chains[product]
        chains: dict[str, tuple[str, ...]] = {}
        ahead: list[tuple[tuple[str, ...], str]] = [
            ((product,) if product != need else (), need) for need in self.products[product]
        ]
        for way, name in ahead:
            if name not in chains:
                chains[name] = (*way, name)
                ahead.extend((chains[name], need) for need in self.needs(name))
        self._chains[product] = chains
        return chains


def _order(time: Time) -> tuple[bool, float]:
    return time.seconds is None, time.seconds or 0.0


def required(service: AnyService) -> int:
    """How many members must live: `need`, else a majority of an etcd, one of anything else."""
    if service.need is not None:
        return service.need
    return len(service.on) // 2 + 1 if service.kind == "etcd" else 1


def required_for_load(service: AnyService) -> int:
    """How many members carry the load; one more than there are where no number would."""
    if service.load is None or service.capacity is None or service.load == 0:
        return 0
    if service.capacity == 0:
        return len(service.on) + 1
    return ceil(Fraction(str(service.load)) / Fraction(str(service.capacity)))


class Evaluation:
    """The outcomes of some losses."""

    def __init__(self, platform: Platform, losses: Sequence[Loss]) -> None:
        self.platform = platform
        self.losses = Losses(platform.domains, losses)
        self._agreed = self._lookouts_agree()
        self._effects: dict[str, tuple[Effect, ...]] = {}
        self._levels: dict[str, Levels] = {}
        self._losing: dict[str, int] = {}
        self._products: dict[str, Levels] = {}
        for name in platform.estate.links:
            self._decide(name, self._link(name), ())
        for name in platform.order:
            self._decide(name, self._service(name), platform.needs(name))

    def own_levels(self, name: str) -> Levels:
        """The same for a service or a link by itself, whatever becomes of what it needs."""
        return levels_of(self._effects[name])

    def levels(self, product: str) -> Levels:
        """The losses that are at least degraded, manual, restore and gone for a product."""
        if product not in self._products:
            self._products[product] = worst(self._levels[need] for need in self.platform.products[product])
        return self._products[product]

    def hurt(self, product: str) -> int:
        """The losses that a product feels: it is no longer `up`, or it is and has lost writes."""
        return self.levels(product)[0] | union(self._losing[need] for need in self.platform.products[product])

    def late(self, product: str, bound_ms: float | None) -> int:
        """The losses whose outage goes beyond a bound; an unknown one goes beyond every bound."""
        effects = (effect for name in self.platform.chains(product) for effect in self._effects[name])
        return union(effect.lost for effect in effects if not effect.outage.within(bound_ms))

    def costly(self, product: str, bound_ms: float | None) -> int:
        """The losses that cost more data than a bound; an unknown one goes beyond every bound."""
        effects = (effect for name in self.platform.chains(product) for effect in self._effects[name])
        return union(effect.lost for effect in effects if not effect.loss.within(bound_ms))

    def effects(self, product: str) -> list[Effect]:
        """All that any of the losses does to what a product needs, worst first, the nearest first."""
        every = [effect for name in self.platform.chains(product) for effect in self._effects[name]]
        return sorted(every, key=lambda effect: -effect.cause.value[0])

    def of(self, name: str) -> tuple[Effect, ...]:
        """All that any of the losses does to one service or link."""
        return self._effects[name]

    def _decide(self, name: str, effects: Iterable[Effect], needs: Sequence[str]) -> None:
        self._effects[name] = tuple(effect for effect in effects if effect.lost)
        self._levels[name] = worst([levels_of(self._effects[name]), *(self._levels[need] for need in needs)])
        own = union(effect.lost for effect in self._effects[name] if effect.loss.seconds != 0)
        self._losing[name] = own | union(self._losing[need] for need in needs)

    def _lookouts_agree(self) -> int:
        """The losses after which a majority of all configured sites, at least three, still looks."""
        lookout = self.platform.estate.lookout
        sites: dict[str, list[str]] = {}
        for server in lookout.on if lookout else ():
            sites.setdefault(self.platform.domains.site(server, self.platform.estate), []).append(server)
        self._may_agree = len(sites) >= 3
        if not self._may_agree:
            return 0
        blind = counted(self.losses.of_all(servers) for servers in sites.values())
        return self.losses.all & ~at_least(blind, (len(sites) + 1) // 2, self.losses.all)

    def _link(self, name: str) -> Iterator[Effect]:
        providers = self.platform.estate.links[name].providers
        if providers:
            silent = self.losses.of_all(providers)
            yield Effect(union(map(self.losses.of, providers)) & ~silent, Cause.THINNED, name)
            yield Effect(silent, Cause.NO_PROVIDER, name, UNKNOWN)

    def _service(self, name: str) -> Iterator[Effect]:
        service = self.platform.estate.services[name]
        response, every = self.platform.times.response, self.losses.all
        members, need = len(service.on), required(service)
        lost = counted(map(self.losses.of, service.on))
        touched, twice = at_least(lost, 1, every), at_least(lost, 2, every)
        failed = at_least(lost, members - need + 1, every)
        yield self._unreachable(name)
        if service.kind == "etcd":
            yield Effect(touched & ~failed, Cause.THINNED, name, self.platform.times.takeover(name))
            yield Effect(failed, Cause.NO_QUORUM, name, response)
            return
        dead = at_least(lost, members, every)
        short = at_least(lost, members - required_for_load(service) + 1, every)
        yield Effect(short & touched & ~dead, Cause.SHORT, name)
        if members > need:
            alone = at_least(lost, members - need, every) & ~failed
            yield Effect(alone & self._no_spare(service), Cause.NO_PARTNER, name)
        yield from self._takeover(name, service, touched & ~failed, twice)
        for part, loss in self._lacking(name, service, failed & ~dead, twice):
            yield Effect(part, Cause.BELOW_NEED, name, response, loss)
        yield from self._after_all(name, service, dead)

    def _takeover(self, name: str, service: AnyService, served: int, twice: int) -> Iterator[Effect]:
        """The losses `served` leave enough members; in those of `twice` at least two are lost."""
        times = self.platform.times
        if not isinstance(service, PostgresqlService):
            cause = Cause.PERSON_STARTS if needs_person(service) else Cause.TAKEN_OVER
            outage = times.response if needs_person(service) else times.takeover(name)
            yield Effect(served, cause, name, outage, times.lag(name))
            return
        if needs_person(service):
            led = self.losses.of(service.on[0]) | self._no_quorum(service)
            yield Effect(served & ~led, Cause.LET_GO, name, times.let_go(name))
            served &= led
        loss = times.lag(name)
        if service.replication == "synchronous":
            yield Effect(served & twice, Cause.NOT_IN_SYNC, name, times.response, loss)
            served, loss = served & ~twice, NONE_LOST
        alone = served if needs_person(service) else served & self._no_quorum(service)
        yield Effect(alone, Cause.PERSON_STARTS, name, times.response, loss)
        served &= ~alone
        hastens = is_hastened(service) and self._may_agree
        hastened = served & self._agreed if hastens else 0
        yield Effect(hastened, Cause.TAKEN_OVER, name, times.takeover(name), loss)
        yield Effect(served & ~hastened, Cause.TAKEN_OVER, name, times.patience(name, hastens=hastens), loss)

    def _lacking(self, name: str, service: AnyService, lost: int, twice: int) -> Iterator[tuple[int, Time]]:
        """How much data what is left of a service may lack in the losses `lost`: its primary may be among the dead."""
        if isinstance(service, PostgresqlService) and service.replication == "synchronous":
            yield lost & ~twice, NONE_LOST
            lost &= twice
        yield lost, self.platform.times.lag(name)

    def _no_quorum(self, service: AnyService) -> int:
        """The losses that end an agreement which the service needs; it was decided before."""
        needed = (effect for need in service.needs for effect in self._effects[need])
        return union(effect.lost for effect in needed if effect.cause is Cause.NO_QUORUM)

    def _after_all(self, name: str, service: AnyService, dead: int) -> Iterator[Effect]:
        """What is left in the losses `dead`, which take every member."""
        held = self.platform.data_of.get(name, [])
        for data in held:
            left = dead
            for backup in self.platform.copies(data):
                readable = left & ~self._unreadable(self.platform.estate.backups[backup])
                homeless = readable and readable & self.losses.of_all(self.platform.hosts(name, backup))
                times, age = self.platform.times, self.platform.times.age(backup)
                yield Effect(readable & ~homeless, Cause.RESTORED, name, times.restored(backup), age, backup)
                yield Effect(homeless, Cause.RESTORED, name, UNKNOWN, age, backup)
                left &= ~readable
            yield Effect(left, Cause.NOTHING_LEFT, name, UNKNOWN, UNKNOWN)
        if not held:
            rebuilt = 0 if service.kind == "postgresql" else dead & ~self._no_spare(service)
            yield Effect(rebuilt, Cause.REBUILT, name, self.platform.times.rebuilt(name))
            yield Effect(dead & ~rebuilt, Cause.NOTHING_LEFT, name, UNKNOWN, UNKNOWN)

    def _no_spare(self, service: AnyService) -> int:
        return self.losses.of_all(spare for spare in service.spares if spare not in service.on)

    def _unreadable(self, backup: Backup) -> int:
        """The losses that leave no copy of a backup, or no key to it."""
        unreadable = self.losses.all
        for vault in (self.platform.estate.vaults[name] for name in backup.to):
            keyless = self.losses.of_all(vault.key_on) if vault.key_on else 0
            unreadable &= self.losses.of(vault.on) | keyless
        return unreadable

    def _unreachable(self, name: str) -> Effect:
        registrars = [self.platform.estate.names[one].registrar for one in self.platform.names_of.get(name, ())]
        known = [registrar for registrar in registrars if registrar is not None]
        certain = known and len(known) == len(registrars)
        return Effect(self.losses.of_all(known) if certain else 0, Cause.NO_NAME, name, UNKNOWN)


def levels_of(effects: Iterable[Effect]) -> Levels:
    """The losses in which some effects are at least degraded, manual, restore and gone."""
    levels = [0, 0, 0, 0]
    for effect in effects:
        for level in range(effect.cause.outcome):
            levels[level] |= effect.lost
    return levels[0], levels[1], levels[2], levels[3]


def worst(levels: Iterable[Levels]) -> Levels:
    """The worst of several things, in every loss."""
    degraded = manual = restore = gone = 0
    for one in levels:
        degraded, manual, restore, gone = degraded | one[0], manual | one[1], restore | one[2], gone | one[3]
    return degraded, manual, restore, gone


def outcome_at(levels: Levels, position: int) -> Outcome:
    """The outcome of one loss."""
    return Outcome(sum(level >> position & 1 for level in levels))


@dataclass(frozen=True, slots=True)
class Detail:
    """What one loss does to one product: its effects, worst first."""

    effects: tuple[Effect, ...]

    @property
    def outcome(self) -> Outcome:
        """The worst of its effects."""
        return max((effect.cause.outcome for effect in self.effects), default=Outcome.UP)

    @property
    def outage_s(self) -> float | None:
        """The longest outage, in seconds; None where it is unknown."""
        return longest([effect.outage.seconds for effect in self.effects])

    @property
    def loss_s(self) -> float | None:
        """The age of what is lost, in seconds; None where it is unknown."""
        return longest([effect.loss.seconds for effect in self.effects])


UNTOUCHED = Detail(())


def details(evaluation: Evaluation, product: str, among: int = -1) -> dict[int, Detail]:
    """What each loss (of those in `among`) that touches a product does to it, by the loss's position."""
    found: dict[int, list[Effect]] = {}
    for effect in evaluation.effects(product):
        for position in bits(effect.lost & among):
            found.setdefault(position, []).append(effect)
    return {position: Detail(tuple(effects)) for position, effects in sorted(found.items())}
