"""Restores what the method `dump` saved: the roles, then the database, by several processes, into a running engine.

Roles that are there already stay as they are: an engine has the one that it was made with. Any other complaint ends
the restore, and so does the first of the dump. Compared is the whole fingerprint: rows of every table, large objects,
extensions (by name: an engine brings its own version), roles, sequences (within what was read before and after the
dump), and the schema where the same `pg_dump` can be asked that wrote it.
"""

from __future__ import annotations

import asyncio
import os
import re
from collections.abc import AsyncIterator, Mapping, Sequence
from contextlib import asynccontextmanager, suppress
from pathlib import Path
from typing import Any

from binome.core.copies import Progress
from binome.drivers.backup.dump import DATABASE, MOST_JOBS, ROLES, table_of
from binome.drivers.backup.shared.fingerprint import fingerprint as fingerprint_of
from binome.drivers.backup.shared.fingerprint import schema_hash, sequences, tables
from binome.drivers.restore.shared.commands import command, engine_program
from binome.drivers.restore.shared.postgres import ANY, of_tools, reading
from binome.drivers.sizes import EVERY_S, size_of
from binome.ports_of_copies import Compared, Needs, Place, RestoreError, Tell, Unrestored

_THERE = re.compile(r'role ".*" already exists')
_NAME = re.compile(r";\s+dbname: (.+)")
_MOST_LINES = 20


class RestoreDump:
    """The method; it keeps nothing between two restores."""

    needs = Needs.ENGINE

    async def verify(self, copy: Path, fingerprint: Mapping[str, Any], place: Place) -> Sequence[str]:
        """See `ports_of_copies.Restorer`. The dump's table of contents is read, and has the tables' rows."""
        if not place.seen(copy / ROLES).is_file():
            return [f"{ROLES} is missing"]
        try:
            _, lines = await command(place, [engine_program("pg_restore"), "--list", str(copy / DATABASE)])
        except RestoreError as error:
            if error.why is not Unrestored.BROKEN:
                raise
            return [str(error)]
        there = {table_of(line) for line in lines if " TABLE DATA " in line}
        lost = sorted(name for name in fingerprint["tables"] if name not in there)
        return [f"the rows of {name} are not in the dump" for name in lost]

    async def restore(self, copy: Path, place: Place, tell: Tell) -> Place:
        """See `ports_of_copies.Restorer`."""
        async with reading(place, ANY) as asking:
            major = asking.info.server_version // 10_000
        await self._roles(copy, place, major)
        pg_restore, given = engine_program("pg_restore", major), of_tools(place)
        _, contents = await command(place, [pg_restore, "--list", str(copy / DATABASE)])
        saved = next((found[1] for line in contents if (found := _NAME.match(line))), "")
        if not saved:
            raise RestoreError(Unrestored.BROKEN, "the dump does not say of which database it is")
        into = [f"--dbname={place.database}"] if place.database else ["--create", f"--dbname={ANY}"]
        jobs = min(MOST_JOBS, max(1, len(os.sched_getaffinity(0))))
        words = ["--exit-on-error", f"--jobs={jobs}", "--no-password", *into, str(copy / DATABASE)]
        there = place._replace(database=place.database or saved)
        async with _growing(there, await asyncio.to_thread(size_of, place.seen(copy)), tell):
            await command(place, [pg_restore, *words], more=given)
        return there

    async def _roles(self, copy: Path, place: Place, major: int) -> None:
        """Makes the roles. Raises RestoreError at anything that is wrong but a role that is there."""
        wrong: list[str] = []

        def hear(line: str) -> None:
            if "ERROR:" in line and not _THERE.search(line):
                wrong.append(line.partition("ERROR:")[2].strip())

        words = ["--no-psqlrc", "--no-password", "--quiet", f"--dbname={ANY}", f"--file={copy / ROLES}"]
        await command(place, [engine_program("psql", major), *words], more=of_tools(place), errors=hear)
        if wrong:
            raise RestoreError(Unrestored.BROKEN, f"{ROLES}: {wrong[0]}")

    async def compare(
        self, place: Place, fingerprint: Mapping[str, Any], versions: Mapping[str, str], tell: Tell
    ) -> Compared:
        """See `ports_of_copies.Restorer`."""
        async with reading(place, place.database) as asking:
            total = sum(size for *_, size in await tables(asking))
            found = await fingerprint_of(asking, lambda done: tell(Progress("fingerprinted", done, total)))
            stand = await sequences(asking)
            major = asking.info.server_version // 10_000
        wrong = [*_rows(fingerprint["tables"], found["tables"])]
        if fingerprint["large_objects"] != found["large_objects"]:
            wrong.append("the large objects are not those that were saved")
        wrong += [f"extension {name} is missing" for name in _lost(fingerprint["extensions"], found["extensions"])]
        for name, flags in fingerprint["roles"].items():
            if found["roles"].get(name) != flags and name != place.user:
                wrong.append(f"role {name} {'has other rights' if name in found['roles'] else 'is missing'}")
        wrong += _sequences(fingerprint["sequences"], stand)
        counts = {name: len(fingerprint[name]) for name in ("tables", "extensions", "roles", "sequences")}
        counts["rows"] = sum(one[0] for one in fingerprint["tables"].values())
        schema = await self._schema(place, major, versions)
        if schema is not None:
            counts["schemas"] = 1
            if schema != fingerprint["schema"]:
                wrong.append("the schema is not the one that was saved")
        return Compared(counts, _few(wrong))

    async def _schema(self, place: Place, major: int, versions: Mapping[str, str]) -> str | None:
        """The hash of the schema, where the same version of pg_dump writes it that did when the copy was taken."""
        pg_dump = engine_program("pg_dump", major)
        _, lines = await command(place, [pg_dump, "--version"])
        if lines[0].rpartition(") ")[2].split(" ")[0] != versions.get("pg_dump"):
            return None
        _, text = await command(place, [pg_dump, "--schema-only", f"--dbname={place.database}"], more=of_tools(place))
        return schema_hash(text)

    def amounts(self, fingerprint: Mapping[str, Any]) -> Mapping[str, int]:
        """See `ports_of_copies.Restorer`."""
        return {"rows": sum(one[0] for one in fingerprint["tables"].values())}


