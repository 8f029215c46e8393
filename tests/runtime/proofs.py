"""Copies to prove: of a PostgreSQL of the tests' own, in a vault that is a folder, where each can be damaged."""

from __future__ import annotations

import asyncio
import shutil
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import msgspec

from binome.core.copies import MANIFEST, Label, Manifest, Stored, opened, sealed
from binome.core.proofs import Proof
from binome.drivers.backup import load as method
from binome.drivers.files import files_of
from binome.drivers.restore.basebackup import RestoreBaseBackup
from binome.drivers.restore.dump import RestoreDump
from binome.drivers.scratch.postgres import ScratchPostgres
from binome.drivers.scratch.sandbox import FencedSandbox
from binome.drivers.vault.directory import DirectoryVault
from binome.estate import Estate, load
from binome.ports_of_copies import Vault, VaultPlace
from binome.runtime.copying import Hands, take
from binome.runtime.proving import Tools, Wanted, prove
from tests.drivers.copier_suite import no_secret, silent

ESTATE = """
sites: {{gra: {{}}, par: {{}}}}
servers: {{gra-db: {{site: gra}}, par-spare: {{site: par}}}}
services: {{database: {{kind: postgresql, on: [gra-db]}}}}
data: {{contacts: {{in: database, user: postgres, socket: {socket}}}}}
vaults: {{away: {{kind: directory, on: par-spare, path: /srv/away}}}}
backups:
  dump: {{of: contacts, method: dump, every: 1d, to: [away], proof: {{every: 1d, on: par-spare{checks}}}}}
  basebackup: {{of: contacts, method: basebackup, every: 1d, to: [away], proof: {{every: 1d, on: par-spare{checks}}}}}
"""
RESTORERS = {"dump": RestoreDump, "basebackup": RestoreBaseBackup}


def estate_of(socket: Path, checks: str = "") -> Estate:
    return load(ESTATE.format(socket=socket, checks=checks).encode())


def now_ms() -> int:
    return time.time_ns() // 1_000_000


def sums(folder: Path, tell: Any) -> Any:
    return files_of(folder, tell=tell)


def vault_at(folder: Path) -> DirectoryVault:
    return DirectoryVault(VaultPlace("away", "directory", str(folder)), no_secret)


def taken(estate: Estate, backup: str, vault: Vault, scratch: Path, monkeypatch: Any = None) -> str:
    """Takes a copy; its id."""
    hands = Hands(method(backup, no_secret), {"away": vault}, sums, now_ms)
    done = asyncio.run(take(estate, backup, "gra-db", scratch=scratch, hands=hands, tell=silent))
    assert done.failed == {}
    return done.stored["away"]


def unsigned(proof: Proof) -> Proof:
    return msgspec.structs.replace(proof, server="par-spare")


def tools(vault: Vault, backup: str, scratch: Path, **more: Any) -> Tools:
    given = {
        "vault": vault,
        "restorer": RESTORERS[backup](),
        "sandbox": FencedSandbox(scratch),
        "engine": ScratchPostgres,
        "sums": sums,
        "now_ms": now_ms,
        "sign": unsigned,
        "versions": {"binome": "0"},
    }
    return Tools(**{**given, **more})


def proven(estate: Estate, backup: str, vault: Vault, scratch: Path, id_: str = "", **more: Any) -> Proof:
    """Proves the newest copy of a vault, or one."""
    stored = [one for one in asyncio.run(vault.list()) if one.labels.get(Label.KIND) == "copy"]
    copy = next(one for one in stored if one.id.startswith(id_))
    wanted = Wanted("away", copy, stored)
    return asyncio.run(prove(estate, backup, wanted, tools=tools(vault, backup, scratch, **more), tell=silent))


def only(vault: Vault) -> Stored:
    (one,) = asyncio.run(vault.list())
    return one


def manifest_of(folder: Path) -> Manifest:
    return opened((folder / MANIFEST).read_bytes())


def resealed(folder: Path, **changes: Any) -> None:
    """Writes a copy's manifest anew, as who can write into a vault could."""
    files = {path: one for path, one in files_of(folder, tell=silent).items() if path != MANIFEST and one}
    size = sum(one.size_bytes for one in files.values())
    changed = {"files": files, "size_bytes": size, **changes}
    (folder / MANIFEST).write_bytes(sealed(msgspec.structs.replace(manifest_of(folder), **changed)))


@contextmanager
def damaged(vault: Path, into: Path, damage: Callable[[Path], object]) -> Iterator[DirectoryVault]:
    """A copy of a vault that holds one copy, which is damaged."""
    shutil.copytree(vault, into)
    damage(into / only(vault_at(into)).id)
    yield vault_at(into)
    shutil.rmtree(into)
