"""The lookouts of a lab: `binome run` on each server that looks out, and what their journals tell.

They run as they would on real servers, with the code that runs the lab, each in its own server's network and files.
"""

from __future__ import annotations

import json
import os
import socket
import sys
from collections.abc import Iterator, Mapping
from contextlib import suppress
from pathlib import Path
from typing import Any, NamedTuple

import apsw

import binome
from binome.core.entry import Entry, Fact
from binome.core.state import VOCABULARY
from binome.estate import Estate
from binome.estate.model import EtcdService
from binome.journal.sqlite import SqliteReader
from binome.lab.process import Program
from binome.ports import StoreError
from binome.render import Folders

ANSWER_S = 2.0


def names(estate: Estate) -> tuple[str, ...]:
    """The servers that look out; none where they would have nothing to agree through."""
    if estate.lookout is None:
        return ()
    agreement = any(isinstance(service, EtcdService) for service in estate.services.values())
    return estate.lookout.on if agreement or len(estate.lookout.on) == 1 else ()


def agents(estate: Estate) -> tuple[str, ...]:
    """The servers on which `binome run` is an agent and nothing else."""
    lookouts = names(estate)
    return tuple(one for one in estate.servers if one not in lookouts) if len(lookouts) > 1 else ()


def program(estate: Path, server: str, root: Path, more: Mapping[str, str]) -> Program:
    """`binome run` on a server; `more` is what else stands in its environment."""
    run = command("run", str(estate), "--as", server, "--root", str(root))
    return Program(run, environment={**more, **environment()})


def command(*words: str) -> tuple[str, ...]:
    """One of `binome`'s commands as a program of its own; it needs `environment`."""
    return (sys.executable, "-m", "binome.cli.entry", *words)


def environment() -> dict[str, str]:
    """By which a command is found in the code that runs this, wherever the command is installed."""
    paths = [str(Path(binome.__file__).parents[1]), *filter(None, [os.environ.get("PYTHONPATH")])]
    return {"PYTHONPATH": os.pathsep.join(dict.fromkeys(paths))}


def door(root: Path) -> Path:
    """The socket at which a lookout is asked."""
    return Path(Folders(str(root)).run) / "binome.sock"


def said(root: Path) -> dict[str, Any] | None:
    """What a lookout says of itself at its door; None where it says nothing."""
    return asked(root, do="status")


def asked(root: Path, **question: str) -> dict[str, Any] | None:
    """What a lookout answers to a question at its door; None where it says nothing."""
    with suppress(OSError, ValueError), socket.socket(socket.AF_UNIX) as connection:
        connection.settimeout(ANSWER_S)
        connection.connect(str(door(root)))
        with connection.makefile("rwb") as lines:
            lines.write(json.dumps(question).encode() + b"\n")
            lines.flush()
            answer: dict[str, Any] = json.loads(lines.readline())
            return answer
    return None


def lacking(statuses: dict[str, dict[str, Any] | None]) -> list[str]:
    """What is missing until these lookouts work together: an answer, a leader, each other."""
    missing = [f"{name} (no answer)" for name, status in statuses.items() if status is None]
    answers = {name: status for name, status in statuses.items() if status is not None}
    if answers and not any(status["leads"] is not None for status in answers.values()):
        missing.append("a leader")
    for name, status in answers.items():
        silent = [peer["peer"] for peer in status["peers"] if peer["silent"] and peer["peer"] in statuses]
        missing += [f"{name} (does not hear {peer})" for peer in silent]
        if len(statuses) > 1 and not status["peers"]:
            missing.append(f"{name} (hears nobody yet)")
    return missing


def wanted_pages(root: Path) -> set[str]:
    """The notes in a lookout's outbox that want a page; none where it has no outbox that can be read."""
    found = set()
    with suppress(apsw.Error):
        connection = apsw.Connection(f"{Folders(str(root)).data}/outbox.sqlite", flags=apsw.SQLITE_OPEN_READONLY)
        for (note,) in connection.execute("SELECT note FROM note"):
            if b'"kind":"wanted"' in note:
                found.add(bytes(note).decode(errors="replace"))
        connection.close()
    return found


class Told(NamedTuple):
    """A fact of the journal, and when it was recorded: milliseconds since 1970 by the leader's clock."""

    entry: Entry
    fact: Fact


class Following:
    """Reads the journal of a lab as it grows, from whichever mirror has most of it."""

    def __init__(self, roots: dict[str, Path]) -> None:
        self._files = [Path(Folders(str(root)).data) / "journal.sqlite" for root in roots.values()]
        self._after = 0

    def grown(self) -> Iterator[Told]:
        """What was recorded since the last time. A mirror that cannot be read is passed over."""
        for file in self._files:
            with suppress(StoreError, OSError):
                reader = SqliteReader(file)
                try:
                    entries = reader.read(self._after)
                finally:
                    reader.close()
                for entry in entries:
                    self._after = entry.sequence
                    yield Told(entry, VOCABULARY.read(entry))
