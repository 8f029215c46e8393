"""Copies of a real PostgreSQL are proven in a real sandbox; every damage is found, and has its name."""

from __future__ import annotations

import hashlib
import json
import os
import shutil
import stat
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from binome.core.copies import MANIFEST
from binome.core.proofs import Phase, Verdict
from binome.drivers.backup.basebackup import CLUSTER
from binome.drivers.backup.dump import DATABASE
from binome.drivers.vault.restic import ResticVault
from binome.estate import Estate
from binome.ports_of_copies import VaultPlace
from tests.drivers.copier_suite import silent
from tests.drivers.installed import registered
from tests.drivers.postgres_server import Server, running
from tests.drivers.vault_suite import run
from tests.runtime.proofs import damaged, estate_of, manifest_of, only, proven, resealed, taken, vault_at

pytestmark = [
    pytest.mark.lab,
    pytest.mark.skipif(os.geteuid() != 0, reason="a sandbox needs root"),
]

ROWS = 40_000


class Prepared:
    """A source, and a vault with one copy of each method."""

    def __init__(self, server: Server, folder: Path) -> None:
        self.server = server
        self.folder = folder
        self.estate: Estate = estate_of(server.folder)
        self.scratch = folder / "scratch"
        self.scratch.mkdir()
        self.vaults: dict[str, Path] = {}

    def take(self, backup: str, vault: Path) -> str:
        return taken(self.estate, backup, vault_at(vault), self.scratch)


@pytest.fixture(scope="module")
def prepared(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Prepared]:
    patch = pytest.MonkeyPatch()
    patch.setattr(
        "binome.drivers.entries.entry_points",
        lambda group, name=None: [one for one in registered(group) if name in (None, one.name)],
    )
    with running() as server:
        server.execute("CREATE DATABASE contacts", "CREATE ROLE writer LOGIN")
        server.execute(
            "CREATE TABLE contacts (id bigserial PRIMARY KEY, name text)",
            f"INSERT INTO contacts (name) SELECT 'name ' || n FROM generate_series(1, {ROWS}) n",
            "CREATE TABLE seen (at timestamptz)",
            "INSERT INTO seen SELECT '2026-01-01'::timestamptz + n * interval '1 hour' FROM generate_series(1, 100) n",
            "ALTER TABLE contacts OWNER TO writer",
            "CHECKPOINT",
            database="contacts",
        )
        one = Prepared(server, tmp_path_factory.mktemp("proving"))
        for backup in ("dump", "basebackup"):
            one.vaults[backup] = one.folder / backup
            one.take(backup, one.vaults[backup])
        yield one
    patch.undo()


@pytest.mark.parametrize("backup", ["dump", "basebackup"])
def test_the_healthy_control_is_proven(prepared: Prepared, backup: str) -> None:
    checks = ', checks: {many: {of: contacts, ask: "SELECT count(*) > 1000 FROM contacts"}}'
    estate = estate_of(prepared.server.folder, checks)
    proof = proven(estate, backup, vault_at(prepared.vaults[backup]), prepared.scratch)
    assert (proof.verdict, proof.found) == (Verdict.PROVEN, ())
    assert set(proof.phases_ms) == set(Phase), "every phase was reached, and timed"
    assert proof.compared["checks"] == 1 and proof.compared["relations"] > 100 and proof.compared["files"] > 2
    assert backup != "dump" or proof.compared["rows"] == ROWS + 100
    assert proof.versions["server"].startswith(proof.versions["scratch"])
    assert list(prepared.scratch.iterdir()) == []


def longest(folder: Path) -> Path:
    return max((path for path in folder.rglob("*") if path.is_file()), key=lambda path: path.stat().st_size)


def rows_of(folder: Path) -> Path:
    """The file of a dump that has the rows of contacts."""
    return longest(folder / "contacts" / DATABASE)


def rewritten(change: Callable[[bytes], bytes]) -> Callable[[Path], None]:
    """Changes the rows of a dump, and seals it anew."""

    def damage(folder: Path) -> None:
        path = rows_of(folder)
        path.write_bytes(change(path.read_bytes()))
        resealed(folder)

    return damage


def without_a_table(folder: Path) -> None:
    contents = folder / "contacts" / DATABASE / "toc.dat"
    contents.write_bytes(contents.read_bytes().replace(b"TABLE DATA", b"TABLE DATE"))
    resealed(folder)


