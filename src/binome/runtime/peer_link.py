"""What one lookout sends to another, on the connection that it dials and dials again.

    dial ► Hello both ways ► the whole list, then changes; a beat every 100 ms whatever else waits ► trouble: dial again

What waits to be sent is kept by target, the newest value alone, so that a peer that is slow or away costs no more than
one list. A peer that takes nothing for a second, or does not say that it took our beats, is let go and dialled again:
half of a connection may be all that is left of it.
"""

from __future__ import annotations

import asyncio
from collections import deque
from collections.abc import Callable
from typing import Protocol

from binome.ports import Clock
from binome.runtime.peer_messages import (
    Answer,
    Ask,
    BreachError,
    Hello,
    Message,
    Pages,
    Refused,
    Reply,
    Request,
    Revoked,
    Took,
    Verdicts,
    decode,
    difference,
    part,
)
from binome.runtime.peer_speech import SILENT_S, greeting, put, refusal, until_one_ends
from binome.runtime.peer_transport import Channel, ChannelError, RefusedError, Transport

BEAT_S = 0.1
HELLO_S = 2.0
RETRY_S = 0.2
RETRY_AT_MOST_S = 2.0
PART_BYTES = 32 << 10
ASKED_AT_ONCE = 16
TELLING_AT_ONCE = 64
"""Of what is told of pages so many frames wait; older ones are let go, and told again later."""


class NotAskedError(Exception):
    """The request was not sent: nothing was done."""


class NoAnswerError(Exception):
    """The request was sent, and nobody answered: what it asked for may have been done."""


class Own(Protocol):
    """What a lookout says of itself to all others."""

    def hello(self) -> Hello:
        """What it runs on now."""

    def beat(self) -> bytes:
        """Its heartbeat now, as it is sent."""

    def newer_list(self, number: int) -> bytes | None:
        """Its list of what was revoked, where that is newer than the one of this number."""

    def list_came(self, pem: bytes) -> None:
        """Takes a list that another one had. Raises BreachError."""


