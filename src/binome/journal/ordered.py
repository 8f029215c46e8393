"""The journal of several lookouts: one order for all of them, agreed on through etcd, mirrored by each.

In etcd, below `/binome/ESTATE/`:

    leader          name and generation of the leader; hangs on its lease      campaign.py
    generation      the newest generation that anybody has led in
    head            number, hash and generation of the last entry
    batch/NUMBER    the entries that were appended together, from this number on
    mirror/NAME     how far a lookout's mirror has come, and the newest generation in it
    call            the roll call of who wants to lead
    request/ID      what a person asks for, until a leader has recorded it
    lacking/NAME    after which number a lookout lacks what etcd has no more   refill.py

*Appending.* One transaction: if the leader's key is still the very one that we put, and the head the one that we
know, the batch and the new head are put. A leader that was replaced, and does not know it yet, is refused by the
first; two appends of one leader, of which the first seemed lost, by the second. After an answer that did not come,
the head is read back before anything else is appended; what had arrived is then found by its id and not added again.

*Following.* Every lookout lists once and watches from there; after a compaction past its watch it lists again
(view.py). An entry is handed on only after it was checked to follow the one before and is durable in the mirror
(mirror.py). So reading, and all that is decided from it, works on the mirror alone.
"""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Iterable, Sequence
from contextlib import suppress

import msgspec

from binome.core.entry import Draft, Entry, Head, encode, seal
from binome.journal import refill
from binome.journal.agreed import (
    APPENDS_AT_ONCE,
    APPENDS_PER_S,
    MARK_EVERY_S,
    NEWS_FOR_S,
    RENEW_EVERY_S,
    SLOW_S,
    TRIM_EVERY_S,
    TRY_AGAIN_S,
    ForkError,
    GapError,
    Leader,
    batch_key,
    in_pieces,
    request_put,
)
from binome.journal.campaign import Campaign, Reign
from binome.journal.mirror import compare, mirror
from binome.journal.patience import first_of
from binome.journal.tidy import Tidy
from binome.journal.view import EtcdView
from binome.ports import (
    AppendUnknownError,
    Clock,
    Compare,
    Delete,
    Etcd,
    EtcdError,
    EtcdUnknownError,
    MovedOnError,
    NotLeaderError,
    Put,
    Standing,
    Store,
    StoreError,
)


async def _at_once() -> float:
    return 0.0


