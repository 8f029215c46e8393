"""Databases, as Patroni says in etcd: who is primary, and which standbys have all that was acknowledged."""

from __future__ import annotations

from typing import NamedTuple

from binome.core.entry import Draft, Fact

CAPABILITY = "database"


class DatabaseSeen(Fact, frozen=True, tag="database-seen"):
    """What Patroni's keys say of a database from now on. `primary` is empty while there is none.

    `synchronous` are the standbys that hold every acknowledged write, and none while the primary goes on alone.
    """

    service: str
    primary: str
    synchronous: tuple[str, ...] = ()


FACTS = (DatabaseSeen,)


class Database(NamedTuple):
    """What is known of one database. `primary` is who was primary last; `leaderless`: nobody is now.

    `primary_ms` is since when the primary is that; of a database that is leaderless, since when nobody is.
    """

    primary: str
    synchronous: tuple[str, ...]
    leaderless: bool
    since_ms: int
    number: int  # of the facts that made it
    primary_ms: int = 0

    @classmethod
    def seen(cls, fact: DatabaseSeen, before: Database | None, at_ms: int) -> Database:
        """What is known after a fact."""
        number = before.number + 1 if before is not None else 1
        if not fact.primary and before is not None:  # who was synchronous with the last primary stays so
            since_ms = before.primary_ms if before.leaderless else at_ms
            return before._replace(leaderless=True, number=number, primary_ms=since_ms)
        same = before is not None and not before.leaderless and before.primary == fact.primary
        since_ms = before.primary_ms if before is not None and same else at_ms
        return cls(fact.primary, fact.synchronous, not fact.primary, at_ms, number, since_ms)

    def says(self, fact: DatabaseSeen) -> bool:
        """Whether this is known already."""
        if not fact.primary:
            return self.leaderless
        return (self.primary, self.synchronous, self.leaderless) == (fact.primary, fact.synchronous, False)


def drafts(seen: dict[str, DatabaseSeen], known: dict[str, Database], now_ms: int) -> list[Draft]:
    """What the journal does not say yet of the databases; nothing once it does."""
    found = []
    for service, fact in seen.items():
        before = known.get(service)
        if before is None or not before.says(fact):
            number = before.number if before is not None else 0
            found.append(Draft(f"{CAPABILITY}/{service}/{number}", now_ms, CAPABILITY, fact))
    return found
