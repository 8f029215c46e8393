"""`binome maintenance`: a person holds a subject for a while, and Binôme keeps its hands off it."""

from __future__ import annotations

import getpass
import json
import secrets
import socket
import time
from datetime import UTC, datetime
from pathlib import Path
from typing import Annotated, Any

import typer
from pydantic import TypeAdapter, ValidationError

from binome.cli.exits import Exit, fail, print_json
from binome.core.maintenance import GRANTED
from binome.estate.scalars import Milliseconds
from binome.render import Folders

app = typer.Typer(help="Hold a subject for a while: Binôme keeps its hands off it.", no_args_is_help=True)

Subject = Annotated[str, typer.Argument(help="A server, service, site, domain, link or product of the estate.")]
Door = Annotated[Path, typer.Option("--socket", help="The socket of `binome run` on this server.")]
_DOOR = Path(Folders().run) / "binome.sock"


@app.command()
def on(
    subject: Subject,
    for_: Annotated[str, typer.Option("--for", help="How long: 30m, 2h, 1d.")],
    why: Annotated[str, typer.Option(help="Why, in one line: your colleagues read it.")],
    door: Door = _DOOR,
) -> None:
    """Hold a subject. It ends by itself when the time is over."""
    try:
        duration_ms = TypeAdapter(Milliseconds).validate_python(for_)
    except ValidationError:
        fail(f"binome: --for {for_}: expected a duration such as 30m, 2h or 1d; nothing was done.", Exit.BAD_INPUT)
    until_ms = time.time_ns() // 1_000_000 + duration_ms
    request = _request()
    fact = {"kind": "maintenance-asked", "request": request, "subject": subject, "until_ms": until_ms, "why": why}
    _ask(door, request, fact | {"who": getpass.getuser()})
    until = datetime.fromtimestamp(until_ms / 1000, UTC).astimezone()
    print(f"{subject} is in maintenance until {until:%Y-%m-%d %H:%M:%S %Z}.  End it: binome maintenance off {subject}")


@app.command()
def off(subject: Subject, door: Door = _DOOR) -> None:
    """Release a subject now."""
    request = _request()
    fact = {"kind": "maintenance-end-asked", "request": request, "subject": subject, "who": getpass.getuser()}
    _ask(door, request, fact)
    print(f"{subject} is released.")


@app.command("list")
def list_(
    door: Door = _DOOR,
    as_json: Annotated[bool, typer.Option("--json", help="As JSON.")] = False,
) -> None:
    """Show what is held, until when and why."""
    plans = [plan for plan in _said(door, {"do": "status"})["plans"] if plan["capability"] == "maintenance"]
    if as_json:
        print_json(plans)
        return
    for plan in plans:
        until = datetime.fromtimestamp(plan["until_ms"] / 1000, UTC).astimezone()
        print(f"{plan['subject']:<16} until {until:%Y-%m-%d %H:%M:%S %Z}   {plan['why']}")
    if not plans:
        print("Nothing is in maintenance.")


def _request() -> str:
    """An id that no other request has, and that sorts by time."""
    return f"{time.time_ns() // 1_000_000}-{secrets.token_hex(4)}"


def _ask(door: Path, request: str, fact: dict[str, Any]) -> None:
    """Hands in a request; ends the command unless it was granted."""
    said = _said(door, {"do": "ask", "request": request, "fact": fact})
    if "unknown" in said:
        fail(f"binome: unknown whether it was done: {said['unknown']}", Exit.UNKNOWN)
    if said["answer"] != GRANTED:
        fail(f"binome: refused: {said['answer']}; nothing was done.", Exit.BAD_ANSWER)


def _said(door: Path, question: dict[str, Any]) -> dict[str, Any]:
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
