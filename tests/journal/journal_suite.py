"""What every journal must do, whoever keeps it: a single server's file, or three lookouts that agree through etcd.

A case is an async function of `Servers`, or of `AgreeingServers` where it needs what only several servers have (those
are in `journal_suite_etcd`); `CASES` has them all, each with the faults that it needs. A journal that cannot meet a
fault says why, in `lacks`:

    @pytest.mark.parametrize("case", [case for case in CASES if case.runs_for(MyServers.lacks)], ids=named)
    def test_suite(case, tmp_path): ...

Servers are new for each case, etcd is not: a case leaves its members alive, answering, and with room. What a case
appends has ids that it knows; what the journal adds of its own is left out by `ids`. All waiting is for a condition.
"""

from __future__ import annotations

import asyncio
from collections.abc import Container, Iterator, Sequence

import apsw
import pytest

from binome.core.entry import Draft, Entry, UnknownFact
from binome.core.maintenance import MaintenanceAsked
from binome.journal.sqlite import SqliteReader
from binome.ports import AppendUnknownError, MovedOnError, StoreError
from tests.journal import journal_suite_etcd
from tests.journal.etcd_suite import until
from tests.journal.journal_case import (
    CASES,
    AgreeingServers,
    Journal,
    Servers,
    agreeing,
    all_have,
    append,
    case,
    caught_up,
    draft,
    head,
    ids,
    leader,
    other_disk,
    refuse,
    told,
    victims,
)
from tests.journal.power import EVERYTHING, NOTHING, Operation, Torn, after

__all__ = ["CASES", "journal_suite_etcd"]

# -- what a journal is


@case()
async def facts_are_kept_in_order_and_once(servers: Servers) -> None:
    await append(servers, "one", "two", "two")
    await append(servers, "two", "three")
    await append(servers, "one")
    await all_have(servers, "one", "two", "three")
    name = await leader(servers)
    assert servers.journals[name].has("three")
    assert not servers.journals[name].has("four")


@case()
async def what_no_version_knows_is_kept_byte_by_byte(servers: Servers) -> None:
    strange = b'{ "kind" : "of-tomorrow", "text":"\\u0000 \xc3\xa9", "long": "' + b"x" * 20_000 + b'" }'
    journal = servers.journals[await leader(servers)]
    await journal.append([Draft("é'\"", -1, "", UnknownFact(strange))])
    await all_have(servers, "é'\"")
    for one in servers.journals.values():
        assert bytes((await one.follow(0, 0))[-1].fact) == strange


@case()
async def who_follows_is_told_at_once_or_after_its_time(servers: Servers) -> None:
    name = await leader(servers)
    journal, seen = servers.journals[name], await head(servers, name)
    waiting = asyncio.ensure_future(next_entries(journal, seen))
    await asyncio.sleep(0)
    await append(servers, "news")
    assert [entry.id for entry in await asyncio.wait_for(waiting, 5)] == ["news"]
    assert not await journal.follow(seen + 1, 0.01)


async def next_entries(journal: Journal, seen: int) -> Sequence[Entry]:
    """What comes after `seen`; other news than entries wake who follows, too."""
    while not (found := await journal.follow(seen, 60.0)):
        pass
    return found


@case()
async def a_decision_made_from_an_older_journal_is_refused(servers: Servers) -> None:
    name = await leader(servers)
    seen = await head(servers, name)
    await append(servers, "meanwhile")
    with pytest.raises(MovedOnError):
        await servers.journals[name].append([draft("decided before")], after=seen)
    await servers.journals[name].append([draft("decided after")], after=seen + 1)
    await all_have(servers, "meanwhile", "decided after")


@case()
async def a_request_reaches_whoever_leads_once(servers: Servers) -> None:
    name = await leader(servers)
    asked = Draft("request/r1", 1, "test", MaintenanceAsked("r1", "web", 1, "why", "ops-1"))
    await servers.journals[victims(servers, name)[-1]].submit(asked)
    journal = servers.journals[name]
    await until(lambda: bool(journal.submitted()) or journal.has(asked.id), "the request is seen")
    await journal.append(journal.submitted())
    await journal.append([asked])
    await until(lambda: not journal.submitted(), "it is answered")
    await all_have(servers, "request/r1")


# -- power and disk


@case()
async def a_second_writer_is_refused(servers: Servers) -> None:
    await append(servers, "one")
    for name in servers.names:
        first = servers.journals[name]
        with pytest.raises(StoreError, match="writes it already"):
            servers.start(name)
        assert servers.journals[name] is first
    await append(servers, "two")
    await all_have(servers, "one", "two")


@case()
async def a_new_start_is_a_new_generation(servers: Servers) -> None:
    name = await append(servers, "one")
    before = servers.journals[name].generation or 0
    await servers.stop(name)
    servers.start(name)
    name = await append(servers, "two")
    assert (servers.journals[name].generation or 0) > before
    await all_have(servers, "one", "two")


@case()
async def power_is_lost_after_every_single_call(servers: Servers) -> None:
    """What a server acknowledged to have is on its disk, whatever was not synced: nobody else keeps it any more."""
    said = ["one", "two", "three", "four", "five", "six"]
    name = await append(servers, said[0])
    for few in (said[1:2], said[2:5], said[5:]):
        await append(servers, *few)
    await all_have(servers, *said)
    for victim in victims(servers, name):
        log, losses = list(servers.machines[victim].log), 0
        for files, done in disks_left(log):
            losses += 1
            acknowledged = told(done, "acknowledged")
            await servers.lose_power(victim)
            await servers.trim(acknowledged)
            other_disk(servers, victim, files)
            await goes_on(servers, victim, said, (acknowledged, told(done, "begun")))
        assert losses > 20, "many different disks were left"


