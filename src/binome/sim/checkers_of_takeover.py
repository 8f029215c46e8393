"""I1, I2 and I15, from what databases did and what etcd committed."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator

import msgspec

from binome.sim.history import Agreed, Event, Held, Promoted, Wrote


def writes(events: list[tuple[float, Event]]) -> Iterator[tuple[float, str]]:
    """I1 and I2: what was acknowledged is in every database that is promoted later, and in the last primary.

    Once a database is promoted, what another one acknowledges can only be right if the promoted one had it before.
    """
    acknowledged: list[str] = []
    primary, had = "", set[str]()
    for at_s, event in events:
        match event:
            case Wrote(member, name):
                if primary and member != primary and name not in had:
                    yield at_s, f"{member} acknowledged {name} after {primary} was promoted"
                acknowledged.append(name)
            case Promoted(member, names):
                primary, had = member, set(names)
                if lost := [name for name in acknowledged if name not in had]:
                    yield at_s, f"{member} was promoted without {len(lost)} acknowledged writes, {lost[0]} the first"
            case Held(member, names):
                kept = set(names)
                if lost := [name for name in acknowledged if name not in kept]:
                    yield at_s, f"{member} is primary without {len(lost)} acknowledged writes, {lost[0]} the first"


def once(events: list[tuple[float, Event]]) -> Iterator[tuple[float, str]]:
    """I15: one takeover of a service in a night, which is shorter than any cooldown; and none without its plan."""
    taken: Counter[str] = Counter()
    planned: set[str] = set()
    known: set[str] = set()
    for at_s, event in events:
        for entry in event.entries if isinstance(event, Agreed) else ():
            fact = msgspec.json.decode(entry.fact)
            if entry.id in known:
                continue
            known.add(entry.id)
            if fact["kind"] == "plan-made":
                planned.add(fact["plan"])
            if fact["kind"] == "database-moved" and not fact["released"]:
                taken[fact["service"]] += 1
                if fact["plan"] not in planned:
                    yield at_s, f"{fact['service']} was moved by {fact['plan']}, which is not in the journal"
                if taken[fact["service"]] > 1:
                    yield at_s, f"{fact['service']} was taken over twice within its cooldown"
