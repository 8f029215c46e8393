"""An archive that nobody is trusted to have written: read header by header, by a reader that knows little on purpose.

GNU tar writes our archives in one form (`files.OPTIONS`), and that form alone is read: ustar headers, pax headers
before them, sparse files of pax form 1.0, nothing compressed. What says anything else is refused by name, so that there
is no second opinion on what a header means: what was looked at is what is unpacked, by the same lines.

    x  pax header of the next member: path, linkpath, size, mtime, SCHILY.*, GNU.sparse.*     no longer than a mebibyte
    0  file, 5 folder, 1 hard link, 2 symbolic link, 6 pipe, 3 and 4 devices

Names are bytes of a file system, as text with surrogate escapes. Nothing is created here.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from enum import StrEnum
from typing import BinaryIO, NamedTuple, NoReturn

from binome.shown import shown

BLOCK = 512
MOST_PAX_BYTES = 1 << 20
MOST_MAP_BYTES = 4 << 20
MOST_NAME_BYTES, MOST_PART_BYTES = 4095, 255
_NUMBER = re.compile(rb"[0-9]{1,19}")
_TIME = re.compile(rb"(-?)([0-9]{1,12})(?:\.([0-9]{1,9})[0-9]*)?")


class Kind(StrEnum):
    """What a member is."""

    FILE = "0"
    HARD_LINK = "1"
    LINK = "2"
    CHARACTERS = "3"
    BLOCKS = "4"
    FOLDER = "5"
    PIPE = "6"


class Unsafe(StrEnum):
    """Why an archive is not unpacked."""

    NO_ARCHIVE = "it is no archive of ours, or is cut off"
    BAD_NAME = "its name is empty, too long, or no name"
    ABSOLUTE = "its name begins at /"
    UPWARDS = "its name leads upwards"
    TWICE = "it is there twice"
    THROUGH = "its name leads through what is no folder"
    LEADS_OUT = "it is a link that leads out of the folder"
    NO_TARGET = "it is a hard link to what is no file before it"
    DEVICE = "it is a device"
    PIPE = "it is a pipe"
    PRIVILEGED = "it would run with the rights of its owner or its group"
    TOO_MANY = "there is more in it than was saved, or than there is room for: entries"
    TOO_MUCH = "there is more in it than was saved, or than there is room for: bytes"


class UnsafeError(Exception):
    """An archive that is not unpacked: why, and which member."""

    def __init__(self, why: Unsafe, member: str, detail: str = "") -> None:
        words = f"{shown(member, 120)}: {why.value}" if member else why.value
        super().__init__(f"{words} ({shown(detail, 160)})" if detail else words)
        self.why = why
        self.member = member


class Member(NamedTuple):
    """One member. `name` has no slash at its end; `segments` are (offset in the file, length) of what is stored.

    `at` is where its content begins in the archive, `size` how long the file is with its holes. `attributes` are the
    extended ones by name; `access` and `default` are ACLs as text, or empty.
    """

    name: str
    kind: Kind
    mode: int
    uid: int
    gid: int
    mtime_ns: int
    link: str
    size: int
    at: int
    segments: tuple[tuple[int, int], ...]
    attributes: Mapping[str, bytes]
    access: str
    default: str

    @property
    def stored(self) -> int:
        """How many bytes of it are in the archive."""
        return sum(length for _, length in self.segments)


def members(archive: BinaryIO) -> Iterator[Member]:
    """The members of an archive, in their order. The file may be read in between. Raises UnsafeError, OSError."""
    at, pax = 0, dict[bytes, bytes]()
    while True:
        archive.seek(at)
        header = archive.read(BLOCK)
        if len(header) == BLOCK and not any(header):
            return _nothing_behind(archive, pax)
        kind, size = _checked(header)
        at += BLOCK
        if kind == b"x":
            if pax or size > MOST_PAX_BYTES:
                _refuse("", "pax headers that are too long, or twice for one member")
            pax = _pax(archive, size)
            at += _whole(size)
            continue
        one, at = _member(archive, header, kind, at, pax)
        yield one
        pax = {}


def _refuse(member: str, detail: str) -> NoReturn:
    raise UnsafeError(Unsafe.NO_ARCHIVE, member, detail)


def _nothing_behind(archive: BinaryIO, pax: Mapping[bytes, bytes]) -> None:
    """The end of an archive is empty; what another reader would find behind it is refused."""
    if pax:
        _refuse("", "a pax header without a member")
    while chunk := archive.read(1 << 16):
        if any(chunk):
            _refuse("", "there is something behind its end")


def _checked(header: bytes) -> tuple[bytes, int]:
    """The type and the size of a header whose sum is right."""
    if len(header) < BLOCK:
        _refuse("", "it is cut off")
    said = _octal(header[148:156], "")
    if said != sum(header[:148]) + sum(header[156:]) + 8 * 0x20:
        _refuse("", "the sum of a header is wrong")
    if header[257:265] != b"ustar\x0000":
        _refuse("", "a header of another form")
    kind = header[156:157]
    if kind not in b"x0123456" or kind == b"":
        _refuse("", f"a member of type {kind!r}")
    return kind, _octal(header[124:136], "")


def _octal(field: bytes, member: str) -> int:
    """A number of a header, in octal digits, or in binary where it is too large for them."""
    if field[:1] == b"\x80":
        return int.from_bytes(field[1:], "big")
    text = field.strip(b" \0")
    if not re.fullmatch(rb"[0-7]*", text):
        _refuse(member, "a number of a header is none")
    return int(text or b"0", 8)


def _pax(archive: BinaryIO, size: int) -> dict[bytes, bytes]:
    """The records of a pax header: `LENGTH KEY=VALUE`, and a newline."""
    raw, found, at = archive.read(size), dict[bytes, bytes](), 0
    while at < size:
        digits = re.match(rb"([1-9][0-9]{0,6}) ", raw[at : at + 8])
        end = at + int(digits[1]) if digits else 0
        key, equals, value = raw[at + digits.end() : end - 1].partition(b"=") if digits else (b"", b"", b"")
        if digits is None or end > len(raw) or raw[end - 1 : end] != b"\n" or not equals or key in found:
            _refuse("", "a pax header that cannot be read")
        found[key] = value
        at = end
    return found


def _member(archive: BinaryIO, header: bytes, typed: bytes, at: int, pax: Mapping[bytes, bytes]) -> tuple[Member, int]:
    """The member of a header, and where the next one begins."""
    prefix, short = header[345:500].split(b"\0")[0], header[:100].split(b"\0")[0]
    raw = pax.get(b"path", prefix + b"/" + short if prefix else short)
    sparse = b"GNU.sparse.major" in pax
    name = _text(pax.get(b"GNU.sparse.name", b"") if sparse else raw)
    known = {b"path", b"linkpath", b"size", b"mtime", b"atime", b"ctime", b"uid", b"gid", b"uname", b"gname"}
    strange = [key for key in pax if key not in known and not key.startswith((b"SCHILY.", b"GNU.sparse."))]
    if strange:
        _refuse(name, f"a pax header {strange[0]!r}")
    kind = Kind(typed.decode())
    stored = _number(pax[b"size"], name) if b"size" in pax else _octal(header[124:136], name)
    if kind is not Kind.FILE and (stored or sparse):
        _refuse(name, "it has a content, and is no file")
    following, size = at + _whole(stored), stored
    segments: tuple[tuple[int, int], ...] = ((0, stored),) if stored else ()
    if sparse:
        at, size, segments = _holes(archive, at, stored, pax, name)
    there = archive.seek(0, 2)
    if following > there:
        _refuse(name, "it is cut off")
    return (
        Member(
            name=name.rstrip("/") if kind is Kind.FOLDER else name,
            kind=kind,
            mode=_octal(header[100:108], name) & 0o7777,
            uid=_number(pax[b"uid"], name) if b"uid" in pax else _octal(header[108:116], name),
            gid=_number(pax[b"gid"], name) if b"gid" in pax else _octal(header[116:124], name),
            mtime_ns=_time_ns(pax.get(b"mtime", b"%d" % _octal(header[136:148], name)), name),
            link=_text(pax.get(b"linkpath", header[157:257].split(b"\0")[0])),
            size=size,
            at=at,
            segments=segments,
            attributes=_attributes(pax),
            access=_text(pax.get(b"SCHILY.acl.access", b"")),
            default=_text(pax.get(b"SCHILY.acl.default", b"")),
        ),
        following,
    )


def _holes(
    archive: BinaryIO, at: int, stored: int, pax: Mapping[bytes, bytes], name: str
) -> tuple[int, int, tuple[tuple[int, int], ...]]:
    """Where the content of a sparse file begins, how long the file is, and what of it is stored."""
    if (pax[b"GNU.sparse.major"], pax.get(b"GNU.sparse.minor")) != (b"1", b"0"):
        _refuse(name, "a sparse file of another form than 1.0")
    size = _number(pax.get(b"GNU.sparse.realsize", b""), name)
    archive.seek(at)
    numbers: list[int] = []
    read, rest, wanted = 0, b"", 1
    while len(numbers) < wanted:
        block = archive.read(BLOCK)
        read += BLOCK
        if len(block) < BLOCK or read > min(stored, MOST_MAP_BYTES):
            _refuse(name, "the map of a sparse file is cut off, or too long")
        *lines, rest = (rest + block).split(b"\n")
        numbers += [_number(line, name) for line in lines[: wanted - len(numbers)]] if wanted > 1 else []
        if wanted == 1 and lines:
            wanted = 1 + 2 * _number(lines[0], name)
            numbers += [_number(line, name) for line in lines[:wanted]]
    segments = tuple(zip(numbers[1::2], numbers[2::2], strict=True))
    end = 0
    for offset, length in segments:
        if offset < end or offset + length > size:
            _refuse(name, "the map of a sparse file leads astray")
        end = offset + length
    if sum(length for _, length in segments) != stored - read:
        _refuse(name, "the map of a sparse file is not that of its content")
    return at + read, size, tuple(one for one in segments if one[1])


def _attributes(pax: Mapping[bytes, bytes]) -> dict[str, bytes]:
    """The extended attributes; tar writes an equals sign in a name as %3D."""
    begin = b"SCHILY.xattr."
    return {
        _text(key.removeprefix(begin).replace(b"%3D", b"=").replace(b"%25", b"%")): value
        for key, value in pax.items()
        if key.startswith(begin)
    }


def _number(text: bytes, member: str) -> int:
    if not _NUMBER.fullmatch(text) or int(text) >= 1 << 63:
        _refuse(member, "a number that is none")
    return int(text)


def _time_ns(text: bytes, member: str) -> int:
    found = _TIME.fullmatch(text)
    if found is None:
        _refuse(member, "a time that is none")
    whole = int(found[2]) * 1_000_000_000 + int((found[3] or b"").ljust(9, b"0"))
    return -whole if found[1] else whole


def _text(raw: bytes) -> str:
    return raw.decode("utf-8", "surrogateescape")


def _whole(size: int) -> int:
    """A size rounded up to blocks."""
    return -(-size // BLOCK) * BLOCK
