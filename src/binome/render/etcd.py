"""etcd.yml: one member of the agreement.

The short heartbeat and election (ENGINES.md: measured) make a lost leader cost half a second instead of one to two.
"""

from __future__ import annotations

from typing import Any

from binome.estate import Estate
from binome.estate.model import EtcdService, EtcdTls
from binome.render.places import ETCD_CLIENT_PORT, ETCD_PEER_PORT, Folders, address_of, endpoint, etcd_url


def configuration(
    estate: Estate, service: str, server: str, folders: Folders, options: EtcdService, *, rejoin: bool
) -> dict[str, Any]:
    """The file of one member. With `rejoin` it enters a cluster that runs, instead of founding one."""

    def url(address: str, port: int) -> str:
        return etcd_url(options, endpoint(address, port))

    own = address_of(estate, server)
    peers = {member: url(address_of(estate, member), ETCD_PEER_PORT) for member in options.on}
    settings: dict[str, Any] = {
        "name": server,
        "data-dir": f"{folders.data}/etcd",
        "listen-peer-urls": url(own, ETCD_PEER_PORT),
        "listen-client-urls": f"{url(own, ETCD_CLIENT_PORT)},{url('127.0.0.1', ETCD_CLIENT_PORT)}",
        "initial-advertise-peer-urls": url(own, ETCD_PEER_PORT),
        "advertise-client-urls": url(own, ETCD_CLIENT_PORT),
        "initial-cluster": ",".join(f"{member}={peer}" for member, peer in peers.items()),
        "initial-cluster-token": f"{estate.estate}-{service}",
        "initial-cluster-state": "existing" if rejoin else "new",
        "heartbeat-interval": 50,
        "election-timeout": 500,
        "pre-vote": True,  # on by default since 3.5: two that stand at once split the votes less often
        "enable-grpc-gateway": True,  # on by default, but not where etcd 3.4 reads a file; Patroni needs it
        "auto-compaction-mode": "periodic",
        "auto-compaction-retention": "1h",
    }
    if options.tls is not None:
        settings |= {"client-transport-security": _tls(options.tls), "peer-transport-security": _tls(options.tls)}
    return settings


def _tls(tls: EtcdTls) -> dict[str, Any]:
    """Both sides show a certificate of the CA."""
    return {"cert-file": tls.cert, "key-file": tls.key, "trusted-ca-file": tls.ca, "client-cert-auth": True}
