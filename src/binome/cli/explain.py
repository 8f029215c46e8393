"""`binome explain`: one thing that is looked at: who says what of it, what is agreed and why, what it takes down."""

from __future__ import annotations

import shutil
from typing import Annotated

import typer

from binome.cli.door import DOOR, AsJson, Door, said
from binome.cli.exits import Exit, print_json
from binome.cli.explain_text import explained_lines


def explain(
    target: Annotated[str, typer.Argument(help="A target, a service, a server, a site or another fault domain.")],
    door: Door = DOOR,
    as_json: AsJson = False,
) -> None:
    """Show what every vantage point says of a target, what is agreed, why, and what it would take down.

    Ends with 1 where not all of it is up.
    """
    report = said(door, {"do": "explain", "target": target})
    if as_json:
        print_json(report)
    else:
        print("\n".join(explained_lines(report, shutil.get_terminal_size((100, 40)).columns)))
    if report["up"] < report["of"]:
        raise typer.Exit(Exit.BAD_ANSWER)
