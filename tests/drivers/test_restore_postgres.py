"""Dumps and base backups are restored, of a real PostgreSQL and into others."""

from __future__ import annotations

import asyncio
import os
import shutil
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path

import psycopg
import pytest

from binome.core.sources import Source
from binome.drivers.backup.basebackup import CLUSTER, BaseBackup
from binome.drivers.backup.dump import DATABASE, ROLES, Dump
from binome.drivers.restore.basebackup import RestoreBaseBackup
from binome.drivers.restore.dump import RestoreDump
from binome.ports_of_copies import Copied, Needs, Place, RestoreError, Restorer
from tests.drivers.copier_suite import no_secret, silent
from tests.drivers.postgres_server import Server, running
from tests.drivers.restorer_suite import RestorerSuite

pytestmark = pytest.mark.lab

SCHEMA = (
    "CREATE ROLE writer LOGIN PASSWORD 'secret'",
    "CREATE TABLE contacts (id bigserial PRIMARY KEY, name text)",
    "INSERT INTO contacts (name) SELECT 'n' || n FROM generate_series(1, 1000) n",
    "CREATE UNLOGGED TABLE counters (id int)",
    "CREATE SEQUENCE never",
    "CREATE INDEX ON contacts (name)",
    "ALTER TABLE contacts OWNER TO writer",
    "SELECT lo_from_bytea(0, 'large')",
)


@pytest.fixture(scope="module")
def server() -> Iterator[Server]:
    with running() as server:
        server.execute("CREATE DATABASE contacts")
        server.execute(*SCHEMA, database="contacts")
        yield server


@pytest.fixture(scope="module")
def other() -> Iterator[Server]:
    """Where dumps are restored to."""
    with running() as server:
        yield server


class PostgresSuite(RestorerSuite):
    @pytest.fixture(autouse=True)
    def _servers(self, server: Server, other: Server) -> None:
        self.server, self.other = server, other

    def source(self) -> Source:
        return Source("contacts", ("contacts",), host=str(self.server.folder), database="contacts", user="postgres")

    def change(self, place: Place) -> None:
        with psycopg.connect(host=place.host, user="postgres", dbname="contacts", autocommit=True) as connection:
            connection.execute("UPDATE contacts SET name = 'other' WHERE id = 7")


