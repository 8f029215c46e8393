"""A PostgreSQL server of a test's own: below a temporary folder, on a socket there, never as root."""

from __future__ import annotations

import os
import pwd
import shutil
import subprocess
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import psycopg

from binome.drivers.backup.shared.postgres import program

SETTINGS = """
listen_addresses = ''
fsync = off
shared_buffers = 32MB
max_wal_senders = 5
"""


class Server:
    """A running server; `folder` is also where its socket is."""

    def __init__(self, folder: Path, name: str) -> None:
        self.folder = folder
        self.data = folder / name

    def run(self, tool: str, *words: str) -> None:
        """One of PostgreSQL's tools, as the user that the server runs as."""
        user = {"user": "postgres", "group": "postgres", "extra_groups": []} if os.geteuid() == 0 else {}
        command = [program(tool, 15), *words]
        log = subprocess.run(command, capture_output=True, check=False, cwd=self.folder, text=True, **user)  # type: ignore[call-overload]
        assert log.returncode == 0, log.stderr

    def connect(self, database: str = "postgres") -> psycopg.Connection:
        return psycopg.connect(host=str(self.folder), dbname=database, autocommit=True, user="postgres")

    def execute(self, *statements: str, database: str = "postgres") -> None:
        with self.connect(database) as connection:
            for statement in statements:
                connection.execute(statement.encode())


@contextmanager
def running(more: str = "") -> Iterator[Server]:
    """A new server, gone with all its files afterwards."""
    folder = Path(tempfile.mkdtemp(prefix="binome-pg-"))
    try:
        if os.geteuid() == 0:
            owner = pwd.getpwnam("postgres")
            os.chown(folder, owner.pw_uid, owner.pw_gid)
        server = Server(folder, "data")
        server.run("initdb", "--auth=trust", "--username=postgres", "--no-sync", "--data-checksums", f"-D{server.data}")
        settings = server.data / "postgresql.conf"
        settings.write_text(f"{settings.read_text()}{SETTINGS}unix_socket_directories = '{folder}'\n{more}")
        server.run("pg_ctl", f"-D{server.data}", "--wait", f"--log={folder / 'log'}", "start")
        try:
            yield server
        finally:
            server.run("pg_ctl", f"-D{server.data}", "--mode=immediate", "--wait", "stop")
    finally:
        shutil.rmtree(folder)
