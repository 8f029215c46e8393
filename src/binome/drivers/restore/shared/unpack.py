"""Unpacking an archive of which all was looked at (allowed.py), and comparing what was written with it.

Each folder is entered by its descriptor and never through a link, each file is new (O_EXCL), links come last, so that
nothing can be written through them. The folder is new, empty and this process's alone; should it not be, nothing is
written outside of it all the same.
"""

from __future__ import annotations

import os
import stat
import threading
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import BinaryIO, NamedTuple

from binome.core.copies import Progress
from binome.drivers.files import Interrupted
from binome.drivers.restore.shared.acl import acl, entries
from binome.drivers.restore.shared.allowed import CAPABILITY, LEFT_OUT, Looked, parts, target_of
from binome.drivers.restore.shared.archive import Kind, Member, Unsafe, UnsafeError, members
from binome.ports_of_copies import Tell

_CHUNK = 1 << 20
_ENTER = os.O_RDONLY | os.O_DIRECTORY | os.O_NOFOLLOW | os.O_CLOEXEC
_NEW = os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_NOFOLLOW | os.O_CLOEXEC


class _Source(NamedTuple):
    """An archive, and what ends the reading of it."""

    archive: BinaryIO
    stop: threading.Event

    def chunks(self, one: Member) -> Iterator[tuple[int, bytes]]:
        """What is stored of a file, with where it belongs. Raises UnsafeError, Interrupted."""
        self.archive.seek(one.at)
        for offset, length in one.segments:
            done = 0
            while done < length:
                if self.stop.is_set():
                    raise Interrupted
                chunk = self.archive.read(min(length - done, _CHUNK))
                if not chunk:
                    raise UnsafeError(Unsafe.NO_ARCHIVE, one.name, "it is cut off")
                yield offset + done, chunk
                done += len(chunk)


class Unpacked(NamedTuple):
    """What was made. `left_out` is that of `Looked`; `owners`: whether they were given."""

    entries: int
    stored: int
    left_out: int
    owners: bool


def unpack(archive: BinaryIO, into: Path, seen: Looked, tell: Tell, stop: threading.Event) -> Unpacked:
    """Unpacks what was looked at into a folder that is new and empty. Raises OSError, UnsafeError and Interrupted."""
    root, owners, done = os.open(into, _ENTER), os.geteuid() == 0, 0
    source = _Source(archive, stop)
    links: list[tuple[tuple[str, ...], Member]] = []
    folders: dict[tuple[str, ...], Member] = {}
    try:
        for one in members(archive):
            if stop.is_set():
                raise Interrupted
            name = parts(one)
            if seen.names.get("/".join(name)) is Kind.LINK:
                links.append((name, one))
            elif one.kind is Kind.FOLDER:
                _entered(root, name)
                folders[name] = one
            else:
                _made(source, root, name, one, owners)
            done += one.stored
            tell(Progress("unpacked", done, seen.stored))
        for name, one in links:
            _linked(root, name, one, owners)
        for name, one in sorted(folders.items(), key=lambda pair: -len(pair[0])):
            with _folder(root, name) as opened:
                _described(opened, one, owners)
    finally:
        os.close(root)
    return Unpacked(seen.entries, seen.stored, seen.left_out, owners)


def _linked(root: int, name: tuple[str, ...], one: Member, owners: bool) -> None:
    """A symbolic link, or one more name of it."""
    with _folder(root, name[:-1]) as above:
        if one.kind is Kind.HARD_LINK:
            _another_name(root, above, name[-1], one)
            return
        os.symlink(one.link, name[-1], dir_fd=above)
        if owners:
            os.chown(name[-1], one.uid, one.gid, dir_fd=above, follow_symlinks=False)
        os.utime(name[-1], ns=(one.mtime_ns, one.mtime_ns), dir_fd=above, follow_symlinks=False)


def _another_name(root: int, above: int, name: str, one: Member) -> None:
    target = tuple(target_of(one).split("/"))
    with _folder(root, target[:-1]) as there:
        os.link(target[-1], name, src_dir_fd=there, dst_dir_fd=above, follow_symlinks=False)


def _made(source: _Source, root: int, name: tuple[str, ...], one: Member, owners: bool) -> None:
    """A file, a hard link or a pipe, with all that belongs to it."""
    with _folder(root, name[:-1]) as above:
        if one.kind is Kind.HARD_LINK:
            _another_name(root, above, name[-1], one)
            return
        if one.kind is Kind.PIPE:
            os.mkfifo(name[-1], 0o600, dir_fd=above)
            new = os.open(name[-1], os.O_RDONLY | os.O_NONBLOCK | os.O_NOFOLLOW | os.O_CLOEXEC, dir_fd=above)
        else:
            new = os.open(name[-1], _NEW, 0o600, dir_fd=above)
        try:
            if one.kind is Kind.FILE:
                _filled(source, new, one)
            _described(new, one, owners)
        finally:
            os.close(new)


