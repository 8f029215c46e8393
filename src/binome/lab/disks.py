"""Small disks of their own in a lab, so that one can be full while the machine's own is not.

A disk is a file system in memory, mounted where a server keeps something, before anything is started there:

    database     PostgreSQL's data folder, with its write-ahead log in it, as `binome render` puts it
    agreement    the data of the etcd member
    binome       all else in Binôme's data folder: the journal, the outbox, what the agent remembers

It is full where a file takes all that is left, again and again, as a log that grows without end would. What is in
memory does not outlive the mount: a disk is unmounted when the lab is taken down, and not before.
"""

from __future__ import annotations

import errno
import os
from collections.abc import Collection
from contextlib import suppress
from pathlib import Path
from typing import NamedTuple

from binome.lab import lookouts
from binome.lab.lab import Lab
from binome.lab.shell import run
from binome.render import Folders

SIZES_MIB = {"binome": 96, "database": 640, "agreement": 256}
"""By name; in the order in which they are mounted, since one is below another."""
_BELOW = {"binome": "", "database": "postgresql", "agreement": "etcd"}
_FILLER = "filler"
_CHUNK_BYTES = 1 << 20


class Disk(NamedTuple):
    """A disk of a server, by its name."""

    server: str
    name: str


def folder(lab: Lab, disk: Disk) -> Path:
    """Where a disk is mounted."""
    return Path(Folders(str(lab.root(disk.server))).data) / _BELOW[disk.name]


def small(lab: Lab, names: Collection[str]) -> set[Disk]:
    """The disks of these names, on every server that has a use for them."""
    estate, kinds = lab.estate, {"database": "postgresql", "agreement": "etcd"}
    users = {
        name: {server for one in estate.services.values() if one.kind == kind for server in one.on}
        for name, kind in kinds.items()
    }
    users["binome"] = set(lookouts.names(estate))
    return {Disk(server, name) for name in names for server in users[name]}


def mount(lab: Lab, disks: Collection[Disk]) -> None:
    """Mounts disks in a lab that is claimed and not built. Raises LabError where that cannot be done."""
    for disk in sorted(disks, key=lambda one: list(SIZES_MIB).index(one.name)):
        place = folder(lab, disk)
        place.mkdir(parents=True, exist_ok=True)
        mode = "0700" if _BELOW[disk.name] else "0755"  # PostgreSQL takes no other for its own
        size = f"size={SIZES_MIB[disk.name]}m,mode={mode}"
        run("mount", "-t", "tmpfs", "-o", size, "binome-disk", str(place))


def fill(lab: Lab, disk: Disk) -> int:
    """Takes all that is left on a disk; how many bytes that was."""
    taken = 0
    with (folder(lab, disk) / _FILLER).open("ab") as filler:
        chunk = _CHUNK_BYTES
        while chunk >= 1:
            try:
                taken += os.write(filler.fileno(), bytes(chunk))
            except OSError as error:
                if error.errno != errno.ENOSPC:
                    raise
                chunk //= 2
    return taken


def free(lab: Lab, disk: Disk) -> None:
    """Gives back what was taken."""
    with suppress(FileNotFoundError):
        (folder(lab, disk) / _FILLER).unlink()
