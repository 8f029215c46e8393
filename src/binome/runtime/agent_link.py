"""An agent's connection to one lookout: it dials, and dials again; it listens to nobody.

    dial ► Hello both ways ► a report every 500 ms; orders come, and what came of them goes back ► trouble: dial again

Only who is dialled here can order anything, and only who proves by his certificate that he is the lookout that was
dialled is heard at all. A connection is kept for as long as the lookout's server answers, whatever the lookout itself
does: it may stand still for a while, and its server's answers are what isolation is judged by.
"""

from __future__ import annotations

import asyncio
from contextlib import suppress
from typing import TYPE_CHECKING, Protocol

from binome.core.plan import Command, Outcome
from binome.runtime.peer_link import NoAnswerError, NotAskedError
from binome.runtime.peer_messages import (
    Answer,
    Ask,
    BreachError,
    Done,
    Hello,
    Message,
    Order,
    Refused,
    Reply,
    Report,
    Request,
    Revoked,
    Standing,
    Took,
    apart,
    decode,
    encode,
)
from binome.runtime.peer_speech import SILENT_S, greeting, refusal, until_one_ends
from binome.runtime.peer_transport import Channel, ChannelError, RefusedError

if TYPE_CHECKING:
    from binome.ports import Clock
    from binome.runtime.peer_transport import Transport
    from binome.runtime.reach import Reach

REPORT_S = 0.5
RETRY_S = 0.3
GONE_MS = 2_000
"""A connection is given up when the server at its other end has not answered for so long."""
HANDSHAKE_S = 30.0
"""How long a lookout may take to greet: one that stands still is waited for, and its server watched meanwhile."""
ORDERS_AT_ONCE = 16


class Own(Protocol):
    """What an agent says of itself, and does when it is told to."""

    def hello(self) -> Hello:
        """What it runs on now."""

    def report(self, sequence: int) -> Report:
        """How it is now."""

    def list_came(self, pem: bytes) -> None:
        """Takes a list of what was revoked. Raises BreachError."""

    async def ordered(self, lookout: str, command: Command) -> Outcome:
        """Carries out a command, or refuses it. Raises nothing."""

    def stands(self, lookout: str, word: Standing) -> None:
        """Takes in what the leader says of this server."""


class AgentLink:
    """The connection to one lookout."""

    def __init__(self, own: Own, lookout: str, transport: Transport, reach: Reach, clock: Clock) -> None:
        self.lookout = lookout
        self.trouble = "not connected yet"
        self._own, self._transport, self._reach, self._clock = own, transport, reach, clock
        self._channel: Channel | None = None
        self._number = 0
        self._asked: dict[int, asyncio.Future[Reply]] = {}
        self._orders: set[asyncio.Task[None]] = set()
        self._sooner = asyncio.Event()

    @property
    def is_connected(self) -> bool:
        """Whether the lookout has greeted, and may order."""
        return self._channel is not None

    def report_now(self) -> None:
        """Something has changed that the lookout should know at once."""
        self._sooner.set()

    async def ask(self, request: Request, timeout_s: float) -> Reply:
        """The lookout's answer. Raises NotAskedError (nothing was done) or NoAnswerError (nobody knows)."""
        channel = self._channel
        if channel is None:
            raise NotAskedError(f"{self.lookout}: {self.trouble or 'no connection'}")
        self._number += 1
        number = self._number
        answer: asyncio.Future[Reply] = asyncio.get_running_loop().create_future()
        self._asked[number] = answer
        try:
            async with asyncio.timeout(timeout_s):
                channel.hand_over(encode(Ask(number, request)))
                await channel.drained()
                return await answer
        except TimeoutError:
            raise NoAnswerError(f"{self.lookout}: no answer within {timeout_s:g} s") from None
        except ChannelError as error:
            raise NoAnswerError(f"{self.lookout}: {error}") from None
        finally:
            self._asked.pop(number, None)

    async def run(self) -> None:
        """Keeps the connection until it is cancelled."""
        while True:
            try:
                await self._watched()
            except (ChannelError, BreachError) as error:
                self.trouble = str(error)
            await self._clock.sleep(RETRY_S)

    async def _watched(self) -> None:
        """Sees a connection through, from dialling to its end, and ends it when its server has gone."""
        connection = asyncio.ensure_future(self._connected())
        try:
            while not connection.done():
                await asyncio.wait({connection}, timeout=SILENT_S)
                if not connection.done() and self._is_gone():
                    raise ChannelError("its server does not answer")
            connection.result()
        finally:
            connection.cancel()
            await asyncio.gather(connection, return_exceptions=True)

    def _is_gone(self) -> bool:
        return self._reach.answered_ms(self.lookout) > GONE_MS

    async def _connected(self) -> None:
        channel = await self._transport.dial(self.lookout)
        try:
            await self._agree(channel)
            self._channel, self.trouble = channel, ""
            await until_one_ends(self._report(channel), self._hear(channel))
        finally:
            self._channel = None
            channel.close()
            for answer in self._asked.values():
                if not answer.done():
                    answer.set_exception(NoAnswerError(f"{self.lookout}: the connection was lost"))

    async def _agree(self, channel: Channel) -> None:
        """Returns where both may work together. Raises ChannelError, RefusedError or BreachError."""
        theirs = await greeting(channel, HANDSHAKE_S)
        ours = self._own.hello()
        await self._put(channel, ours)
        if differs := apart(ours, theirs):
            raise RefusedError(differs)

    async def _report(self, channel: Channel) -> None:
        sequence = 0
        while True:
            if why := channel.objection():
                raise RefusedError(why)
            sequence += 1
            self._sooner.clear()
            await self._put(channel, self._own.report(sequence))
            try:
                async with asyncio.timeout(REPORT_S):
                    await self._sooner.wait()
            except TimeoutError:
                pass

    async def _hear(self, channel: Channel) -> None:
        while True:
            match decode(await channel.receive()):
                case Took():
                    pass  # lookouts of an older version say so
                case Order() as order:
                    self._obey(channel, order)
                case Standing() as word:
                    self._own.stands(self.lookout, word)
                case Answer(number, of):
                    answer = self._asked.get(number)
                    if answer is not None and not answer.done():
                        answer.set_result(of)
                case Revoked(pem):
                    self._own.list_came(pem)
                case Refused(why):
                    raise refusal(why)
                case message:
                    raise BreachError(f"{type(message).__name__}, which is not for a lookout to say to an agent")

    def _obey(self, channel: Channel, order: Order) -> None:
        """Begins an order; it goes on to its end whatever becomes of the connection: half of a work is no work."""
        if len(self._orders) >= ORDERS_AT_ONCE:
            raise BreachError("too many orders at once")
        task = asyncio.ensure_future(self._see_through(channel, order))
        self._orders.add(task)
        task.add_done_callback(self._orders.discard)

    async def _see_through(self, channel: Channel, order: Order) -> None:
        outcome = await self._own.ordered(self.lookout, order.of)
        with suppress(ChannelError):  # whoever ordered it finds out by ordering it again
            await self._put(channel, Done(order.number, outcome))

    async def _put(self, channel: Channel, message: Message) -> None:
        channel.hand_over(encode(message))
        await channel.drained()
