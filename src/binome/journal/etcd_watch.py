"""Watching: a stream that ends, moves and goes on, with one number kept, the revision that is wanted next.

That number rises only with what etcd has promised to be complete: the events of an answer that is not a fragment, and
the notice, every ten minutes, that a watch which has caught up was told nothing for lack of news. (Neither the revision
in the header of an answer with events nor, before etcd 3.4.25, that of a notice which the client asked for is such a
promise: it may be ahead of events that are still to come.)
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncGenerator, Sequence
from contextlib import aclosing

from binome.journal import etcd_wire as wire
from binome.journal.etcd_answers import ElsewhereError, stream_failure, token_refused
from binome.journal.etcd_gateway import RANGE, Effect, Endpoint, Gateway
from binome.ports import Change, CompactedError, EtcdError

_AGAIN_S = 0.2
"""How long a watch waits after no endpoint would have it."""


class Watch:
    """What changes under a prefix. `wanted` is the revision that it wants next."""

    def __init__(self, gateway: Gateway, prefix: str, wanted: int) -> None:
        self._gateway = gateway
        self._span = wire.span(prefix, True)
        self.wanted = wanted
        self._token_doubted = False

    async def changes(self) -> AsyncGenerator[Sequence[Change], None]:
        """Whole revisions in order, for ever. Raises CompactedError, and EtcdError where we may not watch at all."""
        while True:
            for endpoint in self._gateway.in_order():
                try:
                    async with aclosing(self._follow(endpoint)) as batches:
                        async for batch in batches:
                            yield batch
                except ElsewhereError:
                    continue  # what is wanted next has not changed
            await asyncio.sleep(_AGAIN_S)

    async def _follow(self, endpoint: Endpoint) -> AsyncGenerator[Sequence[Change], None]:
        """The changes that one endpoint tells. Raises ElsewhereError when it tells no more."""
        create = self._span | {"start_revision": self.wanted, "progress_notify": True, "fragment": True}
        batch: list[Change] = []
        async with aclosing(
            self._gateway.lines(endpoint, "/v3/watch", wire.encode({"create_request": create}))
        ) as lines:
            async for line in lines:
                answer = self._read(line)
                if answer.canceled:
                    self._ended(answer)
                elif answer.created:
                    await self._opened(answer.header.revision)
                elif answer.events:
                    batch += [event.public() for event in answer.events]
                    if not answer.fragment:
                        self.wanted = batch[-1].mod_revision + 1
                        yield batch
                        batch = []
                else:
                    self.wanted = max(self.wanted, answer.header.revision + 1)

    def _read(self, line: bytes) -> wire.Watched:
        answer = wire.WATCH_LINE.decode(line)
        if answer.result is None:
            raise stream_failure(answer.error)
        return answer.result

    async def _opened(self, revision: int) -> None:
        """Looks at a watch that was made when its member was at `revision`."""
        self._token_doubted = False
        if not self.wanted:
            self.wanted = revision + 1
        if self.wanted <= revision + 1:
            return
        # The member lags behind, and will tell what we want when it gets there; or etcd has been built anew and counts
        # from one again, and would not tell what happens until it got there. A majority knows.
        answer = await self._gateway.ask(RANGE, wire.encode(self._span | {"limit": 1}), wire.RANGED, Effect.NONE)
        if self.wanted > answer.header.revision + 1:
            raise CompactedError(answer.header.revision)

    def _ended(self, answer: wire.Watched) -> None:
        """Says why etcd ended a watch."""
        if answer.compact_revision:
            raise CompactedError(answer.compact_revision)
        reason = answer.cancel_reason
        if "permission denied" not in reason and not token_refused(reason):
            raise ElsewhereError(reason, "Unavailable")
        # Older members say "permission denied" of a token that is too old, too: a new one may help, once.
        if self._token_doubted or not self._gateway.forget_token():
            raise EtcdError(reason, "PermissionDenied")
        self._token_doubted = True
        raise ElsewhereError(reason, "PermissionDenied")


async def oldest_revision(gateway: Gateway) -> int:
    """The oldest revision that is left: a range that came too late is not told, but a watch from the beginning is."""
    try:
        async with asyncio.timeout(gateway.timing.answer_s), aclosing(Watch(gateway, "", 1).changes()) as batches:
            async for _ in batches:
                pass  # from a member that has not heard of the compaction yet
    except CompactedError as error:
        return error.revision
    except TimeoutError as error:
        raise EtcdError("compacted, and no answer up to where", "Unavailable") from error
    raise AssertionError("a watch has no end")
