"""Where copies are restored to for good: a database of a server that runs, or a folder.

    a database    is made closed (no connection but a superuser's), filled, compared, and opened last
    a folder      is filled beside its place under another name, and renamed last

So nobody reads or writes what is not whole, and what was interrupted is known again: a closed database with our mark is
dropped and made anew by the next restore; a folder under another name is in nobody's way.
"""

from __future__ import annotations

import asyncio
import os
import pwd
import re
import shutil
import tempfile
from collections.abc import Mapping, Sequence
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from psycopg import sql

from binome.core.restoring import Refused, There
from binome.drivers.backup.dump import DATABASE
from binome.drivers.files import files_of
from binome.drivers.restore.shared.commands import command, engine_program, naming
from binome.drivers.restore.shared.postgres import ANY, reading, writing
from binome.drivers.sizes import polled, size_of
from binome.ports_of_copies import Compared, Needs, Place, RestoreError, Restorer, Tell, Unrestored

MARK = "binome is restoring this database"
_OBJECTS = """
SELECT count(*) FILTER (WHERE c.relkind IN ('r', 'p', 'f', 'm')), count(*), coalesce(sum(pg_relation_size(c.oid)), 0)
FROM pg_class c JOIN pg_namespace n ON n.oid = c.relnamespace
WHERE n.nspname NOT IN ('pg_catalog', 'information_schema') AND n.nspname !~ '^pg_'
  AND c.relkind IN ('r', 'p', 'f', 'm', 'v', 'S')
  AND NOT EXISTS (SELECT FROM pg_depend d
                  WHERE d.classid = 'pg_class'::regclass AND d.objid = c.oid AND d.deptype = 'e')
"""
_DATABASES = ("DATABASE ", "DATABASE PROPERTIES ", "ACL - DATABASE ")
_LIMIT = re.compile(r" CONNECTION LIMIT = (-?\d+)")


