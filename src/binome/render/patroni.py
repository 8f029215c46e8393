"""patroni.yml: one member of a database, PostgreSQL under Patroni.

The times are the quickest that Patroni 4 allows; ENGINES.md has what was measured with them. Clients must prove
themselves with a password and may come from the estate's own servers alone; on the server itself the postgres user
enters by the socket, without one.
"""

from __future__ import annotations

from typing import Any

from binome.estate import Estate
from binome.estate.model import EtcdService, PostgresqlService
from binome.render.places import (
    PATRONI_PORT,
    POSTGRESQL_PORT,
    Folders,
    RenderError,
    address_of,
    database_places,
    endpoint,
    etcd_endpoints,
)


def configuration(
    estate: Estate, service: str, server: str, folders: Folders, options: PostgresqlService
) -> dict[str, Any]:
    """The file of one member."""
    own = address_of(estate, server)
    members = [address_of(estate, member) for member in options.on]
    places = database_places(service, options, folders)
    return {
        "scope": options.patroni.scope or service,
        "name": server,
        "restapi": {
            "listen": endpoint(own, PATRONI_PORT),
            "connect_address": endpoint(own, PATRONI_PORT),
            "allowlist": members,
        },
        # The local etcd first, and no other unless it fails: asking a dead site's costs a second at random.
        "etcd3": _agreement(estate, service, server, options),
        "bootstrap": {
            "dcs": agreed_settings(options),
            "initdb": ["data-checksums", {"encoding": "UTF8"}, {"locale": "C.UTF-8"}],
        },
        "postgresql": {
            "listen": f"{own},127.0.0.1:{POSTGRESQL_PORT}",
            "connect_address": endpoint(own, POSTGRESQL_PORT),
            "data_dir": places.data,
            "pgpass": f"{places.sockets}/pgpass",
            "use_unix_socket": True,
            "authentication": {
                "superuser": {"username": "postgres"},
                "replication": {"username": "replicator"},
                "rewind": {"username": "rewinder"},
            },
            # A standby is copied at once; the checkpoint that the copy begins with is else spread over minutes.
            "basebackup": [{"checkpoint": "fast"}],
            "parameters": {"unix_socket_directories": places.sockets},
            "pg_hba": _who_may_enter(estate, members),
        },
        "tags": {"nofailover": options.takeover == "manual" and server != options.on[0]},
    }


def _agreement(estate: Estate, service: str, server: str, options: PostgresqlService) -> dict[str, Any]:
    """The etcd endpoints of a database, the nearest first, and how it proves itself there."""
    needed = {name: estate.services.get(name) for name in options.needs}
    etcds = {name: one for name, one in needed.items() if isinstance(one, EtcdService)}
    if not etcds:
        raise RenderError(
            f"{service} needs no service of kind etcd, and Patroni cannot work without agreement.  "
            f"Add one, and name it under services.{service}.needs."
        )
    first, *others = etcds.values()
    if any((one.tls, one.user, one.password) != (first.tls, first.user, first.password) for one in others):
        raise RenderError(
            f"{service} needs {' and '.join(etcds)}, which differ in tls, user or password, and Patroni has these "
            "once.  Make them equal, or let it need one."
        )
    hosts = [endpoint for name in etcds for endpoint in etcd_endpoints(estate, name, server)]
    settings: dict[str, Any] = {"hosts": hosts, "use_proxies": True}
    if first.tls is not None:
        tls = first.tls
        settings |= {"protocol": "https", "cacert": tls.ca, "cert": tls.cert, "key": tls.key}
    return settings | ({"username": first.user} if first.user else {})


def agreed_settings(options: PostgresqlService) -> dict[str, Any]:
    """What the members keep in etcd: written once, when the first of them founds the database."""
    return {
        "ttl": 20,
        "loop_wait": 1,
        "retry_timeout": 3,
        "synchronous_mode": options.replication == "synchronous",
        "failsafe_mode": False,
        "primary_start_timeout": 0,
        "primary_stop_timeout": 5,
        "maximum_lag_on_failover": 1_048_576,
        "postgresql": {
            "use_pg_rewind": True,
            "use_slots": True,
            "parameters": {
                "wal_log_hints": "on",
                "wal_sender_timeout": "3s",
                "wal_receiver_timeout": "3s",
                "wal_retrieve_retry_interval": "500ms",
                "tcp_user_timeout": 3000,
                "tcp_keepalives_idle": 2,
                "tcp_keepalives_interval": 1,
                "tcp_keepalives_count": 2,
                "max_connections": 200,
            },
        },
    }


def _who_may_enter(estate: Estate, members: list[str]) -> list[str]:
    everyone = [server.address for server in estate.servers.values() if server.address]
    return [
        "local all postgres peer",
        "host replication replicator 127.0.0.0/8 scram-sha-256",
        *(f"host replication replicator {_alone(address)} scram-sha-256" for address in members),
        "host all all 127.0.0.0/8 scram-sha-256",
        *(f"host all all {_alone(address)} scram-sha-256" for address in everyone),
    ]


def _alone(address: str) -> str:
    return f"{address}/128" if ":" in address else f"{address}/32"
