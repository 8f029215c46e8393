"""The door to the Binôme that runs on this server: a question, an answer."""

from __future__ import annotations

import json
import socket
from pathlib import Path
from typing import Annotated, Any

import typer

from binome.cli.exits import Exit, fail
from binome.render import Folders

Door = Annotated[Path, typer.Option("--socket", help="The socket of `binome run` on this server.")]
DOOR = Path(Folders().run) / "binome.sock"


def said(door: Path, question: dict[str, Any]) -> dict[str, Any]:
    """What the running Binôme answers."""
    try:
        with socket.socket(socket.AF_UNIX) as connection, connection.makefile("rwb") as lines:
            connection.settimeout(15)
            connection.connect(str(door))
            lines.write(json.dumps(question).encode() + b"\n")
            lines.flush()
            answer: dict[str, Any] = json.loads(lines.readline())
    except TimeoutError:
        fail(f"binome: {door}: no answer within 15 s", Exit.UNKNOWN)
    except (OSError, ValueError) as error:
        reason = getattr(error, "strerror", None) or "no answer"
        fail(f"binome: {door}: {reason}.  Is `binome run` running here, and are you root?", Exit.ENVIRONMENT)
    if "error" in answer:
        fail(f"binome: {answer['error']}", Exit.BAD_INPUT)
    return answer
