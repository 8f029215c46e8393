"""The agents of an estate, as one lookout knows them: who is connected, how each is, and what it is ordered.

Agents dial every lookout; the one that leads orders on the connection that the agent has opened. Who an agent is, is
proved by its certificate: an answer counts only for an order that was given on the same connection, so nobody can speak
for another host. To an agent that has fenced itself the lookout that leads says what the journal says of its server.

Reports are read together, twice a second: each would wake the lookout for itself, and nothing waits for one. While an
order is under way every word is read as it comes.

An order that gets no answer, or whose connection is lost, has an unknown outcome; one that could not be sent has not
been done, and is unknown all the same: the agent may have got it from us a moment before.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from typing import Any

import msgspec

from binome.core.plan import Command, Outcome
from binome.ports import Clock
from binome.runtime.peer_messages import (
    Answer,
    Ask,
    BreachError,
    Done,
    Hello,
    Job,
    Message,
    Order,
    Refused,
    Report,
    Revoked,
    Standing,
    encode,
)
from binome.runtime.peer_speech import heard, put
from binome.runtime.peer_transport import Channel, ChannelError, RefusedError
from binome.runtime.peers import Handler
from binome.runtime.ticks import TICK_S, Ticks

LATE_S = 2.0
"""After so long without a report an agent is let go."""
ASKS_AT_ONCE = 4
TOGETHER = 10
"""So many ticks are between two moments at which reports are read: half a second, as between two reports."""

Word = Callable[[str], Standing | None]
"""What the journal says of a server; None where this lookout does not lead, or does not know all of it yet."""


@dataclass(slots=True)
class _Connected:
    """One agent's connection, and what it last said."""

    channel: Channel
    hello: Hello
    at_s: float
    report: Report = field(default_factory=lambda: Report(0, 0))
    list_sent: int = 0
    orders: dict[int, asyncio.Future[Outcome]] = field(default_factory=dict)
    answering: set[asyncio.Task[None]] = field(default_factory=set)
    resting: asyncio.Future[None] | None = None  # while what it says is not read


