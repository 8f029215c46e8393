"""Keeping etcd's leader apart from the databases: the fire that takes a primary should not take etcd's leader too.

An election costs a second or two, in which nothing can be agreed on: a takeover would wait for it. So whoever leads the
lookouts hands etcd's leadership to a member that stands in no database's site, if there is one.
"""

from __future__ import annotations

from collections.abc import Callable, Collection
from contextlib import suppress
from typing import Protocol

from binome.analysis.domains import Domains
from binome.estate import Estate
from binome.estate.model import EtcdService, PostgresqlService
from binome.ports import Clock, EtcdError, EtcdUnknownError

LOOK_EVERY_S = 5.0


class Handing(Protocol):
    """An etcd whose leadership can be handed on; `EtcdClient` is one."""

    async def lead_from(self, members: Collection[str]) -> bool:
        """Makes one of these members the leader unless one of them is. Fails as etcd does."""


def apart(estate: Estate) -> frozenset[str]:
    """The members of the estate's agreement in whose site no database has a member."""
    domains = Domains(estate)
    services = estate.services.values()
    taken = {domains.site(one, estate) for each in services if isinstance(each, PostgresqlService) for one in each.on}
    agreement = next((one for one in services if isinstance(one, EtcdService)), None)
    members = agreement.on if agreement is not None else ()
    return frozenset(one for one in members if domains.site(one, estate) not in taken)


async def keep_apart(estate: Estate, etcd: Handing, leads: Callable[[], bool], clock: Clock) -> None:
    """Hands etcd's leadership on while this lookout leads, until it is cancelled. What fails is tried again later."""
    members = apart(estate)
    while members:
        await clock.sleep(LOOK_EVERY_S)
        if leads():
            with suppress(EtcdError, EtcdUnknownError):
                await etcd.lead_from(members)
