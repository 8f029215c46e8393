"""What every implementation of `ports.Etcd` must do: the real etcd through our client, the simulation's model of it.

A case is an async function of a `Harness`; `CASES` has them all. To run them, in the loop and the time of the harness:

    for case in CASES:
        if case.needs <= harness.offers:
            run(case(harness))          # then: every member lives, answers, and etcd has room

Cases share one cluster; each writes below a prefix of its own (its name), and leaves the cluster as it found it. All
waiting is for a condition, bounded by the loop's clock. An EtcdError or an EtcdUnknownError of a *read* says the same.
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from typing import Protocol

import pytest

from binome.ports import (
    Change,
    CompactedError,
    Compare,
    Delete,
    Etcd,
    EtcdError,
    EtcdUnknownError,
    Put,
)

WITHIN_S = 20.0
"""Longer than anything here may take; only what fails waits for it."""
BOUNDED_S = 12.0
"""Every call ends by itself within this time, whatever the members do."""


class Harness(Protocol):
    """A cluster of three members, 0 to 2, with the faults that a case asks for. Each hook is awaited until it is so."""

    offers: frozenset[str]
    """The hooks it has, by their names below; a case that needs another one is not run."""

    def client(self, first: int = 0) -> Etcd:
        """A client that knows all members, member `first` as the nearest. Always offered."""

    async def leader(self) -> int:
        """The member that leads; waits for one. Always offered."""

    async def kill(self, member: int) -> None:
        """The member is gone at once; its port refuses."""

    async def restart(self, member: int) -> None:
        """It is there again, with its data. Part of `kill`."""

    async def pause(self, member: int) -> None:
        """The member stands still, as after SIGSTOP: it takes connections, and neither answers nor takes part."""

    async def resume(self, member: int) -> None:
        """It goes on. Part of `pause`."""

    async def hang(self, member: int) -> None:
        """The member takes part, but whatever clients send it, on old connections and new ones, is swallowed."""

    async def answer(self, member: int) -> None:
        """Clients reach it again. Part of `hang`."""

    async def drop_next_reply(self) -> None:
        """The next transaction or grant of any client is carried out, and its answer is lost."""

    async def replace(self, member: int) -> None:
        """The member is taken out of the cluster, and comes back as a new one with nothing on its disk."""

    async def fill(self) -> None:
        """etcd's quota is used up."""

    async def make_room(self) -> None:
        """There is room again, and no alarm. Part of `fill`. May compact."""


@dataclass(frozen=True)
class Case:
    """A case and the hooks that it needs."""

    run: Callable[[Harness, str], Awaitable[None]]
    needs: frozenset[str]

    @property
    def name(self) -> str:
        return self.run.__name__

    async def __call__(self, harness: Harness) -> None:
        await self.run(harness, f"/suite/{self.name}/")


CASES: list[Case] = []


def case(*needs: str) -> Callable[[Callable[[Harness, str], Awaitable[None]]], None]:
    """Makes a function a case; it is given the harness and its prefix."""

    def add(run: Callable[[Harness, str], Awaitable[None]]) -> None:
        CASES.append(Case(run, frozenset(needs)))

    return add


# -- what the cases share


def now_s() -> float:
    return asyncio.get_running_loop().time()


async def until(condition: Callable[[], bool], what: str) -> None:
    """Waits for a condition on what a watch has seen."""
    end_s = now_s() + WITHIN_S
    while not condition():
        assert now_s() < end_s, f"not within {WITHIN_S:.0f} s: {what}"
        await asyncio.sleep(0.02)


async def eventually(call: Callable[[], Awaitable[object]], what: str) -> None:
    """Calls until it is not refused: etcd finds a leader, a member comes back. For what may be done twice."""
    end_s = now_s() + WITHIN_S
    while True:
        try:
            await call()
            return
        except (EtcdError, EtcdUnknownError) as error:
            assert now_s() < end_s, f"not within {WITHIN_S:.0f} s: {what}: {error}"
            await asyncio.sleep(0.05)


