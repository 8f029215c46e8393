"""A model of an etcd cluster: members on sites, one leader, a quorum, and everything that goes wrong between them.

One state is agreed upon; each member knows it up to a revision. A proposal goes from the member that was asked to the
leader, is committed when a majority can be reached, applied in order, and answered by the way it came. So an answer
can be lost after the commit; and a proposal that waits at a leader without a majority may be committed later, or be
dropped by the next election, and nobody is told. A leader that cannot reach a majority is replaced after the election
timeout by a member that can. Leases run by the clock of the leader and live their whole time again under a new one; a
renewal is answered by the leader alone.

A watch is served by one member, from what that member knows, over a stream that keeps order and breaks when the link
does.

Not modelled: Raft's messages themselves (terms, logs, snapshots), two members that both believe to lead, a cluster of
another size while a member is replaced.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from random import Random
from typing import Any, NamedTuple

from binome.ports import Change, CompactedError, EtcdError
from binome.sim.etcd_state import EtcdState
from binome.sim.network import Network

TICK_S = 0.25
ELECTION_S = (0.5, 1.5)

Answer = Callable[[Any], None]
"""Takes what came of a request: its result, or the error that it ended with."""


class Refused(NamedTuple):
    """The member does not listen: certainly nothing was done."""


@dataclass(slots=True)
class Proposal:
    """What a client asked for: `work` changes the state. `client` is who asked, for the history."""

    client: str
    work: Callable[[EtcdState], Any]
    answer: Answer


@dataclass(slots=True)
class Stream:
    """A watch as the member has it. `deliver` takes batches, an error, or None where the stream broke."""

    site: str
    prefix: str
    next_revision: int
    deliver: Callable[[tuple[int, Sequence[Change]] | CompactedError | None], None]
    arrives_s: float = 0.0
    open: bool = True


@dataclass(slots=True)
class Member:
    """One member. `downs`, `pauses` and `deaf` count the faults that hold it; `rate` is its clock's."""

    name: str
    site: str
    applied: int = 1
    downs: int = 0
    pauses: int = 0
    deaf: int = 0  # it takes part, but hears and answers no client
    learns: bool = False  # it is new, and has nothing yet: it neither votes nor serves
    rate: float = 1.0
    streams: list[Stream] = field(default_factory=list)
    waiting: list[Callable[[], None]] = field(default_factory=list)  # what arrived while it was paused

    @property
    def well(self) -> bool:
        """Whether it takes part."""
        return not self.downs and not self.pauses and not self.learns


