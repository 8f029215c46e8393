"""The probes before the real engines, on loopback: well, frozen, without a quorum."""

from __future__ import annotations

import asyncio
import os
import shutil
import signal
import subprocess
import tempfile
from collections.abc import Iterator
from pathlib import Path
from typing import Any, NamedTuple

import psycopg
import pytest

from binome.core.target import Answer
from binome.drivers.probe.etcd import EtcdProbe
from binome.drivers.probe.haproxy import HaproxyProbe
from binome.drivers.probe.postgresql import PostgresqlProbe
from binome.estate import load
from binome.lab.engines import postgresql_programs
from binome.lab.loopback import LoopbackEtcd, free_ports
from binome.ports import Finding, Probe
from binome.render import Folders, render
from tests.drivers.probe_suite import surroundings, target

pytestmark = pytest.mark.lab
LITTORAL = (Path(__file__).parents[2] / "examples" / "littoral" / "estate.yaml").read_text()


class Database(NamedTuple):
    """A server of PostgreSQL, by its port and the process of its postmaster."""

    port: int
    process: int


def as_postgres(*command: str) -> list[str]:
    return ["setpriv", "--reuid=postgres", "--regid=postgres", "--clear-groups", "--", *command]


@pytest.fixture(scope="module")
def database() -> Iterator[Database]:
    folder, programs, (port,) = Path(tempfile.mkdtemp()), postgresql_programs(), free_ports(1)
    shutil.chown(folder, "postgres", "postgres")
    folder.chmod(0o700)
    data = str(folder / "data")
    quiet: dict[str, Any] = {"stdout": subprocess.DEVNULL, "stderr": subprocess.DEVNULL, "cwd": folder}
    password = folder / "password"
    password.write_text("secret of env:WATCHER")
    shutil.chown(password, "postgres")
    options = ("-U", "watcher", "--auth=scram-sha-256", f"--pwfile={password}", "--no-sync")
    subprocess.run(as_postgres(f"{programs}/initdb", "-D", data, *options), check=True, timeout=60, **quiet)
    server = ("-D", data, "-p", str(port), "-k", str(folder), "-c", "listen_addresses=127.0.0.1", "-c", "fsync=off")
    # pdeathsig last: a change of the user takes it away
    command = as_postgres("setpriv", "--pdeathsig", "KILL", "--", f"{programs}/postgres", *server)
    process = subprocess.Popen(command, **quiet)
    try:
        yield Database(port, process.pid)
    finally:
        process.send_signal(signal.SIGCONT)
        process.send_signal(signal.SIGQUIT)
        process.wait(10)
        shutil.rmtree(folder)


def look(probe: Probe, kind: str, port: int, options: dict[str, Any] | None = None) -> Finding:
    return asyncio.run(probe.look(target(kind, port, options)))


def until_up(probe: Probe, kind: str, port: int, options: dict[str, Any] | None = None) -> Finding:
    async def run() -> Finding:
        async with asyncio.timeout(20):
            while (found := await probe.look(target(kind, port, options))).answer is not Answer.UP:
                await asyncio.sleep(0.05)
        return found

    return asyncio.run(run())


def test_a_database_that_is_well_and_one_that_is_frozen(database: Database) -> None:
    probe = PostgresqlProbe(surroundings())
    found = until_up(probe, "postgresql", database.port)
    assert "asks for a password (scram)" in found.said or "starting up" in found.said
    os.kill(database.process, signal.SIGSTOP)
    try:
        for options in ({}, {"user": "watcher", "password": "env:WATCHER"}):
            found = look(probe, "postgresql", database.port, options)
            assert (found.answer, found.said) == (Answer.DOWN, "no answer within 400 ms")
            assert found.took_s < 0.6
    finally:
        os.kill(database.process, signal.SIGCONT)
    assert look(probe, "postgresql", database.port).answer is Answer.UP


def test_role_and_lag_are_asked_where_there_are_credentials(database: Database) -> None:
    probe = PostgresqlProbe(surroundings())
    until_up(probe, "postgresql", database.port)
    slow = target("postgresql", database.port, {"user": "watcher", "password": "env:WATCHER"})._replace(timeout_ms=5000)
    found = asyncio.run(probe.look(slow))
    assert found.details == {"role": "primary", "synchronous_commit": "on", "lag_s": 0.0}
    found = asyncio.run(probe.look(slow._replace(options={"user": "watcher", "password": "env:WRONG"})))
    assert found.answer is Answer.UP and "password authentication failed" in str(found.details["query"])


