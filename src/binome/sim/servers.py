"""Servers with their agents: the production agent, its file and its watch over isolation, with hands that are modelled.

Only the connection between agent and lookout is a small stand-in (`orders.py`): beats, certificates and encodings would
take longer than the rest of the night, and have tests of their own. What an agent accepted is in a real file, in a
folder of the night's own; a crash keeps what was written. Its lookouts' servers answer, or not, as links and power say.

A server's *edge* remembers whom it sends nothing to, and whether it takes connections at all, as HAProxy's driver does
over a restart. Whether a server is cut off from most lookouts, by the truth of links and power, is noted beside whether
it still serves, so that somebody can tell how long that went on.
"""

from __future__ import annotations

import asyncio
import shutil
import tempfile
from collections.abc import Awaitable, Callable, Mapping, Sequence
from pathlib import Path
from random import Random
from typing import TYPE_CHECKING, cast

from binome.core.plan import Command, Outcome
from binome.core.quorum import groups
from binome.runtime.agent import Agent, Hand
from binome.runtime.agent_link import REPORT_S
from binome.runtime.agent_settings import Settings
from binome.runtime.peer_messages import Job, Standing
from binome.runtime.reach import NEVER_MS, Reach
from binome.sim.history import Arrived, Stood, TookEffect
from binome.sim.process import Clock, Process

if TYPE_CHECKING:
    from binome.runtime.identity import Identity
    from binome.runtime.peer_transport import Transport
    from binome.sim.pair import Member
    from binome.sim.world import World

MEMORY = Path("/dev/shm")  # noqa: S108 - a folder of our own is made in it
LOOK_S = 0.1
"""How often the truth about a server's standing is noted."""


class SimulatedReach(Reach):
    """Which lookouts' servers answer a server's kernel, whatever the lookouts do."""

    def __init__(self, clock: Clock, answers: Callable[[str], bool]) -> None:
        super().__init__(clock)
        self._now_s, self._answers = clock.monotonic_s, answers

    def answered_ms(self, server: str) -> int:
        """Milliseconds since the last answer, as of the last time that somebody wanted to know."""
        if self._answers(server):
            self._signs_s[server] = self._now_s()
        sign_s = self._signs_s.get(server)
        return NEVER_MS if sign_s is None else round((self._now_s() - sign_s) * 1000)


class Edge:
    """What an edge sends where."""

    def __init__(self) -> None:
        self.barred: set[str] = set()  # servers that get nothing from it
        self.withdrawn = False  # it takes no connections


