"""`binome lab soak`: an hour of load without a fault, in which nothing may move."""

from __future__ import annotations

import json
from functools import partial
from pathlib import Path
from typing import Annotated

import typer
from pydantic import TypeAdapter, ValidationError

from binome.cli.demo import LITTORAL
from binome.cli.exits import Exit, fail, print_json, read_estate
from binome.cli.lab import LOGS, lab_errors
from binome.estate import EstateError, load
from binome.estate.problem import shown
from binome.estate.scalars import Milliseconds
from binome.lab.clients import ways_in
from binome.lab.errors import LabError
from binome.lab.guard import passing_lab
from binome.lab.report import check_writable, write_whole
from binome.lab.soak import Soak, Soaked, summary_lines, with_act_after


def soak(
    file: Annotated[Path, typer.Argument(metavar="[ESTATE]", help="The estate file; littoral by default.")] = LITTORAL,
    minutes: Annotated[float, typer.Option(help="How long nothing may move.", min=0.1)] = 30,
    act_after: Annotated[
        str, typer.Option(help="Instead of the estate's act_after: 350ms, 2s.", metavar="DURATION")
    ] = "",
    report: Annotated[Path, typer.Option(help="The file for the report.")] = Path("soak.json"),
    as_json: Annotated[
        bool, typer.Option("--json", help="The report as JSON, and nothing else, on standard output.")
    ] = False,
) -> None:
    """Build the estate here, put it under load, let it be, and see that nothing moves.

    Ends with 0 only if no verdict, no role, no leader and nothing else moved, and nothing acknowledged was lost.
    """
    read_estate(file)
    text = file.read_bytes()
    if act_after:
        text = _with_act_after(file, text, act_after)
    say = partial(typer.echo, err=as_json)
    with lab_errors():
        ways_in(load(text))
        check_writable(report.absolute().parent)
        with passing_lab(text, say=say, salvage=LOGS) as lab:
            found = Soak(lab, say).run(minutes)
            if not found.good:
                lab.keep_evidence(LOGS, engines=True)
        _write(found, report)
    if as_json:
        print_json(found.as_json())
    else:
        print("", *summary_lines(found), f"\nThe report: {report}", sep="\n")
        print("" if found.good else f"The logs: {LOGS}\n", end="")
    raise typer.Exit(Exit.GOOD if found.good else Exit.BAD_ANSWER)


def _with_act_after(file: Path, text: bytes, words: str) -> bytes:
    try:
        TypeAdapter(Milliseconds).validate_python(words)
    except ValidationError:
        fail(f"binome: --act-after {shown(words)}: expected a duration such as 350ms or 2s.", Exit.BAD_INPUT)
    changed = with_act_after(text, words)
    if changed is None:
        fail(f"binome: --act-after: no database of {file} has act_after; nothing was done.", Exit.BAD_INPUT)
    try:
        load(changed)
    except EstateError as error:
        fail(f"binome: --act-after {words}: {error.problems[0]}; nothing was done.", Exit.BAD_INPUT)
    return changed


def _write(found: Soaked, report: Path) -> None:
    try:
        write_whole(report, json.dumps(found.as_json(), indent=2, ensure_ascii=False) + "\n")
    except OSError as error:
        raise LabError(f"the report cannot be written to {report}: {error.strerror}.  Free some space.") from None
