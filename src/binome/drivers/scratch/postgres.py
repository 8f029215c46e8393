"""A PostgreSQL to try a copy out: on a socket alone, with settings of its own, read through, thrown away.

The settings of the server that was saved are not used: they ask for its memory, its archive, its neighbours. What has
to fit what was saved is read from its control file. Nothing is written for safety: it is thrown away.

`pg_amcheck` reads every table, and every B-tree index from both ends and against its table; for this the extension
`amcheck` is put into each database, and taken out again where it was not in it before.
"""

from __future__ import annotations

import asyncio
import os
import re
from collections.abc import Mapping, Sequence
from contextlib import suppress
from pathlib import Path

from binome.core.copies import Progress
from binome.drivers import tool
from binome.drivers.restore.shared.commands import command, engine_program, naming
from binome.drivers.restore.shared.postgres import ANY, databases, of_tools, reading, writing
from binome.ports_of_copies import Compared, Place, RestoreError, Tell, Unrestored
from binome.shown import shown

USER = "postgres"
MOST_JOBS = 4
START_S = 6 * 3600.0
"""How long the replay of a copy's WAL may take."""
ANSWER_MS = 600_000
_POLL_S = 0.05
_PAGE = 8192
_MOST_LINES = 20
SETTINGS = {
    "listen_addresses": "",
    "max_connections": "30",
    "max_wal_senders": "0",
    "wal_level": "minimal",
    "fsync": "off",
    "full_page_writes": "off",
    "synchronous_commit": "off",
    "max_wal_size": "4GB",
    "checkpoint_timeout": "1h",
    "autovacuum": "off",
    "shared_buffers": "128MB",
    "maintenance_work_mem": "128MB",
    "huge_pages": "off",
    "jit": "off",
    "restart_after_crash": "off",
    "lc_messages": "C",
}
_FITTING = {"max_prepared_xacts": "max_prepared_transactions", "max_locks_per_xact": "max_locks_per_transaction"}
_AMCHECK = re.compile(r"(\d+)/(\d+) relations.*?(\d+)/(\d+) pages")
_FATAL = re.compile(r"\b(FATAL|PANIC):\s+(.*)")
_ABSENT = re.compile(r"extension \S+ is not available|could not open extension control file")


