"""What every sender does, whatever it sends by: the conformance suite.

A sender's own test gives an `OtherSide`: the real protocol on loopback, which can be told how to behave, and remembers
what it was asked.
"""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from typing import Protocol

import pytest

from binome.core.page import fits
from binome.core.paging_notes import Sent
from binome.ports import Delivery, Message, Notify

SECRET = "hunter2-geheim"
MESSAGE = Message(
    id="00ff00ff00ff00ff",
    person="ops-1",
    to="+33600000001",
    sms='[littoral 14] Site "strasbourg" lost since 00:47. Ack: https://watch.example/a/k3J9_-k3J9_-k3J9_-k3J9_-abc',
    subject="[littoral 14] critical: Site strasbourg lost",
    body="[littoral 14] Site strasbourg lost\nsince    2026-11-24 00:47:12 CET\n",
    at_ms=1_764_000_000_000,
)


class OtherSide(Protocol):
    """Whom the sender speaks to. Behaviours: accept, refuse, later, hang, drop (after it has taken all), echo."""

    async def start(self, behaviour: str) -> None:
        """Begins to listen, and behaves so."""

    async def stop(self) -> None:
        """Listens no more."""

    def notify(self, *, total_s: float, secret: Callable[[str], str]) -> Notify:
        """A sender that speaks to it."""

    def texts(self) -> list[str]:
        """What it has taken: the text of each message, as a person would read it."""


def known(place: str) -> str:
    """The secret, wherever it is."""
    return SECRET


def lacking(place: str) -> str:
    """No secret anywhere."""
    raise FileNotFoundError(2, "No such file or directory", "/etc/binome/page")


class NotifySuite:
    """A sender's test inherits this, and has a fixture `side` and the `address` that fits it."""

    address = MESSAGE.to

    def said(
        self,
        side: OtherSide,
        behaviour: str,
        message: Message = MESSAGE,
        *,
        total_s: float = 5.0,
        secret: Callable[[str], str] = known,
        listening: bool = True,
    ) -> Delivery:
        async def asked() -> Delivery:
            await side.start(behaviour)
            if not listening:
                await side.stop()
            try:
                notify = side.notify(total_s=total_s, secret=secret)
                return await asyncio.wait_for(notify.send(message._replace(to=self.address)), 15)
            finally:
                await side.stop()

        delivery = asyncio.run(asked())
        assert delivery.said.isprintable()
        assert 0 < len(delivery.said) <= 200
        assert SECRET not in delivery.said
        return delivery

    def test_what_is_accepted_has_arrived(self, side: OtherSide) -> None:
        assert self.said(side, "accept").outcome is Sent.ACCEPTED
        assert len(side.texts()) == 1
        assert "Site" in side.texts()[0]
        assert "strasbourg" in side.texts()[0]

    @pytest.mark.parametrize(
        ("behaviour", "outcome"),
        [("refuse", Sent.REFUSED), ("later", Sent.LATER), ("hang", Sent.UNKNOWN), ("drop", Sent.UNKNOWN)],
    )
    def test_every_other_outcome_is_what_is_known_of_it(self, side: OtherSide, behaviour: str, outcome: Sent) -> None:
        assert self.said(side, behaviour, total_s=0.5).outcome is outcome

    def test_where_nobody_listens_nothing_was_sent(self, side: OtherSide) -> None:
        assert self.said(side, "accept", listening=False).outcome is Sent.LATER

    def test_a_secret_that_is_not_there_is_no_reason_to_stop_trying(self, side: OtherSide) -> None:
        delivery = self.said(side, "accept", secret=lacking)
        assert delivery.outcome is Sent.LATER
        assert side.texts() == []

    def test_the_secret_is_not_told_even_by_the_other_side(self, side: OtherSide) -> None:
        delivery = self.said(side, "echo")
        assert delivery.outcome is not Sent.ACCEPTED
        assert SECRET not in repr(delivery)

    def test_who_is_cancelled_ends_at_once(self, side: OtherSide) -> None:
        async def cancelled() -> None:
            await side.start("hang")
            try:
                task = asyncio.ensure_future(
                    side.notify(total_s=30, secret=known).send(MESSAGE._replace(to=self.address))
                )
                await asyncio.wait([task], timeout=0.3)
                task.cancel()
                with pytest.raises(asyncio.CancelledError):
                    await asyncio.wait_for(task, 5)
            finally:
                await side.stop()

        asyncio.run(cancelled())

    def test_the_message_of_the_suite_is_one_as_pages_are(self) -> None:
        assert fits(MESSAGE.sms)


Answering = Callable[[asyncio.StreamReader, asyncio.StreamWriter], Awaitable[None]]


class Listening:
    """A server on loopback that answers as it is told, and can be stopped with conversations open."""

    def __init__(self) -> None:
        self.port = 0
        self._server: asyncio.Server | None = None
        self._tasks: set[asyncio.Task[None]] = set()

    async def start(self, answer: Answering) -> None:
        """Begins."""

        async def one(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
            task = asyncio.current_task()
            assert task is not None
            self._tasks.add(task)
            try:
                await answer(reader, writer)
            except (OSError, asyncio.IncompleteReadError):
                pass
            finally:
                writer.close()

        self._server = await asyncio.start_server(one, "127.0.0.1", 0)
        self.port = self._server.sockets[0].getsockname()[1]

    async def stop(self) -> None:
        """Ends, with whatever is open."""
        if self._server is not None:
            self._server.close()
            for task in self._tasks:
                task.cancel()
            await asyncio.gather(*self._tasks, return_exceptions=True)
            self._tasks.clear()
            self._server = None
