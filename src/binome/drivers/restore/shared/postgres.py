"""Sessions of a PostgreSQL that something was restored into.

What runs there may be hostile: a dump can bring code. So an engine behind a socket is asked only if it is the user of
the place that listens there, whatever the path leads to: the kernel says who does.
"""

from __future__ import annotations

import os
import socket
import struct
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path

import psycopg

from binome.core.sources import Source
from binome.drivers.backup.shared.postgres import environment, session
from binome.drivers.restore.shared.commands import naming
from binome.ports_of_copies import Place, RestoreError, Unrestored

ANY = "postgres"
"""The database that every server has."""
_CREDENTIALS = struct.Struct("3i")


@asynccontextmanager
async def reading(place: Place, database: str) -> AsyncIterator[psycopg.AsyncConnection]:
    """A transaction in which everything is of one moment, read-only, under pinned settings. Raises RestoreError."""
    with naming():
        async with session(_source(place, seen=True), place.password, database) as connection:
            _is_of(place, connection)
            yield connection


@asynccontextmanager
async def writing(place: Place, database: str) -> AsyncIterator[psycopg.AsyncConnection]:
    """A session that may change things, each statement by itself. Raises RestoreError."""
    async with reading(place, database) as connection:
        await connection.execute("COMMIT")
        await connection.execute("SET default_transaction_read_only = off")
        yield connection


def of_tools(place: Place) -> dict[str, str]:
    """The environment by which PostgreSQL's tools, run in the place, find its engine."""
    return environment(_source(place, seen=False), place.password)


async def databases(place: Place) -> list[str]:
    """The databases that can be connected to. Raises RestoreError."""
    async with reading(place, ANY) as asking:
        found = await asking.execute("SELECT datname FROM pg_database WHERE datallowconn AND datname <> 'template1'")
        return sorted([name async for (name,) in found])


def _source(place: Place, *, seen: bool) -> Source:
    host = str(place.seen(Path(place.host))) if seen and place.host.startswith("/") else place.host
    return Source("", (), host=host, port=place.port, user=place.user)


def _is_of(place: Place, connection: psycopg.AsyncConnection) -> None:
    """Raises RestoreError where it is not the place's user that listens."""
    if place.uid is None:
        return
    with socket.socket(fileno=os.dup(connection.fileno())) as one:
        if one.family != socket.AF_UNIX:
            raise RestoreError(Unrestored.UNSAFE, "its engine is not behind a socket of the sandbox")
        _, uid, _ = _CREDENTIALS.unpack(one.getsockopt(socket.SOL_SOCKET, socket.SO_PEERCRED, _CREDENTIALS.size))
    if uid != place.uid:
        raise RestoreError(Unrestored.UNSAFE, f"its socket leads to a server of user {uid}")
