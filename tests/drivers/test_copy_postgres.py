"""Methods dump and basebackup, of a real PostgreSQL of their own."""

from __future__ import annotations

import asyncio
import json
import os
import re
import shutil
import subprocess
import threading
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path

import pytest

from binome.core.sources import Source
from binome.drivers.backup.basebackup import CLUSTER, BaseBackup
from binome.drivers.backup.dump import DATABASE, ROLES, Dump
from binome.drivers.backup.shared.fingerprint import schema_hash
from binome.drivers.backup.shared.postgres import program
from binome.ports_of_copies import Copied, Copier, CopyError, Unsaved
from tests.drivers.copier_suite import CopierSuite, no_secret, silent
from tests.drivers.postgres_server import Server, running

pytestmark = pytest.mark.lab

SCHEMA = (
    "CREATE TABLE contacts (id bigserial PRIMARY KEY, name text, at timestamptz, score float8, raw bytea, i interval)",
    "INSERT INTO contacts (name, at, score, raw, i) SELECT 'n' || n, '2026-01-01'::timestamptz + n * interval '1 hour',"
    " n / 3.0, decode(md5(n::text), 'hex'), n * interval '1 day' FROM generate_series(1, 1000) n",
    'CREATE TABLE "Odd.Näme r" ("r" int, "binome" text)',
    "INSERT INTO \"Odd.Näme r\" VALUES (1, NULL), (1, NULL), (2, 'x')",
    "CREATE TABLE parts (id int) PARTITION BY HASH (id)",
    "CREATE TABLE parts_0 PARTITION OF parts FOR VALUES WITH (MODULUS 2, REMAINDER 0)",
    "CREATE TABLE parts_1 PARTITION OF parts FOR VALUES WITH (MODULUS 2, REMAINDER 1)",
    "INSERT INTO parts SELECT generate_series(1, 100)",
    "CREATE MATERIALIZED VIEW seen AS SELECT now()",
    "SELECT lo_from_bytea(0, 'large')",
)


@pytest.fixture(scope="module")
def server() -> Iterator[Server]:
    with running() as server:
        server.execute("CREATE DATABASE contacts", "CREATE ROLE watcher LOGIN")
        server.execute(*SCHEMA, database="contacts")
        yield server


class PostgresSuite(CopierSuite):
    @pytest.fixture(autouse=True)
    def _server(self, server: Server) -> None:
        self.server = server

    def source(self) -> Source:
        return Source("contacts", ("contacts",), host=str(self.server.folder), database="contacts", user="postgres")

    def absent(self) -> Source:
        return self.source()._replace(host=str(self.server.folder / "none"))

    def slowly(self) -> Source:
        self.server.execute(
            "CREATE TABLE IF NOT EXISTS big AS SELECT n, repeat(md5(n::text), 8) FROM generate_series(1, 300000) n",
            database="contacts",
        )
        return self.source()

    def test_a_wrong_password_file_and_an_unknown_role(self, tmp_path: Path) -> None:
        with pytest.raises(CopyError, match="file:/none") as refused:
            self.copied(tmp_path / "1", self.source()._replace(password="file:/none"))
        assert refused.value.why is Unsaved.REFUSED
        with pytest.raises(CopyError):
            self.copied(tmp_path / "2", self.source()._replace(user="nobody"))


