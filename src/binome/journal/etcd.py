"""Our own small client of etcd, over its JSON gateway: `ports.Etcd`.

`etcd_gateway` knows whom to ask and what silence means, `etcd_answers` what a refusal means, `etcd_wire` the JSON. Here
each call says what it asks for, and whether asking twice does harm. `etcd_watch` follows what changes.
"""

from __future__ import annotations

import ssl
from collections.abc import AsyncIterator, Collection, Sequence
from types import TracebackType

from binome.journal import etcd_wire as wire
from binome.journal.etcd_gateway import RANGE, STATUS, Effect, Gateway, Timing
from binome.journal.etcd_watch import Watch, oldest_revision
from binome.ports import (
    Change,
    Committed,
    CompactedError,
    Compare,
    Delete,
    EtcdError,
    EtcdStatus,
    Put,
    Range,
)

_CLOSE = 100  # entries that a member may be behind when leadership is handed to it
_COMPACTED = "etcdserver: mvcc: required revision has been compacted"


class EtcdClient:
    """A client of one etcd cluster. `endpoints` are URLs, the local one first; `tls` trusts the cluster's own CA."""

    def __init__(
        self,
        endpoints: Sequence[str],
        *,
        tls: ssl.SSLContext | None = None,
        user: str = "",
        password: str = "",
        timing: Timing | None = None,
    ) -> None:
        self._gateway = Gateway(endpoints, tls, user, password, timing)

    async def __aenter__(self) -> EtcdClient:
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        await self.close()

    async def close(self) -> None:
        """Lets all connections go."""
        await self._gateway.close()

    async def range(
        self, key: str, *, prefix: bool = False, limit: int = 0, revision: int = 0, after: str = ""
    ) -> Range:
        """One key, or all that begin with it, behind `after`; linearizable. Raises CompactedError."""
        span = wire.span(key, prefix) | ({"key": wire.key_bytes(f"{after}\0")} if after else {})
        body = wire.encode(span | {"limit": limit, "revision": revision})
        try:
            answer = await self._gateway.ask(RANGE, body, wire.RANGED, Effect.NONE)
        except EtcdError as error:
            if str(error) == _COMPACTED:
                raise CompactedError(await oldest_revision(self._gateway)) from error
            raise
        return Range(tuple(one.public() for one in answer.kvs), answer.header.revision, answer.more)

    async def transact(self, compares: Sequence[Compare], actions: Sequence[Put | Delete]) -> Committed:
        """Carries out all actions at one revision if all conditions hold, else none."""
        body = wire.transaction(compares, actions)
        answer = await self._gateway.ask("/v3/kv/txn", body, wire.TRANSACTED, Effect.ONCE)
        return Committed(answer.succeeded, answer.header.revision)

    async def grant(self, ttl_s: int) -> int:
        """A new lease's id."""
        answer = await self._gateway.ask("/v3/lease/grant", wire.encode({"TTL": ttl_s}), wire.GRANTED, Effect.ONCE)
        return answer.lease

    async def keep_alive(self, lease: int) -> bool:
        """Whether the lease still lived; it then lives for its whole time again."""
        body = wire.encode({"ID": lease})
        answer = await self._gateway.ask("/v3/lease/keepalive", body, wire.KEPT_ALIVE, Effect.REPEATABLE)
        return answer.result.ttl_s > 0

    async def revoke(self, lease: int) -> None:
        """Ends a lease, with the keys that hang on it."""
        await self._gateway.ask("/v3/lease/revoke", wire.encode({"ID": lease}), wire.DONE, Effect.ONCE)

    async def compact(self, revision: int) -> None:
        """Forgets what is older than `revision`; what somebody else has forgotten already is no error."""
        try:
            body = wire.encode({"revision": revision})
            await self._gateway.ask("/v3/kv/compaction", body, wire.DONE, Effect.ONCE)
        except EtcdError as error:
            if str(error) != _COMPACTED:
                raise

    async def status(self) -> EtcdStatus:
        """Asks the first member that answers and has a leader."""
        answer = await self._gateway.ask(STATUS, b"{}", wire.STATUSED, Effect.NONE)
        header = answer.header
        return EtcdStatus(f"{header.member_id:x}", f"{answer.leader:x}", answer.size_bytes, header.revision)

    async def lead_from(self, members: Collection[str]) -> bool:
        """Makes one of these members the leader unless one of them is, or none is fit; whether it was asked to.

        While leadership is handed on nothing can be agreed on, and to a member that is gone or behind it is not handed
        on until etcd gives up, after an election's time. So a member is fit only if it answers here and now, follows
        this leader, and has applied almost all. Only the leader itself can hand over, and no endpoint says whose it
        is: each of them is asked to.
        """
        listed = await self._gateway.ask("/v3/cluster/member/list", b"{}", wire.LISTED, Effect.NONE)
        wanted = {one.id for one in listed.members if one.name in members}
        said = {one.header.member_id: one for one in await self._gateway.answers(STATUS, b"{}", wire.STATUSED)}
        leaders = [one for member, one in said.items() if one.leader == member]
        if len(leaders) != 1 or leaders[0].leader in wanted:
            return False  # between two leaders some know of one, and some of the other
        (leader,) = leaders
        fit = [
            member
            for member, one in said.items()
            if member in wanted and one.leader == leader.leader and leader.committed - one.applied <= _CLOSE
        ]
        if not fit:
            return False
        await self._gateway.ask_all("/v3/maintenance/transfer-leadership", wire.encode({"targetID": min(fit)}))
        return True

    def watch(self, prefix: str, from_revision: int) -> AsyncIterator[Sequence[Change]]:
        """Changes since `from_revision`, in order, each revision whole; resumes by itself. Raises CompactedError.

        `from_revision` is the first that is wanted: at most the one that follows the newest.
        """
        return Watch(self._gateway, prefix, from_revision).changes()
