"""`binome vault`: look after where copies lie: check them, keep their keys, let old copies go."""

from __future__ import annotations

import asyncio
import json
from datetime import UTC, datetime
from pathlib import Path
from typing import Annotated, Any

import typer
from pydantic import TypeAdapter, ValidationError

from binome.analysis.outcome import Platform
from binome.analysis.times import Measured
from binome.cli.copies import (
    ESTATE,
    AsJson,
    AsServer,
    EstateFile,
    at,
    copies_of,
    named,
    progress,
    proven_of,
    said,
    server_of,
    short,
    vault_of,
)
from binome.cli.exits import Exit, fail, print_json, read_estate
from binome.cli.journal_text import printable
from binome.core import retention, vault_keys
from binome.core.copies import Label, Stored
from binome.core.retention import Retention, Snapshot
from binome.drivers.notify import secret_of
from binome.drivers.vault import place_of
from binome.estate import Estate
from binome.estate.model import Keep
from binome.ports_of_copies import Tell, Vault, VaultError

app = typer.Typer(help="Look after where copies lie.", no_args_is_help=True)

Names = Annotated[list[str] | None, typer.Argument(metavar="[VAULT]…", help="Vaults of the estate; all unless given.")]
MOST_BYTES = 64 << 20
"""The longest file of --simulate."""


@app.command()
def check(
    names: Names = None,
    file: EstateFile = ESTATE,
    server: AsServer = "",
    *,
    read: Annotated[bool, typer.Option("--read", help="Read every byte, not only what is there.")] = False,
    as_json: AsJson = False,
) -> None:
    """Check that all that was put into the vaults is there, and whole.

    Ends with 1 where something is damaged, with 4 where a vault could not be asked.
    """
    estate = read_estate(file, as_json=as_json)
    here, chosen = server_of(estate, file, server), named(names or (), estate.vaults, "vault", file)
    answer: dict[str, dict[str, Any]] = {}
    with progress() as tell:
        for name in chosen:
            try:
                damage, copies = asyncio.run(_checked(estate, vault_of(estate, name, here), tell, read=read))
                answer[name] = {"copies": copies, "damage": damage, "trouble": None}
            except VaultError as error:
                answer[name] = {"copies": None, "damage": [], "trouble": str(error)}
    if as_json:
        print_json({"read": read, "vaults": answer})
    else:
        for name, one in answer.items():
            if one["trouble"]:
                said(f"{name}: {one['trouble']}")
                continue
            state = "damaged" if one["damage"] else f"whole{'' if read else ', as far as its index tells'}"
            print(f"{name}: {one['copies']} {'copy' if one['copies'] == 1 else 'copies'}, {state}")
            for line in one["damage"]:
                print(printable(f"  {line}"))
    if any(one["damage"] for one in answer.values()):
        raise typer.Exit(Exit.BAD_ANSWER)
    if any(one["trouble"] for one in answer.values()):
        raise typer.Exit(Exit.UNKNOWN)


async def _checked(estate: Estate, vault: Vault, tell: Tell, *, read: bool) -> tuple[list[str], int]:
    copies = len(copies_of(estate, await vault.list()))
    return list(await vault.check(tell, read=read)), copies


@app.command()
def keys(names: Names = None, file: EstateFile = ESTATE, server: AsServer = "", *, as_json: AsJson = False) -> None:
    """Print the vaults' keys, for the safe, and say where they are kept. Without its key a copy cannot be read.

    Ends with 1 where a key is missing here, or kept only beside the copies or the source.
    """
    estate = read_estate(file, as_json=as_json)
    here, chosen = server_of(estate, file, server), named(names or (), estate.vaults, "vault", file)
    platform = Platform(estate, Measured())
    rows = [_key(platform, name, here) for name in chosen]
    if as_json:
        print_json({"server": here, "vaults": rows})
    else:
        for row in rows:
            _print_key(row, here)
    if any(row["doubts"] or row["missing_here"] for row in rows):
        raise typer.Exit(Exit.BAD_ANSWER)


