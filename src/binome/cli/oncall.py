"""`binome oncall`: who is on call, until when, who is next, and in which order people are asked."""

from __future__ import annotations

import os
import re
import sys
import time
from collections.abc import Callable
from datetime import datetime
from pathlib import Path
from typing import Annotated
from zoneinfo import ZoneInfo, ZoneInfoNotFoundError

import typer

from binome.cli.door import DOOR, Door, DoorError, asked
from binome.cli.exits import Exit, fail, print_json, read_estate
from binome.cli.journal_text import printable
from binome.cli.lines import wrapped
from binome.core import oncall
from binome.core.oncall import Turn, Why
from binome.render import Folders

ON_A_SERVER = Path(Folders().configuration) / "estate.yaml"
_AT = re.compile(r"[0-9]{4}-[0-9]{2}-[0-9]{2}([ T][0-9]{2}:[0-9]{2}(:[0-9]{2})?)?")


def show(
    estate: Annotated[
        Path | None, typer.Argument(help="The estate file; else estate.yaml here, or the server's.")
    ] = None,
    at: Annotated[str, typer.Option("--at", help='A moment such as "2026-12-24 18:00", by the rota\'s clock.')] = "",
    as_json: Annotated[bool, typer.Option("--json", help="As JSON.")] = False,
    door: Door = DOOR,
) -> None:
    """Show who is on call, until when, who is next, and in which order people are asked.

    Ends with 1 where the rota names nobody, 2 for a moment or a zone that there is not.
    """
    here = Path("estate.yaml")
    people = read_estate(estate or (here if here.exists() else ON_A_SERVER), as_json=as_json).people
    zone = zone_of(people.rota.zone)
    at_ms = _moment_ms(at, zone) if at else time.time_ns() // 1_000_000
    try:
        answer = oncall.on_call(people, zone, at_ms, _asked(door))
    except ValueError as error:
        fail(f"binome: --at: {error}.", Exit.BAD_INPUT)
    if as_json:
        turns = {"now": answer.now, "next": answer.next}
        print_json(
            {
                "zone": people.rota.zone,
                **{name: _as_json(turn, zone) if turn else None for name, turn in turns.items()},
                "order": list(answer.order),
            }
        )
    else:
        for line in lines(answer, lambda at_ms: f"{oncall.clock(at_ms, zone):%a %Y-%m-%d %H:%M %Z}"):
            print(line)
    if answer.now.why in (Why.HOLE, Why.NOBODY):
        raise typer.Exit(Exit.BAD_ANSWER)


def _asked(door: Path) -> list[oncall.Override]:
    """The overrides that people asked for, where Binôme runs here and may be asked.

    A run that was killed leaves its socket: the file still says who is on call, and that more is not known is said.
    """
    if not os.access(door, os.W_OK):
        return []
    try:
        overrides = asked(door, {"do": "incidents"})["overrides"]
    except DoorError as error:
        if error.code is not Exit.ENVIRONMENT or not isinstance(error.__cause__, OSError):
            fail(printable(str(error)), error.code)
        words = f"binome: {door}: nobody answers; who took a turn by `binome override` is not known here."
        print(printable(words), file=sys.stderr)
        return []
    return [oncall.Override(one["who"], one["from_ms"], one["until_ms"]) for one in overrides]


def lines(answer: oncall.OnCall, shown: Callable[[int], str]) -> list[str]:
    """The answer in lines; `shown` writes a moment."""
    now = answer.now
    until = "always" if now.until_ms is None else f"until {shown(now.until_ms)}"
    told = wrapped("on call   ", f"{', '.join(now.who) or 'nobody'}, {until}{_because(now)}")
    if answer.next is not None:
        following = f"{', '.join(answer.next.who)}, from {shown(answer.next.from_ms)}{_because(answer.next)}"
        told += wrapped("next      ", following)
    return [*told, *wrapped("asked     ", ", then ".join(answer.order) or "nobody")]


def zone_of(name: str) -> ZoneInfo:
    """The zone of that name; ends the command where there is none."""
    try:
        return ZoneInfo(name)
    except (ZoneInfoNotFoundError, ValueError, OSError):
        fail(f"binome: people.rota.zone: no time zone {name} is known here.", Exit.BAD_INPUT)


def _because(turn: Turn) -> str:
    return "" if turn.why is Why.TURN else f"   ({turn.why.value})"


def _moment_ms(text: str, zone: ZoneInfo) -> int:
    try:
        local = datetime.fromisoformat(text if _AT.fullmatch(text) else "")
        return oncall.when(local, zone)
    except (ValueError, OverflowError):
        fail('binome: --at: expected a moment such as "2026-12-24 18:00".', Exit.BAD_INPUT)


def _as_json(turn: Turn, zone: ZoneInfo) -> dict[str, object]:
    until = None if turn.until_ms is None else oncall.clock(turn.until_ms, zone).isoformat()
    return {
        "who": list(turn.who),
        "why": turn.why.value,
        "from": oncall.clock(turn.from_ms, zone).isoformat(),
        "until": until,
    }
