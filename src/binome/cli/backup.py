"""`binome backup`: take a copy now, list what there is, show what one copy says of itself."""

from __future__ import annotations

import asyncio
import time
from pathlib import Path
from typing import Annotated, Any

import msgspec
import typer

from binome.cli import proofs
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
    size,
    vault_of,
)
from binome.cli.exits import Exit, fail, print_json, read_estate
from binome.cli.journal_text import printable
from binome.cli.moments import lasted
from binome.core.copies import MANIFEST, MOST_MANIFEST_BYTES, Label, Manifest, ManifestError, Stored, opened
from binome.core.sources import SourceError
from binome.drivers.backup import load
from binome.drivers.files import files_of
from binome.drivers.notify import secret_of
from binome.estate import Estate
from binome.ports_of_copies import CopyError, Tell, Unsaved, Vault, VaultError
from binome.render.places import Folders
from binome.runtime.copying import Hands, Taken
from binome.runtime.copying import take as taken

app = typer.Typer(help="Take copies of data, and see which there are.", no_args_is_help=True)

TLS = Path(Folders().tls)
SCRATCH = Path("/var/tmp")  # noqa: S108 - a folder of our own is made in it
Name = Annotated[str, typer.Argument(metavar="NAME", help="A backup of the estate.")]


@app.command()
def take(
    name: Name,
    file: EstateFile = ESTATE,
    server: AsServer = "",
    *,
    scratch: Annotated[Path, typer.Option(help="Where the copy is made before it is put away.")] = SCRATCH,
    as_json: AsJson = False,
) -> None:
    """Take a backup now, on this server, into every vault of it.

    Ends with 0 once all vaults have it, with 1 where only some have, with 3 where none has.
    """
    estate = read_estate(file, as_json=as_json)
    (backup,), here = named([name], estate.backups, "backup", file), server_of(estate, file, server)
    vaults, absent = vaults_of(estate, estate.backups[backup].to, here)
    try:
        copier = load(estate.backups[backup].method, secret_of)
        with progress() as tell:
            hands = Hands(copier, vaults, sums, now_ms)
            done = asyncio.run(taken(estate, backup, here, scratch=scratch, hands=hands, tell=tell))
    except (SourceError, ValueError) as error:
        fail(f"binome: {printable(str(error))}  Nothing was done.", Exit.BAD_INPUT)
    except CopyError as error:
        code = Exit.UNKNOWN if error.why is Unsaved.UNREACHABLE else Exit.ENVIRONMENT
        fail(f"binome: {backup}: {printable(str(error))}; no copy was made.", code)
    except OSError as error:
        fail(f"binome: {error.filename or scratch}: {error.strerror}; no copy was made.", Exit.ENVIRONMENT)
    done = done._replace(failed={**absent, **done.failed})
    _print_taken(done, as_json=as_json)
    if done.failed:
        raise typer.Exit(Exit.BAD_ANSWER if done.stored else Exit.ENVIRONMENT)


@app.command("list")
def list_(
    name: Annotated[str, typer.Argument(metavar="[NAME]", help="A backup of the estate; all unless given.")] = "",
    file: EstateFile = ESTATE,
    server: AsServer = "",
    *,
    as_json: AsJson = False,
) -> None:
    """List the copies in the vaults, newest first, and which of them are proven.

    Ends with 4 where a vault could not be asked.
    """
    estate = read_estate(file, as_json=as_json)
    backups, here = named([name] if name else [], estate.backups, "backup", file), server_of(estate, file, server)
    wanted = dict.fromkeys(vault for backup in backups for vault in estate.backups[backup].to)
    vaults, failed = vaults_of(estate, tuple(wanted), here)
    found, more = asyncio.run(listed(vaults))
    failed |= more
    rows = [
        _row(vault, one, one.id in proven_of(stored))
        for vault, stored in found.items()
        for one in copies_of(estate, stored, name)
    ]
    rows.sort(key=lambda row: row["at_ms"], reverse=True)
    if as_json:
        print_json({"copies": rows, "failed": {vault: str(error) for vault, error in failed.items()}})
    else:
        for row in rows:
            state = "proven" if row["proven"] else "not proven"
            words = f"{at(row['at_ms'])}  {row['backup']:<14} {row['method']:<10} {size(row['size_bytes']):>10}"
            print(printable(f"{words}  {state:<10}  {row['vault']}  {short(row['id'])}"))
        if not rows:
            print("No copy is there.")
        for vault, error in failed.items():
            said(f"binome: {vault}: {error}")
    if failed:
        raise typer.Exit(Exit.UNKNOWN)


