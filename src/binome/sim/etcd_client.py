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
from typing import Any, cast

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
AVOID_S = 10.0
"""For so long a member that did not answer is asked last."""
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
        self.last_words: Callable[[], float] | None = None  # a fault: how much longer the next conditional change takes
        self._avoided_until_s: dict[str, float] = {}
        self._members = [member.name for member in sorted(cluster.members, key=lambda member: member.site != site)]

    # -- ports.Etcd

    async def range(
        self, key: str, *, prefix: bool = False, limit: int = 0, revision: int = 0, after: str = ""
    ) -> Range:
        """One key, or all that begin with it, behind `after`."""
        work = partial(EtcdState.range, key=key, prefix=prefix, limit=limit, revision=revision, after=after)
        result = await self._read(lambda member, answer: self._cluster.read(member, work, answer))
        return cast(Range, result)

    async def transact(self, compares: Sequence[Compare], actions: Sequence[Put | Delete]) -> Committed:
        """All actions at one revision if all conditions hold."""
        late_s = 0.0
        if compares and self.last_words is not None:
            last_words, self.last_words = self.last_words, None
            late_s = last_words()
        result = await self._change(lambda state: state.transact(compares, actions), late_s)
        return cast(Committed, result)

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
        """Forgets what is older; what somebody else has forgotten already is no error."""
        await self._change(lambda state: None if revision <= state.compacted else state.compact(revision))

    async def status(self) -> EtcdStatus:
        """What the first member that answers says of itself."""
        result = await self._read(self._tell_status)
        return cast(EtcdStatus, result)

    def _tell_status(self, member: Member, answer: Answer) -> None:
        leader = self._cluster.leader
        state = self._cluster.state
        answer(EtcdStatus(member.name, leader.name if leader else "", state.size_bytes, member.applied))

    async def watch(self, prefix: str, from_revision: int) -> AsyncIterator[Sequence[Change]]:
        """Changes in order, each revision whole; resumes at another member where one falls silent."""
        next_revision = from_revision
        while True:
            for name in self._in_order():
                async for revision, changes in self._stream(name, prefix, next_revision):
                    yield changes
                    next_revision = revision + 1
            await asyncio.sleep(TRY_AGAIN_S)

    # -- requests

    async def _change(self, work: Callable[[EtcdState], Any], late_s: float = 0.0) -> Any:
        """Asks for a change, of one member after the other until one has taken the request."""
        refusal = EtcdError("no member listens", "Unavailable")
        for name in self._in_order():
            if not await self._hear(name):
                continue
            propose = partial(self._propose, work)
            result = await self._ask(name, propose, ANSWER_WITHIN_S, late_s)
            if isinstance(result, _Silence):
                raise EtcdUnknownError(f"{name} did not answer")
            if isinstance(result, EtcdError) and result.code == "Unavailable":
                refusal = result
            elif not isinstance(result, Refused):
                return _outcome(result)
        raise refusal

    def _propose(self, work: Callable[[EtcdState], Any], member: Member, answer: Answer) -> None:
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
        *front, last = self._in_order()
        for name in (*front, last):
            patient = renewing or name == last
            result = await self._ask(name, ask, ANSWER_WITHIN_S if patient else PATIENCE_S)
            if isinstance(result, _Silence):
                silent = True
            elif not isinstance(result, Refused) and getattr(result, "code", "") != "Unavailable":
                return _outcome(result)
        if silent and renewing:
            raise EtcdUnknownError("no member answered")
        raise EtcdError("no member answered", "Unavailable")

    async def _ask(
        self, name: str, ask: Callable[[Member, Answer], None], within_s: float, late_s: float | None = None
    ) -> Any:
        """One request to one member: what it answered, Refused, or _Silence. `late_s` is given for changes."""
        current()
        cluster, network = self._cluster, self._cluster.network
        future: asyncio.Future[Any] = asyncio.get_running_loop().create_future()
        site, epoch = cluster.member(name).site, cluster.epoch

        def settle(result: Any) -> None:
            if not future.done():
                future.set_result(result)

        def answer(result: Any) -> None:
            if not cluster.loses_reply(of_a_change=late_s is not None):
                network.request(site, self._site, lambda: settle(result))

        def arrive() -> None:
            if epoch == cluster.epoch:
                cluster.receive(name, lambda member: ask(member, answer), lambda: answer(Refused()))

        def travel() -> None:
            network.loop.after(late_s or 0.0, arrive)

        network.request(self._site, site, travel if late_s else arrive)
        timer = asyncio.get_running_loop().call_later(within_s, settle, _Silence())
        try:
            result = await future
        finally:
            timer.cancel()
        if isinstance(result, _Silence):
            self._avoid(name)
        elif not isinstance(result, Refused):
            self._heard_s[name] = asyncio.get_running_loop().time()
            self._avoided_until_s.pop(name, None)
        return result

    def _in_order(self) -> list[str]:
        """The members, the nearest first, those that did not answer lately last."""
        now_s = asyncio.get_running_loop().time()
        return sorted(self._members, key=lambda name: self._avoided_until_s.get(name, 0.0) > now_s)

    def _avoid(self, name: str) -> None:
        self._avoided_until_s[name] = asyncio.get_running_loop().time() + AVOID_S

    async def _stream(self, name: str, prefix: str, from_revision: int) -> AsyncIterator[tuple[int, Sequence[Change]]]:
        """What one member sends, until it falls silent. Raises CompactedError."""
        arrived: deque[Any] = deque()
        news = asyncio.Event()

        def deliver(what: Any) -> None:
            arrived.append(what)
            news.set()

        stream = Stream(self._site, prefix, from_revision, deliver)
        opened = await self._ask(name, partial(self._open, stream), PATIENCE_S)
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
                        self._avoid(name)
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
