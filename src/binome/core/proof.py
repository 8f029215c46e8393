"""Proofs of routes: that a message to this person by this sender arrives was seen, not long ago.

A provider that says yes and delivers nothing cannot be told from a good one by asking it. What proves a route is a
person who used the link of a message that came by it: a page of the night, or a test. A route without such a proof for
a week is itself paged, in one page for all such routes, once a week. A route that has never been proven counts from
when this lookout began to listen. The page asks for what proves them: `binome page --test`.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from typing import NamedTuple

from binome.core.page import Page, Severity
from binome.core.routes import address_of, routes_of
from binome.estate.model import People

PROVEN_FOR_MS = 7 * 86_400_000
"""How long a proof counts."""


class Route(NamedTuple):
    """A person, and a sender by which pages reach them."""

    person: str
    via: str


class Unproven(NamedTuple):
    """A route without a proof that counts; `proven_ms` is when the last one was, None for never."""

    route: Route
    proven_ms: int | None


def routes(people: People, person: str = "", via: str = "") -> tuple[Route, ...]:
    """Every route that a page may take, in the order of the file; of one person or one sender, where they are named."""

    def all_routes() -> Iterator[Route]:
        senders = dict.fromkeys(route.via for severity in Severity for route in routes_of(people, severity))
        for name in people.contacts:
            for sender in senders:
                wanted = person in ("", name) and via in ("", sender)
                if wanted and address_of(people, name, sender) is not None:
                    yield Route(name, sender)

    return tuple(all_routes())


def unproven(people: People, proven: Mapping[tuple[str, str], int], since_ms: int, now_ms: int) -> tuple[Unproven, ...]:
    """The routes that are due for a proof. `proven` says when each was last, `since_ms` since when that is known.

    All times are of one clock, in milliseconds.
    """
    found = (Unproven(route, proven.get(route)) for route in routes(people))
    return tuple(
        one for one in found if now_ms - (since_ms if one.proven_ms is None else one.proven_ms) > PROVEN_FOR_MS
    )


def unproven_page(people: People, name: str, due: Sequence[Unproven], now_ms: int) -> Page | None:
    """The page about them; None where there are none. The same at every lookout in the same week.

    A route is proven by the link of a test: where pages carry none, that is what is asked for.
    """
    if not due:
        return None
    listed = ", ".join(f"{one.route.person} by {one.route.via}" for one in due)
    first_ms = min((one.proven_ms for one in due if one.proven_ms is not None), default=None)
    return Page(
        cause="routes-unproven",
        episode=str(now_ms // PROVEN_FOR_MS),
        stage="due",
        severity=Severity.WARNING,
        name=name,
        what=f"{len(due)} route{'s' if len(due) > 1 else ''} to people unproven for a week",
        since_ms=now_ms if first_ms is None else first_ms + PROVEN_FOR_MS,
        asked="Set up links: people.acknowledge" if people.acknowledge is None else "Prove: binome page --test",
        detail=listed,
    )


def test_page(name: str, route: Route, request: str, now_ms: int) -> Page:
    """The page that proves a route when its link is used. `request` is unique for ever."""
    return Page(
        cause=f"test/{route.person}/{route.via}",
        episode=request,
        stage="test",
        severity=Severity.INFO,
        name=name,
        what=f"Test of {route.via} for {route.person}",
        since_ms=now_ms,
        asked="Follow the link and press the button: that proves this route",
        to=route.person,
        via=route.via,
    )
