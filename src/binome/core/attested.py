"""A takeover on a person's word, where nobody can agree any more: etcd has lost its majority, and no lookout leads.

Nothing is automatic then: a lookout that hears nobody cannot tell whether the others burned or it was cut off itself.
A person can, who has been told on the telephone that the building is dark. What he attests is this, by name:

    the places whose servers say nothing here are off, and stay off until this is over

A place is a whole site where nothing of it is reached, else a server. What counts are servers that look out, or hold a
member of etcd or of the database. Then one member of etcd that is reached goes on alone with what it has, and the
database with the member that is reached:

    reached                                                  survivor
    the primary                                              itself: it has everything
    a standby that was synchronous, as far as is known here  it: it has everything that was acknowledged
    another member                                           it, but only once more by name: what it lacks is lost

    a member that has nothing, and the others burned  it, founded anew and empty, where the person says so by its name

*As far as is known here*: who was cut off before the others were lost knows nothing of what they acknowledged then. It
can be seen from nowhere on this side, so it is said, and is the person's to know.
"""

from __future__ import annotations

from collections.abc import Collection
from enum import StrEnum
from typing import NamedTuple

from binome.core.decision import View
from binome.core.scoping import graphs
from binome.estate import Estate
from binome.estate.model import EtcdService, PostgresqlService


class Refused(StrEnum):
    """Why nobody's word is taken."""

    LED = "a lookout leads: ask without --attest"
    NO_SUCH_DATABASE = "no such database, or nothing is known of it here"
    NO_ETCD = "the estate has no etcd that several agree through"
    QUORUM_LEFT = "members of etcd that could agree are within reach: mend etcd, or wait; it is not for a person to say"
    NO_MEMBER = "no member of the database is within reach of this lookout; a spare can become one, and be founded anew"
    NO_AGREEMENT = "no member of etcd is within reach of this lookout"
    OTHER_NAMES = "what says nothing here has other names"
    ANSWERS = "something there answers"
    NOT_SYNCHRONOUS = "the survivor is not known to have every acknowledged write"
    HAS_DATA = "the survivor has the data: it is not founded anew"


class Proposal(NamedTuple):
    """What a person's word would do, and what it must be."""

    service: str
    scope: str  # Patroni's
    survivor: str
    agreement: str  # the etcd
    host: str  # the server whose member of it goes on alone
    lost: dict[str, tuple[str, ...]]  # the names to attest → their servers
    reached: tuple[str, ...]
    lookouts: tuple[str, ...]  # of the lost
    members: tuple[str, ...]  # of the lost, with a member of etcd
    primary: str  # as was known last
    whole: bool  # whether the survivor has everything that was acknowledged, as far as is known here
    known_ms: int  # since when the database was last known to be so


def proposal(estate: Estate, view: View, name: str, reached: Collection[str], *, led: bool) -> Proposal | Refused:
    """What would be done for a database where these servers are within reach, or why nothing."""
    service, known = estate.services.get(name), view.takeover.databases.get(name)
    if led:
        return Refused.LED
    if not isinstance(service, PostgresqlService) or known is None:
        return Refused.NO_SUCH_DATABASE
    agreement = next((one for one in service.needs if isinstance(estate.services.get(one), EtcdService)), "")
    if not agreement:
        return Refused.NO_ETCD
    voters, lookouts = estate.services[agreement].on, estate.lookout.on if estate.lookout else ()
    left = [one for one in voters if one in reached]
    if len(left) > len(voters) // 2:
        return Refused.QUORUM_LEFT
    if not left:
        return Refused.NO_AGREEMENT
    survivor = _survivor(service.on, known.primary, known.synchronous, reached)
    if not survivor:
        return Refused.NO_MEMBER
    members = dict.fromkeys((*service.on, *voters, *lookouts))
    return Proposal(
        service=name,
        scope=service.patroni.scope or name,
        survivor=survivor,
        agreement=agreement,
        host=survivor if survivor in left else left[0],
        lost=_places(estate, members, reached),
        reached=tuple(one for one in estate.servers if one in reached),
        lookouts=tuple(one for one in lookouts if one not in reached),
        members=tuple(one for one in voters if one not in reached),
        primary=known.primary,
        whole=survivor == known.primary or survivor in known.synchronous,
        known_ms=known.since_ms,
    )


def _survivor(members: Collection[str], primary: str, synchronous: Collection[str], reached: Collection[str]) -> str:
    """The member that goes on; empty where none is reached."""
    living = [one for one in members if one in reached]
    ranks = sorted(living, key=lambda one: (one != primary, one not in synchronous))  # else as the estate lists them
    return ranks[0] if ranks else ""


def _places(estate: Estate, members: Collection[str], reached: Collection[str]) -> dict[str, tuple[str, ...]]:
    """By what a person calls them, the servers that are lost: a whole site, with all that is in it, or one by one."""
    domains, found = graphs.of(estate).domains, dict[str, tuple[str, ...]]()
    for server in members:
        if server in reached:
            continue
        site = domains.site(server, estate)
        there = tuple(one for one in estate.servers if domains.site(one, estate) == site)
        if any(one in reached for one in there):
            found[server] = (server,)
        else:
            found[site] = there
    return found


def objection(
    asked: Proposal, names: Collection[str], answering: Collection[str], *, accepts_loss: bool, anew: bool = False
) -> Refused | None:
    """Why a person's word is not taken; None where it is. `answering`: of the lost servers those that say anything.

    `anew`: the survivor has nothing, and founds the database again, empty, for a copy to be restored into.
    """
    if set(names) != set(asked.lost):
        return Refused.OTHER_NAMES
    if answering:
        return Refused.ANSWERS
    if asked.whole and anew:
        return Refused.HAS_DATA
    if not asked.whole and not accepts_loss and not anew:
        return Refused.NOT_SYNCHRONOUS
    return None
