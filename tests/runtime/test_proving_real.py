"""Copies of a real PostgreSQL are proven in a real sandbox; every damage is found, and has its name."""

from __future__ import annotations

import os
from collections.abc import Iterator
from pathlib import Path

import pytest

from binome.core.proofs import Phase, Verdict
from binome.estate import Estate
from tests.drivers.installed import registered
from tests.drivers.postgres_server import Server, running
from tests.runtime.proofs import estate_of, proven, taken, vault_at

pytestmark = [
    pytest.mark.lab,
    pytest.mark.skipif(os.geteuid() != 0, reason="a sandbox needs root"),
]

ROWS = 5000


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