class TestDump(PostgresSuite):
    def make(self) -> Copier:
        return Dump(no_secret)

    def comparable(self, done: Copied) -> object:
        return {name: one for name, one in done.fingerprint.items() if name != "position"}  # it goes on all the time

    def absent(self) -> Source:
        return self.source()._replace(database="none")

    def change(self) -> None:
        self.server.execute("UPDATE contacts SET name = 'other' WHERE id = 7", database="contacts")

    def damages(self) -> Mapping[str, Callable[[Path], None]]:
        def without_a_table(folder: Path) -> None:
            shutil.rmtree(folder / DATABASE)
            target = f"--file={folder / DATABASE}"
            words = ["--format=directory", "--exclude-table-data=contacts", f"--host={self.server.folder}"]
            folder.chmod(0o777)
            for above in (folder.parent, *folder.parent.parents[:2]):
                above.chmod(0o755)
            self.server.run("pg_dump", *words, target, "--username=postgres", "contacts")

        return {
            "no-contents": lambda folder: (folder / DATABASE / "toc.dat").unlink(),
            "cut-contents": lambda folder: os.truncate(folder / DATABASE / "toc.dat", 500),
            "no-roles": lambda folder: (folder / ROLES).unlink(),
            "without-a-table": without_a_table,
        }

    def test_what_the_fingerprint_says(self, tmp_path: Path) -> None:
        found = self.copied(tmp_path / "copy").fingerprint
        tables = found["tables"]
        assert isinstance(tables, dict)
        counts = {name: one[0] for name, one in tables.items() if name != "public.big"}
        assert counts["public.contacts"] == 1000 and counts["public.Odd.Näme r"] == 3
        assert counts["public.parts_0"] + counts["public.parts_1"] == 100
        assert "public.seen" not in counts and "public.parts" not in counts
        assert tables["public.Odd.Näme r"][1] != "0" * 16, "equal rows do not cancel each other"
        assert found["large_objects"][0] == 1  # type: ignore[index]
        assert found["sequences"]["public.contacts_id_seq"] == [1000, 1000]  # type: ignore[index]
        assert found["extensions"] == {"plpgsql": "1.0"}
        assert found["roles"]["watcher"] == "login"  # type: ignore[index]
        self.change()
        later = self.copied(tmp_path / "later").fingerprint["position"]
        assert found["position"] < later and found["position"][0] == later[0]  # type: ignore[operator,index]

    def test_settings_of_a_database_change_no_fingerprint(self, tmp_path: Path) -> None:
        before = self.copied(tmp_path / "1").fingerprint["tables"]
        settings = {
            "datestyle": "german",
            "timezone": "Asia/Tokyo",
            "extra_float_digits": "-5",
            "bytea_output": "escape",
        }
        names = [*settings, "intervalstyle"]
        self.server.execute(
            *(f"ALTER DATABASE contacts SET {name} = '{value}'" for name, value in settings.items()),
            "ALTER DATABASE contacts SET intervalstyle = 'iso_8601'",
        )
        try:
            assert self.copied(tmp_path / "2").fingerprint["tables"] == before
        finally:
            self.server.execute(*(f"ALTER DATABASE contacts RESET {name}" for name in names))

    def test_a_restore_has_the_same_fingerprint(self, tmp_path: Path) -> None:
        first = self.copied(tmp_path / "1")
        self.server.execute("DROP DATABASE IF EXISTS restored", "CREATE DATABASE restored")
        shutil.copytree(tmp_path / "1" / DATABASE, self.server.folder / "dump")
        for path in (self.server.folder / "dump", *(self.server.folder / "dump").iterdir()):
            path.chmod(0o755)
        words = [f"--host={self.server.folder}", "--username=postgres", "--dbname=restored", "--jobs=2"]
        self.server.run("pg_restore", *words, str(self.server.folder / "dump"))
        shutil.rmtree(self.server.folder / "dump")
        again = self.copied(tmp_path / "2", self.source()._replace(database="restored"))
        assert self.comparable(again) == self.comparable(first)

    def test_dump_and_fingerprint_are_of_one_moment_under_load(self, tmp_path: Path) -> None:
        self.server.execute("CREATE TABLE IF NOT EXISTS busy (id bigserial, x text)", database="contacts")
        stop = threading.Event()

        def write() -> None:
            with self.server.connect("contacts") as connection:
                while not stop.is_set():
                    connection.execute("INSERT INTO busy (x) SELECT md5(n::text) FROM generate_series(1, 50) n")

        writer = threading.Thread(target=write)
        writer.start()
        try:
            done = self.copied(tmp_path / "copy", self.slowly())
        finally:
            stop.set()
            writer.join()
        rows = done.fingerprint["tables"]["public.busy"][0]  # type: ignore[index]
        dumped = (tmp_path / "copy" / DATABASE / f"{self.number(tmp_path / 'copy', 'busy')}.dat").read_bytes()
        assert rows == dumped.partition(b"\\.\n")[0].count(b"\n"), "a line a row, until the one that ends them"
        before, after = done.fingerprint["sequences"]["public.busy_id_seq"]  # type: ignore[index]
        words = [program("pg_restore", 15), "--file=-", str(tmp_path / "copy" / DATABASE)]
        text = subprocess.run(words, capture_output=True, text=True, check=True).stdout
        (dumped_at,) = re.findall(r"setval\('public\.busy_id_seq', (\d+), true\)", text)
        assert rows <= before <= int(dumped_at) <= after, "sequences know no snapshots, and are bounded"
        self.server.execute("DROP TABLE busy", database="contacts")

    def number(self, folder: Path, table: str) -> str:
        words = [program("pg_restore", 15), "--list", str(folder / DATABASE)]
        listed = subprocess.run(words, capture_output=True, text=True, check=True).stdout
        return next(line.split(";")[0] for line in listed.splitlines() if f" TABLE DATA public {table} " in line)

    def test_a_reader_without_rights_is_refused(self, tmp_path: Path) -> None:
        with pytest.raises(CopyError) as refused:
            self.copied(tmp_path / "copy", self.source()._replace(user="watcher"))
        assert refused.value.why is Unsaved.REFUSED, refused.value

    def test_a_reader_of_all_data_needs_not_be_superuser(self, tmp_path: Path) -> None:
        self.server.execute("CREATE ROLE reader LOGIN IN ROLE pg_read_all_data")
        try:
            self.server.execute("SELECT lo_unlink(oid) FROM pg_largeobject_metadata", database="contacts")
            done = self.copied(tmp_path / "copy", self.source()._replace(user="reader"))
            assert "PASSWORD" not in (tmp_path / "copy" / ROLES).read_text()
            assert self.verified(tmp_path / "copy", done.fingerprint) == []
        finally:
            self.server.execute("DROP ROLE reader")
            self.server.execute("SELECT lo_from_bytea(0, 'large')", database="contacts")

    def test_the_server_going_away_is_said(self, tmp_path: Path) -> None:
        source = self.slowly()

        async def killed() -> None:
            (tmp_path / "copy").mkdir()
            work = asyncio.create_task(self.make().copy(source, tmp_path / "copy", silent))
            async with asyncio.timeout(30):
                while not self.begun(tmp_path / "copy"):
                    assert not work.done(), work
                    await asyncio.sleep(0.005)
            self.server.execute(
                "SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE application_name = 'binome-backup'"
            )
            with pytest.raises(CopyError) as refused:
                await work
            assert refused.value.why is Unsaved.UNREACHABLE, refused.value

        asyncio.run(killed())


