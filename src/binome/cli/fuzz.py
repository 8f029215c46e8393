"""`binome lab fuzz`: faults by chance, also several at once, for as long as you like; what is promised must hold."""

from __future__ import annotations

import math
from functools import partial
from pathlib import Path
from typing import Annotated

import typer

from binome.cli.demo import LITTORAL
from binome.cli.exits import Exit, fail, print_json
from binome.cli.lab import LOGS, lab_errors
from binome.lab.fuzz import Held, run
from binome.lab.fuzz_plan import Episode, parse, planned, written

FUZZ_LOGS = LOGS / "fuzz"


def fuzz(
    seconds: Annotated[float, typer.Option(help="No episode begins after these.", min=1)] = 600,
    seed: Annotated[int, typer.Option(help="The same seed draws the same faults.", min=0)] = 1,
    schedule: Annotated[
        str, typer.Option(help="A file with episodes to play instead, each of them once.", metavar="FILE")
    ] = "",
    as_json: Annotated[bool, typer.Option("--json", help="As JSON, and nothing else, on standard output.")] = False,
) -> None:
    """Do faults drawn by chance to a lab under load, heal them, and see that what is promised holds; again and again.

    Ends with 0 only if no episode violated anything. One that did is kept with its schedule, which `--schedule` plays.
    """
    episodes = iter(_read(Path(schedule))) if schedule else planned(seed)
    lasts_s = math.inf if schedule else seconds
    say = partial(typer.echo, err=as_json)
    seen: list[Held] = []
    with lab_errors():
        for held in run(LITTORAL.read_bytes(), episodes, lasts_s, say, FUZZ_LOGS):
            seen.append(held)
            if held.amiss and held.episode.strikes:
                say(told(held))
    if as_json:
        print_json({"seed": None if schedule else seed, "episodes": [held.as_json() for held in seen]})
    violated = [held for held in seen if held.amiss]
    say(summary(seen))
    raise typer.Exit(Exit.BAD_ANSWER if violated or not seen else Exit.GOOD)


def _read(path: Path) -> list[Episode]:
    try:
        return parse(path.read_bytes())
    except (OSError, ValueError) as error:
        fail(f"binome: {path} cannot be played: {error}; nothing was done.", Exit.BAD_INPUT)


def told(held: Held) -> str:
    """A violation, with the schedule that plays it again."""
    name = held.episode.name
    lines = [f"{name}: {why}" for why in held.amiss]
    again = f"again: make lab-fuzz SCHEDULE={FUZZ_LOGS / name / 'schedule.json'}   (its logs are beside it)"
    return "\n".join([*lines, "the schedule:", written([held.episode]).rstrip(), again])


def summary(seen: list[Held]) -> str:
    """All episodes in a line."""
    acknowledged = sum(held.evidence.acknowledged for held in seen)
    faults = sum(len(held.struck) for held in seen)
    violated = [held.episode.name for held in seen if held.amiss]
    takeovers = sum(held.takeovers for held in seen)
    return (
        f"{len(seen)} episodes, {faults} faults, {acknowledged:,} writes acknowledged, {takeovers} takeovers, "
        f"{len(violated)} violations{': ' if violated else ''}{', '.join(violated)}"
    )
