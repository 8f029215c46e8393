"""One person on call: ill, on a train or asleep, and nobody comes."""

from __future__ import annotations

from collections.abc import Iterator

from binome.analysis.edit import Remedy, as_list, put
from binome.analysis.findings import Context, Found, Severity

SUBJECTS = ("people",)


def findings(context: Context) -> Iterator[Found]:
    """At most one finding; an estate that names no people is not asked."""
    estate = context.platform.estate
    people = estate.people
    turns = {*people.rota.weekly, *people.rota.daily}
    if not people.contacts or len(turns) > 1:
        return
    who = f"{next(iter(turns))} is always on call" if turns else "Nobody is on call: the rota names no one"
    key = "daily" if people.rota.daily else "weekly"
    words = "Let at least two people take turns."
    enough = len(people.contacts) > 1
    path = ("people", "rota", key)
    remedy = put(estate, path, as_list(list(people.contacts)), words) if enough else Remedy(words)
    message = f"{who}.  The night of the fire began at 00:45; one person asleep and the first who knows is a customer."
    yield Found(Severity.WARNING, "people", path, message, remedy)
