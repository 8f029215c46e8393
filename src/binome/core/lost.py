"""Losses that take servers: sites that say nothing, and causes that were found; as takeovers and pages see them."""

from __future__ import annotations

from typing import NamedTuple

from binome.core.causes import Kind
from binome.core.decision import View
from binome.core.scope import Confidence, Manner
from binome.core.scoping import graphs
from binome.core.verdict import Verdict
from binome.estate import Estate

NOT_OF_SERVERS = (Kind.TARGET, Kind.MEMBER, Kind.SERVICE, Kind.NETWORK, Kind.VANTAGE)
"""Causes that take no server: what is wrong then is for Patroni to mend, or for people."""


class Loss(NamedTuple):
    """A loss that takes servers: its id, in the words of people, what is lost, since when, and how long that was seen.

    `lasted_ms` is as measured by monotonic clocks when it was recorded last; `since_ms` is for people to read.
    """

    id: str
    subject: str
    servers: frozenset[str]
    lasted_ms: int
    confirmed: bool
    since_ms: int


def losses(estate: Estate, view: View, now_ms: int) -> list[Loss]:
    """The losses that are known, the fastest noticed first."""
    if not view.silence.sites and not view.scope.open:
        return []
    domains = graphs.of(estate).domains
    found = []
    for site, silence in view.silence.sites.items():
        servers = frozenset(one for one in estate.servers if domains.site(one, estate) == site)
        lasted_ms, since_ms = silence.lasted_ms, silence.since_ms
        found.append(Loss(f"site/{site}/{silence.number}", site, servers, lasted_ms, silence.confirmed, since_ms))
    for scope in view.scope.open.values():
        cause = scope.cause
        if cause.manner is Manner.LOST and cause.kind not in NOT_OF_SERVERS:
            taken = (one for one in (cause.subject, *domains.inside(cause.subject)) if one in estate.servers)
            servers = frozenset(one for one in taken if view.looking.verdict(one) is Verdict.DOWN)
            confirmed = cause.confidence in (Confidence.CONFIRMED, Confidence.PARTLY)
            lasted_ms, since_ms = now_ms - cause.since_ms, cause.since_ms
            found.append(Loss(f"scope/{scope.id}", cause.subject, servers, lasted_ms, confirmed, since_ms))
    return found


def all_lost(losses: list[Loss]) -> frozenset[str]:
    """Every server that one of the losses takes."""
    return frozenset[str]().union(*(loss.servers for loss in losses))
