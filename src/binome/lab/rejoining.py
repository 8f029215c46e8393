"""How a member of etcd whose data is gone enters again: to the others it is another one, with the same name."""

from __future__ import annotations

from typing import TYPE_CHECKING

from binome.lab.errors import LabError
from binome.render.places import ETCD_PEER_PORT, endpoint

if TYPE_CHECKING:
    from binome.lab.lab import Lab


def replace_etcd_member(lab: Lab, service: str, server: str, address: str) -> None:
    """Tells those that live that a member lost its data. Raises LabError where too few of them do."""
    living = [other for other, one in lab.looks()[service].items() if one.state == "up"]
    total = len(lab.estate.services[service].on)
    if len(living) <= total // 2:
        raise LabError(
            f"{service} has lost its quorum: {len(living)} of {total} members work, and {server} can enter only "
            f"by the word of more than half.  Rebuild another site first, or begin anew: binome lab down"
        )
    helper = living[0]
    members = lab.ask_etcd(helper, "/v3/cluster/member/list", {})["members"]
    peer = f"http://{endpoint(address, ETCD_PEER_PORT)}"
    for member in members:
        if member.get("name") == server or peer in member.get("peerURLs", []):
            lab.ask_etcd(helper, "/v3/cluster/member/remove", {"ID": member["ID"]})
    lab.ask_etcd(helper, "/v3/cluster/member/add", {"peerURLs": [peer]})