def with_other_roles(folder: Path) -> None:
    roles = folder / "contacts" / "roles.sql"
    roles.write_text("CREATE ROLE writer NOLOGIN; CREATE ROLE postgres;")
    resealed(folder)


DUMPS: dict[str, tuple[Verdict, str, Callable[[Path], object]]] = {
    "missing": (Verdict.ALTERED, "it is missing", lambda folder: rows_of(folder).unlink()),
    "extra": (Verdict.ALTERED, "nobody saved it", lambda folder: (folder / "contacts" / "extra").touch()),
    "truncated": (Verdict.ALTERED, "shorter", lambda folder: os.truncate(rows_of(folder), 100)),
    "grown": (Verdict.ALTERED, "longer", lambda folder: os.truncate(rows_of(folder), 1 << 20)),
    "altered": (
        Verdict.ALTERED,
        "its content",
        lambda folder: rows_of(folder).write_bytes(rows_of(folder).read_bytes().replace(b"name 7\n", b"name 8\n")),
    ),
    "manifest-changed": (
        Verdict.ALTERED,
        "its seal does not fit",
        lambda at: (at / MANIFEST).write_bytes((at / MANIFEST).read_bytes().replace(b'"at_ms":1', b'"at_ms":2')),
    ),
    "manifest-missing": (Verdict.UNREADABLE, "copy.json", lambda folder: (folder / MANIFEST).unlink()),
    "link": (Verdict.UNREADABLE, "neither a file", lambda folder: (folder / "link").symlink_to("/etc/shadow")),
    "pipe": (Verdict.UNREADABLE, "neither a file", lambda folder: os.mkfifo(folder / "pipe")),
    "bomb": (
        Verdict.UNSAFE,
        "more than it says",
        lambda folder: os.truncate(folder / "contacts" / "roles.sql", 1 << 36),
    ),
    "dump-truncated": (Verdict.UNRESTORABLE, "", rewritten(lambda rows: rows[: rows.rindex(b"\t", 0, 9000)])),
    "dump-cut-between-rows": (
        Verdict.DIFFERENT,
        "rows, and 40000 were saved",
        rewritten(lambda rows: rows[: rows.rindex(b"\n", 0, 9000) + 1]),
    ),
    "dump-without-a-row": (
        Verdict.DIFFERENT,
        f"table public.contacts has {ROWS - 1} rows, and {ROWS} were saved",
        rewritten(lambda rows: rows.partition(b"\n")[2]),
    ),
    "dump-with-another-row": (
        Verdict.DIFFERENT,
        "table public.contacts has other rows",
        rewritten(lambda rows: rows.replace(b"name 7\n", b"name 8\n")),
    ),
    "dump-without-a-table": (Verdict.ALTERED, "the rows of public.contacts are not in the dump", without_a_table),
    "dump-with-other-roles": (Verdict.DIFFERENT, "role writer has other rights", with_other_roles),
}


@pytest.mark.parametrize("name", DUMPS)
def test_every_damage_of_a_dump_has_its_verdict(prepared: Prepared, tmp_path: Path, name: str) -> None:
    verdict, words, damage = DUMPS[name]
    with damaged(prepared.vaults["dump"], tmp_path / "vault", damage) as vault:
        proof = proven(prepared.estate, "dump", vault, prepared.scratch)
    assert proof.verdict is verdict, (proof.verdict, proof.found)
    assert any(words in line for line in proof.found), proof.found


def crc32c(content: bytes) -> str:
    """As PostgreSQL writes it: four bytes, the least first."""
    table = []
    for byte in range(256):
        value = byte
        for _ in range(8):
            value = (value >> 1) ^ (0x82F63B78 if value & 1 else 0)
        table.append(value)
    value = 0xFFFFFFFF
    for byte in content:
        value = (value >> 8) ^ table[(value ^ byte) & 0xFF]
    return (value ^ 0xFFFFFFFF).to_bytes(4, "little").hex()


def engines_manifest_resealed(folder: Path, path: Path) -> None:
    """Makes PostgreSQL's own manifest, and then ours, believe that a file always was as it is now."""
    manifest = folder / "contacts" / CLUSTER / "backup_manifest"
    text = manifest.read_text()
    name = str(path.relative_to(folder / "contacts" / CLUSTER))
    (entry,) = [one for one in json.loads(text)["Files"] if one.get("Path") == name]
    line = next(line for line in text.splitlines() if f'"{name}"' in line)
    text = text.replace(line, line.replace(entry["Checksum"], crc32c(path.read_bytes())))
    whole = text[: text.index('"Manifest-Checksum"')]
    manifest.write_text(f'{whole}"Manifest-Checksum": "{hashlib.sha256(whole.encode()).hexdigest()}"}}\n')
    resealed(folder)


