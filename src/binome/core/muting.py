"""Muting: what a silence covers. It keeps pages from being made; nothing that is looked at or decided.

    silenced                    covers
    a subject of a cause        that cause; `web@sbg-web` is a part of web and of sbg-web
    a place                     causes all of whose servers stand in it
    a product                   causes that touch only services of it, and alarms about such a service

What two products need is covered where both are silenced. A cause that touches no service of a product is no product's.
"""

from __future__ import annotations

from binome.core.causes import Kind
from binome.core.decision import View
from binome.core.graph import Graph
from binome.core.incident import servers_of
from binome.core.scope import Cause


def covers(graph: Graph, view: View, cause: Cause, now_ms: int) -> bool:
    """Whether nobody is to be paged about a cause now."""
    silenced = _silenced(view, now_ms)
    if not silenced:
        return False
    servers = servers_of(graph, cause)
    own = {cause.subject, *cause.subject.replace("/", "@").split("@")}
    if any(name in own or (servers and all(graph.domains.holds(name, one) for one in servers)) for name in silenced):
        return True
    if cause.kind in (Kind.NETWORK, Kind.VANTAGE):
        return False
    services = graph.estate.services
    touched = own & set(services) or {name for name, one in services.items() if not servers.isdisjoint(one.on)}
    return bool(touched) and all(_is_of(graph, name, silenced) for name in touched | set(cause.services))


def covers_service(graph: Graph, view: View, service: str, now_ms: int) -> bool:
    """Whether nobody is to be paged about a service (or what else a plan is about) now."""
    silenced = _silenced(view, now_ms)
    return service in silenced or _is_of(graph, service, silenced)


def _is_of(graph: Graph, service: str, silenced: set[str]) -> bool:
    """Whether a service is needed by silenced products alone."""
    products = graph.products_of.get(service, ())
    return bool(products) and silenced.issuperset(products)


def _silenced(view: View, now_ms: int) -> set[str]:
    return {name for name, one in view.incident.silenced.items() if one.until_ms > now_ms}