class TestBaseBackup(PostgresSuite):
    def make(self) -> Copier:
        return BaseBackup(no_secret)

    def comparable(self, done: Copied) -> object:
        return done.fingerprint["system_identifier"]  # the WAL goes on all the time

    def change(self) -> None:
        pytest.skip("another server is another fingerprint: test_another_servers_files_are_found")

    def damages(self) -> Mapping[str, Callable[[Path], None]]:
        def manifest(folder: Path) -> Path:
            return folder / CLUSTER / "backup_manifest"

        def flipped(folder: Path) -> None:
            path = max((folder / CLUSTER / "base").rglob("[0-9]*"), key=lambda one: one.stat().st_size)
            raw = bytearray(path.read_bytes())
            raw[len(raw) // 2] ^= 1
            path.write_bytes(raw)

        def foreign(folder: Path) -> None:
            said = json.loads(manifest(folder).read_bytes())
            assert said["WAL-Ranges"]
            manifest(folder).write_bytes(manifest(folder).read_bytes().replace(b'"Timeline": 1', b'"Timeline": 2'))

        return {
            "missing-file": lambda folder: (folder / CLUSTER / "PG_VERSION").unlink(),
            "missing": lambda folder: (folder / CLUSTER / "global" / "pg_control").unlink(),
            "extra": lambda folder: (folder / CLUSTER / "extra").touch(),
            "truncated": lambda folder: os.truncate(folder / CLUSTER / "postgresql.conf", 10),
            "grown": lambda folder: os.truncate(folder / CLUSTER / "postgresql.conf", 1 << 20),
            "flipped": flipped,
            "no-manifest": lambda folder: manifest(folder).unlink(),
            "changed-manifest": foreign,
            "no-wal": lambda folder: shutil.rmtree(folder / CLUSTER / "pg_wal"),
        }

    def test_another_servers_files_are_found(self, tmp_path: Path) -> None:
        done = self.copied(tmp_path / "copy")
        found = self.verified(tmp_path / "copy", {**done.fingerprint, "system_identifier": "123"})
        assert found and "it is of another server" in found[0], found

    def test_tablespaces_are_refused(self, tmp_path: Path) -> None:
        place = self.server.folder / "space"
        place.mkdir()
        if os.geteuid() == 0:
            shutil.chown(place, "postgres", "postgres")
        self.server.execute(f"CREATE TABLESPACE other LOCATION '{place}'")
        try:
            with pytest.raises(CopyError, match="tablespaces") as refused:
                self.copied(tmp_path / "copy")
            assert refused.value.why is Unsaved.CANNOT
        finally:
            self.server.execute("DROP TABLESPACE other")


def test_the_hash_of_a_schema_is_not_of_its_comments_and_keys() -> None:
    schema = ["-- Dumped by pg_dump 15.1", "\\restrict abc", "CREATE TABLE t ();", "", "\\unrestrict abc"]
    assert schema_hash(schema) == schema_hash(["\\restrict xyz", "CREATE TABLE t ();"])
    assert schema_hash(schema) != schema_hash(["CREATE TABLE u ();"])
