"""The lookouts of an estate, as one of them knows them: heard or silent, what each sees, what each says of the others.

Every lookout dials every other one and speaks on the connection that it dialled (peer_link.py); on those that others
dialled it listens, and answers. So each direction stands and falls alone, and nobody needs to agree on who dials.

Who the other is, is proved by his certificate alone. Both ends say on what they run; where the estate file, the version
or the protocol differ both refuse, and both say what differs. What a peer says is believed to be *his view*: a lookout
can lie about what it sees, never about who sees it. What others hold of the peers is for whoever decides to weigh.

    heard     peer → seconds since its last beat, by our monotonic clock
    seen_by   peer → other → milliseconds since that peer had heard the other, when it said so
    views     peer → target → its verdict; whole lists take the place of the one before at once, never in part

A peer that falls silent keeps its last view: that it is old is said by `heard`.
"""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Collection, Mapping
from contextlib import suppress
from typing import Generic, NamedTuple, Protocol, TypeVar

import msgspec

from binome.estate import Estate
from binome.ports import Clock
from binome.runtime.identity import Identity, IdentityError
from binome.runtime.peer_link import BEAT_S, HELLO_S, Link
from binome.runtime.peer_messages import (
    PROTOCOL,
    SAID_LENGTH,
    Answer,
    Ask,
    Beat,
    BreachError,
    Hello,
    Pages,
    Refused,
    Reply,
    Request,
    Revoked,
    Took,
    Verdicts,
    apart,
    difference,
    encode,
    model_of,
    version,
)
from binome.runtime.peer_speech import SILENT_S, greeting, heard, put
from binome.runtime.peer_transport import Channel, ChannelError, RefusedError, Transport
from binome.runtime.ticks import TICK_S, Ticks
from binome.shown import shown

Judged = TypeVar("Judged")
"""A verdict, as it is sent: any type that msgspec knows."""

Handler = Callable[[Channel, Request], Awaitable[Reply]]
"""Answers a request of whoever is at the other end. Raises nothing."""

BEAT_TICKS = round(BEAT_S / TICK_S)
UNHEARD_MS = 300
"""Who has not heard us for so long is told that his beats are taken: our own would have said so."""
APART_MS = 5_000
"""Clocks that differ by more are a problem. A beat may be late by a second."""
ANSWERING_AT_ONCE = 8
REMEMBERED_S = 60.0
"""Who was refused comes again within seconds; after so long without that he is gone."""


class Silent(NamedTuple):
    """A lookout that is not heard: for how long, and why we have no connection to it, where we have none."""

    peer: str
    since_s: float
    why: str


class Jobs(Protocol):
    """The beats of jobs (heartbeats.py), which lookouts tell one another: a job beats at one of them."""

    def ages_s(self) -> Mapping[str, float]:
        """Seconds since the newest beat of each job that is known here."""

    def heard(self, ages_s: Mapping[str, float]) -> None:
        """Takes in another lookout's word for them."""


class AgentsDoor(Protocol):
    """Where connections of agents end (agents.py)."""

    async def serve(self, channel: Channel, hello: Hello) -> None:
        """One agent's connection, to its end. Raises ChannelError, RefusedError or BreachError."""


class _Heard(Generic[Judged]):
    """What is known from one peer."""

    def __init__(self) -> None:
        self.at_s: float | None = None
        self.boot = ""
        self.ages: dict[str, int] = {}
        self.apart_ms = 0
        self.view: dict[str, Judged] = {}
        self.coming: dict[str, Judged] | None = None  # a whole list that has begun and not ended
        self.channel: Channel | None = None


