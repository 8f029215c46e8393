"""`binome status`: who leads, what is planned, what is wrong."""

from __future__ import annotations

from typing import Annotated, Any

import typer

from binome.cli.door import DOOR, Door, said
from binome.cli.exits import Exit, print_json
from binome.cli.journal_text import printable


def status(
    door: Door = DOOR,
    as_json: Annotated[bool, typer.Option("--json", help="As JSON.")] = False,
) -> None:
    """Show who leads, what is planned and what is wrong, as this server's Binôme knows it.

    Ends with 1 where nobody leads or something is wrong.
    """
    report = said(door, {"do": "status"})
    if as_json:
        print_json(report)
    else:
        known = f"generation {report['generation']}, {report['entries']:,} entries"
        here = "this server" if report["leads"] is not None else report["leader"] or "nobody yet"
        print(f"{report['server']}   lead: {here}, {known}")
        for problem in report["problems"]:
            print(f"wrong: {problem}")
        for peer in report.get("peers", ()):
            print(_peer_line(peer))
        for plan in report["plans"]:
            print(f"{plan['subject']:<16} {plan['capability']}, {plan['state']}   {plan['why']}")
        if not report["plans"]:
            print("Nothing is planned.")
    if report["problems"]:
        raise typer.Exit(Exit.BAD_ANSWER)


def _peer_line(peer: dict[str, Any]) -> str:
    """Another lookout: when it was last heard, or since when it is silent and why."""
    if not peer["silent"]:
        return f"{peer['peer']:<16} lookout, heard {peer['heard_ms']} ms ago"
    last = f"silent for {peer['silent_ms'] / 1000:.0f} s" + ("" if peer["heard_ms"] is not None else ", never heard")
    why = f" ({peer['why']})" if peer["why"] else ""
    return printable(f"{peer['peer']:<16} lookout, {last}{why}")