@dataclass
class Seen:
    """What a watch has told so far, and how it ended."""

    batches: list[tuple[Change, ...]] = field(default_factory=list)
    error: Exception | None = None

    @property
    def changes(self) -> list[Change]:
        return [change for batch in self.batches for change in batch]

    @property
    def values(self) -> list[bytes | None]:
        return [change.value for change in self.changes]


@asynccontextmanager
async def watching(etcd: Etcd, prefix: str, from_revision: int) -> AsyncIterator[Seen]:
    """Follows a watch beside the case."""
    seen = Seen()

    async def follow() -> None:
        try:
            async for batch in etcd.watch(prefix, from_revision):
                seen.batches.append(tuple(batch))
        except (CompactedError, EtcdError) as error:
            seen.error = error

    task = asyncio.create_task(follow())
    try:
        yield seen
        if task.done():
            await task  # what it stumbled over
    finally:
        task.cancel()
        await asyncio.gather(task, return_exceptions=True)


async def put(etcd: Etcd, key: str, value: bytes, lease: int = 0) -> int:
    """Sets a key; its revision."""
    return (await etcd.transact((), [Put(key, value, lease)])).revision


async def value_of(etcd: Etcd, key: str) -> bytes | None:
    found = (await etcd.range(key)).keys
    return found[0].value if found else None


# -- ranges


@case()
async def range_of_one_key(harness: Harness, prefix: str) -> None:
    etcd = harness.client()
    assert (await etcd.range(prefix)).keys == ()
    first = await put(etcd, prefix + "a", b"1")
    second = await put(etcd, prefix + "a", b"2")
    await put(etcd, prefix + "ab", b"not asked for")
    answer = await etcd.range(prefix + "a")
    (found,) = answer.keys
    assert found == (prefix + "a", b"2", first, second, 0)
    assert answer.revision >= second + 1
    assert not answer.more


@case()
async def range_keeps_every_byte(harness: Harness, prefix: str) -> None:
    etcd = harness.client()
    values = {prefix + "é/日": bytes(range(256)), prefix + "empty": b"", prefix + "long": b"\xff\x00" * 200_000}
    for key, value in values.items():
        await put(etcd, key, value)
    found = await etcd.range(prefix, prefix=True)
    assert {one.key: one.value for one in found.keys} == values


@case()
async def range_of_a_prefix_in_pages(harness: Harness, prefix: str) -> None:
    etcd = harness.client()
    names = [f"{prefix}in/{n:02}" for n in range(7)]
    await etcd.transact((), [Put(name, b"x") for name in reversed(names)])
    await put(etcd, prefix + "im", b"before")
    await put(etcd, prefix + "in0", b"after: '0' follows '/'")
    whole = await etcd.range(prefix + "in/", prefix=True)
    assert [one.key for one in whole.keys] == names
    assert not whole.more
    page = await etcd.range(prefix + "in/", prefix=True, limit=3)
    assert [one.key for one in page.keys] == names[:3]
    assert page.more
    await put(etcd, names[4], b"meanwhile")
    second = await etcd.range(prefix + "in/", prefix=True, limit=3, after=names[2], revision=page.revision)
    assert [(one.key, one.value) for one in second.keys] == [(name, b"x") for name in names[3:6]]
    assert second.more
    last = await etcd.range(prefix + "in/", prefix=True, limit=3, after=names[5], revision=page.revision)
    assert [one.key for one in last.keys] == names[6:]
    assert not last.more
    exact = await etcd.range(prefix + "in/", prefix=True, limit=7)
    assert [one.key for one in exact.keys] == names
    assert not exact.more


@case()
async def range_at_an_old_revision(harness: Harness, prefix: str) -> None:
    etcd = harness.client()
    before = await put(etcd, prefix + "a", b"old")
    await etcd.transact((), [Put(prefix + "a", b"new"), Put(prefix + "b", b"later")])
    old = await etcd.range(prefix, prefix=True, revision=before)
    assert [(one.key, one.value) for one in old.keys] == [(prefix + "a", b"old")]


