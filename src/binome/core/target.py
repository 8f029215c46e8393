"""Targets: what of the estate is looked at, how, and how impatiently.

    a server             its name                     whether the machine answers at all
    a service's member   SERVICE@SERVER               whether it does its work, asked as its kind is asked
    what stands by it    SERVICE@SERVER/patroni       the same for a helper of the member

Names of targets are unique: `@` and `/` stand in no name of the estate. Targets follow from the estate alone, in its
order, so that every lookout looks at the same ones.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from enum import StrEnum
from typing import Any, NamedTuple

from binome.estate import Estate
from binome.estate.model import EtcdService, HaproxyService, HttpService, Lookout, PostgresqlService, Service
from binome.render.places import ETCD_CLIENT_PORT, PATRONI_PORT, POSTGRESQL_PORT


class Target(NamedTuple):
    """One thing that is looked at. `kind` names the probe that looks; `options` are that kind's own.

    `server` is where it stands, empty for what stands outside; `service` is whose member it is, empty for a server.
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
    return tuple(_targets(estate, estate.lookout)) if estate.lookout else ()


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


def _asked(service: Service) -> Iterator[tuple[str, str, int, Mapping[str, Any]]]:
    """How a member of a service is asked: suffix of the name, kind of probe, port, options."""
    match service:
        case EtcdService():
            yield "", "etcd", ETCD_CLIENT_PORT, {}
        case PostgresqlService():
            yield "", "postgresql", POSTGRESQL_PORT, {}
            yield "/patroni", "patroni", PATRONI_PORT, {}
        case HttpService():
            yield "", "http", service.port, {"path": service.health}
        case HaproxyService():
            for port in (*service.routes.values(), *service.reads.values())[:1]:
                yield "", "tcp", port, {}
