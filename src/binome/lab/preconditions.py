"""What must be so before a lab can be built: rights, engines, free names and ports."""

from __future__ import annotations

import os
from pathlib import Path

from binome.estate import Estate
from binome.estate.model import EtcdService
from binome.lab import cgroup, engines, network
from binome.lab.errors import LabError
from binome.lab.network import Network
from binome.render import RenderError, render


def check_possible(estate: Estate, folder: Path) -> Network:
    """Raises LabError, before anything was made, where the lab cannot be built."""
    check_privileges()
    engines.check_installed(estate)
    for name, service in estate.services.items():
        if isinstance(service, EtcdService) and (service.tls or service.user):
            raise LabError(
                f"the lab speaks to etcd in the clear, and {name} has tls or a user.  Leave them out for it."
            )
    for server in estate.servers:
        try:
            render(estate, server)
        except RenderError as error:
            raise LabError(str(error)) from None
    for server in estate.servers:
        # HAProxy binds a temporary name beside its own; the kernel takes 107 bytes.
        if len(f"{folder}/servers/{server}/run/binome/haproxy.sock.1234567.tmp") > 107:
            raise LabError(f"the name {server} is too long for the sockets of a lab.  Shorten it.")
    if (folder / "state.json").exists():
        raise LabError(f"a lab is up already, in {folder}.  Take it down first: binome lab down")
    net = Network.of(estate)
    taken = [*network.existing(net.names()), *(str(path) for path in (cgroup.root(), folder) if path.exists())]
    if taken:
        raise LabError(f"{taken[0]} is there already, and not from a lab in {folder}.  Remove it first.")
    return net


def check_privileges() -> None:
    """Raises LabError without root's rights."""
    if os.geteuid() != 0:
        raise LabError("the lab builds network namespaces, which needs root.  Run it as root, for example with sudo.")
