"""`binome lab`: data centres of real engines on this machine, to burn."""

from __future__ import annotations

import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Annotated

import typer
from rich.console import Console
from rich.table import Table

from binome.cli.exits import Exit, fail, print_json, read_estate
from binome.estate.problem import did_you_mean
from binome.lab.errors import LabError, LabTimeoutError
from binome.lab.guard import Guard
from binome.lab.lab import Lab
from binome.lab.state import tear_down

app = typer.Typer(help="Build an estate on this machine as several data centres, and burn them.", no_args_is_help=True)

LOGS = Path("binome-lab-logs")
"""Where the logs of a lab that did not come up are kept."""

Site = Annotated[str, typer.Argument(help="A site of the estate.")]


@contextmanager
def lab_errors() -> Iterator[None]:
    """A lab that cannot do what it was asked ends the command: 3, or 4 where it waited in vain."""
    try:
        yield
    except LabTimeoutError as error:
        fail(f"binome: {error}", Exit.UNKNOWN)
    except LabError as error:
        fail(f"binome: {error}", Exit.ENVIRONMENT)


@app.command()
def up(file: Annotated[Path, typer.Argument(metavar="ESTATE", help="The estate file.")]) -> None:
    """Build the estate's servers and start its engines; they stay up until `binome lab down`."""
    read_estate(file)
    with lab_errors():
        lab = Lab.claim(file.read_bytes())
        with Guard(lab.folder) as guard:
            try:
                lab.build(say=print)
            except LabError:
                lab.keep_evidence(LOGS, engines=True)
                print(f"The logs: {LOGS.absolute()}", file=sys.stderr)
                raise
            guard.release()
    print(f"The lab is up, in {lab.folder}.  See it: binome lab status.  Burn a site: binome lab burn SITE")


@app.command()
def status(as_json: Annotated[bool, typer.Option("--json", help="As JSON.")] = False) -> None:
    """Show the sites, the engines and their roles, and what the lab does not build."""
    with lab_errors():
        report = Lab.find().status()
    if as_json:
        print_json(report)
        return
    table = Table(box=None, pad_edge=False, header_style="")
    for column in ("site", "server", "service", "role", "state"):
        table.add_column(column)
    for site, record in report["sites"].items():
        for server in record["servers"]:
            here = [(name, members[server]) for name, members in report["services"].items() if server in members]
            for name, engine in here or [("-", {"role": "", "state": ""})]:
                state = record["state"] if record["state"] != "up" else ""
                table.add_row(f"{site} {state}".rstrip(), server, name, engine["role"], engine["state"])
    console = Console(highlight=False)
    console.print(f"lab {report['state']}, in {report['folder']}\n", soft_wrap=True)
    console.print(table)
    console.print(f"\nnot built: {', '.join(report['not_built']) or 'nothing'}")


@app.command()
def burn(site: Site, wipe: Annotated[bool, typer.Option("--wipe", help="Its data is gone too.")] = False) -> None:
    """End a whole site at once, as a fire does: silence on the network, every process gone."""
    with lab_errors():
        _lab_with(site).burn(site, wipe=wipe)
    print(f"{site} burned{', data wiped' if wipe else ''}.  Start it again: binome lab rebuild {site}")


@app.command()
def cut(site: Site) -> None:
    """Take a site off the network; what runs in it lives on, alone."""
    with lab_errors():
        _lab_with(site).cut(site)
    print(f"{site} is cut off, and alive.  Join it again: binome lab heal {site}")


@app.command()
def heal(site: Site) -> None:
    """Join a site that was cut off."""
    with lab_errors():
        _lab_with(site).heal(site)
    print(f"{site} is joined again.")


@app.command()
def rebuild(site: Site) -> None:
    """Start a site that burned, from what is left of it or from nothing, and wait until every pair is whole."""
    with lab_errors():
        _lab_with(site).rebuild(site, say=print)
    print(f"{site} is rebuilt.")


@app.command()
def down() -> None:
    """End and remove the lab, with all of its processes, networks and files."""
    with lab_errors():
        was_up = tear_down()
    print("The lab is gone." if was_up else "No lab was up.")


def _lab_with(site: str) -> Lab:
    lab = Lab.find()
    sites = lab.sites()
    if site not in sites:
        remedy = did_you_mean(site, [frozenset(sites)], f"Sites: {', '.join(sites)}.")
        fail(f"binome: there is no site {site}; nothing was done.  {remedy}", Exit.BAD_INPUT)
    return lab