def _filled(source: _Source, new: int, one: Member) -> None:
    """Writes what is stored where it belongs; the rest are holes."""
    for offset, chunk in source.chunks(one):
        written = 0
        while written < len(chunk):
            written += os.pwrite(new, chunk[written:], offset + written)
    os.ftruncate(new, one.size)


def _described(opened: int, one: Member, owners: bool) -> None:
    """Owner, rights, attributes, ACLs and time of what is open, in the order in which none undoes another."""
    if owners:
        os.fchown(opened, one.uid, one.gid)
    os.fchmod(opened, one.mode if owners else one.mode & 0o1777)
    for name, value in one.attributes.items():
        if not name.startswith(LEFT_OUT) or (name == CAPABILITY and owners):
            os.setxattr(opened, os.fsencode(name), value)
    for name, text in (("system.posix_acl_access", one.access), ("system.posix_acl_default", one.default)):
        if text:
            os.setxattr(opened, name, acl(entries(text, one.name)))
    os.utime(opened, ns=(one.mtime_ns, one.mtime_ns))


def _entered(root: int, name: tuple[str, ...]) -> None:
    """Makes a folder, and those above it."""
    with _folder(root, name):
        pass


@contextmanager
def _folder(root: int, name: tuple[str, ...]) -> Iterator[int]:
    """A folder below the root, made where it is not there; entered part by part, and never through a link."""
    here = os.dup(root)
    try:
        for part in name:
            with suppress(FileExistsError):
                os.mkdir(part, 0o700, dir_fd=here)
            below = os.open(part, _ENTER, dir_fd=here)
            os.close(here)
            here = below
        yield here
    finally:
        os.close(here)


def folds(folder: Path) -> bool:
    """Whether a folder's file system does not tell upper case from lower."""
    probe = folder / "binome-Case"
    probe.touch(exist_ok=False)
    try:
        return (folder / "binome-cASE").exists()
    finally:
        probe.unlink()


def room(folder: Path) -> tuple[int, int]:
    """Bytes and entries that a file system has room for; one without a table of entries has no end of them."""
    found = os.statvfs(folder)
    return found.f_bavail * found.f_frsize, found.f_favail or (1 << 62)


def differing(archive: BinaryIO, folder: Path, seen: Looked, stop: threading.Event, tell: Tell) -> list[str]:
    """What of an archive is not in a folder as it is in the archive, a line each. Raises OSError, Interrupted."""
    found: list[str] = []
    root, done = os.open(folder, _ENTER), 0
    source = _Source(archive, stop)
    try:
        for one in members(archive):
            name = "/".join(parts(one))
            state = _wrong(source, root, name, one, seen)
            if state:
                found.append(f"{one.name} {state}")
            done += one.stored
            tell(Progress("compared", done, seen.stored))
    finally:
        os.close(root)
    return found


def _wrong(source: _Source, root: int, name: str, one: Member, seen: Looked) -> str:
    """What is wrong with one entry; empty where it is as it was saved."""
    try:
        there = os.stat(name or ".", dir_fd=root, follow_symlinks=False)
    except FileNotFoundError:
        return "is missing"
    if seen.names[name] is Kind.LINK:
        same = stat.S_ISLNK(there.st_mode) and os.readlink(name, dir_fd=root) == seen.links[name]
        return "" if same else "leads elsewhere"
    if one.kind is Kind.HARD_LINK:
        other = os.stat(target_of(one), dir_fd=root, follow_symlinks=False)
        return "" if (there.st_dev, there.st_ino) == (other.st_dev, other.st_ino) else "is a file of its own"
    owners = os.geteuid() == 0
    if there.st_mode & 0o7777 != (one.mode if owners else one.mode & 0o1777):
        return "has other rights"
    if owners and (there.st_uid, there.st_gid) != (one.uid, one.gid):
        return "has another owner"
    if there.st_mtime_ns != one.mtime_ns:
        return "has another time"
    if one.kind is Kind.FILE:
        return "" if there.st_size == one.size and _same(source, root, name, one) else "has another content"
    return ""


def _same(source: _Source, root: int, name: str, one: Member) -> bool:
    """Whether what is stored of a file is what the file has there."""
    opened = os.open(name, os.O_RDONLY | os.O_NOFOLLOW | os.O_CLOEXEC, dir_fd=root)
    try:
        return all(os.pread(opened, len(chunk), offset) == chunk for offset, chunk in source.chunks(one))
    finally:
        os.close(opened)
