"""What Patroni says of the databases, followed in etcd: who is primary, who has all that was acknowledged.

/service/SCOPE/leader     the primary's name; gone when its lease has ended
/service/SCOPE/sync       {"leader": NAME, "sync_standby": NAMES}, whose standbys count while it names the primary
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from contextlib import suppress

import msgspec

from binome.core.database import DatabaseSeen, drafts
from binome.core.decision import View
from binome.core.entry import Draft
from binome.estate import Estate
from binome.estate.model import PostgresqlService
from binome.ports import Change, Clock, CompactedError, Etcd, EtcdError, EtcdUnknownError

TRY_AGAIN_S = 0.5


class _Sync(msgspec.Struct):
    leader: str | None = None
    sync_standby: str | None = None


_sync_decoder = msgspec.json.Decoder(_Sync)


class Databases:
    """An `Observer` of the estate's databases. `changed` is called when there is something new."""

    def __init__(self, estate: Estate, etcd: Etcd, clock: Clock, changed: Callable[[], None]) -> None:
        self._etcd, self._clock, self._changed = etcd, clock, changed
        self._roots = {
            f"/service/{service.patroni.scope or name}/": name
            for name, service in estate.services.items()
            if isinstance(service, PostgresqlService)
        }
        self._keys: dict[str, dict[str, bytes]] = {}  # service → leader and sync, as they are

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
        return drafts(seen, view.takeover.databases, now_ms)

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


def _seen(service: str, keys: Mapping[str, bytes]) -> DatabaseSeen:
    primary = keys.get("leader", b"").decode(errors="replace")
    try:
        sync = _sync_decoder.decode(keys.get("sync", b"{}"))
    except (msgspec.MsgspecError, ValueError):
        sync = _Sync()
    standbys = (sync.sync_standby or "").split(",") if primary and sync.leader == primary else []
    return DatabaseSeen(service, primary, tuple(sorted(one.strip() for one in standbys if one.strip())))
