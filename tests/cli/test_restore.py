"""`binome restore`, end to end: files and repositories into folders, dumps into a real PostgreSQL."""

from __future__ import annotations

import json
import os
import shutil
from collections.abc import Iterator
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest
from typer.testing import CliRunner, Result

from binome.cli.main import app
from binome.core.copies import Label
from binome.core.proofs import PROOF, Proof, Verdict, written
from binome.drivers.restore.dump import RestoreDump
from binome.drivers.restore.shared.targets import MARK
from binome.drivers.vault.directory import DirectoryVault
from binome.ports_of_copies import VaultPlace
from tests.drivers.copier_suite import no_secret
from tests.drivers.installed import install
from tests.drivers.postgres_server import Server, running
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


def invoke(root: Path, *words: str, server: str = "gra-web", typed: str = "") -> Result:
    (root / "scratch").mkdir(exist_ok=True)
    scratch = ["--scratch", str(root / "scratch")] if words[:2] != ("backup", "list") else []
    return CliRunner().invoke(app, [*words, "--as", server, *scratch, "--estate", str(root / "estate.yaml")], typed)


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


def proved(root: Path, vault: str, id_: str, verdict: str = "proven", labelled: str = "") -> None:
    """Puts a proof of a copy into a vault, which nobody signed; its label can say that it is of another copy."""
    (root / "proof").mkdir(exist_ok=True)
    proof = Proof(
        estate="estate",
        backup="files",
        data=("uploads",),
        method="files",
        vault=vault,
        copy=id_,
        taken_by="gra-web",
        at_ms=0,
        size_bytes=0,
        server="par-spare",
        began_ms=0,
        ended_ms=1,
        verdict=Verdict(verdict),
    )
    (root / "proof" / PROOF).write_bytes(written(proof))
    labels = {Label.KIND.value: "proof", Label.OF.value: labelled or id_, Label.VERDICT.value: verdict}
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


def test_a_proof_that_is_forged_is_not_believed(root: Path) -> None:
    old = taken(root)
    proved(root, "here", "another", labelled=old["here"])
    words = ("restore", "files", "--into", str(root / "back"), "--yes")
    refused = invoke(root, *words)
    assert refused.exit_code == 1 and "is not believed" in refused.output and "of another copy" in refused.output
    assert not (root / "back").exists()
    assert invoke(root, *words, "--unproven").exit_code == 0


def test_what_nobody_has_proven_is_taken_only_where_that_is_said(root: Path) -> None:
    (id_, *_) = taken(root).values()
    into = ("--into", str(root / "back"))
    for words in ((), (id_[:20],)):
        refused = restored(root, "uploads", *words, *into, code=1)
        assert "--unproven" in refused["refused"] and not refused["done"]
    proved(root, "here", id_, "different")
    assert "--unproven" in restored(root, "files", *into, code=1)["refused"], "a proof that failed proves nothing"
    said = invoke(root, "restore", "uploads", *into, "--unproven", "--dry-run")
    assert said.exit_code == 0 and "NOT PROVEN: nobody has ever restored it" in said.output
    assert not (root / "back").exists()
    assert restored(root, "uploads", *into, "--unproven")["proven"] is False


def test_a_moment_and_an_id_name_a_copy_and_a_newer_one_is_said(root: Path) -> None:
    old = taken(root)
    proved(root, "here", old["here"])
    listed = answer(invoke(root, "backup", "list", "files", "--json"))["copies"]
    at_ms = max(one["at_ms"] for one in listed)
    (root / "uploads" / "a").write_text("newer")
    while True:  # two copies of one second are told apart, and cannot be by a moment
        new = taken(root)
        newest = max(one["at_ms"] for one in answer(invoke(root, "backup", "list", "files", "--json"))["copies"])
        if newest > at_ms:
            break
    into, dry = ("--into", str(root / "back")), ("--dry-run", "--json")
    plan = answer(invoke(root, "restore", "uploads", *into, *dry))
    assert plan["at_ms"] == at_ms and plan["newer_unproven_ms"] == newest
    assert "--unproven takes it" in invoke(root, "restore", "uploads", *into, "--dry-run").output
    assert answer(invoke(root, "restore", "uploads", *into, *dry, "--unproven"))["at_ms"] == newest
    assert (
        answer(invoke(root, "restore", "files", new["there"], *into, *dry, "--unproven"))["from"]["there"]
        == new["there"]
    )
    before = datetime.fromtimestamp(at_ms / 1000 - 1, UTC).isoformat()
    refused = restored(root, "files", *into, "--at", before, code=1)["refused"]
    assert refused == "no copy is of that moment or before it"


