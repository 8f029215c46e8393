"""Method `files`: folders and files as they are, with owners, rights, ACLs, attributes, links, and holes.

    files.tar    all paths, sorted, as GNU tar writes them; names are relative to /

One archive, not a tree of files: what a vault fetches is then regular files alone, and links, devices and owners are
made by nothing but a restore that looks at each of them first. The fingerprint is over all entries: kind, rights,
owner, times, where a link leads, the attributes, and the SHA-256 of what is stored of each file. A file that changed
while it was read is named in it.
"""

from __future__ import annotations

import asyncio
import os
import tarfile
import threading
import time
from collections.abc import Callable, Mapping, Sequence
from contextlib import suppress
from hashlib import sha256
from pathlib import Path
from typing import Any

from binome.core.copies import Progress
from binome.core.sources import Source
from binome.drivers.backup.shared.tools import run
from binome.drivers.files import Interrupted
from binome.drivers.sizes import polled, size_of
from binome.ports_of_copies import Copied, CopyError, Tell, Unsaved

ARCHIVE = "files.tar"
CHANGED = "changed"
_CHUNK = 1 << 20
OPTIONS = (
    "--create",
    "--format=posix",
    "--pax-option=delete=atime,delete=ctime",  # they would differ each time
    "--acls",
    "--xattrs",
    "--xattrs-include=*",
    "--sparse",
    "--numeric-owner",
    "--sort=name",
    "--one-file-system",
    "--directory=/",
)
_OF_KINDS = {"files": tarfile.TarInfo.isreg, "folders": tarfile.TarInfo.isdir, "links": tarfile.TarInfo.issym}


class Files:
    """The method; it keeps nothing between two copies."""

    def __init__(self, _: Callable[[str], str]) -> None:
        pass

    async def copy(self, source: Source, into: Path, tell: Tell) -> Copied:
        """See `ports_of_copies.Copier`."""
        at_ms, changed = time.time_ns() // 1_000_000, set()
        for path in source.paths:
            if not os.path.lexists(path):
                raise CopyError(Unsaved.NOT_THERE, path)

        def hear(line: str) -> None:
            if line.endswith(("file changed as we read it", "file removed before we read it")):
                changed.add(line.removeprefix("tar: ").rpartition(": ")[0])

        total = await asyncio.to_thread(lambda: sum(size_of(Path(path)) for path in source.paths))
        names = [path.strip("/") or "." for path in source.paths]
        async with polled(into, "archived", total, tell):
            command = ["tar", *OPTIONS, f"--file={into / ARCHIVE}", "--", *names]
            await run(command, good=(0, 1), errors=hear)  # 1: something changed meanwhile
        found = await _read(into / ARCHIVE, tell)
        _, (version, *_) = await run(["tar", "--version"])
        return Copied(at_ms, {**found, CHANGED: sorted(changed)}, {"tar": version.rpartition(" ")[2]})

    async def verify(self, folder: Path, fingerprint: Mapping[str, Any]) -> Sequence[str]:
        """See `ports_of_copies.Copier`. The archive is read again, and what is in it compared."""
        try:
            found = await _read(folder / ARCHIVE, lambda _: None)
        except CopyError as error:
            return [str(error)]
        names = sorted(name for name in found if found[name] != fingerprint[name])
        return [f"its {name} are {found[name]}, and {fingerprint[name]} were saved" for name in names]


async def _read(archive: Path, tell: Tell) -> dict[str, Any]:
    """The fingerprint of an archive. Raises CopyError."""
    stop = threading.Event()
    work = asyncio.ensure_future(asyncio.to_thread(_summed, archive, tell, stop))
    try:
        return await asyncio.shield(work)
    except asyncio.CancelledError:
        stop.set()
        with suppress(Interrupted, CopyError):
            await work
        raise


def _summed(archive: Path, tell: Tell, stop: threading.Event) -> dict[str, Any]:
    counts, size, whole = dict.fromkeys(_OF_KINDS, 0), 0, sha256()
    try:
        total = archive.stat().st_size
        with archive.open("rb") as raw, tarfile.open(fileobj=raw, mode="r:", errorlevel=2) as entries:
            while (entry := entries.next()) is not None:
                entries.members.clear()  # type: ignore[attr-defined]  # a million of them are a lot of memory
                for name, is_one in _OF_KINDS.items():
                    counts[name] += is_one(entry)
                size += entry.size if entry.isreg() else 0
                whole.update(_line(entry).encode("utf-8", "surrogateescape"))
                here = raw.tell()
                if entry.isreg():
                    whole.update(_content(raw, entry, total, tell, stop))
                raw.seek(here)
    except (OSError, tarfile.TarError) as error:
        raise CopyError(Unsaved.FAILED, f"{archive.name} cannot be read: {error}") from error
    return {**counts, "bytes": size, "entries": whole.hexdigest()}


def _line(entry: tarfile.TarInfo) -> str:
    """All of an entry but its content, in a form of our own."""
    words = (entry.name, entry.type.decode("latin-1"), entry.mode, entry.uid, entry.gid, entry.mtime, entry.linkname)
    more = sorted((name, text) for name, text in entry.pax_headers.items() if name.startswith("SCHILY."))
    return repr((*words, entry.devmajor, entry.devminor, more, entry.sparse, entry.size))


def _content(raw: Any, entry: tarfile.TarInfo, total: int, tell: Tell, stop: threading.Event) -> bytes:
    """The hash of what is stored of a file: a hole of a terabyte is stored as a few bytes, and stays so."""
    holes: Any = entry.sparse  # (offset, length) of what is stored; the stubs have it wrong
    stored = entry.size if holes is None else sum(length for _, length in holes)
    digest, left = sha256(), stored
    raw.seek(entry.offset_data)
    while left:
        if stop.is_set():
            raise Interrupted
        chunk = raw.read(min(left, _CHUNK))
        if not chunk:
            raise tarfile.ReadError(f"{entry.name} is cut off")
        digest.update(chunk)
        left -= len(chunk)
        tell(Progress("read", raw.tell(), total))
    return digest.digest()
