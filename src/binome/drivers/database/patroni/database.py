"""Takeover, release of a lost standby and switchover of a database, by whoever leads: a `Driver`.

    database.takeover    scope, survivor, lost     the survivor is primary in place of a lost server
    database.release     scope, primary, lost      the primary waits no longer for a lost standby
    database.switchover  scope, primary, to        another member is primary; both live

The first and the last may say `asynchronous: yes`: that a standby may lack writes is decided then, and not here.

Each reads all keys of the database at one revision, refuses with a named reason, or changes them in one transaction
with what is to be known of it (cluster.py has both, pure). Then it waits, no longer than `within_s`, until the engine
says that it is so; what it does not say in time is unknown, and trying again is harmless: the drafts' ids tell that
the transaction was done. A condition that did not hold is read and decided anew, a few times; an etcd that cannot agree
just now, because its leader burned too, is asked again for `agree_s`.

A switchover has two transactions. The first asks Patroni, which stops the primary, and drops what it cannot do. Once
the primary's Patroni says that it stops it, and its host that nobody listens there any more, the second hands the key
over; Patroni would do so by itself, one to two seconds later. Whoever is first, the other's comes to nothing.
"""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Mapping, Sequence
from contextlib import suppress
from typing import Any, Literal, Protocol

from binome.core.entry import Draft
from binome.core.plan import Command, Outcome
from binome.drivers.database.patroni import cluster as keys
from binome.drivers.database.patroni import rest
from binome.drivers.database.patroni.cluster import Change, Cluster, Done, Refused
from binome.ports import (
    AppendUnknownError,
    Commit,
    Etcd,
    EtcdError,
    EtcdUnknownError,
    MovedOnError,
    NotLeaderError,
    StoreError,
)

ATTEMPTS = 5
"""How often a change is decided anew because something moved between reading and changing."""
LOOK_EVERY_S = 0.02
AGREE_S = 3.0
"""How long etcd may need to agree again: an election takes half a second to two."""
WITHIN_S = 10.0
"""How long we wait for an engine to say that it is so."""
ALIVE_WITHIN_S = 0.15
"""How long a standby that is said to be lost may take to contradict; while we wait for it, writes stand still."""

Decide = Callable[[Cluster], Change | Refused | Done]
Stage = Literal["asked", "moved"]
"""Whether a transaction only asks Patroni for something, or makes it so."""
Drafts = Callable[[Command, Stage], Sequence[Draft]]
Refuses = Callable[[str], Awaitable[bool]]
"""Whether nobody listens at a member's `conn_url`, as `rest.refuses` says."""


class Ask(Protocol):
    """Asks the Patroni in a place how it is, as `rest.ask` does. Raises SilentError."""

    async def __call__(self, place: rest.Place, *, timeout_s: float) -> Mapping[str, Any]:
        """What it says of itself."""


