"""`binome takeover` and `binome switchover`: a person moves a database."""

from __future__ import annotations

import getpass
import sys
from typing import Annotated

import typer

from binome.cli.door import DOOR, AsJson, Door, granted
from binome.cli.exits import Exit, fail

Service = Annotated[str, typer.Argument(help="A database of the estate.")]
Yes = Annotated[bool, typer.Option("--yes", help="Do not ask for the name once more; for scripts.")]


def takeover(
    service: Service,
    code: Annotated[str, typer.Option(help="The code of the page that asked for it.")] = "",
    yes: Yes = False,
    door: Door = DOOR,
    as_json: AsJson = False,
) -> None:
    """Take over a database whose primary is lost, on your word. It is refused where no standby has every write."""
    _confirmed(service, "is taken over: its standby becomes primary", yes=yes)
    granted(door, "takeover-asked", as_json=as_json, service=service, who=getpass.getuser(), code=code)
    if not as_json:
        print(f"{service} is taken over.")


def switchover(
    service: Service,
    to: Annotated[str, typer.Option(help="The server to move to; by default any that has every write.")] = "",
    yes: Yes = False,
    door: Door = DOOR,
    as_json: AsJson = False,
) -> None:
    """Move a healthy database to another of its members; a failback is one too."""
    _confirmed(service, f"moves{f' to {to}' if to else ''}: writes stop for some seconds", yes=yes)
    granted(door, "switchover-asked", as_json=as_json, service=service, to=to, who=getpass.getuser())
    if not as_json:
        print(f"{service} has moved.")


def _confirmed(service: str, what: str, *, yes: bool) -> None:
    """Goes on where the person types the service's name; ends the command where not."""
    if yes:
        return
    print(f"{service} {what}.  Its name, to go on: ", end="", file=sys.stderr, flush=True)
    if sys.stdin.readline().strip() != service:
        fail("binome: that is not its name; nothing was done.  For scripts: --yes", Exit.BAD_INPUT)