@pytest.mark.parametrize("how", ["altered", "missing", "no-manifest", "another", "gone"])
def test_a_vault_that_gives_no_whole_copy_is_passed_over(root: Path, how: str) -> None:
    stored = taken(root)
    proved(root, "here", stored["here"])
    copy = root / "disk" / "here" / stored["here"]
    archive = copy / "uploads" / "files.tar"
    match how:
        case "altered":
            raw = archive.read_bytes()
            archive.write_bytes(raw.replace(b"hello", b"hallo"))
        case "missing":
            archive.unlink()
        case "no-manifest":
            (copy / "copy.json").unlink()
        case "another":
            said = json.loads((copy / "copy.json").read_bytes())
            (copy / "copy.json").write_text(json.dumps({**said, "backup": "others"}))
        case "gone":
            shutil.rmtree(copy)
    done = restored(root, "files", "--into", str(root / "back"))
    assert done["vault"] == "there" and list(done["troubles"]) == ["here"] and done["same"]
    shutil.rmtree(root / "back")
    shutil.rmtree(root / "disk" / "there" / stored["there"])
    result = invoke(root, "restore", "uploads", "--into", str(root / "back"), "--yes")
    assert result.exit_code == 1 and "no vault gave the copy whole; nothing was restored" in result.output
    assert not (root / "back").exists() and list((root / "scratch").iterdir()) == []


def test_nothing_that_is_there_is_written_over(root: Path) -> None:
    (id_, *_) = taken(root).values()
    (root / "full").mkdir()
    (root / "full" / "mine").write_text("mine")
    vault = root / "disk" / "here"
    (root / "link").symlink_to(vault)
    for into, refused in (
        (root / "full", "the folder is not empty"),
        (root / "full" / "mine", "the folder is not empty"),
        (root / "none" / "below", "the folder above it is not there"),
        (vault, "the folder is part of a vault"),
        (vault / "new", "the folder is part of a vault"),
        (root / "disk", "the folder is part of a vault"),
        (root / "link" / "new", "the folder is part of a vault"),
    ):
        said = restored(root, "uploads", "--unproven", "--into", str(into), code=1)
        assert said["refused"].startswith(refused), (into, said)
    assert (root / "full" / "mine").read_text() == "mine" and (vault / f"{id_}.json").exists()
    done = restored(root, "uploads", "--unproven", "--aside", "--into", str(root / "full"))
    assert done["same"] and "kept aside" in done["role"]
    (aside,) = root.glob("full.old-*")
    assert (aside / "mine").read_text() == "mine" and (root / "full" / "uploads").is_dir()


def test_a_person_types_the_name_of_the_target(root: Path) -> None:
    taken(root)
    words = ("restore", "uploads", "--unproven", "--into", str(root / "back"))
    for typed in ("", "yes\n", f"{root}\n"):
        said = invoke(root, *words, typed=typed)
        assert said.exit_code == 2 and "that is not its name; nothing was done" in said.output
        assert not (root / "back").exists()
    said = invoke(root, *words, typed=f"{root / 'back'}\n")
    assert said.exit_code == 0 and "it is what was saved: 1 files" in said.output, said.output
    assert "nothing that is written over" in said.output and "what was written after that" in said.output


