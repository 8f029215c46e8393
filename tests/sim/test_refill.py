"""A lookout with an empty mirror gets everything again, though etcd has nothing of it any more, and in pieces."""

from __future__ import annotations

from collections.abc import Iterator
from random import Random

import msgspec
import pytest

from binome.core.entry import EMPTY, Draft, Entry, seal
from binome.core.leadership import LeadershipTaken
from binome.journal.agreed import AT_ONCE_BYTES, KEPT_AT_MOST, TRIM_EVERY_S, UPLOADED_AT_ONCE, MirrorMark
from binome.journal.refill import answer, first_at_once, last_at_once, question
from binome.ports import Delete, Put
from binome.sim.disk import File, SimulatedStore
from binome.sim.node import Node
from binome.sim.shape import Shape
from binome.sim.world import World

COUNT = 2 * UPLOADED_AT_ONCE + 300


def drafts(count: int, size_bytes: int = 1) -> list[Draft]:
    return [Draft(f"d{n}", 1, "test", LeadershipTaken("x" * size_bytes)) for n in range(count)]


def entries(count: int, size_bytes: int = 1) -> list[Entry]:
    return list(seal(drafts(count, size_bytes), EMPTY, 1))


def store(count: int) -> SimulatedStore:
    kept = SimulatedStore(File(Random(0)))
    kept.append(entries(count))
    return kept


def keys(actions: list[Put | Delete]) -> list[str]:
    return [action.key for action in actions]


def test_the_answer_begins_where_the_mirror_ends_and_removes_the_question() -> None:
    asked = question("/r/", "a", 7)
    assert asked == Put("/r/lacking/a", b"7")
    given = answer("/r/", store(20), "a", 7, {15: 20})
    assert keys(given) == [asked.key, "/r/batch/00000000000000000008"]
    assert isinstance(given[0], Delete)


@pytest.mark.parametrize("batches", [{8: 9}, {1: 20}, {1: 7, 8: 8}])
def test_what_etcd_has_is_not_given_again(batches: dict[int, int]) -> None:
    assert keys(answer("/r/", store(20), "a", 7, batches)) == ["/r/lacking/a"]


def test_who_has_everything_is_given_nothing() -> None:
    assert keys(answer("/r/", store(20), "a", 20, {})) == ["/r/lacking/a"]


def test_no_more_than_a_transaction_takes() -> None:
    large = entries(9, AT_ONCE_BYTES // 4)
    assert first_at_once(large) == large[:3]
    assert last_at_once(large) == large[-3:]
    huge = entries(2, 2 * AT_ONCE_BYTES)
    assert (first_at_once(huge), last_at_once(huge)) == (huge[:1], huge[1:])
    assert (first_at_once([]), last_at_once([])) == ([], [])


@pytest.fixture
def world() -> Iterator[World]:
    """Three lookouts that have many entries, of which etcd has forgotten all."""
    world = World("1", Shape("1"), (), ())
    world.loop.run_until(5)
    leader = next(node for node in world.nodes if node.journal and node.journal.generation)
    assert leader.journal is not None
    world.loop.spawn(leader.process, leader.journal.append(drafts(COUNT)))
    world.loop.run_until(5 + 3 * TRIM_EVERY_S)
    assert [key for key in in_etcd(world) if "/batch/" in key] == []
    assert {node.mirrored for node in world.nodes} == {world.oracle.count}
    assert UPLOADED_AT_ONCE * 2 < COUNT < world.oracle.count < KEPT_AT_MOST
    yield world
    world.loop.dispose()


def in_etcd(world: World) -> list[str]:
    return [one.key for one in world.cluster.state.range("/", prefix=True).keys]


def new_disk(node: Node) -> None:
    node.lose_disk()
    node.start()


def test_a_new_disk_is_filled_from_the_leader(world: World) -> None:
    new = next(node for node in world.nodes if node.journal and not node.journal.generation)
    new_disk(new)
    world.loop.run_until(world.loop.now_s + 15)
    assert new.mirrored == world.oracle.count
    assert [key for key in in_etcd(world) if "/lacking/" in key] == []
    assert world.lacking() == ""


def test_a_new_disk_is_filled_though_etcd_begins_anew(world: World) -> None:
    new_disk(world.nodes[0])
    world.forget_etcd()
    world.loop.run_until(world.loop.now_s + 20)
    assert {node.mirrored for node in world.nodes} == {world.oracle.count}
    assert world.lacking() == ""


def test_nobody_answers_a_roll_call_that_was_made_in_another_etcd(world: World) -> None:
    world.forget_etcd()
    for _ in range(100):
        world.loop.run_until(world.loop.now_s + 0.05)
        listed = world.cluster.state.range("/binome/sim/mirror/", prefix=True)
        marks = [(msgspec.json.decode(one.value, type=MirrorMark), one.mod_revision) for one in listed.keys]
        assert [mark for mark, revision in marks if mark.called >= revision] == []
    assert len(marks) == len(world.nodes)
