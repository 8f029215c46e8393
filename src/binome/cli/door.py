"""The door to the Binôme that runs on this server: a question, an answer."""

from __future__ import annotations

import json
import secrets
import socket
import time
from pathlib import Path
from typing import Annotated, Any

import typer

from binome.cli.exits import Exit, fail, print_json
from binome.cli.journal_text import printable
from binome.core.maintenance import GRANTED, Refused
from binome.core.takeover import Refused as NotMoved
from binome.render import Folders

Door = Annotated[Path, typer.Option("--socket", help="The socket of `binome run` on this server.")]
DOOR = Path(Folders().run) / "binome.sock"
AsJson = Annotated[bool, typer.Option("--json", help="As JSON.")]


ANSWER_S = 15.0


class DoorError(Exception):
    """No answer, or one that says no: in one line, with how the command ends."""

    def __init__(self, words: str, code: Exit) -> None:
        super().__init__(words)
        self.code = code


def said(door: Path, question: dict[str, Any], *, within_s: float = ANSWER_S) -> dict[str, Any]:
    """What the running Binôme answers; without an answer the command ends."""
    try:
        return asked(door, question, within_s=within_s)
    except DoorError as error:
        fail(printable(str(error)), error.code)


def asked(door: Path, question: dict[str, Any], *, within_s: float = ANSWER_S) -> dict[str, Any]:
    """What the running Binôme answers. Raises DoorError."""
    try:
        with socket.socket(socket.AF_UNIX) as connection, connection.makefile("rwb") as lines:
            connection.settimeout(within_s)
            connection.connect(str(door))
            lines.write(json.dumps(question).encode() + b"\n")
            lines.flush()
            answer: dict[str, Any] = json.loads(lines.readline())
    except TimeoutError as error:
        raise DoorError(f"binome: {door}: no answer within {within_s:g} s", Exit.UNKNOWN) from error
    except (OSError, ValueError) as error:
        reason = getattr(error, "strerror", None) or "no answer"
        words = f"binome: {door}: {reason}.  Is `binome run` running here, and are you root?"
        raise DoorError(words, Exit.ENVIRONMENT) from error
    if "error" in answer:
        raise DoorError(f"binome: {answer['error']}", Exit.BAD_INPUT)
    if "busy" in answer:
        raise DoorError(f"binome: {answer['busy']}.  Ask again.", Exit.ENVIRONMENT)
    return answer


def granted(door: Path, kind: str, *, as_json: bool, **values: Any) -> None:
    """Hands in a request; ends the command unless it was done. With `as_json` prints the answer, whatever it is.

    A `why` that says nothing is refused here, for every command that asks for one.
    """
    if not str(values.get("why", "said")).strip():
        fail("binome: --why: say why, in one line: your colleagues read it; nothing was done.", Exit.BAD_INPUT)
    request = f"{time.time_ns() // 1_000_000}-{secrets.token_hex(4)}"  # no other has it, and it sorts by time
    fact = {"kind": kind, "request": request, **values}
    answer = said(door, {"do": "ask", "request": request, "fact": fact})
    if as_json:
        print_json({"request": request, **answer})
    if "unknown" in answer:
        fail(printable(f"binome: unknown whether it was done: {answer['unknown']}"), Exit.UNKNOWN)
    if answer["answer"] != GRANTED:
        nothing = "; nothing was done" if answer["answer"] in {*Refused, *NotMoved} else ""
        fail(printable(f"binome: refused: {answer['answer']}{nothing}."), Exit.BAD_ANSWER)