def heap_page_flipped(server: Server) -> Callable[[Path], None]:
    with server.connect("contacts") as connection:
        ((where,),) = connection.execute("SELECT pg_relation_filepath('contacts')").fetchall()

    def damage(folder: Path) -> None:
        path = folder / "contacts" / CLUSTER / str(where)
        raw = bytearray(path.read_bytes())
        raw[8192 - 40] ^= 1  # in a row at the end of the first page
        path.write_bytes(raw)
        engines_manifest_resealed(folder, path)

    return damage


def without_wal(folder: Path) -> None:
    shutil.rmtree(folder / "contacts" / CLUSTER / "pg_wal")
    resealed(folder)


def engines_manifest_changed(folder: Path) -> None:
    manifest = folder / "contacts" / CLUSTER / "backup_manifest"
    manifest.write_bytes(manifest.read_bytes().replace(b'"Timeline": 1', b'"Timeline": 2'))
    resealed(folder)


def of_another_server(folder: Path) -> None:
    fingerprints = manifest_of(folder).fingerprints
    resealed(folder, fingerprints={"contacts": {**fingerprints["contacts"], "system_identifier": "123"}})


def without_the_label(folder: Path) -> None:
    (folder / "contacts" / CLUSTER / "backup_label").unlink()
    resealed(folder)


BASES: dict[str, tuple[Verdict, str, Callable[[Path], object]]] = {
    "missing": (
        Verdict.ALTERED,
        "it is missing",
        lambda at: (at / "contacts" / CLUSTER / "global/pg_control").unlink(),
    ),
    "extra": (Verdict.ALTERED, "nobody saved it", lambda at: (at / "contacts" / CLUSTER / "extra").touch()),
    "no-wal": (Verdict.ALTERED, "", without_wal),
    "engines-manifest-changed": (Verdict.ALTERED, "manifest checksum mismatch", engines_manifest_changed),
    "another-server": (Verdict.ALTERED, "it is of another server", of_another_server),
    "no-label": (Verdict.ALTERED, "backup_label", without_the_label),
}


@pytest.mark.parametrize("name", BASES)
def test_every_damage_of_a_base_backup_has_its_verdict(prepared: Prepared, tmp_path: Path, name: str) -> None:
    verdict, words, damage = BASES[name]
    with damaged(prepared.vaults["basebackup"], tmp_path / "vault", damage) as vault:
        proof = proven(prepared.estate, "basebackup", vault, prepared.scratch)
    assert proof.verdict is verdict, (proof.verdict, proof.found)
    assert any(words in line for line in proof.found), proof.found


def test_a_bit_of_a_heap_page_is_found_where_every_sum_fits(prepared: Prepared, tmp_path: Path) -> None:
    damage = heap_page_flipped(prepared.server)
    with damaged(prepared.vaults["basebackup"], tmp_path / "vault", damage) as vault:
        proof = proven(prepared.estate, "basebackup", vault, prepared.scratch)
    assert proof.verdict is Verdict.CORRUPT and any("contacts" in line for line in proof.found), proof
    assert Phase.COMPARE not in proof.phases_ms


def test_an_index_that_is_not_of_its_table_is_found(prepared: Prepared, tmp_path: Path) -> None:
    prepared.server.execute("CREATE DATABASE crooked")
    try:
        prepared.server.execute(
            "CREATE FUNCTION turned(n int) RETURNS int IMMUTABLE LANGUAGE sql AS 'SELECT n'",
            "CREATE TABLE numbers AS SELECT n FROM generate_series(1, 500) n",
            "CREATE INDEX by_turned ON numbers (turned(n))",
            "CREATE OR REPLACE FUNCTION turned(n int) RETURNS int IMMUTABLE LANGUAGE sql AS 'SELECT -n'",
            database="crooked",
        )
        prepared.take("basebackup", tmp_path / "vault")
    finally:
        prepared.server.execute("DROP DATABASE crooked WITH (FORCE)")
    proof = proven(prepared.estate, "basebackup", vault_at(tmp_path / "vault"), prepared.scratch)
    assert proof.verdict is Verdict.CORRUPT and any("by_turned" in line for line in proof.found), proof


