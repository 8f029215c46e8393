"""`binome demo`: lose a data centre, and see that nothing acknowledged is lost."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Annotated

import typer
from rich.console import Console
from rich.live import Live

from binome.cli.exits import Exit, fail, read_estate
from binome.cli.lab import lab_errors
from binome.cli.screen import Screen, event_line, summary_lines
from binome.estate import Estate
from binome.lab import report
from binome.lab.clients import ways_in
from binome.lab.demo import FAULTS, Event, Fault, Outcome, View, demonstrate
from binome.lab.guard import passing_lab

LITTORAL = Path(__file__).resolve().parents[3] / "examples" / "littoral" / "estate.yaml"


def demo(
    file: Annotated[Path, typer.Argument(metavar="[ESTATE]", help="The estate file; littoral by default.")] = LITTORAL,
    fault: Annotated[str, typer.Option(help=f"What happens: {', '.join(FAULTS)}.")] = "burn",
    out: Annotated[Path, typer.Option(help="The folder for the report.")] = Path("binome-report"),
) -> None:
    """Build the estate here, put it under load, burn the primary's data centre, rebuild it, and judge.

    Ends with 0 only if nothing acknowledged was lost, no two primaries acknowledged, and the pair is whole again.
    """
    chosen = next((known for known in FAULTS if known == fault), None)
    if chosen is None:
        fail(f"binome: --fault {fault}: expected one of {', '.join(FAULTS)}; nothing was done.", Exit.BAD_INPUT)
    estate = read_estate(file)
    with lab_errors():
        ways_in(estate)
        report.check_writable(out)
        outcome = _run(estate, file.read_bytes(), chosen, out)
        report.write(outcome, out)
    print_summary(Console(highlight=False, soft_wrap=True), report.as_json(outcome))
    print(f"\nThe report: {out}/report.html")
    raise typer.Exit(Exit.GOOD if outcome.good else Exit.BAD_ANSWER)


def print_summary(console: Console, record: report.Report) -> None:
    """The verdict and the figures of a report, as the demonstration ends with them."""
    console.print(f"\n{report.verdict(record)}\n", style="bold")
    for line in summary_lines(report.figures(record)):
        console.print(line)


def _run(estate: Estate, text: bytes, fault: Fault, out: Path) -> Outcome:
    view = View(estate.estate, fault)
    console = Console(highlight=False, soft_wrap=True)
    if not console.is_terminal:
        return _demonstrated(text, view, out, console.print, lambda event: console.print(event_line(event)))
    screen = Screen(estate, view)
    with Live(screen, console=console, refresh_per_second=8, vertical_overflow="crop"):
        return _demonstrated(text, view, out, screen.say, screen.happened)


def _demonstrated(
    text: bytes, view: View, out: Path, say: Callable[[str], None], happened: Callable[[Event], None]
) -> Outcome:
    """The demonstration on a lab of its own. What the clients wrote is kept; of a bad night, the engines' logs too."""
    with passing_lab(text, say=say, salvage=out / "logs") as lab:
        outcome = demonstrate(lab, view, happened)
        lab.keep_evidence(out / "logs", engines=not outcome.good)
        return outcome
