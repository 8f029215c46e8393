"""Agents and lookouts in one event loop, on loopback, over real TLS; hands that write down what they were told."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Sequence
from pathlib import Path
from typing import Any

from binome.core.plan import Command, Outcome
from binome.runtime.agent import Agent
from binome.runtime.agent_settings import Settings
from binome.runtime.agents import Agents
from binome.runtime.clock import SystemClock
from binome.runtime.identity import Identity
from binome.runtime.peer_messages import Job, Order, Report, Standing, decode, encode, model_of, version
from binome.runtime.peer_tls import TlsTransport
from binome.runtime.peer_transport import Channel
from binome.runtime.reach import Reach
from tests.runtime.lookouts import ESTATE, World, until


class FakeHands:
    """Hands that answer what they are told to, and remember what was wanted of them."""

    def __init__(self) -> None:
        self.done: list[Command] = []
        self.own: list[str] = []
        self.answer = Outcome("done")
        self.work: list[Job] = []
        self.holding: asyncio.Event | None = None
        self.verbs = {"traffic.fence": self._do, "traffic.unfence": self._do, "database.verify": self._do}

    async def _do(self, command: Command) -> Outcome:
        if self.holding is not None:
            await self.holding.wait()
        self.done.append(command)
        return self.answer

    async def fence(self) -> Sequence[Outcome]:
        self.own.append("fence")
        return [self.answer]

    async def free(self) -> Sequence[Outcome]:
        self.own.append("free")
        return [self.answer]

    async def keep(self) -> Sequence[Outcome]:
        return []

    def jobs(self) -> Sequence[Job]:
        return self.work


class AgentWorld(World):
    """The lookouts a, b and c, and the agents of whichever servers a test wants."""

    def __init__(self, folder: Path) -> None:
        super().__init__(folder)
        self.rolls: dict[str, Agents] = {}
        self.agents: dict[str, Agent] = {}
        self.hands: dict[str, FakeHands] = {}
        self.words: dict[str, Standing | None] = {}

    def lookout(self, name: str, **options: Any) -> Agents:
        """A lookout that agents may come to."""
        roll = Agents(
            tuple(ESTATE.servers),
            lambda: self.peers[name].hello(),  # noqa: PLW0108 - they are made after it
            SystemClock(),
            word=lambda _server: self.words.get(name),
            newer_list=lambda number: self.peers[name].newer_list(number),  # noqa: PLW0108
            list_came=lambda pem: self.peers[name].list_came(pem),  # noqa: PLW0108
        )
        self.rolls[name] = roll
        self.start(name, agents=roll, **options)
        return roll

    def settings(self, server: str) -> Settings:
        return Settings(
            estate="littoral",
            server=server,
            version=version(),
            model=model_of(ESTATE),
            lookouts=self.places,
            groups=(("a",), ("b",), ("c",)),
            tls=str(self.folder / server),
            data=str(self.folder / "data" / server),
            renews=False,
        )

    def agent(self, server: str, own: Identity | None = None) -> FakeHands:
        own = own or (self.peers_identity(server) if server in self.peers else self.identity(server))
        clock, hands = SystemClock(), self.hands.get(server) or FakeHands()
        reach = Reach(clock)
        transport = TlsTransport(own, self.places, clock, handshake_s=30, signs=reach)
        agent = Agent(self.settings(server), own, transport, reach, clock, hands=hands, boot="x")
        self.agents[server], self.hands[server] = agent, hands
        self.tasks[f"agent {server}"] = asyncio.ensure_future(agent.run())
        return hands

    def peers_identity(self, name: str) -> Identity:
        """What an agent beside a lookout reads: the same files."""
        return Identity(self.folder / name, "littoral", name)

    async def connected(self, server: str, *lookouts: str) -> None:
        await until(lambda: all(self.rolls[one].is_connected(server) for one in lookouts))

    async def played(self, own: Identity, to: str, **other: Any) -> Channel:
        """An agent that the test itself plays, after the greeting."""
        return await self.greeted(own, to, role="agent", **other)


async def next_order(channel: Channel) -> Order:
    """The next order that comes to an agent that the test plays."""
    channel.hand_over(encode(Report(1, 0)))
    while True:
        message = decode(await channel.receive())
        if isinstance(message, Order):
            return message


def command(
    verb: str = "traffic.fence", *, plan: str = "p", step: int = 0, generation: int = 5, undoing: bool = False
) -> Command:
    return Command(f"{plan}/{step}", plan, step, undoing, verb, "", "database", {"lost": "b"}, generation)


def agents_night(folder: Path, test: Callable[[AgentWorld], Awaitable[None]]) -> None:
    async def whole() -> None:
        world = AgentWorld(folder)
        await test(world)
        await world.close()

    asyncio.run(whole())
