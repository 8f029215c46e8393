"""What a night takes place in, drawn from its seed: sites, lookouts, servers, and the estate file that says so.

The seed's first word says what kind of night it is:

    7                plain: the journal, plans, agents, people
    looking/7        lookouts look, too, at servers and services that fail; no people
    takeover/7       and a database stands on two of the sites, with Patroni's keys in etcd
    asked/7          the same, and people have a say: takeovers are confirmed, only shown, or left to them; and they ask
"""

from __future__ import annotations

from random import Random
from typing import Protocol

from binome.core.target import targets
from binome.estate import Estate, load
from binome.sim.fault import Targets

PLAIN, LOOKING, TAKEOVER, ASKED = "plain", "looking", "takeover", "asked"
NIGHTS = (PLAIN, LOOKING, TAKEOVER, ASKED)

FEED = "feed"
"""The power feed that two sites share in some nights."""

_PLAIN = """
estate: sim
hosters: {one: {}, two: {}}
sites: {SITES}
servers: {SERVERS}
"""
_LOOKING = """
domains: {feed: {kind: power}}
lookout: {on: [LOOKOUTS], every: 1s, timeout: 800ms, fall: 3, rise: 2}
services:
  web: {kind: http, on: [server-a1, server-b1], port: 8080, health: /health}
  db: {kind: postgresql, on: [server-a0, server-b0], replication: synchronous, takeover: MODE,
       act_after: ACT_AFTER, cooldown: 10m}
"""


class Place(Protocol):
    """What a world needs to know of what it takes place in; `Shape` draws one, a scene that somebody wrote has another.

    Every site has a member of etcd. `nodes` are the lookouts, `servers` those that have agents, `members` the two of
    the database `db`, where there is one; `groups` the lookouts by what could blind them together. Whoever stands in
    the first site stands back from leading.
    """

    night: str
    sites: list[str]
    nodes: list[str]
    servers: list[str]
    members: list[str]

    def site_of(self, name: str) -> str:
        """Where a server stands."""
        ...

    def groups(self) -> dict[str, list[str]]:
        """The lookouts by what could blind them together."""
        ...

    def estate(self) -> Estate:
        """The estate of it."""
        ...


class Shape:
    """Three or five sites, two servers on each of two of them; in nights of looking also lookouts that share a fate."""

    def __init__(self, seed: str) -> None:
        kind = seed.split("/", maxsplit=1)[0]
        self.night = kind if kind in NIGHTS else PLAIN
        chance = Random(f"{seed}/shape")
        self.sites = ["a", "b", "c", "d", "e"][: 5 if chance.random() < 0.2 else 3]
        self.nodes = [f"lookout-{site}" for site in self.sites]
        self.servers = [f"server-{site}{number}" for site in self.sites[:2] for number in range(2)]
        self.members = ["server-a0", "server-b0"] if self.night in (TAKEOVER, ASKED) else []  # of the database
        self.act_after, self.takeover, self.has_maintenance = "2s", "automatic", False
        self.fed: list[str] = []  # lookouts on one power feed
        self._drawn(chance)
        looked_at = [target.name for target in targets(self.estate())]
        self.targets = Targets(
            self.sites,
            self.nodes,
            self.servers,
            looked_at=[name for name in looked_at if "lookout" not in name],
            vantages=self.nodes if looked_at else [],
            together=["+".join(group) for group in self.groups().values() if len(group) > 1],
            pair=["db"] if self.members else [],
            goes_by_clocks=self.has_maintenance,
        )

    def _drawn(self, chance: Random) -> None:
        """What only nights of looking have: a second lookout on a site, or two sites that hang on one feed."""
        if self.night == PLAIN:
            return
        if len(self.sites) == 5:
            self.fed = self.nodes[1:3]
        elif chance.random() < 0.4:
            self.nodes.append("lookout-a2")
        self.act_after = chance.choice(["350ms", "2s"])
        if self.night == ASKED:
            self.act_after = chance.choice(["350ms", "2s", "8s"])
            self.takeover = chance.choice(["automatic", "confirm", "confirm", "shadow", "manual"])
            self.has_maintenance = chance.random() < 0.4

    def site_of(self, name: str) -> str:
        """Where a server stands."""
        return name.partition("-")[2][0]

    def groups(self) -> dict[str, list[str]]:
        """The lookouts by what could blind them together: told here by hand, since checkers go by it."""
        found: dict[str, list[str]] = {}
        for name in self.nodes if self.night != PLAIN else []:
            found.setdefault(FEED if name in self.fed else self.site_of(name), []).append(name)
        return found

    def estate(self) -> Estate:
        """The estate file of it, read by the production code."""
        hosters = {site: ("one", "two")[n % 2] for n, site in enumerate(self.sites)}
        sites = ", ".join(f"{site}: {{hoster: {hoster}, region: {site}}}" for site, hoster in hosters.items())
        servers = ", ".join(self._server(name, n + 1) for n, name in enumerate([*self.nodes, *self.servers]))
        text = _PLAIN if self.night == PLAIN else _PLAIN + _LOOKING
        for word, value in {
            "SITES": sites,
            "SERVERS": servers,
            "LOOKOUTS": ", ".join(self.nodes),
            "ACT_AFTER": self.act_after,
            "MODE": self.takeover,
        }.items():
            text = text.replace(word, value)
        return load(text.encode())

    def _server(self, name: str, number: int) -> str:
        within = f", in: [{FEED}]" if name in self.fed else ""
        return f"{name}: {{site: {self.site_of(name)}, address: 10.0.0.{number}{within}}}"
