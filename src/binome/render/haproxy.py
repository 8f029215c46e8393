"""haproxy.cfg: the edge.

Short connect and check timeouts are what keeps a lost site from costing seconds (ENGINES.md: the defaults alone gave
13 s of web outage with a healthy second site). Writes go to the member whose Patroni says that it is primary.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping

from binome.estate import Estate
from binome.estate.model import HaproxyService, HttpService, PostgresqlService, Service
from binome.render.places import HAPROXY_PORT, PATRONI_PORT, POSTGRESQL_PORT, Folders, RenderError, address_of, endpoint

_ADDRESSES_A_LINE = 30  # HAProxy takes 64 words and 2,048 characters


def configuration(estate: Estate, service: str, server: str, folders: Folders, options: HaproxyService) -> str:
    """The file of one edge."""
    parts = [_global(folders), "\n".join(_statistics(estate, service, server, options))]
    servers = backends(estate, service, options)
    for reads, table in ((False, options.routes), (True, options.reads)):
        for target, port in table.items():
            bind = endpoint(address_of(estate, server), port)
            name = f"{target}-reads" if reads else target
            parts.append("\n".join(_route(name, bind, estate.services[target], servers[name], reads=reads)))
    return "\n\n".join(parts) + "\n"


def backends(estate: Estate, service: str, options: HaproxyService) -> Mapping[str, Mapping[str, str]]:
    """The backends of an edge: name → server → address with port, as they are rendered.

    Raises RenderError for a route to what cannot be served, and where a member has no address.
    """
    found = {}
    for key, table in (("routes", options.routes), ("reads", options.reads)):
        for target in table:
            port = _member_port(estate, service, key, target)
            members = estate.services[target].on
            name = f"{target}-reads" if key == "reads" else target
            found[name] = {member: endpoint(address_of(estate, member), port) for member in members}
    return found


def _member_port(estate: Estate, service: str, key: str, target: str) -> int:
    options = estate.services[target]
    if isinstance(options, HttpService) and key == "routes":
        return options.port
    if isinstance(options, PostgresqlService):
        return POSTGRESQL_PORT
    kinds = "postgresql" if key == "reads" else "http or postgresql"
    raise RenderError(
        f"services.{service}.{key} names {target}, which is of kind {options.kind}; an edge serves {kinds} there.  "
        "Remove it."
    )


def _global(folders: Folders) -> str:
    return f"""\
global
    log stderr format raw daemon notice
    user haproxy
    group haproxy
    maxconn 4000
    stats socket {folders.run}/haproxy.sock mode 600 level admin

defaults
    log global
    timeout connect 500ms
    timeout check 400ms
    timeout client 30s
    timeout server 30s
    default-server check inter 200ms fastinter 100ms fall 2 rise 1"""


def _statistics(estate: Estate, service: str, server: str, options: HaproxyService) -> Iterator[str]:
    """What probes read: the state of the backends, for the servers of the estate alone, with nothing to change."""
    if HAPROXY_PORT in (*options.routes.values(), *options.reads.values()):
        raise RenderError(
            f"services.{service} has a route at port {HAPROXY_PORT}, where an edge gives its statistics.  "
            "Choose another port."
        )
    yield "frontend binome-statistics"
    yield f"    bind {endpoint(address_of(estate, server), HAPROXY_PORT)}"
    yield "    mode http"
    addresses = [one.address for one in estate.servers.values() if one.address is not None]
    for first in range(0, len(addresses), _ADDRESSES_A_LINE):
        yield f"    acl estate src {' '.join(addresses[first : first + _ADDRESSES_A_LINE])}"
    yield "    tcp-request connection reject unless estate"
    yield "    http-after-response set-header Date %[date,http_date]"  # so that a clock that is wrong is seen
    yield "    stats enable"
    yield "    stats show-legends"  # the servers' addresses
    yield "    stats uri /stats"


def _route(name: str, bind: str, options: Service, servers: Mapping[str, str], *, reads: bool) -> Iterator[str]:
    yield f"frontend {name}"
    yield f"    bind {bind}"
    if isinstance(options, HttpService):
        yield from _web(name, options)
        check = ""
    else:
        yield from _database(name, reads=reads)
        check = f" port {PATRONI_PORT}"
    for member, place in servers.items():
        yield f"    server {member} {place}{check}"


def _web(name: str, options: HttpService) -> Iterator[str]:
    yield "    mode http"
    yield f"    default_backend {name}"
    yield ""
    yield f"backend {name}"
    yield "    mode http"
    yield "    balance roundrobin"
    yield f"    option httpchk GET {options.health}"
    yield "    retries 2"
    yield "    retry-on conn-failure"
    yield "    option redispatch 1"


def _database(name: str, *, reads: bool) -> Iterator[str]:
    yield "    mode tcp"
    yield "    timeout client 1h"
    yield f"    default_backend {name}"
    yield ""
    yield f"backend {name}"
    yield "    mode tcp"
    yield "    timeout server 1h"
    if reads:
        yield "    balance roundrobin"
        yield "    option redispatch"
    yield f"    option httpchk OPTIONS /{'read-only' if reads else 'primary'}"
    # A session with a server that is lost would wait for ever. A web request that is only connecting is not cut off:
    # it goes on to another server when its half second is over.
    yield "    default-server on-marked-down shutdown-sessions"