@case()
async def range_at_a_revision_to_come(harness: Harness, prefix: str) -> None:
    etcd = harness.client()
    now = (await etcd.range(prefix)).revision
    with pytest.raises(EtcdError) as refused:
        await etcd.range(prefix, revision=now + 1000)
    assert refused.value.code == "OutOfRange"


@case()
async def range_at_a_compacted_revision(harness: Harness, prefix: str) -> None:
    etcd = harness.client()
    old = await put(etcd, prefix + "a", b"old")
    new = await put(etcd, prefix + "a", b"new")
    await etcd.compact(new)
    await etcd.compact(new)  # somebody else was quicker: no error
    with pytest.raises(CompactedError) as gone:
        await etcd.range(prefix + "a", revision=old)
    assert gone.value.revision == new
    assert (await etcd.range(prefix + "a", revision=new)).keys[0].value == b"new"


@case()
async def compacting_what_is_to_come_is_refused(harness: Harness, prefix: str) -> None:
    etcd = harness.client()
    now = (await etcd.range(prefix)).revision
    with pytest.raises(EtcdError) as refused:
        await etcd.compact(now + 1000)
    assert refused.value.code == "OutOfRange"


# -- transactions


@case()
async def compares_of_every_target(harness: Harness, prefix: str) -> None:
    etcd = harness.client()
    created = await put(etcd, prefix + "a", b"1")
    modified = await put(etcd, prefix + "a", b"2")
    there, absent = prefix + "a", prefix + "b"
    holds = {
        Compare(there, "value", b"2"): True,
        Compare(there, "value", b"1"): False,
        Compare(absent, "value", b""): False,  # what is not there has no value, not even an empty one
        Compare(there, "create_revision", created): True,
        Compare(there, "create_revision", modified): False,
        Compare(there, "create_revision", 0): False,
        Compare(absent, "create_revision", 0): True,
        Compare(there, "mod_revision", modified): True,
        Compare(there, "mod_revision", created): False,
        Compare(absent, "mod_revision", 0): True,
    }
    for compare, expected in holds.items():
        assert (await etcd.transact([compare], [Put(prefix + "done", b"")])).succeeded is expected, compare
    both = [Compare(there, "value", b"2"), Compare(absent, "create_revision", modified)]
    assert not (await etcd.transact(both, [Put(prefix + "never", b"")])).succeeded
    assert await value_of(etcd, prefix + "never") is None


@case()
async def actions_share_a_revision(harness: Harness, prefix: str) -> None:
    etcd = harness.client()
    before = await etcd.transact((), [Put(f"{prefix}old/{n}", b"") for n in range(3)] + [Put(prefix + "one", b"")])
    actions: list[Put | Delete] = [
        Put(prefix + "a", b"1"),
        Put(prefix + "b", b"2"),
        Delete(prefix + "old/", prefix=True),
        Delete(prefix + "one"),
        Delete(prefix + "absent"),
    ]
    after = await etcd.transact((), actions)
    assert after == (True, before.revision + 1)
    found = await etcd.range(prefix, prefix=True)
    assert [(one.key, one.value, one.mod_revision) for one in found.keys] == [
        (prefix + "a", b"1", after.revision),
        (prefix + "b", b"2", after.revision),
    ]


@case()
async def what_changes_nothing_raises_no_revision(harness: Harness, prefix: str) -> None:
    etcd = harness.client()
    revision = await put(etcd, prefix + "a", b"")
    failed = await etcd.transact([Compare(prefix + "a", "mod_revision", 0)], [Put(prefix + "a", b"2")])
    assert failed == (False, revision)
    empty = await etcd.transact([Compare(prefix + "a", "mod_revision", revision)], [])
    assert empty == (True, revision)


