"""`binome status`: the estate at a glance, once or again and again."""

from __future__ import annotations

import shutil
import sys
import time
from typing import Annotated, Any, NoReturn

import typer

from binome.cli.door import DOOR, Door, DoorError, asked, said
from binome.cli.exits import Exit, json_text, print_json
from binome.cli.journal_text import printable
from binome.cli.status_text import status_lines

EVERY_S = 1.0
_ALONE, _BACK = "\x1b[?1049h\x1b[?25l", "\x1b[?25h\x1b[?1049l"
"""A screen of our own without a cursor, and back to the one before with all that stood on it."""
_HOME, _REST, _BELOW = "\x1b[H", "\x1b[K", "\x1b[J"


def status(
    door: Door = DOOR,
    watch: Annotated[bool, typer.Option("--watch", help="Show it anew each second, until Ctrl-C.")] = False,
    as_json: Annotated[bool, typer.Option("--json", help="As JSON; with --watch one line a second.")] = False,
) -> None:
    """Show the estate at a glance: what is down and why, what is alone, who leads, which products are hit.

    Ends with 1 where anything is wrong: a cause, something alone, nobody leads, a problem of this lookout, a plan that
    needs a person.
    """
    if watch:
        _watch(door, as_json=as_json)
    report = said(door, {"do": "status"})
    if as_json:
        print_json(report)
    else:
        print("\n".join(status_lines(report, shutil.get_terminal_size((100, 40)).columns)))
    if not report["good"]:
        raise typer.Exit(Exit.BAD_ANSWER)


def _watch(door: Door, *, as_json: bool) -> NoReturn:
    """Shows the status until it is interrupted. A door that is shut meanwhile is said, and knocked at again."""
    screen = sys.stdout.isatty() and not as_json
    try:
        if screen:
            sys.stdout.write(_ALONE)
        while True:
            report, problem = _now(door)
            if as_json:
                print(json_text(report if report is not None else {"error": problem}, indent=None), flush=True)
            else:
                _draw(report, problem, screen=screen)
            time.sleep(EVERY_S)
    finally:
        if screen:
            sys.stdout.write(_BACK)
            sys.stdout.flush()


def _now(door: Door) -> tuple[dict[str, Any] | None, str]:
    try:
        return asked(door, {"do": "status"}), ""
    except DoorError as error:
        return None, printable(str(error))


def _draw(report: dict[str, Any] | None, problem: str, *, screen: bool) -> None:
    """Draws the whole screen anew; what does not fit below is counted. Without a screen, one text after the other."""
    columns, rows = shutil.get_terminal_size((100, 40))
    lines = status_lines(report, columns) if report is not None else [problem[:columns]]
    if not screen:
        print("\n".join([*lines, ""]), flush=True)
        return
    if len(lines) > rows:
        lines[rows - 1 :] = [f"… {len(lines) - rows + 1} more lines: binome status"]
    sys.stdout.write(_HOME + "\r\n".join(f"{line}{_REST}" for line in lines) + _BELOW)
    sys.stdout.flush()