class TestDump(PostgresSuite):
    needs = Needs.ENGINE

    def make(self) -> Restorer:
        return RestoreDump()

    def copied(self, into: Path) -> Copied:
        into.mkdir()
        return asyncio.run(Dump(no_secret).copy(self.source(), into, silent))

    @contextmanager
    def place(self, folder: Path) -> Iterator[Place]:
        folder.mkdir()
        self.empty()
        try:
            yield Place(folder, host=str(self.other.folder), user="postgres")
        finally:
            self.empty()

    def empty(self) -> None:
        self.other.execute("DROP DATABASE IF EXISTS contacts WITH (FORCE)", "DROP ROLE IF EXISTS writer")

    def broken(self) -> Mapping[str, Callable[[Path], None]]:
        def truncated(folder: Path) -> None:
            path = max((folder / DATABASE).glob("*.dat"), key=lambda one: one.stat().st_size)
            os.truncate(path, path.stat().st_size // 2)

        def without_rows(folder: Path) -> None:
            max((folder / DATABASE).glob("*.dat"), key=lambda one: one.stat().st_size).unlink()

        return {
            "no-contents": lambda folder: (folder / DATABASE / "toc.dat").unlink(),
            "cut-contents": lambda folder: os.truncate(folder / DATABASE / "toc.dat", 500),
            "no-roles": lambda folder: (folder / ROLES).unlink(),
            "other-roles": lambda folder: (folder / ROLES).write_text("CREATE ROLE x SUPER;"),
            "truncated": truncated,
            "without-rows": without_rows,
        }

    def test_each_difference_is_named(self, tmp_path: Path) -> None:
        copied = self.copied(tmp_path / "copy")
        with self.place(tmp_path / "place") as empty:
            place = asyncio.run(self.make().restore(tmp_path / "copy", empty, silent))
            for statement, line in (
                ("ALTER ROLE writer CREATEDB", "role writer has other rights"),
                ("SELECT setval('contacts_id_seq', 7)", "sequence public.contacts_id_seq stands at 7, and 1000"),
                ("CREATE TABLE more AS SELECT 1", "table public.more was not saved"),
                ("DELETE FROM contacts WHERE id = 1", "table public.contacts has 999 rows, and 1000 were saved"),
                ("SELECT lo_unlink(oid) FROM pg_largeobject_metadata", "the large objects are not those"),
                ("DROP INDEX contacts_name_idx", "the schema is not the one that was saved"),
                ("DROP TABLE contacts", "table public.contacts is missing"),
            ):
                self.other.execute(statement, database="contacts")
                found = self.compared(place, copied).differences
                assert any(one.startswith(line) for one in found), (statement, found)
            assert self.compared(place, copied).counts["rows"] == 1000

    def test_a_newer_pg_dump_writes_another_schema_which_is_not_compared(self, tmp_path: Path) -> None:
        copied = self.copied(tmp_path / "copy")
        with self.place(tmp_path / "place") as empty:
            place = asyncio.run(self.make().restore(tmp_path / "copy", empty, silent))
            assert self.compared(place, copied).counts["schemas"] == 1
            newer = copied._replace(versions={"pg_dump": "99.1"})
            self.other.execute("DROP INDEX contacts_name_idx", database="contacts")
            found = self.compared(place, newer)
            assert "schemas" not in found.counts and found.differences == ()

    def test_an_engine_of_somebody_else_is_not_asked(self, tmp_path: Path) -> None:
        with self.place(tmp_path / "place") as place, pytest.raises(RestoreError, match="leads to a server of user"):
            asyncio.run(self.make().restore(tmp_path, place._replace(uid=4242), silent))


class TestBaseBackup(PostgresSuite):
    needs = Needs.CLUSTER

    def make(self) -> Restorer:
        return RestoreBaseBackup()

    def copied(self, into: Path) -> Copied:
        into.mkdir()
        return asyncio.run(BaseBackup(no_secret).copy(self.source(), into, silent))

    @contextmanager
    def place(self, folder: Path) -> Iterator[Place]:
        folder = self.other.folder / folder.name
        folder.mkdir()
        try:
            yield Place(folder, user="postgres")
        finally:
            shutil.rmtree(folder)

    def change(self, place: Place) -> None:
        pytest.skip("another server is another fingerprint: test_each_difference_is_named")

    @contextmanager
    def started(self, place: Place) -> Iterator[Place]:
        for path in (place.folder, *place.folder.rglob("*")):
            if os.geteuid() == 0:
                shutil.chown(path, "postgres", "postgres")
        (place.folder / "postgresql.conf").write_text(f"unix_socket_directories = '{self.other.folder}'\nport = 5433\n")
        self.other.run("pg_ctl", f"-D{place.folder}", "--wait", f"--log={place.folder}.log", "-o", "-h ''", "start")
        try:
            yield place._replace(host=str(self.other.folder), port=5433)
        finally:
            self.other.run("pg_ctl", f"-D{place.folder}", "--mode=immediate", "--wait", "stop")

    def broken(self) -> Mapping[str, Callable[[Path], None]]:
        return {
            "no-version": lambda folder: (folder / CLUSTER / "PG_VERSION").unlink(),
            "no-control": lambda folder: (folder / CLUSTER / "global" / "pg_control").unlink(),
            "no-manifest": lambda folder: (folder / CLUSTER / "backup_manifest").unlink(),
            "no-wal": lambda folder: shutil.rmtree(folder / CLUSTER / "pg_wal"),
        }

    def test_each_difference_is_named(self, tmp_path: Path) -> None:
        copied = self.copied(tmp_path / "copy")
        with self.place(tmp_path / "place") as empty:
            place = asyncio.run(self.make().restore(tmp_path / "copy", empty, silent))
            with self.started(place) as running:
                assert self.compared(running, copied).differences == ()
                assert self.compared(running, copied).counts == {"databases": 2}
                wal = [{**copied.fingerprint["wal"][0], "End-LSN": "FF/0"}]  # type: ignore[index]
                other = {"system_identifier": "123", "checksums": False, "wal": wal}
                found = self.compared(running, copied._replace(fingerprint=other)).differences
                assert [line.partition(":")[0] for line in found] == [
                    "it is of another server",
                    "it has checksums, and was saved otherwise",
                    "its WAL ends before FF/0",
                ]

    def test_a_copy_on_another_disk_is_copied(self, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
        def elsewhere(path: Path, _: Path) -> None:
            raise OSError(18, "Invalid cross-device link", str(path))

        monkeypatch.setattr(Path, "rename", elsewhere)
        copied = self.copied(tmp_path / "copy")
        with self.place(tmp_path / "place") as empty:
            asyncio.run(self.make().restore(tmp_path / "copy", empty, silent))
            assert (empty.folder / "PG_VERSION").is_file() and (tmp_path / "copy" / CLUSTER / "PG_VERSION").is_file()
            assert copied.fingerprint
