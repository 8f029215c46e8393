"""What a lab writes down of itself, so that it can be found again, and taken down whatever happened to its starter."""

from __future__ import annotations

import json
import shutil
from dataclasses import dataclass, field
from pathlib import Path

from binome.lab import cgroup, network
from binome.lab.errors import LabError
from binome.lab.shell import run

FOLDER = Path("/var/lib/binome-lab")


@dataclass(slots=True)
class State:
    """What is written down: enough to find the lab again, and to take it down."""

    estate: str
    namespaces: list[str]
    unmount: bool  # the mount of all network namespaces is ours to remove
    sites: dict[str, str] = field(default_factory=dict)  # site → up, cut, burned, rebuilding
    wiped: list[str] = field(default_factory=list)  # servers whose data is gone
    secrets: dict[str, str] = field(default_factory=dict)

    def save(self, folder: Path) -> None:
        temporary = folder / "state.json.new"
        temporary.touch(mode=0o600)
        temporary.write_text(json.dumps({name: getattr(self, name) for name in self.__slots__}, indent=1))
        temporary.replace(folder / "state.json")

    @classmethod
    def read(cls, folder: Path) -> State | None:
        try:
            return cls(**json.loads((folder / "state.json").read_text()))
        except FileNotFoundError:
            return None
        except (ValueError, TypeError):
            raise LabError(f"{folder}/state.json is damaged.  Take the lab down: binome lab down") from None


def unmount_below(folder: Path) -> None:
    """Unmounts the small disks of a lab, the innermost first."""
    mounts = [line.split(" ")[1] for line in Path("/proc/self/mounts").read_text().splitlines()]
    for place in sorted((one for one in mounts if one.startswith(f"{folder}/")), reverse=True):
        run("umount", place)


def tear_down(folder: Path = FOLDER) -> bool:
    """Ends and removes all that belongs to the lab in `folder`; whether there was one. Safe to call at any time."""
    if not folder.exists():
        return False
    try:
        state = State.read(folder)
    except LabError:
        state = None
    # A folder without a list of names was left before anything was made, or is damaged: then we go by the prefix.
    namespaces, unmount = (state.namespaces, state.unmount) if state else (network.ours(), False)
    cgroup.destroy()
    network.destroy(namespaces, unmount=unmount)
    unmount_below(folder)
    shutil.rmtree(folder)
    return True
