"""The cases of `journal_suite` for journals that several servers agree on: leases, lost answers, etcd."""

from __future__ import annotations

import asyncio

import pytest

from binome.ports import AppendUnknownError, NotLeaderError, StoreError
from tests.journal.etcd_suite import until
from tests.journal.journal_case import (
    AgreeingServers,
    all_have,
    append,
    case,
    caught_up,
    draft,
    head,
    ids,
    leader,
    victims,
)


@case("others")
async def one_leads_and_all_others_are_refused(servers: AgreeingServers) -> None:
    name = await append(servers, "one")
    for other in servers.names:
        if other != name:
            with pytest.raises(NotLeaderError):
                await servers.journals[other].append([draft("other")])
    await all_have(servers, "one")


@case("lease")
async def a_leader_that_lost_its_lease_and_does_not_know_is_refused(servers: AgreeingServers) -> None:
    """Nothing on its own side stops it: its clock stood still, and no news has reached it. etcd refuses."""
    old = await append(servers, "before")
    before = servers.journals[old].generation or 0
    servers.fall_asleep(old)
    new = await leader(servers, but=old)
    await append_by(servers, new, "of the new one")
    assert servers.journals[old].generation == before, "it believes that it leads"
    with pytest.raises(NotLeaderError, match="another one leads"):
        await servers.journals[old].append([draft("of the old one")])
    assert servers.journals[old].generation is None
    servers.wake(old)
    await append(servers, "after")
    await all_have(servers, "before", "of the new one", "after")
    assert (servers.journals[new].generation or 0) > before


async def append_by(servers: AgreeingServers, name: str, id_: str) -> None:
    """Appends where two may believe that they lead."""
    await until(lambda: servers.journals[name].generation is not None, "it leads")
    await servers.journals[name].append([draft(id_)])


@case("lost reply")
async def an_append_whose_answer_was_lost_is_unknown_and_never_doubled(servers: AgreeingServers) -> None:
    said, unknown = ["before"], 0
    name = await append(servers, *said)
    for number in range(5):
        said.append(f"lost-{number}")
        await servers.drop_next_reply(name)
        try:
            await servers.journals[name].append([draft(said[-1])])
        except AppendUnknownError:
            unknown += 1
        name = await append(servers, *said, f"after-{number}")
        said.append(f"after-{number}")
    assert unknown > 0, "an answer to an append was lost, not only to a mark"
    await all_have(servers, *said)


@case("no quorum")
async def without_quorum_nobody_leads_and_afterwards_all_goes_on(servers: AgreeingServers) -> None:
    name = await append(servers, "before")
    await all_have(servers, "before")
    for member in (0, 1):
        await servers.kill(member)
    with pytest.raises((StoreError, AppendUnknownError, NotLeaderError)):
        await servers.journals[name].append([draft("meanwhile")])
    await until(lambda: all(one.generation is None for one in servers.journals.values()), "nobody believes to lead")
    await until(lambda: all(one.problems() for one in servers.journals.values()), "each says so")
    for one in servers.names:
        assert await ids(servers, one) == ["before"], "reading works alone"
    for member in (0, 1):
        await servers.restart(member)
    await append(servers, "meanwhile", "after")
    await all_have(servers, "before", "meanwhile", "after")


@case("hanging endpoint")
async def a_member_that_hangs_stops_nobody(servers: AgreeingServers) -> None:
    """The one that the leader asks first; it may be the one that leads etcd."""
    name = await append(servers, "before")
    member = servers.names.index(name)
    await servers.pause(member)
    try:
        for number in range(3):
            by = await append(servers, f"while-{number}")
        last = await head(servers, by)
        for other in servers.names:
            await caught_up(servers, other, last)
    finally:
        await servers.resume(member)
    await append(servers, "after")
    await all_have(servers, "before", "while-0", "while-1", "while-2", "after")


@case("replaced member")
async def a_member_that_is_replaced_is_not_noticed(servers: AgreeingServers) -> None:
    name = await append(servers, "before")
    member = servers.names.index(name)
    await servers.replace(member)
    await append(servers, "after")
    await servers.kill((member + 1) % 3)  # the new member is a full one: with it there is a majority
    await append(servers, "and again")
    await servers.restart((member + 1) % 3)
    await all_have(servers, "before", "after", "and again")


@case("compaction")
async def a_compaction_past_a_watch_loses_nothing(servers: AgreeingServers) -> None:
    name = await append(servers, "before")
    await all_have(servers, "before")
    behind = victims(servers, name)[-1]
    await servers.isolate(behind)
    await append(servers, "one")
    await append(servers, "two")
    await servers.compact()
    assert await ids(servers, behind) == ["before"]
    await servers.join(behind)
    await append(servers, "after")
    await all_have(servers, "before", "one", "two", "after")


