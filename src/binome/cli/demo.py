"""`binome demo`: lose a data centre, and see that nothing acknowledged is lost."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Annotated, TypeVar

import typer
from rich.console import Console
from rich.live import Live

from binome.cli import repeated
from binome.cli.exits import Exit, fail, read_estate
from binome.cli.lab import lab_errors
from binome.cli.screen import Screen, event_line, summary_lines
from binome.estate import Estate
from binome.lab import both, report
from binome.lab.clients import ways_in
from binome.lab.demo import Event, Outcome, View, demonstrate
from binome.lab.faults import FAULTS, ONCE
from binome.lab.guard import passing_lab
from binome.lab.stage import TOGETHER
from binome.lab.vaults import left

LITTORAL = Path(__file__).resolve().parents[3] / "examples" / "littoral" / "estate.yaml"
_T = TypeVar("_T")


def demo(
    file: Annotated[Path, typer.Argument(metavar="[ESTATE]", help="The estate file; littoral by default.")] = LITTORAL,
    *,
    fault: Annotated[str, typer.Option(help=f"What happens: {', '.join(FAULTS)}.")] = "burn",
    repeat: Annotated[int, typer.Option(min=1, help="How often it happens, in one lab.", show_default=False)] = 1,
    together: Annotated[
        list[str] | None, typer.Option("--with", help=f"What burns with the site: {', '.join(TOGETHER)}.")
    ] = None,
    act_after: Annotated[
        str, typer.Option(help="How long a loss must last in the lab, such as 350ms; as the estate says by default.")
    ] = "",
    out: Annotated[Path, typer.Option(help="The folder for the report.")] = Path("binome-report"),
) -> None:
    """Build the estate here, put it under load, burn the primary's data centre, rebuild it, and judge.

    Ends with 0 only if nothing acknowledged was lost, no two primaries acknowledged, and the pair is whole again. With
    --repeat, --with or --act-after the lab's copy of the estate has a short cooldown, and the report has every run.
    """
    chosen = next((known for known in FAULTS if known == fault), None)
    if chosen is None:
        fail(f"binome: --fault {fault}: expected one of {', '.join(FAULTS)}; nothing was done.", Exit.BAD_INPUT)
    estate = read_estate(file)
    if (repeat > 1 or together or act_after) and chosen in ONCE:
        fail(f"binome: --fault {fault} takes no --repeat, --with and --act-after; nothing was done.", Exit.BAD_INPUT)
    if repeat > 1 or together or act_after:
        text = file.read_bytes()
        trial = repeated.Trial.of(estate, text, chosen, times=repeat, together=together or [], act_after=act_after)
        repeated.run(trial, out, shown)
    with lab_errors():
        ways_in(estate)
        if chosen == "both":
            left(estate)
        report.check_writable(out)
        view = View(estate.estate, chosen)
        outcome = shown(estate, view, lambda say, happened: _demonstrated(file.read_bytes(), view, out, say, happened))
        report.write(outcome, out)
    print_summary(Console(highlight=False, soft_wrap=True), report.as_json(outcome))
    print(f"\nThe report: {out}/report.html")
    raise typer.Exit(Exit.GOOD if outcome.good else Exit.BAD_ANSWER)


def print_summary(console: Console, record: report.Report) -> None:
    """The verdict and the figures of a report, as the demonstration ends with them."""
    console.print(f"\n{report.verdict(record)}\n", style="bold")
    for line in summary_lines(report.figures(record)):
        console.print(line)


def shown(estate: Estate, view: View, play: Callable[[Callable[[str], None], Callable[[Event], None]], _T]) -> _T:
    """What `play` returns, who says to the screen, or to whatever output is none, what it does and what happens."""
    console = Console(highlight=False, soft_wrap=True)
    if not console.is_terminal:
        return play(console.print, lambda event: console.print(event_line(event)))
    screen = Screen(estate, view)
    with Live(screen, console=console, refresh_per_second=8, vertical_overflow="crop"):
        return play(screen.say, screen.happened)


def _demonstrated(
    text: bytes, view: View, out: Path, say: Callable[[str], None], happened: Callable[[Event], None]
) -> Outcome:
    """The demonstration on a lab of its own. What the clients wrote is kept; of a bad night, the engines' logs too."""
    with passing_lab(text, say=say, salvage=out / "logs") as lab:
        play = both.demonstrate if view.fault == "both" else demonstrate
        outcome = play(lab, view, happened)
        lab.keep_evidence(out / "logs", engines=not outcome.good)
        return outcome
