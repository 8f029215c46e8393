"""etcd.yml: one member of the agreement.

The short heartbeat and election (ENGINES.md: measured) make a lost leader cost half a second instead of one to two.
"""

from __future__ import annotations

from typing import Any

from binome.estate import Estate
from binome.render.places import ETCD_CLIENT_PORT, ETCD_PEER_PORT, Folders, address_of, endpoint


def configuration(estate: Estate, service: str, server: str, folders: Folders, *, rejoin: bool) -> dict[str, Any]:
    """The file of one member. With `rejoin` it enters a cluster that runs, instead of founding one."""
    own = address_of(estate, server)
    peers = {member: address_of(estate, member) for member in estate.services[service].on}
    return {
        "name": server,
        "data-dir": f"{folders.data}/etcd",
        "listen-peer-urls": f"http://{endpoint(own, ETCD_PEER_PORT)}",
        "listen-client-urls": f"http://{endpoint(own, ETCD_CLIENT_PORT)},http://127.0.0.1:{ETCD_CLIENT_PORT}",
        "initial-advertise-peer-urls": f"http://{endpoint(own, ETCD_PEER_PORT)}",
        "advertise-client-urls": f"http://{endpoint(own, ETCD_CLIENT_PORT)}",
        "initial-cluster": ",".join(
            f"{member}=http://{endpoint(address, ETCD_PEER_PORT)}" for member, address in peers.items()
        ),
        "initial-cluster-token": f"{estate.estate}-{service}",
        "initial-cluster-state": "existing" if rejoin else "new",
        "heartbeat-interval": 50,
        "election-timeout": 500,
        "enable-grpc-gateway": True,  # on by default, but not where etcd 3.4 reads a file; Patroni needs it
        "auto-compaction-mode": "periodic",
        "auto-compaction-retention": "1h",
    }
