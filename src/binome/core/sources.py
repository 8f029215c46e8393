"""Sources: what a backup copies, and from where, as one server sees it.

A backup copies *data*, each of which lives in a service. A database is copied over its own protocol, from a member of
the service: from this server where it is one, so that the copy crosses no network. Repositories and files are copied
where they lie, so only a member can. A physical copy is of a whole database server: data that live in one are copied
once, under the name of the first.

What cannot be is refused with a sentence: a method that does not fit the service, paths that are missing.
"""

from __future__ import annotations

from typing import NamedTuple

from binome.estate import Estate
from binome.estate.model import Data

PORT = 5432
OF_DATABASES = frozenset({"dump", "basebackup"})


class SourceError(Exception):
    """The backup cannot be taken by this server, as the estate is; the message says what to change."""


class Source(NamedTuple):
    """Something to copy. `name` is that of its data, `data` all that are in it.

    Of a database: `host` is an address or the folder of a socket, `password` the place of a secret or empty. Of files:
    `paths` are absolute.
    """

    name: str
    data: tuple[str, ...]
    host: str = ""
    port: int = PORT
    database: str = ""
    user: str = ""
    password: str = ""
    paths: tuple[str, ...] = ()


def sources(estate: Estate, backup: str, server: str) -> tuple[Source, ...]:
    """What a backup copies, as `server` would. Raises SourceError."""
    one = estate.backups[backup]
    found: dict[str, Source] = {}
    for name in one.of:
        data = estate.data[name]
        source = _database(estate, name, server) if one.method in OF_DATABASES else _files(estate, name, server)
        if one.method == "basebackup":
            first = found.setdefault(data.in_, source)
            found[data.in_] = first._replace(data=(*dict.fromkeys((*first.data, name)),))
        else:
            found[name] = source
    return tuple(found.values())


def _database(estate: Estate, name: str, server: str) -> Source:
    data = estate.data[name]
    service = estate.services[data.in_]
    if service.kind != "postgresql":
        raise SourceError(
            f"data.{name} lives in {data.in_}, of kind {service.kind}, and dump and basebackup copy postgresql.  "
            "Choose the method files or git."
        )
    member = server if server in service.on else service.on[0]
    return Source(
        name,
        (name,),
        host=_host(estate, data, member, server),
        database=data.database or name,
        user=data.user or "",
        password=data.password or "",
    )


def _host(estate: Estate, data: Data, member: str, server: str) -> str:
    if data.socket is not None and member == server:
        return data.socket
    address = estate.servers[member].address
    if address is None:
        raise SourceError(f"{member} has no address.  Add address: to servers.{member}.")
    return address


def _files(estate: Estate, name: str, server: str) -> Source:
    data = estate.data[name]
    members = estate.services[data.in_].on
    if not data.paths:
        raise SourceError(f"nothing says where data.{name} lies.  Add paths: to data.{name}.")
    if server not in members:
        raise SourceError(f"data.{name} lies on {', '.join(members)}, and {server} cannot read it.  Take it there.")
    return Source(name, (name,), paths=data.paths)
