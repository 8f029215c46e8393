"""What of an archive is allowed: all of it is looked at before the first byte is written.

Every member is held against a list of what is allowed and against what the copy said of itself: names, kinds, where
links lead, rights, how many, how much. What is not on the list is not left out but ends it: half of a copy looks like a
whole one. Nothing here relies on the order of members.
"""

from __future__ import annotations

import os
import threading
import unicodedata
from dataclasses import dataclass, field
from enum import StrEnum
from typing import BinaryIO, NamedTuple

from binome.drivers.files import Interrupted
from binome.drivers.restore.shared.acl import entries, number_of
from binome.drivers.restore.shared.archive import (
    MOST_NAME_BYTES,
    MOST_PART_BYTES,
    Kind,
    Member,
    Unsafe,
    UnsafeError,
    members,
)

MOST_LINKS = 40
"""How many links Linux follows in one name."""
LEFT_OUT = ("security.", "trusted.", "system.")
"""Attributes that belong to the machine that they were set on; labels of SELinux are the target's own to give."""
CAPABILITY = "security.capability"


class Allowance(StrEnum):
    """What is unpacked only where somebody asks for it."""

    LINKS = "links"  # symbolic links that lead out of the folder
    SETUID = "setuid"  # programs that run with the rights of their owner or group
    PIPES = "pipes"


class Quota(NamedTuple):
    """How much may come out at most: bytes as files are long, bytes that are stored, entries."""

    bytes: int
    stored: int
    entries: int


@dataclass(slots=True)
class Looked:
    """What was seen in an archive."""

    entries: int = 0
    stored: int = 0
    bytes: int = 0
    names: dict[str, Kind] = field(default_factory=dict)
    links: dict[str, str] = field(default_factory=dict)  # symbolic links, by name
    left_out: int = 0  # attributes that belong to a machine, rights of people whom this one does not know


def parts(member: Member) -> tuple[str, ...]:
    """The parts of a name below the folder; none for the folder itself. Raises UnsafeError."""
    name = member.name.removeprefix("./") or "."
    if "\0" in name:
        raise UnsafeError(Unsafe.BAD_NAME, member.name)
    if name.startswith("/"):
        raise UnsafeError(Unsafe.ABSOLUTE, member.name)
    found = () if name == "." and member.kind is Kind.FOLDER else tuple(name.split("/"))
    if ".." in found:
        raise UnsafeError(Unsafe.UPWARDS, member.name)
    sizes = [len(os.fsencode(one)) for one in found]
    bad = any(one in ("", ".") for one in found) or max(sizes, default=0) > MOST_PART_BYTES
    if bad or sum(sizes) + len(sizes) > MOST_NAME_BYTES:
        raise UnsafeError(Unsafe.BAD_NAME, member.name)
    return found


def look(
    archive: BinaryIO,
    quota: Quota,
    allowed: frozenset[Allowance] = frozenset(),
    *,
    folds: bool = False,
    stop: threading.Event | None = None,
) -> Looked:
    """Looks at every member. `folds`: the folder's file system does not tell upper case from lower.

    Raises UnsafeError for the first that is not allowed, OSError, and Interrupted once `stop` is set.
    """
    seen, folded = Looked(), set[str]()
    for one in members(archive):
        if stop is not None and stop.is_set():
            raise Interrupted
        name = "/".join(parts(one))
        seen.entries += 1
        seen.bytes += one.size
        seen.stored += one.stored
        if seen.entries > quota.entries:
            raise UnsafeError(Unsafe.TOO_MANY, one.name, f"{quota.entries}")
        if seen.bytes > quota.bytes or seen.stored > quota.stored:
            raise UnsafeError(Unsafe.TOO_MUCH, one.name, f"{min(quota.bytes, quota.stored)}")
        again = seen.names.get(name)
        if again is not None and (again, one.kind) != (Kind.FOLDER, Kind.FOLDER):
            raise UnsafeError(Unsafe.TWICE, one.name)
        if folds:
            _unfolded(name, one, again, folded)
        seen.names[name] = _kind(one, seen)
        _allowed(one, allowed, seen)
        if seen.names[name] is Kind.LINK:
            seen.links[name] = one.link if one.kind is Kind.LINK else seen.links[target_of(one)]
    _folders(seen)
    if Allowance.LINKS not in allowed:
        for name in seen.links:
            if _leads_out(name, seen.links):
                raise UnsafeError(Unsafe.LEADS_OUT, name, seen.links[name])
    return seen