@case("quota")
async def a_full_etcd_refuses_aloud_and_nothing_is_lost(servers: AgreeingServers) -> None:
    name = await append(servers, "before")
    await servers.fill()
    try:
        with pytest.raises(StoreError, match="database space exceeded"):
            await servers.journals[name].append([draft("in vain")])
        assert not servers.journals[name].has("in vain")
        assert any("space exceeded" in one for one in servers.journals[name].problems())
    finally:
        await servers.make_room()
    await append(servers, "after")
    await all_have(servers, "before", "after")
    await until(lambda: not servers.journals[name].problems(), "it is told no more")


@case("rebuilt")
async def an_etcd_rebuilt_from_nothing_goes_on_above_the_mirrors(servers: AgreeingServers) -> None:
    name = await append(servers, "one", "two")
    await all_have(servers, "one", "two")
    generation = servers.journals[name].generation or 0
    behind = victims(servers, name)[-1]
    await servers.stop(behind)
    await append(servers, "three")
    await all_have(servers, "one", "two", "three")  # a majority has it; what only etcd and one mirror had would be lost
    await servers.rebuild()
    servers.start(behind)
    name = await append(servers, "four")
    assert (servers.journals[name].generation or 0) > generation
    await all_have(servers, "one", "two", "three", "four")


@case("rebuilt")
async def an_etcd_rebuilt_from_nothing_waits_for_a_majority(servers: AgreeingServers) -> None:
    """One mirror alone may not know what was acknowledged; it must not begin again from where it is."""
    name = await append(servers, "one")
    await all_have(servers, "one")
    behind = victims(servers, name)[-1]
    await servers.stop(behind)
    await append(servers, "two")
    for other in tuple(servers.journals):
        await caught_up(servers, other, await head(servers, name))
    for other in tuple(servers.journals):
        await servers.stop(other)
    await servers.rebuild()
    servers.start(behind)
    alone = servers.journals[behind]
    for _ in range(3):  # so the one before was in vain
        await asyncio.wait_for(servers.roll_called(), 10)
    assert alone.generation is None
    assert "nobody leads" in alone.problems()
    for other in servers.names:
        if other != behind:
            servers.start(other)
    await append(servers, "three")
    await all_have(servers, "one", "two", "three")


@case("restored")
async def an_etcd_that_came_back_older_goes_on_from_the_mirrors(servers: AgreeingServers) -> None:
    """What a majority had mirrored outlives etcd: nothing of it is lost, and no number is given twice."""
    name = await append(servers, "one")
    await all_have(servers, "one")
    generation = servers.journals[name].generation or 0
    await servers.save()
    name = await append(servers, "two", "three")
    await append(servers, "four")
    await all_have(servers, "one", "two", "three", "four")
    await servers.put_back()
    name = await append(servers, "five")
    assert (servers.journals[name].generation or 0) > generation
    await all_have(servers, "one", "two", "three", "four", "five")
    await servers.stop(name)
    servers.start(name)
    await append(servers, "six")
    await all_have(servers, "one", "two", "three", "four", "five", "six")


@case("restored")
async def what_only_a_restored_etcd_and_one_mirror_had_is_missed_aloud(servers: AgreeingServers) -> None:
    """The bound of the promise (docs/adr/0023): etcd's data and the only mirror with it were gone at once.

    The others go on without it. When that mirror comes back it says that it holds another entry under that number,
    keeps it for a person to judge, and takes no part.
    """
    await append(servers, "one")
    await all_have(servers, "one")
    await servers.save()
    name = await append(servers, "two")
    others = [other for other in servers.names if other != name]
    for other in others:
        await servers.isolate(other)
    only_here = [f"only here {number}" for number in range(5)]
    for id_ in only_here:
        await servers.journals[name].append([draft(id_)])
    await servers.lose_power(name)
    await servers.put_back()
    for other in others:
        await servers.join(other)
    await append(servers, "three", "four")
    await all_have(servers, "one", "two", "three", "four")
    said = ["one", "two", "three", "four"]
    for trimmed in (0, 10**6):  # also where etcd has nothing left but its head to tell by, and it is the longer one
        await servers.trim(trimmed)
        lonely = servers.start(name)
        await until(
            lambda: any("another one in etcd" in one for one in servers.journals[name].problems()), "it is told"
        )
        assert await ids(servers, name) == ["one", "two", *only_here], "kept as it was"
        with pytest.raises(NotLeaderError):
            await lonely.append([draft("never")])
        await servers.end_lease()
        said.append(f"trimmed up to {trimmed}")
        await append(servers, said[-1])
        assert lonely.generation is None
        await servers.stop(name)
        await all_have(servers, *said)
