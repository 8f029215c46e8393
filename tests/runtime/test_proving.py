"""Proving without engines: what is fetched is bounded and compared; what is no matter of the copy is raised."""

from __future__ import annotations

import asyncio
import os
import time
from collections.abc import AsyncIterator, Callable, Mapping, Sequence
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import pytest

from binome.core.copies import Stored
from binome.core.proofs import Phase, Proof, ProofError, Verdict, read
from binome.drivers.backup import load as method
from binome.drivers.damage import damage
from binome.drivers.vault.directory import DirectoryVault
from binome.estate import load
from binome.ports_of_copies import (
    Compared,
    Needs,
    Place,
    RestoreError,
    Tell,
    Trouble,
    Unrestored,
    VaultError,
    VaultPlace,
)
from binome.runtime import proving
from binome.runtime.copying import Hands, take
from binome.runtime.proving import Wanted, prove, put
from tests.drivers.copier_suite import no_secret, silent
from tests.drivers.installed import install
from tests.runtime.proofs import damaged, manifest_of, now_ms, only, resealed, sums, unsigned, vault_at

ESTATE = """
sites: {{gra: {{}}, par: {{}}}}
servers: {{gra-web: {{site: gra}}, par-spare: {{site: par}}}}
services: {{web: {{kind: http, on: [gra-web]}}}}
data: {{uploads: {{in: web, paths: [{root}/uploads]}}}}
vaults: {{away: {{kind: directory, on: par-spare, path: /srv/away}}}}
backups: {{files: {{of: uploads, method: files, every: 1d, to: [away]}}}}
"""


class Restores:
    """Restores nothing; says what it is told to say."""

    needs = Needs.FOLDER

    def __init__(self) -> None:
        self.raised: dict[str, RestoreError] = {}
        self.lines: tuple[str, ...] = ()
        self.differences: tuple[str, ...] = ()
        self.places: list[Place] = []

    async def verify(self, _: Path, __: Mapping[str, Any], place: Place) -> Sequence[str]:
        self.places.append(place)
        self._raise("verify")
        return self.lines

    async def restore(self, copy: Path, place: Place, _: Tell) -> Place:
        assert (place.seen(copy) / "files.tar").is_file() and not list(place.seen(place.folder).iterdir())
        self._raise("restore")
        return place

    async def compare(self, _: Place, __: Mapping[str, Any], ___: Mapping[str, str], ____: Tell) -> Compared:
        self._raise("compare")
        return Compared({"entries": 3}, self.differences)

    def amounts(self, fingerprint: Mapping[str, Any]) -> Mapping[str, int]:
        return {"files": fingerprint["files"]}

    def _raise(self, where: str) -> None:
        if where in self.raised:
            raise self.raised[where]


