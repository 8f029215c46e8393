"""A pair of databases and their Patronis, as far as a takeover can tell: who writes, who waits, who promotes.

A *member* stands on a server with a Patroni of its own, which is a client of the modelled etcd. It keeps its place and,
where it is primary, the leader's key on one lease of 20 s, as Patroni's settings in ENGINES.md have it; it promotes
where the key names it; it races for the key where that is gone and `sync` names it; it steps down where it has not
reached etcd for some seconds. A primary acknowledges a write when the standby that it waits for has it, or at once
where it waits for none; and whom it waits for it changes only through `sync` in etcd first.

A write is a name in a list; a promotion is when a standby stops to follow. Not modelled: positions in the log, slots,
timelines, rewinding that fails, asynchronous replication.

A switchover is what its primary does with the key `failover`: it stops to acknowledge, says so, and some time later
hands the leader's key to the standby that has everything. Whoever sees that it has stopped may hand it over before.
"""

from __future__ import annotations

import asyncio
from collections.abc import Mapping, Sequence
from random import Random
from typing import TYPE_CHECKING, Any

import msgspec

from binome.core.plan import Command
from binome.drivers.database.patroni import rest
from binome.ports import Compare, Delete, EtcdError, EtcdUnknownError, KeyValue, Put
from binome.sim.etcd_client import SimulatedEtcd
from binome.sim.history import Promoted, Wrote
from binome.sim.process import Clock, Process

if TYPE_CHECKING:
    from binome.sim.world import World

TTL_S = 20
LOOP_S = 0.5
STEPS_DOWN_S = 4.0
"""After so long without etcd a primary is none any more."""
LETS_GO_S = 2.0
"""How long a primary that has stopped keeps the key: Patroni looks once a second."""
WRITE_EVERY_S = 0.25
VERIFY_S = 3.0
REFUSES_S = 0.2
ROOT = "/service/db/"
LEADER = f"{ROOT}leader"


