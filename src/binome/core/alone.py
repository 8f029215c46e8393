"""Alone: what has no partner left, so that the next loss is an outage.

A service needs some of its members (`need`, else a majority for etcd, else one). It has a partner while one more than
these is up. It is alone where just as many are up as it needs, though it has others:

    members that are up     and                                              it is
    more than needed        a synchronous database whose primary runs on     alone: no standby has everything
                            without a standby that has every write
    more than needed        anything else                                    not alone
    as many as needed       all others are down or flapping                  alone: no partner is up
    as many as needed       of another nobody knows                          perhaps alone
    fewer                   -                                                not alone: it cannot work, or nobody knows

A member is up where its work is (`database@gra-db`), whatever its helpers say. A service that never had more members
than it needs has lost nothing here; `binome check` speaks of it. Nothing is decided from this: it is told.
"""

from __future__ import annotations

from collections.abc import Mapping
from enum import StrEnum
from typing import NamedTuple

from binome.analysis.outcome import required
from binome.core.database import Database
from binome.core.graph import Graph
from binome.core.quorum import NOTHING_KNOWN, Agreed
from binome.core.verdict import Verdict
from binome.estate.model import PostgresqlService


class Why(StrEnum):
    """Why a service is alone."""

    NO_PARTNER = "no partner is up"
    NOT_SYNCHRONOUS = "no standby has every acknowledged write"
    PERHAPS = "whether a partner is up is not known"


class Alone(NamedTuple):
    """A service that has no partner: why, which members it runs on, and since when, where that is known."""

    service: str
    why: Why
    members: tuple[str, ...]
    since_ms: int | None


def alone(graph: Graph, agreed: Mapping[str, Agreed], databases: Mapping[str, Database]) -> list[Alone]:
    """The services that are alone, in the order of the file. Targets that are not in `agreed` are unsure."""
    found = []
    for name, service in graph.estate.services.items():
        needed = required(service)
        if len(service.on) <= needed:
            continue
        known = {member: agreed.get(f"{name}@{member}", NOTHING_KNOWN) for member in service.on}
        up = tuple(member for member, one in known.items() if one.verdict is Verdict.UP)
        if len(up) == needed:
            others = [one for member, one in known.items() if member not in up]
            if any(one.verdict is Verdict.UNSURE for one in others):
                found.append(Alone(name, Why.PERHAPS, up, None))
            else:
                found.append(Alone(name, Why.NO_PARTNER, up, max(one.since_ms for one in others)))
        elif len(up) > needed and isinstance(service, PostgresqlService) and service.replication == "synchronous":
            database = databases.get(name)
            if database is not None and not database.leaderless and not database.synchronous:
                found.append(Alone(name, Why.NOT_SYNCHRONOUS, (database.primary,), database.since_ms))
    return found
