"""What an agent needs to know of its estate, in a file: the agent itself has no room for the estate's model.

`binome run` checks the estate and writes it (cli/run.py); the agent reads nothing else.
"""

from __future__ import annotations

from pathlib import Path

import msgspec

from binome.runtime.accepted import write_whole


class Edge(msgspec.Struct, frozen=True):
    """An edge on this server: its runtime socket, and, by service, the HAProxy servers it sends that service to."""

    socket: str
    servers: dict[str, tuple[str, ...]]  # service → BACKEND/SERVER
    frontends: tuple[str, ...]


class Member(msgspec.Struct, frozen=True):
    """A member of a database on this server (drivers/database/patroni/member.py says what each is)."""

    data: str
    configuration: str
    host: str
    port: int
    sockets: str


class Agreement(msgspec.Struct, frozen=True):
    """A member of etcd on this server (drivers/database/patroni/agreement.py says what each is)."""

    configuration: str
    data: str
    clients: dict[str, str]
    peers: dict[str, str]
    tls: tuple[str, str, str] | None = None


class Settings(msgspec.Struct, frozen=True):
    """Everything that one agent knows. Folders and files are absolute."""

    estate: str
    server: str
    version: str
    model: dict[str, str]
    lookouts: dict[str, tuple[str, int]]  # name → address, port
    groups: tuple[tuple[str, ...], ...]  # of the lookouts (core/quorum.py)
    tls: str
    data: str
    renews: bool  # whether it renews its server's certificate: where no lookout beside it does
    edges: dict[str, Edge] = {}
    members: dict[str, Member] = {}
    agreements: dict[str, Agreement] = {}
    addresses: tuple[str, ...] = ()  # of the estate's other servers
    file: str = ""  # of the estate: what takes and proves copies reads it
    backups: dict[str, tuple[str, ...]] = {}  # backup → its vaults


def read(path: Path) -> Settings:
    """The settings in a file. Raises OSError, or ValueError where they are none."""
    return msgspec.json.decode(path.read_bytes(), type=Settings)


def write(path: Path, settings: Settings) -> None:
    """Puts them there. Raises OSError."""
    write_whole(path, msgspec.json.encode(settings))
