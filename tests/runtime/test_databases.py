"""Patroni's keys become facts when they change, and not when Patroni only says that it lives."""

from __future__ import annotations

import asyncio
import json

import pytest

from binome.core.database import DatabaseSeen
from binome.core.entry import seal
from binome.core.state import State
from binome.ports import Change, Range
from binome.runtime.databases import Databases
from binome.sim.etcd_state import EtcdState
from tests.runtime.world import LITTORAL, HandClock

ROOT = "/service/littoral/"
SYNC = json.dumps({"leader": "gra-db", "sync_standby": "sbg-db", "quorum": 0}).encode()


class Told:
    """The observer, with changes that are taken in as a watch would bring them."""

    def __init__(self) -> None:
        self.changes = 0
        self.state = State()
        self.databases = Databases(LITTORAL, Empty(), HandClock(), self._changed)  # type: ignore[arg-type]
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
        self.databases._take_in([Change(f"{ROOT}{name}", value, 1) for name, value in keys.items()])
        drafts = self.databases.observed(self.state, 1_000)
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