@pytest.mark.parametrize(
    ("words", "code", "said"),
    [
        (("nothing", "--into", "./x"), 2, "no data and no backup nothing"),
        (("upload", "--into", "./x"), 2, "Did you mean uploads?"),
        (("uploads", "--unproven", "--into", "gra-wbe"), 2, "Did you mean gra-web?"),
        (("uploads", "--unproven", "--into", "gra-web"), 2, "restored into a folder, not into a server"),
        (("uploads", "--unproven", "--into", "./x", "--allow", "devices"), 2, "--allow takes links, setuid, pipes"),
        (("uploads", "zzz", "--into", "./x"), 4, "there is no copy"),
        (("git", "--into", "./x"), 1, "there is no copy"),
        (("away", "--into", "./x"), 4, "is a directory of ams-1"),
        (("uploads", "--at", "noon", "--into", "./x"), 2, "expected a time such as"),
    ],
)
def test_what_cannot_be_done_is_said(root: Path, words: tuple[str, ...], code: int, said: str) -> None:
    taken(root)
    shutil.rmtree(root / "disk" / "there")
    result = invoke(root, "restore", *words)
    assert result.exit_code == code and said in result.output, result.output


def test_what_leads_out_is_refused_until_it_is_asked_for(root: Path) -> None:
    (root / "uploads" / "zone").symlink_to("/usr/share/zoneinfo/UTC")
    taken(root)
    words = ("restore", "uploads", "--unproven", "--yes", "--into", str(root / "back"))
    result = invoke(root, *words)
    assert result.exit_code == 1 and "zone: it is a link that leads out" in result.output, result.output
    assert not (root / "back").exists() and list(root.glob(".back*")) == []
    assert invoke(root, *words, "--allow", "links").exit_code == 0
    assert (uploads(root) / "zone").readlink() == Path("/usr/share/zoneinfo/UTC")


def test_a_repository_comes_back(root: Path) -> None:
    taken(root, "git")
    done = restored(root, "code", "--unproven", "--into", str(root / "back"))
    assert done["same"] and done["compared"] == {"repositories": 1, "references": 1}
    assert git(root / "back" / "code" / "code.git", "rev-parse", "main") == git(root / "code", "rev-parse", "main")


