"""Restores what the method `basebackup` saved: its files become the data folder of an engine, which replays the WAL.

`pg_verifybackup` has compared every file with the engine's own manifest, and read the WAL, before that. The folder is
moved where that can be done, else copied. Compared is what tells one server's files from another's, and that the engine
has come as far as the copy goes.
"""

from __future__ import annotations

import errno
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from binome.drivers.backup.basebackup import CLUSTER, major_of, ranges
from binome.drivers.restore.shared.commands import command, engine_program, naming
from binome.drivers.restore.shared.postgres import ANY, databases, reading
from binome.drivers.sizes import polled, size_of
from binome.ports_of_copies import Compared, Needs, Place, RestoreError, Tell, Unrestored


class RestoreBaseBackup:
    """The method; it keeps nothing between two restores."""

    needs = Needs.CLUSTER

    async def verify(self, copy: Path, fingerprint: Mapping[str, Any], place: Place) -> Sequence[str]:
        """See `ports_of_copies.Restorer`."""
        cluster, seen = copy / CLUSTER, place.seen(copy / CLUSTER)
        major = major_of(seen)
        if major is None:
            return [f"{CLUSTER}/PG_VERSION is missing or no number"]
        try:
            await command(place, [engine_program("pg_verifybackup", major), "--quiet", str(cluster)])
            with naming():
                wal = ranges(seen)
        except RestoreError as error:
            if error.why is not Unrestored.BROKEN:
                raise
            return [str(error)]
        found = []
        if wal != fingerprint["wal"]:
            found.append("its manifest is of another copy: the WAL that it needs is not that of the fingerprint")
        _, lines = await command(place, [engine_program("pg_controldata", major), str(cluster)])
        named = [line.partition(":")[2].strip() for line in lines if line.startswith("Database system identifier")]
        if named != [fingerprint["system_identifier"]]:
            found.append(f"it is of another server: its system identifier is {' '.join(named)}")
        return found

    async def restore(self, copy: Path, place: Place, tell: Tell) -> Place:
        """See `ports_of_copies.Restorer`. The folder has the mode that an engine asks for; its owner is for others."""
        source, into = place.seen(copy / CLUSTER), place.seen(place.folder)
        with naming():
            if any(into.iterdir()):
                raise RestoreError(Unrestored.OCCUPIED, str(place.folder))
            try:
                source.rename(into)
            except OSError as error:
                if error.errno != errno.EXDEV:
                    raise
                async with polled(into, "restored", size_of(source), tell):
                    await command(place, ["cp", "--archive", "-T", str(copy / CLUSTER), str(place.folder)])
            into.chmod(0o700)
        return place

    async def compare(self, place: Place, fingerprint: Mapping[str, Any], _: Mapping[str, str], __: Tell) -> Compared:
        """See `ports_of_copies.Restorer`."""
        ends = max((one["End-LSN"] for one in fingerprint["wal"]), key=_position)
        async with reading(place, ANY) as asking:
            (row,) = await (
                await asking.execute(
                    "SELECT (SELECT system_identifier::text FROM pg_control_system()), "
                    "current_setting('data_checksums') = 'on', pg_current_wal_lsn() >= %s::pg_lsn",
                    (ends,),
                )
            ).fetchall()
        identifier, checksums, reached = row
        wrong = []
        if identifier != fingerprint["system_identifier"]:
            wrong.append(f"it is of another server: its system identifier is {identifier}")
        if checksums != fingerprint["checksums"]:
            wrong.append(f"it has {'' if checksums else 'no '}checksums, and was saved otherwise")
        if not reached:
            wrong.append(f"its WAL ends before {ends}")
        return Compared({"databases": len(await databases(place))}, tuple(wrong))

    def amounts(self, fingerprint: Mapping[str, Any]) -> Mapping[str, int]:
        """See `ports_of_copies.Restorer`. Older copies do not say how much is in their databases."""
        return {"bytes": fingerprint["bytes"]} if "bytes" in fingerprint else {}


def _position(lsn: str) -> int:
    high, _, low = lsn.partition("/")
    return (int(high, 16) << 32) + int(low, 16)
