"""Method `dump`: a database as `pg_dump` writes it, in directory format, by several processes, of one moment.

    one session opens a transaction and exports its snapshot ─► pg_dump reads in that snapshot
                                                            └─► the fingerprint is computed in it, at the same time

    database/    the dump: a file for each table, not compressed, so that a vault stores once what did not change
    roles.sql    the roles of the server, without which a restore has no owners; with their passwords' hashes, where
                 the one who reads may see them

It works on a primary and on a hot standby. On a standby a dump that takes longer than `max_standby_streaming_delay` is
cancelled by the server rather than holding up what it replays; then this fails, and says so.
"""

from __future__ import annotations

import asyncio
import os
import time
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

import psycopg

from binome.core.copies import Progress
from binome.core.sources import Source
from binome.drivers.backup.shared.fingerprint import fingerprint, schema_hash, sequences, tables
from binome.drivers.backup.shared.postgres import environment, password_of, position, program, session
from binome.drivers.backup.shared.tools import run
from binome.drivers.sizes import polled
from binome.ports_of_copies import Copied, CopyError, Tell, Unsaved

MOST_JOBS = 4
REPLAYED_S, REPLAY_ASKED_S = 60.0, 0.02
DATABASE = "database"
ROLES = "roles.sql"


class Dump:
    """The method; it keeps nothing between two copies."""

    def __init__(self, secret: Callable[[str], str]) -> None:
        self._secret = secret

    async def copy(self, source: Source, into: Path, tell: Tell) -> Copied:
        """See `ports_of_copies.Copier`."""
        password = password_of(source, self._secret)
        at_ms = await _reached(source, password)
        async with session(source, password, source.database) as reading:
            row = await (await reading.execute("SELECT pg_export_snapshot(), pg_is_in_recovery()")).fetchone()
            snapshot, standby = row or ("", False)
            major, total = reading.info.server_version // 10_000, sum(size for *_, size in await tables(reading))
            words = ["--lock-wait-timeout=60s", f"--snapshot={snapshot}", f"--dbname={source.database}"]
            words += ["--no-unlogged-table-data"] if standby else []
            pg_dump, given = program("pg_dump", major), environment(source, password)
            async with session(source, password, source.database) as counting:
                before, reached = await sequences(counting), await position(counting)
            # Two writers at once: each is told of by its own words, and the screen shows the one that is behind.
            async with polled(into, "dumped", total, tell):
                try:
                    found = await _both(
                        fingerprint(reading, lambda done: tell(Progress("fingerprinted", done, total))),
                        run([pg_dump, *_options(into), *words], more=given),
                    )
                except CopyError as error:
                    if error.why is Unsaved.FAILED and not await _answers(
                        reading
                    ):  # its workers only say that they died
                        raise CopyError(Unsaved.UNREACHABLE, "its sessions were ended") from error
                    raise
                _, schema = await run([pg_dump, "--schema-only", *words], more=given)
                await _roles(reading, program("pg_dumpall", major), given, into)
            async with session(source, password, source.database) as counting:
                after = await sequences(counting)
            found["sequences"] = {name: [before[name], after[name]] for name in before.keys() & after.keys()}
            found["schema"] = schema_hash(schema)
            found["position"] = reached
            server = reading.info.parameter_status("server_version") or ""
        _, (version, *_) = await run([pg_dump, "--version"])
        return Copied(at_ms, found, {"server": server, "pg_dump": version.rpartition(") ")[2].split(" ")[0]})

    async def verify(self, folder: Path, fingerprint: Mapping[str, Any]) -> Sequence[str]:
        """See `ports_of_copies.Copier`. The dump's table of contents is read, and has the tables' rows."""
        if not (folder / ROLES).is_file():
            return [f"{ROLES} is missing"]
        try:
            _, lines = await run([program("pg_restore", 0), "--list", str(folder / DATABASE)])
        except CopyError as error:
            if error.why is Unsaved.NO_TOOL:
                raise
            return [str(error)]
        there = {table_of(line) for line in lines if " TABLE DATA " in line}
        lost = sorted(name for name in fingerprint["tables"] if name not in there)
        return [f"the rows of {name} are not in the dump" for name in lost]


async def _reached(source: Source, password: str) -> int:
    """The moment that a snapshot that is taken after this is a copy of. Raises CopyError.

    A synchronous standby has every acknowledged write in its log, and not yet in its tables: it is waited for until it
    has replayed what it had received when this was asked. What one that is not synchronous lacks, nobody here knows.
    """
    at_ms, until_s = time.time_ns() // 1_000_000, time.monotonic() + REPLAYED_S
    async with session(source, password, source.database) as asking:
        await asking.execute("COMMIT")
        rows = await (await asking.execute("SELECT pg_last_wal_receive_lsn()")).fetchall()
        received = rows[0][0]
        while received is not None:
            query = "SELECT NOT pg_is_in_recovery() OR pg_last_wal_replay_lsn() >= %s"
            if (await (await asking.execute(query, (received,))).fetchall())[0][0]:
                break
            if time.monotonic() > until_s:
                raise CopyError(
                    Unsaved.FAILED, f"this standby has not replayed in {REPLAYED_S:g} s what it has received"
                )
            await asyncio.sleep(REPLAY_ASKED_S)
    return at_ms


async def _answers(reading: psycopg.AsyncConnection) -> bool:
    """Whether a session still has its server."""
    try:
        await reading.execute("SELECT 1")
    except psycopg.OperationalError:
        return False
    except psycopg.Error:  # it has, and is told of something else
        return True
    return True


def _options(into: Path) -> list[str]:
    jobs = min(MOST_JOBS, max(1, len(os.sched_getaffinity(0))))
    return ["--format=directory", "--compress=0", f"--jobs={jobs}", f"--file={into / DATABASE}"]


async def _both(reading: Any, dumping: Any) -> dict[str, Any]:
    """Both at once; the first that fails ends the other, and is what is raised."""
    try:
        async with asyncio.TaskGroup() as group:
            found = group.create_task(reading)
            group.create_task(dumping)
    except BaseExceptionGroup as errors:
        raise _first(errors) from errors
    result: dict[str, Any] = found.result()
    return result


def _first(error: BaseException) -> BaseException:
    while isinstance(error, BaseExceptionGroup):
        error = error.exceptions[0]
    return error


async def _roles(reading: psycopg.AsyncConnection, pg_dumpall: str, given: Mapping[str, str], into: Path) -> None:
    row = await (await reading.execute("SELECT rolsuper FROM pg_roles WHERE rolname = current_user")).fetchone()
    hidden = [] if row and row[0] else ["--no-role-passwords"]
    database = f"--database={reading.info.dbname}"
    await run([pg_dumpall, "--roles-only", database, *hidden], more=given, into=into / ROLES)


def table_of(line: str) -> str:
    """The table of a line such as `3312; 0 16389 TABLE DATA public contacts owner`."""
    schema, _, rest = line.partition(" TABLE DATA ")[2].partition(" ")
    return f"{schema}.{rest.rpartition(' ')[0]}"