@app.command()
def show(
    name: Name,
    id_: Annotated[
        str, typer.Argument(metavar="[ID]", help="The beginning of a copy's id; the newest unless given.")
    ] = "",
    file: EstateFile = ESTATE,
    server: AsServer = "",
    *,
    tls: Annotated[Path, typer.Option("--tls", help="Where the CAs are that proofs are believed by.")] = TLS,
    as_json: AsJson = False,
) -> None:
    """Show what a copy says of itself, and what its newest proof says of it, whose signature is verified."""
    estate = read_estate(file, as_json=as_json)
    (backup,), here = named([name], estate.backups, "backup", file), server_of(estate, file, server)
    vaults, failed = vaults_of(estate, estate.backups[backup].to, here)
    found, more = asyncio.run(listed(vaults))
    failed |= more
    matching = [
        (one, vault)
        for vault, stored in found.items()
        for one in copies_of(estate, stored, backup)
        if one.id.startswith(id_)
    ]
    if not matching:
        for vault, error in failed.items():
            said(f"binome: {vault}: {error}")
        what = f"no copy whose id begins with {printable(id_)}" if id_ else "no copy"
        fail(f"binome: {backup}: {what} was found.", Exit.UNKNOWN if failed else Exit.BAD_ANSWER)
    one, vault = max(matching, key=lambda pair: pair[0].at_ms)
    try:
        manifest = opened(asyncio.run(vaults[vault].read(one.id, MANIFEST, MOST_MANIFEST_BYTES)))
    except (VaultError, ManifestError) as error:
        fail(f"binome: {vault}: {one.id}: {printable(str(error))}", Exit.BAD_ANSWER)
    proven = one.id in proven_of(found[vault])
    proof = asyncio.run(proofs.newest(estate, vaults[vault], found[vault], one, tls))
    if as_json:
        said_of_it = proof and {"proof": msgspec.to_builtins(proof.proof), "believed": not proof.why, "why": proof.why}
        summary = {"id": one.id, "vault": vault, "proven": proven, "newest_proof": said_of_it}
        print_json({**summary, **msgspec.to_builtins(manifest)})
    else:
        _print_manifest(manifest, one, vault, proven=proven)
        if proof:
            print(printable(f"{'proof':<9} {proof.line}"))


def vaults_of(estate: Estate, names: tuple[str, ...], here: str) -> tuple[dict[str, Vault], dict[str, VaultError]]:
    """Those that can be had from here, and why the others cannot."""
    had: dict[str, Vault] = {}
    failed: dict[str, VaultError] = {}
    for name in names:
        try:
            had[name] = vault_of(estate, name, here)
        except VaultError as error:
            failed[name] = error
    return had, failed


async def listed(vaults: dict[str, Vault]) -> tuple[dict[str, list[Stored]], dict[str, VaultError]]:
    """What each vault lists, and why others could not be asked."""
    found: dict[str, list[Stored]] = {}
    failed: dict[str, VaultError] = {}
    for name, vault in vaults.items():
        try:
            found[name] = list(await vault.list())
        except VaultError as error:
            failed[name] = error
    return found, failed


def _row(vault: str, one: Stored, proven: bool) -> dict[str, Any]:
    return {
        "id": one.id,
        "vault": vault,
        "backup": one.labels.get(Label.BACKUP, ""),
        "method": one.labels.get(Label.METHOD, ""),
        "server": one.labels.get(Label.SERVER, ""),
        "at_ms": one.at_ms,
        "size_bytes": one.size_bytes,
        "proven": proven,
    }


def _print_taken(done: Taken, *, as_json: bool) -> None:
    manifest, failed = done.manifest, {name: str(error) for name, error in done.failed.items()}
    if as_json:
        summary = {"backup": manifest.backup, "at_ms": manifest.at_ms, "size_bytes": manifest.size_bytes}
        print_json({**summary, "stored": done.stored, "made": list(done.made), "failed": failed})
        return
    took = lasted((manifest.ended_ms - manifest.began_ms) / 1000)
    print(f"{manifest.backup} as of {at(manifest.at_ms)}: {size(manifest.size_bytes)}, copied in {took}")
    for vault, id_ in done.stored.items():
        new = ".  There was no vault, and a new one was made" if vault in done.made else ""
        print(f"  in {vault} as {short(id_)}, not proven yet{new}")
    for vault, error in failed.items():
        said(f"  not in {vault}: {error}")


def _print_manifest(manifest: Manifest, one: Stored, vault: str, *, proven: bool) -> None:
    versions = ", ".join(f"{name} {version}" for name, version in manifest.versions.items())
    rows = (
        ("copy", f"{short(one.id)} in {vault}, {'proven' if proven else 'not proven'}"),
        ("of", f"{', '.join(manifest.data)} by {manifest.method}, as of {at(manifest.at_ms)}"),
        ("from", f"{manifest.server}, with {versions}"),
        ("size", f"{size(manifest.size_bytes)} in {len(manifest.files)} files"),
        ("taken in", lasted((manifest.ended_ms - manifest.began_ms) / 1000)),
    )
    for name, value in rows:
        print(printable(f"{name:<9} {value}"))
    for data, fingerprint in manifest.fingerprints.items():
        for name, value in fingerprint.items():
            text = str(len(value)) if isinstance(value, dict) else value
            words = ", ".join(map(str, text)) if isinstance(text, list) else str(text)
            print(printable(f"{data:<9} {name:<17} {words}"[:100]))


def sums(folder: Path, tell: Tell) -> Any:
    """`runtime.copying.Sums`, of this machine's files."""
    return files_of(folder, tell=tell)


def now_ms() -> int:
    """This server's clock, in milliseconds since 1970."""
    return time.time_ns() // 1_000_000