def test_no_room_to_fetch_is_said_before(root: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    taken(root)
    real = os.statvfs

    def small(path: Any) -> Any:
        found = list(real(path))
        found[4] = 0  # blocks that are free for us
        return os.statvfs_result(found)

    monkeypatch.setattr("binome.cli.restore.os.statvfs", small)
    result = invoke(root, "restore", "uploads", "--unproven", "--yes", "--into", str(root / "back"))
    assert result.exit_code == 3 and "nothing was done.  Name another folder: --scratch" in result.output


@pytest.fixture(scope="module")
def server() -> Iterator[Server]:
    with running() as server:
        yield server


@pytest.fixture
def database(root: Path, server: Server) -> Iterator[Path]:
    """The same folder; the database of the estate is that of a real server: what is saved, and the target."""
    (root / "estate.yaml").write_text(ESTATE.format(root=root, socket=server.folder))
    server.execute(
        "CREATE ROLE writer LOGIN", "CREATE DATABASE contacts OWNER writer", "ALTER DATABASE contacts SET jit = off"
    )
    server.execute(
        "CREATE TABLE names (id bigserial, name text)",
        "INSERT INTO names (name) SELECT n::text FROM generate_series(1, 500) n",
        "CREATE INDEX ON names (id)",
        database="contacts",
    )
    yield root
    server.execute("DROP DATABASE IF EXISTS contacts WITH (FORCE)", "DROP ROLE IF EXISTS writer")


def one(server: Server, query: str, database: str = "postgres") -> Any:
    with server.connect(database) as connection:
        row = connection.execute(query.encode()).fetchone()
        return row and row[0]


INTO = ("--unproven", "--into", "gra-web")


@pytest.mark.lab
def test_a_dump_is_restored_into_a_server_and_a_full_one_is_not_touched(database: Path, server: Server) -> None:
    taken(database, "dump")
    refused = restored(database, "contacts", *INTO, code=1)
    assert refused["refused"] == "there is data already" and refused["holds"].startswith("contacts has 1 tables of ")
    assert "a primary of PostgreSQL 15" in refused["role"] and "database contacts on gra-web" in refused["into"]
    server.execute("DROP DATABASE contacts", "DROP ROLE writer")
    done = restored(database, "contacts", *INTO)
    assert done["same"] and done["compared"]["rows"] == 500, done
    assert one(server, "SELECT count(*) FROM names", "contacts") == 500
    state = (
        "SELECT concat_ws(' ', datdba::regrole, datconnlimit, shobj_description(oid, 'pg_database')) FROM pg_database"
    )
    assert one(server, f"{state} WHERE datname = 'contacts'") == "writer -1"
    assert (
        one(server, "SELECT setconfig::text FROM pg_db_role_setting WHERE setconfig::text LIKE '%jit%'") == "{jit=off}"
    )


@pytest.mark.lab
def test_what_was_interrupted_is_begun_anew_and_nobody_gets_in_before(database: Path, server: Server) -> None:
    taken(database, "dump")
    server.execute("DROP DATABASE contacts", "CREATE DATABASE contacts CONNECTION LIMIT 0")
    server.execute("CREATE TABLE half (id int)", database="contacts")
    server.execute(f"COMMENT ON DATABASE contacts IS '{MARK}'")
    assert restored(database, "contacts", *INTO)["same"]
    assert one(server, "SELECT to_regclass('half')::text", "contacts") is None


@pytest.mark.lab
def test_a_restore_that_fails_leaves_no_database(
    database: Path, server: Server, monkeypatch: pytest.MonkeyPatch
) -> None:
    taken(database, "dump")
    server.execute("DROP DATABASE contacts")

    async def fails(*_: Any) -> Any:
        assert one(server, "SELECT datconnlimit FROM pg_database WHERE datname = 'contacts'") == 0
        raise OSError(28, "No space left on device")

    monkeypatch.setattr("binome.drivers.restore.dump.RestoreDump.compare", fails)
    result = invoke(database, "restore", "contacts", *INTO, "--yes")
    assert result.exit_code == 3 and "nothing was restored" in result.output, result.output
    assert one(server, "SELECT count(*) FROM pg_database WHERE datname = 'contacts'") == 0


@pytest.mark.lab
def test_a_restore_that_is_not_what_was_saved_says_so(
    database: Path, server: Server, monkeypatch: pytest.MonkeyPatch
) -> None:
    taken(database, "dump")
    server.execute("DROP DATABASE contacts", "DROP ROLE writer", "CREATE ROLE writer LOGIN CREATEDB")
    from binome.drivers.restore.dump import RestoreDump

    real = RestoreDump.compare

    async def compared(self: RestoreDump, *words: Any) -> Any:
        server.execute("DELETE FROM names WHERE id = 7", database="contacts")
        return await real(self, *words)

    monkeypatch.setattr(RestoreDump, "compare", compared)
    said = restored(database, "contacts", *INTO, code=1)
    assert said["done"] and not said["same"]
    assert any("has 499 rows, and 500 were saved" in line for line in said["differences"]), said


@pytest.mark.lab
def test_a_server_that_is_no_member_and_one_that_does_not_answer(database: Path, server: Server) -> None:
    taken(database, "dump")
    result = invoke(database, "restore", "contacts", "--unproven", "--into", "par-other")
    assert result.exit_code == 2 and "no member and no spare of database" in result.output
    result = invoke(database, "restore", "contacts", "--unproven", "--into", "par-spare")
    assert result.exit_code == 2 and "par-spare has no address" in result.output
    text = (database / "estate.yaml").read_text()
    (database / "estate.yaml").write_text(text.replace(str(server.folder), str(database)))
    result = invoke(database, "restore", "contacts", *INTO)
    assert result.exit_code == 4 and "nothing was done" in result.output, result.output


@pytest.mark.lab
def test_dumps_and_base_backups_into_folders(database: Path, server: Server) -> None:
    taken(database, "dump")
    done = restored(database, "dump", "--unproven", "--into", str(database / "back"))
    assert done["same"] and (database / "back" / "contacts" / "database" / "toc.dat").is_file()
    taken(database, "base")
    done = restored(database, "base", "--unproven", "--into", str(database / "data"))
    assert done["same"] and (database / "data" / "PG_VERSION").read_text().strip() == "15"
    assert (database / "data").stat().st_mode & 0o777 == 0o700
    (database / "data" / "postmaster.pid").write_text("1\n")
    said = restored(database, "base", "--unproven", "--aside", "--into", str(database / "data"), code=1)
    assert said["refused"] == "there is data already", "a server runs on it"
