"""`binome lab matrix`: the faults that are not clean, each with what must come of it."""

from __future__ import annotations

import json
import os
import platform
from datetime import UTC, datetime
from functools import partial
from pathlib import Path
from typing import Annotated, Any

import typer

from binome.cli.demo import LITTORAL
from binome.cli.exits import Exit, fail, print_json
from binome.cli.lab import LOGS, lab_errors
from binome.estate.problem import did_you_mean
from binome.lab import engines, matrix_table
from binome.lab.errors import LabError
from binome.lab.matrix import Seen, run_rows
from binome.lab.report import check_writable, write_whole
from binome.lab.rows import NOT_BUILT, REMARKS, ROWS, Row
from binome.runtime.peer_messages import version

PAGE, RUNS = "matrix.md", "matrix.jsonl"


def matrix(
    names: Annotated[list[str] | None, typer.Argument(metavar="[ROW]...", help="All rows by default.")] = None,
    quick: Annotated[bool, typer.Option("--quick", help="The rows that take little time, and no others.")] = False,
    times: Annotated[int, typer.Option(help="How often each row is run.", min=1)] = 1,
    write: Annotated[
        Path | None, typer.Option(help="The folder of the documentation: the runs are added to its page.")
    ] = None,
    as_json: Annotated[bool, typer.Option("--json", help="As JSON, and nothing else, on standard output.")] = False,
) -> None:
    """Do each fault to a lab under load, and judge what came of it.

    Ends with 0 only if every row holds.
    """
    rows = [row for row in _rows(names or []) if row.quick or not quick]
    say = partial(typer.echo, err=as_json)
    with lab_errors():
        if write is not None:
            check_writable(write)
        seen: list[dict[str, Any]] = []
        for one in run_rows(LITTORAL.read_bytes(), rows * times, say, LOGS):
            say(line(one))
            seen.append(dated(one))
            if write is not None:
                _write(write, seen[-1])
    if as_json:
        print_json({"rows": seen})
    raise typer.Exit(Exit.GOOD if all(one["holds"] for one in seen) else Exit.BAD_ANSWER)


def _rows(names: list[str]) -> list[Row]:
    known = {row.name: row for row in ROWS}
    for name in names:
        if name not in known:
            remedy = did_you_mean(name, [frozenset(known)], f"Rows: {', '.join(known)}.")
            fail(f"binome: there is no row {name}; nothing was done.  {remedy}", Exit.BAD_INPUT)
    return [known[name] for name in names] or list(ROWS)


def line(seen: Seen) -> str:
    """What came of a row, in a line."""
    answer = "holds" if not seen.amiss else f"does not hold: {'; '.join(seen.amiss)}"
    out = f"writes out for {seen.outage_s['write']:.2f} s, " if seen.outage_s else ""
    whole = "never whole" if seen.whole_s is None else f"whole after {seen.whole_s:g} s"
    later = f" and {seen.later} after its end" if seen.later else ""
    return f"  {answer}  ({out}{seen.takeovers} takeovers{later}, {seen.planned} planned, {whole})"


def dated(seen: Seen) -> dict[str, Any]:
    """The record of a run, with its day, how busy the machine was, and the versions that it was made with."""
    versions = {"binome": version(), "python": platform.python_version(), **engines.versions()}
    day, load = datetime.now(UTC).date().isoformat(), round(os.getloadavg()[1] / (os.cpu_count() or 1), 1)
    return {**seen.as_json(), "date": day, "load": load, "versions": versions}


def _write(folder: Path, run: dict[str, Any]) -> None:
    """Adds a run to those that are kept, and writes the page anew."""
    kept = {key: value for key, value in run.items() if key not in ("told", "told_later", "fault", "expected")}
    try:
        runs = matrix_table.parse((folder / RUNS).read_text()) if (folder / RUNS).exists() else []
        runs = matrix_table.newest([*runs, kept])
        write_whole(folder / RUNS, "".join(json.dumps(one, ensure_ascii=False) + "\n" for one in runs))
        write_whole(folder / PAGE, matrix_table.page(runs, REMARKS, NOT_BUILT))
    except ValueError as error:
        raise LabError(f"{folder / RUNS} is damaged: {error}.  Remove it, and run all rows again.") from None
    except OSError as error:
        raise LabError(f"{folder} cannot be written: {error.strerror}.  Free some space.") from None