class Member:
    """One database with its Patroni."""

    def __init__(self, name: str, site: str, world: World) -> None:
        self.name, self.site, self._world = name, site, world
        self.clock = Clock(world.loop)
        self.writes: dict[str, None] = {}  # on its disk
        self.role = "standby"
        self.waits_for = ""  # the standby whose answer a write needs
        self.follows = ""  # the primary that it has a stream from
        self.process: Process | None = None
        self.promoted_s = -1.0  # when it was promoted last
        self.stopped = False  # for a switchover
        self._lets_go_s = 0.0
        self.fenced = False  # its agent has stopped it, and it stays so over a restart
        self._downs = 0
        self._count = 0
        self._verified: dict[str, asyncio.Future[None]] = {}  # writes that somebody waits for
        self._lease = 0
        self._reached_s = 0.0

    # -- its life

    def start(self) -> None:
        """Begins a life: it is no primary until etcd says so."""
        self.role, self.follows, self.waits_for, self._lease, self.stopped = "standby", "", "", 0, False
        self.process = Process(f"patroni-{self.name}", self.clock)
        etcd = SimulatedEtcd(self._world.cluster, self.process.name, self.site)
        self._world.loop.spawn(self.process, self._live(etcd))

    def kill(self) -> None:
        """The server has lost its power."""
        if self.process is not None:
            self.process.kill()
            self.process = None

    def falls(self, by: int) -> None:
        """One fault more (1) or less (-1) holds its server."""
        self._downs += by
        self._begin_or_end()

    def set_fenced(self, fenced: bool) -> None:
        """Its agent stops it, or lets it go on."""
        self.fenced = fenced
        self._begin_or_end()

    def set_frozen(self, frozen: bool) -> None:
        """Its Patroni stands still; the database goes on, and so does what follows it."""
        if self.process is not None:
            self.process.pause(frozen)

    def _begin_or_end(self) -> None:
        if self._downs or self.fenced:
            self.kill()
        elif self.process is None:
            self.start()

    @property
    def lives(self) -> bool:
        """Whether it runs."""
        return self.process is not None

    def says(self) -> Mapping[str, Any]:
        """What its Patroni says of itself."""
        if self.role == "primary":
            return {"role": "primary", "state": "running", "replication": self._streams()}
        if self.stopped:
            return {"role": "primary", "state": "stopped"}
        return {"role": "replica", "state": "streaming" if self.follows else "starting"}

    def _streams(self) -> list[dict[str, str]]:
        return [
            {"application_name": one.name, "sync_state": "sync" if one.name == self.waits_for else "async"}
            for one in self._world.pair.members.values()
            if one.follows == self.name
        ]

    # -- Patroni

    async def _live(self, etcd: SimulatedEtcd) -> None:
        self._reached_s = self.clock.monotonic_s()
        while True:
            try:
                await self._round(etcd)
                self._reached_s = self.clock.monotonic_s()
            except (EtcdError, EtcdUnknownError):
                if self.role == "primary" and self.clock.monotonic_s() - self._reached_s > STEPS_DOWN_S:
                    self._step_down()
            await asyncio.sleep(LOOP_S)

    async def _round(self, etcd: SimulatedEtcd) -> None:
        if not self._lease or not await etcd.keep_alive(self._lease):
            self._lease = await etcd.grant(TTL_S)
        found = {one.key.removeprefix(ROOT): one for one in (await etcd.range(ROOT, prefix=True)).keys}
        if f"members/{self.name}" not in found or found[f"members/{self.name}"].lease != self._lease:
            urls = {"api_url": f"http://{self.name}:8008/patroni", "conn_url": f"postgres://{self.name}:5432/postgres"}
            place = msgspec.json.encode(urls | {"state": "running"})
            await etcd.transact((), [Put(f"{ROOT}members/{self.name}", place, self._lease)])
        leader = found["leader"].value.decode() if "leader" in found else ""
        if leader == self.name:
            await self._lead(etcd, found)
        elif leader:
            self._follow(leader)
        elif (sync := _sync(found)) is None or self.name in sync:
            await self._race(etcd, found)
        elif self.role == "primary":
            self._step_down()

    async def _race(self, etcd: SimulatedEtcd, found: Mapping[str, KeyValue]) -> None:
        """Takes the leader's key that is gone: it has every acknowledged write."""
        conditions = [
            Compare(f"{ROOT}leader", "mod_revision", 0),
            Compare(f"{ROOT}sync", "mod_revision", found["sync"].mod_revision if "sync" in found else 0),
        ]
        agreed = _agreed(self.name, "")
        if (await etcd.transact(conditions, [agreed, Put(f"{ROOT}leader", self.name.encode(), self._lease)])).succeeded:
            self._promote("")

    async def _lead(self, etcd: SimulatedEtcd, found: Mapping[str, KeyValue]) -> None:
        leader, sync = found["leader"], found.get("sync")
        names = _sync(found) or ()
        if "failover" in found and await self._switch(etcd, found):
            return
        if self.role != "primary":
            self._promote(names[1] if len(names) > 1 and names[0] == self.name else "")
        if leader.lease != self._lease:  # ours of an earlier life
            same = [Compare(f"{ROOT}leader", "mod_revision", leader.mod_revision)]
            await etcd.transact(same, [Put(f"{ROOT}leader", self.name.encode(), self._lease)])
            return
        other = self._world.pair.other(self.name)
        named = names[1] if len(names) > 1 else ""
        streaming = other.lives and other.follows == self.name and self._world.network.both_ways(self.site, other.site)
        unchanged = [
            Compare(f"{ROOT}leader", "mod_revision", leader.mod_revision),
            Compare(f"{ROOT}sync", "mod_revision", sync.mod_revision if sync is not None else 0),
        ]
        if streaming and named != other.name:
            self.waits_for = other.name  # first it waits, then it is said
            if other.writes.keys() >= self.writes.keys():
                await etcd.transact(unchanged, [_agreed(self.name, other.name)])
        elif named and not streaming and f"members/{other.name}" not in found:
            if (await etcd.transact(unchanged, [_agreed(self.name, "")])).succeeded:
                self.waits_for = ""
        else:
            self.waits_for = named or (self.waits_for if streaming else "")

    async def _switch(self, etcd: SimulatedEtcd, found: Mapping[str, KeyValue]) -> bool:
        """A switchover that was asked for: whether this member has handed the key over, or is about to."""
        wanted = msgspec.json.decode(found["failover"].value)
        other = self._world.pair.members.get(wanted["member"])
        unchanged = [Compare(f"{ROOT}{key}", "mod_revision", found[key].mod_revision) for key in ("leader", "failover")]
        place = found.get(f"members/{wanted['member']}")
        may = (
            other is not None
            and place is not None
            and (self.stopped or other.follows == self.name)
            and other.name in (_sync(found) or ())
        )
        if wanted["leader"] != self.name or not may or other is None or place is None:
            await etcd.transact(unchanged, [Delete(f"{ROOT}failover")])
            return False
        if self.role == "primary":
            self._step_down()  # from here on it acknowledges nothing
            self.stopped, self._lets_go_s = True, self.clock.monotonic_s() + LETS_GO_S
        if self.clock.monotonic_s() < self._lets_go_s:
            return True
        if other.writes.keys() >= self.writes.keys():
            handed: list[Put | Delete] = [
                _agreed(other.name, ""),
                Delete(f"{ROOT}failover"),
                Put(f"{ROOT}leader", other.name.encode(), place.lease),
            ]
            await etcd.transact(unchanged, handed)
        else:
            await etcd.transact(unchanged, [Delete(f"{ROOT}failover")])
        return True

    def _promote(self, waits_for: str) -> None:
        self.role, self.follows, self.waits_for, self.stopped = "primary", "", waits_for, False
        self.promoted_s = self._world.loop.now_s
        self._world.history.note("a database promoted")
        self._world.history.add(Promoted(self.name, tuple(self.writes)))

    def _step_down(self) -> None:
        self.role, self.follows = "standby", ""
        self._world.history.note("a primary stepped down")

    def _follow(self, leader: str) -> None:
        """Follows the primary: what that one does not have is taken back, what is missing is copied."""
        if self.role == "primary":
            self._step_down()
        self.stopped = False
        primary = self._world.pair.members[leader]
        if not (primary.lives and primary.role == "primary"):
            self.follows = ""
        elif self._world.network.both_ways(self.site, primary.site):
            self.writes = dict(primary.writes)
            self.follows = leader

    # -- writes

    def write(self, name: str) -> None:
        """A client's write has come here."""
        if not self.lives or self.role != "primary":
            return
        self.writes[name] = None
        life, standby = self.process, self._world.pair.members.get(self.waits_for)
        network = self._world.network
        for other in self._world.pair.members.values():
            if other.follows == self.name and other is not standby:
                network.request(self.site, other.site, lambda other=other: other.take(self.name, name))  # type: ignore[misc]
        if standby is None:
            self._acknowledge(name)
            return

        def back() -> None:
            if self.process is life and self.role == "primary":
                self._acknowledge(name)

        def there() -> None:
            if standby.take(self.name, name):
                network.request(standby.site, self.site, back)

        network.request(self.site, standby.site, there)

    def take(self, primary: str, name: str) -> bool:
        """A write has come over the stream; whether it is on this disk now."""
        if not self.lives or self.follows != primary:
            return False
        self.writes[name] = None
        return True

    def _acknowledge(self, name: str) -> None:
        self._world.history.add(Wrote(self.name, name))
        if name in self._verified:
            self._verified.pop(name).set_result(None)

    async def verified(self) -> bool:
        """Whether a write of our own is acknowledged within VERIFY_S."""
        self._count += 1
        name = f"{self.name}/{self._count}"
        waits = self._verified[name] = asyncio.get_running_loop().create_future()
        self.write(name)
        await asyncio.wait({waits}, timeout=VERIFY_S)
        self._verified.pop(name, None)
        return waits.done()


