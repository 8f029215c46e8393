"""Whom probes may reach, and by which address.

A target that redirects to 169.254.169.254, or a name whose answer is 127.0.0.1, would make a lookout ask its own server
or its hoster for what only the server itself may know. So an address of this server, of its links, of its hoster's
metadata, or of nobody in particular is reached only where the estate names it. What a name resolved to is handed on as
an address and never resolved again: a second answer could be another one.

Names are asked of the servers of /etc/resolv.conf by our own client, which no thread waits for: a resolver that is
silent delays nobody else. /etc/hosts goes first, as everywhere on the server.
"""

from __future__ import annotations

import ipaddress
from functools import lru_cache
from pathlib import Path

import dns.asyncresolver
import dns.exception
import dns.resolver

from binome.drivers.probe.shared.findings import NotAskedError, WrongError

_METADATA = tuple(
    ipaddress.ip_network(one)
    for one in ("169.254.169.254", "100.100.100.200", "192.0.0.192", "168.63.129.16", "fd00:ec2::254", "fd20:ce::254")
)
_WRAPPED = (ipaddress.ip_network("64:ff9b::/96"), ipaddress.ip_network("::/96"))
_HOSTS = Path("/etc/hosts")

_Address = ipaddress.IPv4Address | ipaddress.IPv6Address


class Reach:
    """Decides for one estate. `named` are the addresses that it names."""

    def __init__(self, named: frozenset[str]) -> None:
        self._named = named
        self._good: dict[str, str] = {}

    def checked(self, address: str) -> str:
        """The address, if it may be reached. Raises WrongError where it may not, or is none."""
        if address in self._good:
            return self._good[address]
        try:
            parsed = _plain(ipaddress.ip_address(address))
        except ValueError:
            raise WrongError(f"{address} is no address") from None
        refused = None if str(parsed) in self._named else _special(parsed)
        if refused:
            raise WrongError(f"it leads to {parsed}, {refused}, which the estate does not name")
        if len(self._good) < 100_000:
            self._good[address] = str(parsed)
        return str(parsed)

    async def address_of(self, host: str) -> str:
        """The address to reach a host by: itself, or the first of its answers that may be reached.

        Raises WrongError where there is none, NotAskedError where no resolver answers.
        """
        if host in self._good:
            return self._good[host] if _is_address(host) else await self._resolved(host)
        return self.checked(host) if _is_address(host) else await self._resolved(host)

    async def _resolved(self, host: str) -> str:
        refused = WrongError(f"{host} has no address")
        for address in _of_hosts(host.rstrip(".")) or await _asked(host):
            try:
                return self.checked(address)
            except WrongError as error:
                refused = error
        raise refused


def _is_address(text: str) -> bool:
    return ":" in text or text.rpartition(".")[2].isdigit()


def _plain(address: _Address) -> _Address:
    """An address of version 4 that is dressed as one of version 6 is judged as what it is."""
    if isinstance(address, ipaddress.IPv6Address):
        wrapped = address.ipv4_mapped or address.sixtofour or (address.teredo or (None, None))[1]
        if wrapped is None and address not in (ipaddress.IPv6Address("::"), ipaddress.IPv6Address("::1")):
            inside = any(address in network for network in _WRAPPED)
            wrapped = ipaddress.IPv4Address(int(address) & 0xFFFFFFFF) if inside else None
        if wrapped is not None and (address.ipv4_mapped or _special(wrapped)):
            return wrapped
    return address


@lru_cache(maxsize=4096)
def _special(address: _Address) -> str | None:
    """Why an address is reached only where the estate names it; None for one that anybody may be at."""
    if address.is_loopback or address.is_unspecified or (address.version == 4 and int(address) >> 24 == 0):
        return "this server itself"
    if any(address in network for network in _METADATA if network.version == address.version):
        return "a hoster's metadata"
    if address.is_link_local:
        return "a link-local address"
    if address.is_multicast or int(address) == 0xFFFFFFFF:
        return "an address of many"
    return None


def _of_hosts(host: str) -> list[str]:
    """The addresses that /etc/hosts gives a name."""
    if host == "localhost" or host.endswith(".localhost"):
        return ["127.0.0.1"]
    try:
        modified_ns = _HOSTS.stat().st_mtime_ns
    except OSError:
        return []
    return _hosts(modified_ns).get(host, [])


@lru_cache(maxsize=1)
def _hosts(_modified_ns: int) -> dict[str, list[str]]:
    found: dict[str, list[str]] = {}
    for line in _HOSTS.read_text("utf-8", "replace").splitlines():
        address, *names = line.partition("#")[0].split() or [""]
        for name in names:
            found.setdefault(name.lower(), []).append(address)
    return found


async def _asked(host: str) -> list[str]:
    """The addresses that this server's resolvers give a name."""
    try:
        resolver = _resolver()
        for kind in ("A", "AAAA"):
            try:
                return [record.to_text() for record in await resolver.resolve(host, kind, search=False)]
            except dns.resolver.NoAnswer:
                continue
    except dns.resolver.NXDOMAIN:
        raise WrongError(f"there is no name {host}") from None
    except dns.exception.DNSException as error:
        raise NotAskedError(f"no resolver gave an address of {host}: {type(error).__name__}") from None
    return []


@lru_cache(maxsize=1)
def _resolver() -> dns.asyncresolver.Resolver:
    return dns.asyncresolver.Resolver()