class Link:
    """The connection to one other lookout. `said` calls for what to tell of it; empty words: nothing any more."""

    def __init__(self, own: Own, other: str, transport: Transport, clock: Clock, said: Callable[[str], None]) -> None:
        self.other = other
        self.trouble = "not connected yet"
        self._own, self._transport, self._clock, self._said = own, transport, clock, said
        self._all: dict[str, bytes] = {}
        self._pending: dict[str, bytes] = {}
        self._whole = False  # the whole list is under way
        self._begun = False  # its first part is sent
        self._channel: Channel | None = None
        self._wake = asyncio.Event()
        self._number = 0
        self._to_ask: list[Ask] = []
        self._to_tell: deque[bytes] = deque(maxlen=TELLING_AT_ONCE)
        self._asked: dict[int, asyncio.Future[Reply]] = {}
        self._took_s = 0.0
        self._fault: ChannelError | None = None  # why the connection is to be given up
        self._list_sent = 0  # the number of the list that the other one has, as far as we know

    # -- what others want sent

    def publish(self, values: dict[str, bytes]) -> None:
        """Sends these values, by target, as soon as that can be."""
        self._all |= values
        if self._channel is not None:
            self._pending |= values
            self._wake.set()

    def tell(self, told: bytes) -> None:
        """Sends what became of pages, if there is a connection: whoever tells it tells it again now and then."""
        if self._channel is not None:
            self._to_tell.append(told)
            self._wake.set()

    def taken(self, age_s: float) -> None:
        """The other one says, by another way, that it took a beat so long ago."""
        self._took_s = max(self._took_s, self._clock.monotonic_s() - age_s)

    def beat(self, frame: bytes) -> None:
        """Sends a beat, if there is a connection; gives up one on which they are not taken, or not wanted."""
        channel = self._channel
        if channel is None:
            return
        try:
            if self._clock.monotonic_s() - self._took_s > SILENT_S + BEAT_S:
                raise ChannelError(f"it took nothing for {SILENT_S:g} s")
            if why := channel.objection():
                raise RefusedError(why)
            channel.hand_over(frame)
        except ChannelError as error:
            self._fault = error
        if self._fault is not None or self._own.newer_list(self._list_sent):
            self._wake.set()

    async def ask(self, request: Request, timeout_s: float) -> Reply:
        """The other one's answer. Raises NotAskedError (nothing was done) or NoAnswerError (nobody knows)."""
        if self._channel is None:
            raise NotAskedError(f"{self.other}: {self.trouble or 'no connection'}")
        if len(self._asked) >= ASKED_AT_ONCE:
            raise NotAskedError(f"{self.other}: {ASKED_AT_ONCE} requests wait for it already")
        self._number += 1
        number = self._number
        answer: asyncio.Future[Reply] = asyncio.get_running_loop().create_future()
        self._asked[number] = answer
        self._to_ask.append(Ask(number, request))
        self._wake.set()
        try:
            async with asyncio.timeout(timeout_s):
                return await answer
        except TimeoutError:
            if any(one.number == number for one in self._to_ask):
                raise NotAskedError(f"{self.other}: it could not be sent within {timeout_s:g} s") from None
            raise NoAnswerError(f"{self.other}: no answer within {timeout_s:g} s") from None
        finally:
            self._asked.pop(number, None)
            self._to_ask = [one for one in self._to_ask if one.number != number]

    # -- the connection

    async def run(self) -> None:
        """Keeps the connection until it is cancelled."""
        pause_s = RETRY_S
        while True:
            try:
                channel = await self._transport.dial(self.other)
                try:
                    await self._agree(channel)
                    pause_s = RETRY_S
                    await self._speak(channel)
                finally:
                    channel.close()
                    self._let_go()
            except RefusedError as error:
                self._trouble(str(error), refused=True)
                pause_s = RETRY_AT_MOST_S
            except (ChannelError, BreachError) as error:
                self._trouble(str(error), refused=isinstance(error, BreachError))
            await self._clock.sleep(pause_s)
            pause_s = min(pause_s * 2, RETRY_AT_MOST_S)

    def _trouble(self, why: str, *, refused: bool) -> None:
        self.trouble = why
        if refused:
            self._said(why)

    async def _agree(self, channel: Channel) -> None:
        """Returns where both may work together. Raises ChannelError, RefusedError or BreachError."""
        theirs = await greeting(channel, HELLO_S)
        await put(channel, self._own.hello())  # also where they differ: it is to say so too
        if differs := difference(self._own.hello(), theirs):
            raise RefusedError(differs)
        self._list_sent = theirs.revoked

    async def _speak(self, channel: Channel) -> None:
        self._channel = channel
        self._pending, self._whole, self._begun = dict(self._all), True, False
        self._took_s, self._fault = self._clock.monotonic_s(), None
        self.trouble = ""
        self._said("")
        await until_one_ends(self._send(channel), self._receive(channel))

    def _let_go(self) -> None:
        """No connection any more: what was asked has no answer, or was never sent."""
        self._channel = None
        self._pending = {}
        self._to_tell.clear()
        unsent = {one.number for one in self._to_ask}
        self._to_ask = []
        for number, answer in self._asked.items():
            if not answer.done():
                lost = f"{self.other}: the connection was lost"
                answer.set_exception(NotAskedError(lost) if number in unsent else NoAnswerError(lost))

    async def _send(self, channel: Channel) -> None:
        """Sends what waits beside the beats; ends where the connection is to be given up."""
        self.beat(self._own.beat())
        while True:
            self._wake.clear()
            if self._fault is not None:
                raise self._fault
            if (message := self._next()) is not None:
                await put(channel, message)
            else:
                await self._wake.wait()

    def _next(self) -> Message | None:
        """What is to be said beside the beats, the most urgent first."""
        if newer := self._own.newer_list(self._list_sent):
            self._list_sent = self._own.hello().revoked
            return Revoked(newer)
        if self._to_ask:
            return self._to_ask.pop(0)
        if self._to_tell:
            return Pages(self._to_tell.popleft())
        if not self._pending and not self._whole:
            return None
        some = part(self._pending, PART_BYTES)
        for name in some:
            del self._pending[name]
        begins, ends = self._whole and not self._begun, self._whole and not self._pending
        self._begun, self._whole = True, self._whole and not ends
        return Verdicts(some, begins, ends)

    async def _receive(self, channel: Channel) -> None:
        while True:
            match decode(await channel.receive()):
                case Took():
                    self._took_s = self._clock.monotonic_s()
                case Answer(number, of):
                    answer = self._asked.get(number)
                    if answer is not None and not answer.done():
                        answer.set_result(of)
                case Revoked(pem):
                    self._own.list_came(pem)
                case Refused(why):
                    raise refusal(why)
                case message:
                    raise BreachError(f"{type(message).__name__}, which is not for whoever listens to say")