@case()
async def transactions_that_make_no_sense_are_refused(harness: Harness, prefix: str) -> None:
    etcd = harness.client()
    with pytest.raises(EtcdError) as twice:
        await etcd.transact((), [Put(prefix + "a", b"1"), Put(prefix + "a", b"2")])
    assert twice.value.code == "InvalidArgument"
    with pytest.raises(EtcdError) as leaseless:
        await etcd.transact((), [Put(prefix + "b", b""), Put(prefix + "a", b"", lease=4711)])
    assert leaseless.value.code == "NotFound"
    assert (await etcd.range(prefix, prefix=True)).keys == ()


# -- leases


@case()
async def a_lease_ends_and_takes_its_keys(harness: Harness, prefix: str) -> None:
    etcd = harness.client()
    lease = await etcd.grant(2)
    revision = await etcd.transact((), [Put(prefix + "a", b"", lease), Put(prefix + "b", b"")])
    assert (await etcd.range(prefix + "a")).keys[0].lease == lease
    async with watching(etcd, prefix, revision.revision + 1) as seen:
        end_s = now_s() + 3.5  # kept alive, it lives longer than its time
        while now_s() < end_s:
            assert await etcd.keep_alive(lease)
            await asyncio.sleep(0.2)
        assert seen.changes == []
        assert await value_of(etcd, prefix + "a") == b""
        await until(lambda: bool(seen.changes), "the lease's key is gone")
        assert [(change.key, change.value) for change in seen.changes] == [(prefix + "a", None)]
    assert not await etcd.keep_alive(lease)
    assert await value_of(etcd, prefix + "b") == b""


@case()
async def revoking_a_lease_takes_its_keys_at_one_revision(harness: Harness, prefix: str) -> None:
    etcd = harness.client()
    lease = await etcd.grant(60)
    actions = [Put(prefix + "a", b"", lease), Put(prefix + "b", b"", lease), Put(prefix + "c", b"", lease)]
    revision = (await etcd.transact((), actions)).revision
    revision = await put(etcd, prefix + "c", b"stays")  # put without the lease, it hangs on it no more
    await etcd.revoke(lease)
    assert [one.key for one in (await etcd.range(prefix, prefix=True)).keys] == [prefix + "c"]
    async with watching(etcd, prefix, revision + 1) as seen:
        await until(lambda: len(seen.changes) == 2, "both keys are gone")
    assert {change.mod_revision for change in seen.changes} == {revision + 1}
    assert not await etcd.keep_alive(lease)
    with pytest.raises(EtcdError) as refused:
        await etcd.revoke(lease)
    assert refused.value.code == "NotFound"


@case("kill")
async def a_lease_outlives_the_leader(harness: Harness, prefix: str) -> None:
    leader = await harness.leader()
    etcd = harness.client((leader + 1) % 3)
    lease = await etcd.grant(10)
    await put(etcd, prefix + "a", b"", lease)
    await harness.kill(leader)
    try:
        await eventually(lambda: etcd.keep_alive(lease), "the lease is kept alive")
        assert await etcd.keep_alive(lease)
        assert await value_of(etcd, prefix + "a") == b""
    finally:
        await harness.restart(leader)


# -- watches


