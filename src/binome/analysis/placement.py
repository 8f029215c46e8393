"""Who could stand elsewhere instead: the servers that a remedy may propose, and the lines that put them there.

A remedy must not be the next mistake. What is proposed for a member is a server with nothing to lose by it: no vault,
no proof, no lookout; and members that fit keep what held before: no domain takes too many of them, their copies stand
elsewhere, they are not proven on themselves, the load is carried, no contract holds them all that did not. Who becomes
a member is a spare no longer: both lines change together.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from itertools import islice

from binome.analysis import fate
from binome.analysis.domains import CONTRACTS
from binome.analysis.edit import Remedy, as_list, put, put_all
from binome.analysis.outcome import Platform, required, required_for_load
from binome.estate.model import Backup

CANDIDATES = 50
"""How many servers are tried as a replacement; a remedy is a proposal, not a placement."""

MOST_AGREEING = 10
"""Agreements of more members than anybody runs are not looked through for the one to leave out."""


def spread(platform: Platform, name: str, places: Sequence[str], words: str) -> Remedy:
    """The remedy for a service of which `places` take too many: another member, or another hypervisor for one."""
    members = moved(platform, name)
    if members:
        return manned(platform, name, members, words)
    for place in places:
        if platform.domains.kinds[place] == "hypervisor":
            return _migrated(platform, name, place, words)
    return Remedy(words)


def manned(platform: Platform, name: str, members: Sequence[str], words: str) -> Remedy:
    """The remedy that gives a service these members, and takes them out of its spares."""
    service = platform.estate.services[name]
    spares = [spare for spare in service.spares if spare not in members]
    values = {"on": as_list(list(members))}
    if len(spares) < len(service.spares):
        values["spares"] = as_list(spares)
    return put_all(platform.estate, ("services", name), values, words)


def moved(platform: Platform, name: str, need: int | None = None) -> list[str] | None:
    """The members of a service with one of them on another server, so that no domain takes too many, if any fit.

    `need` members must live; by default as many as the service says.
    """
    service = platform.estate.services[name]
    for candidate in islice(_candidates(platform, name), CANDIDATES):
        for position in reversed(range(len(service.on))):
            members = [*service.on[:position], *service.on[position + 1 :], candidate]
            if fits(platform, name, members, need):
                return members
    return None


def partnered(platform: Platform, name: str) -> list[str] | None:
    """The members of a service and one more, apart from all of them; None if none fits."""
    on = platform.estate.services[name].on
    for candidate in islice(_candidates(platform, name), CANDIDATES):
        if fate.apart(platform, candidate, on) and _harmless(platform, name, [*on, candidate]):
            return [*on, candidate]
    return None


def spare(platform: Platform, name: str) -> str | None:
    """A server that runs and keeps nothing, apart from all members of a service."""
    on = platform.estate.services[name].on
    free = (one for one in _one_a_place(platform, platform.idle) if one not in _kept(platform))
    return next((one for one in islice(free, CANDIDATES) if fate.apart(platform, one, on)), None)


def witness(platform: Platform, members: Sequence[str]) -> str | None:
    """A server to look or vote from, apart from all of the members: any will do, one that holds copies last."""
    vaults = {vault.on for vault in platform.estate.vaults.values()}
    every = _one_a_place(platform, sorted(platform.domains.servers, key=lambda one: one in vaults))
    return next((one for one in islice(every, CANDIDATES) if fate.apart(platform, one, members)), None)


def keeper(platform: Platform, members: Sequence[str]) -> str | None:
    """A server to keep a key or copies on, apart from all of the members: with no vault of its own."""
    vaults = {vault.on for vault in platform.estate.vaults.values()}
    every = _one_a_place(platform, (*platform.idle, *platform.domains.servers), vaults)
    return next((one for one in islice(every, CANDIDATES) if fate.apart(platform, one, members)), None)


def prover(platform: Platform, backup: Backup, members: Sequence[str]) -> str | None:
    """A server to restore a copy on: one that can be spared, which neither runs the original nor keeps the copy."""
    estate, original = platform.estate, set(members)
    spares = [
        one for service in estate.services.values() if not original.isdisjoint(service.on) for one in service.spares
    ]
    taken = {*members, *(estate.vaults[vault].on for vault in backup.to)}
    every = _one_a_place(platform, (*spares, *platform.idle, *platform.domains.servers), taken)
    return next((one for one in islice(every, CANDIDATES) if fate.apart(platform, one, members)), None)


def odd(platform: Platform, name: str) -> list[str] | None:
    """The members of an agreement of an even number, one fewer, so that no domain takes a majority."""
    on = platform.estate.services[name].on
    if len(on) > MOST_AGREEING:
        return None
    fewer = [[*on[:position], *on[position + 1 :]] for position in reversed(range(len(on)))]
    need = len(on) // 2
    for members in fewer:
        if fits(platform, name, members, need):
            return members
    for candidate in islice(_candidates(platform, name), CANDIDATES):
        for members in fewer:
            for position in reversed(range(len(members))):
                other = [*members[:position], *members[position + 1 :], candidate]
                if fits(platform, name, other, need):
                    return other
    return None


def fits(platform: Platform, name: str, members: Sequence[str], need: int | None = None) -> bool:
    """Whether a service with these members, of which `need` must live, has no illness that a move could bring."""
    need = required(platform.estate.services[name]) if need is None else need
    return not fate.common(platform, members, need) and _harmless(platform, name, members)


def _harmless(platform: Platform, name: str, members: Sequence[str]) -> bool:
    """Whether other members would be no worse in what the service keeps, carries and is contracted to."""
    service, estate, domains = platform.estate.services[name], platform.estate, platform.domains
    new = [member for member in members if member not in service.on]
    for data in platform.data_of.get(name, ()):
        for backup in map(estate.backups.__getitem__, platform.copies(data)):
            vaults = [estate.vaults[vault].on for vault in backup.to]
            every = frozenset.intersection(*(domains.around(vault) for vault in vaults))
            beside = {domain for domain in every if domains.kinds[domain] not in CONTRACTS}
            if any(one in vaults or beside & domains.around(one) for one in new):
                return False
            if backup.proof is not None and backup.proof.on in new:
                return False
    contracts = _contracts(platform, members, required(service)) - _contracts(platform, service.on, required(service))
    carried = required_for_load(service) > len(members) or not (
        _short(platform, name, members) and not _short(platform, name, service.on)
    )
    return carried and not contracts


def _contracts(platform: Platform, members: Sequence[str], need: int) -> set[str]:
    domains = platform.domains
    if len(members) < 2:
        return set()
    return {
        one
        for one in {domain for member in members for domain in domains.around(member)}
        if domains.kinds[one] in CONTRACTS and sum(not domains.holds(one, member) for member in members) < need
    }


def _short(platform: Platform, name: str, members: Sequence[str]) -> bool:
    """Whether some loss leaves members, and too few of them for the load."""
    load = required_for_load(platform.estate.services[name])
    lost = {domain for member in members for domain in (member, *platform.domains.around(member))}
    left = (sum(not platform.domains.holds(one, member) for member in members) for one in lost)
    return any(0 < one < load for one in left)


def _kept(platform: Platform) -> set[str]:
    """The servers that have a duty of their own which a member would spoil, or be spoilt by."""
    estate = platform.estate
    proofs = {backup.proof.on for backup in estate.backups.values() if backup.proof is not None}
    looking = set(estate.lookout.on) if estate.lookout else set()
    return {*(vault.on for vault in estate.vaults.values()), *proofs, *looking}


def _candidates(platform: Platform, name: str) -> Iterator[str]:
    """Servers for a member: those that run nothing and are nobody's spare, then its own spares, then the other spares.

    An agreement holds no data: its third member may stand on any server, one that holds copies last.
    """
    estate, service = platform.estate, platform.estate.services[name]
    kept, spares = _kept(platform), {one for other in estate.services.values() for one in other.spares}
    free = [one for one in platform.idle if one not in kept]
    idle = [one for one in free if one not in spares]
    ahead = [*idle, *(one for one in service.spares if one not in kept), *(one for one in free if one in spares)]
    if service.kind == "etcd":
        vaults = {vault.on for vault in estate.vaults.values()}
        ahead.extend(sorted(estate.servers, key=lambda one: one in vaults))
    return _one_a_place(platform, ahead, service.on)


def _one_a_place(platform: Platform, servers: Iterable[str], without: Iterable[str] = ()) -> Iterator[str]:
    """The first server of each place: the others of it would fare the same."""
    places, left_out = set(), set(without)
    for server in servers:
        place = platform.domains.around(server)
        if server not in left_out and place not in places:
            places.add(place)
            yield server


def _migrated(platform: Platform, name: str, hypervisor: str, words: str) -> Remedy:
    """A virtual machine is moved more easily than a member: onto a hypervisor that no other member stands in."""
    domains, estate = platform.domains, platform.estate
    members = estate.services[name].on
    mover = next((one for one in reversed(members) if hypervisor in estate.servers[one].in_), None)
    near = {domain for one in members for domain in domains.around(one)}
    others = (one for one, kind in domains.kinds.items() if kind == "hypervisor" and one not in near)
    other = min(others, key=lambda one: len(domains.around(one) & near), default=None)
    if mover is None or other is None or not _may_move(platform, mover, hypervisor, other):
        return Remedy(words)
    value = as_list([other if one == hypervisor else one for one in estate.servers[mover].in_])
    return put(estate, ("servers", mover, "in"), value, words)


def _may_move(platform: Platform, server: str, hypervisor: str, other: str) -> bool:
    """Whether a machine may stand on another hypervisor: all that it runs keeps apart, and no copy lies there."""
    domains, estate = platform.domains, platform.estate
    own = {one for one in (estate.servers[server].site, *estate.servers[server].in_) if one and one != hypervisor}
    around = frozenset(there for one in (*own, other) for there in (one, *domains.around(one)))
    if server in _kept(platform) or any(domains.holds(other, vault.on) for vault in estate.vaults.values()):
        return False
    for service in estate.services.values():
        if server in service.on:
            now = set(fate.common(platform, service.on, required(service)))
            places = [around if one == server else domains.around(one) for one in service.on]
            if not set(fate.too_few(platform, places, required(service))) <= now:
                return False
    return True
