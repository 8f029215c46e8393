"""`binome restore`, end to end: files and repositories into folders, dumps into a real PostgreSQL."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from typer.testing import CliRunner, Result

from binome.cli.main import app
from binome.core.copies import Label
from binome.drivers.vault.directory import DirectoryVault
from binome.ports_of_copies import VaultPlace
from tests.drivers.copier_suite import no_secret
from tests.drivers.installed import install
from tests.drivers.test_copy_git import git
from tests.drivers.vault_suite import run, silent

ESTATE = """
sites: {{gra: {{}}, ams: {{}}, par: {{}}}}
servers: {{gra-web: {{site: gra}}, ams-1: {{site: ams}}, par-spare: {{site: par}}, par-other: {{site: par}}}}
services:
  web: {{kind: http, on: [gra-web]}}
  coordination: {{kind: etcd, on: [gra-web]}}
  database: {{kind: postgresql, on: [gra-web], spares: [par-spare], needs: [coordination]}}
data:
  uploads: {{in: web, paths: [{root}/uploads]}}
  code: {{in: web, paths: [{root}/code]}}
  contacts: {{in: database, user: postgres, socket: {socket}}}
vaults:
  here: {{kind: directory, on: gra-web, path: {root}/disk/here}}
  there: {{kind: directory, on: gra-web, path: {root}/disk/there}}
  far: {{kind: directory, on: ams-1, path: /srv/far}}
backups:
  files: {{of: uploads, method: files, every: 1d, to: [here, there]}}
  git: {{of: code, method: git, every: 1d, to: [here]}}
  dump: {{of: contacts, method: dump, every: 1d, to: [here]}}
  base: {{of: contacts, method: basebackup, every: 1d, to: [here]}}
  away: {{of: uploads, method: files, every: 1d, to: [far]}}
"""

Binome = Callable[..., Result]


def invoke(root: Path, *words: str, server: str = "gra-web", typed: str = "") -> Result:
    (root / "scratch").mkdir(exist_ok=True)
    return CliRunner().invoke(
        app, [*words, "--as", server, "--scratch", str(root / "scratch"), "--estate", str(root / "estate.yaml")], typed
    )


@pytest.fixture
def root(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A folder with an estate, uploads, a repository and a disk for vaults."""
    install(monkeypatch)
    (tmp_path / "uploads").mkdir()
    (tmp_path / "uploads" / "a").write_text("hello")
    (tmp_path / "code").mkdir()
    git(tmp_path / "code", "init", "--quiet")
    git(tmp_path / "code", "commit", "--quiet", "--allow-empty", "-m", "one")
    (tmp_path / "disk").mkdir()
    (tmp_path / "estate.yaml").write_text(ESTATE.format(root=tmp_path, socket=tmp_path))
    return tmp_path


def answer(result: Result, code: int = 0) -> Any:
    assert result.exit_code == code, result.output
    return json.loads(result.stdout)


def taken(root: Path, backup: str = "files") -> dict[str, str]:
    found: dict[str, str] = answer(invoke(root, "backup", "take", backup, "--json"))["stored"]
    return found


def proved(root: Path, vault: str, id_: str, verdict: str = "proven") -> None:
    """Puts a proof of a copy into a vault, as far as its labels go."""
    (root / "proof").mkdir(exist_ok=True)
    (root / "proof" / "proof.json").write_text("{}")
    labels = {Label.KIND.value: "proof", Label.OF.value: id_, Label.VERDICT.value: verdict}
    place = VaultPlace(vault, "directory", str(root / "disk" / vault))
    run(DirectoryVault(place, no_secret).put(root / "proof", 1_700_000_000_000, labels, silent))


def restored(root: Path, *words: str, code: int = 0, **more: Any) -> Any:
    return answer(invoke(root, "restore", *words, "--yes", "--json", **more), code)


def uploads(root: Path) -> Path:
    return root / "back" / "uploads" / str(root / "uploads").strip("/")


def test_the_newest_proven_copy_is_restored_and_compared(root: Path) -> None:
    old = taken(root)
    proved(root, "there", old["there"])
    (root / "uploads" / "a").write_text("newer")
    answer(invoke(root, "backup", "take", "files", "--json"))
    into = ("--into", str(root / "back"))
    plan = answer(invoke(root, "restore", "uploads", *into, "--dry-run", "--json"))
    assert not plan["done"] and not (root / "back").exists() and list(plan["from"]) == ["there", "here"]
    done = restored(root, "uploads", *into)
    assert done["same"] and done["done"] and done["vault"] == "there" and done["proven"]
    assert done["compared"]["files"] == 1 and set(done["phases_ms"]) == {"fetch", "verify", "restore", "compare"}
    assert (uploads(root) / "a").read_text() == "hello"
    assert [one.name for one in root.iterdir() if one.name.startswith(".")] == [] == list((root / "scratch").iterdir())
