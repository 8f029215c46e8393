"""Clients at work on a lab: started, read while they work, stopped, and judged."""

from __future__ import annotations

import signal
import subprocess
import sys
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

from binome.estate import Estate
from binome.estate.model import HaproxyService, HttpService
from binome.lab import record, workload
from binome.lab.engines import database_of
from binome.lab.errors import LabError
from binome.lab.lab import Lab
from binome.lab.process import Program
from binome.lab.record import Record
from binome.lab.workload import DATABASE, ROLE, TABLE, Edge, Settings

PATIENCES_S: Mapping[str, float] = {"patient": 1.0, "impatient": 0.25}


class Log:
    """A client's log, read as it grows."""

    def __init__(self, path: Path) -> None:
        self._path = path
        self._offset = 0
        self.records: list[Record] = []

    def grown(self) -> Sequence[Record]:
        """The records since the last call; `records` has them all."""
        if not self._path.exists():
            return []
        with self._path.open("rb") as file:
            file.seek(self._offset)
            text = file.read()
        text = text[: text.rfind(b"\n") + 1]
        self._offset += len(text)
        new = list(record.parse(text.splitlines(keepends=True), str(self._path)))
        self.records += new
        return new


class Clients:
    """Two clients of different patience, side by side; `prefix` tells their rows and logs from those of others."""

    def __init__(self, lab: Lab, prefix: str = "") -> None:
        self._lab = lab
        self._prefix = prefix
        self._processes: list[subprocess.Popen[bytes]] = []
        self._edges: tuple[str, ...] = ()
        self._turn = 0
        self.logs = {name: Log(lab.folder / f"{prefix}{name}.jsonl") for name in PATIENCES_S}

    def start(self) -> None:
        """Starts both clients outside of every site."""
        for name, patience_s in PATIENCES_S.items():
            settings = settings_for(self._lab, self._prefix + name, patience_s)
            if self._edges:
                edges = tuple(one for one in settings.edges if one.name in self._edges)
                settings = replace(settings, name=f"{settings.name}-{self._turn}", edges=edges)
            path = self._lab.folder / f"{settings.name}.settings.json"
            settings.save(path)
            program = Program((sys.executable, "-m", workload.__name__, str(path)))
            self._processes.append(self._lab.spawn_client(program, f"{settings.name}.client.log"))

    def lead_to(self, servers: Collection[str]) -> None:
        """The platform's name leads to these edges from now on: both clients begin anew there, in the same logs."""
        self.stop()
        self._edges, self._turn = tuple(servers), self._turn + 1
        self.start()

    def stop(self, timeout_s: float = 10) -> None:
        """Lets both clients end what they have begun. Raises LabError where one failed: its log proves nothing then."""
        for process in self._processes:
            process.send_signal(signal.SIGTERM)
        for process in self._processes:
            try:
                ended = process.wait(timeout_s)
            except subprocess.TimeoutExpired:
                raise LabError(f"a client did not stop within {timeout_s:g} s") from None
            if ended != 0:
                raise LabError(f"a client failed with exit {ended}; its log is {self._prefix}*.client.log")
        self._processes.clear()
        for log in self.logs.values():
            log.grown()

    def records(self) -> list[Record]:
        """Everything that both clients wrote down."""
        return [one for log in self.logs.values() for one in log.records]


def prepare_ledger(lab: Lab) -> None:
    """Makes the role, the database and the table that clients write to, on the primary, unless they are there."""
    service = lab.database()
    primary = lab.primary(service)
    if DATABASE in lab.run_sql(service, primary, "SELECT datname FROM pg_database").split():
        return
    lab.run_sql(service, primary, f"CREATE ROLE {ROLE} LOGIN PASSWORD '{lab.client_password()}'")
    lab.run_sql(service, primary, f"CREATE DATABASE {DATABASE} OWNER {ROLE}")
    lab.run_sql(service, primary, f"SET ROLE {ROLE}; {TABLE}", DATABASE)


def held_by(lab: Lab, server: str, prefix: str = "") -> set[str]:
    """The ids that a server's database holds, of those that begin with `prefix`."""
    sql = f"SELECT id FROM ledger WHERE id ^@ '{prefix}'"  # noqa: S608 - the lab's own words
    return set(lab.run_sql(lab.database(), server, sql, DATABASE).split())


@dataclass(frozen=True, slots=True)
class WaysIn:
    """How clients reach the platform: the edges, and the ports of its database and of one web service."""

    edges: tuple[Edge, ...]
    write_port: int
    read_port: int
    web_port: int
    edge: str  # the services by their names
    database: str
    web: str


def ways_in(estate: Estate) -> WaysIn:
    """The first service of kind haproxy that leads to the database and to a web service.

    Raises LabError where there is none: the clients need both.
    """
    database = database_of(estate)
    for edge, options in estate.services.items():
        if isinstance(options, HaproxyService) and database in options.routes:
            web = [name for name in options.routes if isinstance(estate.services[name], HttpService)]
            if web:
                edges = tuple(Edge(server, estate.servers[server].address or "") for server in options.on)
                write_port = options.routes[database]
                read_port = options.reads.get(database, write_port)
                return WaysIn(edges, write_port, read_port, options.routes[web[0]], edge, database, web[0])
    raise LabError(f"no service of kind haproxy has routes to {database} and to a web service; the clients need both.")


def settings_for(lab: Lab, name: str, patience_s: float) -> Settings:
    """What a client is told."""
    ways = ways_in(lab.estate)
    return Settings(
        name=name,
        log=str(lab.folder / f"{name}.jsonl"),
        edges=ways.edges,
        write_port=ways.write_port,
        read_port=ways.read_port,
        web_port=ways.web_port,
        password=lab.client_password(),
        patience_s=patience_s,
    )
