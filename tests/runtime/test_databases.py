"""Patroni's keys become facts when they change, and not when Patroni only says that it lives."""

from __future__ import annotations

import asyncio
import json
from pathlib import Path

import pytest

from binome.core.database import DatabaseSeen
from binome.core.entry import Draft, Fact, seal
from binome.core.silence import SiteSilent
from binome.core.state import State
from binome.core.takeover_facts import StandbyBehind
from binome.estate import Estate, load
from binome.ports import Change, Range
from binome.runtime.databases import Databases
from binome.sim.etcd_state import EtcdState
from tests.runtime.world import LITTORAL, HandClock

ROOT = "/service/littoral/"
SYNC = json.dumps({"leader": "gra-db", "sync_standby": "sbg-db", "quorum": 0}).encode()


class Told:
    """The observer, with changes that are taken in as a watch would bring them."""

    def __init__(self, estate: Estate = LITTORAL) -> None:
        self.changes = 0
        self.state = State()
        self.clock = HandClock()
        self.databases = Databases(estate, Empty(), self.clock, self._changed)  # type: ignore[arg-type]
        asyncio.run(self._listed())

    async def _listed(self) -> None:
        following = asyncio.ensure_future(self.databases.run())
        await asyncio.sleep(0)
        await asyncio.sleep(0)
        following.cancel()
        await asyncio.gather(following, return_exceptions=True)

    def _changed(self) -> None:
        self.changes += 1

    def put(self, **keys: bytes | None) -> list[object]:
        named = {name.replace("__", "/").replace("_db", "-db"): value for name, value in keys.items()}
        self.matters = self.databases._take_in([Change(f"{ROOT}{name}", value, 1) for name, value in named.items()])
        return self.told()

    def told(self, *facts: Fact) -> list[object]:
        drafts = [Draft(f"test/{fact}", 1_000, "test", fact) for fact in facts]
        for entry in seal(drafts, self.state.head, 1):
            self.state.apply(entry)
        drafts = list(self.databases.observed(self.state, 1_000))
        return [self.state.apply(entry) for entry in seal(drafts, self.state.head, 1)]


class Empty:
    """An etcd with nothing in it, in which nothing happens."""

    async def range(self, key: str, *, prefix: bool = False) -> Range:
        return EtcdState().range(key, prefix=prefix)

    async def watch(self, prefix: str, from_revision: int) -> object:
        await asyncio.Event().wait()
        yield ()


def test_a_primary_and_its_synchronous_standby_are_told_once() -> None:
    told = Told()
    assert told.put(leader=b"gra-db", sync=SYNC) == [DatabaseSeen("database", "gra-db", ("sbg-db",))]
    assert told.put(leader=b"gra-db", status=b"{}") == []
    assert not told.databases._take_in([Change(f"{ROOT}status", b"{}", 2), Change("/service/other/leader", b"x", 2)])


def test_the_leaders_key_that_is_gone_leaves_what_is_known_of_the_standbys() -> None:
    told = Told()
    told.put(leader=b"gra-db", sync=SYNC)
    assert told.put(leader=None) == [DatabaseSeen("database", "", ())]
    known = told.state.takeover.databases["database"]
    assert (known.primary, known.synchronous, known.leaderless) == ("gra-db", ("sbg-db",), True)
    assert told.put(leader=b"sbg-db") == [DatabaseSeen("database", "sbg-db", ())], "the standbys are those of gra-db"


@pytest.mark.parametrize("junk", [b"", b"\xff", b"[]", b'{"leader": 5}', b'{"leader": "gra-db", "sync_standby": null}'])
def test_a_sync_key_that_says_nothing_names_no_standby(junk: bytes) -> None:
    assert Told().put(leader=b"gra-db", sync=junk) == [DatabaseSeen("database", "gra-db", ())]


ASYNCHRONOUS = load(
    (Path(__file__).parents[2] / "examples" / "littoral" / "estate.yaml")
    .read_text()
    .replace("replication: synchronous", "replication: asynchronous\n    lag: 5s")
    .encode()
)
BURNS = SiteSilent("gravelines", 2_000, ("sbg-edge", "par-watch"), confirmed=True)


def behind(behind_ms: int) -> StandbyBehind:
    return StandbyBehind("database", "site/gravelines/1", "sbg-db", behind_ms)


def asynchronous(received: bytes) -> Told:
    """An asynchronous database whose primary published 100, then 200 five seconds later, and is lost at once."""
    told = Told(ASYNCHRONOUS)
    told.put(leader=b"gra-db", config=b'{"loop_wait": 1}', status=b'{"optime": 100}', members__sbg_db=received)
    told.clock.now_s += 5
    told.put(status=b'{"optime": 200, "slots": {}}')
    assert not told.matters, "while all is well nobody asks"
    told.clock.now_s += 2
    return told


@pytest.mark.parametrize(
    ("received", "behind_ms"),
    [
        (b'{"receive_lsn": 200, "xlog_location": 150}', 2_000),
        (b'{"xlog_location": 200}', 2_000),
        (b'{"receive_lsn": 199}', 7_000),
    ],
)
def test_when_an_asynchronous_primary_is_lost_it_is_told_once_how_far_its_standby_is_behind(
    received: bytes, behind_ms: int
) -> None:
    told = asynchronous(received)
    assert told.told(BURNS) == [behind(behind_ms)]
    assert told.told() == []
    told.clock.now_s += 60
    assert told.told() == [], "that it would be more by now is nothing new"


def test_a_standby_that_says_that_it_is_nearer_is_heard_at_once_and_told_where_that_is_enough() -> None:
    told = asynchronous(b'{"receive_lsn": 199}')
    told.told(BURNS)
    assert told.put(members__sbg_db=b'{"receive_lsn": 200}') == [behind(2_000)]
    assert told.matters
    assert told.put(members__sbg_db=b'{"receive_lsn": 201}') == []


@pytest.mark.parametrize("junk", [None, b"", b"[]", b'{"receive_lsn": "x"}'])
def test_a_standby_that_says_nothing_is_not_told_of(junk: bytes | None) -> None:
    told = asynchronous(b'{"receive_lsn": 200}')
    told.put(members__sbg_db=junk)
    assert told.told(BURNS) == []


def test_of_a_synchronous_database_no_position_is_looked_at() -> None:
    told = Told()
    told.put(leader=b"gra-db", status=b'{"optime": 100}', members__sbg_db=b'{"receive_lsn": 100}')
    assert told.told(BURNS) == []