class Peers(Generic[Judged]):
    """One lookout's part. `judged` is the type of a verdict, `targets` are the names that there are.

    `identity` has the list of what was revoked, where there is one. `boot` is another text after each start. `changed`
    is called when a peer is heard or falls silent, and when a view changes; `told` with a peer and what it has just
    told: all of its verdicts, and True, or those that changed, and False. `jobs` are whose beats are handed on. `pages`
    takes what another one tells of pages, and raises ValueError for what is none.
    Connections of agents, which say so in their greeting, are `agents`' matter.
    """

    def __init__(
        self,
        estate: Estate,
        name: str,
        transport: Transport,
        clock: Clock,
        *,
        judged: type[Judged],
        targets: Collection[str],
        boot: str,
        identity: Identity | None = None,
        answers: Handler | None = None,
        jobs: Jobs | None = None,
        agents: AgentsDoor | None = None,
        changed: Callable[[], None] = lambda: None,
        told: Callable[[str, Mapping[str, Judged], bool], None] = lambda _peer, _of, _whole: None,
        pages: Callable[[bytes], None] = lambda _told: None,
        ticks: Ticks | None = None,
    ) -> None:
        self.name = name
        self.others = tuple(one for one in (estate.lookout.on if estate.lookout else ()) if one != name)
        self._servers = frozenset(estate.servers)
        self._transport, self._clock, self._identity = transport, clock, identity
        self._judged = msgspec.msgpack.Decoder(judged)
        self._targets = frozenset(targets)
        self._answers, self._changed, self._told, self._jobs = answers, changed, told, jobs
        self._agents, self._pages = agents, pages
        self._ticks = ticks or Ticks(clock)
        self._hello = Hello(PROTOCOL, version(), estate.estate, model_of(estate), boot)
        self._heard: dict[str, _Heard[Judged]] = {one: _Heard() for one in self.others}
        self._troubles: dict[tuple[str, str], tuple[float, str]] = {}  # (a server, which direction) → when, what
        self._links = {one: self._link(one) for one in self.others}
        self._begun_s = clock.monotonic_s()
        self._were_silent: frozenset[str] = frozenset()
        self._inward: dict[str, Channel] = {}
        self._sequence = 0  # of our last beat

    def _link(self, other: str) -> Link:
        return Link(self, other, self._transport, self._clock, lambda why: self._tell(other, "to", why))

    # -- for the runtime

    async def run(self) -> None:
        """Speaks and listens until it is cancelled."""
        self._begun_s = self._clock.monotonic_s()
        async with asyncio.TaskGroup() as group:
            group.create_task(self._transport.listen(self._met))
            group.create_task(self._beat())
            for link in self._links.values():
                group.create_task(link.run())

    def publish(self, changes: Mapping[str, Judged]) -> None:
        """Tells all others these verdicts, by target; who is away gets the whole list when it is back."""
        values = {target: encode(value) for target, value in changes.items()}
        for link in self._links.values():
            link.publish(values)

    def tell_pages(self, told: bytes) -> None:
        """Tells all others that can be reached what became of pages; at most PAGES_BYTES."""
        for link in self._links.values():
            link.tell(told)

    async def ask(self, peer: str, request: Request, timeout_s: float) -> Reply:
        """Another lookout's answer. Raises NotAskedError (nothing was done) or NoAnswerError (nobody knows)."""
        return await self._links[peer].ask(request, timeout_s)

    @property
    def heard(self) -> Mapping[str, float]:
        """Seconds since the last beat of each peer that was ever heard."""
        now_s = self._clock.monotonic_s()
        return {peer: now_s - one.at_s for peer, one in self._heard.items() if one.at_s is not None}

    @property
    def seen_by(self) -> Mapping[str, Mapping[str, int]]:
        """Of each peer that was ever heard: milliseconds since it had heard each of the others, as of its last beat."""
        return {peer: one.ages for peer, one in self._heard.items() if one.at_s is not None}

    @property
    def views(self) -> Mapping[str, Mapping[str, Judged]]:
        """The verdicts of each peer that has ever said all of them."""
        return {peer: one.view for peer, one in self._heard.items()}

    def silent(self) -> list[Silent]:
        """The peers that were not heard for a while."""
        now_s, found = self._clock.monotonic_s(), []
        for peer, one in self._heard.items():
            since_s = now_s - (self._begun_s if one.at_s is None else one.at_s)
            if since_s > SILENT_S:
                found.append(Silent(peer, since_s, self._links[peer].trouble))
        return found

    def problems(self) -> list[str]:
        """What a person should see to: who is refused and why, clocks that differ, what is wrong with who we are."""
        oldest_s = self._clock.monotonic_s() - REMEMBERED_S
        problems = [why for _, (at_s, why) in sorted(self._troubles.items()) if at_s > oldest_s]
        problems += [
            f"the clocks of {self.name} and {peer} are {one.apart_ms / 1000:.0f} s apart"
            for peer, one in self._heard.items()
            if one.apart_ms > APART_MS
        ]
        if self._identity is not None:
            problems += self._identity.problems(self._clock.now_ms())
        return problems + self._transport.problems()

    # -- what we say of ourselves (peer_link.Own)

    def hello(self) -> Hello:
        """What this lookout runs on now."""
        number = 0 if self._identity is None else self._identity.revoked.number
        return msgspec.structs.replace(self._hello, revoked=number)

    def beat(self) -> bytes:
        """Its heartbeat now, as it is sent to all."""
        ages = {peer: round(since_s * 1000) for peer, since_s in self.heard.items()}
        jobs = {job: round(age_s * 1000) for job, age_s in self._jobs.ages_s().items()} if self._jobs else {}
        return encode(Beat(self._sequence, max(self._clock.now_ms(), 0), ages, jobs))

    def newer_list(self, number: int) -> bytes | None:
        """Its list of what was revoked, where that is newer than the one of this number."""
        if self._identity is None or self._identity.revoked.number <= number:
            return None
        return self._identity.revoked.pem

    def list_came(self, pem: bytes) -> None:
        """Takes a list that another one had: whom it names is let go at his next word. Raises BreachError."""
        if self._identity is None:
            return
        try:
            self._identity.adopt(pem)
        except IdentityError as error:
            raise BreachError(str(error)) from error

    # -- listening

    async def _met(self, channel: Channel) -> None:
        """One connection that another server opened, to its end."""
        peer = channel.named.server
        try:
            theirs = await self._let_in(channel)
            self._tell(peer, "from", "")
            if theirs.role == "agent" and self._agents is not None:
                await self._agents.serve(channel, theirs)
            else:
                await self._listen(channel)
        except (RefusedError, BreachError) as error:
            self._tell(peer, "from", str(error))
            await self._refuse(channel, str(error))
        except ChannelError:
            pass  # it dials again
        finally:
            if self._inward.get(peer) is channel:
                del self._inward[peer]

    async def _let_in(self, channel: Channel) -> Hello:
        """The other one's greeting, where both may work together. Raises ChannelError, RefusedError or BreachError."""
        peer = channel.named.server
        if peer not in self._servers:
            raise RefusedError("it is no server of the estate")
        await put(channel, self.hello())
        theirs = await greeting(channel, HELLO_S)
        is_agent = theirs.role == "agent"
        if peer == self.name and not is_agent:
            raise RefusedError("it is no other server of the estate")
        if is_agent and self._agents is None:
            raise RefusedError("agents are not heard here")
        if differs := (apart if is_agent else difference)(self.hello(), theirs):
            raise RefusedError(differs)
        if newer := self.newer_list(theirs.revoked):
            await put(channel, Revoked(newer))
        if not is_agent:
            self._inward[peer] = channel
        return theirs

    async def _listen(self, channel: Channel) -> None:
        peer, answering = channel.named.server, set[asyncio.Task[None]]()
        one = self._heard.get(peer)
        try:
            while True:
                message = await heard(channel, SILENT_S)
                if why := channel.objection():
                    raise RefusedError(why)
                if self._inward.get(peer) is not channel:
                    raise ChannelError("it has opened another connection")
                match message:
                    case Beat() if one is not None:
                        await self._beat_came(channel, one, message)
                    case Verdicts() if one is not None:
                        self._verdicts_came(peer, one, message)
                    case Revoked(pem):
                        self.list_came(pem)
                    case Pages(raw) if one is not None:
                        self._pages_came(raw)
                    case Ask():
                        if len(answering) >= ANSWERING_AT_ONCE:
                            await put(channel, Answer(message.number, Refused("too many requests at once")))
                            continue
                        task = asyncio.ensure_future(self._answer(channel, message))
                        answering.add(task)
                        task.add_done_callback(answering.discard)
                    case _:
                        raise BreachError(f"{type(message).__name__}, which is not for it to say")
        finally:
            for task in answering:
                task.cancel()

    async def _beat_came(self, channel: Channel, one: _Heard[Judged], beat: Beat) -> None:
        one.at_s = self._clock.monotonic_s()
        one.ages = {peer: age_ms for peer, age_ms in beat.ages.items() if peer in self._servers}
        one.apart_ms = abs(self._clock.now_ms() - beat.at_ms)
        if self._jobs is not None and beat.jobs:
            self._jobs.heard({job: age_ms / 1000 for job, age_ms in beat.jobs.items()})
        if channel.named.server in self._were_silent:
            self._look()
        await self._taken(channel, beat)

    async def _taken(self, channel: Channel, beat: Beat) -> None:
        """Both sides learn from the beats that come whether those that go are taken; who hears none of ours is told."""
        age_ms = beat.ages.get(self.name)
        if age_ms is None or age_ms > UNHEARD_MS:
            await put(channel, Took(beat.sequence))
        if age_ms is not None:
            self._links[channel.named.server].taken(age_ms / 1000)

    def _verdicts_came(self, peer: str, one: _Heard[Judged], message: Verdicts) -> None:
        came: dict[str, Judged] = {}
        for target, raw in message.of.items():
            if target not in self._targets:
                raise BreachError(f"a verdict on {shown(target)}, and there is no such target")
            try:
                came[target] = self._judged.decode(raw)
            except (msgspec.MsgspecError, UnicodeDecodeError, RecursionError) as error:
                raise BreachError(f"a verdict that is none: {shown(str(error), SAID_LENGTH)}") from error
        if message.begins:
            one.coming = {}
        if one.coming is None:
            one.view |= came
            self._told(peer, came, False)
        else:
            one.coming |= came
            if not message.ends:
                return
            one.view, one.coming = one.coming, None
            self._told(peer, one.view, True)
        self._changed()

    def _pages_came(self, raw: bytes) -> None:
        try:
            self._pages(raw)
        except (ValueError, msgspec.MsgspecError, RecursionError) as error:
            raise BreachError(f"words about pages that are none: {shown(str(error), SAID_LENGTH)}") from error

    async def _answer(self, channel: Channel, asked: Ask) -> None:
        """Answers one request; who is not there any more gets no answer, and asks again if he wants."""
        try:
            reply: Reply = Refused("nothing of this kind is done here")
            if self._answers is not None:
                reply = await self._answers(channel, asked.of)
            await put(channel, Answer(asked.number, reply))
        except ChannelError:
            channel.close()

    # -- within

    async def _refuse(self, channel: Channel, why: str) -> None:
        with suppress(ChannelError):  # it has gone, and says so itself
            await put(channel, Refused(why[:1000]))

    async def _beat(self) -> None:
        """Says ten times a second that this lookout lives, and notices who does not: nothing comes that would tell."""
        while True:
            self._sequence += 1
            frame = self.beat()
            for link in self._links.values():
                link.beat(frame)
            self._look()
            await self._ticks.next(BEAT_TICKS)  # beats that were missed are not made up for

    def _look(self) -> None:
        silent = frozenset(one.peer for one in self.silent())
        if silent != self._were_silent:
            self._were_silent = silent
            self._changed()

    def _tell(self, server: str, which: str, why: str) -> None:
        """Keeps what is wrong between us and a server, in one direction; empty words: nothing any more."""
        if not why:
            self._troubles.pop((server, which), None)
            return
        words = f"{shown(server)}, which came to {self.name}, was refused: {why}"
        if which == "to":
            words = f"{server} and {self.name} do not go together: {why}"
        self._troubles[server, which] = (self._clock.monotonic_s(), words)
