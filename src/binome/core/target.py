"""Targets: what of the estate is looked at, how, and how impatiently.

    a server             its name                     whether the machine answers at all
    a service's member   SERVICE@SERVER               whether it does its work, asked as its kind is asked
    what stands by it    SERVICE@SERVER/patroni       the same for a helper of the member
    an internet name     NAME@SERVER                  whether a server with authority answers as it should
    what `probes` says   its name                     anything else: outside, of another kind, a job's heartbeat

Names of targets are unique: `@` and `/` stand in no name of the estate, and probes share the names' one space with
servers. Targets follow from the estate alone, in its order, so that every lookout looks at the same ones.
"""

from __future__ import annotations

import ipaddress
from collections.abc import Iterator, Mapping
from enum import StrEnum
from typing import Any, NamedTuple
from urllib.parse import urlsplit

from binome.estate import Estate
from binome.estate.model import (
    EtcdService,
    HaproxyService,
    HttpService,
    InternetName,
    Lookout,
    PostgresqlService,
    Probe,
    Service,
)
from binome.render.places import ETCD_CLIENT_PORT, HAPROXY_PORT, PATRONI_PORT, POSTGRESQL_PORT

_DNS_PORT = 53
_PORTS = {
    "dns": _DNS_PORT,
    "etcd": ETCD_CLIENT_PORT,
    "haproxy": HAPROXY_PORT,
    "patroni": PATRONI_PORT,
    "postgresql": POSTGRESQL_PORT,
    "tls": 443,
}


class Target(NamedTuple):
    """One thing that is looked at. `kind` names the probe that looks; `options` are that kind's own.

    `server` is where it stands, empty for what stands outside; `service` is whose member it is (a link's or service's
    name for a probe of the estate), empty for a server. `address` is an IP address; a host name for what stands outside
    and is found by name; empty where nobody is asked. `port` is 0 where the kind has none.
    """

    name: str
    kind: str
    server: str
    service: str
    address: str
    port: int
    every_ms: int
    timeout_ms: int
    fall: int
    rise: int
    options: Mapping[str, Any] = {}


class Answer(StrEnum):
    """What one look at a target came to."""

    UP = "up"
    DOWN = "down"
    UNSURE = "unsure"  # we could not ask: that is no word about the target


class Observation(NamedTuple):
    """One look at a target, raw. `at_s` is when it began, on the monotonic clock of the vantage point.

    `said` is one printable line of at most 200 characters: what the target said, or why it said nothing.
    """

    target: str
    at_s: float
    answer: Answer
    said: str


def targets(estate: Estate) -> tuple[Target, ...]:
    """Everything that the estate's lookouts look at; nothing where it has none."""
    return targets_of(estate, estate.lookout) if estate.lookout else ()


def targets_of(estate: Estate, lookout: Lookout) -> tuple[Target, ...]:
    """Everything that lookouts would look at, at the pace of `lookout`."""
    return tuple(_targets(estate, lookout))


def named_addresses(estate: Estate) -> frozenset[str]:
    """The addresses that the estate names: probes reach these, also where they lead back to their own server."""
    named = {server.address for server in estate.servers.values() if server.address}
    for probe in estate.probes.values():
        url_host = urlsplit(probe.url).hostname if probe.url else None
        named |= {host for host in (probe.address, probe.host, url_host) if host}
    for name in estate.names.values():
        named.update(name.servers)
    return frozenset(host for host in named if _is_address(host))


def heartbeats(estate: Estate) -> Mapping[str, str]:
    """The jobs that send heartbeats, with where each one's token is kept."""
    jobs = {name: probe for name, probe in estate.probes.items() if probe.kind == "heartbeat"}
    return {name: probe.token for name, probe in jobs.items() if probe.token is not None}


def _is_address(host: str) -> bool:
    try:
        return str(ipaddress.ip_address(host)) == host
    except ValueError:
        return False


