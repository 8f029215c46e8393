"""What fails together: the graph of fault domains.

Every hoster, region, site, domain, link provider and server is a fault domain. Each *stands in* others: a server in
its site and in its domains, a site in its hoster and its region, a domain in whatever its `in` names. To lose a
domain is to lose all that stands in it, however many steps away: the closure of that relation is all that a loss is.

Names are the file's, which are unique. A region is the one kind that is named by use and not by definition, so its
name may be taken already (a site `paris` in a region `paris`); the region is then called `region:paris`. Two sites
with one region share it whoever their hosters are: a region is geography.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator

from binome.estate import Estate

KINDS = (
    "hoster",
    "account",
    "region",
    "site",
    "building",
    "power",
    "carrier",
    "rack",
    "hypervisor",
    "registrar",
    "provider",
    "server",
)
"""Every kind of fault domain, roughly from the largest to the smallest."""

CONTRACTS = frozenset({"hoster", "account"})
"""Kinds that fail by contract rather than by fire: a bill, a lock-out, a bankruptcy. They have rules of their own."""


class Domains:
    """The fault domains of an estate and what stands in what."""

    def __init__(self, estate: Estate) -> None:
        defined = {*estate.hosters, *estate.sites, *estate.domains, *estate.servers}
        defined.update(name for link in estate.links.values() for name in link.providers)
        self._regions = {
            site.region: f"region:{site.region}" if site.region in defined else site.region
            for site in estate.sites.values()
            if site.region is not None
        }
        self.kinds: dict[str, str] = {}
        self._parents: dict[str, tuple[str, ...]] = {}
        for name, kind, parents in self._nodes(estate):
            self.kinds[name] = kind
            self._parents[name] = (*self._parents.get(name, ()), *parents)
        self.servers = tuple(estate.servers)
        self.above_servers = tuple(name for name, kind in self.kinds.items() if kind != "server")
        self._around: dict[str, frozenset[str]] = {}
        self._closures: dict[tuple[str, ...], frozenset[str]] = {}
        self._inside: dict[str, list[str]] | None = None
        self._last: tuple[tuple[str, ...], frozenset[str]] | None = None

    def _nodes(self, estate: Estate) -> Iterator[tuple[str, str, Iterable[str]]]:
        for name, hoster in estate.hosters.items():
            yield name, "hoster", hoster.in_
        for label in self._regions.values():
            yield label, "region", ()
        for name, site in estate.sites.items():
            region = self._regions.get(site.region or "")
            yield name, "site", (*filter(None, (site.hoster, region)), *site.in_)
        for name, domain in estate.domains.items():
            yield name, domain.kind, domain.in_
        for link in estate.links.values():
            for name, provider in link.providers.items():
                yield name, "provider", provider.in_
        for name, server in estate.servers.items():
            yield name, "server", (*filter(None, (server.site,)), *server.in_)

    def around(self, name: str) -> frozenset[str]:
        """Every domain whose loss takes `name` with it, without `name` itself. Neighbours share one set."""
        known = self._around.get(name)
        if known is None:
            parents = self._parents[name]
            if parents not in self._closures:
                self._closures[parents] = self._closure(parents)
            known = self._around[name] = self._closures[parents]
        return known

    def _closure(self, parents: tuple[str, ...]) -> frozenset[str]:
        found: set[str] = set()
        ahead = list(parents)
        while ahead:
            name = ahead.pop()
            if name not in found:
                found.add(name)
                ahead.extend(self._parents[name])
        return frozenset(found)

    def holds(self, domain: str, name: str) -> bool:
        """Whether the loss of `domain` takes `name` with it."""
        return domain == name or domain in self.around(name)

    def way(self, name: str, domain: str) -> tuple[str, ...]:
        """The shortest way from `name` out to `domain`, both included: `(sbg2-db, sbg-2, strasbourg)`."""
        if domain in self._parents[name]:
            return (name, domain)
        ways: list[tuple[str, ...]] = [(name,)]
        seen = {name}
        for way in ways:
            if way[-1] == domain:
                return way
            ahead = [parent for parent in self._parents[way[-1]] if parent not in seen]
            seen.update(ahead)
            ways.extend((*way, parent) for parent in ahead)
        return (name, domain)

    def inside(self, domain: str) -> list[str]:
        """Every domain and server that is lost with `domain`, itself left out, in the order of the file."""
        if self._inside is None:
            self._inside = {name: [] for name in self.kinds}
            for name in self.kinds:
                for other in self.around(name):
                    if other != name:
                        self._inside[other].append(name)
        return self._inside[domain]

    def lost(self, loss: tuple[str, ...]) -> frozenset[str]:
        """All that is lost with some domains, themselves included; the last answer is kept."""
        if self._last is None or self._last[0] != loss:
            self._last = loss, frozenset(one for name in loss for one in (name, *self.inside(name)))
        return self._last[1]

    def innermost(self, names: Iterable[str]) -> list[str]:
        """Of some domains, those that hold no other of them: the closest reasons for a shared fate."""
        among = set(names)
        outer = {other for name in among for other in self.around(name) if name not in self.around(other)}
        return sorted(among - outer, key=self.size)

    def size(self, name: str) -> tuple[int, str]:
        """A sorting key, from the largest kind to the smallest."""
        return KINDS.index(self.kinds[name]), name

    def title(self, name: str) -> str:
        """The domain with its kind, as a sentence names it: `building sbg-2`."""
        return f"{self.kinds[name]} {name.removeprefix('region:')}"

    def is_server(self, name: str) -> bool:
        """Whether it is a server, and no domain of several."""
        return self.kinds[name] == "server"

    def site(self, server: str, estate: Estate) -> str:
        """The site that a server counts for: its own, else the first that it stands in, else the server itself."""
        own = estate.servers[server].site
        return own or min((name for name in self.around(server) if self.kinds[name] == "site"), default=server)