@case()
async def a_watch_tells_whole_revisions_in_order(harness: Harness, prefix: str) -> None:
    etcd = harness.client()
    start = await put(etcd, prefix + "past", b"")
    expected: list[tuple[int, set[tuple[str, bytes | None]]]] = []

    async def change(*actions: Put | Delete) -> None:
        revision = (await etcd.transact((), list(actions))).revision
        told = {(one.key, one.value if isinstance(one, Put) else None) for one in actions}
        expected.append((revision, {one for one in told if one[0].startswith(prefix)}))

    await change(Put(prefix + "a", b"missed?"))
    async with watching(etcd, prefix, start + 1) as seen:
        await until(lambda: len(seen.batches) > 0, "what was before the watch")
        for n in range(20):
            await change(*(Put(f"{prefix}{k}", b"%d" % n) for k in range(5)), Put(f"/elsewhere/{n}", b""))
            await change(Put(f"/elsewhere/{n}", b"nothing of ours"))
            await change(Delete(f"{prefix}0"), Put(f"{prefix}1", b""))
        wanted = [one for one in expected if one[1]]
        await until(lambda: len(seen.changes) >= sum(len(one[1]) for one in wanted), "all that was changed")
    told: list[tuple[int, set[tuple[str, bytes | None]]]] = []
    for batch in seen.batches:
        for revision in sorted({change.mod_revision for change in batch}):
            told.append((revision, {(one.key, one.value) for one in batch if one.mod_revision == revision}))
    assert told == wanted  # a revision that came in two batches would be there twice
    assert [one.mod_revision for one in seen.changes] == sorted(one.mod_revision for one in seen.changes)


@case()
async def a_watch_tells_what_is_large(harness: Harness, prefix: str) -> None:
    """More than etcd sends in one piece, so that pieces end in the middle of a revision."""
    etcd = harness.client()
    start = (await etcd.range(prefix)).revision
    values = [bytes([n]) * 600_000 for n in range(12)]
    for n in range(0, len(values), 2):
        await etcd.transact((), [Put(f"{prefix}{k:02}", values[k]) for k in (n, n + 1)])
    async with watching(etcd, prefix, start + 1) as seen:
        await until(lambda: len(seen.changes) >= len(values), "all values")
    assert seen.values == values
    told = [revision for batch in seen.batches for revision in sorted({change.mod_revision for change in batch})]
    assert told == sorted(set(told))  # a revision that came in two batches would be there twice
    await etcd.transact((), [Delete(prefix, prefix=True)])


@case()
async def a_watch_from_before_the_compaction_ends(harness: Harness, prefix: str) -> None:
    etcd = harness.client()
    old = await put(etcd, prefix + "a", b"1")
    new = await put(etcd, prefix + "a", b"2")
    await etcd.compact(new)
    async with watching(etcd, prefix, old) as seen:
        await until(lambda: seen.error is not None, "the watch is told")
    assert isinstance(seen.error, CompactedError)
    assert seen.error.revision == new
    assert seen.changes == []
    async with watching(etcd, prefix, new) as seen:  # the oldest that is left can be had
        await until(lambda: seen.values == [b"2"], "what is left")


@case()
async def a_compaction_does_not_disturb_who_is_up_to_date(harness: Harness, prefix: str) -> None:
    etcd = harness.client()
    async with watching(etcd, prefix, await put(etcd, prefix + "a", b"1")) as seen:
        await until(lambda: seen.values == [b"1"], "the watch is there")
        await put(etcd, "/elsewhere", b"")
        await etcd.compact(await put(etcd, "/elsewhere", b""))
        await put(etcd, prefix + "a", b"2")
        await until(lambda: seen.values == [b"1", b"2"], "the watch goes on")


@asynccontextmanager
async def watch_must_go_on(harness: Harness, prefix: str, member: int) -> AsyncIterator[None]:
    """A watch at `member`, whose fault begins and ends inside: every change is told once, in order."""
    near, far = harness.client(member), harness.client((member + 1) % 3)
    values: list[bytes | None] = []

    async def more(first: int) -> None:
        for n in range(first, first + 5):
            values.append(b"%d" % n)
            await eventually(lambda n=n: far.transact((), [Put(prefix + "a", b"%d" % n)]), "a change")  # type: ignore[misc]

    start = await put(far, prefix + "a", b"")
    async with watching(near, prefix, start + 1) as seen:
        await more(0)
        await until(lambda: seen.values == values, "what is changed before the fault")
        yield
        await more(5)
        await until(lambda: seen.values[-1:] == [b"9"], "what is changed after it")
    # A change whose answer was lost may have been made twice: then twice in a row.
    assert [value for n, value in enumerate(seen.values) if value not in seen.values[:n]] == values
    revisions = [change.mod_revision for change in seen.changes]
    assert revisions == sorted(set(revisions))


