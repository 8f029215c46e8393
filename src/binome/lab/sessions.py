"""Sessions that are opened at every edge and then do nothing, as those of a pool of connections that last for hours.

A primary that is lost ends no session: it is silent. Who holds one waits for ever, unless the edge ends it. The
program opens some at each edge, and writes a line for each that is open, and one when it is ended from the other side.
"""

from __future__ import annotations

import asyncio
import json
import signal
import subprocess
import sys
import time
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any, NamedTuple

import psycopg

from binome.lab import lookouts
from binome.lab.clients import settings_for
from binome.lab.errors import LabError
from binome.lab.lab import Lab
from binome.lab.process import Program
from binome.lab.workload import DATABASE, ROLE, Edge, Settings

AT_EACH_EDGE = 10
_OPEN_WITHIN_S = 10
_NAME = "sessions"


class Ended(NamedTuple):
    """What became of the sessions at one edge: how many were open; when those that ended did, in monotonic seconds."""

    opened: int
    at_s: tuple[float, ...]


class Sessions:
    """Sessions of a lab's client; a context in which they are open."""

    def __init__(self, lab: Lab, label: str) -> None:
        self._lab = lab
        self._settings = settings_for(lab, f"{label}-{_NAME}", patience_s=_OPEN_WITHIN_S)
        self._process: subprocess.Popen[bytes] | None = None

    def start(self) -> None:
        """Opens them. Raises LabError where not all of them open."""
        path = self._lab.folder / f"{self._settings.name}.settings.json"
        self._settings.save(path)
        words = (sys.executable, "-m", "binome.lab.sessions", str(path))
        program = Program(words, environment=lookouts.environment())
        self._process = self._lab.spawn_client(program, f"{self._settings.name}.client.log")
        wanted = AT_EACH_EDGE * len(self._settings.edges)
        lacking = lambda: [] if sum(one.opened for one in self.ended().values()) >= wanted else ["sessions"]  # noqa: E731
        self._lab.wait_for(lacking, "the sessions", _OPEN_WITHIN_S)

    def stop(self) -> None:
        """Closes what is left."""
        if self._process is not None:
            self._process.send_signal(signal.SIGTERM)
            try:
                self._process.wait(_OPEN_WITHIN_S)
            except subprocess.TimeoutExpired:
                raise LabError("the sessions did not stop") from None
            self._process = None

    def ended(self) -> Mapping[str, Ended]:
        """What became of them until now, by edge."""
        lines = [json.loads(line) for line in _whole_lines(Path(self._settings.log))]
        return {
            edge.name: Ended(
                sum(one["edge"] == edge.name and one["state"] == "open" for one in lines),
                tuple(one["at_s"] for one in lines if one["edge"] == edge.name and one["state"] == "ended"),
            )
            for edge in self._settings.edges
        }


def longest(ended: Mapping[str, Ended], lost: frozenset[str], since_s: float) -> float | None:
    """How long after `since_s` the last session ended at an edge that is not `lost`, in seconds; None: not all did."""
    those = [one for edge, one in ended.items() if edge not in lost]
    if not those or any(len(one.at_s) < one.opened for one in those):
        return None
    return round(max(at_s for one in those for at_s in one.at_s) - since_s, 1)


def _whole_lines(path: Path) -> Iterator[str]:
    if path.exists():
        yield from (line for line in path.read_text().splitlines(keepends=True) if line.endswith("\n"))


class _Holder:
    """Holds the sessions, in the client's own process."""

    def __init__(self, settings: Settings) -> None:
        self._settings = settings
        self._log = Path(settings.log).open("a", buffering=1)  # noqa: SIM115 - for as long as the process
        self._held: list[Any] = []
        self.stopping = asyncio.Event()

    async def run(self) -> None:
        asyncio.get_running_loop().add_signal_handler(signal.SIGTERM, self.stopping.set)
        await asyncio.gather(*(self._open(edge) for edge in self._settings.edges for _ in range(AT_EACH_EDGE)))
        await self.stopping.wait()

    async def _open(self, edge: Edge) -> None:
        connection = await psycopg.AsyncConnection.connect(
            host=edge.address,
            port=self._settings.write_port,
            dbname=DATABASE,
            user=ROLE,
            password=self._settings.password,
            autocommit=True,
        )
        await connection.execute("SELECT 1")
        self._held.append(connection)
        self._say(edge, "open")
        loop, socket = asyncio.get_running_loop(), connection.fileno()

        def ended() -> None:  # nothing was asked: what comes is the end, in words or without
            loop.remove_reader(socket)
            self._say(edge, "ended")

        loop.add_reader(socket, ended)

    def _say(self, edge: Edge, state: str) -> None:
        self._log.write(json.dumps({"at_s": time.monotonic(), "edge": edge.name, "state": state}) + "\n")


if __name__ == "__main__":
    asyncio.run(_Holder(Settings.read(Path(sys.argv[1]))).run())
