"""A client of the modelled etcd, as one process of one machine has it: `ports.Etcd` over the simulated network.

The member on the own site is asked first. Where a member certainly took nothing (its port is closed, it has no leader)
the next is asked; where a request for a change got no answer, its outcome is unknown, and asking another member would
do it twice; a read may be asked for again.
"""

from __future__ import annotations

import asyncio
from collections import deque
from collections.abc import AsyncIterator, Callable, Sequence
from functools import partial
from typing import Any

from binome.ports import (
    Change,
    Committed,
    CompactedError,
    Compare,
    Delete,
    EtcdError,
    EtcdStatus,
    EtcdUnknownError,
    Put,
    Range,
)
from binome.sim.etcd import Answer, Cluster, Member, Proposal, Refused, Stream
from binome.sim.etcd_state import EtcdState
from binome.sim.process import current

ANSWER_WITHIN_S = 3.0
"""How long the client waits for the answer to a change."""
PATIENCE_S = 0.5
"""How long it waits for the answer to a harmless question, before it asks the next member."""
FRESH_S = 1.0
"""A member that was heard from this long ago is believed to live."""
TRY_AGAIN_S = 0.3


class _Silence:
    """No answer came."""


class SimulatedEtcd:
    """One process's client. `name` and `site` are its machine's; `chance` decides over lost replies."""

    def __init__(self, cluster: Cluster, name: str, site: str) -> None:
        self._cluster, self.name, self._site = cluster, name, site
        self._heard_s: dict[str, float] = {}
        self._order = deque(
            [member.name for member in cluster.members if member.site == site]
            + [member.name for member in cluster.members if member.site != site]
        )

    # -- ports.Etcd

    async def range(self, key: str, *, prefix: bool = False, limit: int = 0, revision: int = 0) -> Range:
        """One key, or all that begin with it."""
        work = partial(EtcdState.range, key=key, prefix=prefix, limit=limit, revision=revision)
        result = await self._read(lambda member, answer: self._cluster.read(member, work, answer))
        assert isinstance(result, Range)
        return result

    async def transact(self, compares: Sequence[Compare], actions: Sequence[Put | Delete]) -> Committed:
        """All actions at one revision if all conditions hold."""
        result = await self._change(lambda state: state.transact(compares, actions))
        assert isinstance(result, Committed)
        return result

    async def grant(self, ttl_s: int) -> int:
        """A new lease's id."""
        return int(await self._change(lambda state: state.grant(ttl_s)))

    async def keep_alive(self, lease: int) -> bool:
        """Whether the lease still lived."""
        return bool(await self._read(partial(self._renew, lease), renewing=True))

    def _renew(self, lease: int, member: Member, answer: Answer) -> None:
        self._cluster.renew(member, lease, answer)

    async def revoke(self, lease: int) -> None:
        """Ends a lease, with its keys."""
        await self._change(lambda state: state.revoke(lease))

    async def compact(self, revision: int) -> None:
        """Forgets what is older."""
        await self._change(lambda state: state.compact(revision))

    async def status(self) -> EtcdStatus:
        """What the first member that answers says of itself."""
        result = await self._read(self._tell_status)
        assert isinstance(result, EtcdStatus)
        return result

    def _tell_status(self, member: Member, answer: Answer) -> None:
        leader = self._cluster.leader
        state = self._cluster.state
        answer(EtcdStatus(member.name, leader.name if leader else "", state.size_bytes, member.applied))

    async def watch(self, prefix: str, from_revision: int) -> AsyncIterator[Sequence[Change]]:
        """Changes in order, each revision whole; resumes at another member where one falls silent."""
        next_revision = from_revision
        while True:
            async for revision, changes in self._stream(prefix, next_revision):
                yield changes
                next_revision = revision + 1
            self._order.rotate(-1)
            await asyncio.sleep(TRY_AGAIN_S)

    # -- requests

    async def _change(self, work: Callable[[EtcdState], Any]) -> Any:
        """Asks for a change, of one member after the other until one has taken the request."""
        refusal = EtcdError("no member listens", "Unavailable")
        for name in tuple(self._order):
            if not await self._hear(name):
                continue
            result = await self._ask(name, lambda member, answer: self._propose(member, work, answer), ANSWER_WITHIN_S)
            if isinstance(result, _Silence):
                raise EtcdUnknownError(f"{name} did not answer")
            if isinstance(result, EtcdError) and result.code == "Unavailable":
                refusal = result
            elif not isinstance(result, Refused):
                return _outcome(result)
        raise refusal

    def _propose(self, member: Member, work: Callable[[EtcdState], Any], answer: Answer) -> None:
        self._cluster.propose(member, Proposal(self.name, work, answer))

    async def _hear(self, name: str) -> bool:
        """Whether a member was heard from just now, or answers a harmless question: one that hangs gets no change."""
        now_s = asyncio.get_running_loop().time()
        if now_s - self._heard_s.get(name, -FRESH_S) < FRESH_S:
            return True
        return isinstance(await self._ask(name, self._tell_status, PATIENCE_S), EtcdStatus)

    async def _read(self, ask: Callable[[Member, Answer], None], *, renewing: bool = False) -> Any:
        """Asks without harm: of the next member, where one does not answer."""
        silent = False
        for name in tuple(self._order):
            result = await self._ask(name, ask, ANSWER_WITHIN_S if renewing else PATIENCE_S)
            if isinstance(result, _Silence):
                silent = True
            elif not isinstance(result, Refused) and getattr(result, "code", "") != "Unavailable":
                return _outcome(result)
        if silent and renewing:
            raise EtcdUnknownError("no member answered")
        raise EtcdError("no member answered", "Unavailable")

    async def _ask(self, name: str, ask: Callable[[Member, Answer], None], within_s: float) -> Any:
        """One request to one member: what it answered, Refused, or _Silence."""
        current()
        cluster, network = self._cluster, self._cluster.network
        future: asyncio.Future[Any] = asyncio.get_running_loop().create_future()
        site, epoch = cluster.member(name).site, cluster.epoch

        def settle(result: Any) -> None:
            if not future.done():
                future.set_result(result)

        def answer(result: Any) -> None:
            if not cluster.loses_reply():
                network.request(site, self._site, lambda: settle(result))

        def arrive() -> None:
            if epoch == cluster.epoch:
                cluster.receive(name, lambda member: ask(member, answer), lambda: answer(Refused()))

        network.request(self._site, site, arrive)
        timer = asyncio.get_running_loop().call_later(within_s, settle, _Silence())
        try:
            result = await future
        finally:
            timer.cancel()
        if not isinstance(result, (_Silence, Refused)):
            self._heard_s[name] = asyncio.get_running_loop().time()
        return result

    async def _stream(self, prefix: str, from_revision: int) -> AsyncIterator[tuple[int, Sequence[Change]]]:
        """What one member sends, until it falls silent. Raises CompactedError."""
        arrived: deque[Any] = deque()
        news = asyncio.Event()

        def deliver(what: Any) -> None:
            arrived.append(what)
            news.set()

        stream = Stream(self._site, prefix, from_revision, deliver)
        opened = await self._ask(self._order[0], partial(self._open, stream), PATIENCE_S)
        if opened is not True:
            stream.open = False
            if isinstance(opened, CompactedError):
                raise opened
            return
        try:
            while True:
                await news.wait()
                news.clear()
                while arrived:
                    what = arrived.popleft()
                    if what is None:
                        return
                    if isinstance(what, CompactedError):
                        raise what
                    yield what
        finally:
            stream.open = False

    def _open(self, stream: Stream, member: Member, answer: Answer) -> None:
        if stream.next_revision > self._cluster.state.revision + 1:
            answer(CompactedError(1))  # the data is another's: etcd was rebuilt, and our past is not in it
            return
        answer(True)
        self._cluster.open_stream(member, stream)


def _outcome(result: Any) -> Any:
    if isinstance(result, Exception):
        raise result
    return result
