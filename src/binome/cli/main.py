"""The `binome` command."""

from __future__ import annotations

import sys

import typer

from binome.cli import demo, estate, lab, render
from binome.cli.check import check
from binome.cli.exits import Exit

app = typer.Typer(
    help="Keeps a platform up when a data centre is lost, and proves every day that it would.",
    no_args_is_help=True,
    add_completion=False,
    pretty_exceptions_enable=False,
    rich_markup_mode=None,
)
app.add_typer(estate.app, name="estate")
app.command()(check)
app.add_typer(lab.app, name="lab")
app.command()(render.render)
app.command()(demo.demo)


def main() -> None:
    """Runs the command line; Ctrl-C ends it with 130."""
    try:
        app()
    except KeyboardInterrupt:
        sys.exit(Exit.INTERRUPTED)