class OrderedJournal:
    """A `Journal` of several lookouts. `members` are all that the estate configures, this one included.

    `run` must be running for it to follow and to lead. `stands_back` says for how many seconds this lookout lets others
    take the lead first; `seen` is the newest generation that any agent says it has seen.
    """

    def __init__(
        self,
        estate: str,
        name: str,
        members: Sequence[str],
        *,
        etcd: Etcd,
        store: Store,
        clock: Clock,
        stands_back: Callable[[], Awaitable[float]] = _at_once,
        seen: Callable[[], int] = lambda: 0,
    ) -> None:
        self._root = f"/binome/{estate}/"
        self.name = name
        self._etcd, self._store, self._clock = etcd, store, clock
        self._view = EtcdView(self._root, etcd, came=self._came, listed=self._ends, changed=self._news)
        self._campaign = Campaign(
            name,
            members,
            self._view,
            etcd=etcd,
            store=store,
            clock=clock,
            append=self.append,
            changed=self._news,
            stands_back=stands_back,
            seen=seen,
        )
        self._tidy = Tidy(members, self._view, self._campaign, etcd=etcd, clock=clock)
        self._in_doubt = True  # what etcd holds must be read before anything is appended
        self._appending = asyncio.Lock()
        self._paid_until_s = 0.0  # what was appended lately uses up the time until then
        self._append_s = 0.0  # how long the last append took, and when it was done
        self._appended_s = 0.0
        self._refusal = ""  # of the last append, by etcd
        self._changed = asyncio.Event()
        self._mark_now = asyncio.Event()
        self._problems: dict[str, str] = {}  # by the work that does not succeed just now

    # -- what the loop uses

    @property
    def generation(self) -> int | None:
        """The generation in which we lead, once a majority has it; None while we do not, or cannot know."""
        return self._campaign.generation

    @property
    def led(self) -> bool:
        """Whether somebody leads, as far as is known now: not while etcd does not answer us."""
        return self._view.leader is not None and self._problems.keys().isdisjoint(("following", "mark"))

    async def append(self, drafts: Sequence[Draft], *, after: int | None = None) -> None:
        """Adds facts, in at most 20 transactions a second, commits counted; durable in etcd when it returns."""
        async with self._appending:
            if self._in_doubt:
                self._campaign.ours()
                await self._read_back()
            if after is not None and self._store.head().sequence != after:
                raise MovedOnError(f"entry {self._store.head().sequence} is newer than what was decided from")
            for few in in_pieces(drafts):
                await self._append_few(few)

    async def commit(
        self, drafts: Sequence[Draft], conditions: Sequence[Compare], actions: Sequence[Put | Delete]
    ) -> bool:
        """Adds facts and changes keys beside the journal in one transaction (`ports.Commit`)."""
        async with self._appending:
            reign = self._campaign.ours()
            if self._in_doubt:
                await self._read_back()
            fresh = {draft.id: draft for draft in drafts if not self._store.has(draft.id)}
            if not fresh:
                return True
            entries = self._sealed(fresh.values(), reign)
            self._spend()
            return await self._put(reign, entries, (), conditions, actions)

    async def follow(self, after: int, timeout_s: float) -> Sequence[Entry]:
        """Entries of our mirror after number `after`."""
        if timeout_s > 0 and self._store.head().sequence <= after:
            await first_of(self._changed.wait(), self._clock.sleep(timeout_s))
            self._changed.clear()  # not before the wait: what changed since the last one is news as well
        return self._store.read(after)

    def has(self, draft_id: str) -> bool:
        """Whether our mirror has a fact with this id."""
        return self._store.has(draft_id)

    async def submit(self, draft: Draft) -> None:
        """Puts a person's request where the leader finds it."""
        put = request_put(self._root, draft)
        try:
            await self._etcd.transact((), [put])
        except EtcdUnknownError as error:
            raise AppendUnknownError(str(error)) from None
        except EtcdError as error:
            raise StoreError(str(error)) from None

    def submitted(self) -> Sequence[Draft]:
        """The requests that wait in etcd."""
        return tuple(self._view.requests.values())

    def standing(self) -> Standing:
        """How it stands: who leads, how long the last append took, how much etcd holds."""
        unheard = "following" in self._problems or "mark" in self._problems  # then what we know of etcd is old
        leader = "" if unheard or self._view.leader is None else self._view.leader.name
        return Standing(leader, self._append_s if self._appended_s else None, self._tidy.size_bytes or None)

    def problems(self) -> list[str]:
        """What keeps us from following or leading, and what soon will."""
        found = sorted({*self._problems.values(), *self._view.unreadable.values()})
        if self._view.leader is None:
            found.append("nobody leads")
        found += self._tidy.problems()
        if self._append_s > SLOW_S and self._clock.monotonic_s() < self._appended_s + NEWS_FOR_S:
            found.append(f"etcd is slow: the last append took {self._append_s:.1f} s")
        if self._refusal and self._campaign.reign is not None:
            found.append(f"etcd refused the last append: {self._refusal}")
        return found

    async def run(self) -> None:
        """Follows, campaigns and tidies up until it is cancelled; then gives up the leadership, if it can."""
        works = {
            "following": self._follow_etcd,
            "campaign": self._campaign.round,
            "mark": self._mark,
            "tidy": self._tidy.round,
        }
        try:
            async with asyncio.TaskGroup() as group:
                for name, work in works.items():
                    group.create_task(self._again_and_again(name, work))
        finally:
            await self._campaign.resign()

    async def _again_and_again(self, name: str, work: Callable[[], Awaitable[None]]) -> None:
        """Does a round of work after the other; etcd that does not answer only makes it later."""
        while True:
            try:
                await work()
            except (EtcdError, EtcdUnknownError, StoreError, AppendUnknownError, NotLeaderError) as error:
                self._problems[name] = str(error)
                await self._clock.sleep(TRY_AGAIN_S)
            except ForkError as error:
                self._campaign.step_down()
                self._problems[name] = str(error)
                if isinstance(error, GapError):
                    await self._ask_for_more()
                else:
                    await self._clock.sleep(TRIM_EVERY_S)
            else:
                self._problems.pop(name, None)

    async def _ask_for_more(self) -> None:
        with suppress(EtcdError, EtcdUnknownError):  # then the next round finds the gap again
            await self._etcd.transact((), [refill.question(self._root, self.name, self._store.head().sequence)])
        await self._clock.sleep(RENEW_EVERY_S)

    # -- appending

    async def _append_few(self, drafts: Sequence[Draft]) -> None:
        """Adds as many facts as one transaction takes."""
        answered = [draft.id for draft in drafts if draft.id in self._view.requests]
        fresh = {draft.id: draft for draft in drafts if not self._store.has(draft.id)}
        reign = self._campaign.ours()
        if not fresh and not answered:
            return
        await self._pace()
        await self._put(reign, self._sealed(fresh.values(), reign), answered)

    def _sealed(self, drafts: Iterable[Draft], reign: Reign) -> list[Entry]:
        """The entries that the drafts become. Raises NotLeaderError."""
        if self._store.head().generation > reign.generation:
            self._campaign.step_down()
            raise NotLeaderError("our mirror has heard of a newer generation")
        return seal(drafts, self._store.head(), reign.generation)

    async def _pace(self) -> None:
        """Waits where too much was appended lately. A few at once may pass: a takeover is a few appends in a row."""
        now_s = self._clock.monotonic_s()
        earliest_s = self._paid_until_s - APPENDS_AT_ONCE / APPENDS_PER_S
        if now_s < earliest_s:
            await self._clock.sleep(earliest_s - now_s)
        self._spend()

    def _spend(self) -> None:
        """Counts an append, which the ones after it wait for. A commit counts and never waits: a takeover must not."""
        self._paid_until_s = max(self._clock.monotonic_s(), self._paid_until_s) + 1 / APPENDS_PER_S

    async def _put(
        self,
        reign: Reign,
        entries: list[Entry],
        answered: Sequence[str],
        conditions: Sequence[Compare] = (),
        besides: Sequence[Put | Delete] = (),
    ) -> bool:
        """One transaction of etcd; False where one of the further `conditions` did not hold."""
        compares = [
            self._campaign.still_ours(reign),
            Compare(f"{self._root}head", "mod_revision", self._view.head_revision),
            *conditions,
        ]
        actions: list[Put | Delete] = [*besides, *(Delete(f"{self._root}request/{request}") for request in answered)]
        if entries:
            actions.append(Put(batch_key(self._root, entries[0].sequence), encode(entries)))
            actions.append(Put(f"{self._root}head", msgspec.json.encode(entries[-1].head)))
        begun_s = self._clock.monotonic_s()
        try:
            committed = await self._etcd.transact(compares, actions)
            self._appended_s = self._clock.monotonic_s()
            self._append_s = self._appended_s - begun_s
            self._refusal = ""
        except EtcdUnknownError as error:
            self._in_doubt = True
            raise AppendUnknownError(str(error)) from None
        except EtcdError as error:
            self._refusal = str(error)
            raise StoreError(str(error)) from None
        if not committed.succeeded:
            await self._refused(reign, conditioned=bool(conditions))
            return False
        for request in answered:
            self._view.requests.pop(request, None)
        if entries:
            self._took(entries, committed.revision)
        return True

    async def _refused(self, reign: Reign, *, conditioned: bool) -> None:
        """Finds out which condition did not hold. Raises NotLeaderError unless it was one that is not the journal's."""
        self._in_doubt = True
        if conditioned:
            before = self._view.head_revision
            await self._read_back()
            led = Leader(self.name, reign.generation)
            if self._view.leader == led and self._view.head_revision == before:
                return
        self._campaign.step_down()
        raise NotLeaderError("another one leads, or has led meanwhile")

    def _took(self, entries: Sequence[Entry], revision: int) -> None:
        """Etcd has taken our entries: they are the head now, and belong in our own mirror before all else."""
        self._view.appended(entries, revision)
        try:
            self._came(entries)
        except StoreError as error:
            self._in_doubt = True  # our mirror is behind; without it we know of no id what has happened
            self._campaign.step_down()
            raise AppendUnknownError(f"etcd has it, our mirror does not: {error}") from None

    async def _read_back(self) -> None:
        """Finds out what etcd holds by now, and mirrors it. Raises AppendUnknownError where that cannot be known."""
        try:
            await self._view.read()
        except (EtcdError, EtcdUnknownError) as error:
            raise AppendUnknownError(str(error)) from None
        except ForkError as error:
            self._campaign.step_down()
            raise NotLeaderError(str(error)) from None
        head = self._view.head
        if head is not None and head.sequence < self._store.head().sequence:
            # It has come back older, perhaps with the very key by which we lead: but others may have led since. Who
            # leads now is for a roll call to say, in a higher generation.
            self._campaign.step_down()
            raise NotLeaderError("etcd has come back older than our mirror")
        self._in_doubt = False

    # -- following

    async def _follow_etcd(self) -> None:
        await self._view.follow(self._listed)

    def _listed(self) -> None:
        self._problems.pop("following", None)

    def _came(self, entries: Sequence[Entry]) -> int:
        """Takes in entries from etcd; the number of the last in our mirror. Raises ForkError or StoreError."""
        generation = self._store.head().generation
        if mirror(self._store, entries):
            self._changed.set()
        if self._store.head().generation > generation:
            self._mark_now.set()
        return self._store.head().sequence

    def _ends(self, head: Head) -> None:
        """Takes in where the journal in etcd ends. Raises ForkError where our mirror has another one."""
        compare(self._store, head)
        if head.sequence < self._store.head().sequence:
            self._in_doubt = True  # etcd came back older; or this list was read before our last append was done

    def _news(self) -> None:
        """Takes in that what etcd holds, or our part in it, has changed."""
        self._changed.set()
        self._campaign.news.set()
        mark = self._view.marks.get(self.name)
        if mark is None or mark.called < self._view.called:
            self._mark_now.set()

    async def _mark(self) -> None:
        """Puts how far our mirror is: at once when it is called for or the generation has risen, else once a second."""
        self._mark_now.clear()
        mark = self._campaign.own_mark()
        if self._view.marks.get(self.name) != mark:
            await self._etcd.transact((), [Put(f"{self._root}mirror/{self.name}", msgspec.json.encode(mark))])
            self._view.marks[self.name] = mark
        else:  # asks whether etcd can still agree: without a majority it refuses, and our problems say so
            await self._etcd.range(f"{self._root}leader")
        await first_of(self._mark_now.wait(), self._clock.sleep(MARK_EVERY_S))
