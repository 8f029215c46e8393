"""HAProxy's runtime socket: commands of checked words alone, and what HAProxy says of its servers and frontends.

Several commands go in one line, with `;` between them; an answer that is not empty is a complaint. So a word that could
end a command, or begin another one, never gets here: names are those of an estate, and nothing else.
"""

from __future__ import annotations

import asyncio
import re
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Literal, NamedTuple

ANSWER_WITHIN_S = 0.5
LARGEST_BYTES = 4_000_000
_NAME = re.compile(r"[a-z0-9](?:[a-z0-9-]*[a-z0-9])?")
_MAINT, _DRAIN = 0x01, 0x08  # of srv_admin_state: forced by the socket, as HAProxy's management guide numbers them

State = Literal["ready", "drain", "maint"]


class SocketError(Exception):
    """HAProxy's socket gave no answer, or another one than HAProxy's; what was asked for may have been done."""


class Server(NamedTuple):
    """What HAProxy says of one server of a backend."""

    state: State
    weight: int


def is_name(name: str) -> bool:
    """Whether this can be the name of a backend, a server or a frontend of a rendered edge."""
    return len(name) <= 63 and _NAME.fullmatch(name) is not None


async def say(path: Path, commands: Sequence[str]) -> str:
    """HAProxy's answer to these commands, one after the other. Raises SocketError."""
    try:
        async with asyncio.timeout(ANSWER_WITHIN_S):
            reader, writer = await asyncio.open_unix_connection(str(path), limit=LARGEST_BYTES)
            try:
                writer.write(f"{';'.join(commands)}\n".encode())
                answer = b""
                while part := await reader.read(65536):
                    answer += part
            finally:
                writer.transport.abort()
    except TimeoutError:
        raise SocketError(f"HAProxy gave no answer within {ANSWER_WITHIN_S:g} s") from None
    except OSError as error:
        raise SocketError(f"HAProxy's socket: {error.strerror or error}") from None
    return answer.decode(errors="replace")


async def servers(path: Path) -> Mapping[str, Server]:
    """Every server of every backend, by BACKEND/SERVER. Raises SocketError."""
    found = {}
    for line in (await say(path, ["show servers state"])).splitlines():
        words = line.split()
        if line.startswith("#") or len(words) < 8:
            continue
        admin = int(words[6])
        state: State = "maint" if admin & _MAINT else "drain" if admin & _DRAIN else "ready"
        found[f"{words[1]}/{words[3]}"] = Server(state, int(words[7]))
    return found


async def stopped_frontends(path: Path) -> Mapping[str, bool]:
    """Every frontend, and whether it takes no connections. Raises SocketError."""
    lines = (await say(path, ["show stat -1 1 -1"])).splitlines()
    columns = lines[0].lstrip("# ").split(",") if lines else []
    if "pxname" not in columns or "status" not in columns:
        raise SocketError("the socket's answer is none of HAProxy's")
    name, status = columns.index("pxname"), columns.index("status")
    rows = [line.split(",") for line in lines[1:] if line]
    return {row[name]: row[status] in ("PAUSED", "STOP") for row in rows}