class Cluster:
    """The cluster, and the hooks by which faults and checkers reach it. `committed` is told of every commit."""

    def __init__(
        self,
        network: Network,
        sites: Sequence[str],
        chance: Random,
        committed: Callable[[str, Sequence[Change]], None] = lambda _client, _changes: None,
        quota_bytes: int = 1 << 40,
    ) -> None:
        self.network, self.loop, self._chance, self._committed = network, network.loop, chance, committed
        self.members = [Member(f"etcd-{site}", site) for site in sites]
        self.state = EtcdState(quota_bytes)
        self.leader: Member | None = None
        self.epoch = 0  # counts the times that the data began anew
        self.lost_replies = 0.0
        self._loses_next = False
        self._term = 0
        self._queue: list[Proposal] = []
        self._deadlines: dict[int, float] = {}  # lease → seconds of the leader's life that are left
        self._unwell_since_s = -10.0
        self._patience_s = 0.0
        self._tick()

    # -- the members among themselves

    def _reaches(self, member: Member) -> bool:
        """Whether a member has a majority on its side."""
        return member.well and self._majority(1 + sum(self._talks(member, other) for other in self.members))

    def _talks(self, member: Member, other: Member) -> bool:
        return other is not member and other.well and self.network.both_ways(member.site, other.site)

    def _majority(self, count: int) -> bool:
        return count > len(self.members) // 2

    def _tick(self) -> None:
        self.loop.after(TICK_S, self._tick)
        leader = self.leader
        if leader is not None and self._reaches(leader):
            self._unwell_since_s = self.loop.now_s
            self._advance(self._term, len(self._queue))
            self._run_leases(leader)
            self._teach(leader)
            for member in self.members:
                if member is leader or self._talks(leader, member):
                    self._apply(member, self.state.revision, self.epoch)
        elif self.loop.now_s - self._unwell_since_s > self._patience_s:
            self._elect([member for member in self.members if self._reaches(member)])

    def _teach(self, leader: Member) -> None:
        """Members that are new get all there is, and take part from now on."""
        for member in self.members:
            there = not member.downs and not member.pauses and self.network.both_ways(leader.site, member.site)
            if member.learns and there:
                member.learns, member.applied = False, self.state.revision

    def _elect(self, candidates: Sequence[Member]) -> None:
        self._patience_s = self._chance.uniform(*ELECTION_S)
        self._unwell_since_s = self.loop.now_s
        if not candidates:
            self.leader = None  # it steps down, and keeps what it was asked for in its log
            return
        self._term += 1
        self.leader = self._chance.choice(candidates)
        survivors = self._queue[: self._chance.randint(0, len(self._queue))]
        self._queue = []
        for proposal in survivors:  # the new leader had them in its log; who asked for them is not told any more
            proposal.answer = _unheard
            self._commit(proposal)
        self._deadlines = {lease: float(ttl_s) for lease, ttl_s in self.state.leases.items()}

    def _run_leases(self, leader: Member) -> None:
        for lease in sorted(self.state.leases):
            left_s = self._deadlines.get(lease, float(self.state.leases[lease])) - TICK_S * leader.rate
            self._deadlines[lease] = left_s
            if left_s <= 0:
                self._commit(Proposal("etcd", lambda state, lease=lease: state.revoke(lease), _unheard))  # type: ignore[misc]

    # -- commits

    def propose(self, member: Member, proposal: Proposal) -> None:
        """A member was asked to change something: it hands that to the leader, or says that there is none."""
        leader = self.leader
        if leader is None:
            self.loop.after(0.5, proposal.answer, EtcdError("etcdserver: no leader", "Unavailable"))
            return

        epoch = self.epoch

        def arrive() -> None:  # a cluster takes nothing that members of another one, before it, pass on
            if leader is self.leader and not leader.downs and epoch == self.epoch:
                self._queue.append(proposal)
                if self._reaches(leader):
                    trips = sorted(
                        self.network.round_trip_s(leader.site, other.site)
                        for other in self.members
                        if self._talks(leader, other)
                    )
                    needed = len(self.members) // 2
                    self.loop.after(trips[needed - 1] if needed else 0.0005, self._advance, self._term, 1)

        self.network.request(member.site, leader.site, arrive)

    def _advance(self, term: int, count: int) -> None:
        """Commits the oldest proposals, if the leader is still the one that it was."""
        if term != self._term or self.leader is None or not self._reaches(self.leader):
            return
        for _ in range(min(count, len(self._queue))):
            self._commit(self._queue.pop(0))

    def _commit(self, proposal: Proposal) -> None:
        before = self.state.revision
        try:
            result = proposal.work(self.state)
        except (EtcdError, CompactedError) as error:
            result = error
        for lease in set(self._deadlines) - set(self.state.leases):
            del self._deadlines[lease]
        for revision in range(before + 1, self.state.revision + 1):
            self._committed(proposal.client, self.state.history.get(revision, ()))
        proposal.answer(result)
        leader = self.leader
        if leader is not None:
            self._apply(leader, self.state.revision, self.epoch)
            for member in self.members:
                if self._talks(leader, member):
                    delay_s = self.network.links[leader.site, member.site].travel_s()
                    self.loop.after(delay_s, self._apply, member, self.state.revision, self.epoch)

    def _apply(self, member: Member, revision: int, epoch: int) -> None:
        if member.well and epoch == self.epoch and revision > member.applied:
            member.applied = revision
        if member.well:
            for stream in tuple(member.streams):
                self._feed(member, stream)

    # -- what a client's request meets

    def receive(self, name: str, handle: Callable[[Member], None], refuse: Callable[[], None]) -> None:
        """A request has come to a member: handled now, when the member is thawed, or refused."""
        member = self.member(name)
        if member.downs or member.learns:
            refuse()
        elif member.deaf:
            return
        elif member.pauses:
            member.waiting.append(lambda: handle(member))
        else:
            handle(member)

    def read(self, member: Member, work: Callable[[EtcdState], Any], answer: Answer) -> None:
        """A linearizable read: the leader confirms with a majority that it still leads. Unanswered if it cannot."""
        leader = self.leader
        if leader is None:
            self.loop.after(0.5, answer, EtcdError("etcdserver: no leader", "Unavailable"))
        elif self._reaches(leader) and (member is leader or self._talks(leader, member)):
            delay_s = 0.0 if member is leader else self.network.round_trip_s(member.site, leader.site)
            self.loop.after(delay_s, self._answer_read, leader, work, answer)

    def _answer_read(self, leader: Member, work: Callable[[EtcdState], Any], answer: Answer) -> None:
        if leader is self.leader and leader.well:
            try:
                answer(work(self.state))
            except (EtcdError, CompactedError) as error:
                answer(error)

    def renew(self, member: Member, lease: int, answer: Answer) -> None:
        """A lease's renewal: the leader answers it alone, though it may have lost its majority."""
        leader = self.leader
        if leader is None:
            self.loop.after(0.5, answer, EtcdError("etcdserver: no leader", "Unavailable"))
        elif leader.well and (member is leader or self._talks(leader, member)):
            lives = lease in self.state.leases
            if lives:
                self._deadlines[lease] = float(self.state.leases[lease])
            answer(lives)

    def member(self, name: str) -> Member:
        """The member of that name."""
        return next(member for member in self.members if member.name == name)

    def loses_reply(self, *, of_a_change: bool) -> bool:
        """Whether the answer that is about to be sent gets lost."""
        if self._loses_next and of_a_change:
            self._loses_next = False
            return True
        return bool(self.lost_replies) and self._chance.random() < self.lost_replies

    # -- watches

    def open_stream(self, member: Member, stream: Stream) -> None:
        """Begins to serve a watch. One from the future of another cluster's data is told that its past is gone."""
        if stream.next_revision == 0:
            stream.next_revision = member.applied + 1
        member.streams.append(stream)
        self._feed(member, stream)

    def _feed(self, member: Member, stream: Stream) -> None:
        if not stream.open:
            member.streams.remove(stream)
            return
        if member.applied < stream.next_revision:
            return
        try:
            batches = list(self.state.changes(stream.prefix, stream.next_revision, member.applied))
        except CompactedError as error:
            self._send(member, stream, error)
            stream.open = False
            return
        stream.next_revision = member.applied + 1
        for batch in batches:
            self._send(member, stream, batch)

    def _send(self, member: Member, stream: Stream, what: tuple[int, Sequence[Change]] | CompactedError) -> None:
        link = self.network.links[member.site, stream.site]
        if not link.up:
            self.break_stream(stream)
            return
        stream.arrives_s = max(stream.arrives_s, self.loop.now_s + link.travel_s())
        self.loop.at(stream.arrives_s, _deliver, stream, what)

    def break_stream(self, stream: Stream, notice_s: float = 3.0) -> None:
        """The connection is gone; the client notices by its own silence timer."""
        if stream.open:
            stream.open = False
            self.loop.after(notice_s, stream.deliver, None)

    # -- what faults do

    def set_down(self, member: Member, down: bool) -> None:
        """Kills a member, or starts it again from its disk."""
        member.downs += 1 if down else -1
        if down:
            member.waiting.clear()
            self.break_streams(member)

    def replace(self, member: Member) -> None:
        """A member is taken out of the cluster, and comes back as a new one with nothing on its disk."""
        self.set_down(member, True)
        member.learns, member.applied = True, 0
        self.set_down(member, False)

    def set_deaf(self, member: Member, deaf: bool) -> None:
        """The member hears no client any more, or does again."""
        member.deaf += 1 if deaf else -1
        self._silence_streams(member)

    def _silence_streams(self, member: Member) -> None:
        for stream in member.streams:
            self.break_stream(stream)
        member.streams.clear()

    def lose_next_reply(self) -> None:
        """The next change is carried out, and its answer lost."""
        self._loses_next = True

    def set_paused(self, member: Member, paused: bool) -> None:
        """Stops a member, or lets it go on with what has arrived meanwhile."""
        member.pauses += 1 if paused else -1
        if paused:
            self._silence_streams(member)
        if not member.pauses and not member.downs:
            waiting, member.waiting = member.waiting, []
            for handle in waiting:
                handle()

    def break_streams(self, member: Member) -> None:
        """All connections to a member end, and their clients are told so."""
        for stream in member.streams:
            self.break_stream(stream, notice_s=0.01)
        member.streams.clear()

    def move_leader(self) -> None:
        """The cluster chooses another leader, for whatever reason."""
        self._elect([member for member in self.members if member is not self.leader and self._reaches(member)])

    def disarm(self) -> None:
        """An operator has seen to the space."""
        self.state.alarmed = False

    def rebuild(self) -> None:
        """All data is gone, and the cluster begins again from nothing: revisions and leases count anew."""
        self.epoch += 1
        self._term += 1
        self._queue.clear()
        self._deadlines.clear()
        self.state = EtcdState(self.state.quota_bytes, self.epoch)
        for member in self.members:
            member.applied = 1
            self.break_streams(member)


def _deliver(stream: Stream, what: tuple[int, Sequence[Change]] | CompactedError) -> None:
    if stream.open or isinstance(what, CompactedError):
        stream.deliver(what)


def _unheard(_result: object) -> None:
    """Nobody waits for this answer any more."""
