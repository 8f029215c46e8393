"""A member in the hands of its agent: stopped though everything is frozen, and rejoined without losing anything.

The processes are real, but stand in for the engines: a program named `postgres` that sleeps in the data folder, and a
script that was started with Patroni's configuration. The engines themselves have their turn in the lab's tests.
"""

from __future__ import annotations

import asyncio
import json
import os
import shutil
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from typing import Any

import pytest

from binome.core.plan import Command, Outcome
from binome.drivers.database.patroni import processes
from binome.drivers.database.patroni.member import Member, PatroniMember, Refused, kept
from binome.drivers.database.patroni.rest import Place

STREAMS = {"role": "replica", "state": "running", "replication_state": "streaming"}
STUCK = {"role": "replica", "state": "start failed"}
OTHER_LEADS = {"members": [{"role": "leader", "state": "running", "host": "10.20.2.12"}]}


class World:
    """One server with a member, and what its Patroni says."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.data = folder / "data" / "postgresql"
        self.data.mkdir(parents=True, mode=0o700)
        (self.data / "pg_tblspc").mkdir()
        (self.data / "PG_VERSION").write_text("15\n")
        self.configuration = folder / "patroni.yml"
        self.configuration.write_text("")
        self.postgres_program = folder / "postgres"
        shutil.copy("/bin/sleep", self.postgres_program)
        (folder / "patroni.py").write_text("import time\ntime.sleep(600)\n")
        self.running: list[subprocess.Popen[bytes]] = []
        self.says: Mapping[str, Any] | None = STREAMS
        self.cluster: Mapping[str, Any] | None = OTHER_LEADS
        self.kept_bytes = 1 << 30
        self.asked: Callable[[], None] = lambda: None

    def postgres(self, folder: Path | None = None) -> subprocess.Popen[bytes]:
        return self._begun([str(self.postgres_program), "600"], folder or self.data)

    def patroni(self, configuration: Path | None = None) -> subprocess.Popen[bytes]:
        return self._begun(
            [sys.executable, str(self.folder / "patroni.py"), str(configuration or self.configuration)], self.folder
        )

    def _begun(self, arguments: list[str], folder: Path) -> subprocess.Popen[bytes]:
        process = subprocess.Popen(arguments, cwd=folder)
        self.running.append(process)
        deadline = time.monotonic() + 10  # until it is the program that it is to be
        while Path(f"/proc/{process.pid}/cmdline").read_bytes().split(b"\0")[0].decode() != arguments[0]:
            assert time.monotonic() < deadline
        return process

    def order(self, verb: str, plan: str = "p", **arguments: str) -> Outcome:
        """By a driver that begins anew each time, as after a restart of the agent."""
        arguments = {"copy_s": "2"} | arguments
        command = Command(
            f"{plan}/0",
            plan,
            0,
            False,
            f"database.{verb}",
            "gra-db",
            "database",
            {"service": "database"} | arguments,
            1,
        )

        async def run() -> Outcome:
            server = await asyncio.start_server(self._answer, "127.0.0.1", 0)
            try:
                return await self.driver(server.sockets[0].getsockname()[1]).carry_out(command)
            finally:
                server.close()

        return asyncio.run(run())

    def driver(self, port: int = 1) -> PatroniMember:
        member = self.member(port)
        return PatroniMember({"database": member}, self.folder / "agent")

    def member(self, port: int = 1) -> Member:
        return Member(self.data, self.configuration, Place("127.0.0.1", port), self.folder, kept_bytes=self.kept_bytes)

    async def _answer(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        path = (await reader.readuntil(b"\r\n\r\n")).split(b" ")[1]
        self.asked()
        said = self.cluster if path == b"/cluster" else self.says
        if said is not None:
            writer.write(b"HTTP/1.0 200 OK\r\n\r\n" + json.dumps(said).encode())
        writer.close()

    def close(self) -> None:
        for process in self.running:
            process.kill()
            process.wait()


@pytest.fixture
def world(tmp_path: Path) -> Iterator[World]:
    world = World(tmp_path)
    yield world
    world.close()


def frozen(process: subprocess.Popen[bytes]) -> bool:
    """Whether it stands still."""
    return Path(f"/proc/{process.pid}/stat").read_text().rpartition(")")[2].split()[0] == "T"


def until(condition: Callable[[], bool]) -> bool:
    """Whether it comes to be so; the kernel takes a moment to stop a process, or to let it go on."""
    deadline = time.monotonic() + 5
    while not condition():
        if time.monotonic() > deadline:
            return False
        time.sleep(0.001)
    return True


@pytest.mark.parametrize("standing_still", [False, True])
def test_fenced_though_everything_stands_still(world: World, standing_still: bool) -> None:
    postmaster, backend, patroni = world.postgres(), world.postgres(), world.patroni()
    others = [world.postgres(world.folder), world.patroni(world.folder / "other.yml")]
    if standing_still:
        for process in (postmaster, backend, patroni):
            process.send_signal(signal.SIGSTOP)
    for _ in range(2):
        assert world.order("fence") == Outcome("done")
    ends = {postmaster.wait(5), backend.wait(5)}
    assert ends == ({-signal.SIGKILL} if standing_still else {-signal.SIGQUIT})
    assert patroni.poll() is None
    assert until(lambda: frozen(patroni))
    assert [one.poll() for one in others] == [None, None], "other members are left alone"
    assert not any(frozen(one) for one in others[:1])
    assert world.order("unfence") == Outcome("done")
    assert until(lambda: not frozen(patroni))


def test_what_is_started_while_it_is_fenced_is_stopped_again_after_a_restart_too(world: World) -> None:
    assert asyncio.run(world.driver().keep()) == {}
    world.order("fence")
    late, patroni = world.postgres(), world.patroni()
    assert asyncio.run(world.driver().keep()) == {"database": Outcome("done")}
    assert late.wait(5) is not None
    assert until(lambda: frozen(patroni))
    assert world.driver().is_fenced("database")


def test_an_unfencing_that_was_broken_off_is_ended(world: World) -> None:
    patroni = world.patroni()
    world.order("fence")
    (world.folder / "agent" / "database.json").write_text('{"state":"opening"}')
    assert asyncio.run(world.driver().keep()) == {"database": Outcome("done")}
    assert until(lambda: not frozen(patroni))
    patroni.send_signal(signal.SIGSTOP)  # by somebody else, such as a drill
    assert asyncio.run(world.driver().keep()) == {}
    assert world.order("unfence") == Outcome("done")
    assert until(lambda: frozen(patroni)), "what we did not stop is not ours to set going"


def test_a_note_that_cannot_be_read_means_fenced_and_one_that_cannot_be_written_stops_no_fence(world: World) -> None:
    (world.folder / "agent").mkdir()
    (world.folder / "agent" / "database.json").write_text("torn {")
    assert world.driver().is_fenced("database")
    shutil.rmtree(world.folder / "agent")
    (world.folder / "agent").write_text("in the way")
    postmaster = world.postgres()
    driver = world.driver()
    outcome = asyncio.run(driver.fence("database"))
    assert (outcome.result, postmaster.wait(5)) == ("unknown", -signal.SIGQUIT)


def test_a_process_that_got_an_old_number_is_not_hit(world: World) -> None:
    other = world.postgres(world.folder)
    (world.data / "postmaster.pid").write_text(f"{other.pid}\n")
    assert world.order("fence") == Outcome("done")
    assert other.poll() is None


def test_without_the_right_to_look_nothing_is_said_to_be_stopped(world: World, monkeypatch: pytest.MonkeyPatch) -> None:
    postmaster = world.postgres()
    readlink = Path.readlink

    def forbidden(path: Path) -> Path:
        if path == Path(f"/proc/{postmaster.pid}/exe"):
            raise PermissionError(1, "Operation not permitted", str(path))
        return readlink(path)

    monkeypatch.setattr(Path, "readlink", forbidden)
    assert world.order("fence").result == "unknown"
    assert asyncio.run(world.driver().keep())["database"].result == "unknown"


def test_a_folder_that_is_gone_hides_nobody(world: World) -> None:
    postmaster = world.postgres()
    shutil.rmtree(world.data)
    assert world.order("fence") == Outcome("done")
    assert postmaster.wait(5) is not None


def test_a_member_that_streams_has_rejoined(world: World) -> None:
    patroni = world.patroni()
    world.order("fence")
    for _ in range(2):
        assert world.order("rejoin", rewind_s="1") == Outcome("done")
    assert until(lambda: not frozen(patroni))
    assert kept(world.member()) == []


def test_where_the_rewind_fails_the_old_data_is_kept_aside_and_a_copy_is_made(world: World) -> None:
    world.says = STUCK
    postmaster, patroni = world.postgres(), world.patroni()

    def patroni_does() -> None:
        if not (world.data / "PG_VERSION").exists() and not frozen(patroni):
            world.says = STREAMS

    world.asked = patroni_does
    owner = 65534 if os.geteuid() == 0 else os.geteuid()
    os.chown(world.data, owner, -1)
    assert world.order("rejoin", rewind_s="0.3", copy_s="5") == Outcome("done")
    assert postmaster.wait(5) is not None
    (aside,) = kept(world.member())
    assert (aside / "PG_VERSION").read_text() == "15\n"
    status = world.data.stat()
    assert (status.st_mode & 0o777, status.st_uid, list(world.data.iterdir())) == (0o700, owner, [])
    assert not world.driver().is_fenced("database")


def test_a_move_that_was_broken_off_starts_nothing_and_can_be_ended(world: World) -> None:
    patroni = world.patroni()
    world.order("fence")
    (world.folder / "agent" / "database.json").write_text('{"state":"moving"}')
    late = world.postgres()
    assert asyncio.run(world.driver().keep()) == {"database": Outcome("done")}
    assert (late.wait(5), frozen(patroni)) == (-signal.SIGQUIT, True)
    world.data.rename(world.data.with_name("postgresql.old-20260101T000000Z"))
    assert world.order("rejoin") == Outcome("done")
    assert until(lambda: not frozen(patroni))
    assert list(world.data.iterdir()) == []


def test_a_fence_that_comes_while_data_is_moved_holds(world: World) -> None:
    world.says = STUCK
    patroni = world.patroni()
    command = Command("p/0", "p", 0, False, "database.rejoin", "", "", {"service": "database", "rewind_s": "0.2"}, 1)

    async def run() -> Outcome:
        server = await asyncio.start_server(world._answer, "127.0.0.1", 0)
        driver = world.driver(server.sockets[0].getsockname()[1])
        world.postgres().send_signal(signal.SIGSTOP)  # so that ending it takes its time
        rejoining = asyncio.create_task(driver.carry_out(command))
        async with asyncio.timeout(10):
            while '"moving"' not in (world.folder / "agent" / "database.json").read_text():
                await asyncio.sleep(0)
            await driver.fence("database")
            outcome = await rejoining
        server.close()
        return outcome

    world.order("fence")
    assert asyncio.run(run()) == Outcome("unknown", Refused.FENCED)
    assert world.driver().is_fenced("database")
    assert (frozen(patroni), kept(world.member())) == (True, [])


def test_one_plan_moves_the_data_once(world: World) -> None:
    world.says = STUCK
    world.patroni()
    assert [world.order("rejoin", rewind_s="0.2", copy_s="0.3").result for _ in range(3)] == ["unknown"] * 3
    assert len(kept(world.member())) == 1


@pytest.mark.parametrize(
    ("said", "cluster", "outcome"),
    [
        ({"role": "primary", "state": "running"}, OTHER_LEADS, Outcome("failed", Refused.IS_PRIMARY)),
        (STUCK, {"members": []}, Outcome("unknown", Refused.NOBODY_LEADS)),
        (
            STUCK,
            {"members": [{"role": "leader", "state": "stopped", "host": "b"}]},
            Outcome("unknown", Refused.NOBODY_LEADS),
        ),
        (
            STUCK,
            {"members": [{"role": "leader", "state": "running", "host": "127.0.0.1"}]},
            Outcome("unknown", Refused.NOBODY_LEADS),
        ),
        (STUCK, None, Outcome("unknown", Refused.SILENT)),
        (None, OTHER_LEADS, Outcome("unknown", Refused.SILENT)),
    ],
)
def test_nothing_is_moved_where_it_may_be_the_only_copy(
    world: World, said: Mapping[str, Any] | None, cluster: Mapping[str, Any] | None, outcome: Outcome
) -> None:
    world.says, world.cluster = said, cluster
    postmaster = world.postgres()
    assert world.order("rejoin", rewind_s="0.2") == outcome
    assert (postmaster.poll(), kept(world.member())) == (None, [])


def test_no_more_is_kept_than_was_agreed_and_nothing_is_deleted(world: World) -> None:
    world.says = STUCK
    for name in ("20260101T000000Z", "20260102T000000Z"):
        world.data.with_name(f"postgresql.old-{name}").mkdir()
    assert world.order("rejoin", rewind_s="0.2") == Outcome("failed", Refused.TOO_MANY_KEPT)
    kept(world.member())[0].rmdir()
    world.kept_bytes = 2
    assert world.order("rejoin", rewind_s="0.2") == Outcome("failed", Refused.TOO_MANY_KEPT)
    assert (world.data / "PG_VERSION").exists()


def test_data_that_lies_elsewhere_too_is_for_a_person(world: World) -> None:
    world.says = STUCK
    (world.data / "pg_tblspc" / "16384").symlink_to(world.folder)
    assert world.order("rejoin", rewind_s="0.2") == Outcome("failed", Refused.ELSEWHERE_TOO)


def test_a_copy_or_a_rewind_under_way_is_not_disturbed(world: World) -> None:
    world.says = STUCK
    program = world.folder / "pg_rewind"
    shutil.copy("/bin/tail", program)
    at_work = world._begun(
        [str(program), "-f", "-n0", str(world.data / "PG_VERSION"), "-s", "1000", str(world.data)], world.folder
    )
    assert at_work.pid in processes.find(processes.works_on(world.data))
    assert world.order("rejoin", rewind_s="0.2") == Outcome("unknown", Refused.STILL_AT_WORK)
    assert kept(world.member()) == []


def test_what_is_asked_of_the_wrong_server_or_in_other_words_is_refused(world: World) -> None:
    assert world.order("fence", service="other") == Outcome("failed", Refused.NO_SUCH_MEMBER)
    assert world.order("drop") == Outcome("failed", Refused.UNKNOWN_VERB)
    world.says = STUCK
    for wrong in ("soon", "nan", "inf", "-1", "0"):
        assert world.order("rejoin", rewind_s=wrong) == Outcome("failed", Refused.BAD_TIME)
        assert world.order("rejoin", copy_s=wrong) == Outcome("failed", Refused.BAD_TIME)
    assert kept(world.member()) == []
    world.order("fence")
    assert world.order("verify") == Outcome("failed", Refused.FENCED)
