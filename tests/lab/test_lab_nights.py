"""The nights: what happens on the real engines when a site is lost, and what the clients have to say about it.

Every test runs under load, and its fixture checks at the end that no acknowledged write is lost, that no two primaries
acknowledged, and that the pair is whole again.
"""

from __future__ import annotations

import json
import os
import signal
import sys
from pathlib import Path
from typing import Any

import pytest

from binome.lab.clients import held_by
from binome.lab.lab import Lab
from binome.lab.process import Program
from binome.render import Folders
from tests.lab import writer_inside
from tests.lab.conftest import ENGINES_ALONE, Night

pytestmark = pytest.mark.lab
ESTATE = ENGINES_ALONE


def test_primary_burns_with_the_leader_of_etcd_and_comes_back_from_nothing(night: Night) -> None:
    night.lab.move_leader("coordination", night.primary)
    night.until(lambda: night.lab.look("coordination", night.primary).role == "leader", "the leader of etcd moved")
    night.lab.burn(night.site_of(night.primary), wipe=True)
    night.until_primary(night.standby)
    night.until_writes_flow()
    assert not (night.lab.folder / "servers" / night.primary).exists()
    night.lab.rebuild(night.site_of(night.primary))
    assert night.lab.look(night.service, night.primary).role == "standby"
    assert night.lab.primary(night.service) == night.standby


def test_primary_burns_and_comes_back_with_its_old_data(night: Night) -> None:
    night.lab.burn(night.site_of(night.primary))
    night.until_primary(night.standby)
    night.until_writes_flow()
    night.lab.rebuild(night.site_of(night.primary))
    assert night.lab.look(night.service, night.primary).role == "standby"


def test_standby_burns(night: Night) -> None:
    night.lab.burn(night.site_of(night.standby), wipe=True)
    night.until_writes_flow()
    assert night.lab.primary(night.service) == night.primary
    night.lab.rebuild(night.site_of(night.standby))
    assert night.lab.primary(night.service) == night.primary


def test_postgresql_of_the_primary_is_killed(night: Night) -> None:
    pid_file = Path(Folders(str(night.lab.folder / "servers" / night.primary)).data) / "postgresql" / "postmaster.pid"
    pid = int(pid_file.read_text().split()[0])
    assert pid in night.lab.pids(night.primary)
    os.kill(pid, signal.SIGKILL)
    night.until(lambda: pid not in night.lab.pids(night.primary), "the end of PostgreSQL")
    night.until_writes_flow()


def test_cut_primary_acknowledges_nothing_to_those_inside(night: Night) -> None:
    """The exceptions are documented: a session that does not wait for the standby, or stops waiting for it."""
    site = night.site_of(night.primary)
    night.lab.cut(site)
    said = _write_inside(night.lab, night.primary)
    night.until_primary(night.standby)
    night.until_writes_flow()
    late = _write_inside(night.lab, night.primary, prefix="late")
    night.lab.heal(site)
    night.lab.wait_until_whole()
    held = held_by(night.lab, night.standby)

    acknowledged = {name for name, one in said.items() if one["acknowledged"]}
    assert acknowledged == {"synchronous-commit-local", "cancelled", "do-nothing-after-cancelled"}
    assert not acknowledged & held, "what a session did not wait for is lost, as documented"
    assert said["cancelled"]["warned"], "the server says so, and our client counts it as unknown"
    assert {name: one["acknowledged"] for name, one in late.items() if one["acknowledged"]} == {}


def _write_inside(lab: Lab, server: str, prefix: str = "") -> dict[str, Any]:
    """What a client in the cut site is told: from the primary's own server, by each way of writing."""
    answers = lab.folder / f"inside{prefix}.json"
    settings = lab.folder / f"inside{prefix}.settings.json"
    settings.write_text(
        json.dumps(
            {
                "address": lab.estate.servers[server].address,
                "password": lab.client_password(),
                "answers": str(answers),
                "prefix": prefix,
            }
        )
    )
    program = Program((sys.executable, str(Path(writer_inside.__file__)), str(settings)))
    assert lab.spawn(server, program, "inside.log").wait(timeout=60) == 0
    said: dict[str, Any] = json.loads(answers.read_text())
    return said
