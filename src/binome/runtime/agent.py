"""The agent of one server: carries out what lookouts order, and fences its server where it may have been given up.

    an order ► for this server? ► a verb of the list? ► acceptance, durable ► the hand, one command of a plan at a time
    the lookouts' servers out of reach ► isolated? ► written down ► edges withdrawn, databases stopped, each second
    reachable again, and the leader says that nothing was taken over ► all of it undone, then struck out
    a person attests that these lookouts are off ► they count for nothing ► all of it undone, then struck out

It decides nothing else. Who orders is proved by the certificate of whom it has dialled; it listens to nobody
(agent_link.py). It needs neither a lookout nor Patroni to fence: both may stand still.

An agent whose own hands do not answer says so in its reports; nothing is done by guess.
"""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Coroutine, Iterator, Mapping, Sequence
from contextlib import contextmanager
from enum import StrEnum
from pathlib import Path
from typing import TYPE_CHECKING, Any, Protocol

import msgspec

from binome.core import isolation
from binome.core.isolation import Silences
from binome.core.plan import Command, Outcome
from binome.runtime.accepted import AcceptedFile, write_whole
from binome.runtime.agent_link import AgentLink
from binome.runtime.agent_settings import Settings
from binome.runtime.attested_file import AttestedFile
from binome.runtime.identity import Identity, IdentityError
from binome.runtime.peer_messages import PROTOCOL, BreachError, Hello, Job, Reply, Report, Request, Standing

if TYPE_CHECKING:
    from binome.ports import Clock
    from binome.runtime.peer_transport import Transport
    from binome.runtime.reach import Reach

LOOK_S = 0.2
"""How often the agent looks whether it is isolated."""
KEEP_S = 1.0
"""How often the hands look whether what was ordered is still so."""
MARK_S = 0.1
"""How long the fence waits for the disk to take that there is one."""
PROBLEMS_TOLD = 20
ATTEST = "isolation.attest"
ALSO_ISOLATED = ("traffic.fence", "database.fence", "agreement.alone", ATTEST)
"""What is done also by an agent that is isolated."""
FREE_S = 20.0
"""How long an agent may take to come back into service on a person's word."""

Hand = Callable[[Command], Awaitable[Outcome]]


class Refused(StrEnum):
    """Why an agent did not begin an order."""

    OTHER_SERVER = "it is for another server"
    UNKNOWN_VERB = "this verb is not known here"
    ISOLATED = "this server is isolated"
    NO_LOOKOUT = "what is attested to be off is no lookout of this estate"
    ANSWERS = "what is attested to be off answers here"


class Hands(Protocol):
    """What the agent does things with; handed to it by whoever assembles it."""

    @property
    def verbs(self) -> Mapping[str, Hand]:
        """All that can be ordered here: a fixed list."""

    async def fence(self) -> Sequence[Outcome]:
        """Takes this server's edges out of service and stops its databases, again without harm."""

    async def free(self) -> Sequence[Outcome]:
        """Undoes that."""

    async def keep(self) -> Sequence[Outcome]:
        """Makes so again what was ordered and is not so any more."""

    def jobs(self) -> Sequence[Job]:
        """Long work that was begun by an order, and how it stands."""


