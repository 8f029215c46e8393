"""`binome maintenance`: a person holds a subject for a while, and Binôme keeps its hands off it."""

from __future__ import annotations

import getpass
import time
from datetime import UTC, datetime
from typing import Annotated

import typer
from pydantic import TypeAdapter, ValidationError

from binome.cli.door import DOOR, AsJson, Door, granted, said
from binome.cli.exits import Exit, fail, print_json
from binome.cli.lines import show
from binome.estate.scalars import Milliseconds

app = typer.Typer(help="Hold a subject for a while: Binôme keeps its hands off it.", no_args_is_help=True)

Subject = Annotated[str, typer.Argument(help="A server, service, site, domain, link or product of the estate.")]


@app.command()
def on(
    subject: Subject,
    for_: Annotated[str, typer.Option("--for", help="How long: 30m, 2h, 1d.")],
    why: Annotated[str, typer.Option(help="Why, in one line: your colleagues read it.")],
    door: Door = DOOR,
    as_json: AsJson = False,
) -> None:
    """Hold a subject. It ends by itself when the time is over."""
    try:
        duration_ms = TypeAdapter(Milliseconds).validate_python(for_)
    except ValidationError:
        fail(f"binome: --for {for_}: expected a duration such as 30m, 2h or 1d; nothing was done.", Exit.BAD_INPUT)
    until_ms = time.time_ns() // 1_000_000 + duration_ms
    who = getpass.getuser()
    granted(door, "maintenance-asked", as_json=as_json, subject=subject, until_ms=until_ms, why=why, who=who)
    if as_json:
        return
    until = datetime.fromtimestamp(until_ms / 1000, UTC).astimezone()
    show(f"{subject} is in maintenance until {until:%Y-%m-%d %H:%M:%S %Z}.  End it: binome maintenance off {subject}")


@app.command()
def off(subject: Subject, door: Door = DOOR, as_json: AsJson = False) -> None:
    """Release a subject now."""
    granted(door, "maintenance-end-asked", as_json=as_json, subject=subject, who=getpass.getuser())
    if not as_json:
        print(f"{subject} is released.")


@app.command("list")
def list_(
    door: Door = DOOR,
    as_json: AsJson = False,
) -> None:
    """Show what is held, until when and why."""
    plans = [plan for plan in said(door, {"do": "status"})["plans"] if plan["capability"] == "maintenance"]
    if as_json:
        print_json(plans)
        return
    for plan in plans:
        until = datetime.fromtimestamp(plan["until_ms"] / 1000, UTC).astimezone()
        show(f"{plan['subject']:<16} until {until:%Y-%m-%d %H:%M:%S %Z}   {plan['why']}")
    if not plans:
        print("Nothing is in maintenance.")
