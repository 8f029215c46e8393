"""What preflight looks at: all that lookouts look at, and the ports and certificates that they do not.

    SERVICE@SERVER:PORT        the ports of an edge; etcd's port for its own members
    lookout@SERVER:PORT        where lookouts hear each other
    NAME:certificate           the certificate of an https probe, and of an etcd member with TLS

Members are asked thoroughly: what their kind of probe can tell besides its answer, and what their clock says.
"""

from __future__ import annotations

from collections.abc import Iterator, Set
from typing import Any, NamedTuple

from binome.core.preflight.check import Sight
from binome.core.target import Target, targets_of
from binome.estate import Estate
from binome.estate.model import EtcdService, GenericService, HaproxyService, Lookout
from binome.render.places import ETCD_CLIENT_PORT, ETCD_PEER_PORT, PEER_PORT, POSTGRESQL_PORT

LEAST_DAYS = 14
"""How many days a certificate must still be good for, where no probe says so."""
TELL_TIME = frozenset({"etcd", "patroni", "haproxy", "http"})
"""The kinds of probe whose targets say what time it is."""


class Credentials(NamedTuple):
    """Who asks the databases. `password` is `env:NAME` or `file:PATH`, or empty where none is needed."""

    user: str
    password: str = ""


class _Place(NamedTuple):
    """Where a target stands: the fields of `Target` from `server` to `port`."""

    server: str
    service: str
    address: str
    port: int


def asked(
    estate: Estate, servers: Set[str] = frozenset(), credentials: Credentials | None = None, timeout_ms: int = 3_000
) -> tuple[Target, ...]:
    """The targets of one preflight; with `servers` only what stands on these. No look takes less than `timeout_ms`.

    Databases are asked with `credentials`, else with those of a probe of kind postgresql of the same service.
    """
    if not estate.servers:
        return ()
    lookout = estate.lookout or Lookout(on=(next(iter(estate.servers)),))
    found = []
    for target in (*targets_of(estate, lookout), *_more(estate)):
        if target.kind == "heartbeat" or (servers and target.server not in servers):
            continue
        options: dict[str, Any] = dict(target.options)
        if target.server:
            options["thorough"] = True
        if target.kind == "tls":
            options.setdefault("days", LEAST_DAYS)
        if target.kind == "postgresql" and target.name not in estate.probes:
            options |= _login(estate, target, credentials)
        found.append(target._replace(timeout_ms=max(timeout_ms, target.timeout_ms), options=options))
    return tuple(found)


def not_asked(sight: Sight, servers: Set[str]) -> tuple[str, ...]:
    """What the file says and preflight has no question for, a sentence each."""
    estate = sight.estate
    chosen = {name: one for name, one in estate.servers.items() if not servers or name in servers}
    telling = {target.server for target in sight.asked if target.kind in TELL_TIME}
    lists = {
        "no address: {}": [name for name, one in chosen.items() if one.address is None],
        "clock of {}: nothing runs there that tells the time": [
            name for name, one in chosen.items() if one.address is not None and name not in telling
        ],
        "service {}: of kind generic, known by its members alone": [
            name
            for name, one in estate.services.items()
            if isinstance(one, GenericService) and chosen.keys() & set(one.on)
        ],
        f"lookout on {{}}: nobody listens at port {PEER_PORT} yet": [
            target.server for target in sight.asked if waits_for_lookout(sight, target)
        ],
    }
    if servers:
        lists["names, and what stands outside of {}"] = list(servers)
    else:
        lists |= {
            "name {}: neither `servers` nor `expect` says what is right": [
                name for name, one in estate.names.items() if not one.servers and not one.expect
            ],
            "heartbeat of {}: lookouts alone hear it": [
                name for name, one in estate.probes.items() if one.kind == "heartbeat"
            ],
            "link {}: nothing is sent": list(estate.links),
            "vault {}: binome check says what is amiss": list(estate.vaults),
            "backup {}: binome check says what is amiss": list(estate.backups),
            "pages by {}: nobody is paged": list(estate.people.senders),
        }
    return tuple(words.format(", ".join(names)) for words, names in lists.items() if names)


def waits_for_lookout(sight: Sight, target: Target) -> bool:
    """Whether a target is the port of a lookout that does not run yet: the server is there, and refuses."""
    seen = sight.seen.get(target.name)
    return target.name.startswith("lookout@") and seen is not None and seen.details.get("refused") is True


def _more(estate: Estate) -> Iterator[Target]:
    for name, service in estate.services.items():
        for member in service.on:
            address = estate.servers[member].address
            if address is None:
                continue
            if isinstance(service, HaproxyService):
                for port in (*service.routes.values(), *service.reads.values()):
                    yield _once(f"{name}@{member}:{port}", "tcp", _Place(member, name, address, port))
            elif isinstance(service, EtcdService):
                peers = _Place(member, name, address, ETCD_PEER_PORT)
                yield _once(f"{name}@{member}:{ETCD_PEER_PORT}", "tcp", peers)
                if service.tls:
                    files = {"ca": service.tls.ca, "cert": service.tls.cert, "key": service.tls.key}
                    yield _once(f"{name}@{member}:certificate", "tls", peers._replace(port=ETCD_CLIENT_PORT), files)
    if estate.lookout and len(estate.lookout.on) > 1:
        for member in estate.lookout.on:
            address = estate.servers[member].address
            if address is not None:
                yield _once(f"lookout@{member}:{PEER_PORT}", "tcp", _Place(member, "", address, PEER_PORT))
    yield from _certificates(estate)


def _certificates(estate: Estate) -> Iterator[Target]:
    """The certificates of what is asked over https."""
    places = {one.name: one for one in targets_of(estate, Lookout(on=(next(iter(estate.servers)),)))}
    for name, probe in estate.probes.items():
        target = places[name]
        if probe.kind == "http" and target.options.get("tls"):
            options = {key: target.options[key] for key in ("host", "ca") if key in target.options}
            place = _Place(target.server, target.service, target.address, target.port)
            yield _once(f"{name}:certificate", "tls", place, options)


def _once(name: str, kind: str, place: _Place, options: dict[str, Any] | None = None) -> Target:
    return Target(name, kind, *place, 0, 0, 1, 1, options or {})


def _login(estate: Estate, target: Target, credentials: Credentials | None) -> dict[str, Any]:
    """With what a member of a database is asked; nothing where nobody gave anything."""
    if credentials is not None:
        return {"user": credentials.user} | ({"password": credentials.password} if credentials.password else {})
    for probe in estate.probes.values():
        ours = probe.of == target.service or (
            probe.on == target.server and (probe.port or POSTGRESQL_PORT) == POSTGRESQL_PORT
        )
        if probe.kind == "postgresql" and probe.user and ours:
            given = {"user": probe.user, "password": probe.password, "database": probe.database}
            return {key: value for key, value in given.items() if value}
    return {}
