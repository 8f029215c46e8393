"""The client: writes, reads and fetches without pause, as a customer's program would, and writes down what it saw.

It knows both edges, as a name with two addresses would give them, and stays with one until that one fails it. Every
operation has two attempts, the second at the other edge; each attempt has the client's patience, connecting included.
A write is one row with an id of its own; its retry updates the row, because only a statement that writes WAL waits for
the standby (a retry that finds the row and does nothing would be acknowledged without being safe).

An attempt that runs out of patience is abandoned, not cancelled: cancelling needs the server that does not answer.
"""

from __future__ import annotations

import asyncio
import itertools
import json
import os
import signal
import socket
import sys
import time
from collections.abc import Awaitable, Callable
from contextlib import suppress
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Any, TypeVar

import psycopg

from binome.lab.record import Operation, Record, State

DATABASE = "ledger"
ROLE = "ledger"
TABLE = """\
CREATE TABLE ledger (
    id text PRIMARY KEY,
    attempt integer NOT NULL,
    written_at timestamptz NOT NULL DEFAULT clock_timestamp()
)"""
_WRITE = """\
INSERT INTO ledger (id, attempt) VALUES (%s, %s)
ON CONFLICT (id) DO UPDATE SET attempt = excluded.attempt
RETURNING host(inet_server_addr()), ('x' || left(pg_walfile_name(pg_current_wal_insert_lsn()), 8))::bit(32)::int"""
_READ = "SELECT host(inet_server_addr()) FROM (SELECT id FROM ledger LIMIT 1) AS any_row"

_NOTHING_DONE = frozenset({"25006", "57P03", "53300", "3D000", "28P01", "28000"})
"""SQLSTATEs by which a server says that it did not carry a statement out: read-only, starting, full, unknown to it."""

_T = TypeVar("_T")


@dataclass(frozen=True, slots=True)
class Edge:
    """One way in."""

    name: str
    address: str


@dataclass(frozen=True, slots=True)
class Settings:
    """What a client is told: where to go, how patient to be, how much to ask for."""

    name: str
    log: str
    edges: tuple[Edge, ...]
    write_port: int
    read_port: int
    web_port: int
    password: str
    patience_s: float
    writes_per_s: int = 100
    reads_per_s: int = 20
    fetches_per_s: int = 40
    workers: int = 4  # for each kind of operation

    def save(self, path: Path) -> None:
        """Writes the settings where `main` reads them, for root's eyes only: they hold a password."""
        path.touch(mode=0o600)
        path.write_text(json.dumps(asdict(self)))

    @classmethod
    def read(cls, path: Path) -> Settings:
        """The settings that `save` wrote."""
        plain = json.loads(path.read_text())
        return cls(**plain | {"edges": tuple(Edge(**edge) for edge in plain["edges"])})


def is_warning(notice: psycopg.errors.Diagnostic) -> bool:
    """Whether the server warns. A commit whose wait for the standby was cancelled is acknowledged, with a warning.

    That warning has no SQLSTATE of its own (01000), and its words depend on the server's language: any warning counts.
    """
    return notice.severity_nonlocalized == "WARNING"


class _NothingDoneError(Exception):
    """The attempt ended, and it is certain that nothing was done."""


class _UnknownError(Exception):
    """The attempt ended, and nobody can say here what was done."""


@dataclass(frozen=True, slots=True)
class _Answer:
    server: str = ""
    timeline: int = 0


class Client:
    """One client with its own log and patience."""

    def __init__(self, settings: Settings) -> None:
        self.settings = settings
        self.stopping = asyncio.Event()
        self._log = os.open(settings.log, os.O_WRONLY | os.O_CREAT | os.O_APPEND, 0o644)
        self._ids = itertools.count(1)
        self._abandoned: set[asyncio.Task[Any]] = set()

    async def run(self) -> None:
        """Works until `stopping` is set; operations that have begun are ended first."""
        rates: list[tuple[Operation, int]] = [
            ("write", self.settings.writes_per_s),
            ("read", self.settings.reads_per_s),
            ("web", self.settings.fetches_per_s),
        ]
        async with asyncio.TaskGroup() as group:
            for operation, rate in rates:
                for number in range(self.settings.workers):
                    period_s = self.settings.workers / rate
                    group.create_task(self._work(operation, period_s, number * period_s / self.settings.workers))
        os.close(self._log)

    async def _work(self, operation: Operation, period_s: float, offset_s: float) -> None:
        """One worker: an operation a period; when operations take longer, the next begins at once."""
        worker = _Worker(self, operation)
        due = time.monotonic() + offset_s
        while not await self._stopped_before(due):
            await worker.operate(f"{self.settings.name}-{next(self._ids)}")
            due = max(due + period_s, time.monotonic())
        worker.close()

    async def _stopped_before(self, due: float) -> bool:
        if self.stopping.is_set():  # asked first: a wait without time never sees it
            return True
        try:
            await asyncio.wait_for(self.stopping.wait(), max(due - time.monotonic(), 0))
        except TimeoutError:
            return False
        return True

    def write_down(self, record: Record) -> None:
        """Appends a record to the log, whole or not at all as far as the kernel can promise it."""
        os.write(self._log, record.line())

    async def patiently(self, work: Awaitable[_T], give_up: Callable[[], None] = lambda: None) -> _T:
        """The result of `work`, or _UnknownError when patience ends: after `give_up` nobody listens to it any more."""
        task = asyncio.ensure_future(work)
        done, _ = await asyncio.wait({task}, timeout=self.settings.patience_s)
        if done:
            return task.result()
        self._abandoned.add(task)
        task.add_done_callback(self._forget)
        give_up()
        raise _UnknownError("no answer in time")

    def _forget(self, task: asyncio.Task[Any]) -> None:
        self._abandoned.discard(task)
        if not task.cancelled():
            task.exception()  # looked at, so that asyncio does not complain


