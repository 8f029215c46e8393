"""`binome demo --repeat`: the same fault again and again, every run in the report, and the figures of all of them."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, NoReturn, Protocol

import typer
from rich.console import Console

from binome.cli.exits import Exit, fail
from binome.cli.lab import lab_errors
from binome.cli.screen import summary_lines
from binome.estate import Estate, EstateError, load
from binome.estate.model import PostgresqlService
from binome.lab import report, runs
from binome.lab.altered import altered
from binome.lab.clients import ways_in
from binome.lab.demo import Event, Outcome, View
from binome.lab.engines import database_of
from binome.lab.errors import LabError
from binome.lab.faults import OF_SITES, Fault
from binome.lab.guard import passing_lab
from binome.lab.repeat import Series, repeat
from binome.lab.stage import TOGETHER, Together

COOLDOWN = "1s"


class Showing(Protocol):
    """Who shows a demonstration while it is played; `binome.cli.demo.shown` is one."""

    def __call__(
        self, estate: Estate, view: View, play: Callable[[Callable[[str], None], Callable[[Event], None]], Series]
    ) -> Series:
        """What `play` returns."""


@dataclass(frozen=True, slots=True)
class Trial:
    """What is tried: an estate as the lab has it, the fault, how often, and what the lab's copy has otherwise."""

    estate: Estate
    text: bytes
    fault: Fault
    times: int
    together: tuple[Together, ...]
    changed: dict[str, dict[str, str]]

    @classmethod
    def of(
        cls, estate: Estate, text: bytes, fault: Fault, *, times: int, together: Sequence[str], act_after: str
    ) -> Trial:
        """The trial that was asked for; ends the command where it cannot be."""
        chosen = tuple(known for known in TOGETHER if known in together)
        if unknown := set(together) - set(chosen):
            wrong = ", ".join(sorted(unknown))
            fail(f"binome: --with {wrong}: expected {' or '.join(TOGETHER)}; nothing was done.", Exit.BAD_INPUT)
        if chosen and fault not in OF_SITES:
            fail(f"binome: --with is for faults that take a site; {fault} takes none.", Exit.BAD_INPUT)
        with lab_errors():
            service = database_of(estate)
        values = {"cooldown": COOLDOWN} | ({"act_after": act_after} if act_after else {})
        changed = altered(text, service, values)
        try:
            return cls(load(changed), changed, fault, times, chosen, {service: values})
        except EstateError as error:
            fail(f"binome: --act-after {act_after}: {error}; nothing was done.", Exit.BAD_INPUT)


def run(trial: Trial, out: Path, shown: Showing) -> NoReturn:
    """Plays the trial, writes the report into `out`, and ends the command with what came of it."""
    view = View(trial.estate.estate, trial.fault)
    records: list[runs.Run] = []

    def play(say: Callable[[str], None], happened: Callable[[Event], None]) -> Series:
        def told(outcome: Outcome) -> None:
            records.append(record(trial, outcome))
            say(runs.line(len(records), records[-1]))

        with passing_lab(trial.text, say=say, salvage=out / "logs") as lab:
            series = repeat(lab, trial.times, view, happened, together=trial.together, told=told)
            lab.keep_evidence(out / "logs", engines=not series.good)
            return series

    with lab_errors():
        ways_in(trial.estate)
        report.check_writable(out)
        series = shown(trial.estate, view, play)
        report.write(series.outcomes[-1], out, as_json(trial, series, records), runs.page(records))
    _print(series, records, out)
    raise typer.Exit(Exit.GOOD if series.good else Exit.BAD_ANSWER)


def record(trial: Trial, outcome: Outcome) -> runs.Run:
    """The record of one run."""
    service = trial.estate.services[database_of(trial.estate)]
    if not isinstance(service, PostgresqlService):
        raise LabError("the first database is none")
    return runs.run(outcome, trial.estate, act_after_s=service.act_after_ms / 1000, together=trial.together)


def as_json(trial: Trial, series: Series, records: Sequence[runs.Run]) -> dict[str, Any]:
    """What `report.json` has besides the record of the last run. `good` is of all of them."""
    return {
        "good": series.good,
        "asked": trial.times,
        "changed": trial.changed,
        "trouble": series.trouble,
        "lost_later": len(series.lost_later),
        "runs": list(records),
        "figures": runs.figures(records),
    }


def _print(series: Series, records: Sequence[runs.Run], out: Path) -> None:
    console = Console(highlight=False, soft_wrap=True)
    console.print()
    for number, one in enumerate(records, 1):
        console.print(runs.line(number, one))
    acknowledged, lost = sum(one["acknowledged"] for one in records), sum(one["lost"] for one in records)
    double = sum(one["double_primary"] for one in records)
    lost += len(series.lost_later)
    words = f"{len(records)} runs: {acknowledged:,} writes were acknowledged, {lost} are lost, {double} doubled."
    console.print(f"\n{words}\n", style="bold")
    for line in summary_lines([("least / median / greatest", "", ""), *runs.lines(records)]):
        console.print(line)
    if series.trouble:
        console.print(f"\n{series.trouble}")
    console.print(f"\nThe report: {out}/report.html")
