"""Etcd's leader is kept where no database stands, by whoever leads."""

from __future__ import annotations

import asyncio
from collections.abc import Collection

from binome.ports import EtcdError
from binome.runtime.apart import LOOK_EVERY_S, apart, keep_apart
from tests.runtime.world import LITTORAL, HandClock, run, settle


class Asked:
    def __init__(self) -> None:
        self.members: list[frozenset[str]] = []

    async def lead_from(self, members: Collection[str]) -> bool:
        self.members.append(frozenset(members))
        if len(self.members) == 1:
            raise EtcdError("no leader")
        return True


def test_the_witness_alone_stands_apart_from_the_databases() -> None:
    assert apart(LITTORAL) == {"par-watch"}


def test_only_who_leads_hands_over_and_what_fails_is_tried_again() -> None:
    async def night() -> None:
        asked, clock, leads = Asked(), HandClock(), False
        task = asyncio.ensure_future(keep_apart(LITTORAL, asked, lambda: leads, clock))
        await settle()
        await clock.pass_(LOOK_EVERY_S)
        assert asked.members == []
        leads = True
        await clock.pass_(LOOK_EVERY_S)
        await clock.pass_(LOOK_EVERY_S)
        assert asked.members == [{"par-watch"}, {"par-watch"}]
        task.cancel()
        await asyncio.gather(task, return_exceptions=True)

    run(night)
