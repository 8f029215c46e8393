"""The campaign: who leads, in which generation, and how long one may believe it.

Who finds no leader's key puts its own there, with a lease, and raises the generation in the same transaction. The new
generation is above that of etcd and of every mirror. Where etcd has no head, it is new or was rebuilt: then a majority
of the configured lookouts must have told how far their mirrors are, and only the one that is farthest may lead; it
puts the head there, and what others lack.

We believe that we lead until the lease, counted by our own clock from before its last renewal was asked for, has run
for three quarters of its time. It is only a belief: appends are refused by etcd, effects by their generation, wherever
they land. Where etcd was silent until the belief had ended, and the lease has not, it begins again.

Nothing is decided before a majority of the mirrors has our generation: then whoever leads after us, even in an etcd
that was rebuilt from nothing, finds it in one of them and goes above it. Agents remember the newest generation that
ordered anything there, and refuse older ones: whoever leads goes above what those say that he knows of, and campaigns
anew where one turns up that has seen a newer one.

Leadership prefers a site that holds no primary: the fire that makes a takeover necessary would take the leader too.
Who stands beside a primary lets the others go first, for a moment.
"""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Sequence
from contextlib import suppress

import msgspec

from binome.core.entry import Draft, Head
from binome.core.leadership import LeadershipTaken
from binome.journal import refill
from binome.journal.agreed import (
    ANEW_EVERY_S,
    ASK_AGAIN_S,
    BELIEF_S,
    LEASE_S,
    LOOK_EVERY_S,
    RENEW_EVERY_S,
    ROLL_CALL_S,
    TRY_AGAIN_S,
    UPLOADED_AT_ONCE,
    Leader,
    MirrorMark,
    above,
    have_answered,
    is_majority,
    may_lead,
)
from binome.journal.patience import first_of
from binome.journal.view import EtcdView
from binome.ports import (
    AppendUnknownError,
    Clock,
    Compare,
    Delete,
    Etcd,
    EtcdError,
    EtcdUnknownError,
    NotLeaderError,
    Put,
    Store,
)


class Reign(msgspec.Struct):
    """That we lead: in which generation, by which lease, and how long we may believe it."""

    generation: int
    lease: int
    believed_until_s: float
    announced: bool = False  # an entry of ours, in this generation, is in the journal


