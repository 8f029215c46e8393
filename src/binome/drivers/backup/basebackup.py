"""Method `basebackup`: the files of a whole database server, as `pg_basebackup` copies them while it runs.

    cluster/    the data folder, with the WAL that makes it consistent, and `backup_manifest`

It is quicker to restore than a dump, and is of every database of the server; it can be restored only by the same major
version on the same kind of machine. WAL is not archived continuously by it: a restore leads to the end of the copy, and
to no later moment. Tablespaces are links to other folders, and refused.

The fingerprint has what tells one server's files from another's, and where their history stands; `bytes` is how much
is in its databases beyond what an empty one has. Rows cannot be counted in it: the files are of no single moment until
the WAL has been replayed.
"""

from __future__ import annotations

import re
import time
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

import msgspec

from binome.core.copies import Progress
from binome.core.sources import Source
from binome.drivers.backup.shared.postgres import environment, password_of, position, program, session
from binome.drivers.backup.shared.tools import run
from binome.ports_of_copies import Copied, CopyError, Tell, Unsaved

CLUSTER = "cluster"
MANIFEST = "backup_manifest"
_PROGRESS = re.compile(r"\s*(\d+)/(\d+) kB")


class BaseBackup:
    """The method; it keeps nothing between two copies."""

    def __init__(self, secret: Callable[[str], str]) -> None:
        self._secret = secret

    async def copy(self, source: Source, into: Path, tell: Tell) -> Copied:
        """See `ports_of_copies.Copier`."""
        password = password_of(source, self._secret)
        async with session(source, password, "postgres") as asking:
            row = await (
                await asking.execute(
                    "SELECT system_identifier::text, current_setting('data_checksums') = 'on', "
                    "(SELECT count(*) FROM pg_tablespace WHERE spcname !~ '^pg_'), "
                    "(SELECT sum(greatest(0, pg_database_size(oid) - pg_database_size('template1')))::bigint "
                    "FROM pg_database WHERE datname !~ '^template[01]$') FROM pg_control_system()"
                )
            ).fetchone()
            identifier, checksums, tablespaces, beyond = row or ("", False, 0, 0)
            reached = await position(asking)
            server, major = asking.info.parameter_status("server_version") or "", asking.info.server_version // 10_000
        if tablespaces:
            raise CopyError(
                Unsaved.CANNOT, "it has tablespaces, which are links to other folders.  Use the method dump"
            )
        at_ms = time.time_ns() // 1_000_000  # what is acknowledged from here on may be missing

        def hear(line: str) -> None:
            if found := _PROGRESS.match(line):
                tell(Progress("copied", int(found[1]) * 1024, int(found[2]) * 1024))

        tool = program("pg_basebackup", major)
        words = ["--format=plain", "--wal-method=stream", "--checkpoint=fast", "--progress", "--no-password"]
        await run([tool, *words, f"--pgdata={into / CLUSTER}"], more=environment(source, password), errors=hear)
        _, (version, *_) = await run([tool, "--version"])
        wal = ranges(into / CLUSTER)
        found = {"system_identifier": identifier, "checksums": checksums, "wal": wal}
        found |= {"bytes": beyond, "position": reached}
        return Copied(at_ms, found, {"server": server, "pg_basebackup": version.rpartition(") ")[2].split(" ")[0]})

    async def verify(self, folder: Path, fingerprint: Mapping[str, Any]) -> Sequence[str]:
        """See `ports_of_copies.Copier`. `pg_verifybackup` compares every file with the manifest, and reads the WAL."""
        major = major_of(folder / CLUSTER)
        if major is None:
            return [f"{CLUSTER}/PG_VERSION is missing or no number"]
        try:
            await run([program("pg_verifybackup", major), "--quiet", str(folder / CLUSTER)])
        except CopyError as error:
            if error.why is Unsaved.NO_TOOL:
                raise
            return [str(error)]
        found = []
        if ranges(folder / CLUSTER) != fingerprint["wal"]:
            found.append("its manifest is of another copy: the WAL that it needs is not that of the fingerprint")
        _, lines = await run([program("pg_controldata", major), str(folder / CLUSTER)])
        named = [line.partition(":")[2].strip() for line in lines if line.startswith("Database system identifier")]
        if named != [fingerprint["system_identifier"]]:
            found.append(f"it is of another server: its system identifier is {' '.join(named)}")
        return found


def major_of(cluster: Path) -> int | None:
    """The major version of a data folder; None where it does not say."""
    try:
        return int((cluster / "PG_VERSION").read_text())
    except (OSError, ValueError):
        return None


def ranges(cluster: Path) -> list[dict[str, Any]]:
    """The WAL that a copy needs, by timeline, as its manifest says. Raises CopyError where it says nothing."""
    try:
        found: list[dict[str, Any]] = msgspec.json.decode((cluster / MANIFEST).read_bytes())["WAL-Ranges"]
    except (OSError, ValueError, KeyError, msgspec.MsgspecError) as error:
        raise CopyError(Unsaved.FAILED, f"{MANIFEST} cannot be read: {error}") from error
    return found
