"""The journal of several lookouts: one order for all of them, agreed on through etcd, mirrored by each.

In etcd, below `/binome/ESTATE/`:

    leader          name and generation of the leader; hangs on its lease
    generation      the newest generation that anybody has led in
    head            number, hash and generation of the last entry
    batch/NUMBER    the entries that were appended together, from this number on
    mirror/NAME     how far a lookout's mirror has come, and the newest generation in it
    request/ID      what a person asks for, until a leader has recorded it

*Leading.* Who finds no leader's key puts its own there, with a lease, and raises the generation in the same
transaction. The new generation is above that of etcd and of every mirror. Where etcd has no head, it is new or was
rebuilt: then a majority of the configured lookouts must have told how far their mirrors are, and only the one that is
farthest may lead; it puts the head there, and what others lack.

*Appending.* One transaction: if the leader's key is still the very one that we put, and the head the one that we
know, the batch and the new head are put. A leader that was replaced, and does not know it yet, is refused by the
first; two appends of one leader, of which the first seemed lost, by the second. After an answer that did not come,
the head is read back before anything else is appended; what had arrived is then found by its id and not added again.

*Following.* Every lookout lists once and watches from there; after a compaction past its watch it lists again. An
entry is handed on only after it was checked to follow the one before and is durable in the mirror. So reading, and
all that is decided from it, works on the mirror alone.

*Believing.* We believe that we lead until the lease, counted by our own clock from before its last renewal was asked
for, has run for three quarters of its time. It is only a belief: appends are refused by etcd, effects by their
generation, wherever they land. And nothing is decided before a majority of the mirrors has our generation: then
whoever leads after us, even in an etcd that was rebuilt from nothing, finds it in one of them and goes above it.
"""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Iterable, Sequence
from contextlib import suppress

import msgspec

from binome.core.entry import Draft, Entry, Head, UnknownFact, decode, encode, follows, seal
from binome.core.leadership import LeadershipTaken
from binome.journal.agreed import (
    APPENDS_PER_S,
    BELIEF_S,
    KEPT_AT_MOST,
    LARGE_BYTES,
    LARGEST_REQUEST_BYTES,
    LEASE_S,
    LOOK_EVERY_S,
    MARK_EVERY_S,
    NEWS_FOR_S,
    RENEW_EVERY_S,
    ROLL_CALL_S,
    SLOW_S,
    TRIM_EVERY_S,
    TRY_AGAIN_S,
    UPLOADED_AT_ONCE,
    ForkError,
    Leader,
    MirrorMark,
    Request,
    in_pieces,
    is_majority,
    may_lead,
    trim,
)
from binome.journal.patience import first_of
from binome.ports import (
    AppendUnknownError,
    Change,
    Clock,
    CompactedError,
    Compare,
    Delete,
    Etcd,
    EtcdError,
    EtcdUnknownError,
    MovedOnError,
    NotLeaderError,
    Put,
    Store,
    StoreError,
)


class _Reign(msgspec.Struct):
    """That we lead: in which generation, by which lease, and how long we may believe it."""

    generation: int
    lease: int
    believed_until_s: float
    announced: bool = False  # an entry of ours, in this generation, is in the journal