def _rows(expected: Mapping[str, Any], found: Mapping[str, Any]) -> list[str]:
    """What differs in the rows of tables. One that nobody saved may be there where it is empty: an unlogged one."""
    wrong = []
    for name in sorted({*expected, *found}):
        was, is_ = expected.get(name), found.get(name)
        if is_ is None:
            wrong.append(f"table {name} is missing")
        elif was is None:
            if is_[0]:
                wrong.append(f"table {name} was not saved")
        elif was[0] != is_[0]:
            wrong.append(f"table {name} has {is_[0]} rows, and {was[0]} were saved")
        elif was != is_:
            wrong.append(f"table {name} has other rows than were saved")
    return wrong


def _sequences(expected: Mapping[str, Any], found: Mapping[str, int | None]) -> list[str]:
    """Sequences that do not stand between where they were before and after the dump."""
    wrong = []
    for name, ends in expected.items():
        if name not in found:
            wrong.append(f"sequence {name} is missing")
            continue
        stands, known = found[name], [one for one in ends if one is not None]  # None: it was never used
        if stands is None:
            good = None in ends
        else:
            good = bool(known) and stands <= max(known) and (None in ends or min(known) <= stands)
        if not good:
            wrong.append(f"sequence {name} stands at {stands}, and {ends[0]} to {ends[1]} was saved")
    return wrong


def _lost(expected: Mapping[str, Any], found: Mapping[str, Any]) -> list[str]:
    return sorted(expected.keys() - found.keys())


def _few(wrong: Sequence[str]) -> tuple[str, ...]:
    """No more lines than a person reads."""
    more = len(wrong) - _MOST_LINES
    return (*wrong[:_MOST_LINES], *([f"and {more} more"] if more > 0 else []))


@asynccontextmanager
async def _growing(place: Place, total_bytes: int, tell: Tell) -> AsyncIterator[None]:
    """Tells how a database grows while something restores it."""

    async def look() -> None:
        while True:
            with suppress(RestoreError):
                async with reading(place, ANY) as asking:
                    while True:
                        await asking.execute("COMMIT")
                        rows = await (
                            await asking.execute(
                                "SELECT pg_database_size(oid) FROM pg_database WHERE datname = %s", (place.database,)
                            )
                        ).fetchall()
                        tell(Progress("restored", min(int(rows[0][0]), total_bytes) if rows else 0, total_bytes))
                        await asyncio.sleep(EVERY_S)
            await asyncio.sleep(EVERY_S)

    looking = asyncio.create_task(look())
    try:
        yield
        tell(Progress("restored", total_bytes, total_bytes))
    finally:
        looking.cancel()
        with suppress(asyncio.CancelledError):
            await looking