class EngineTarget:
    """Databases of a server that runs, by the source that each is of. `name` is that server's in the estate."""

    def __init__(self, name: str, place: Place, databases: Mapping[str, str]) -> None:
        self._name, self._place, self._databases = name, place, dict(databases)
        self._made: dict[str, list[str]] = {}  # database → statements that open it

    async def look(self) -> There:
        """See `runtime.restoring.Target`."""
        async with reading(self._place, ANY) as asking:
            ((standby, version),) = await (
                await asking.execute("SELECT pg_is_in_recovery(), current_setting('server_version')")
            ).fetchall()
        held = [words for database in self._databases.values() if (words := await self._held(database))]
        names = ", ".join(f"database {one}" for one in self._databases.values())
        where = f"{names} on {self._name} ({self._place.host}:{self._place.port})"
        role = f"a {'standby' if standby else 'primary'} of PostgreSQL {version.split(' ')[0]}"
        return There(where, role, "; ".join(held), standby=standby)

    async def _held(self, database: str) -> str:
        """What a database holds, in words; empty where it is not there, or empty, or one that we did not finish."""
        if await self._state(database) != "there":
            return ""
        async with reading(self._place, database) as asking:
            ((tables, objects, size),) = await (await asking.execute(_OBJECTS)).fetchall()
        if not objects:
            return ""
        return f"{database} has {tables} tables of {size:,} bytes" if tables else f"{database} has {objects} objects"

    async def _state(self, database: str) -> str:
        async with reading(self._place, ANY) as asking:
            query = (
                "SELECT datconnlimit = 0 AND shobj_description(oid, 'pg_database') IS NOT DISTINCT FROM %s "
                "FROM pg_database WHERE datname = %s"
            )
            rows = await (await asking.execute(query, (MARK, database))).fetchall()
        return "absent" if not rows else "unfinished" if rows[0][0] else "there"

    async def prepare(self, source: str, copy: Path) -> Place:
        """See `runtime.restoring.Target`. Needs a superuser: nobody else gets into a closed database."""
        database = self._databases[source]
        create, *opening = await self._statements(copy / DATABASE, database)
        limit = _LIMIT.search(create)
        create = _LIMIT.sub("", create).rstrip(";") + " CONNECTION LIMIT = 0"
        name = sql.Identifier(database)
        async with writing(self._place, ANY) as session:
            # Nothing is in it: the objection to what holds something was heard by whoever calls this.
            await session.execute(sql.SQL("DROP DATABASE IF EXISTS {}").format(name))
            self._made[database] = []
            await session.execute(create.encode())
            await session.execute(sql.SQL("COMMENT ON DATABASE {} IS {}").format(name, sql.Literal(MARK)))
        self._made[database] = [*opening, f"ALTER DATABASE {{}} CONNECTION LIMIT {limit[1] if limit else -1}"]
        return self._place._replace(database=database)

    async def _statements(self, dump: Path, database: str) -> list[str]:
        """How the database is created, and what else is said of it as a whole, each in a line."""
        pg_restore = engine_program("pg_restore")
        _, lines = await command(self._place, [pg_restore, "--list", str(dump)])
        wanted = [line for line in lines if any(f" {one}" in line for one in _DATABASES) and line[:1].isdigit()]
        with tempfile.NamedTemporaryFile("w", prefix="binome-", suffix=".list") as file:
            file.write("\n".join(wanted) + "\n")
            file.flush()
            words = [pg_restore, "--create", f"--use-list={file.name}", "--file=-", str(dump)]
            _, text = await command(self._place, words)
        created = [line for line in text if line.startswith("CREATE DATABASE ")]
        begins = ("ALTER DATABASE ", "GRANT ", "REVOKE ")
        told = [line for line in text if line.startswith(begins) and line.endswith(";")]
        quoted = sql.Identifier(database).as_string(None)
        if len(created) != 1 or not created[0].startswith(
            (f"CREATE DATABASE {database} ", f"CREATE DATABASE {quoted} ")
        ):
            raise RestoreError(Unrestored.BROKEN, f"the dump is not of a database {database}")
        return [*created, *told]

    async def finish(self) -> None:
        """See `runtime.restoring.Target`."""
        for database, statements in self._made.items():
            name = sql.Identifier(database)
            async with writing(self._place, ANY) as session:
                await session.execute(sql.SQL("COMMENT ON DATABASE {} IS NULL").format(name))
                for statement in statements:
                    text = statement.replace("{}", name.as_string(None)) if "{}" in statement else statement
                    await session.execute(text.encode())
        self._made.clear()

    async def undo(self) -> None:
        """See `runtime.restoring.Target`."""
        for database in list(self._made):
            async with writing(self._place, ANY) as session:
                drop = sql.SQL("DROP DATABASE IF EXISTS {} WITH (FORCE)").format(sql.Identifier(database))
                await session.execute(drop)
            del self._made[database]


