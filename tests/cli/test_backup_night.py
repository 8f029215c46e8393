"""A night whose copies are taken by the real command into a real vault; what proves them is made up."""

from __future__ import annotations

import asyncio
import json
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any, cast

import pytest

from binome.cli import agent_hands
from binome.cli.agent_hands import AgentHands
from binome.cli.agent_start import settings_of
from binome.core.backup_facts import ProofMade
from binome.core.entry import Entry
from binome.core.state import VOCABULARY
from binome.estate import Estate, load
from binome.render import Folders
from binome.runtime.agent import Agent
from binome.runtime.backup_report import backups, measures
from binome.runtime.backups import Backups
from binome.runtime.everywhere import AtServer
from tests.cli.test_backup_leaders import Agents
from tests.drivers.test_vault_restic import served
from tests.runtime.world import MemoryStore, World

ESTATE = """
estate: night
sites: {{gra: {{}}, ams: {{}}, par: {{}}}}
servers:
  gra-web: {{site: gra, address: 10.77.0.1}}
  ams-1: {{site: ams, address: 10.77.0.2}}
  par-1: {{site: par, address: 10.77.0.3}}
services: {{web: {{kind: http, on: [gra-web]}}}}
data: {{uploads: {{in: web, paths: [{root}/uploads], backup: [files]}}}}
vaults:
  far: {{kind: restic, on: ams-1, path: /srv/far, url: "rest:http://127.0.0.1:{port}/far", key: "file:{root}/key"}}
backups:
  files: {{of: uploads, method: files, every: 1h, to: [far], proof: {{every: 1h, on: par-1}}}}
lookout: {{on: [gra-web, ams-1, par-1]}}
"""

PROGRAM = """\
case $2 in
take) exec PYTHON -m binome.cli.entry "$@";;
prove) verdict=proven
  case "$*" in *--damage*) verdict=altered;; esac
  printf '{"vault": "%s", "copy": "%s", "at_ms": %s000, ' "$6" "$4" "$(date +%s)"
  printf '"verdict": "%s", "phases_ms": {"fetch": 7}}' $verdict;;
esac
"""


class Here(Agents):
    """The agents of all servers of an estate; each runs Binôme's own commands."""

    def __init__(self, estate: Estate, folder: Path, clock: Any) -> None:
        self.estate, self.folder, self.clock = estate, folder, clock
        self.gone, self.agents, self.hands = set(), {}, {}
        for server in estate.servers:
            self.start(server)

    def start(self, server: str) -> None:
        settings = settings_of(self.estate, server, Folders(str(self.folder / server)), self.folder / "estate.yaml")
        self.hands[server] = AgentHands(settings)
        nobody = cast(Any, None)
        self.agents[server] = Agent(settings, nobody, nobody, nobody, self.clock, hands=self.hands[server], boot="")


class Leader(World):
    def __init__(self, estate: Estate, folder: Path) -> None:
        super().__init__(MemoryStore())
        self.clock.now_s = time.time()
        self.loop.estate = estate
        self.here = Here(estate, folder, self.clock)
        cast(dict[str, Any], self.loop.drivers)["backup"] = AtServer(self.here)
        self.loop.observers = (Backups(self.here, self.clock),)

    async def until(self, good: Callable[[], bool], within_s: float) -> None:
        """Waits, at the pace of the world's clock."""
        end_s = time.monotonic() + within_s
        while not good():
            assert time.monotonic() < end_s, b"\n".join(bytes(entry.fact) for entry in self.store.entries).decode()
            await asyncio.sleep(0.05)
            self.loop.nudge()
            await self.clock.pass_(max(0.0, time.time() - self.clock.now_s))

    def proofs(self) -> list[ProofMade]:
        facts = [VOCABULARY.read(entry) for entry in self.store.entries if isinstance(entry, Entry)]
        return [fact for fact in facts if isinstance(fact, ProofMade)]


def test_a_copy_is_taken_into_a_vault_by_schedule_then_proven_and_one_that_is_damaged_is_found(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "uploads").mkdir()
    (tmp_path / "uploads" / "letter").write_text("hello " * 1000)
    (tmp_path / "key").write_text("a key for the safe")
    (tmp_path / "rest").mkdir()

    async def night(estate: Estate) -> None:
        leader = Leader(estate, tmp_path)
        await leader.start()
        await leader.until(lambda: len(leader.proofs()) == 2 and not leader.loop.state.plans, 120)
        good, damaged = leader.proofs()
        assert (good.verdict, good.damaged, good.server, good.vault) == ("proven", False, "par-1", "far")
        assert damaged.damaged and damaged.verdict != "proven"
        assert good.restored_ms == 7
        counted = leader.kinds()
        assert [counted.count(kind) for kind in ("copy-taken", "copy-failed", "proof-failed")] == [1, 0, 0]
        (row,) = backups(estate, leader.loop.state, leader.clock.now_ms())
        assert row["wrong"] == []
        assert list(measures([row], leader.clock.now_ms())) == ["files"]
        await leader.crash()

    script = tmp_path / "binome"
    script.write_text(PROGRAM.replace("PYTHON", sys.executable))
    monkeypatch.setattr(agent_hands, "PROGRAM", ("sh", str(script)))
    with served(tmp_path / "rest") as port:
        file = tmp_path / "estate.yaml"
        file.write_text(ESTATE.format(root=tmp_path, port=port))
        asyncio.run(night(load(file.read_bytes())))
        command = [sys.executable, "-m", "binome.cli.entry", "backup", "list", "--estate", str(file), "--json"]
        listed = subprocess.run([*command, "--as", "par-1"], capture_output=True, check=True)
        (copy,) = json.loads(listed.stdout)["copies"]
        assert (copy["vault"], copy["backup"], copy["server"]) == ("far", "files", "gra-web")