class _Worker:
    """Carries out operations of one kind, one at a time, over a connection that it keeps while it is good."""

    def __init__(self, client: Client, operation: Operation) -> None:
        self._client = client
        self._operation: Operation = operation
        self._attempt: Callable[[str, int, Edge], Awaitable[_Answer]] = {
            "write": self._write,
            "read": self._read,
            "web": self._fetch,
        }[operation]
        self._edge = 0
        self._turn = 0  # rises whenever the connection is dropped
        self._connection: psycopg.AsyncConnection[Any] | None = None
        self._warned = False
        self._asked = False  # the server may have begun to do what this attempt is for

    async def operate(self, operation_id: str) -> None:
        """One operation: an attempt, and a second one at the other edge if the first is not acknowledged."""
        for attempt in (1, 2):
            if await self._attempt_once(operation_id, attempt):
                return
            self.close()
            self._edge = (self._edge + 1) % len(self._client.settings.edges)

    async def _attempt_once(self, operation_id: str, attempt: int) -> bool:
        edge = self._client.settings.edges[self._edge]
        self._client.write_down(self._record(operation_id, attempt, edge))
        self._asked = False
        answer, error = _Answer(), ""
        state: State = "acknowledged"
        try:
            answer = await self._client.patiently(self._attempt(operation_id, attempt, edge), self.close)
        except _NothingDoneError as nothing:
            state, error = "failed", str(nothing)
        except Exception as problem:  # whatever it is: once asked, nobody can say here what was done
            state, error = "unknown" if self._asked else "failed", f"{type(problem).__name__}: {problem}"
        end = self._record(operation_id, attempt, edge)
        error = " ".join(error.split())[:200]
        self._client.write_down(replace(end, state=state, server=answer.server, timeline=answer.timeline, error=error))
        return state == "acknowledged"

    def _record(self, operation_id: str, attempt: int, edge: Edge) -> Record:
        return Record(round(time.monotonic(), 6), self._operation, operation_id, attempt, edge.name, "sent")

    def close(self) -> None:
        """Drops the connection at once, without a word to a server that may not answer."""
        self._turn += 1
        connection, self._connection = self._connection, None
        if connection is not None and not connection.closed:
            # Closing the descriptor under a statement that still waits would let another file take its number.
            with socket.socket(fileno=os.dup(connection.pgconn.socket)) as wire, suppress(OSError):
                wire.shutdown(socket.SHUT_RDWR)

    async def _write(self, operation_id: str, attempt: int, edge: Edge) -> _Answer:
        connection = await self._connected(edge, self._client.settings.write_port)
        self._warned = False
        row = await self._execute(connection, _WRITE, (operation_id, attempt))
        if self._warned:
            raise _UnknownError("acknowledged with a warning: the wait for the standby was cancelled")
        return _Answer(*row)

    async def _read(self, _operation_id: str, _attempt: int, edge: Edge) -> _Answer:
        connection = await self._connected(edge, self._client.settings.read_port)
        return _Answer(*await self._execute(connection, _READ, ()))

    async def _connected(self, edge: Edge, port: int) -> psycopg.AsyncConnection[Any]:
        if self._connection is not None:
            return self._connection
        turn = self._turn
        try:
            connection = await psycopg.AsyncConnection.connect(
                host=edge.address,
                port=port,
                dbname=DATABASE,
                user=ROLE,
                password=self._client.settings.password,
                application_name=self._client.settings.name,
                autocommit=True,
                connect_timeout=10,
            )
        except psycopg.Error as error:
            raise _NothingDoneError(f"no connection: {error}") from None
        if turn != self._turn:  # patience ended meanwhile, and the next attempt has begun
            await connection.close()
            raise _NothingDoneError("connected too late")
        connection.add_notice_handler(self._notice)
        self._connection = connection
        return connection

    async def _execute(self, connection: psycopg.AsyncConnection[Any], sql: str, values: tuple[Any, ...]) -> Any:
        self._asked = True
        try:
            row = await (await connection.execute(sql, values)).fetchone()
        except psycopg.Error as error:
            if error.sqlstate in _NOTHING_DONE:
                raise _NothingDoneError(str(error)) from None
            raise
        if row is None:
            raise _UnknownError("no row came back")
        return row

    def _notice(self, notice: psycopg.errors.Diagnostic) -> None:
        self._warned |= is_warning(notice)

    async def _fetch(self, _operation_id: str, _attempt: int, edge: Edge) -> _Answer:
        try:
            reader, writer = await asyncio.open_connection(edge.address, self._client.settings.web_port)
        except OSError as error:
            raise _NothingDoneError(f"no connection: {error}") from None
        self._asked = True
        try:
            writer.write(f"GET / HTTP/1.1\r\nHost: {edge.name}\r\nConnection: close\r\n\r\n".encode())
            answer = await reader.read(65536)
        finally:
            writer.transport.abort()
        status = answer.split(b"\r\n", 1)[0].decode(errors="replace")
        if " 200 " not in f"{status} ":
            raise _NothingDoneError(f"the edge answered {status or 'nothing'}")
        return _Answer()


async def _main(path: Path) -> None:
    client = Client(Settings.read(path))
    asyncio.get_running_loop().add_signal_handler(signal.SIGTERM, client.stopping.set)
    await client.run()


if __name__ == "__main__":
    asyncio.run(_main(Path(sys.argv[1])))
