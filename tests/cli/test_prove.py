"""`binome backup prove`, and what `show` says of its proofs; the sandbox is a folder, and nothing is restored."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from typer.testing import CliRunner, Result

from binome.cli.main import app
from binome.ports_of_copies import NoSandboxError, RestoreError, Unrestored
from tests.drivers.installed import install
from tests.runtime.authorities import ca, put
from tests.runtime.test_proving import Restores, Room

ESTATE = """
estate: littoral
sites: {{gra: {{region: fr}}, par: {{region: fr}}, ams: {{region: nl}}}}
servers: {{gra-web: {{site: gra}}, gra-2: {{site: gra}}, par-spare: {{site: par}}, ams-1: {{site: ams}}}}
services: {{web: {{kind: http, on: [gra-web]}}}}
data: {{uploads: {{in: web, paths: [{root}/uploads]}}}}
vaults:
  here: {{kind: directory, on: gra-web, path: {root}/disk/here}}
  away: {{kind: directory, on: {on}, path: {root}/disk/here}}
  gone: {{kind: directory, on: {on}, path: {root}/disk/gone/away}}
  lost: {{kind: directory, on: {on}, path: {root}/disk/lost}}
backups:
  files: {{of: uploads, method: files, every: 1d, to: [here]}}
  proofs: {{of: uploads, method: files, every: 1d, to: [away]}}
  of-gone: {{of: uploads, method: files, every: 1d, to: [gone]}}
  of-lost: {{of: uploads, method: files, every: 1d, to: [lost]}}
"""

Binome = Callable[..., Result]


class Stage:
    """The command on `ams-1`, with an identity; a copy of `files` lies in the vault `here`."""

    def __init__(self, folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
        install(monkeypatch)
        self.folder = folder
        self.restorer = Restores()
        self.room = Room(folder / "room")
        (folder / "uploads").mkdir()
        (folder / "uploads" / "a").write_text("hello")
        (folder / "disk").mkdir()
        self.estate("gra-web", "files")
        monkeypatch.chdir(folder)
        monkeypatch.setattr("binome.cli.prove.load", lambda _: self.restorer)
        monkeypatch.setattr("binome.cli.prove.FencedSandbox", lambda _: self.room)
        self.authority = ca(folder / "ca")
        put(self.authority, folder / "tls", "ams-1")
        assert self("take", "files", "--scratch", str(folder), server="gra-web").exit_code == 0
        self.estate("ams-1", "proofs")

    def estate(self, on: str, backup: str) -> None:
        """The vault is this server's own where it is asked; the copy is of the backup `files` in both."""
        text = ESTATE.format(root=self.folder, on=on)
        if backup == "proofs":
            text = text.replace("  files: {", "  other: {").replace("  proofs: {", "  files: {")
        (self.folder / "estate.yaml").write_text(text)

    def __call__(self, *words: str, server: str = "ams-1") -> Result:
        tls = ["--tls", str(self.folder / "tls")] if words[0] in ("prove", "show") and "--tls" not in words else []
        return CliRunner().invoke(app, ["backup", *words, "--as", server, *tls])


