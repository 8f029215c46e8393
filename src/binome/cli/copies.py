"""What `binome backup` and `binome vault` share: which server this is, its vaults, how far something has come."""

from __future__ import annotations

import socket
import sys
from collections.abc import Iterable, Iterator, Sequence
from contextlib import contextmanager
from datetime import UTC, datetime
from pathlib import Path
from typing import Annotated

import typer
from rich.console import Console
from rich.progress import (
    BarColumn,
    DownloadColumn,
    TaskID,
    TextColumn,
    TimeRemainingColumn,
)
from rich.progress import (
    Progress as Bars,
)

from binome.cli.exits import Exit, fail
from binome.cli.journal_text import printable
from binome.core.copies import Label, Progress, Stored
from binome.core.restoring import proven
from binome.drivers.notify import secret_of
from binome.drivers.vault import load, place_of
from binome.estate import Estate
from binome.estate.problem import did_you_mean
from binome.ports_of_copies import Tell, Trouble, Vault, VaultError

EstateFile = Annotated[Path, typer.Option("--estate", help="The estate file.")]
ESTATE = Path("estate.yaml")
AsServer = Annotated[str, typer.Option("--as", help="Which server of the estate this one is.  Default: its host name.")]
AsJson = Annotated[bool, typer.Option("--json", help="As JSON.")]


def server_of(estate: Estate, file: Path, given: str) -> str:
    """Which server of the estate this is; ends the command where it is none."""
    name = given or socket.gethostname().partition(".")[0]
    if name not in estate.servers:
        remedy = did_you_mean(name, [frozenset(estate.servers)], "Say which server this is: --as SERVER.")
        fail(f"binome: {file} has no server {printable(name)}; nothing was done.  {remedy}", Exit.BAD_INPUT)
    return name


def named(names: Iterable[str], known: Iterable[str], what: str, file: Path) -> tuple[str, ...]:
    """Names that must be known, or all that are; ends the command where one is not."""
    known = tuple(known)
    for name in names:
        if name not in known:
            remedy = did_you_mean(name, [frozenset(known)], f"Name a {what} of the estate.")
            fail(f"binome: {file} has no {what} {printable(name)}; nothing was done.  {remedy}", Exit.BAD_INPUT)
    return tuple(names) or known


def vault_of(estate: Estate, name: str, server: str) -> Vault:
    """A vault as this server reaches it. Raises VaultError where it cannot be had at all."""
    try:
        return load(place_of(estate, name, server), secret_of)
    except ValueError as error:
        raise VaultError(Trouble.UNREACHABLE, str(error)) from error


def copies_of(estate: Estate, stored: Sequence[Stored], backup: str = "") -> list[Stored]:
    """The copies of this estate's backups, or of one of them, newest first."""
    return [
        one
        for one in stored
        if one.labels.get(Label.KIND) == "copy"
        and one.labels.get(Label.ESTATE) == estate.estate
        and backup in ("", one.labels.get(Label.BACKUP))
    ]


def proven_of(stored: Sequence[Stored]) -> frozenset[str]:
    """The ids of the copies whose newest proof says that they are good."""
    return proven(stored)


def at(at_ms: int) -> str:
    """A moment as copies are named by: in UTC, as their calendar is."""
    return f"{datetime.fromtimestamp(at_ms / 1000, UTC):%Y-%m-%d %H:%M:%S}Z"


def short(id_: str) -> str:
    """An id as a line has room for it: the beginning of restic's long ones."""
    return id_[:12] if len(id_) > 40 else id_


def size(count: int | None) -> str:
    """A number of bytes in the unit that fits."""
    if count is None:
        return "?"
    for unit, bytes_ in (("TiB", 2**40), ("GiB", 2**30), ("MiB", 2**20), ("KiB", 2**10)):
        if count >= bytes_:
            return f"{count / bytes_:.1f} {unit}"
    return f"{count} B"


@contextmanager
def progress() -> Iterator[Tell]:
    """Bars with bytes and the time that is left, on standard error; nothing where that is no terminal."""
    console = Console(stderr=True)
    if not console.is_terminal:
        yield lambda _: None
        return
    columns = (TextColumn("{task.description:<14}"), BarColumn(), DownloadColumn(binary_units=True))
    with Bars(*columns, TimeRemainingColumn(), console=console, transient=True) as bars:
        shown: dict[str, TaskID] = {}

        def tell(one: Progress) -> None:
            if one.what not in shown:
                shown[one.what] = bars.add_task(one.what, total=None)
            total = one.total_bytes if one.total_bytes is None else max(one.total_bytes, one.done_bytes)
            bars.update(shown[one.what], completed=one.done_bytes, total=total)

        yield tell


def said(words: str) -> None:
    """A line on standard error, for a person."""
    print(printable(words), file=sys.stderr)