class Room:
    """A folder instead of a sandbox."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.asked: list[tuple[int, int]] = []

    @asynccontextmanager
    async def opened(self, size_bytes: int, files: int) -> AsyncIterator[Place]:
        self.asked.append((size_bytes, files))
        folder = self.folder / str(len(self.asked))
        folder.mkdir(parents=True)
        yield Place(folder)

    async def own(self, place: Place, folder: Path) -> None:
        assert place.seen(folder).is_dir()


class NoEngine:
    """Is never started."""

    def __init__(self) -> None:
        self.versions: dict[str, str] = {}

    async def stop(self) -> None:
        pass


class Stage:
    """A copy of two files in a vault, and all that proves it."""

    def __init__(self, folder: Path) -> None:
        (folder / "uploads").mkdir()
        (folder / "uploads" / "a").write_bytes(b"a" * 200_000)
        self.folder = folder
        self.estate = proofs_estate(folder)
        self.restorer = Restores()
        self.room = Room(folder / "room")
        self.vault = vault_at(folder / "vault")
        self.place = VaultPlace("away", "directory", str(folder / "vault"))
        self.take()

    def take(self) -> str:
        hands = Hands(method("files", no_secret), {"away": self.vault}, sums, now_ms)
        done = asyncio.run(take(self.estate, "files", "gra-web", scratch=self.folder, hands=hands, tell=silent))
        return done.stored["away"]

    def prove(self, vault: DirectoryVault | None = None, copy: Stored | None = None, **more: Any) -> Proof:
        vault = vault or self.vault
        listed = asyncio.run(vault.list())
        given = {
            "vault": vault,
            "restorer": self.restorer,
            "sandbox": self.room,
            "engine": NoEngine,
            "sums": sums,
            "now_ms": now_ms,
            "sign": unsigned,
            "versions": {"binome": "0"},
        }
        tools = proving.Tools(**{**given, **more})
        wanted = Wanted("away", copy or listed[0], listed)
        return asyncio.run(prove(self.estate, "files", wanted, tools=tools, tell=silent))


def proofs_estate(folder: Path) -> Any:
    return load(ESTATE.format(root=folder).encode())


@pytest.fixture
def stage(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Stage:
    install(monkeypatch)
    return Stage(tmp_path)


def test_a_good_copy_is_proven_and_its_proof_lies_beside_it(stage: Stage) -> None:
    proof = stage.prove()
    manifest = manifest_of(stage.folder / "vault" / proof.copy)
    assert (proof.verdict, proof.found) == (Verdict.PROVEN, ())
    assert (proof.data, proof.method, proof.taken_by) == (("uploads",), "files", "gra-web")
    assert (proof.at_ms, proof.size_bytes) == (manifest.at_ms, manifest.size_bytes)
    assert set(proof.phases_ms) == {Phase.FETCH, Phase.VERIFY, Phase.RESTORE, Phase.COMPARE}
    assert proof.compared == {"entries": 3, "files": 1} and proof.versions["binome"] == "0"
    ((size, files),) = stage.room.asked
    assert size > 8 * manifest.size_bytes and files > 1000
    id_ = asyncio.run(put(proof, stage.vault, silent))
    one = next(one for one in asyncio.run(stage.vault.list()) if one.id == id_)
    assert one.labels["kind"] == "proof" and one.labels["of"] == proof.copy and one.labels["verdict"] == "proven"
    assert read(asyncio.run(stage.vault.read(id_, "proof.json", 1 << 20))) == proof
    with pytest.raises(ProofError):
        read(b"{}")


def many(folder: Path) -> None:
    for number in range(2000):
        (folder / "uploads" / str(number)).touch()


def archive(folder: Path) -> Path:
    return folder / "uploads" / "files.tar"


DAMAGES: dict[str, tuple[Verdict, str, Callable[[Path], object]]] = {
    "missing": (Verdict.ALTERED, "uploads/files.tar: it is missing", lambda at: archive(at).unlink()),
    "extra": (Verdict.ALTERED, "uploads/x: nobody saved it", lambda at: (at / "uploads" / "x").touch()),
    "truncated": (Verdict.ALTERED, "it is shorter", lambda at: os.truncate(archive(at), 10)),
    "grown": (Verdict.ALTERED, "it is longer", lambda at: os.truncate(archive(at), 300_000)),
    "altered": (Verdict.ALTERED, "its content", damage),
    "bomb": (Verdict.UNSAFE, "it is more than it says", lambda at: os.truncate(archive(at), 1 << 26)),
    "many": (Verdict.UNSAFE, "it is more than it says", many),
    "manifest": (Verdict.ALTERED, "copy.json cannot be read", lambda at: os.truncate(at / "copy.json", 40)),
    "no-manifest": (Verdict.UNREADABLE, "copy.json", lambda at: (at / "copy.json").unlink()),
    "nothing-in-it": (Verdict.ALTERED, "its fingerprints are not", lambda at: resealed(at, fingerprints={})),
    "fewer-in-it": (Verdict.ALTERED, "its fingerprints are not", lambda at: resealed(at, data=("uploads", "more"))),
    "leading-out": (
        Verdict.ALTERED,
        "its fingerprints are not",
        lambda at: resealed(at, data=("../x",), fingerprints={"../x": {"files": 1}}),
    ),
    "malformed": (Verdict.ALTERED, "of the form of its method", lambda at: resealed(at, fingerprints={"uploads": {}})),
    "another-backup": (Verdict.ALTERED, "it says that it is of weekly", lambda at: resealed(at, backup="weekly")),
    "another-method": (Verdict.ALTERED, "it says that it was made by git", lambda at: resealed(at, method="git")),
    "another-time": (Verdict.ASTRAY, "of another time", lambda at: resealed(at, at_ms=1)),
    "clock": (Verdict.ASTRAY, "its clock went back", lambda at: resealed(at, began_ms=1 << 42)),
}


@pytest.mark.parametrize("name", DAMAGES)
def test_every_damage_has_its_verdict_before_anything_is_restored(stage: Stage, name: str) -> None:
    verdict, words, change = DAMAGES[name]
    stage.restorer.raised["restore"] = RestoreError(Unrestored.BROKEN, "it came as far as that")
    if name == "malformed":
        stage.restorer.raised = {}
    with damaged(stage.folder / "vault", stage.folder / "damaged", change) as vault:
        proof = stage.prove(vault)
    assert proof.verdict is verdict and any(words in line for line in proof.found), proof


def test_what_would_never_end_is_not_read(stage: Stage) -> None:
    for name, change in (
        ("link", lambda at: (at / "x").symlink_to("/etc/passwd")),
        ("pipe", lambda at: os.mkfifo(at / "x")),
    ):
        with damaged(stage.folder / "vault", stage.folder / name, change) as vault:
            proof = stage.prove(vault)
        assert proof.verdict is Verdict.UNREADABLE and "x is neither a file nor a folder" in proof.found[0]


def test_what_is_no_file_is_unsafe_whatever_a_vault_makes_of_it(stage: Stage) -> None:
    class Linking(DirectoryVault):
        async def fetch(self, id_: str, into: Path, tell: Tell) -> None:
            await super().fetch(id_, into, tell)
            (into / "uploads" / "link").symlink_to("/etc/passwd")

    vault = Linking(stage.place, no_secret)
    assert stage.prove(vault).verdict is Verdict.UNSAFE


@pytest.mark.parametrize(
    ("where", "verdict"),
    [("verify", Verdict.ALTERED), ("restore", Verdict.UNRESTORABLE), ("compare", Verdict.CORRUPT)],
)
def test_what_a_restorer_refuses_has_a_verdict_by_its_phase(stage: Stage, where: str, verdict: Verdict) -> None:
    stage.restorer.raised[where] = RestoreError(Unrestored.BROKEN, "this and that")
    proof = stage.prove()
    assert proof.verdict is verdict and proof.found == ("it cannot be restored: this and that",)
    stage.restorer.raised[where] = RestoreError(Unrestored.UNSAFE, "a link")
    assert stage.prove().verdict is Verdict.UNSAFE
    stage.restorer.raised[where] = RestoreError(Unrestored.NO_TOOL, "git is not installed")
    with pytest.raises(RestoreError, match="git is not installed"):
        stage.prove()


def test_lines_are_verdicts_too(stage: Stage) -> None:
    stage.restorer.lines = tuple(f"line {n}" for n in range(30))
    proof = stage.prove()
    assert proof.verdict is Verdict.ALTERED and len(proof.found) == 21 and proof.found[-1] == "and 10 more"
    stage.restorer.lines, stage.restorer.differences = (), ("two files are others",)
    assert stage.prove().verdict is Verdict.DIFFERENT
    assert stage.prove(fingerprints=False).verdict is Verdict.PROVEN


def test_no_room_is_a_verdict_only_where_all_the_room_was_given(stage: Stage, monkeypatch: pytest.MonkeyPatch) -> None:
    stage.restorer.raised["restore"] = RestoreError(Unrestored.FULL, "no space left on device")
    usage = type("Usage", (), {"total": 1 << 60})
    monkeypatch.setattr("binome.runtime.proving.shutil.disk_usage", lambda _: usage)
    proof = stage.prove()
    assert proof.verdict is Verdict.UNSAFE and "8 times what was saved" in proof.found[0]
    usage.total = 1 << 20  # type: ignore[attr-defined]
    with pytest.raises(RestoreError, match="there is no room"):
        stage.prove()


@pytest.mark.parametrize(
    ("trouble", "verdict"),
    [
        (Trouble.UNREACHABLE, None),
        (Trouble.BUSY, None),
        (Trouble.NO_TOOL, None),
        (Trouble.WRONG_KEY, Verdict.UNREADABLE),
        (Trouble.DAMAGED, Verdict.UNREADABLE),
        (Trouble.NOT_THERE, Verdict.UNREADABLE),
        (Trouble.FULL, Verdict.UNSAFE),
    ],
)
def test_what_the_vault_does_not_give(stage: Stage, trouble: Trouble, verdict: Verdict | None) -> None:
    class Away(DirectoryVault):
        async def fetch(self, *_: object) -> None:
            raise VaultError(trouble, "so it is")

    vault = Away(stage.place, no_secret)
    if verdict is None:
        with pytest.raises(VaultError):
            stage.prove(vault)
    else:
        assert stage.prove(vault).verdict is verdict


def test_a_copy_of_nearly_nothing_after_full_ones_is_empty(stage: Stage, monkeypatch: pytest.MonkeyPatch) -> None:
    (stage.folder / "uploads" / "a").write_bytes(b"")
    real = time.time_ns
    monkeypatch.setattr("time.time_ns", lambda: real() + 3_600_000_000_000)
    stage.take()
    proof = stage.prove()
    assert proof.verdict is Verdict.EMPTY and proof.found[0].endswith("are usual"), proof


def test_damage_on_purpose_is_found(stage: Stage) -> None:
    assert stage.prove(damage=damage).verdict is Verdict.ALTERED
    assert stage.prove().verdict is Verdict.PROVEN, "what lies in the vault is as it was"
    assert only(stage.vault).labels["kind"] == "copy"
