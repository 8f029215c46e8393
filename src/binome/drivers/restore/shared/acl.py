"""ACLs as tar writes them and as the kernel takes them."""

from __future__ import annotations

import grp
import pwd
import struct
from collections.abc import Sequence
from typing import NamedTuple

from binome.drivers.restore.shared.archive import Unsafe, UnsafeError

_TAGS = {"user": (0x01, 0x02), "group": (0x04, 0x08), "mask": (0x10, 0x10), "other": (0x20, 0x20)}
_NOBODY = 0xFFFFFFFF


class Entry(NamedTuple):
    """One entry of an ACL: its tag, who is meant (a number, or a name that some machine knew), its rights."""

    tag: int
    who: str
    rights: int


def entries(text: str, member: str = "") -> list[Entry]:
    """An ACL as tar writes it: `user::rw-,user:1001:r--,…`. Raises UnsafeError."""
    found = []
    for line in text.replace("\n", ",").split(","):
        kind, *rest = line.strip().split(":")
        if not kind and not rest:
            continue
        who, rights, number = (*rest, "", "")[:3]
        rights = rights.partition("#")[0].strip()
        if kind not in _TAGS or len(rest) < 2 or set(rights) - set("rwx-") or "\0" in who:
            raise UnsafeError(Unsafe.NO_ARCHIVE, member, f"an ACL that cannot be read: {line}")
        bits = 4 * ("r" in rights) + 2 * ("w" in rights) + ("x" in rights)
        found.append(Entry(_TAGS[kind][bool(who)], number if number.isdecimal() else who, bits))
    return found


def acl(found: Sequence[Entry]) -> bytes:
    """An ACL as the kernel takes it: version 2, then tag, rights and id of each, sorted (linux/posix_acl_xattr.h).

    Whom this machine does not know is left out: he gets no rights then, and nobody gets more.
    """
    known = [(one.tag, one.rights, number) for one in found if (number := number_of(one)) is not None]
    known.sort(key=lambda entry: (entry[0], entry[2]))
    return struct.pack("<I", 2) + b"".join(struct.pack("<HHI", *entry) for entry in known)


def number_of(one: Entry) -> int | None:
    """Who is meant, here; None where nobody of that name is known."""
    if not one.who:
        return _NOBODY
    if one.who.isascii() and one.who.isdecimal():
        return int(one.who) if int(one.who) < _NOBODY else None
    try:
        return pwd.getpwnam(one.who).pw_uid if one.tag == _TAGS["user"][1] else grp.getgrnam(one.who).gr_gid
    except KeyError:
        return None
