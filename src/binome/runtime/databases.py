"""What Patroni says of the databases, followed in etcd: who is primary, who has all that was acknowledged.

/service/SCOPE/leader     the primary's name; gone when its lease has ended
/service/SCOPE/sync       {"leader": NAME, "sync_standby": NAMES}, whose standbys count while it names the primary

Of databases that are asynchronous besides, for how far a standby is behind (core/lag.py):

/service/SCOPE/status         {"optime": POSITION, …}: how far the primary has written
/service/SCOPE/members/NAME   {"receive_lsn": POSITION or "xlog_location": POSITION, …}: how far a member has received
/service/SCOPE/config         {"loop_wait": SECONDS, …}: how often they say so
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from contextlib import suppress

import msgspec

from binome.core.database import DatabaseSeen, drafts
from binome.core.decision import View
from binome.core.entry import Draft
from binome.core.lag import Positions
from binome.core.lag import drafts as lag_drafts
from binome.estate import Estate
from binome.estate.model import PostgresqlService
from binome.ports import Change, Clock, CompactedError, Etcd, EtcdError, EtcdUnknownError

TRY_AGAIN_S = 0.5


class _Sync(msgspec.Struct):
    leader: str | None = None
    sync_standby: str | None = None


class _Said(msgspec.Struct):
    """What any of the keys about positions may have."""

    optime: int | None = None
    receive_lsn: int | None = None
    xlog_location: int | None = None
    loop_wait: float | None = None


_said_decoder = msgspec.json.Decoder(_Said)
_sync_decoder = msgspec.json.Decoder(_Sync)


class Databases:
    """An `Observer` of the estate's databases. `changed` is called when there is something new."""

    def __init__(self, estate: Estate, etcd: Etcd, clock: Clock, changed: Callable[[], None]) -> None:
        self._estate, self._etcd, self._clock, self._changed = estate, etcd, clock, changed
        self._roots = {
            f"/service/{service.patroni.scope or name}/": name
            for name, service in estate.services.items()
            if isinstance(service, PostgresqlService)
        }
        self._keys: dict[str, dict[str, bytes]] = {}  # service → leader and sync, as they are
        self._positions = {
            name: Positions()
            for name, service in estate.services.items()
            if isinstance(service, PostgresqlService) and service.replication == "asynchronous"
        }
        self._measuring: set[str] = set()  # those of them whose primary is lost

    async def run(self) -> None:
        """Follows until it is cancelled; an etcd that does not answer only makes it later."""
        if not self._roots:
            return
        while True:
            try:
                await self._follow()
            except (EtcdError, EtcdUnknownError):
                await self._clock.sleep(TRY_AGAIN_S)

    def observed(self, view: View, now_ms: int) -> Sequence[Draft]:
        """What the state does not say yet of the databases."""
        seen = {service: _seen(service, keys) for service, keys in self._keys.items()}
        found = drafts(seen, view.takeover.databases, now_ms)
        for service, positions in self._positions.items():
            behind = lag_drafts(
                self._estate, view, service, positions, now_ms, clock_ms=round(self._clock.monotonic_s() * 1000)
            )
            self._measuring.discard(service)
            if behind is not None:
                self._measuring.add(service)
                found += behind
        return found

    async def _follow(self) -> None:
        listed = await self._etcd.range("/service/", prefix=True)
        self._keys = {service: {} for service in self._roots.values()}
        self._take_in([Change(one.key, one.value, one.mod_revision) for one in listed.keys])
        self._changed()
        with suppress(CompactedError):
            async for changes in self._etcd.watch("/service/", listed.revision + 1):
                if self._take_in(changes):
                    self._changed()

    def _take_in(self, changes: Sequence[Change]) -> bool:
        """Whether anything of it matters: Patroni writes its status every second."""
        matters = False
        for key, value, _ in changes:
            if self._positions:
                matters |= self._take_in_position(key, value)
            root, _, name = key.rpartition("/")
            service = self._roots.get(f"{root}/")
            if service is None or name not in ("leader", "sync"):
                continue
            keys = self._keys[service]
            matters |= keys.get(name) != value
            if value is None:
                keys.pop(name, None)
            else:
                keys[name] = value
        return matters

    def _take_in_position(self, key: str, value: bytes | None) -> bool:
        """Whether it matters just now: a primary is lost, and a standby says how far it has come."""
        root = next((root for root in self._roots if key.startswith(root)), "")
        service, name = self._roots.get(root, ""), key.removeprefix(root)
        positions = self._positions.get(service)
        if positions is None:
            return False
        try:
            said = _said_decoder.decode(value or b"{}")
        except (msgspec.MsgspecError, ValueError):
            said = _Said()
        member = name.removeprefix("members/") if name.startswith("members/") else ""
        position = said.receive_lsn if said.receive_lsn is not None else said.xlog_location
        if name == "status" and said.optime is not None:
            positions.primary_wrote(said.optime, round(self._clock.monotonic_s() * 1000))
        elif name == "config" and said.loop_wait is not None:
            positions.round_ms = round(said.loop_wait * 1000)
        elif member and position is not None:
            positions.member_received(member, position)
        elif member:
            positions.gone(member)
        return bool(member) and service in self._measuring


def _seen(service: str, keys: Mapping[str, bytes]) -> DatabaseSeen:
    primary = keys.get("leader", b"").decode(errors="replace")
    try:
        sync = _sync_decoder.decode(keys.get("sync", b"{}"))
    except (msgspec.MsgspecError, ValueError):
        sync = _Sync()
    standbys = (sync.sync_standby or "").split(",") if primary and sync.leader == primary else []
    return DatabaseSeen(service, primary, tuple(sorted(one.strip() for one in standbys if one.strip())))
