"""The dumb oracle: one loss, one walk, no bits. It shares nothing with the evaluation but the estate.

`Oracle(estate, loss).product(name)` gives the outcome's name, the outage and the loss of data, both in seconds or None.
"""

from __future__ import annotations

from collections.abc import Iterable
from fractions import Fraction

from binome.estate import Estate

WORST = ["up", "degraded", "manual", "restore", "gone"]
Verdict = tuple[str, float | None, float | None]


class Oracle:
    def __init__(self, estate: Estate, loss: Iterable[str]) -> None:
        self.estate = estate
        self.loss = set(loss)

    def lost(self, name: str, seen: tuple[str, ...] = ()) -> bool:
        """Walks outwards from one thing until it meets what is lost."""
        if name in self.loss:
            return True
        if name in seen:
            return False
        return any(self.lost(parent, (*seen, name)) for parent in self.parents(name))

    def parents(self, name: str) -> list[str]:
        estate = self.estate
        found: list[str] = []
        for hoster, options in estate.hosters.items():
            if hoster == name:
                found += options.in_
        for site, place in estate.sites.items():
            if site == name:
                found += place.in_
                found += [place.hoster] if place.hoster else []
                if place.region:
                    taken = {*estate.hosters, *estate.sites, *estate.domains, *estate.servers}
                    taken |= {one for link in estate.links.values() for one in link.providers}
                    found.append(f"region:{place.region}" if place.region in taken else place.region)
        for domain, what in estate.domains.items():
            if domain == name:
                found += what.in_
        for server, machine in estate.servers.items():
            if server == name:
                found += machine.in_
                found += [machine.site] if machine.site else []
        for link in estate.links.values():
            for provider, who in link.providers.items():
                if provider == name:
                    found += who.in_
        return found

    def product(self, name: str) -> Verdict:
        products = self.estate.products
        verdicts = [v for need in (products[name].needs if products else [name]) for v in self.of(need)]
        return (
            max((v[0] for v in verdicts), key=WORST.index, default="up"),
            longest([v[1] for v in verdicts]),
            longest([v[2] for v in verdicts]),
        )

    def of(self, name: str) -> list[Verdict]:
        """What happens to a service or link and to all that it needs."""
        if name in self.estate.links:
            providers = list(self.estate.links[name].providers)
            if not providers or any(not self.lost(provider) for provider in providers):
                return []
            return [("manual", None, 0.0)]
        verdicts = list(self.service(name))
        for need in self.estate.services[name].needs:
            verdicts += self.of(need)
        return verdicts

    def service(self, name: str) -> Iterable[Verdict]:
        service = self.estate.services[name]
        leading = [one for one in self.estate.names.values() if one.to == name]
        if leading and all(one.registrar and self.lost(one.registrar) for one in leading):
            yield "manual", None, 0.0
        members, alive = len(service.on), sum(not self.lost(server) for server in service.on)
        need = service.need or (members // 2 + 1 if service.kind == "etcd" else 1)
        if service.kind == "etcd":
            if alive < need:
                yield "manual", self.response(), 0.0
            elif alive < members and service.takeover_outage_ms is not None:
                yield "up", service.takeover_outage_ms / 1000, 0.0
            return
        if alive == 0:
            yield from self.dead(name)
            return
        capacity = Fraction(str(service.capacity or 0)) * alive
        if alive == members:
            return
        if service.load is not None and service.capacity is not None and capacity < Fraction(str(service.load)):
            yield "degraded", 0.0, 0.0
        if alive < need:
            yield "manual", self.response(), self.lacking(name, members - alive)
            return
        spares = [one for one in service.spares if one not in service.on and not self.lost(one)]
        if alive == need and not spares:
            yield "degraded", 0.0, 0.0
        yield self.taken_over(name, members - alive)

    def lacking(self, name: str, lost: int) -> float | None:
        """What the members that are left may lack of what a lost one had acknowledged."""
        service = self.estate.services[name]
        if service.kind == "postgresql":
            if service.replication == "synchronous" and lost == 1:
                return 0.0
            return None if service.lag_ms is None else service.lag_ms / 1000
        if all(one.in_ != name for one in self.estate.data.values()):
            return 0.0
        assert service.kind != "etcd"
        if service.kind == "haproxy":
            return None
        return None if service.lag_ms is None else service.lag_ms / 1000

    def taken_over(self, name: str, lost: int) -> Verdict:
        service = self.estate.services[name]
        outage = None if service.takeover_outage_ms is None else service.takeover_outage_ms / 1000
        if service.kind in ("http", "haproxy"):
            return "up", 1.0 if outage is None else outage, self.lacking(name, lost)
        loses = self.lacking(name, lost)
        if service.kind == "generic":
            return ("up", outage, loses) if service.takeover == "automatic" else ("manual", self.response(), loses)
        assert service.kind == "postgresql"
        agreed = all(self.agrees(need) for need in service.needs if need in self.estate.services)
        if service.takeover == "manual" and agreed and not self.lost(service.on[0]):
            return "up", 4.0 if service.replication == "synchronous" else 0.0, 0.0
        if service.takeover == "manual" or not agreed or (service.replication == "synchronous" and lost > 1):
            return "manual", self.response(), loses
        hastened = service.takeover == "automatic" and service.replication == "synchronous"
        if hastened and self.lookouts_agree():
            quick = min(service.act_after_ms / 1000 + 2.5, 25.0)
            return "up", quick if outage is None else outage, loses
        return "up", max(25.0, outage or 0.0), loses

    def agrees(self, name: str) -> bool:
        service = self.estate.services[name]
        need = service.need or len(service.on) // 2 + 1
        return service.kind != "etcd" or sum(not self.lost(server) for server in service.on) >= need

    def dead(self, name: str) -> Iterable[Verdict]:
        service = self.estate.services[name]
        data = [one for one, options in self.estate.data.items() if options.in_ == name]
        for one in data:
            best: tuple[bool, float, bool, float, str] | None = None
            homes = [spare for spare in self.estate.services[name].spares if spare not in self.estate.services[name].on]
            for backup, options in self.estate.backups.items():
                if (one in options.of or backup in self.estate.data[one].backup) and self.readable(backup):
                    age = (options.every_ms + options.proof.every_ms) / 1000 if options.proof else None
                    takes = None if options.restore_ms is None else options.restore_ms / 1000
                    this = age is None, age or 0.0, takes is None, takes or 0.0, backup
                    best = this if best is None else min(best, this)
            if best is None:
                yield "gone", None, None
            else:
                proof = self.estate.backups[best[4]].proof
                homes += [proof.on] if proof else []
                home = any(not self.lost(server) for server in homes)
                response = self.response()
                known = home and response is not None and not best[2]
                yield "restore", (response or 0.0) + best[3] if known else None, None if best[0] else best[1]
        if not data:
            spares = [one for one in service.spares if one not in service.on and not self.lost(one)]
            response = self.response()
            if spares and service.kind != "postgresql":
                known = response is not None and service.rebuild_ms is not None
                yield "manual", (response or 0) + (service.rebuild_ms or 0) / 1000 if known else None, 0.0
            else:
                yield "gone", None, None

    def readable(self, backup: str) -> bool:
        for vault in self.estate.backups[backup].to:
            options = self.estate.vaults[vault]
            keys = [server for server in options.key_on if not self.lost(server)]
            if not self.lost(options.on) and (keys or not options.key_on):
                return True
        return False

    def response(self) -> float | None:
        return None if self.estate.people.response_ms is None else self.estate.people.response_ms / 1000

    def lookouts_agree(self) -> bool:
        if self.estate.lookout is None:
            return False
        sites: dict[str, list[bool]] = {}
        for server in self.estate.lookout.on:
            sites.setdefault(self.estate.servers[server].site or self.site(server), []).append(not self.lost(server))
        return len(sites) >= 3 and sum(any(alive) for alive in sites.values()) > len(sites) / 2

    def site(self, server: str) -> str:
        found, ahead, seen = [], [server], set()
        while ahead:
            name = ahead.pop()
            if name not in seen:
                seen.add(name)
                found += [name] if name in self.estate.sites else []
                ahead += self.parents(name)
        return min(found, default=server)


def longest(seconds: list[float | None]) -> float | None:
    worst = 0.0
    for one in seconds:
        if one is None:
            return None
        worst = max(worst, one)
    return worst