class PatroniDatabase:
    """A `Driver` for `database.takeover`, `database.release` and `database.switchover`.

    `facts` gives what is to be in the journal of a command's transaction: at least one draft, of an id that follows
    from the command's and from the stage; `ask` asks a member's Patroni how it is, `refuses` its PostgreSQL's port.
    """

    def __init__(
        self,
        etcd: Etcd,
        commit: Commit,
        facts: Drafts,
        *,
        ask: Ask = rest.ask,
        refuses: Refuses = rest.refuses,
        within_s: float = WITHIN_S,
        agree_s: float = AGREE_S,
    ) -> None:
        self._etcd, self._commit, self._facts, self._ask = etcd, commit, facts, ask
        self._refuses, self._within_s, self._agree_s = refuses, within_s, agree_s

    async def carry_out(self, command: Command) -> Outcome:
        """Done once the engine says so; failed, with a `Refused`, where nothing was done; else unknown."""
        try:
            match command.verb, command.arguments:
                case "database.takeover", {"scope": scope, "survivor": survivor, "lost": lost}:
                    return await self._takeover(command, scope, survivor, lost)
                case "database.release", {"scope": scope, "primary": primary, "lost": lost}:
                    return await self._release(command, scope, primary, lost)
                case "database.switchover", {"scope": scope, "primary": primary, "to": to}:
                    return await self._switchover(command, scope, primary, to)
                case _:
                    return Outcome("failed", Refused.BAD_NAME)
        except (EtcdError, EtcdUnknownError, NotLeaderError, AppendUnknownError, StoreError, MovedOnError) as error:
            return Outcome("unknown", str(error))

    async def _takeover(self, command: Command, scope: str, survivor: str, lost: str) -> Outcome:
        lossy = _is_asynchronous(command)
        changed = await self._change(
            command, scope, (survivor, lost), lambda now: keys.takeover(now, survivor, lost, asynchronous=lossy)
        )
        if isinstance(changed, Refused):
            return Outcome("failed", changed)
        return await self._until_primary(changed, survivor)

    async def _release(self, command: Command, scope: str, primary: str, lost: str) -> Outcome:
        changed = await self._change(
            command, scope, (primary, lost), lambda now: keys.release(now, primary, lost), not_if_alive=lost
        )
        if isinstance(changed, Refused):
            return Outcome("failed", changed)

        async def released() -> bool:
            said = await self._said(changed, primary)
            return rest.is_primary(said) and not _waits_for(said, lost)

        return await self._until(released, f"{primary} does not say that it waits for {lost} no longer")

    async def _switchover(self, command: Command, scope: str, primary: str, to: str) -> Outcome:
        names, lossy = (primary, to), _is_asynchronous(command)
        changed = await self._change(
            command, scope, names, lambda now: keys.switchover(now, primary, to, asynchronous=lossy), stage="asked"
        )
        if isinstance(changed, Refused):
            return Outcome("failed", changed)
        dropped = False

        async def ended() -> bool:
            nonlocal dropped
            now = await self._read(scope)
            if now.leader == to:
                return rest.is_primary(await self._said(now, to))
            dropped = now.leader == primary and not now.switchover
            if not dropped and now.leader == primary and await self._has_stopped(now, primary):
                # What is refused here is Patroni's to see through, or to drop.
                await self._change(command, scope, names, lambda now: keys.hand_over(now, primary, to))
            return dropped

        outcome = await self._until(ended, f"{to} does not say yet that it is primary")
        if dropped:
            return Outcome("failed", Refused.SWITCHOVER_DROPPED)
        if outcome.result != "done":
            return outcome

        async def whole() -> bool:
            now = await self._read(scope)
            return (lossy or now.is_synchronous(primary)) and rest.streams(await self._said(now, primary))

        return await self._until(whole, f"{to} is primary; {primary} does not follow it yet")

    # -- within

    async def _change(
        self,
        command: Command,
        scope: str,
        names: Sequence[str],
        decide: Decide,
        *,
        not_if_alive: str = "",
        stage: Stage = "moved",
    ) -> Cluster | Refused:
        """Decides and commits until it is done; the keys that it was decided from, or why it is not done."""
        if not keys.are_names(scope, *names):
            return Refused.BAD_NAME
        clock = asyncio.get_running_loop().time
        until_s, moved = clock() + self._agree_s, 0
        while moved < ATTEMPTS:
            try:
                now = await self._read(scope)
                decided = decide(now)
                if isinstance(decided, Refused):
                    return decided
                if not_if_alive and isinstance(decided, Change) and await self._streams(now, not_if_alive):
                    return Refused.STANDBY_ALIVE
                if isinstance(decided, Done) or await self._commit(self._facts(command, stage), *decided):
                    return now
                moved += 1
            except (EtcdError, EtcdUnknownError, StoreError, AppendUnknownError):
                if clock() > until_s:
                    raise
                await asyncio.sleep(LOOK_EVERY_S)
        return Refused.MOVED

    async def _read(self, scope: str) -> Cluster:
        return Cluster.of(scope, (await self._etcd.range(keys.root_of(scope), prefix=True)).keys)

    async def _streams(self, cluster: Cluster, member: str) -> bool:
        return rest.streams(await self._said(cluster, member, ALIVE_WITHIN_S))

    async def _has_stopped(self, cluster: Cluster, member: str) -> bool:
        """Whether a primary has ended as Patroni wanted: all that it wrote has gone to the standbys that stream."""
        if not rest.is_stopping(await self._said(cluster, member)):
            return False
        return await self._refuses(str(cluster.member(member).get("conn_url", "")))

    async def _said(self, cluster: Cluster, member: str, timeout_s: float = 0.5) -> Mapping[str, Any]:
        """What a member's Patroni says of itself; nothing where it does not answer."""
        place = rest.place_of(str(cluster.member(member).get("api_url", "")))
        if place is None:
            return {}
        try:
            return await self._ask(place, timeout_s=timeout_s)
        except rest.SilentError:
            return {}

    async def _until_primary(self, cluster: Cluster, member: str) -> Outcome:
        async def promoted() -> bool:
            return rest.is_primary(await self._said(cluster, member))

        return await self._until(promoted, f"{member} does not say yet that it is primary")

    async def _until(self, so: Callable[[], Awaitable[bool]], not_so: str) -> Outcome:
        with suppress(TimeoutError):
            async with asyncio.timeout(self._within_s):
                while not await so():
                    await asyncio.sleep(LOOK_EVERY_S)
                return Outcome("done")
        return Outcome("unknown", not_so)


def _is_asynchronous(command: Command) -> bool:
    """Whether the estate says that nobody waits for anybody in this database."""
    return command.arguments.get("asynchronous") == "yes"


def _waits_for(said: Mapping[str, Any], standby: str) -> bool:
    """Whether a primary says that acknowledgements of this standby count."""
    lines = said.get("replication") or ()
    return any(
        str(line.get("application_name")).lower() == standby.lower() and line.get("sync_state") in ("sync", "quorum")
        for line in lines
        if isinstance(line, dict)
    )