@case("kill")
async def a_watch_outlives_its_member(harness: Harness, prefix: str) -> None:
    member = await harness.leader()
    try:
        async with watch_must_go_on(harness, prefix, member):
            await harness.kill(member)
    finally:
        await harness.restart(member)


@case("pause")
async def a_watch_leaves_a_member_that_stands_still(harness: Harness, prefix: str) -> None:
    member = await harness.leader()
    try:
        async with watch_must_go_on(harness, prefix, member):
            await harness.pause(member)
    finally:
        await harness.resume(member)


@case("hang")
async def a_watch_leaves_a_black_hole(harness: Harness, prefix: str) -> None:
    try:
        async with watch_must_go_on(harness, prefix, 1):
            await harness.hang(1)
    finally:
        await harness.answer(1)


@case("kill")
async def a_watch_waits_for_a_quorum(harness: Harness, prefix: str) -> None:
    async with watch_must_go_on(harness, prefix, 2):
        for member in (0, 1):
            await harness.kill(member)
        await bounded_refusal(harness.client(2), "/elsewhere/")  # what got no answer may be done when there is a quorum
        for member in (0, 1):
            await harness.restart(member)


# -- answers that do not come


@case("drop_next_reply")
async def a_lost_reply_is_unknown(harness: Harness, prefix: str) -> None:
    etcd = harness.client()
    before = await put(etcd, prefix + "a", b"1")
    await harness.drop_next_reply()
    with pytest.raises(EtcdUnknownError):
        await etcd.transact([Compare(prefix + "a", "mod_revision", before)], [Put(prefix + "a", b"2")])
    found = await etcd.range(prefix + "a")
    assert (found.keys[0].value, found.keys[0].mod_revision) == (b"2", before + 1)  # done, and done once
    again = await etcd.transact([Compare(prefix + "a", "mod_revision", before)], [Put(prefix + "a", b"3")])
    assert again == (False, before + 1)


@case("drop_next_reply")
async def a_lost_lease_is_unknown(harness: Harness, prefix: str) -> None:
    etcd = harness.client()
    await harness.drop_next_reply()
    with pytest.raises(EtcdUnknownError):
        await etcd.grant(2)
    assert await etcd.keep_alive(await etcd.grant(2))


async def bounded_refusal(etcd: Etcd, prefix: str) -> None:
    """No call may succeed, and none may wait for ever."""
    calls: list[Callable[[], Awaitable[object]]] = [
        lambda: etcd.range(prefix),
        lambda: etcd.transact((), [Put("/elsewhere", b"")]),  # which may be done when the quorum is back
        lambda: etcd.grant(5),
        lambda: etcd.keep_alive(4711),
    ]
    for call in calls:
        begin_s = now_s()
        with pytest.raises((EtcdError, EtcdUnknownError)):
            await call()
        assert now_s() - begin_s < BOUNDED_S


@case("kill")
async def without_a_quorum_nothing_is_done(harness: Harness, prefix: str) -> None:
    etcd = harness.client()
    await put(etcd, prefix + "a", b"before")
    dead = [(await harness.leader() + n) % 3 for n in range(2)]
    for member in dead:
        await harness.kill(member)
    await bounded_refusal(etcd, prefix)
    for member in dead:
        await harness.restart(member)
    await eventually(lambda: put(etcd, prefix + "a", b"after"), "a quorum")
    assert await value_of(etcd, prefix + "a") == b"after"


@case("kill")
async def a_dead_endpoint_costs_nothing(harness: Harness, prefix: str) -> None:
    etcd = harness.client(1)
    await put(etcd, prefix + "a", b"0")
    await harness.kill(1)
    try:
        await harness.leader()
        await eventually(lambda: etcd.range(prefix), "somebody answers")
        begin_s = now_s()
        for n in range(10):
            await put(etcd, prefix + "a", b"%d" % n)
            assert await value_of(etcd, prefix + "a") == b"%d" % n
        assert now_s() - begin_s < 2.0
    finally:
        await harness.restart(1)