def _unfolded(name: str, one: Member, again: Kind | None, folded: set[str]) -> None:
    key = unicodedata.normalize("NFC", name).casefold()
    if again is None and key in folded:
        raise UnsafeError(Unsafe.TWICE, one.name, "upper and lower case are the same there")
    folded.add(key)


def target_of(one: Member) -> str:
    """The name that a hard link is to, as the members have theirs."""
    return one.link.removeprefix("./")


def _kind(one: Member, seen: Looked) -> Kind:
    """What a member becomes: a hard link is what it is linked to."""
    if one.kind is not Kind.HARD_LINK:
        return one.kind
    target = seen.names.get(target_of(one))
    if target not in (Kind.FILE, Kind.LINK):
        raise UnsafeError(Unsafe.NO_TARGET, one.name, one.link)
    return target


def _allowed(one: Member, allowed: frozenset[Allowance], seen: Looked) -> None:
    if one.kind in (Kind.BLOCKS, Kind.CHARACTERS):
        raise UnsafeError(Unsafe.DEVICE, one.name)
    if one.kind is Kind.PIPE and Allowance.PIPES not in allowed:
        raise UnsafeError(Unsafe.PIPE, one.name)
    rights = one.kind is not Kind.LINK and one.mode & 0o6000
    if (rights or CAPABILITY in one.attributes) and Allowance.SETUID not in allowed:
        raise UnsafeError(Unsafe.PRIVILEGED, one.name)
    if one.kind is Kind.LINK and (not one.link or "\0" in one.link or len(os.fsencode(one.link)) > MOST_NAME_BYTES):
        raise UnsafeError(Unsafe.BAD_NAME, one.name, "it leads to no name")
    for text in (one.access, one.default):
        seen.left_out += sum(number_of(each) is None for each in entries(text, one.name))
    seen.left_out += sum(name.startswith(LEFT_OUT) and name != CAPABILITY for name in one.attributes)


def _folders(seen: Looked) -> None:
    """Whatever a name leads through is a folder, wherever in the archive that is said."""
    through: set[str] = set()
    for name in seen.names:
        above = name.rpartition("/")[0]
        while above and above not in through:
            if seen.names.get(above, Kind.FOLDER) is not Kind.FOLDER:
                raise UnsafeError(Unsafe.THROUGH, name, above)
            through.add(above)
            above = above.rpartition("/")[0]
    if seen.names.get("", Kind.FOLDER) is not Kind.FOLDER:
        raise UnsafeError(Unsafe.BAD_NAME, "")


def _leads_out(name: str, links: dict[str, str]) -> bool:
    """Whether a link leads out of the folder, be it by way of others: part by part, as the kernel goes."""
    if links[name].startswith("/"):
        return True
    here, ahead, followed = name.split("/")[:-1], links[name].split("/")[::-1], 0
    while ahead:
        part = ahead.pop()
        if part == ".." and not here:
            return True
        if part == "..":
            here.pop()
        elif part not in ("", "."):
            here.append(part)
            found = links.get("/".join(here))
            if found is None:
                continue
            followed += 1
            if found.startswith("/"):
                return True
            if followed > MOST_LINKS:
                return False  # the kernel follows it nowhere
            here.pop()
            ahead += found.split("/")[::-1]
    return False
