"""Restores what the method `files` saved: its archive, by a reader of our own, after all of it was looked at.

Nothing of an archive is believed: shared/archive.py reads it, shared/allowed.py says what is allowed, shared/unpack.py
writes it. Before that the whole archive has been held against the fingerprint, and it may have no more in it than that
says. What was written is read back and compared with the archive, byte by byte.

In a sandbox (`RestoreFiles()`) links that lead out, pipes and setuid programs are made as they were saved, because a
folder such as /etc is full of them and nothing in there follows or runs them. Where a person restores, they are refused
unless he asks for them.
"""

from __future__ import annotations

import asyncio
import errno
import os
import stat
import threading
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any, TypeVar

from binome.drivers.backup.files import ARCHIVE, Files
from binome.drivers.files import Interrupted
from binome.drivers.restore.shared.allowed import Allowance, Quota, look
from binome.drivers.restore.shared.archive import UnsafeError
from binome.drivers.restore.shared.unpack import differing, folds, room, unpack
from binome.ports_of_copies import Compared, CopyError, Needs, Place, RestoreError, Tell, Unrestored

IN_A_SANDBOX = frozenset(Allowance)
_COUNTED = ("files", "folders", "links", "bytes")
_T = TypeVar("_T")


class RestoreFiles:
    """The method; it keeps nothing between two restores."""

    needs = Needs.FOLDER

    def __init__(self, allowed: frozenset[Allowance] = IN_A_SANDBOX) -> None:
        self._allowed = allowed

    async def verify(self, copy: Path, fingerprint: Mapping[str, Any], place: Place) -> Sequence[str]:
        """See `ports_of_copies.Restorer`. Raises RestoreError also where the archive holds what no copy holds."""
        archive = place.seen(copy / ARCHIVE)
        kinds = sum(fingerprint[name] for name in ("files", "folders", "links"))

        def work(stop: threading.Event) -> None:
            whole = archive.stat().st_size
            # Hard links and pipes are not counted by the fingerprint; each takes a block at least.
            most = Quota(fingerprint["bytes"], whole, max(kinds, whole // 512))
            with archive.open("rb") as raw:
                look(raw, most, self._allowed, stop=stop)

        await _worked(work)
        try:
            return await Files(_no_secret).verify(archive.parent, fingerprint)
        except CopyError as error:
            return [str(error)]

    async def restore(self, copy: Path, place: Place, tell: Tell) -> Place:
        """See `ports_of_copies.Restorer`."""
        archive, into = place.seen(copy / ARCHIVE), place.seen(place.folder)

        def work(stop: threading.Event) -> None:
            if any(into.iterdir()):
                raise RestoreError(Unrestored.OCCUPIED, str(place.folder))
            free, entries = room(into)
            with archive.open("rb") as raw:
                seen = look(raw, Quota(1 << 62, free, entries), self._allowed, folds=folds(into), stop=stop)
                unpack(raw, into, seen, tell, stop)
                wrong = differing(raw, into, seen, stop, tell)
            if wrong:
                raise RestoreError(Unrestored.BROKEN, f"what was written is not what was saved: {wrong[0]}")

        await _worked(work)
        return place

    async def compare(
        self, place: Place, fingerprint: Mapping[str, Any], versions: Mapping[str, str], tell: Tell
    ) -> Compared:
        """See `ports_of_copies.Restorer`. Each entry was compared as it was written; these are the numbers of all."""
        found = await _worked(lambda stop: _counted(place.seen(place.folder), stop))
        wrong = [
            f"its {name} are {found[name]}, and {fingerprint[name]} were saved"
            for name in ("files", "links", "bytes")
            if found[name] != fingerprint[name]
        ]
        if found["folders"] < fingerprint["folders"]:  # those above the first that was saved are made as well
            wrong.append(f"its folders are {found['folders']}, and {fingerprint['folders']} were saved")
        return Compared({name: fingerprint[name] for name in _COUNTED}, tuple(wrong))

    def amounts(self, fingerprint: Mapping[str, Any]) -> Mapping[str, int]:
        """See `ports_of_copies.Restorer`."""
        return {name: fingerprint[name] for name in ("files", "bytes")}


def _no_secret(place: str) -> str:
    raise FileNotFoundError(errno.ENOENT, os.strerror(errno.ENOENT), place)


def _counted(folder: Path, stop: threading.Event) -> dict[str, int]:
    """Numbers of what lies below a folder, the folder itself included; hard links are one file."""
    found, seen, ahead = dict.fromkeys(_COUNTED, 0), set[tuple[int, int]](), [folder]
    found["folders"] += 1
    while ahead:
        if stop.is_set():
            raise Interrupted
        with os.scandir(ahead.pop()) as entries:
            for entry in entries:
                one = entry.stat(follow_symlinks=False)
                if stat.S_ISDIR(one.st_mode):
                    found["folders"] += 1
                    ahead.append(Path(entry.path))
                    continue
                if one.st_nlink > 1:
                    if (one.st_dev, one.st_ino) in seen:
                        continue
                    seen.add((one.st_dev, one.st_ino))
                if stat.S_ISLNK(one.st_mode):
                    found["links"] += 1
                elif stat.S_ISREG(one.st_mode):
                    found["files"] += 1
                    found["bytes"] += one.st_size
    return found


async def _worked(work: Callable[[threading.Event], _T]) -> _T:
    """Does file work in a thread, which is told to stop, and waited for, when this is cancelled."""
    stop = threading.Event()
    task = asyncio.ensure_future(asyncio.to_thread(work, stop))
    with _named():
        try:
            return await asyncio.shield(task)
        except asyncio.CancelledError:
            stop.set()
            with suppress(Interrupted, OSError, UnsafeError, RestoreError):
                await task
            raise


@contextmanager
def _named() -> Iterator[None]:
    """What an archive holds that none should, and what the file system says no to, as a RestoreError."""
    try:
        yield
    except UnsafeError as error:
        raise RestoreError(Unrestored.UNSAFE, str(error)) from error
    except OSError as error:
        full = error.errno in (errno.ENOSPC, errno.EDQUOT)
        where = f"{error.filename}: " if error.filename else ""
        raise RestoreError(Unrestored.FULL if full else Unrestored.BROKEN, f"{where}{error.strerror}") from error
