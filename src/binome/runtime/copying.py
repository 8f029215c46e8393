"""A backup is taken: what it copies is written into a folder, described, and put into every vault.

    scratch/binome-copy-…/   DATA/…    what the method wrote, of each data
                             copy.json the manifest, written last

The folder is this process's alone, and goes when it is done. What a process that was killed left is swept away by the
next, which knows it by a lock that nobody holds. A vault that fails stops no other; nothing is put anywhere unless the
whole copy was made.
"""

from __future__ import annotations

import asyncio
import fcntl
import os
import shutil
import tempfile
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any, NamedTuple

from binome.core.copies import MANIFEST, File, Label, Manifest, sealed
from binome.core.sources import sources
from binome.estate import Estate
from binome.ports_of_copies import Copier, CopyError, Tell, Trouble, Unsaved, Vault, VaultError

PREFIX = "binome-copy-"
Sums = Callable[[Path, Tell], Mapping[str, File | None]]
"""Size and sum of every file below a folder; None for what is none."""


class Hands(NamedTuple):
    """What taking a backup needs: its method, its vaults by name, sums of files, the clock."""

    copier: Copier
    vaults: Mapping[str, Vault]
    sums: Sums
    now_ms: Callable[[], int]


class Taken(NamedTuple):
    """What became of a backup: its manifest, its id in each vault that has it, the trouble of the others.

    `made` are the vaults that were not there: new ones, or ones that were lost.
    """

    manifest: Manifest
    stored: dict[str, str]
    failed: dict[str, VaultError]
    made: tuple[str, ...]


async def take(estate: Estate, backup: str, server: str, *, scratch: Path, hands: Hands, tell: Tell) -> Taken:
    """Takes a backup, as `server`. Raises SourceError, CopyError, or OSError where there is no scratch folder."""
    wanted = sources(estate, backup, server)
    began_ms = hands.now_ms()
    versions: dict[str, str] = {}
    fingerprints: dict[str, dict[str, Any]] = {}
    moments = []
    with own_folder(scratch, PREFIX) as folder:
        for source in wanted:
            below = folder / source.name
            below.mkdir(mode=0o700)
            copied = await hands.copier.copy(source, below, tell)
            fingerprints[source.name] = copied.fingerprint
            versions |= copied.versions
            moments.append(copied.at_ms)
        files = await _summed(folder, hands.sums, tell)
        manifest = Manifest(
            estate=estate.estate,
            backup=backup,
            method=estate.backups[backup].method,
            server=server,
            data=tuple(name for source in wanted for name in source.data),
            began_ms=began_ms,
            at_ms=min(moments),
            ended_ms=hands.now_ms(),
            size_bytes=sum(one.size_bytes for one in files.values()),
            versions=versions,
            fingerprints=fingerprints,
            files=files,
        )
        (folder / MANIFEST).write_bytes(sealed(manifest))
        return await _put(folder, manifest, hands.vaults, tell)


async def _summed(folder: Path, sums: Sums, tell: Tell) -> dict[str, File]:
    found = await asyncio.to_thread(sums, folder, tell)
    whole = {path: one for path, one in found.items() if one is not None}
    if strange := sorted(found.keys() - whole.keys()):
        raise CopyError(Unsaved.CANNOT, f"{strange[0]} is neither a file nor a folder")
    return whole


async def _put(folder: Path, manifest: Manifest, vaults: Mapping[str, Vault], tell: Tell) -> Taken:
    stored: dict[str, str] = {}
    failed: dict[str, VaultError] = {}
    made: list[str] = []
    labels = {
        Label.KIND.value: "copy",
        Label.ESTATE.value: manifest.estate,
        Label.BACKUP.value: manifest.backup,
        Label.METHOD.value: manifest.method,
        Label.SERVER.value: manifest.server,
    }
    for name, vault in vaults.items():
        try:
            try:
                stored[name] = await vault.put(folder, manifest.at_ms, labels, tell)
            except VaultError as error:
                if error.trouble is not Trouble.NO_VAULT:
                    raise
                if await vault.prepare():
                    made.append(name)
                stored[name] = await vault.put(folder, manifest.at_ms, labels, tell)
        except VaultError as error:
            failed[name] = error
    return Taken(manifest, stored, failed, tuple(made))


@contextmanager
def own_folder(scratch: Path, prefix: str) -> Iterator[Path]:
    """A folder of our own, locked as long as this process lives; what others of its kind left behind is swept away."""
    for left in scratch.glob(f"{prefix}*"):
        descriptor = os.open(left, os.O_RDONLY | os.O_DIRECTORY | os.O_NOFOLLOW)
        try:
            fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            continue  # another backup is at work
        else:
            shutil.rmtree(left, ignore_errors=True)
        finally:
            os.close(descriptor)
    folder = Path(tempfile.mkdtemp(prefix=prefix, dir=scratch))
    descriptor = os.open(folder, os.O_RDONLY | os.O_DIRECTORY)
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX)
        yield folder
    finally:
        shutil.rmtree(folder, ignore_errors=True)
        os.close(descriptor)
