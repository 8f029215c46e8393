"""Which files a server needs, and what is in them."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

import yaml

from binome.estate import Estate
from binome.estate.model import EtcdService, HaproxyService, HttpService, PostgresqlService
from binome.render import etcd, haproxy, patroni, systemd
from binome.render.places import (
    ETCD_CLIENT_PORT,
    ETCD_PEER_PORT,
    METRICS_PORT,
    PATRONI_PORT,
    PEER_PORT,
    POSTGRESQL_PORT,
    Folders,
    RenderError,
    database_places,
)


def render(estate: Estate, server: str, folders: Folders | None = None, *, rejoin: bool = False) -> Mapping[str, str]:
    """The configuration files of one server: absolute path → text.

    `rejoin` is for a server whose data was lost: its etcd enters the cluster that runs. Raises RenderError where the
    estate lacks what an engine needs, or where two services want one port of the server.
    """
    folders = folders or Folders()
    real = not folders.root  # a lab builds also what the team sets up itself on its servers
    _check_ports(estate, server)
    files: dict[str, str] = {}
    for service, options in estate.services.items():
        if server not in options.on:
            continue
        where = f"{folders.configuration}/{service}"
        if isinstance(options, EtcdService):
            settings = etcd.configuration(estate, service, server, folders, options, rejoin=rejoin)
            files[f"{where}.etcd.yml"] = _yaml(estate, server, settings, "etcd --config-file")
        elif isinstance(options, PostgresqlService) and not (options.patroni.file and real):
            settings = patroni.configuration(estate, service, server, folders, options)
            files[database_places(service, options, folders).file] = _yaml(estate, server, settings, "patroni")
        elif isinstance(options, HaproxyService):
            text = haproxy.configuration(estate, service, server, folders, options)
            files[f"{where}.haproxy.cfg"] = _header(estate, server, "haproxy -f") + text
    lookouts = estate.lookout.on if estate.lookout else ()
    runs = server in lookouts or len(lookouts) > 1  # elsewhere an agent runs
    units = systemd.units(estate, server, folders, binome=runs)
    files |= {f"{folders.root}/etc/systemd/system/{name}": text for name, text in units.items()}
    if units:
        files[f"{folders.root}/etc/tmpfiles.d/binome.conf"] = systemd.folders_of(estate, server, folders)
    return files


def _header(estate: Estate, server: str, command: str) -> str:
    return f"# {server} of {estate.estate}, rendered by Binôme: change the estate, not this file. Read by: {command}\n"


def _yaml(estate: Estate, server: str, settings: dict[str, Any], command: str) -> str:
    return _header(estate, server, command) + yaml.safe_dump(settings, sort_keys=False, width=1000, allow_unicode=True)


def _check_ports(estate: Estate, server: str) -> None:
    taken: dict[int, str] = {}
    if estate.lookout and server in estate.lookout.on:
        taken[METRICS_PORT] = "the lookout"
        if len(estate.lookout.on) > 1:
            taken[PEER_PORT] = "the lookout"
    for service, options in estate.services.items():
        if server in options.on:
            for port in _ports(options):
                first = taken.setdefault(port, service)
                if first != service:
                    raise RenderError(
                        f"port {port} of {server} is wanted by {first} and by {service}.  "
                        "Change the port of one, or move it to another server."
                    )


def _ports(options: object) -> Iterator[int]:
    if isinstance(options, EtcdService):
        yield from (ETCD_CLIENT_PORT, ETCD_PEER_PORT)
    elif isinstance(options, PostgresqlService):
        yield from (POSTGRESQL_PORT, PATRONI_PORT)
    elif isinstance(options, HttpService):
        yield options.port
    elif isinstance(options, HaproxyService):
        yield from options.routes.values()
        yield from options.reads.values()
