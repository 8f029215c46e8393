"""What the cases of `journal_suite` speak of: servers with a journal, and the faults that they meet."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Protocol, cast

import apsw

from binome.core.entry import Draft
from binome.core.maintenance import MaintenanceEndAsked
from binome.ports import AppendUnknownError, NotLeaderError, StoreError
from binome.ports import Journal as AnyJournal
from tests.journal.etcd_suite import now_s, until
from tests.journal.power import Machine, Operation

FAULTS = {
    "others": "another server of the same journal",
    "lease": "a lease that ends while its holder sleeps",
    "lost reply": "an append that is carried out, and its answer lost",
    "no quorum": "a majority of etcd's members that is gone",
    "hanging endpoint": "a member of etcd that takes connections and never answers",
    "replaced member": "a member of etcd that begins anew",
    "compaction": "an etcd that forgets what a watch has not seen",
    "quota": "an etcd that is full",
    "rebuilt": "an etcd that begins from nothing",
    "restored": "an etcd that comes back as it was some time ago",
}
"""What a case may need, and a journal may lack. Power, disk and second writers meet every journal."""


class Journal(AnyJournal, Protocol):
    """A journal that also tells what is wrong, as all of ours do."""

    def problems(self) -> list[str]:
        """What keeps it from following or leading."""


class Servers(Protocol):
    """Servers with a disk each, on which a journal is written; all of them run when a case begins."""

    lacks: Mapping[str, str]
    """The faults that this journal cannot meet, each with the reason."""
    names: Sequence[str]
    machines: dict[str, Machine]
    """The disks. Their logs have marks: `("begun", NUMBER)` and `("acknowledged", NUMBER)` of each append to them."""
    journals: dict[str, Journal]
    """Those of the servers that run."""

    def start(self, name: str) -> Journal:
        """The server writes the journal on its disk. Raises StoreError where it may not."""

    async def stop(self, name: str) -> None:
        """It ends in good order."""

    async def lose_power(self, name: str) -> None:
        """It ends at once, and nothing that it would say reaches anybody. `machines` still has what it did."""

    async def trim(self, sequence: int) -> None:
        """Nobody but the servers' own disks keeps the entries up to this number any more."""


class AgreeingServers(Servers, Protocol):
    """Servers that agree through an etcd of three members; the first is the nearest to the first server, and so on."""

    def fall_asleep(self, name: str) -> None:
        """The server stands still, its clock too: it renews nothing and hears nothing. What it appends is sent."""

    def wake(self, name: str) -> None:
        """It goes on."""

    async def end_lease(self) -> None:
        """The leader's lease ends before its time."""

    async def roll_called(self) -> None:
        """Returns when one who wants to lead calls the roll the next time."""

    async def drop_next_reply(self, name: str) -> None:
        """The next change that the server asks for is carried out, and its answer is lost."""

    async def isolate(self, name: str) -> None:
        """What the server and etcd say to each other is lost."""

    async def join(self, name: str) -> None:
        """It reaches etcd again, on new connections."""

    async def kill(self, member: int) -> None:
        """A member of etcd is gone."""

    async def restart(self, member: int) -> None:
        """It is there again."""

    async def pause(self, member: int) -> None:
        """A member stands still, and its kernel goes on taking connections for it."""

    async def resume(self, member: int) -> None:
        """It goes on."""

    async def replace(self, member: int) -> None:
        """A new member, with an empty disk, in the place of an old one."""

    async def compact(self) -> None:
        """etcd forgets all but what is."""

    async def fill(self) -> None:
        """etcd's quota is used up."""

    async def make_room(self) -> None:
        """There is room again, and no alarm."""

    async def rebuild(self) -> None:
        """All of etcd's disks are lost, and it is founded anew."""

    async def save(self) -> None:
        """etcd is copied as it is now."""

    async def put_back(self) -> None:
        """etcd is again as it was when it was saved."""


@dataclass(frozen=True)
class Case:
    """A case and the faults that it needs."""

    run: Callable[[Any], Awaitable[None]]
    needs: frozenset[str]

    @property
    def name(self) -> str:
        return self.run.__name__

    def runs_for(self, lacks: Mapping[str, str]) -> bool:
        return not self.needs & lacks.keys()