class Pair:
    """The two members, and who writes to them."""

    def __init__(self, names: Sequence[str], world: World, chance: Random) -> None:
        self._world, self._chance = world, chance
        self.members = {name: Member(name, name.partition("-")[2][0], world) for name in names}
        self._count = 0
        for member in self.members.values():
            member.start()
        if self.members:
            world.loop.after(WRITE_EVERY_S, self._write)

    def other(self, name: str) -> Member:
        """The other one."""
        return next(one for one in self.members.values() if one.name != name)

    def is_down(self, target: str) -> bool:
        """Whether a target of theirs does not answer."""
        service, _, server = target.partition("@")
        member = self.members.get(server.partition("/")[0])
        return service == "db" and member is not None and not member.lives

    def primary(self) -> Member | None:
        """The member that believes to be primary, the last that was asked where both do."""
        return next((one for one in self.members.values() if one.lives and one.role == "primary"), None)

    def _write(self) -> None:
        """Somebody, somewhere, writes to each: whoever takes it for its own answers for it."""
        site = self._chance.choice(self._world.sites)
        for member in self.members.values():
            self._count += 1
            name = f"w{self._count}"
            self._world.network.request(site, member.site, lambda member=member, name=name: member.write(name))  # type: ignore[misc]
        self._world.loop.after(WRITE_EVERY_S, self._write)

    async def ask(self, site: str, place: rest.Place, timeout_s: float) -> Mapping[str, Any]:
        """What a member's Patroni says to somebody in a site. Raises SilentError."""
        member = self.members[place.host]
        if not await self._world.sights.ask(site, member.name, timeout_s, lambda: member.lives):
            raise rest.SilentError(f"{member.name} gave no answer")
        return member.says()

    async def refuses(self, site: str, url: str) -> bool:
        """Whether a host says to somebody in a site that no database listens there."""
        member = self.members[url.removeprefix("postgres://").partition(":")[0]]
        answers = await self._world.sights.ask(site, member.name, REFUSES_S, lambda: member.lives)
        return answers and member.stopped

    def has_come_about(self, command: Command) -> bool:
        """Whether what a command asks for is so: seen from outside, whatever its driver says."""
        arguments = command.arguments
        match command.verb:
            case "database.takeover":
                return self._came_after(arguments["survivor"], arguments["lost"])
            case "database.switchover":
                return self._came_after(arguments["to"], arguments["primary"])
        # Released is who no longer stands in the agreement. That writes flow is told by the plan's next step, a write:
        # whom PostgreSQL itself waits for, no Patroni says once its stream has ended. A standby that is back is waited
        # for again: then nothing is left to be released.
        found = {one.key.removeprefix(ROOT): one for one in self._world.cluster.state.range(ROOT, prefix=True).keys}
        return arguments["lost"] not in (_sync(found) or ()) or self.members[arguments["lost"]].lives

    def _came_after(self, one: str, other: str) -> bool:
        return self.members[one].promoted_s > self.members[other].promoted_s

    def unwell(self) -> str:
        """What is not whole, in a few words; nothing where all is."""
        primaries = [one.name for one in self.members.values() if one.role == "primary" and one.lives]
        if self.members and len(primaries) != 1:
            return f"{len(primaries)} databases are primary"
        if any(one.role != "primary" and one.follows not in primaries for one in self.members.values()):
            return "the standby does not follow"
        return ""


def _sync(found: Mapping[str, KeyValue]) -> tuple[str, ...] | None:
    """The primary that the agreement speaks of, and the standby that has every write; None where there is none yet."""
    if "sync" not in found:
        return None
    document = msgspec.json.decode(found["sync"].value)
    return tuple(one for one in (document["leader"], document["sync_standby"]) if one)


def _agreed(leader: str, standby: str) -> Put:
    document = {"leader": leader, "sync_standby": standby or None, "quorum": 0}
    return Put(f"{ROOT}sync", msgspec.json.encode(document))