class Campaign:
    """The campaign of lookout `name` among `members`.

    `append` adds drafts to the journal; `changed` is told when we begin or cease to lead; `stands_back` says for
    how many seconds we let others go first; `seen` is the newest generation that any agent says it has seen.
    """

    def __init__(
        self,
        name: str,
        members: Sequence[str],
        view: EtcdView,
        *,
        etcd: Etcd,
        store: Store,
        clock: Clock,
        append: Callable[[Sequence[Draft]], Awaitable[None]],
        changed: Callable[[], None],
        stands_back: Callable[[], Awaitable[float]],
        seen: Callable[[], int],
    ) -> None:
        self._name, self._members, self._view = name, tuple(members), view
        self._etcd, self._store, self._clock = etcd, store, clock
        self._append, self._changed, self._stands_back = append, changed, stands_back
        self._seen, self._anew_s = seen, -ANEW_EVERY_S
        self._reign: Reign | None = None
        self.news = asyncio.Event()
        """Set when what etcd holds has changed: perhaps nobody leads any more."""

    @property
    def generation(self) -> int | None:
        """The generation in which we lead, once a majority has it; None while we do not, or cannot know."""
        reign, marks = self._reign, self._view.marks
        if reign is None or not reign.announced or not self._believed(reign):
            return None  # unless we announced it, the generation that the marks show may be another's
        knowing = sum(marks[name].generation >= reign.generation for name in self._members if name in marks)
        return reign.generation if is_majority(knowing, len(self._members)) else None

    @property
    def reign(self) -> Reign | None:
        """The reign that we have, whether or not we may still believe in it."""
        return self._reign

    def ours(self) -> Reign:
        """The reign that we have, and believe in. Raises NotLeaderError."""
        reign = self._reign
        if reign is None or not self._believed(reign):
            raise NotLeaderError("we do not lead")
        return reign

    def still_ours(self, reign: Reign) -> Compare:
        """That the leader's key is the one that we put: by its value, because a generation is given once.

        Its revision would not tell: an etcd that was rebuilt counts anew, and may give it to another leader's key.
        """
        return Compare(f"{self._view.root}leader", "value", msgspec.json.encode(Leader(self._name, reign.generation)))

    def step_down(self) -> None:
        """We do not lead any more, whatever etcd says; the lease ends by itself."""
        self._reign = None
        self._changed()

    async def round(self) -> None:
        """Renews the leadership that we have, or takes one that nobody has."""
        reign = self._reign
        if reign is not None and self._is_outdated(reign):
            await self.resign()  # what we order is refused there: only above it can we lead
            self._changed()
        elif reign is not None:
            if not await self._renew(reign):
                await self._clock.sleep(ASK_AGAIN_S)
                return
            await self._announce(reign)
            await self._give_again(reign)
            await self._clock.sleep(RENEW_EVERY_S)
        elif self._view.leader is not None:
            await first_of(self.news.wait(), self._clock.sleep(TRY_AGAIN_S))
            self.news.clear()
        elif not await self._take_lead():
            await self._clock.sleep(TRY_AGAIN_S)

    def _is_outdated(self, reign: Reign) -> bool:
        """Whether an agent has seen a newer generation than ours, and we have not campaigned for that just now."""
        now_s = self._clock.monotonic_s()
        if self._seen() <= reign.generation or now_s < self._anew_s + ANEW_EVERY_S:
            return False
        self._anew_s = now_s
        return True

    async def resign(self) -> None:
        """Gives up the leadership, if we have it and etcd answers."""
        reign, self._reign = self._reign, None
        if reign is not None:
            with suppress(EtcdError, EtcdUnknownError):
                await self._etcd.revoke(reign.lease)

    def own_mark(self) -> MirrorMark:
        """How far our mirror is, and the last roll call that we heard."""
        head = self._store.head()
        return MirrorMark(head.sequence, head.generation, self._view.called)

    def _believed(self, reign: Reign) -> bool:
        return self._clock.monotonic_s() < reign.believed_until_s

    async def _renew(self, reign: Reign) -> bool:
        """Asks for the lease to live on; False where etcd does not answer.

        That the lease has ended only etcd can say. Until it does, the reign is kept: the belief ends in its time, and
        begins again where the lease has outlived the silence, because nobody else can have led meanwhile.
        """
        asked_s = self._clock.monotonic_s()
        try:
            alive = await self._etcd.keep_alive(reign.lease)
        except (EtcdError, EtcdUnknownError):
            return False
        lapsed = not self._believed(reign)
        if alive:
            reign.believed_until_s = asked_s + BELIEF_S
        elif self._reign is reign:
            self.step_down()
        if alive and lapsed:
            self._changed()
        return True

    async def _announce(self, reign: Reign) -> None:
        """Puts our generation into the journal, unless it is there: nobody decides before a majority has it."""
        if self._reign is reign and not reign.announced:
            taken = LeadershipTaken(self._name)
            told = Draft(f"leadership/{reign.generation}/{self._name}", self._clock.now_ms(), self._name, taken)
            with suppress(NotLeaderError, AppendUnknownError):  # then it is tried again with the next renewal
                await self._append([told])
                reign.announced = True

    async def _give_again(self, reign: Reign) -> None:
        """Puts what others asked for because etcd has it no more."""
        for name, after in sorted(self._view.lacking.items()):
            actions = refill.answer(self._view.root, self._store, name, after, self._view.batches)
            await self._etcd.transact([self.still_ours(reign)], actions)

    async def _take_lead(self) -> bool:
        """Whether we lead now. The transaction fails where anybody else has moved since we looked."""
        view = self._view
        await view.read()
        if view.leader is None and (back_s := await self._stands_back()):
            await self._clock.sleep(back_s)
        if view.leader is not None:
            return False
        answers = await self._roll_call()
        head = self._store.head()
        if view.leader is not None or not may_lead(head, view.head, answers, len(self._members)):
            return False
        founding = view.head is None or view.head.sequence < head.sequence
        generation = 1 + max(view.newest, head.generation, *(mark.generation for mark in view.marks.values()), 0)
        generation = above(generation, self._seen())
        # Taken down before anything is waited for: they say of which moment the generation and the head are.
        compares = [
            Compare(f"{view.root}leader", "create_revision", 0),
            Compare(f"{view.root}generation", "mod_revision", view.newest_revision),
            Compare(f"{view.root}head", "mod_revision", view.head_revision),
        ]
        asked_s = self._clock.monotonic_s()
        lease = await self._etcd.grant(LEASE_S)
        actions: list[Put | Delete] = [
            Put(f"{view.root}leader", msgspec.json.encode(Leader(self._name, generation)), lease),
            Put(f"{view.root}generation", str(generation).encode()),
        ]
        if founding:
            actions.append(Put(f"{view.root}head", msgspec.json.encode(head)))
            actions += self._what_others_lack(head)
        committed = await self._etcd.transact(compares, actions)
        if not committed.succeeded:
            await self._etcd.revoke(lease)
            return False
        if founding:
            view.founded(head, committed.revision)
        self._reign = Reign(generation, lease, asked_s + BELIEF_S)
        await self._announce(self._reign)
        return True

    async def _roll_call(self) -> dict[str, MirrorMark]:
        """How far the mirrors are that answer now, ours included; waits for enough, but not for long."""
        call = Put(f"{self._view.root}call", self._name.encode())
        called = (await self._etcd.transact((), [call])).revision
        until_s = self._clock.monotonic_s() + ROLL_CALL_S
        while True:
            marks = self._view.marks
            answers = {name: marks[name] for name in self._members if name in marks and marks[name].called >= called}
            answers[self._name] = self.own_mark()
            if have_answered(answers, len(self._members)) or self._clock.monotonic_s() > until_s:
                return answers
            await self._clock.sleep(LOOK_EVERY_S)

    def _what_others_lack(self, head: Head) -> list[Put]:
        """Our newest entries that not all other mirrors have, as a batch; who lacks more than one takes asks for it."""
        others, marks = [name for name in self._members if name != self._name], self._view.marks
        known = [marks[name].sequence if name in marks else 0 for name in others]
        after = max(min(known, default=head.sequence), head.sequence - UPLOADED_AT_ONCE)
        return refill.batch(self._view.root, refill.last_at_once(self._store.read(after, UPLOADED_AT_ONCE)))