class Agent:
    """One server's agent. `folder` outlives restarts: what was accepted, and whether it has fenced itself."""

    def __init__(
        self,
        settings: Settings,
        identity: Identity,
        transport: Transport,
        reach: Reach,
        clock: Clock,
        *,
        hands: Hands,
        boot: str,
    ) -> None:
        """Raises OSError or ValueError where what was accepted before cannot be read."""
        folder = Path(settings.data)
        self._settings, self._identity, self._reach, self._clock, self._hands = settings, identity, reach, clock, hands
        self._accepted = AcceptedFile(folder / "accepted")
        self._attested = AttestedFile(folder / "attested")
        self._mark = folder / "isolated"
        self.fenced = self._mark.exists()
        self.standing = isolation.Standing.CONNECTED
        self.links = {lookout: AgentLink(self, lookout, transport, reach, clock) for lookout in settings.lookouts}
        self._hello = Hello(PROTOCOL, settings.version, settings.estate, settings.model, boot, role="agent")
        self._problems: dict[str, list[str]] = {}
        self._busy: dict[str, tuple[asyncio.Lock, int]] = {}  # plan → its lock, and who wants it
        self._fence = asyncio.Lock()
        self._freeing: asyncio.Task[None] | None = None

    async def run(self) -> None:
        """Works until it is cancelled."""
        async with asyncio.TaskGroup() as group:
            group.create_task(self.guard())
            for link in self.links.values():
                group.create_task(link.run())

    async def guard(self) -> None:
        """What it does by itself, whatever its links do: fences where it is isolated, and keeps what was ordered."""
        async with asyncio.TaskGroup() as group:
            group.create_task(self._watch())
            group.create_task(self._keep())

    async def ask(self, lookout: str, request: Request, timeout_s: float) -> Reply:
        """A lookout's answer. Raises NotAskedError or NoAnswerError."""
        return await self.links[lookout].ask(request, timeout_s)

    def problems(self, which: str, found: Sequence[str]) -> None:
        """Takes in what is wrong now of some kind, for the reports."""
        self._problems[which] = list(found)

    # -- what the links ask (agent_link.Own)

    def hello(self) -> Hello:
        """What this agent runs on now."""
        return msgspec.structs.replace(self._hello, revoked=self._identity.revoked.number)

    def report(self, sequence: int) -> Report:
        """How this agent is now."""
        problems = [one for some in self._problems.values() for one in some]
        problems += self._identity.problems(self._clock.now_ms())
        told = [one[:500] for one in problems[:PROBLEMS_TOLD]]
        return Report(sequence, self._accepted.generation, self.fenced, told, list(self._hands.jobs()))

    def list_came(self, pem: bytes) -> None:
        """Takes a list of what was revoked. Raises BreachError."""
        try:
            self._identity.adopt(pem)
        except IdentityError as error:
            raise BreachError(str(error)) from error

    async def ordered(self, lookout: str, command: Command) -> Outcome:
        """Carries out a command, or refuses it; what nobody can say is unknown."""
        if command.server != self._settings.server:
            return Outcome("failed", Refused.OTHER_SERVER)
        hand = self._attest if command.verb == ATTEST else self._hands.verbs.get(command.verb)
        if hand is None:
            return Outcome("failed", Refused.UNKNOWN_VERB)
        if self.standing is isolation.Standing.ISOLATED and command.verb not in ALSO_ISOLATED:
            return Outcome("unknown", Refused.ISOLATED)
        try:
            refused = self._accepted.admit(command)
            if refused is not None:
                self._problems["refused"] = [f"{lookout} ordered {command.id} in vain: {refused.value}"]
                return Outcome("failed", refused.value)
            with self._turn(command.plan) as turn:
                async with turn:  # nothing is undone while it is still being done
                    return await hand(command)
        except OSError as error:
            return Outcome("unknown", f"{error.filename}: {error.strerror}")
        except Exception as error:  # a hand that fails in an unforeseen way may have done anything
            return Outcome("unknown", f"{type(error).__name__}: {error}")

    @contextmanager
    def _turn(self, plan: str) -> Iterator[asyncio.Lock]:
        """The lock of a plan, kept for as long as anybody wants it."""
        lock, wanted = self._busy.get(plan, (asyncio.Lock(), 0))
        self._busy[plan] = lock, wanted + 1
        try:
            yield lock
        finally:
            lock, wanted = self._busy[plan]
            self._busy[plan] = lock, wanted - 1
            if wanted == 1:
                del self._busy[plan]

    # -- isolation

    async def _watch(self) -> None:
        """Looks whether a majority is out of reach, and fences for as long as it is."""
        silences, looked_s, fenced_s = Silences(tuple(self._settings.lookouts)), self._clock.monotonic_s(), 0.0
        fencing: asyncio.Task[None] | None = None
        while True:
            await self._clock.sleep(LOOK_S)
            now_s = self._clock.monotonic_s()
            silences.passed(round((now_s - looked_s) * 1000), self._reach.answered_ms)
            looked_s = now_s
            groups = isolation.without(self._settings.groups, self._who_is_off())
            self.standing = isolation.judged(groups, self._settings.server, silences.ms)
            if self.standing is not isolation.Standing.ISOLATED:
                if self.fenced and self._attested.lost:
                    self._begin_freeing(self._free_on_word())
                continue
            if (fencing is None or fencing.done()) and now_s >= fenced_s + KEEP_S:
                fenced_s, fencing = now_s, asyncio.ensure_future(self._fence_self())

    async def _fence_self(self) -> None:
        """Fences, whatever else fails: neither a disk that is full nor one that hangs keeps a server in service."""
        async with self._fence:
            self.fenced = True
            marking = asyncio.ensure_future(asyncio.to_thread(self._marked))
            await asyncio.wait({marking}, timeout=MARK_S)
            outcomes = await self._tried(self._hands.fence)
            self._problems["fence"] = [*await marking, *_troubles(outcomes)]

    def _marked(self) -> list[str]:
        """Writes down that this server has fenced itself; what went wrong."""
        try:
            if not self._mark.exists():
                write_whole(self._mark, b"")
        except OSError as error:
            return [f"{error.filename}: {error.strerror}"]
        return []

    def stands(self, lookout: str, word: Standing) -> None:
        """Comes back where the leader says that nothing was taken over, and a majority is within reach again."""
        if not self.fenced or not word.free or self.standing is isolation.Standing.ISOLATED:
            return
        self._begin_freeing(self._free_self(lookout, word.generation))

    def _begin_freeing(self, work: Coroutine[Any, Any, None]) -> None:
        if self._freeing is None or self._freeing.done():
            self._freeing = asyncio.ensure_future(work)
        else:
            work.close()

    async def _free_self(self, lookout: str, generation: int) -> None:
        async with self._fence:
            try:
                refused = self._accepted.admit_word(generation)
                if refused is not None:
                    self._problems["refused"] = [f"{lookout} gave its word in vain: {refused.value}"]
                    return
                troubles = await self._freed()
            except OSError as error:
                troubles = [f"{error.filename}: {error.strerror}"]
            self._problems["fence"] = troubles
        for link in self.links.values():
            link.report_now()

    async def _free_on_word(self) -> None:
        """The same on the word of a person, whose order was accepted before."""
        async with self._fence:
            try:
                self._problems["fence"] = await self._freed()
            except OSError as error:
                self._problems["fence"] = [f"{error.filename}: {error.strerror}"]

    async def _freed(self) -> list[str]:
        """Undoes the fence, and strikes it out; what went wrong. Raises OSError."""
        troubles = _troubles(await self._tried(self._hands.free))
        if not troubles:
            self._mark.unlink(missing_ok=True)
            self.fenced = False
        return troubles

    # -- a person's word

    async def _attest(self, command: Command) -> Outcome:
        """Lookouts are off, says a person: they count for nothing until they answer, and this server works again."""
        lost = command.arguments.get("lost", "").split()
        if not lost or not self._settings.lookouts.keys() >= set(lost):
            return Outcome("failed", Refused.NO_LOOKOUT)
        if answering := [one for one in lost if self._answers(one)]:
            return Outcome("failed", f"{Refused.ANSWERS}: {', '.join(answering)}")
        self._attested.put(lost)
        until_s = self._clock.monotonic_s() + FREE_S
        while self.fenced or self.standing is isolation.Standing.ISOLATED:
            if self._clock.monotonic_s() > until_s:
                return Outcome("unknown", f"{self._settings.server} is not in service yet")
            await self._clock.sleep(LOOK_S)
        return Outcome("done")

    def _who_is_off(self) -> frozenset[str]:
        """The lookouts that are attested to be off, without those that answer after all."""
        self._attested.look()
        lost = self._attested.lost
        if back := {one for one in lost if self._answers(one)}:
            try:
                self._attested.put(lost - back)
            except OSError as error:
                self._problems["attested"] = [f"{error.filename}: {error.strerror}"]
        return lost - back

    def _answers(self, lookout: str) -> bool:
        return self._reach.answered_ms(lookout) < isolation.SILENT_MS

    async def _keep(self) -> None:
        while True:
            self._problems["keep"] = _troubles(await self._tried(self._hands.keep))
            await self._clock.sleep(KEEP_S)

    async def _tried(self, work: Callable[[], Awaitable[Sequence[Outcome]]]) -> Sequence[Outcome]:
        try:
            return await work()
        except Exception as error:  # one hand that fails must not end the agent that has others
            return [Outcome("unknown", f"{type(error).__name__}: {error}")]


def _troubles(outcomes: Sequence[Outcome]) -> list[str]:
    return [one.detail or one.result for one in outcomes if one.result != "done"]
