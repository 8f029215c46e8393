"""Takeover, release and switchover, against the model of etcd and servers that answer as Patroni does."""

from __future__ import annotations

import asyncio
import json
import socket
from collections.abc import AsyncIterator, Callable, Iterator, Sequence
from contextlib import asynccontextmanager, contextmanager
from typing import Any

import pytest

from binome.core.entry import Draft, UnknownFact
from binome.core.plan import Command, Outcome
from binome.drivers.database.patroni.cluster import Refused
from binome.drivers.database.patroni.database import PatroniDatabase, Stage
from binome.ports import AppendUnknownError, Compare, Delete, EtcdError, NotLeaderError, Put, Range
from binome.sim.etcd_state import EtcdState
from tests.drivers.test_patroni_cluster import ROOT, state

PRIMARY = {"role": "primary", "state": "running"}
STOPPED = {"role": "primary", "state": "stopped"}
STANDBY = {"role": "replica", "state": "running", "replication_state": "streaming"}


class World:
    """A pair: its keys, what each member's Patroni says, and what was committed."""

    def __init__(self, **values: Any) -> None:
        self.values = values
        self.etcd = EtcdState()
        self.says: dict[str, dict[str, Any] | None] = {"gra-db": PRIMARY, "sbg-db": STANDBY}
        self.committed: list[str] = []
        self.before_commit: Callable[[], None] = lambda: None
        self.after_commit: Callable[[], None] = lambda: None
        self.failure: Exception | None = None

    async def range(self, key: str, *, prefix: bool = False) -> Range:
        return self.etcd.range(key, prefix=prefix)

    async def commit(
        self, drafts: Sequence[Draft], conditions: Sequence[Compare], actions: Sequence[Put | Delete]
    ) -> bool:
        """As `OrderedJournal.commit`: done before, by the ids of the drafts, is done."""
        fresh = [draft.id for draft in drafts if draft.id not in self.committed]
        if not fresh:
            return True
        self.before_commit()
        if self.failure is not None:
            raise self.failure
        if not self.etcd.transact(conditions, actions).succeeded:
            return False
        self.committed += fresh
        self.after_commit()
        return True

    @asynccontextmanager
    async def serving(self) -> AsyncIterator[None]:
        """Both members answer, each on a port of its own that stands in its key."""
        servers = []
        for member in self.says:
            server = await asyncio.start_server(self._answer(member), "127.0.0.1", 0)
            servers.append(server)
            port = server.sockets[0].getsockname()[1]
            place = self.values.setdefault(f"members__{member.replace('-', '_')}", {})
            place["api_url"] = f"http://127.0.0.1:{port}/patroni"
        self.etcd = state(**self.values)
        try:
            yield
        finally:
            for server in servers:
                server.close()

    def _answer(self, member: str) -> Callable[[asyncio.StreamReader, asyncio.StreamWriter], Any]:
        async def answer(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
            await reader.readuntil(b"\r\n\r\n")
            said = self.says[member]
            if said is not None:
                writer.write(b"HTTP/1.0 200 OK\r\n\r\n" + json.dumps(said).encode())
            writer.close()

        return answer

    def carried_out(self, verb: str, **arguments: str) -> Outcome:
        async def run() -> Outcome:
            async with self.serving():
                return await self.order(verb, **arguments)

        return asyncio.run(run())

    async def order(self, verb: str, **arguments: str) -> Outcome:
        command = Command("p/0", "p", 0, False, verb, "", "database", {"scope": "littoral"} | arguments, 1)
        driver = PatroniDatabase(self, self.commit, _facts, within_s=0.3, agree_s=0.1)  # type: ignore[arg-type]
        return await driver.carry_out(command)

    def sync(self, primary: str, standby: str) -> None:
        document = json.dumps({"leader": primary, "sync_standby": standby}).encode()
        self.etcd.transact((), [Put(f"{ROOT}sync", document)])

    def leader(self) -> bytes:
        return self.etcd.range(f"{ROOT}leader").keys[0].value


def _facts(command: Command, stage: Stage) -> list[Draft]:
    return [Draft(f"{command.id}/{stage}", 0, "test", UnknownFact(b"{}"))]


TAKEOVER = {"survivor": "sbg-db", "lost": "gra-db"}
RELEASE = {"primary": "gra-db", "lost": "sbg-db"}
SWITCHOVER = {"primary": "gra-db", "to": "sbg-db"}


def test_a_takeover_is_done_when_the_survivor_says_so_and_once() -> None:
    world = World()
    world.after_commit = lambda: world.says.update({"sbg-db": PRIMARY})

    async def twice() -> list[Outcome]:
        async with world.serving():
            return [await world.order("database.takeover", **TAKEOVER) for _ in range(2)]

    assert asyncio.run(twice()) == [Outcome("done")] * 2
    assert (world.leader(), world.committed) == (b"sbg-db", ["p/0/moved"])


def test_a_survivor_that_does_not_say_that_it_is_primary_is_no_takeover_yet() -> None:
    for said in (STANDBY, PRIMARY | {"state": "starting"}, None):
        world = World()
        world.says["sbg-db"] = said
        outcome = world.carried_out("database.takeover", **TAKEOVER)
        assert (outcome.result, world.leader()) == ("unknown", b"sbg-db")


def test_a_refusal_has_a_name_and_changes_nothing() -> None:
    world = World(sync={"leader": "gra-db", "sync_standby": None})
    assert world.carried_out("database.takeover", **TAKEOVER) == Outcome("failed", Refused.NOT_SYNCHRONOUS)
    assert (world.leader(), world.committed) == (b"gra-db", [])


def test_what_moved_between_reading_and_committing_is_decided_anew() -> None:
    world = World()
    said_again = [b'{"leader":"gra-db","sync_standby":"sbg-db","quorum":0}', b'{"leader":"gra-db","sync_standby":null}']

    def moves() -> None:
        if said_again:
            world.etcd.transact((), [Put(f"{ROOT}sync", said_again.pop(0))])

    world.before_commit = moves
    outcome = world.carried_out("database.takeover", **TAKEOVER)
    assert outcome == Outcome("failed", Refused.NOT_SYNCHRONOUS), "the second time it was synchronous no more"
    assert (world.leader(), world.committed) == (b"gra-db", [])


def test_what_moves_for_ever_is_left_alone() -> None:
    world = World()

    def moves() -> None:
        world.etcd.transact((), [Put(f"{ROOT}sync", world.etcd.range(f"{ROOT}sync").keys[0].value)])

    world.before_commit = moves
    assert world.carried_out("database.takeover", **TAKEOVER) == Outcome("failed", Refused.MOVED)


@pytest.mark.parametrize("error", [NotLeaderError("no"), AppendUnknownError("silence"), EtcdError("no leader")])
def test_what_the_journal_does_not_know_is_unknown(error: Exception) -> None:
    world = World()
    world.failure = error
    assert world.carried_out("database.takeover", **TAKEOVER).result == "unknown"


def test_an_etcd_that_agrees_again_after_an_election_is_waited_for() -> None:
    world = World()
    world.after_commit = lambda: world.says.update({"sbg-db": PRIMARY})
    failures: list[Exception | None] = [EtcdError("no leader"), AppendUnknownError("silence"), None]

    def fails() -> None:
        world.failure = failures.pop(0)

    world.before_commit = fails
    assert world.carried_out("database.takeover", **TAKEOVER) == Outcome("done")
    assert failures == []


def test_names_that_are_none_and_arguments_that_lack_are_refused() -> None:
    for verb, arguments in (
        ("database.takeover", {"survivor": "sbg-db", "lost": "gra/db"}),
        ("database.release", {"primary": "../gra-db", "lost": "sbg-db"}),
        ("database.switchover", {"primary": "gra-db"}),
        ("database.drop", {}),
    ):
        assert World().carried_out(verb, **arguments) == Outcome("failed", Refused.BAD_NAME)


def test_a_standby_that_answers_is_not_released() -> None:
    world = World()
    assert world.carried_out("database.release", **RELEASE) == Outcome("failed", Refused.STANDBY_ALIVE)
    assert world.committed == []


def test_a_release_is_done_when_the_primary_waits_no_longer() -> None:
    waits = PRIMARY | {"replication": [{"application_name": "SBG-db", "sync_state": "sync"}]}
    released = PRIMARY | {"replication": [{"application_name": "sbg-db", "sync_state": "async"}]}
    for afterwards, result in ((released, "done"), (waits, "unknown"), (None, "unknown")):
        world = World()
        world.says |= {"sbg-db": None, "gra-db": waits}
        world.after_commit = lambda world=world, said=afterwards: world.says.update({"gra-db": said})  # type: ignore[misc]
        assert world.carried_out("database.release", **RELEASE).result == result


def test_a_switchover_that_patroni_drops_has_failed_also_when_it_is_tried_again() -> None:
    world = World()

    def patroni_drops() -> None:
        world.etcd.transact((), [Delete(f"{ROOT}failover")])

    world.after_commit = patroni_drops
    for _ in range(2):  # what was committed once is not committed again: Patroni would never hear of it
        outcome = world.carried_out("database.switchover", **SWITCHOVER)
        assert outcome == Outcome("failed", Refused.SWITCHOVER_DROPPED)


def test_a_switchover_is_done_when_the_former_primary_follows() -> None:
    world = World()

    def patroni_does() -> None:
        world.says |= {"gra-db": STANDBY, "sbg-db": PRIMARY}
        sync = json.dumps({"leader": "sbg-db", "sync_standby": "gra-db"}).encode()
        world.etcd.transact((), [Put(f"{ROOT}leader", b"sbg-db"), Put(f"{ROOT}sync", sync)])

    world.after_commit = patroni_does
    assert world.carried_out("database.switchover", **SWITCHOVER) == Outcome("done")
    world = World()

    def patroni_does_half() -> None:
        world.says["sbg-db"] = PRIMARY
        world.etcd.transact((), [Put(f"{ROOT}leader", b"sbg-db")])

    world.after_commit = patroni_does_half
    outcome = world.carried_out("database.switchover", **SWITCHOVER)
    assert (outcome.result, "does not follow" in outcome.detail) == ("unknown", True)


def stopping(world: World, url: str, said: dict[str, Any] = STOPPED) -> None:
    """Once Patroni is asked, its primary stops; once the key is handed over, the other one is primary."""
    world.values["members__gra_db"] = {"conn_url": url}

    def goes_on() -> None:
        if world.leader() == b"gra-db":
            world.says["gra-db"] = said
        else:
            world.says |= {"gra-db": STANDBY, "sbg-db": PRIMARY}
            world.sync("sbg-db", "gra-db")

    world.after_commit = goes_on


def test_once_the_primary_has_stopped_the_key_is_handed_over_and_nobody_waits_for_its_patroni() -> None:
    world = World()
    with refusing() as url:
        stopping(world, url)
        assert world.carried_out("database.switchover", **SWITCHOVER) == Outcome("done")
    assert world.committed == ["p/0/asked", "p/0/moved"]
    assert not world.etcd.range(f"{ROOT}failover").keys, "what Patroni was asked for is done"
    assert world.etcd.range(f"{ROOT}members/gra-db").keys, "it lives, and keeps its place"


@pytest.mark.parametrize("listens", [True, False])
def test_a_primary_that_may_run_keeps_the_key(listens: bool) -> None:
    """It still takes connections, though Patroni says that it stops; or none, though Patroni says that it runs."""
    with listening() if listens else refusing() as url:
        world = World()
        stopping(world, url, STOPPED if listens else PRIMARY)
        outcome = world.carried_out("database.switchover", **SWITCHOVER)
    assert (outcome.result, world.leader(), world.committed) == ("unknown", b"gra-db", ["p/0/asked"])


def test_a_key_that_patroni_has_handed_over_meanwhile_is_not_handed_over_again() -> None:
    world = World()
    with refusing() as url:
        stopping(world, url)
        told = world.after_commit

        def patroni_is_quicker() -> None:
            if world.committed == ["p/0/asked"]:
                told()

                def moves() -> None:
                    world.etcd.transact((), [Put(f"{ROOT}leader", b"sbg-db"), Delete(f"{ROOT}failover")])
                    told()

                world.before_commit = moves

        world.after_commit = patroni_is_quicker
        assert world.carried_out("database.switchover", **SWITCHOVER) == Outcome("done")
    assert (world.committed, world.leader()) == (["p/0/asked"], b"sbg-db")


@contextmanager
def refusing() -> Iterator[str]:
    """The URL of a database that has ended: its port is held, and nobody listens there."""
    with socket.socket() as held:
        held.bind(("127.0.0.1", 0))
        yield f"postgres://127.0.0.1:{held.getsockname()[1]}/postgres"


@contextmanager
def listening() -> Iterator[str]:
    """The URL of a database that takes connections."""
    with socket.socket() as held:
        held.bind(("127.0.0.1", 0))
        held.listen()
        yield f"postgres://127.0.0.1:{held.getsockname()[1]}/postgres"
