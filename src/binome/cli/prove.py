"""`binome backup prove`: restore a copy here, in a sandbox, and say whether it is what was saved."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Sequence
from importlib.metadata import version
from pathlib import Path
from typing import Annotated

import msgspec
import typer

from binome.analysis import fate
from binome.analysis.outcome import Platform
from binome.analysis.times import Measured
from binome.cli.backup import SCRATCH, TLS, Name
from binome.cli.copies import (
    ESTATE,
    AsJson,
    AsServer,
    EstateFile,
    at,
    copies_of,
    named,
    progress,
    said,
    server_of,
    short,
    size,
    vault_of,
)
from binome.cli.exits import Exit, fail, print_json, read_estate
from binome.cli.journal_text import printable
from binome.cli.moments import lasted
from binome.core.copies import Label, Stored
from binome.core.proofs import Proof, Verdict, restored_ms
from binome.drivers.damage import damage as damaged
from binome.drivers.files import files_of
from binome.drivers.restore import load
from binome.drivers.scratch.postgres import ScratchPostgres
from binome.drivers.scratch.sandbox import FencedSandbox
from binome.estate import Estate
from binome.ports_of_copies import NoSandboxError, RestoreError, Tell, Trouble, Vault, VaultError
from binome.runtime.identity import Identity, IdentityError
from binome.runtime.identity.signing import signer
from binome.runtime.proving import Tools, Wanted, put
from binome.runtime.proving import prove as proven

_BAD_VAULT = frozenset({Trouble.WRONG_KEY, Trouble.NO_VAULT, Trouble.DAMAGED})
"""Then the copies cannot be read by anybody, as far as this server can see."""


def prove(
    name: Name,
    id_: Annotated[
        str, typer.Argument(metavar="[ID]", help="The beginning of a copy's id; the newest unless given.")
    ] = "",
    file: EstateFile = ESTATE,
    server: AsServer = "",
    *,
    vault: Annotated[str, typer.Option("--vault", help="Which vault it is fetched from.  Default: the first.")] = "",
    scratch: Annotated[Path, typer.Option(help="Where it is restored.")] = SCRATCH,
    tls: Annotated[Path, typer.Option("--tls", help="The folder of this server's identity.")] = TLS,
    damage: Annotated[
        bool, typer.Option("--damage", help="Damage what was fetched: a rehearsal, whose proof has to fail.")
    ] = False,
    as_json: AsJson = False,
) -> None:
    """Restore a copy here, in a sandbox, compare it with what was saved, and sign what came out.

    The proof is put into the vault beside the copy. Ends with 0 where it is proven, 1 where it is not, 3 where this
    server cannot try it, 4 where the vault could not be asked. With --damage 0 says that the damage was found.
    """
    estate = read_estate(file, as_json=as_json)
    (backup,), here = named([name], estate.backups, "backup", file), server_of(estate, file, server)
    chosen = named([vault], estate.backups[backup].to, f"vault of {backup}", file) if vault else ()
    try:
        identity = Identity(tls, estate.estate, here)
        sign = signer(identity, _now_ms())
    except IdentityError as error:
        fail(f"binome: {here} cannot sign a proof: {printable(str(error))}  binome ca issue {here}", Exit.ENVIRONMENT)
    where, wanted = _wanted(estate, backup, here, chosen or estate.backups[backup].to, id_)
    _apart(estate, backup, here, wanted.copy)
    try:
        tools = Tools(
            vault=where,
            restorer=load(wanted.copy.labels.get(Label.METHOD, estate.backups[backup].method)),
            sandbox=FencedSandbox(scratch),
            engine=ScratchPostgres,
            sums=lambda folder, tell: files_of(folder, tell=tell),
            now_ms=_now_ms,
            sign=sign,
            versions={"binome": version("binome")},
            damage=damaged if damage else None,
        )
    except ValueError as error:
        fail(f"binome: {printable(str(error))}  Nothing was done.", Exit.ENVIRONMENT)
    proof, stored, trouble = _proof(estate, backup, wanted, tools, rehearsal=damage)
    _print(proof, stored, trouble, rehearsal=damage, as_json=as_json)
    if (proof.verdict is Verdict.PROVEN) is damage:
        raise typer.Exit(Exit.BAD_ANSWER)
    if trouble:
        raise typer.Exit(Exit.UNKNOWN)


def _proof(estate: Estate, backup: str, wanted: Wanted, tools: Tools, *, rehearsal: bool) -> tuple[Proof, str, str]:
    """The proof, its id in the vault, and why it has none. Ends the command where there is no proof."""
    try:
        with progress() as tell:
            return asyncio.run(_proven(estate, backup, wanted, tools, tell, rehearsal=rehearsal))
    except VaultError as error:
        fail(f"binome: {wanted.vault}: {printable(str(error))}; nothing was proven.", Exit.UNKNOWN)
    except (NoSandboxError, RestoreError) as error:
        fail(f"binome: {printable(str(error))}; nothing was proven.", Exit.ENVIRONMENT)
    except OSError as error:
        fail(f"binome: {error.filename}: {error.strerror}; nothing was proven.", Exit.ENVIRONMENT)


async def _proven(
    estate: Estate, backup: str, wanted: Wanted, tools: Tools, tell: Tell, *, rehearsal: bool
) -> tuple[Proof, str, str]:
    proof = await proven(estate, backup, wanted, tools=tools, tell=tell)
    if rehearsal:  # it says nothing about the copy
        return proof, "", ""
    try:
        return proof, await put(proof, tools.vault, tell), ""
    except VaultError as error:
        return proof, "", str(error)


def _wanted(estate: Estate, backup: str, here: str, vaults: Sequence[str], id_: str) -> tuple[Vault, Wanted]:
    """The copy to prove, from the first vault that has it; ends the command where there is none."""
    failed: list[VaultError] = []
    found: list[tuple[Vault, Wanted]] = []
    for name in vaults:
        try:
            vault = vault_of(estate, name, here)
            stored = copies_of(estate, asyncio.run(_listed(vault)), backup)
        except VaultError as error:
            failed.append(error)
            said(f"binome: {name}: {error}")
            continue
        if matching := [one for one in stored if one.id.startswith(id_)]:
            found.append((vault, Wanted(name, max(matching, key=lambda one: one.at_ms), stored)))
            break
    if not found and any(error.trouble in _BAD_VAULT for error in failed):
        fail(f"binome: {backup}: {Verdict.UNREADABLE.value}: a vault of it cannot be read.", Exit.BAD_ANSWER)
    if not found and failed:
        fail(f"binome: {backup}: a vault could not be asked; nothing was proven.", Exit.UNKNOWN)
    if not found:
        what = f"no copy whose id begins with {printable(id_)}" if id_ else "no copy"
        fail(f"binome: {backup}: {what} was found.", Exit.BAD_ANSWER)
    return found[0]


async def _listed(vault: Vault) -> Sequence[Stored]:
    return await vault.list()


def _apart(estate: Estate, backup: str, here: str, copy: Stored) -> None:
    """Ends the command where this server would be lost with what the copy is of."""
    platform = Platform(estate, Measured())
    sources = [copy.labels.get(Label.SERVER, "")]
    sources += [member for data in estate.backups[backup].of for member in estate.services[estate.data[data].in_].on]
    for source in dict.fromkeys(one for one in sources if one in estate.servers):
        if source == here:
            fail(f"binome: {here} has what the copy is of; nothing was proven.  Prove it elsewhere.", Exit.BAD_INPUT)
        shared = fate.shared(platform, [here, source])
        near = [one for one in shared if platform.domains.kinds[one] != "region"]
        if near:
            words = f"{here} stands in {fate.titles(platform, near)} with {source}, which the copy is of"
            fail(f"binome: {words}; nothing was proven.  Prove it elsewhere.", Exit.BAD_INPUT)
        if shared:
            said(f"binome: {here} and {source} share {fate.titles(platform, shared)}.")


def _print(proof: Proof, stored: str, trouble: str, *, rehearsal: bool, as_json: bool) -> None:
    good = proof.verdict is Verdict.PROVEN
    if as_json:
        more = {"stored": stored, "trouble": trouble, "rehearsal": rehearsal, "restored_ms": restored_ms(proof)}
        print_json({**more, **msgspec.to_builtins(proof)})
        return
    what = f"{proof.backup} as of {at(proof.at_ms)}, {short(proof.copy)} in {proof.vault}, {size(proof.size_bytes)}"
    if rehearsal:
        print(printable(f"{what}: damaged on purpose"))
        words = "the damage was NOT found: a proof proves nothing here" if good else f"found: {proof.verdict.value}"
        print(printable(f"  {words}"))
    else:
        print(printable(f"{what}: {'proven' if good else f'NOT PROVEN: {proof.verdict.value}'}, on {proof.server}"))
    for line in proof.found:
        print(printable(f"  {line}"))
    spent = (f"{name} {lasted(ms / 1000)}" for name, ms in proof.phases_ms.items())
    print(printable(f"  {', '.join(spent)}"))
    if good:
        print(printable(f"  compared: {', '.join(f'{count} {name}' for name, count in proof.compared.items())}"))
        print(f"  a restore takes {lasted(restored_ms(proof) / 1000)}")
    if stored:
        print(printable(f"  signed and put beside it as {short(stored)}"))
    elif trouble:
        said(f"  the proof could not be put into {proof.vault}: {trouble}")


def _now_ms() -> int:
    return time.time_ns() // 1_000_000