def _key(platform: Platform, name: str, here: str) -> dict[str, Any]:
    vault = platform.estate.vaults[name]
    row: dict[str, Any] = {
        "vault": name,
        "kind": vault.kind,
        "at": "",
        "where": vault.key,
        "key": None,
        "trouble": None,
    }
    row |= {"missing_here": False, "kept_on": [], "doubts": []}
    try:
        row["at"] = place_of(platform.estate, name, here).at
    except ValueError:
        row["at"] = f"{vault.on}:{vault.path}"
    if vault.key is None:
        row["trouble"] = "a restic vault needs a key" if vault.kind == "restic" else None
        row["missing_here"] = vault.kind == "restic"
        return row
    try:
        row["key"] = secret_of(vault.key)
    except OSError as error:
        row["trouble"] = error.strerror or str(error)
    kept = vault_keys.kept(platform, name)
    row["missing_here"] = row["key"] is None and here in vault.key_on
    row["kept_on"] = [holder._asdict() for holder in kept.holders]
    row["doubts"] = [doubt.value for doubt in kept.doubts]
    return row


def _print_key(row: dict[str, Any], here: str) -> None:
    print(printable(f"{row['vault']}   {row['kind']} at {row['at']}"))
    if row["where"] is None:
        print(f"  key      {row['trouble'] or 'none: a directory is not encrypted'}")
        return
    missing = f"not here: {row['where']}: {row['trouble']}"
    print(printable(f"  key      {row['key'] or missing}"))
    for holder in row["kept_on"]:
        beside = [f"beside the copies: {holder['beside_copies']}"] if holder["beside_copies"] else []
        beside += [f"beside the source: {holder['beside_source']}"] if holder["beside_source"] else []
        state = "" if holder["server"] != here else ", MISSING THERE" if row["missing_here"] else ", seen there"
        print(f"  kept on  {holder['server']}{state}   {'; '.join(beside) or 'apart from both'}")
    for doubt in row["doubts"]:
        print(f"  doubt    {doubt}")


@app.command()
def prune(
    names: Names = None,
    file: EstateFile = ESTATE,
    server: AsServer = "",
    *,
    dry_run: Annotated[bool, typer.Option("--dry-run", help="Only say what would go.")] = False,
    why: Annotated[bool, typer.Option("--why", help="Say of each copy why it stays or goes.")] = False,
    simulate: Annotated[
        Path | None, typer.Option(metavar="FILE", help="Try rules on a list of copies (JSON), without any vault.")
    ] = None,
    keep: Annotated[str, typer.Option(metavar="JSON", help='With --simulate, the rules: {"daily": 14}.')] = "",
    as_json: AsJson = False,
) -> None:
    """Let copies go that no rule keeps. The last proven copy always stays, and after a long absence nothing goes.

    Ends with 4 where a vault could not be asked, or would not let go.
    """
    if simulate is not None:
        _simulate(simulate, keep, why=why, as_json=as_json)
        return
    if keep:
        fail("binome: --keep belongs to --simulate; a vault's rules are in the estate.", Exit.BAD_INPUT)
    estate = read_estate(file, as_json=as_json)
    here, chosen = server_of(estate, file, server), named(names or (), estate.vaults, "vault", file)
    answer: dict[str, Any] = {}
    failed: dict[str, str] = {}
    with progress() as tell:
        for name in chosen:
            judged: dict[str, Retention] = {}
            try:
                asyncio.run(_pruned(estate, vault_of(estate, name, here), judged, tell, dry_run=dry_run))
            except VaultError as error:
                failed[name] = str(error)
            answer[name] = {backup: _as_json(one) for backup, one in judged.items()}
    if as_json:
        print_json({"dry_run": dry_run, "vaults": answer, "failed": failed})
    else:
        for name, backups in answer.items():
            _print_pruned(name, backups, why=why, dry_run=dry_run or name in failed)
        for name, trouble in failed.items():
            said(f"binome: {name}: {trouble}; nothing of it was deleted.")
    if failed:
        raise typer.Exit(Exit.UNKNOWN)


async def _pruned(estate: Estate, vault: Vault, judged: dict[str, Retention], tell: Tell, *, dry_run: bool) -> None:
    """Judges the copies of each backup of the estate, and deletes those that may go, with what proves them."""
    stored, now = await vault.list(), datetime.now(UTC)
    proven = proven_of(stored)
    for name, backup in estate.backups.items():
        if copies := copies_of(estate, stored, name):
            snapshots = [_snapshot(one, proven) for one in copies]
            judged[name] = retention.judge(snapshots, backup.keep, now, retention.absent_after(backup.every_ms))
    gone = {one.id for each in judged.values() for one in each.gone}
    proofs = [one.id for one in stored if one.labels.get(Label.OF) in gone]
    if gone and not dry_run:
        await vault.delete([*sorted(gone), *proofs], tell)


