"""Where engines listen and keep their files; what cannot be rendered."""

from __future__ import annotations

from dataclasses import dataclass

from binome.estate import Estate
from binome.estate.model import EtcdService, PostgresqlService

ETCD_CLIENT_PORT = 2379
ETCD_PEER_PORT = 2380
POSTGRESQL_PORT = 5432
PATRONI_PORT = 8008
HAPROXY_PORT = 8404
"""HAProxy's statistics."""
HEARTBEAT_PORT = 8710
"""Where lookouts hear that jobs ran."""
METRICS_PORT = 8711
"""Where each lookout gives its metrics, to the servers of the estate alone."""
PEER_PORT = 7117
ACK_PORT = 8712
"""Where lookouts show the pages behind acknowledgement links."""


class RenderError(Exception):
    """The estate is valid, but this server's engines cannot be configured from it; the message says what to do."""


@dataclass(frozen=True, slots=True)
class Folders:
    """The folders of one server, below a root: empty for a real server, a folder of its own for each in a lab."""

    root: str = ""

    @property
    def configuration(self) -> str:
        return f"{self.root}/etc/binome"

    @property
    def tls(self) -> str:
        """This server's identity: its CAs, its certificate with its key, what was revoked."""
        return f"{self.configuration}/tls"

    @property
    def ca(self) -> str:
        """The CA, on the one lookout that renews certificates."""
        return f"{self.configuration}/ca"

    @property
    def data(self) -> str:
        return f"{self.root}/var/lib/binome"

    @property
    def run(self) -> str:
        return f"{self.root}/run/binome"


@dataclass(frozen=True, slots=True)
class DatabasePlaces:
    """Where a member of a database has Patroni's file, PostgreSQL's data, and its socket (with Patroni's passwords)."""

    file: str
    data: str
    sockets: str


def database_places(service: str, options: PostgresqlService, folders: Folders) -> DatabasePlaces:
    """The places of every member of a database: what the estate says, else our own."""
    own = options.patroni
    return DatabasePlaces(
        f"{folders.root}{own.file}" if own.file else f"{folders.configuration}/{service}.patroni.yml",
        f"{folders.root}{own.data}" if own.data else f"{folders.data}/postgresql",
        f"{folders.root}{own.sockets}" if own.sockets else f"{folders.run}/postgresql",
    )


def address_of(estate: Estate, server: str) -> str:
    """The address of a server. Raises RenderError where the estate does not give one."""
    address = estate.servers[server].address
    if address is None:
        raise RenderError(f"{server} has no address, and its engines need one.  Add address: to servers.{server}.")
    return address


def endpoint(address: str, port: int) -> str:
    """`address:port`, with the brackets that an IPv6 address needs."""
    return f"[{address}]:{port}" if ":" in address else f"{address}:{port}"


def etcd_url(options: EtcdService, endpoint: str) -> str:
    """The URL of an etcd endpoint: of TLS where the service has certificates."""
    return f"{'https' if options.tls else 'http'}://{endpoint}"


def etcd_endpoints(estate: Estate, service: str, server: str) -> list[str]:
    """The endpoints of an etcd service as a server should try them: on itself, in its site, elsewhere.

    Elsewhere, those last that stand in a site with a member of a database: when the own member does not answer it is
    because one of these sites burns, and a Patroni that asks there waits for a second before it may promote.
    """
    where = {name: one.site for name, one in estate.servers.items()}
    databases = (one for one in estate.services.values() if isinstance(one, PostgresqlService))
    burning = {where[member] for one in databases for member in one.on}
    members = sorted(
        estate.services[service].on,
        key=lambda member: (member != server, where[member] != where[server], where[member] in burning),
    )
    return [
        endpoint("127.0.0.1" if member == server else address_of(estate, member), ETCD_CLIENT_PORT)
        for member in members
    ]