class ScratchPostgres:
    """One engine; see `ports_of_copies.Engine`."""

    def __init__(self) -> None:
        self.versions: dict[str, str] = {}
        self._running: asyncio.Task[tool.Ended] | None = None

    async def prepare(self, place: Place, version: str) -> None:
        """See `ports_of_copies.Engine`."""
        words = ["--auth=trust", f"--username={USER}", "--no-sync", "--encoding=UTF8", "--no-locale"]
        await command(place, [engine_program("initdb", _major(version)), *words, f"--pgdata={place.folder}"])

    async def start(self, place: Place, version: str, tell: Tell) -> Place:
        """See `ports_of_copies.Engine`."""
        postgres = await self._program(place, _major(version))
        beside = place.folder.with_name(f"{place.folder.name}.engine")
        await command(place, ["mkdir", "-m", "700", str(beside)])
        with naming():
            settings = {**SETTINGS, **await _fitting(place, _major(version)), "unix_socket_directories": str(beside)}
            settings |= {"hba_file": str(beside / "hba"), "ident_file": str(beside / "ident")}
            lines = "".join(f"{name} = '{value}'\n" for name, value in settings.items())
            for path, text in (
                (beside / "conf", lines),
                (beside / "hba", "local all all trust\n"),
                (beside / "ident", ""),
                (place.folder / "postgresql.auto.conf", ""),
            ):
                place.seen(path).write_text(text)
                place.seen(path).chmod(0o644)
        running = place._replace(host=str(beside), user=USER)
        words = [postgres, "-D", str(place.folder), "-c", f"config_file={beside / 'conf'}"]
        self._running = asyncio.create_task(tool.run([*place.within, *words], folder=Path("/")))
        tell(Progress("started", 0))
        try:
            async with asyncio.timeout(START_S):
                while not await self._answers(running):
                    await asyncio.sleep(_POLL_S)
        except TimeoutError:
            raise RestoreError(Unrestored.BROKEN, f"it did not answer within {START_S:.0f} s") from None
        return running

    async def _program(self, place: Place, major: int) -> str:
        """The server of exactly that version. Raises RestoreError."""
        postgres = engine_program("postgres", major)
        _, lines = await command(place, [postgres, "--version"])
        version = lines[0].partition(") ")[2].split(" ")[0]
        if version.split(".")[0] != str(major):
            raise RestoreError(Unrestored.NO_TOOL, f"PostgreSQL {major} is not installed")
        self.versions = {"scratch": version}
        return postgres

    async def _answers(self, place: Place) -> bool:
        """Whether it answers yet. Raises RestoreError once it has ended."""
        if self._running is not None and self._running.done():
            ended = self._running.result()
            fatal = [found[2] for line in ended.last if (found := _FATAL.search(line))]
            raise RestoreError(Unrestored.BROKEN, f"the engine ended: {shown(fatal[-1], 300) if fatal else ended.said}")
        try:
            async with reading(place, ANY):
                return True
        except RestoreError as error:
            if error.why is not Unrestored.UNREACHABLE:
                raise
            return False

    async def check(self, place: Place, tell: Tell) -> Compared:
        """See `ports_of_copies.Engine`."""
        brought = await _with_amcheck(place)
        try:
            return await self._amcheck(place, tell)
        finally:
            with suppress(RestoreError):
                for database in brought:
                    async with writing(place, database) as connection:
                        await connection.execute("DROP EXTENSION amcheck")

    async def _amcheck(self, place: Place, tell: Tell) -> Compared:
        done = {"relations": 0}

        def hear(line: str) -> None:
            if found := _AMCHECK.search(line):
                done["relations"] = int(found[1])
                tell(Progress("checked", int(found[3]) * _PAGE, int(found[4]) * _PAGE))

        async with reading(place, ANY) as asking:
            major = asking.info.server_version // 10_000
        jobs = min(MOST_JOBS, max(1, len(os.sched_getaffinity(0))))
        words = ["--all", "--heapallindexed", "--parent-check", "--progress", "--no-password", f"--jobs={jobs}"]
        tool_ = engine_program("pg_amcheck", major)
        code, lines = await command(place, [tool_, *words], good=(0, 1, 2), more=of_tools(place), errors=hear)
        wrong = [shown(line, 300) for line in _joined(lines)]
        if code != 0 and not wrong:
            wrong = ["pg_amcheck could not read all of it"]
        more = len(wrong) - _MOST_LINES
        return Compared(done, (*wrong[:_MOST_LINES], *([f"and {more} more"] if more > 0 else [])))

    async def ask(self, place: Place, queries: Mapping[str, str]) -> Sequence[str]:
        """See `ports_of_copies.Engine`."""
        wrong = []
        for name, query in queries.items():
            try:
                async with reading(place, place.database or ANY) as asking:
                    await asking.execute("SET search_path TO DEFAULT")
                    await asking.execute("SELECT set_config('statement_timeout', %s, false)", (str(ANSWER_MS),))
                    rows = await (await asking.execute(query.encode())).fetchmany(2)
            except RestoreError as error:
                wrong.append(f"check {name}: {error}")
                continue
            if [tuple(row) for row in rows] != [(True,)]:
                answer = shown(str(rows[0][0]) if rows else "nothing", 60)
                wrong.append(f"check {name} answers {answer}, and true was expected")
        return wrong

    async def stop(self) -> None:
        """See `ports_of_copies.Engine`."""
        running, self._running = self._running, None
        if running is not None:
            running.cancel()
            with suppress(asyncio.CancelledError):
                await running


def _major(version: str) -> int:
    """The major version of one such as `15.4 (Debian 15.4-1)`. Raises RestoreError."""
    found = re.match(r"(\d+)", version)
    if found is None:
        raise RestoreError(Unrestored.BROKEN, "the manifest does not say which version of PostgreSQL it is of")
    return int(found[1])


async def _fitting(place: Place, major: int) -> dict[str, str]:
    """The settings that have to be at least what they were where the cluster comes from."""
    _, lines = await command(place, [engine_program("pg_controldata", major), str(place.folder)])
    said = {name.strip(): value.strip() for name, _, value in (line.partition(" setting:") for line in lines)}
    return {setting: said[name] for name, setting in _FITTING.items() if said.get(name, "").isdecimal()}


async def _with_amcheck(place: Place) -> list[str]:
    """Puts the extension into all databases; those that had not got it. Raises RestoreError."""
    brought = []
    for database in await databases(place):
        try:
            async with writing(place, database) as connection:
                there = await connection.execute("SELECT 1 FROM pg_extension WHERE extname = 'amcheck'")
                if not await there.fetchall():
                    await connection.execute("CREATE EXTENSION amcheck WITH SCHEMA pg_catalog")
                    brought.append(database)
        except RestoreError as error:
            if _ABSENT.search(str(error)):
                raise RestoreError(Unrestored.NO_TOOL, "the extension amcheck is not installed") from error
            raise
    return brought


def _joined(lines: Sequence[str]) -> list[str]:
    """What pg_amcheck found: a line for what is broken and the indented one that says how, as one."""
    found: list[str] = []
    for line in lines:
        if line.startswith(" ") and found:
            if line.lstrip().startswith(("DETAIL", "HINT", "LOCATION", "query was")):
                continue
            found[-1] = f"{found[-1]} {line.strip()}"
        elif line.strip():
            found.append(line.strip())
    return found
