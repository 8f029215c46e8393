"""What a server's systemd needs to know: a unit for each engine and for Binôme, and whose folders are whose.

Units are named after their service, beside those that the engines' packages bring, which stay off. All of them are
started again for ever: what runs when everything else is broken must not stay down because it fell often. The folders
are made by systemd-tmpfiles, not by the units: several units share them, and a unit that ends takes its own with it.
"""

from __future__ import annotations

from collections.abc import Mapping

from binome.estate import Estate
from binome.estate.model import EtcdService, HaproxyService, PostgresqlService, Service
from binome.render.places import Folders, database_places

_SERVICE = """\
# {server} of {estate}, rendered by Binôme: change the estate, not this file.
[Unit]
Description={about}
Wants=network-online.target
After={after}
StartLimitIntervalSec=0

[Service]
{service}
Restart=always
RestartSec=1s

[Install]
WantedBy=multi-user.target
"""


def units(estate: Estate, server: str, folders: Folders, *, binome: bool) -> Mapping[str, str]:
    """The units of one server: name → text. `binome`: whether it has a part of Binôme to run."""
    found = {}
    for name, options in estate.services.items():
        words = _engine(name, options, folders) if server in options.on else None
        if words is not None:
            found[f"binome-{name}.service"] = _unit(estate, server, f"{name} ({options.kind})", words)
    if binome:
        found["binome.service"] = _unit(
            estate, server, f"Binôme on {server}", _binome(estate, server, folders), list(found)
        )
    return found


def folders_of(estate: Estate, server: str, folders: Folders) -> str:
    """The file of systemd-tmpfiles: the folders of one server, each for who writes there alone."""
    here = {name: options for name, options in estate.services.items() if server in options.on}
    lines = [
        f"# {server} of {estate.estate}, rendered by Binôme: change the estate, not this file.",
        f"d {folders.data} 0755 root root",
        f"d {folders.run} 0755 root root",
        f"d {folders.tls} 0700 root root",
    ]
    for name, options in here.items():
        if isinstance(options, EtcdService):
            lines.append(f"d {folders.data}/etcd 0700 etcd etcd")
        elif isinstance(options, PostgresqlService) and options.patroni.file is None:
            where = database_places(name, options, folders)
            lines += [f"d {where.data} 0700 postgres postgres", f"d {where.sockets} 0755 postgres postgres"]
    return "\n".join(lines) + "\n"


def _unit(estate: Estate, server: str, about: str, service: str, after: list[str] | None = None) -> str:
    order = " ".join(["network-online.target", *(after or ())])
    return _SERVICE.format(server=server, estate=estate.estate, about=about, after=order, service=service)


def _engine(name: str, options: Service, folders: Folders) -> str | None:
    """How an engine is started; None for what is not started by Binôme's files."""
    secrets = f"EnvironmentFile=-{folders.configuration}/secrets.env"
    where = f"{folders.configuration}/{name}"
    if isinstance(options, EtcdService):
        return f"Type=notify\nUser=etcd\nExecStart=/usr/bin/env etcd --config-file {where}.etcd.yml\nLimitNOFILE=65536"
    if isinstance(options, PostgresqlService) and options.patroni.file is None:
        # PostgreSQL's programs are on nobody's path: the newest that are installed. A stop is a demotion, which
        # may take as long as its last checkpoint; Patroni alone is told, and ends PostgreSQL itself.
        newest = "ls -d /usr/lib/postgresql/*/bin | sort -V | tail -n 1"
        start = f'PATH="$$({newest}):$$PATH" exec patroni {where}.patroni.yml'
        return f"User=postgres\n{secrets}\nExecStart=/bin/sh -c '{start}'\nExecReload=/bin/kill -HUP $MAINPID\n"
    if isinstance(options, HaproxyService):
        return (
            f"Type=notify\nExecStartPre=/usr/bin/env haproxy -c -q -f {where}.haproxy.cfg\n"
            f"ExecStart=/usr/bin/env haproxy -Ws -f {where}.haproxy.cfg\nExecReload=/bin/kill -USR2 $MAINPID\n"
            "KillMode=mixed\nLimitNOFILE=65536"
        )
    return None


def _binome(estate: Estate, server: str, folders: Folders) -> str:
    """Its writes are kept to its own folders, and to those beside a database's data, where old data is moved aside."""
    beside = [
        database_places(name, options, folders).data.rpartition("/")[0]
        for name, options in estate.services.items()
        if server in options.on and isinstance(options, PostgresqlService)
    ]
    writes = dict.fromkeys([folders.data, folders.run, *beside, f"-{folders.tls}", f"-{folders.ca}"])
    return f"""\
ExecStart=/usr/bin/env binome run {folders.configuration}/estate.yaml --as {server}
EnvironmentFile=-{folders.configuration}/secrets.env
NoNewPrivileges=yes
ProtectHome=yes
ProtectSystem=strict
ReadWritePaths={" ".join(writes)}
MemoryMax=512M"""
