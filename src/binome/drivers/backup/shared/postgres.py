"""PostgreSQL for the methods that copy it: a session whose answers do not depend on settings, and its tools."""

from __future__ import annotations

import re
import shutil
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager, suppress
from pathlib import Path
from typing import Any, LiteralString

import psycopg

from binome.core.sources import Source
from binome.drivers.backup.shared.tools import why
from binome.ports_of_copies import CopyError, Unsaved
from binome.shown import shown

NAME = "binome-backup"
CONNECT_S = 10
DEBIANS = Path("/usr/lib/postgresql")

PINNED: dict[LiteralString, LiteralString] = {
    "datestyle": "ISO, YMD",
    "intervalstyle": "postgres",
    "timezone": "UTC",
    "extra_float_digits": "1",
    "bytea_output": "hex",
    "xmloption": "content",
    "lc_monetary": "C",
    "search_path": "pg_catalog",
    "row_security": "off",
    "quote_all_identifiers": "off",
    "statement_timeout": "0",
    "lock_timeout": "60s",
    "idle_in_transaction_session_timeout": "0",
    "default_transaction_isolation": "repeatable read",
    "default_transaction_read_only": "on",
}
"""Settings that change how a value is written, or who sees it: a fingerprint must be the same everywhere."""


def password_of(source: Source, secret: Callable[[str], str]) -> str:
    """The password of a source, or none. Raises CopyError where it is not where the estate says."""
    try:
        return secret(source.password) if source.password else ""
    except OSError as error:
        raise CopyError(Unsaved.REFUSED, f"{source.password}: {error.strerror or error}") from error


def environment(source: Source, password: str) -> dict[str, str]:
    """What tells PostgreSQL's tools where to go. It is not on a command line, where others of the server see it."""
    given = {"PGHOST": source.host, "PGPORT": str(source.port), "PGAPPNAME": NAME, "PGCONNECT_TIMEOUT": str(CONNECT_S)}
    optional = {"PGUSER": source.user, "PGPASSWORD": password}
    return {**given, **{name: value for name, value in optional.items() if value}}


def program(name: str, major: int) -> str:
    """A tool of PostgreSQL of that version, else the oldest that is newer; Debian's wrapper would guess."""
    found = _programs(name)
    fitting = [version for version in sorted(found) if version >= major]
    return found[fitting[0]] if fitting else shutil.which(name) or name


def newest(name: str) -> str:
    """The newest tool of PostgreSQL that is installed: it reads what all older ones have written."""
    found = _programs(name)
    return found[max(found)] if found else shutil.which(name) or name


def _programs(name: str) -> dict[int, str]:
    """A tool of PostgreSQL by major version, as Debian installs them side by side."""
    folders = {int(path.name): path / "bin" / name for path in DEBIANS.glob("[0-9]*") if path.name.isdecimal()}
    return {version: str(path) for version, path in folders.items() if path.exists()}


@asynccontextmanager
async def session(source: Source, password: str, database: str) -> AsyncIterator[psycopg.AsyncConnection]:
    """A transaction in which everything is of one moment, read-only. Raises CopyError."""
    try:
        connection = await psycopg.AsyncConnection.connect(
            host=source.host,
            port=source.port,
            dbname=database,
            user=source.user or None,
            password=password or None,
            application_name=NAME,
            connect_timeout=CONNECT_S,
            keepalives_idle=30,
            autocommit=True,
        )
    except psycopg.OperationalError as error:
        raise _copy_error(error) from error
    try:
        for name, value in PINNED.items():
            with suppress(psycopg.errors.UndefinedObject):
                await connection.execute("SELECT set_config(%s, %s, false)", (name, value))
        await connection.execute("BEGIN ISOLATION LEVEL REPEATABLE READ READ ONLY")
        yield connection
    except psycopg.Error as error:
        raise _copy_error(error) from error
    finally:
        await connection.close()


async def position(connection: psycopg.AsyncConnection) -> list[Any]:
    """How far the server has come: whose history, its timeline, the place in the WAL in 16 hexadecimal digits."""
    found = await connection.execute(
        "SELECT s.system_identifier::text, c.timeline_id, "
        "(CASE WHEN pg_is_in_recovery() THEN pg_last_wal_replay_lsn() ELSE pg_current_wal_lsn() END - '0/0')::bigint "
        "FROM pg_control_system() s, pg_control_checkpoint() c"
    )
    ((whose, timeline, place),) = await found.fetchall()
    return [whose, timeline, f"{place:016x}"]


def _copy_error(error: psycopg.Error) -> CopyError:
    line = next((line for line in str(error).splitlines() if line.strip()), type(error).__name__)
    kind = Unsaved.REFUSED if isinstance(error, psycopg.errors.InsufficientPrivilege) else why(str(error))
    return CopyError(kind, shown(re.sub(r"\s+", " ", line), 300))