def _targets(estate: Estate, lookout: Lookout) -> Iterator[Target]:
    pace = (lookout.every_ms, min(lookout.timeout_ms, lookout.every_ms), lookout.fall, lookout.rise)
    for name, server in estate.servers.items():
        if server.address is not None:
            yield Target(name, "icmp", name, "", server.address, 0, *pace)
    for name, service in estate.services.items():
        for member in service.on:
            address = estate.servers[member].address
            if address is None:
                continue  # `binome check` says so
            for suffix, kind, port, options in _asked(service):
                yield Target(f"{name}@{member}{suffix}", kind, member, name, address, port, *pace, options)
    for name, leads in estate.names.items():
        for asked, server_of_it, options in _asked_of_name(name, leads):
            yield Target(asked, "dns", "", leads.to, server_of_it, _DNS_PORT, *pace, options)
    for name, probe in estate.probes.items():
        yield _probed(estate, lookout, name, probe)


def _asked(service: Service) -> Iterator[tuple[str, str, int, Mapping[str, Any]]]:
    """How a member of a service is asked: suffix of the name, kind of probe, port, options."""
    match service:
        case EtcdService():
            tls = service.tls
            files = {"tls": True, "ca": tls.ca, "cert": tls.cert, "key": tls.key} if tls else {}
            yield "", "etcd", ETCD_CLIENT_PORT, files
        case PostgresqlService():
            yield "", "postgresql", POSTGRESQL_PORT, {}
            yield "/patroni", "patroni", PATRONI_PORT, {}
        case HttpService():
            yield "", "http", service.port, {"path": service.health}
        case HaproxyService():
            yield "", "haproxy", HAPROXY_PORT, {}


def _asked_of_name(name: str, leads: InternetName) -> Iterator[tuple[str, str, Mapping[str, Any]]]:
    """How an internet name is asked for: name of the target, server, options. Not at all where nothing is expected."""
    options = {"name": name, "expect": leads.expect} if leads.expect else {"name": name}
    for server in leads.servers:
        yield f"{name}@{server}", server, options
    if leads.expect and not leads.servers:
        yield f"{name}@", "", options  # by the lookout's own resolver


def _probed(estate: Estate, lookout: Lookout, name: str, probe: Probe) -> Target:
    """The target that a record under `probes` describes."""
    beats = probe.kind == "heartbeat"  # its `every` is the job's period, not ours
    every_ms = lookout.every_ms if beats or probe.every_ms is None else probe.every_ms
    address, port, options = _place(estate, probe)
    for key in ("contains", "redirects", "ca", "days", "name", "type", "user", "password", "database"):
        if getattr(probe, key) is not None:
            options[key] = getattr(probe, key)
    for key in ("status", "headers", "expect"):
        if getattr(probe, key):
            options[key] = getattr(probe, key)
    if beats:
        options |= {"job": name, "every_ms": probe.every_ms, "grace_ms": probe.grace_ms or 0}
    if probe.kind == "etcd" and probe.ca:
        options["tls"] = True
    options |= probe.options
    timeout_ms = min(probe.timeout_ms or lookout.timeout_ms, every_ms)
    fall, rise = probe.fall or lookout.fall, probe.rise or lookout.rise
    return Target(
        name, probe.kind, probe.on or "", probe.of or "", address, port, every_ms, timeout_ms, fall, rise, options
    )


def _place(estate: Estate, probe: Probe) -> tuple[str, int, dict[str, Any]]:
    """Where a probe asks: address or host, port, and what of its options says so."""
    if probe.url is not None:
        url = urlsplit(probe.url)
        path = (url.path or "/") + (f"?{url.query}" if url.query else "")
        tls, host = url.scheme == "https", url.hostname or ""
        return host, url.port or (443 if tls else 80), {"host": host, "path": path, "tls": tls}
    standing = estate.servers[probe.on].address if probe.on else None
    address = probe.address or probe.host or standing or ""
    options: dict[str, Any] = {"host": probe.host} if probe.host and probe.address else {}
    return address, probe.port or _PORTS.get(probe.kind, 0), options