class FolderTarget:
    """A folder that is not there yet, or is empty; with `aside`, one that holds something and is renamed.

    `vault` is the vault that it would be part of. With `owner`, what was restored is given to that user, and is the
    folder itself (a data folder); else each source has a folder below it.
    """

    def __init__(self, folder: Path, *, vault: str = "", aside: bool = False, owner: str = "") -> None:
        self._folder, self._vault, self._aside, self._owner = folder, vault, aside, owner
        self._part: Path | None = None

    async def look(self) -> There:
        """See `runtime.restoring.Target`."""
        holds = self._folder.exists() and (not self._folder.is_dir() or any(self._folder.iterdir()))
        refused = None
        if self._vault:
            refused = Refused.IN_A_VAULT
        elif not self._folder.parent.is_dir():
            refused = Refused.NO_FOLDER
        elif holds and not self._aside:
            refused = Refused.NOT_EMPTY
        elif holds and (self._folder / "postmaster.pid").exists():
            refused = Refused.HOLDS_DATA
        role = "a folder, which is kept aside" if holds and self._aside else "a folder"
        return There(str(self._folder), role, refused=refused)

    async def prepare(self, source: str, copy: Path) -> Place:
        """See `runtime.restoring.Target`."""
        with naming():
            if self._part is None:
                self._part = Path(tempfile.mkdtemp(prefix=f".{self._folder.name}.part-", dir=self._folder.parent))
            if self._owner:
                return Place(self._part)
            below = self._part / source
            below.mkdir(mode=0o700)
        return Place(below)

    async def finish(self) -> None:
        """See `runtime.restoring.Target`. What was there is kept beside it, with the time in its name."""
        part = self._part
        if part is None:
            return
        with naming():
            if self._owner and os.geteuid() == 0:
                await asyncio.to_thread(_given, part, pwd.getpwnam(self._owner))
            await asyncio.to_thread(os.sync)
            if self._aside and self._folder.is_dir() and any(self._folder.iterdir()):
                self._folder.rename(
                    self._folder.with_name(f"{self._folder.name}.old-{datetime.now(UTC):%Y%m%dT%H%M%SZ}")
                )
            part.rename(self._folder)  # over an empty folder, or over nothing: the kernel allows no other
        self._part = None

    async def undo(self) -> None:
        """See `runtime.restoring.Target`."""
        if self._part is not None:
            await asyncio.to_thread(shutil.rmtree, self._part, ignore_errors=True)
            self._part = None


def _given(folder: Path, user: pwd.struct_passwd) -> None:
    for parent, folders, files in os.walk(folder):
        for name in (".", *folders, *files):
            os.chown(Path(parent, name), user.pw_uid, user.pw_gid, follow_symlinks=False)


class AsSaved:
    """A dump that is wanted in a folder, as it was saved: fetched, verified, and nothing else. A `Restorer`."""

    needs = Needs.FOLDER

    def __init__(self, method: Restorer) -> None:
        self._method = method

    async def verify(self, copy: Path, fingerprint: Mapping[str, Any], place: Place) -> Sequence[str]:
        """See `ports_of_copies.Restorer`."""
        return await self._method.verify(copy, fingerprint, place)

    async def restore(self, copy: Path, place: Place, tell: Tell) -> Place:
        """See `ports_of_copies.Restorer`."""
        source, into = place.seen(copy), place.seen(place.folder)
        with naming():
            if any(into.iterdir()):
                raise RestoreError(Unrestored.OCCUPIED, str(place.folder))
            async with polled(into, "restored", size_of(source), tell):
                await asyncio.to_thread(shutil.copytree, source, into, dirs_exist_ok=True)
        return place

    async def compare(
        self, place: Place, fingerprint: Mapping[str, Any], versions: Mapping[str, str], tell: Tell
    ) -> Compared:
        """See `ports_of_copies.Restorer`. Nothing runs that could be asked; the method's tools look once more."""
        wrong = await self._method.verify(place.folder, fingerprint, place)
        return Compared({"files": len(files_of(place.seen(place.folder)))}, tuple(wrong))

    def amounts(self, fingerprint: Mapping[str, Any]) -> Mapping[str, int]:
        """See `ports_of_copies.Restorer`."""
        return self._method.amounts(fingerprint)


class Stopped:
    """A base backup in a folder that nothing runs on yet: what only an engine can say is not asked. A `Restorer`."""

    needs = Needs.CLUSTER

    def __init__(self, method: Restorer) -> None:
        self._method = method
        self.verify, self.restore, self.amounts = method.verify, method.restore, method.amounts

    async def compare(
        self, place: Place, fingerprint: Mapping[str, Any], versions: Mapping[str, str], tell: Tell
    ) -> Compared:
        """See `ports_of_copies.Restorer`. Its own tools have read every file before; this counts them."""
        return Compared({"files": len(files_of(place.seen(place.folder)))}, ())
