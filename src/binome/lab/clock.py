"""Clocks of their own for the lookouts of a lab, which otherwise all have the machine's.

`libfaketime` stands between a program and the kernel: what it answers to "what time is it" is the machine's time and
what a file says besides, such as +600 (seconds), or +0 x1.1 (it runs too fast). The clock by which programs wait, which
no kernel lets jump, is left alone. The file is read anew each second.
"""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

from binome.lab import lookouts
from binome.lab.errors import LabError
from binome.lab.lab import Lab

RIGHT = "+0"


def give(lab: Lab) -> None:
    """Gives each lookout of a lab, claimed and not built, a clock of its own. Raises LabError without the means."""
    library = _library()
    for server in lookouts.names(lab.estate):
        lab.root(server).mkdir(parents=True, exist_ok=True)
        turn(lab, server, RIGHT)
        lab.clocks[server] = _environment(library, _file(lab, server))


def turn(lab: Lab, server: str, offset: str) -> None:
    """Sets a lookout's clock, beside the machine's: +600, -600, +0 x1.1."""
    file = _file(lab, server)
    new = file.with_suffix(".new")
    new.write_text(f"{offset}\n")
    new.replace(file)  # who reads it meanwhile reads all of it


def _file(lab: Lab, server: str) -> Path:
    return lab.root(server) / "clock"


def _environment(library: Path, file: Path) -> Mapping[str, str]:
    return {
        "LD_PRELOAD": str(library),
        "FAKETIME_TIMESTAMP_FILE": str(file),
        "FAKETIME_CACHE_DURATION": "1",
        "FAKETIME_DONT_FAKE_MONOTONIC": "1",
        "DONT_FAKE_MONOTONIC": "1",  # its name in older versions
    }


def _library() -> Path:
    found = sorted(Path("/usr/lib").glob("*/faketime/libfaketime.so.1"))
    if not found:
        raise LabError("libfaketime is not installed.  `make lab-matrix` installs it.")
    return found[0]