class Agents:
    """The agents that are connected to one lookout."""

    def __init__(
        self,
        servers: tuple[str, ...],
        hello: Callable[[], Hello],
        clock: Clock,
        *,
        word: Word,
        answers: Handler | None = None,
        ticks: Ticks | None = None,
        newer_list: Callable[[int], bytes | None] = lambda _number: None,
        list_came: Callable[[bytes], None] = lambda _pem: None,
    ) -> None:
        self.servers = servers
        self._hello, self._clock, self._word = hello, clock, word
        self._answers, self._newer_list, self._list_came = answers, newer_list, list_came
        self._ticks = ticks or Ticks(clock)
        self._reading: asyncio.Task[None] | None = None
        self._connected: dict[str, _Connected] = {}
        self._number = 0

    # -- for who leads

    def is_connected(self, server: str) -> bool:
        """Whether an order to a server's agent could be sent now."""
        return server in self._connected

    async def order(self, server: str, command: Command, timeout_s: float) -> Outcome:
        """What came of a command at a server's agent; unknown where it does not say so in time."""
        one = self._connected.get(server)
        if one is None:
            return Outcome("unknown", f"{server}: its agent is not connected")
        self._number += 1
        number = self._number
        answer: asyncio.Future[Outcome] = asyncio.get_running_loop().create_future()
        one.orders[number] = answer
        _read_on(one)
        try:
            async with asyncio.timeout(timeout_s):
                one.channel.hand_over(encode(Order(number, msgspec.structs.replace(command, server=server))))
                await one.channel.drained()
                return await answer
        except TimeoutError:
            return Outcome("unknown", f"{server}: its agent gave no answer within {timeout_s:g} s")
        except ChannelError as error:
            return Outcome("unknown", f"{server}: {error}")
        finally:
            one.orders.pop(number, None)

    def newest_generation(self) -> int:
        """The newest generation that any agent says it has seen; 0 where none is connected."""
        return max((one.report.generation for one in self._connected.values()), default=0)

    def jobs(self, server: str) -> Sequence[Job] | None:
        """The long work of a server's agent, as it says; None where it is not connected, or has said nothing yet."""
        one = self._connected.get(server)
        return one.report.jobs if one is not None and one.report.sequence else None

    # -- for people

    def shown(self) -> list[dict[str, Any]]:
        """Each server of the estate: whether its agent is connected here, and how it is."""
        return [
            {
                "server": server,
                "connected": one is not None,
                "fenced": one is not None and one.report.fenced,
                "generation": one.report.generation if one is not None else None,
                "problems": list(one.report.problems) if one is not None else [],
                "differs": _differs(self._hello(), one.hello) if one is not None else "",
            }
            for server in self.servers
            for one in (self._connected.get(server),)
        ]

    def problems(self) -> list[str]:
        """What a person should see to: agents that have fenced themselves, or have trouble of their own."""
        found = []
        for server, one in sorted(self._connected.items()):
            if one.report.fenced:
                found.append(f"{server} has fenced itself: it was cut off from most lookouts")
            found += [f"the agent of {server}: {problem}" for problem in one.report.problems]
            if differs := _differs(self._hello(), one.hello):
                found.append(f"the agent of {server} runs on {differs}; start it anew there")
        return found

    # -- for the peers (peers.AgentsDoor)

    async def serve(self, channel: Channel, hello: Hello) -> None:
        """One agent's connection, to its end. Raises ChannelError, RefusedError or BreachError."""
        server = channel.named.server
        one = _Connected(channel, hello, self._clock.monotonic_s(), list_sent=hello.revoked)
        if self._reading is None:
            self._reading = asyncio.ensure_future(self._read_together())
        before, self._connected[server] = self._connected.get(server), one
        if before is not None:
            before.channel.close()
        try:
            while True:
                if not one.orders and channel.hold():
                    one.resting = asyncio.get_running_loop().create_future()
                    await one.resting
                message = await heard(channel, LATE_S - TOGETHER * TICK_S)
                if why := channel.objection():
                    raise RefusedError(why)
                if self._connected.get(server) is not one:
                    raise ChannelError("it has opened another connection")
                await self._take(one, message)
        finally:
            if self._connected.get(server) is one:
                del self._connected[server]
            if not self._connected and self._reading is not None:
                self._reading.cancel()
                self._reading = None
            for task in one.answering:
                task.cancel()
            for answer in one.orders.values():
                if not answer.done():
                    answer.set_result(Outcome("unknown", f"{server}: the connection to its agent was lost"))

    async def _read_together(self) -> None:
        while True:
            await self._ticks.next(TOGETHER)
            for one in self._connected.values():
                _read_on(one)

    async def _take(self, one: _Connected, message: Message) -> None:
        server = one.channel.named.server
        match message:
            case Report():
                one.report, one.at_s = message, self._clock.monotonic_s()
                if message.fenced and (word := self._word(server)) is not None:
                    await put(one.channel, word)
                await self._tell_newer(one)
            case Done(number, of):
                answer = one.orders.get(number)
                if answer is None and number > self._number:
                    raise BreachError("the outcome of an order that nobody has given")
                if answer is None and self._is_of_another(one, number):
                    raise BreachError("the outcome of an order to another server")
                if answer is not None and not answer.done():
                    answer.set_result(of)
            case Revoked(pem):
                self._list_came(pem)
            case Ask() if self._answers is not None:
                if len(one.answering) >= ASKS_AT_ONCE:
                    await put(one.channel, Answer(message.number, Refused("too many requests at once")))
                    return
                task = asyncio.ensure_future(self._answer(self._answers, one.channel, message))
                one.answering.add(task)
                task.add_done_callback(one.answering.discard)
            case _:
                raise BreachError(f"{type(message).__name__}, which is not for an agent to say")

    def _is_of_another(self, one: _Connected, number: int) -> bool:
        return any(number in other.orders for other in self._connected.values() if other is not one)

    async def _tell_newer(self, one: _Connected) -> None:
        if newer := self._newer_list(one.list_sent):
            await put(one.channel, Revoked(newer))
            one.list_sent = self._hello().revoked

    async def _answer(self, answers: Handler, channel: Channel, asked: Ask) -> None:
        try:
            await put(channel, Answer(asked.number, await answers(channel, asked.of)))
        except ChannelError:
            channel.close()


def _read_on(one: _Connected) -> None:
    """What an agent has said meanwhile is read now."""
    if one.resting is not None and not one.resting.done():
        one.resting.set_result(None)


def _differs(ours: Hello, theirs: Hello) -> str:
    """On what else an agent runs, in words; empty where it is the same."""
    if theirs.version != ours.version:
        return f"another version ({theirs.version})"
    return "another estate file" if theirs.model != ours.model else ""
