"""Archives that nobody's tar would write: headers put together by hand."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

BLOCK = 512


def header(name: bytes, kind: bytes, size: int, *, mode: int, link: bytes, mtime: int = 1_700_000_000) -> bytes:
    """A ustar header with the right sum."""
    raw = bytearray(BLOCK)
    raw[0:100] = name[:100].ljust(100, b"\0")
    raw[100:108], raw[108:116], raw[116:124] = b"%07o\0" % mode, b"%07o\0" % 0, b"%07o\0" % 0
    raw[124:136], raw[136:148] = b"%011o\0" % size, b"%011o\0" % mtime
    raw[156:157] = kind
    raw[157:257] = link[:100].ljust(100, b"\0")
    raw[257:265] = b"ustar\x0000"
    raw[148:156] = b" " * 8
    raw[148:156] = b"%06o\0 " % sum(raw)
    return bytes(raw)


def padded(raw: bytes) -> bytes:
    """Filled up to whole blocks."""
    return raw + bytes(-len(raw) % BLOCK)


def record(key: bytes, value: bytes) -> bytes:
    """One record of a pax header: its own length first."""
    rest = b" " + key + b"=" + value + b"\n"
    length = len(rest)
    while length != len(rest) + len(b"%d" % length):
        length = len(rest) + len(b"%d" % length)
    return b"%d" % length + rest


def member(
    name: str | bytes,
    kind: bytes = b"0",
    content: bytes = b"",
    *,
    mode: int = 0o644,
    link: str = "",
    pax: Mapping[bytes, bytes] | None = None,
    size: int | None = None,
) -> bytes:
    """One member, with a pax header before it where there are records for it."""
    raw = name.encode() if isinstance(name, str) else name
    before = b""
    if pax:
        records = b"".join(record(key, value) for key, value in pax.items())
        before = header(b"PaxHeaders/x", b"x", len(records), mode=0o644, link=b"") + padded(records)
    length = len(content) if size is None else size
    return before + header(raw, kind, length, mode=mode, link=link.encode()) + padded(content)


def sparse(name: str, size: int, chunks: Mapping[int, bytes]) -> bytes:
    """A sparse file, as GNU tar writes it in pax form 1.0."""
    numbers = [len(chunks), *(number for offset, chunk in chunks.items() for number in (offset, len(chunk)))]
    table = padded("".join(f"{number}\n" for number in numbers).encode())
    pax = {
        b"GNU.sparse.major": b"1",
        b"GNU.sparse.minor": b"0",
        b"GNU.sparse.name": name.encode(),
        b"GNU.sparse.realsize": b"%d" % size,
    }
    return member(f"GNUSparseFile.0/{name}", content=table + b"".join(chunks.values()), pax=pax)


def written(path: Path, *parts: bytes, end: bytes = bytes(2 * BLOCK)) -> Path:
    """An archive of these members."""
    path.write_bytes(b"".join(parts) + end)
    return path
