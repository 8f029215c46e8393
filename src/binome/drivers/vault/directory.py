"""Vaults of kind `directory`: a folder of folders on this server, for a disk of its own, or one that is mounted.

    ID/            what was put, as it was
    ID.json        its time, its labels, and every file with its size and SHA-256
    part-ID/       being written: not listed, swept away by the next put once nobody holds its lock

A folder is written aside, made durable, and given its name; its `ID.json` comes last and is what makes it listed, and
goes first when it is deleted. So neither a kill nor a power cut leaves half a copy that looks like one. Nothing is
encrypted, nothing stored once that is twice there: for that there is restic.
"""

from __future__ import annotations

import asyncio
import errno
import fcntl
import hashlib
import json
import os
import secrets
import shutil
import stat
import threading
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, TypeVar

from binome.core.copies import File, Label, Progress, Stored, compared
from binome.drivers.files import Interrupted, files_of
from binome.drivers.sizes import size_of
from binome.ports_of_copies import Tell, Trouble, VaultError, VaultPlace

_T = TypeVar("_T")
_CHUNK = 1 << 20
_PART = "part-"


class DirectoryVault:
    """One folder."""

    def __init__(self, place: VaultPlace, _: Callable[[str], str]) -> None:
        self._root = Path(place.at)

    async def prepare(self) -> bool:
        """See `ports_of_copies.Vault`."""
        with _named():
            if self._root.is_dir():
                return False
            if not self._root.parent.is_dir():
                raise VaultError(Trouble.UNREACHABLE, f"{self._root.parent} is not there")
            self._root.mkdir(mode=0o700)
            _synced(self._root.parent)
            return True

    async def put(self, folder: Path, at_ms: int, labels: Mapping[str, str], tell: Tell) -> str:
        """See `ports_of_copies.Vault`."""
        return await _worked(lambda stop: self._put(folder, at_ms, labels, tell, stop))

    def _put(self, folder: Path, at_ms: int, labels: Mapping[str, str], tell: Tell, stop: threading.Event) -> str:
        self._sweep()
        id_ = f"{datetime.fromtimestamp(at_ms // 1000, UTC):%Y%m%dT%H%M%SZ}-{secrets.token_hex(4)}"
        total, part = size_of(folder), self._root / f"{_PART}{id_}"
        part.mkdir(mode=0o700)
        with _locked(part) as held:
            if not held:
                raise VaultError(Trouble.BUSY, part.name)
            try:
                sums = self._copied(folder, part, total, tell, stop)
                whole = {**labels, Label.BYTES.value: str(total)}
                said = {"at_ms": at_ms // 1000 * 1000, "labels": whole, "files": sums}
                name = part.with_suffix(".json")
                _written(name, json.dumps(said).encode())
                part.rename(self._root / id_)
                _synced(self._root)
                name.rename(self._root / f"{id_}.json")
                _synced(self._root)
            except BaseException:
                shutil.rmtree(part, ignore_errors=True)
                part.with_suffix(".json").unlink(missing_ok=True)
                raise
        return id_

    def _copied(
        self, folder: Path, part: Path, total: int, tell: Tell, stop: threading.Event
    ) -> dict[str, tuple[int, str]]:
        """Copies all that is below a folder, durably; sizes and sums by path."""
        sums, done = {}, 0
        for parent, folders, files in os.walk(folder):
            below = part / Path(parent).relative_to(folder)
            for name in folders:
                (below / name).mkdir(mode=0o700)
            for name in files:
                source = Path(parent, name)
                if not stat.S_ISREG(source.lstat().st_mode):  # a pipe would never end, a link leads anywhere
                    raise VaultError(Trouble.DAMAGED, f"{source.relative_to(folder)} is neither a file nor a folder")
                digest, size = hashlib.sha256(), 0
                with source.open("rb") as reading, (below / name).open("xb") as writing:
                    while chunk := reading.read(_CHUNK):
                        if stop.is_set():
                            raise Interrupted
                        writing.write(chunk)
                        digest.update(chunk)
                        size, done = size + len(chunk), done + len(chunk)
                        tell(Progress("stored", done, total))
                    writing.flush()
                    os.fsync(writing.fileno())
                sums[str(source.relative_to(folder))] = (size, digest.hexdigest())
            _synced(below)
        return sums

    def _sweep(self) -> None:
        """Takes away what interrupted puts and deletes left."""
        self._there()
        whole = {path.stem for path in self._root.glob("*.json") if not path.name.startswith(_PART)}
        for path in self._root.iterdir():
            if path.is_dir() and path.name not in whole:
                with _locked(path) as free:
                    if free:
                        shutil.rmtree(path)
                        path.with_suffix(".json").unlink(missing_ok=True)

    def _there(self) -> None:
        if not self._root.is_dir():
            trouble = Trouble.NO_VAULT if self._root.parent.is_dir() else Trouble.UNREACHABLE
            raise VaultError(trouble, f"{self._root} is not there")

    async def list(self) -> Sequence[Stored]:
        """See `ports_of_copies.Vault`."""

        def work() -> list[Stored]:
            self._there()
            found = []
            for path in self._root.glob("*.json"):
                if not path.name.startswith(_PART):
                    said = self._said(path.stem)
                    found.append(Stored(path.stem, said["at_ms"], said["labels"]))
            return sorted(found, key=lambda one: (-one.at_ms, one.id))

        with _named():
            return await asyncio.to_thread(work)

    def _said(self, id_: str) -> dict[str, Any]:
        """What stands in the file of one copy."""
        if not id_ or "/" in id_ or id_.startswith("."):
            raise VaultError(Trouble.NOT_THERE, id_)
        self._there()
        try:
            said: dict[str, Any] = json.loads((self._root / f"{id_}.json").read_bytes())
            return {"at_ms": int(said["at_ms"]), "labels": dict(said["labels"]), "files": dict(said["files"])}
        except FileNotFoundError as error:
            raise VaultError(Trouble.NOT_THERE, id_) from error
        except (ValueError, KeyError, TypeError) as error:
            raise VaultError(Trouble.DAMAGED, f"{id_}.json cannot be read") from error

    async def read(self, id_: str, name: str, most_bytes: int) -> bytes:
        """See `ports_of_copies.Vault`."""
        with _named():
            if name not in self._said(id_)["files"]:
                raise VaultError(Trouble.NOT_THERE, f"{id_}: {name}")
            try:
                with (self._root / id_ / name).open("rb") as file:
                    return file.read(most_bytes)
            except FileNotFoundError as error:
                raise VaultError(Trouble.DAMAGED, f"{id_}/{name} is missing") from error

    async def fetch(self, id_: str, into: Path, tell: Tell) -> None:
        """See `ports_of_copies.Vault`."""

        def work(stop: threading.Event) -> None:
            total = sum(size for size, _ in self._said(id_)["files"].values())
            if not (self._root / id_).is_dir():
                raise VaultError(Trouble.DAMAGED, f"{id_} has no folder")
            self._copied(self._root / id_, into, total, tell, stop)

        await _worked(work)

    async def delete(self, ids: Sequence[str], tell: Tell) -> None:
        """See `ports_of_copies.Vault`."""

        def work(_: threading.Event) -> None:
            self._there()
            for id_ in ids:
                with suppress(VaultError):
                    self._said(id_)
                    tell(Progress("deleted", 0))
                    (self._root / f"{id_}.json").unlink()
                    _synced(self._root)  # it is no copy any more before the first of its files goes
                    shutil.rmtree(self._root / id_, ignore_errors=True)  # what is left, the next put sweeps away

        await _worked(work)

    async def check(self, tell: Tell, *, read: bool) -> Sequence[str]:
        """See `ports_of_copies.Vault`. Without `read` sizes are compared, with it every byte."""

        def work(stop: threading.Event) -> list[str]:
            found: list[str] = []
            self._there()
            ids = [path.stem for path in sorted(self._root.glob("*.json")) if not path.name.startswith(_PART)]
            for id_ in ids:
                try:
                    expected = {path: File(*one) for path, one in self._said(id_)["files"].items()}
                except VaultError as error:
                    found.append(str(error))
                    continue
                there = files_of(self._root / id_, tell=tell if read else None, stop=stop)
                if not read:  # only the sizes are known
                    there = {
                        path: one and File(one.size_bytes, expected[path].sha256 if path in expected else "")
                        for path, one in there.items()
                    }
                found += [f"{id_}/{path}: {fault.value}" for path, fault in compared(expected, there)]
            return found

        return await _worked(work)


async def _worked(work: Callable[[threading.Event], _T]) -> _T:
    """Does file work in a thread, which is told to stop, and waited for, when this is cancelled."""
    stop = threading.Event()
    with _named():
        task = asyncio.ensure_future(asyncio.to_thread(work, stop))
        try:
            return await asyncio.shield(task)
        except asyncio.CancelledError:
            stop.set()
            with suppress(Interrupted, VaultError, OSError):
                await task
            raise


@contextmanager
def _named() -> Iterator[None]:
    """What the file system says no to has a name."""
    try:
        yield
    except OSError as error:
        troubles = {
            errno.ENOSPC: Trouble.FULL,
            errno.EDQUOT: Trouble.FULL,
            errno.EACCES: Trouble.REFUSED,
            errno.EROFS: Trouble.REFUSED,
            errno.EPERM: Trouble.REFUSED,
            errno.EIO: Trouble.DAMAGED,
        }
        where = f"{error.filename}: " if error.filename else ""
        raise VaultError(troubles.get(error.errno or 0, Trouble.FAILED), f"{where}{error.strerror}") from error


@contextmanager
def _locked(folder: Path) -> Iterator[bool]:
    """Whether nobody else works in a folder, and nobody can as long as this is held."""
    descriptor = os.open(folder, os.O_RDONLY | os.O_DIRECTORY)
    try:
        try:
            fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            yield False
        else:
            yield True
    finally:
        os.close(descriptor)


def _written(path: Path, content: bytes) -> None:
    with path.open("xb") as file:
        file.write(content)
        file.flush()
        os.fsync(file.fileno())


def _synced(folder: Path) -> None:
    descriptor = os.open(folder, os.O_RDONLY | os.O_DIRECTORY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)
