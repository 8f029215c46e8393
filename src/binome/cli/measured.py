"""`binome backup measured`: what proofs have measured, for `binome check --measured`."""

from __future__ import annotations

import typer

from binome.cli import copies
from binome.cli.door import DOOR, Door, said
from binome.cli.exits import Exit, print_json
from binome.runtime.backup_report import measures


def measured(door: Door = DOOR) -> None:
    """Print what proofs have measured, as `binome check --measured` reads it: how long a restore takes, what it loses.

    Asks the Binôme that runs on this server. Ends with 1 where a backup is not proven in every vault of it: that one
    is left out.
    """
    report = said(door, {"do": "status"})
    found = measures(report["backups"], report["at_ms"])
    print_json({"backups": found})
    if missing := [row["backup"] for row in report["backups"] if row["backup"] not in found]:
        copies.said(f"binome: not proven in every vault, and left out: {', '.join(missing)}")
        raise typer.Exit(Exit.BAD_ANSWER)