@pytest.fixture
def stage(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Stage:
    return Stage(tmp_path, monkeypatch)


def answer(result: Result, code: int = 0) -> Any:
    assert result.exit_code == code, result.output
    return json.loads(result.stdout)


def test_a_copy_is_proven_listed_and_its_signature_verified(stage: Stage) -> None:
    proof = answer(stage("prove", "files", "--json"))
    assert proof["verdict"] == "proven" and proof["server"] == "ams-1" and proof["signature"]
    (copy,) = answer(stage("list", "files", "--json"))["copies"]
    assert copy["proven"] and copy["id"] == proof["copy"]
    shown = answer(stage("show", "files", "--json"))
    assert (
        shown["proven"] and shown["newest_proof"]["believed"] and shown["newest_proof"]["proof"]["verdict"] == "proven"
    )
    assert "proven on ams-1" in (words := stage("show", "files").stdout) and "its signature is good" in words
    words = stage("prove", "files", proof["copy"][:17]).stdout
    assert ": proven, on ams-1" in words and "signed and put beside it as" in words and "restore takes" in words


def test_a_bad_copy_ends_with_1_and_its_proof_is_kept(stage: Stage) -> None:
    stage.restorer.lines = ("pg_restore: error: it is cut off",)
    result = stage("prove", "files")
    assert (
        result.exit_code == 1 and "NOT PROVEN: altered, on ams-1" in result.stdout and "it is cut off" in result.stdout
    )
    assert not answer(stage("list", "files", "--json"))["copies"][0]["proven"]
    assert "altered on ams-1" in stage("show", "files").stdout
    stage.restorer.lines = ()
    assert stage("prove", "files").exit_code == 0


def test_a_forged_proof_is_not_believed(stage: Stage) -> None:
    proof = answer(stage("prove", "files", "--json"))
    path = stage.folder / "disk" / "here" / proof["stored"] / "proof.json"
    good = path.read_bytes()
    for change, words in (
        ({b'"size_bytes":': b'"size_bytes":1'}, "it was altered: its signature does not fit"),
        ({b'"verdict":"proven"': b'"verdict":"corrupt"'}, "its label says proven"),
        ({b'"copy":"2': b'"copy":"3'}, "it is of another copy"),
        ({good: b"{}"}, "proof.json cannot be read"),
    ):
        ((was, is_),) = change.items()
        assert was in good
        path.write_bytes(good.replace(was, is_))
        assert f"NOT BELIEVED: {words}" in stage("show", "files").stdout
    path.write_bytes(good)
    assert "cannot be verified here" in stage("show", "files", "--tls", str(stage.folder / "none")).stdout


@pytest.mark.parametrize(
    ("words", "server", "code", "said"),
    [
        (("prove", "flies"), "ams-1", 2, "Did you mean files?"),
        (("prove", "files", "--vault", "here"), "ams-1", 2, "has no vault of files here"),
        (("prove", "files", "9999"), "ams-1", 1, "no copy whose id begins with 9999"),
        (("prove", "of-gone"), "ams-1", 4, "of-gone: a vault could not be asked; nothing was proven"),
        (("prove", "of-lost"), "ams-1", 1, "of-lost: unreadable: a vault of it cannot be read"),
        (("prove", "files"), "par-spare", 3, "par-spare cannot sign a proof"),
        (("prove", "files", "--tls", "none"), "ams-1", 3, "binome ca issue ams-1"),
    ],
)
def test_what_cannot_be_done_is_said(stage: Stage, words: tuple[str, ...], server: str, code: int, said: str) -> None:
    result = stage(*words, server=server)
    assert result.exit_code == code and said in result.output, result.output


@pytest.mark.parametrize(
    ("server", "code", "said"),
    [
        ("gra-web", 2, "gra-web has what the copy is of"),
        ("gra-2", 2, "gra-2 stands in site gra with gra-web, which the copy is of"),
        ("par-spare", 0, "par-spare and gra-web share region fr"),
    ],
)
def test_where_it_may_be_proven(stage: Stage, server: str, code: int, said: str) -> None:
    stage.estate(server, "proofs")
    put(stage.authority, stage.folder / "other", server)
    result = stage("prove", "files", "--tls", str(stage.folder / "other"), server=server)
    assert result.exit_code == code and said in result.output, result.output


def test_a_server_that_lacks_something_makes_no_proof(stage: Stage, monkeypatch: pytest.MonkeyPatch) -> None:
    stage.restorer.raised["restore"] = RestoreError(Unrestored.NO_TOOL, "pg_restore is not installed")
    result = stage("prove", "files")
    assert result.exit_code == 3 and "pg_restore is not installed; nothing was proven" in result.output

    def refuses(*_: object) -> None:
        raise NoSandboxError("a sandbox needs root")

    monkeypatch.setattr(stage.room, "opened", refuses)
    result = stage("prove", "files")
    assert result.exit_code == 3 and "a sandbox needs root; nothing was proven" in result.output
    assert "proof" not in stage("show", "files").stdout


def test_a_rehearsal_has_to_fail_and_is_put_nowhere(stage: Stage, monkeypatch: pytest.MonkeyPatch) -> None:
    result = stage("prove", "files", "--damage")
    assert result.exit_code == 0 and "found: altered" in result.stdout
    monkeypatch.setattr("binome.cli.prove.damaged", lambda _: "nothing")
    result = stage("prove", "files", "--damage")
    assert result.exit_code == 1 and "the damage was NOT found" in result.stdout
    assert answer(stage("show", "files", "--json"))["newest_proof"] is None
