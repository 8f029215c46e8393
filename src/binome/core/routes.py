"""Routes: by which senders a page goes, and where each of them reaches a person. All of it follows from the estate."""

from __future__ import annotations

from binome.core.page import Severity
from binome.estate.model import People, Route

ROUTE_AFTER_MS = 120_000
"""How long after the first the second sender is tried, where the estate has senders and no routes."""


def address_of(people: People, person: str, via: str) -> str | None:
    """Where a person is reached by a sender: `sms:+33…`, `mail:…`, `hook:NAME`; None where they cannot be."""
    contact, sender = people.contacts.get(person), people.senders.get(via)
    if contact is None or sender is None:
        return None
    if sender.kind == "webhook":
        return f"hook:{person}"
    value, kind = (contact.sms, "sms") if sender.kind == "sms-http" else (contact.email, "mail")
    return f"{kind}:{value}" if value else None


def routes_of(people: People, severity: Severity) -> tuple[Route, ...]:
    """The routes of a severity, in order. Where none is for it, all are; where there are no routes, all senders."""
    fitting = tuple(route for route in people.routes if not route.for_ or severity.value in route.for_)
    if fitting or people.routes:
        return fitting or people.routes
    return tuple(
        Route.model_construct(via=name, after_ms=ROUTE_AFTER_MS if index else 0, for_=())
        for index, name in enumerate(people.senders)
    )