def test_an_empty_database_where_there_was_a_full_one_is_found(prepared: Prepared, tmp_path: Path) -> None:
    with running() as empty:
        empty.execute("CREATE DATABASE contacts")
        estate = estate_of(empty.folder)
        for backup, words in (("dump", "it has 0 rows, and 40100 are usual"), ("basebackup", "bytes, and")):
            shutil.copytree(prepared.vaults[backup], tmp_path / backup)
            id_ = taken(estate, backup, vault_at(tmp_path / backup), prepared.scratch)
            proof = proven(estate, backup, vault_at(tmp_path / backup), prepared.scratch, id_)
            assert proof.verdict is Verdict.EMPTY and any(words in line for line in proof.found), proof


def test_a_clock_that_went_back_is_found_by_how_far_the_engine_had_come(
    prepared: Prepared, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    shutil.copytree(prepared.vaults["dump"], tmp_path / "vault")
    real = time.time_ns
    with monkeypatch.context() as patch:
        patch.setattr("time.time_ns", lambda: real() - 86_400_000_000_000)
        id_ = prepared.take("dump", tmp_path / "vault")
    proof = proven(prepared.estate, "dump", vault_at(tmp_path / "vault"), prepared.scratch, id_)
    assert proof.verdict is Verdict.ASTRAY and "later than the copy of" in proof.found[0], proof


@pytest.mark.parametrize("how", ["missing", "altered"])
def test_a_repository_without_a_chunk_or_with_another_is_unreadable(
    prepared: Prepared, tmp_path: Path, how: str
) -> None:
    (tmp_path / "disk").mkdir()
    vault = ResticVault(
        VaultPlace("away", "restic", str(tmp_path / "disk" / "r"), "key"), lambda _: "weak", patience_s=1
    )
    prepared_id = taken(prepared.estate, "dump", vault, prepared.scratch)
    path = longest(tmp_path / "disk" / "r" / "data")
    if how == "missing":
        path.unlink()
    else:
        raw = bytearray(path.read_bytes())
        raw[len(raw) // 2] ^= 1
        path.chmod(0o600)
        path.write_bytes(raw)
    proof = proven(prepared.estate, "dump", vault, prepared.scratch, prepared_id)
    assert proof.verdict is Verdict.UNREADABLE, proof


def test_links_devices_and_others_rights_in_a_repository_are_unsafe(prepared: Prepared, tmp_path: Path) -> None:
    """What restic restores of a snapshot that nobody took with us: nothing of it leaves the sandbox."""
    folder = tmp_path / "hostile"
    shutil.copytree(prepared.vaults["dump"] / only(vault_at(prepared.vaults["dump"])).id, folder)
    (folder / "link").symlink_to("/etc/passwd")
    os.mknod(folder / "device", 0o600 | stat.S_IFBLK, os.makedev(7, 0))
    os.mkfifo(folder / "pipe")
    (tmp_path / "disk").mkdir()
    vault = ResticVault(
        VaultPlace("away", "restic", str(tmp_path / "disk" / "r"), "key"), lambda _: "weak", patience_s=1
    )
    run(vault.prepare())
    manifest = manifest_of(folder)
    labels = {"kind": "copy", "estate": "gra", "backup": "dump", "method": "dump", "server": "gra-db"}
    run(vault.put(folder, manifest.at_ms, labels, silent))
    proof = proven(prepared.estate, "dump", vault, prepared.scratch)
    assert proof.verdict is Verdict.UNSAFE, proof
    assert [line.partition(":")[0] for line in proof.found] == ["device", "link", "pipe"], proof.found


def test_a_dump_that_brings_code_reaches_nothing(prepared: Prepared, tmp_path: Path) -> None:
    """Roles are SQL, and SQL of a superuser runs programs: of nobody, with no network and no place of ours."""
    secret = tmp_path / "reached"
    program = f"touch {secret} /usr/reached /etc/reached; exit 7"

    def damage(folder: Path) -> None:
        roles = folder / "contacts" / "roles.sql"
        roles.write_text(roles.read_text() + f"COPY (SELECT 1) TO PROGRAM '{program}';\n")
        resealed(folder)

    with damaged(prepared.vaults["dump"], tmp_path / "vault", damage) as vault:
        proof = proven(prepared.estate, "dump", vault, prepared.scratch)
    assert proof.verdict is Verdict.UNRESTORABLE and "program" in proof.found[0], proof
    assert not secret.exists() and not Path("/usr/reached").exists() and not Path("/etc/reached").exists()