def _snapshot(one: Stored, proven: frozenset[str]) -> Snapshot:
    return Snapshot(one.id, datetime.fromtimestamp(one.at_ms / 1000, UTC), one.id in proven)


def _as_json(one: Retention) -> dict[str, Any]:
    copies = [
        {
            "id": judged.snapshot.id,
            "time": judged.snapshot.at.isoformat(),
            "proven": judged.snapshot.proven,
            "kept": judged.kept,
            "why": [why.value for why in judged.why],
        }
        for judged in one.judged
    ]
    return {"paused": one.paused and one.paused.value, "copies": copies}


def _print_pruned(name: str, backups: dict[str, Any], *, why: bool, dry_run: bool) -> None:
    for backup, one in backups.items():
        gone = [copy for copy in one["copies"] if not copy["kept"]]
        done = "would go" if dry_run else "went"
        print(f"{name}  {backup}: {len(one['copies']) - len(gone)} stay, {len(gone)} {done}")
        if one["paused"]:
            print(f"  {one['paused']}")
        for copy in one["copies"] if why else gone:
            state = "stays" if copy["kept"] else "goes "
            moment = at(int(datetime.fromisoformat(copy["time"]).timestamp() * 1000))
            print(printable(f"  {moment}  {short(copy['id'])}  {state}  {', '.join(copy['why'])}"))
    if not backups:
        print(f"{name}: no copy of this estate")


def _simulate(file: Path, keep: str, *, why: bool, as_json: bool) -> None:
    rules, snapshots = _rules(keep), _snapshots(file)
    newest = max((one.at for one in snapshots), default=datetime.now(UTC))
    found = retention.judge(snapshots, rules, newest)
    if as_json:
        print_json(_as_json(found)["copies"] if why else [one.id for one in found.kept])
        return
    for judged in found.judged:
        state = "stays" if judged.kept else "goes "
        words = f"{judged.snapshot.at.isoformat():<25}  {short(judged.snapshot.id)}  {state}"
        print(printable(f"{words}  {', '.join(one.value for one in judged.why)}"))


def _rules(text: str) -> Keep:
    expected = 'expected rules such as {"daily": 14, "weekly": 8}'
    try:
        found = json.loads(text or "{}")
        return TypeAdapter(Keep).validate_python(found)
    except (ValueError, RecursionError) as error:
        detail = error.errors()[0] if isinstance(error, ValidationError) else None
        where = f"{'.'.join(map(str, detail['loc']))}: {detail['msg']}; " if detail else ""
        fail(f"binome: --keep: {printable(where)}{expected}.", Exit.BAD_INPUT)


def _snapshots(file: Path) -> list[Snapshot]:
    """The copies of a file: a list of {"id", "time"} as `restic snapshots --json` writes it, and "proven" if it is."""
    try:
        with file.open("rb") as reading:
            raw = reading.read(MOST_BYTES + 1)
        found = json.loads(raw) if len(raw) <= MOST_BYTES else None
    except OSError as error:
        fail(f"binome: {file}: {error.strerror}.", Exit.BAD_INPUT)
    except (ValueError, RecursionError):
        found = None
    if not isinstance(found, list):
        fail(f'binome: {file}: expected a JSON list of {{"id": …, "time": …, "proven": …}}.', Exit.BAD_INPUT)
    snapshots = []
    for number, one in enumerate(found, 1):
        try:
            moment, proven = datetime.fromisoformat(one["time"]), one.get("proven", False)
            if not isinstance(one["id"], str) or not isinstance(proven, bool):
                raise ValueError
            zoned = moment if moment.tzinfo else moment.replace(tzinfo=UTC)
            snapshots.append(Snapshot(one["id"], zoned, proven))
        except (KeyError, TypeError, ValueError, AttributeError):
            expected = (
                'expected {"id": "…", "time": "2026-11-24T02:00:00Z"}, with "proven": true or false if it is known'
            )
            fail(f"binome: {file}: copy {number}: {expected}.", Exit.BAD_INPUT)
    return snapshots
