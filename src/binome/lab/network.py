"""Data centres as bridges, servers as network namespaces.

All bridges stand in one namespace of their own, the fabric, so that nothing is added to the machine's own network and
nothing of it can be reached. Every server's namespace has one interface, on its site's bridge; every site's bridge
has one uplink, to the core. To cut a site off is to disable its uplink's port on the core: frames are dropped in
silence, as when a router has no power. Neighbours are entered by hand, because a lost neighbour entry would turn
that silence into "no route to host" after three seconds.

    fabric:   binome-core ── down1 ═ up1 ── binome-site1 ── port1 ═ eth0  (namespace binome-gra-edge)
                          ── client ═ eth0  (namespace binome-client)
                          ── outside1 ═ eth0  (namespace binome-outside1: a provider of messages)
"""

from __future__ import annotations

import ctypes
import os
import socket
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from binome.estate import Estate
from binome.lab import frames
from binome.lab.errors import LabError
from binome.lab.frames import Loss, Port
from binome.lab.providers import places
from binome.lab.shell import run

_PREFIX = "binome-"
FABRIC = "binome-fabric"
"""The namespace with all bridges."""
_NAMESPACES = Path("/run/netns")
_CLONE_NEWNET = 0x40000000
_libc = ctypes.CDLL(None, use_errno=True)

CLIENT = "client"
CLIENT_ADDRESSES = ("198.18.0.1", "2001:2::1")  # the ranges for measuring network devices: RFC 2544, RFC 5180


@dataclass(frozen=True, slots=True)
class Network:
    """The networks of a lab: which servers stand in which site, and under which addresses."""

    sites: tuple[str, ...]
    servers: dict[str, tuple[str, str]]  # name → (site, address)
    outside: dict[str, tuple[str, ...]]  # who stands outside of every site, on the core → addresses

    @classmethod
    def of(cls, estate: Estate) -> Network:
        """The network of an estate. Raises LabError for a server without a site or an address."""
        servers = {}
        beyond = {CLIENT: CLIENT_ADDRESSES, **{place: found[1:] for place, found in places(estate).items()}}
        kept = {FABRIC, *map(namespace, beyond), *(one for addresses in beyond.values() for one in addresses)}
        for name, server in estate.servers.items():
            if server.address is None or server.site is None:
                lacking = "address" if server.address is None else "site"
                raise LabError(f"{name} has no {lacking}, and the lab needs one.  Add {lacking}: to servers.{name}.")
            if not kept.isdisjoint((namespace(name), server.address)):
                raise LabError(f"{name}, {server.address}: the lab keeps that for itself.  Choose another.")
            servers[name] = (server.site, server.address)
        families = {":" in address for _, address in servers.values()}
        outside = {
            name: tuple(one for one in addresses if (":" in one) in families) for name, addresses in beyond.items()
        }
        return cls(tuple(estate.sites), servers, outside)

    def names(self) -> list[str]:
        """The namespaces that the lab makes."""
        return [FABRIC, *(namespace(name) for name in (*self.servers, *self.outside))]

    def create(self) -> None:
        """Makes namespaces, bridges and cables, and joins the sites."""
        run("ip", "-batch", "-", text="".join(f"netns add {name}\n" for name in self.names()))
        fabric = ["link add binome-core type bridge", "link set binome-core up"]
        for number in range(1, len(self.sites) + 1):
            fabric += [
                f"link add binome-site{number} type bridge",
                f"link add down{number} type veth peer name up{number}",
                f"link set down{number} master binome-core up",
                f"link set up{number} master binome-site{number} up",
                f"link set binome-site{number} up",
            ]
        for number, (server, (site, _)) in enumerate(self.servers.items(), 1):
            bridge = f"binome-site{self.sites.index(site) + 1}"
            fabric += _cable(f"port{number}", bridge, namespace(server), number)
        numbers = {name: number for number, name in enumerate((CLIENT, *self.servers, *self.outside))}
        for name in self.outside:
            fabric += _cable(name, "binome-core", namespace(name), numbers[name])
        run("ip", "-n", FABRIC, "-batch", "-", text="\n".join(fabric) + "\n")
        hosts = {server: [address] for server, (_, address) in self.servers.items()}
        hosts |= {name: list(addresses) for name, addresses in self.outside.items()}
        macs = {name: _mac(number) for name, number in numbers.items()}
        for server, addresses in hosts.items():
            self._address(server, addresses, hosts, macs)

    def _address(self, server: str, addresses: list[str], hosts: dict[str, list[str]], macs: dict[str, str]) -> None:
        lines = ["link set lo up", "link set eth0 up"]
        for address in addresses:
            lines.append(f"addr add {address} dev eth0" + (" nodad" if ":" in address else ""))
            lines.append(f"route replace {'::/0' if ':' in address else '0.0.0.0/0'} dev eth0")
        lines += [
            f"neigh replace {address} lladdr {macs[other]} dev eth0 nud permanent"
            for other, others in hosts.items()
            if other != server
            for address in others
        ]
        run("ip", "-n", namespace(server), "-batch", "-", text="\n".join(lines) + "\n")

    def cut(self, site: str) -> None:
        """Takes a site off the network: what is sent to it or by it vanishes."""
        self._uplink(site, "disabled")

    def join(self, site: str) -> None:
        """Puts a site back on the network."""
        self._uplink(site, "forwarding")

    def silence(self, name: str) -> None:
        """Takes one who stands outside off the network."""
        self._set(name, "disabled")

    def restore(self, name: str) -> None:
        """Puts one who stands outside back on the network."""
        self._set(name, "forwarding")

    def unplug(self, server: str) -> None:
        """Takes one server off its site's network: what is sent to it or by it vanishes."""
        self._set(self._port(server), "disabled")

    def plug(self, server: str) -> None:
        """Puts a server back on its site's network."""
        self._set(self._port(server), "forwarding")

    def lose(self, losses: Sequence[Loss]) -> None:
        """Makes these the only frames that are lost on the way between two servers that are joined."""
        ports = {server: Port(f"port{number}", number) for number, server in enumerate(self.servers, 1)}
        frames.lose(FABRIC, {**ports, CLIENT: Port("client", 0)}, losses)

    def _port(self, server: str) -> str:
        return f"port{list(self.servers).index(server) + 1}"

    def _uplink(self, site: str, state: str) -> None:
        self._set(f"down{self.sites.index(site) + 1}", state)

    def _set(self, port: str, state: str) -> None:
        number = {"disabled": "0", "forwarding": "3"}[state]
        run("bridge", "-n", FABRIC, "link", "set", "dev", port, "state", number)