class OrderedJournal:
    """A `Journal` of several lookouts. `members` are all that the estate configures, this one included.

    `run` must be running for it to follow and to lead.
    """

    def __init__(
        self, estate: str, name: str, members: Sequence[str], *, etcd: Etcd, store: Store, clock: Clock
    ) -> None:
        self._root = f"/binome/{estate}/"
        self.name = name
        self._members = tuple(members)
        self._etcd, self._store, self._clock = etcd, store, clock
        self._reign: _Reign | None = None
        self._head: Head | None = None  # of etcd; None while there is none, or we have not listed
        self._head_revision = 0
        self._leader: Leader | None = None
        self._newest = 0  # the newest generation that etcd knows of, and the revision of its key
        self._newest_revision = 0
        self._batches: dict[int, int] = {}  # first number → last number, of those in etcd
        self._marks: dict[str, MirrorMark] = {}
        self._requests: dict[str, Draft] = {}
        self._in_doubt = True  # what etcd holds must be read before anything is appended
        self._appending = asyncio.Lock()
        self._next_append_s = 0.0
        self._changed = asyncio.Event()
        self._mark_now = asyncio.Event()
        self._called = 0  # the revision of the last roll call
        self._revision = 0  # the newest of etcd's that we have seen
        self._listed = False  # since the watch began
        self._trimmed_at = 0  # the revision of the last trimming
        self._etcd_size_bytes = 0
        self._append_s = 0.0  # how long the last append took, and when it was done
        self._appended_s = 0.0
        self._problems: dict[str, str] = {}  # by the work that does not succeed just now

    # -- what the loop uses

    @property
    def generation(self) -> int | None:
        """The generation in which we lead, once a majority has it; None while we do not, or cannot know."""
        reign = self._reign
        if reign is None or not reign.announced or not self._believed(reign):
            return None  # unless we announced it, the generation that the marks show may be another's
        knowing = sum(self._marks[name].generation >= reign.generation for name in self._members if name in self._marks)
        return reign.generation if self._is_majority(knowing) else None

    async def append(self, drafts: Sequence[Draft], *, after: int | None = None) -> None:
        """Adds facts, at most 20 times a second; durable in etcd when it returns."""
        async with self._appending:
            if self._in_doubt:
                self._ours()
                await self._read_back()
            if after is not None and self._store.head().sequence != after:
                raise MovedOnError(f"entry {self._store.head().sequence} is newer than what was decided from")
            for few in in_pieces(drafts):
                await self._append_few(few)

    def _ours(self) -> _Reign:
        """The reign that we have, and believe in. Raises NotLeaderError."""
        reign = self._reign
        if reign is None or not self._believed(reign):
            raise NotLeaderError("we do not lead")
        return reign

    async def _append_few(self, drafts: Sequence[Draft]) -> None:
        """Adds as many facts as one transaction takes."""
        answered = [draft.id for draft in drafts if draft.id in self._requests]
        fresh = {draft.id: draft for draft in drafts if not self._store.has(draft.id)}
        reign = self._ours()
        if not fresh and not answered:
            return
        await self._pace()
        if self._store.head().generation > reign.generation:
            self._step_down()
            raise NotLeaderError("our mirror has heard of a newer generation")
        entries = seal(fresh.values(), self._store.head(), reign.generation)
        await self._put(reign, entries, answered)

    async def follow(self, after: int, timeout_s: float) -> Sequence[Entry]:
        """Entries of our mirror after number `after`."""
        if timeout_s > 0 and self._store.head().sequence <= after:
            self._changed.clear()
            await first_of(self._changed.wait(), self._clock.sleep(timeout_s))
        return self._store.read(after)

    def has(self, draft_id: str) -> bool:
        """Whether our mirror has a fact with this id."""
        return self._store.has(draft_id)

    async def submit(self, draft: Draft) -> None:
        """Puts a person's request where the leader finds it."""
        fact = msgspec.Raw(draft.fact.raw if isinstance(draft.fact, UnknownFact) else msgspec.json.encode(draft.fact))
        value = msgspec.json.encode(Request(draft.at_ms, draft.origin, fact))
        if len(value) > LARGEST_REQUEST_BYTES:
            raise StoreError(f"a request of {len(value):,} bytes; at most {LARGEST_REQUEST_BYTES:,} are taken")
        try:
            await self._etcd.transact((), [Put(f"{self._root}request/{draft.id}", value)])
        except EtcdUnknownError as error:
            raise AppendUnknownError(str(error)) from None
        except EtcdError as error:
            raise StoreError(str(error)) from None

    def submitted(self) -> Sequence[Draft]:
        """The requests that wait in etcd."""
        return tuple(self._requests.values())

    def problems(self) -> list[str]:
        """What keeps us from following or leading, and what soon will."""
        found = sorted(set(self._problems.values()))
        if self._leader is None:
            found.append("nobody leads")
        if self._etcd_size_bytes > LARGE_BYTES:
            found.append(f"etcd holds {self._etcd_size_bytes >> 20} MiB; at its quota it refuses every write")
        if self._append_s > SLOW_S and self._clock.monotonic_s() < self._appended_s + NEWS_FOR_S:
            found.append(f"etcd is slow: the last append took {self._append_s:.1f} s")
        return found

    async def run(self) -> None:
        """Follows, campaigns and tidies up until it is cancelled; then gives up the leadership, if it can."""
        try:
            async with asyncio.TaskGroup() as group:
                for work in (self._follow_etcd, self._campaign, self._mark, self._tidy):
                    group.create_task(self._again_and_again(work))
        finally:
            reign, self._reign = self._reign, None
            if reign is not None:
                with suppress(EtcdError, EtcdUnknownError):
                    await self._etcd.revoke(reign.lease)

    async def _again_and_again(self, work: Callable[[], Awaitable[None]]) -> None:
        """Does a round of work after the other; etcd that does not answer only makes it later."""
        while True:
            try:
                await work()
            except (EtcdError, EtcdUnknownError, StoreError, AppendUnknownError, NotLeaderError) as error:
                self._problems[work.__name__] = str(error)
                await self._clock.sleep(TRY_AGAIN_S)
            except ForkError as error:
                self._step_down()
                self._problems[work.__name__] = str(error)
                await self._clock.sleep(TRIM_EVERY_S)
            else:
                self._problems.pop(work.__name__, None)

    # -- appending

    async def _pace(self) -> None:
        now_s = self._clock.monotonic_s()
        if now_s < self._next_append_s:
            await self._clock.sleep(self._next_append_s - now_s)
        self._next_append_s = max(now_s, self._next_append_s) + 1 / APPENDS_PER_S

    async def _put(self, reign: _Reign, entries: list[Entry], answered: Sequence[str]) -> None:
        compares = [
            self._still_ours(reign),
            Compare(f"{self._root}head", "mod_revision", self._head_revision),
        ]
        actions: list[Put | Delete] = [Delete(f"{self._root}request/{request}") for request in answered]
        if entries:
            actions += [self._batch(entries), Put(f"{self._root}head", msgspec.json.encode(entries[-1].head))]
        begun_s = self._clock.monotonic_s()
        try:
            committed = await self._etcd.transact(compares, actions)
            self._appended_s = self._clock.monotonic_s()
            self._append_s = self._appended_s - begun_s
        except EtcdUnknownError as error:
            self._in_doubt = True
            raise AppendUnknownError(str(error)) from None
        except EtcdError as error:
            raise StoreError(str(error)) from None
        if not committed.succeeded:
            self._in_doubt = True
            self._step_down()
            raise NotLeaderError("another one leads, or has led meanwhile")
        for request in answered:
            self._requests.pop(request, None)
        if entries:
            self._took(entries, committed.revision)

    def _batch(self, entries: Sequence[Entry]) -> Put:
        return Put(f"{self._root}batch/{entries[0].sequence:020d}", encode(entries))

    def _took(self, entries: Sequence[Entry], revision: int) -> None:
        """Etcd has taken our entries: they are the head now, and belong in our own mirror before all else."""
        self._head, self._head_revision = entries[-1].head, revision
        self._batches[entries[0].sequence] = entries[-1].sequence
        try:
            self._mirror(entries)
        except StoreError as error:
            self._in_doubt = True  # our mirror is behind; without it we know of no id what has happened
            self._step_down()
            raise AppendUnknownError(f"etcd has it, our mirror does not: {error}") from None

    async def _read_back(self) -> None:
        """Finds out what etcd holds by now, and mirrors it. Raises AppendUnknownError where that cannot be known."""
        try:
            await self._list()
        except (EtcdError, EtcdUnknownError) as error:
            raise AppendUnknownError(str(error)) from None
        except ForkError as error:
            self._step_down()
            raise NotLeaderError(str(error)) from None
        self._in_doubt = False

    # -- following

    async def _follow_etcd(self) -> None:
        """Lists once, and watches from there until a compaction has passed us."""
        revision = await self._list()
        self._listed = False
        self._problems.pop(self._follow_etcd.__name__, None)
        with suppress(CompactedError):
            async for changes in self._etcd.watch(self._root, revision + 1):
                if self._listed:
                    return  # a list was read meanwhile: it may have had these, or be of an etcd that was rebuilt
                self._take_in(changes)
                self._revision = max(self._revision, changes[-1].mod_revision)
                self._changed.set()

    async def _list(self) -> int:
        """Reads everything below our root at one revision, and takes it in; that revision."""
        while True:
            before = self._revision
            listed = await self._etcd.range(self._root, prefix=True)
            if not before <= listed.revision < self._revision:
                break  # else the watch has overtaken the list meanwhile
        self._listed = True
        self._batches.clear()
        self._marks.clear()
        self._requests.clear()
        self._head, self._head_revision = None, 0
        self._newest, self._newest_revision = 0, 0
        self._leader = None
        self._take_in(Change(one.key, one.value, one.mod_revision) for one in listed.keys)
        self._revision = listed.revision  # only now: what a full disk kept out, the watch must still bring
        self._changed.set()
        return listed.revision

    def _take_in(self, changes: Iterable[Change]) -> None:
        for change in changes:
            try:
                self._take_in_one(change)
                self._problems.pop(change.key, None)
            except ValueError as error:  # somebody else's value, or one of a version to come: passed over, and said
                self._problems[change.key] = f"{change.key} in etcd cannot be read: {error}"

    def _take_in_one(self, change: Change) -> None:
        key, value, revision = change
        kind, _, name = key.removeprefix(self._root).partition("/")
        match kind:
            case "batch":
                self._batch_changed(int(name), value)
            case "head":
                self._head_changed(value, revision)
            case "leader":
                self._leader = None if value is None else msgspec.json.decode(value, type=Leader)
            case "generation" if value is not None and revision > self._newest_revision:
                self._newest, self._newest_revision = int(value), revision
            case "mirror" if value is not None:
                self._marks[name] = msgspec.json.decode(value, type=MirrorMark)
            case "call":
                self._called = revision
                self._mark_now.set()
            case "request" if value is not None:
                request = msgspec.json.decode(value, type=Request)
                self._requests[name] = Draft(name, request.at_ms, request.origin, UnknownFact(bytes(request.fact)))
            case "request":
                self._requests.pop(name, None)

    def _head_changed(self, value: bytes | None, revision: int) -> None:
        if revision > self._head_revision:
            self._head = msgspec.json.decode(value, type=Head) if value is not None else None
            self._head_revision = revision if value is not None else 0

    def _batch_changed(self, first: int, value: bytes | None) -> None:
        if value is None:
            self._batches.pop(first, None)
            return
        entries = decode(value)
        self._batches[first] = entries[-1].sequence
        self._mirror(entries)

    def _mirror(self, entries: Sequence[Entry]) -> None:
        """Adds what our mirror does not have. Raises ForkError where it has another entry under the same number."""
        head = self._store.head()
        known = [entry for entry in entries if entry.sequence <= head.sequence][-1:]  # its hash is over all before it
        if known and self._store.read(known[0].sequence - 1, 1)[0].hash != known[0].hash:
            raise ForkError(f"entry {known[0].sequence} is another one in etcd than in our mirror")
        new = [entry for entry in entries if entry.sequence > head.sequence]
        if not new:
            return
        reason = follows(new[0], head)
        if reason == "missing":
            raise ForkError(f"entries {head.sequence + 1} to {new[0].sequence - 1} were trimmed before we had them")
        if reason is not None:
            raise ForkError(f"entry {new[0].sequence} in etcd is {reason}")
        self._store.append(new)
        self._changed.set()
        if new[-1].generation > head.generation:
            self._mark_now.set()

    # -- leading

    def _is_majority(self, count: int) -> bool:
        return is_majority(count, len(self._members))

    def _still_ours(self, reign: _Reign) -> Compare:
        """That the leader's key is the one that we put: by its value, because a generation is given once.

        Its revision would not tell: an etcd that was rebuilt counts anew, and may give it to another leader's key.
        """
        return Compare(f"{self._root}leader", "value", msgspec.json.encode(Leader(self.name, reign.generation)))

    def _believed(self, reign: _Reign) -> bool:
        return self._clock.monotonic_s() < reign.believed_until_s

    def _step_down(self) -> None:
        """We do not lead any more, whatever etcd says; the lease ends by itself."""
        self._reign = None
        self._changed.set()

    async def _campaign(self) -> None:
        """Renews the leadership that we have, or takes one that nobody has."""
        reign = self._reign
        if reign is not None:
            await self._renew(reign)
            await self._announce(reign)
            await self._clock.sleep(RENEW_EVERY_S)
        elif self._leader is not None or not await self._take_lead():
            await self._clock.sleep(TRY_AGAIN_S)

    async def _renew(self, reign: _Reign) -> None:
        asked_s = self._clock.monotonic_s()
        try:
            alive = await self._etcd.keep_alive(reign.lease)
        except (EtcdError, EtcdUnknownError):
            alive = self._believed(reign)  # perhaps it lives: we go on for as long as it lives without this renewal
        else:
            if alive:
                reign.believed_until_s = asked_s + BELIEF_S
        if not alive and self._reign is reign:
            self._step_down()

    async def _announce(self, reign: _Reign) -> None:
        """Puts our generation into the journal, unless it is there: nobody decides before a majority has it."""
        if self._reign is reign and not reign.announced:
            taken = LeadershipTaken(self.name)
            told = Draft(f"leadership/{reign.generation}/{self.name}", self._clock.now_ms(), self.name, taken)
            with suppress(NotLeaderError, AppendUnknownError):  # then it is tried again with the next renewal
                await self.append([told])
                reign.announced = True

    async def _take_lead(self) -> bool:
        """Whether we lead now. The transaction fails where anybody else has moved since we looked."""
        await self._list()
        if self._leader is not None:
            return False
        answers = await self._roll_call()
        head = self._store.head()
        if self._leader is not None or not may_lead(head, self._head, answers, len(self._members)):
            return False
        founding = self._head is None or self._head.sequence < head.sequence
        generation = 1 + max(self._newest, head.generation, *(mark.generation for mark in self._marks.values()), 0)
        asked_s = self._clock.monotonic_s()
        lease = await self._etcd.grant(LEASE_S)
        compares = [
            Compare(f"{self._root}leader", "create_revision", 0),
            Compare(f"{self._root}generation", "mod_revision", self._newest_revision),
            Compare(f"{self._root}head", "mod_revision", self._head_revision),
        ]
        actions: list[Put | Delete] = [
            Put(f"{self._root}leader", msgspec.json.encode(Leader(self.name, generation)), lease),
            Put(f"{self._root}generation", str(generation).encode()),
        ]
        if founding:
            actions.append(Put(f"{self._root}head", msgspec.json.encode(head)))
            actions += self._what_others_lack(head)
        committed = await self._etcd.transact(compares, actions)
        if not committed.succeeded:
            await self._etcd.revoke(lease)
            return False
        if founding:
            self._head, self._head_revision, self._trimmed_at = head, committed.revision, 0
        self._reign = _Reign(generation, lease, asked_s + BELIEF_S)
        self._in_doubt = False
        await self._announce(self._reign)
        return True

    def _own_mark(self) -> MirrorMark:
        head = self._store.head()
        return MirrorMark(head.sequence, head.generation, self._called)

    async def _roll_call(self) -> dict[str, MirrorMark]:
        """How far the mirrors are that answer now, ours included; waits for a majority, but not for long."""
        called = (await self._etcd.transact((), [Put(f"{self._root}call", self.name.encode())])).revision
        until_s = self._clock.monotonic_s() + ROLL_CALL_S
        while True:
            answers = {name: self._marks[name] for name in self._members if name in self._marks}
            answers = {name: mark for name, mark in answers.items() if mark.called >= called}
            answers[self.name] = self._own_mark()
            if self._is_majority(len(answers)) or self._clock.monotonic_s() > until_s:
                return answers
            await self._clock.sleep(LOOK_EVERY_S)

    def _what_others_lack(self, head: Head) -> list[Put]:
        """Our entries that not all other mirrors have, as batches for an etcd that has none."""
        others = [name for name in self._members if name != self.name]
        known = [self._marks[name].sequence if name in self._marks else 0 for name in others]
        after = max(min(known, default=head.sequence), head.sequence - UPLOADED_AT_ONCE)
        entries = self._store.read(after, UPLOADED_AT_ONCE)
        return [self._batch(entries)] if entries else []

    # -- telling how far we are, and tidying up

    async def _mark(self) -> None:
        """Puts how far our mirror is: at once when it is called for or the generation has risen, else once a second."""
        self._mark_now.clear()
        mark = self._own_mark()
        if self._marks.get(self.name) != mark:
            await self._etcd.transact((), [Put(f"{self._root}mirror/{self.name}", msgspec.json.encode(mark))])
            self._marks[self.name] = mark
        else:  # asks whether etcd can still agree: without a majority it refuses, and our problems say so
            await self._etcd.range(f"{self._root}leader")
        await first_of(self._mark_now.wait(), self._clock.sleep(MARK_EVERY_S))

    async def _tidy(self) -> None:
        """Trims what every mirror has, and lets etcd forget what was trimmed the time before."""
        await self._clock.sleep(TRIM_EVERY_S)
        self._etcd_size_bytes = (await self._etcd.status()).size_bytes
        reign, head = self._reign, self._head
        if reign is None or head is None:
            return
        marks = [self._marks[name].sequence if name in self._marks else 0 for name in self._members]
        mirrored = max(min(marks), head.sequence - KEPT_AT_MOST)
        old = [first for first, last in sorted(self._batches.items()) if last <= mirrored]
        revision = await trim(self._etcd, self._root, old, self._still_ours(reign))
        forgotten, self._trimmed_at = self._trimmed_at, revision or self._trimmed_at
        if revision and forgotten:
            await self._etcd.compact(forgotten)