class Server:
    """One server: its agent, its edge, and the member of a database that stands on it, if one does."""

    def __init__(self, name: str, site: str, world: World, folder: Path, chance: Random) -> None:
        self.name, self.site, self._world, self._chance = name, site, world, chance
        self.place = f"{name}/agent"  # by this name the history knows it
        self.clock = Clock(world.loop)
        self.edge = Edge()
        self.member: Member | None = world.pair.members.get(name)
        self.process: Process | None = None
        self.agent: Agent | None = None
        self.slow_s = self.lost_replies = 0.0
        self._rejoined = ""  # the plan of its last rejoining, as this life of the agent knows
        self.downs = 0
        estate = world.estate
        self._settings = Settings(
            estate=estate.estate,
            server=name,
            version="",
            model={},
            lookouts=dict.fromkeys(estate.lookout.on if estate.lookout else (), ("", 0)),
            groups=groups(estate),
            tls="",
            data=str(folder / name),
            renews=False,
        )
        self.verbs: Mapping[str, Hand] = {
            "traffic.fence": self._hand(self._fence_off),
            "traffic.unfence": self._hand(self._let_in),
            "traffic.move": self._hand(self._move),
            "traffic.open": self._hand(self._open),
            "database.verify": self._hand(self._verify),
        }
        self.start()

    # -- its life

    def start(self) -> None:
        """Begins a life of the agent, from what is in its folder."""
        self.process = process = Process(f"agent-{self.name}", self.clock)
        # What its links would need: there are none.
        identity, transport = cast("Identity", None), cast("Transport", None)
        reach = SimulatedReach(self.clock, self._answers)
        agent = Agent(self._settings, identity, transport, reach, self.clock, hands=self, boot="")
        self.agent = agent
        self._world.loop.spawn(process, agent.guard())
        self._world.loop.spawn(process, self._report(agent))

    def set_down(self, down: bool) -> None:
        """Kills the agent, with what it was about to do, or starts it again."""
        self.downs += 1 if down else -1
        if down and self.process is not None:
            self.process.kill()
            self.process = self.agent = None
            self._rejoined = ""
        elif not self.downs and self.process is None:
            self.start()

    def reached_from(self, site: str) -> bool:
        """Whether somebody in a site can talk to the agent."""
        return self.process is not None and self._world.network.both_ways(site, self.site)

    def _answers(self, lookout: str) -> bool:
        node = self._world.node(lookout)
        return not node.downs and self._world.network.both_ways(self.site, node.site)

    # -- what lookouts say to it

    def receive(self, lookout: str, command: Command, answer: Callable[[Outcome], None]) -> None:
        """A command has come from a lookout."""
        if self.process is None or self.agent is None:
            return
        self._world.history.add(Arrived(self.place, command))
        self._world.loop.spawn(self.process, self._obey(self.agent, lookout, command, answer))

    async def _obey(self, agent: Agent, lookout: str, command: Command, answer: Callable[[Outcome], None]) -> None:
        outcome = await agent.ordered(lookout, command)
        if outcome.result != "done":
            self._world.history.note(f"an agent: {outcome.detail}")
        if not (self.lost_replies and self._chance.random() < self.lost_replies):
            answer(outcome)

    async def _report(self, agent: Agent) -> None:
        """Tells each lookout that it has fenced itself, and hears what the leader says to that."""
        network = self._world.network
        while True:
            await asyncio.sleep(REPORT_S)
            for node in self._world.nodes if agent.fenced else ():
                network.request(self.site, node.site, lambda node=node: node.heard_of(self, agent))  # type: ignore[misc]

    def told(self, agent: Agent, lookout: str, said: Standing) -> None:
        """The leader's word has come."""

        async def hear() -> None:
            agent.stands(lookout, said)

        if self.agent is agent and self.process is not None:
            self._world.loop.spawn(self.process, hear())

    # -- its hands (runtime.agent.Hands)

    def _hand(self, work: Callable[[Command], Awaitable[bool]]) -> Hand:
        async def hand(command: Command) -> Outcome:
            await asyncio.sleep(0.01 + 0.03 * self._chance.random() + self.slow_s)
            if not await work(command):
                return Outcome("unknown", "nobody says that it is so")
            self._world.history.note(command.verb)
            self._world.history.add(TookEffect(self.place, command))
            return Outcome("done")

        return hand

    async def _fence_off(self, command: Command) -> bool:
        self.edge.barred |= set(command.arguments["lost"].split())
        return True

    async def _let_in(self, command: Command) -> bool:
        self.edge.barred -= set(command.arguments["lost"].split())
        return True

    async def _move(self, command: Command) -> bool:
        self.edge.barred.discard(command.arguments["survivor"])
        return True

    async def _open(self, command: Command) -> bool:
        if self.member is not None:
            self.member.set_fenced(False)
            self._rejoined = command.plan
        return True

    def jobs(self) -> Sequence[Job]:
        """Its last rejoining, which takes no time here, and was in vain where it has fenced itself since."""
        if not self._rejoined or self.member is None:
            return ()
        return [Job(self._rejoined, "db", "failed" if self.member.fenced else "done")]

    async def _verify(self, _command: Command) -> bool:
        return self.member is not None and await self.member.verified()

    async def fence(self) -> Sequence[Outcome]:
        """Takes the edge out of service and stops the database."""
        if not self.edge.withdrawn:
            self._world.history.note("a server fenced itself")
        self.edge.withdrawn = True
        if self.member is not None:
            self.member.set_fenced(True)
        return [Outcome("done")]

    async def free(self) -> Sequence[Outcome]:
        """Undoes that."""
        self._world.history.note("a server came back by itself")
        if self.member is not None:
            self.member.set_fenced(False)
        self.edge.withdrawn = False
        return [Outcome("done")]

    async def keep(self) -> Sequence[Outcome]:
        """What was ordered stays so here."""
        return []

    # -- the truth

    @property
    def isolated(self) -> bool:
        """Whether it has power, its agent lives, and most places of lookouts are out of its reach."""
        places = self._settings.groups
        away = sum(not any(one == self.name or self._answers(one) for one in place) for place in places)
        return self.process is not None and not self._world.sights.downs[self.site] and 2 * away > len(places)

    @property
    def serves(self) -> bool:
        """Whether its edge takes connections, or its database runs."""
        return not self.edge.withdrawn or (self.member is not None and self.member.lives)

    def unwell(self) -> str:
        """What of it is not as it was, in a few words."""
        if self.edge.withdrawn:
            return f"the edge of {self.name} takes no connections"
        return f"{self.name} sends nothing to {min(self.edge.barred)}" if self.edge.barred else ""


class Servers:
    """All servers of a night, and the folder that their agents write to."""

    def __init__(self, names: Mapping[str, str], world: World, chance: Callable[[str], Random]) -> None:
        """`names`: server → its site."""
        self._world = world
        base = MEMORY if MEMORY.is_dir() else None
        self._folder = Path(tempfile.mkdtemp(prefix="binome-sim-", dir=base)) if names else None
        self.all = {
            name: Server(name, site, world, self._folder or Path(), chance(f"server/{name}"))
            for name, site in names.items()
        }
        self._stood: dict[str, Stood] = {}
        if names:
            world.loop.after(LOOK_S, self._look)

    def _look(self) -> None:
        for name, one in self.all.items():
            stood = Stood(name, one.isolated, one.serves)
            if stood != self._stood.get(name, Stood(name, False, True)):
                self._stood[name] = stood
                self._world.history.add(stood)
        self._world.loop.after(LOOK_S, self._look)

    def unwell(self) -> str:
        """What is not as it was, in a few words; nothing where all is."""
        return next((said for one in self.all.values() if (said := one.unwell())), "")

    def dispose(self) -> None:
        """Takes the night's folder away."""
        if self._folder is not None:
            shutil.rmtree(self._folder, ignore_errors=True)