def test_who_does_not_wait_for_the_standby_is_named(database: Database) -> None:
    probe = PostgresqlProbe(surroundings())
    until_up(probe, "postgresql", database.port)
    options = {"user": "watcher", "password": "env:WATCHER", "thorough": True}
    asks = target("postgresql", database.port, options)._replace(timeout_ms=5000)
    found = asyncio.run(probe.look(asks)).details
    assert (found["checksums"], found["weak"], found["weak_ones"]) == ("off", 0, "")
    settings = [
        "create role reports",
        "create role careful",
        "alter role reports set synchronous_commit = local",
        "alter role careful set synchronous_commit = remote_apply",
        "alter role reports in database postgres set synchronous_commit = 'off'",
        "alter database template1 set synchronous_commit = remote_write",
    ]
    login = f"host=127.0.0.1 port={database.port} user=watcher dbname=postgres"
    with psycopg.connect(login, password="secret of env:WATCHER", autocommit=True) as connection:
        for setting in settings:
            connection.execute(setting.encode())
    found = asyncio.run(probe.look(asks)).details
    assert found["weak"] == 3
    assert found["weak_ones"] == (
        "role reports in database postgres sets off; role reports sets local; database template1 sets remote_write"
    )


def test_a_member_of_etcd_is_well_with_a_quorum_alone(tmp_path: Path) -> None:
    with LoopbackEtcd(tmp_path) as members:
        probe = EtcdProbe(surroundings())
        found = [until_up(probe, "etcd", port, {"thorough": True}) for port in members.ports]
        assert sum(one.details["leads"] is True for one in found) == 1
        assert len({one.details["leader"] for one in found}) == 1
        members.kill(0)
        members.pause(1)
        assert look(probe, "etcd", members.ports[0]).said == "connection refused"
        assert look(probe, "etcd", members.ports[1]).said == "no answer within 400 ms"

        async def lost() -> None:
            async with asyncio.timeout(20):
                while (await probe.look(target("etcd", members.ports[2]))).answer is Answer.UP:
                    await asyncio.sleep(0.05)

        asyncio.run(lost())
        members.resume(1)
        until_up(probe, "etcd", members.ports[2])


def test_an_edge_as_it_is_rendered_gives_its_statistics(tmp_path: Path) -> None:
    """With its addresses exchanged for loopback, and ports that an edge of this machine does not have."""
    files = render(load(LITTORAL.encode()), "gra-edge", Folders(str(tmp_path)))
    (text,) = [text for path, text in files.items() if path.endswith("haproxy.cfg")]
    statistics, web, writes, reads = free_ports(4)
    for port, free in ((8404, statistics), (80, web), (5432, writes), (5433, reads)):
        text = text.replace(f"bind 10.20.1.10:{port}\n", f"bind 127.0.0.1:{free}\n")
    assert "bind 10.20" not in text
    text = text.replace("acl estate src ", "acl estate src 127.0.0.1 ")
    (tmp_path / "run" / "binome").mkdir(parents=True)
    file = tmp_path / "edge.cfg"
    file.write_text(text)
    process = subprocess.Popen(
        ["setpriv", "--pdeathsig", "KILL", "haproxy", "-db", "-f", str(file)], stderr=subprocess.DEVNULL
    )
    try:
        found = until_up(HaproxyProbe(surroundings()), "haproxy", statistics)
        assert "backends are up" in found.said and {"web/gra-web", "database/gra-db"} <= found.details.keys()
        found = look(HaproxyProbe(surroundings()), "haproxy", statistics, {"thorough": True})
        assert found.details["web/gra-web/address"] == "10.20.1.11:8000"
        assert found.details["database-reads/sbg-db/address"] == "10.20.2.12:5432"
        patient = target("haproxy", statistics, {"thorough": True})._replace(timeout_ms=3000)
        details = asyncio.run(HaproxyProbe(surroundings()).look(patient)).details
        assert -1000 < int(details["clock_least_ms"] or 0) <= 10 and 0 <= int(details["clock_most_ms"] or 0) < 1000
        stranger = ["curl", "-s", "-m", "3", "--interface", "127.0.0.5", f"http://127.0.0.1:{statistics}/stats;csv"]
        assert subprocess.run(stranger, check=False, capture_output=True, timeout=10).stdout == b""
    finally:
        process.kill()
        process.wait()