async def costs_little(harness: Harness, prefix: str, etcd: Etcd) -> None:
    """The nearest member has begun to hang: one call may pay for that, not all of them."""
    await harness.leader()
    await eventually(lambda: etcd.range(prefix), "somebody answers")
    begin_s = now_s()
    for n in range(10):
        await put(etcd, prefix + "a", b"%d" % n)
        assert await value_of(etcd, prefix + "a") == b"%d" % n
    assert now_s() - begin_s < 2.0


@case("pause")
async def a_member_that_stands_still_costs_little(harness: Harness, prefix: str) -> None:
    member = (await harness.leader() + 1) % 3
    etcd = harness.client(member)
    await put(etcd, prefix + "a", b"")
    await harness.pause(member)
    try:
        await costs_little(harness, prefix, etcd)
        await costs_little(harness, prefix, harness.client(member))  # one that has no connection yet
    finally:
        await harness.resume(member)


@case("hang")
async def a_black_hole_costs_little(harness: Harness, prefix: str) -> None:
    etcd = harness.client(2)
    await put(etcd, prefix + "a", b"")
    await harness.hang(2)
    try:
        await costs_little(harness, prefix, etcd)
        await costs_little(harness, prefix, harness.client(2))
    finally:
        await harness.answer(2)


@case("hang")
async def a_change_is_not_given_to_who_hangs(harness: Harness, prefix: str) -> None:
    """Without a read in between: a client that has not heard of a member lately asks it first."""
    await harness.hang(0)
    try:
        assert (await harness.client(0).transact((), [Put(prefix + "a", b"1")])).succeeded
    finally:
        await harness.answer(0)


# -- what befalls the cluster


@case("kill")
async def writing_goes_on_after_the_leader(harness: Harness, prefix: str) -> None:
    leader = await harness.leader()
    etcd = harness.client(leader)
    await put(etcd, prefix + "a", b"1")
    await harness.kill(leader)
    try:
        await eventually(lambda: put(etcd, prefix + "a", b"2"), "a new leader")
        assert await harness.leader() != leader
    finally:
        await harness.restart(leader)


@case("replace")
async def a_member_is_replaced(harness: Harness, prefix: str) -> None:
    member = await harness.leader()
    async with watch_must_go_on(harness, prefix, member):
        await harness.replace(member)
        fresh = harness.client(member)
        assert await value_of(fresh, prefix + "a") == b"4"
        assert (await fresh.transact([Compare(prefix + "a", "value", b"4")], [Put("/elsewhere", b"")])).succeeded


@case("fill")
async def a_full_etcd_refuses_and_is_read(harness: Harness, prefix: str) -> None:
    etcd = harness.client()
    await put(etcd, prefix + "a", b"before")
    await harness.fill()
    for _ in range(3):
        with pytest.raises(EtcdError) as refused:
            await put(etcd, prefix + "a", b"too much")
        assert refused.value.code == "ResourceExhausted"
    assert await value_of(etcd, prefix + "a") == b"before"
    assert (await etcd.transact((), [Delete(prefix + "a")])).succeeded  # giving back is allowed
    await harness.make_room()
    await put(etcd, prefix + "a", b"after")
    assert await value_of(etcd, prefix + "a") == b"after"


@case()
async def a_member_says_how_it_is(harness: Harness, prefix: str) -> None:
    etcd = harness.client()
    await put(etcd, prefix + "a", b"")
    revision = (await etcd.range(prefix)).revision
    status = await etcd.status()
    assert status.member
    assert status.leader
    assert status.size_bytes > 0
    assert revision - 1 <= status.revision <= revision  # a member may be a step behind the majority