def namespace(server: str) -> str:
    """The name of a server's network namespace."""
    return _PREFIX + server


def existing(names: list[str]) -> list[str]:
    """Those of the names that a network namespace of this machine has already."""
    return [name for name in names if (_NAMESPACES / name).exists()]


def mounted() -> bool:
    """Whether network namespaces have their mount on this machine; the first `ip netns add` makes it."""
    mounts = Path("/proc/self/mounts").read_text().splitlines()
    return any(line.split(" ")[1] == str(_NAMESPACES) for line in mounts)


def destroy(names: list[str], *, unmount: bool) -> None:
    """Removes the namespaces, with everything in them. Those that are not there are passed over.

    With `unmount` the mount below them goes too, unless somebody else has put a namespace there since.
    """
    for name in existing(names):
        run("ip", "netns", "delete", name)
    if unmount and mounted() and not any(_NAMESPACES.iterdir()):
        run("umount", str(_NAMESPACES))
        _NAMESPACES.rmdir()


def ours() -> list[str]:
    """The namespaces of this machine that have a lab's prefix."""
    return [path.name for path in _NAMESPACES.glob(f"{_PREFIX}*")] if _NAMESPACES.exists() else []


def namespace_path(server: str) -> Path:
    """The file by which programs enter a server's namespace."""
    return _NAMESPACES / namespace(server)


@contextmanager
def _entered(server: str) -> Iterator[None]:
    """This thread, and no other, is in the server's namespace."""
    own = os.open("/proc/thread-self/ns/net", os.O_RDONLY)
    try:
        there = os.open(namespace_path(server), os.O_RDONLY)
        try:
            _set_namespace(there)
        finally:
            os.close(there)
        try:
            yield
        finally:
            _set_namespace(own)
    finally:
        os.close(own)


def _set_namespace(descriptor: int) -> None:
    # os.setns came with Python 3.12.
    if _libc.setns(descriptor, _CLONE_NEWNET) != 0:
        code = ctypes.get_errno()
        raise OSError(code, os.strerror(code))


def socket_in(server: str, address: str) -> socket.socket:
    """A TCP socket that lives in a server's namespace, whoever uses it; not connected yet."""
    with _entered(server):
        return socket.socket(socket.AF_INET6 if ":" in address else socket.AF_INET)


def _mac(number: int) -> str:
    return f"02:b1:00:00:{number >> 8:02x}:{number & 255:02x}"


def _cable(port: str, bridge: str, peer: str, number: int) -> list[str]:
    return [
        f"link add {port} type veth peer name eth0 netns {peer} address {_mac(number)}",
        f"link set {port} master {bridge} up",
    ]