CASES: list[Case] = []


def case(*needs: str) -> Callable[[Callable[[Any], Awaitable[None]]], None]:
    """Makes a function a case."""

    def add(run: Callable[[Any], Awaitable[None]]) -> None:
        assert FAULTS.keys() >= set(needs)
        CASES.append(Case(run, frozenset(needs)))

    return add


def left_out(lacks: Mapping[str, str]) -> dict[str, list[str]]:
    """The cases that a journal is not put through, each with the reasons."""
    reasons = {one.name: [lacks[need] for need in sorted(one.needs & lacks.keys())] for one in CASES}
    return {name: why for name, why in reasons.items() if why}


# -- what the cases share


def draft(id_: str) -> Draft:
    return Draft(id_, 1, "test", MaintenanceEndAsked(id_, "database", "ops-1"))


async def ids(servers: Servers, name: str) -> list[str]:
    """The ids in a server's journal, in their order, without those that announce who leads."""
    entries = await servers.journals[name].follow(0, 0)
    return [entry.id for entry in entries if not entry.id.startswith("leadership/")]


async def head(servers: Servers, name: str) -> int:
    """The number of the last entry in a server's journal."""
    entries = await servers.journals[name].follow(0, 0)
    return entries[-1].sequence if entries else 0


async def leader(servers: Servers, *, but: str = "") -> str:
    """The server that leads, once there is one; `but` another one than this."""

    def leading() -> list[str]:
        return [name for name, one in servers.journals.items() if one.generation is not None and name != but]

    await until(lambda: bool(leading()), "somebody leads")
    (found,) = leading()
    return found


async def append(servers: Servers, *said: str) -> str:
    """As the loop does, wherever it leads: what is refused for now, or unknown, is appended again. Who took it."""
    end_s = now_s() + 20
    while True:
        name = await leader(servers)
        try:
            await servers.journals[name].append([draft(id_) for id_ in said])
            return name
        except (AppendUnknownError, StoreError, NotLeaderError) as error:
            assert now_s() < end_s, f"never appended: {error}"
            await asyncio.sleep(0.05)


async def caught_up(servers: Servers, name: str, sequence: int) -> None:
    """Returns when a server's journal has come so far."""
    end_s = now_s() + 20
    while not await servers.journals[name].follow(sequence - 1, 1.0):
        assert now_s() < end_s, f"{name} stays behind entry {sequence}: {servers.journals[name].problems()}"


async def all_have(servers: Servers, *expected: str) -> None:
    """Every server that runs comes to hold exactly these, in the same entries."""
    last = max([await head(servers, name) for name in servers.journals])
    for name in servers.journals:
        await caught_up(servers, name, last)
        assert await ids(servers, name) == list(expected), name
    hashes = {(await one.follow(last - 1, 0))[0].hash for one in servers.journals.values()}
    assert len(hashes) == 1, "one journal: the last hash is over all of it"


def victims(servers: Servers, leading: str) -> list[str]:
    """Who leads, and one who follows, where there is one."""
    return [leading, *[name for name in servers.names if name != leading][:1]]


def told(log: Sequence[Operation], what: str) -> int:
    """The last number that was begun, or acknowledged, by then."""
    marks = [one.told for one in log if isinstance(one.told, tuple)]
    return max([0, *(int(sequence) for kind, sequence in marks if kind == what)])


def refuse(error: type[apsw.Error], why: str) -> Callable[[Operation], None]:
    """A disk that takes nothing more."""

    def fault(operation: Operation) -> None:
        if operation.kind in ("write", "create", "truncate", "sync"):
            raise error(why)

    return fault


def agreeing(servers: Servers) -> AgreeingServers | None:
    """Servers as those that have others beside them; None where there are none."""
    return None if "others" in servers.lacks else cast(AgreeingServers, servers)


def other_disk(servers: Servers, name: str, files: Mapping[str, bytes]) -> None:
    """A server that does not run has a disk with these files in it from now on."""
    servers.machines[name] = Machine(servers.machines[name].folder.parent, files)