def disks_left(log: Sequence[Operation]) -> Iterator[tuple[dict[str, bytes], Sequence[Operation]]]:
    """Disks that a loss of power may leave, none twice, with the operations that were done before it."""
    seen = set()
    for calls in range(len(log) + 1):
        for fate in (NOTHING, EVERYTHING, Torn(calls)):
            files, done = after({}, log[:calls], fate), log[:calls]
            looks = (tuple(sorted(files.items())), told(done, "acknowledged"), told(done, "begun"))
            if looks not in seen:
                seen.add(looks)
                yield files, done


async def goes_on(servers: Servers, victim: str, said: Sequence[str], lengths: Container[int]) -> None:
    """A server starts on what its disk still has, follows, and has everything once, though it is appended again."""
    servers.start(victim)
    assert await head(servers, victim) in lengths, "an append is whole, or absent"
    found = await ids(servers, victim)
    assert found == list(said[: len(found)])
    by = await append(servers, *said)
    await caught_up(servers, victim, await head(servers, by))
    assert await ids(servers, victim) == list(said)


@case()
async def a_torn_tail_is_passed_over(servers: Servers) -> None:
    """A disk that lost the end of what it had synced, or has garbage there: a whole beginning is left, unaltered."""
    said = ["one", "two", "three", "four"]
    for id_ in said:
        name = await append(servers, id_)
    await all_have(servers, *said)
    victim = victims(servers, name)[-1]
    files, last = after({}, servers.machines[victim].log, EVERYTHING), await head(servers, victim)
    wal, left = files["journal.sqlite-wal"], set()
    for cut in range(0, len(wal), len(wal) // 40):
        for tail in (b"", b"\xa5" * (len(wal) - cut)):
            await servers.lose_power(victim)
            other_disk(servers, victim, {**files, "journal.sqlite-wal": wal[:cut] + tail})
            await goes_on(servers, victim, said, range(last + 1))
            left.add(cut)
    assert len(left) >= 40


@case()
async def power_is_lost_in_the_middle_of_an_append(servers: Servers) -> None:
    """At each call of the leader's disk in turn; whoever leads next is told all of it again."""
    said: list[str] = []
    for call in range(1, 100):
        name, seen = await leader(servers), [0]
        machine = servers.machines[name]

        def fault(_: Operation, seen: list[int] = seen, call: int = call) -> None:
            seen[0] += 1
            if seen[0] >= call:
                raise apsw.IOError("the power is gone")

        machine.fault = fault
        said.append(f"call-{call}")
        try:
            await servers.journals[name].append([draft(said[-1])])
        except (StoreError, AppendUnknownError):
            await servers.lose_power(name)
            if others := agreeing(servers):
                await others.end_lease()
            other_disk(servers, name, after(machine.found, machine.log, NOTHING))
            servers.start(name)
            await append(servers, *said)
            await all_have(servers, *said)
        else:
            machine.fault = None
            break
    assert call > 2, "it has a write and a sync at least"


@case()
async def a_disk_that_takes_nothing_loses_nothing(servers: Servers) -> None:
    """Full, suddenly read-only, or broken: it is told, others go on, and when it takes something again so does it."""
    said = ["before"]
    await append(servers, *said)
    for error, why in ((apsw.FullError, "is full"), (apsw.ReadOnlyError, "is read-only"), (apsw.IOError, "is broken")):
        name = await leader(servers)
        servers.machines[name].fault = refuse(error, why)
        said.append(f"while it {why}")
        with pytest.raises((StoreError, AppendUnknownError), match=why):
            await servers.journals[name].append([draft(said[-1])])
        if others := agreeing(servers):
            await other_goes_on(others, name, why, said)
        servers.machines[name].fault = None
        said.append(f"after it {why}")
        await append(servers, *said)
        await all_have(servers, *said)


async def other_goes_on(servers: AgreeingServers, ill: str, why: str, said: list[str]) -> None:
    """Another one leads, while the disk of the old leader takes nothing and its problems say so."""
    await servers.end_lease()
    other = await leader(servers, but=ill)
    said.append(f"elsewhere while it {why}")
    await append(servers, *said)
    await until(lambda: any(why in one for one in servers.journals[ill].problems()), "it is told")
    assert await ids(servers, other) == said
    assert await ids(servers, ill) == said[:-2], "its mirror stays as it was"


@case("others")
async def a_full_disk_of_one_who_follows_is_told_and_loses_nothing(servers: AgreeingServers) -> None:
    name = await append(servers, "before")
    await all_have(servers, "before")
    ill = victims(servers, name)[-1]
    servers.machines[ill].fault = refuse(apsw.FullError, "is full")
    await append(servers, "while")
    await until(lambda: any("is full" in one for one in servers.journals[ill].problems()), "it is told")
    await append(servers, "and again")
    assert await ids(servers, ill) == ["before"]
    servers.machines[ill].fault = None
    await all_have(servers, "before", "while", "and again")
    await until(lambda: not servers.journals[ill].problems(), "it is told no more")


@case()
async def a_read_only_file_is_refused_and_can_be_read(servers: Servers) -> None:
    name = await append(servers, "before")
    await all_have(servers, "before")
    ill = victims(servers, name)[-1]
    await servers.stop(ill)
    machine = servers.machines[ill]
    machine.read_only = True
    with pytest.raises(StoreError, match="read-only"):
        servers.start(ill)
    reader = SqliteReader(machine.path, vfs=machine.vfs)
    assert [entry.id for entry in reader.read(0)][-1] == "before"
    reader.close()
    machine.read_only = False
    servers.start(ill)
    await append(servers, "after")
    await all_have(servers, "before", "after")
