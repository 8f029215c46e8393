"""`binome plan`: what Binôme is about to do, and the end of what it could not do by itself."""

from __future__ import annotations

import getpass
from typing import Annotated

import typer

from binome.cli.door import DOOR, AsJson, Door, granted, said
from binome.cli.exits import print_json
from binome.cli.lines import show

app = typer.Typer(help="See what is planned, and close what needs a person.", no_args_is_help=True)


@app.command("list")
def list_(door: Door = DOOR, as_json: AsJson = False) -> None:
    """Show the plans that have not ended, and what is wrong with them."""
    plans = said(door, {"do": "status"})["plans"]
    if as_json:
        print_json(plans)
        return
    for plan in plans:
        trouble = f"   {plan['trouble']}" if plan["trouble"] else ""
        show(f"{plan['plan']}   {plan['subject']}, {plan['state']}   {plan['why']}{trouble}")
    if not plans:
        print("Nothing is planned.")


@app.command()
def close(
    plan: Annotated[str, typer.Argument(help="The plan, as binome plan list names it.")],
    why: Annotated[str, typer.Option(help="What you found and did, in one line: your colleagues read it.")],
    door: Door = DOOR,
    as_json: AsJson = False,
) -> None:
    """End a plan that needs a person: you have looked after what it held. Its subject is free then."""
    granted(door, "plan-closed", as_json=as_json, plan=plan, who=getpass.getuser(), why=why)
    if not as_json:
        print(f"{plan} is closed.")
