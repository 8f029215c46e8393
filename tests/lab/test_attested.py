"""Two of three sites burn: nothing is automatic, a person attests, the third goes on; then the others come back.

The test's fixture checks at the end that no acknowledged write is lost, that no two primaries acknowledged, and that
everything is whole again.
"""

from __future__ import annotations

import json
import os
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import pytest

import binome
from binome.core.attested import Refused
from binome.drivers.database.patroni.processes import find, started_with
from binome.lab import lookouts
from binome.lab.lab import Lab
from binome.render import Folders
from tests.lab.conftest import Night
from tests.lab.test_agents import is_fenced, until_connected

pytestmark = pytest.mark.lab


def attested(lab: Lab, lookout: str, names: list[str]) -> tuple[int, dict[str, Any]]:
    """What `binome takeover --attest` says at a lookout, and how it ends."""
    door = f"{Folders(str(lab.root(lookout))).run}/binome.sock"
    arguments = ["takeover", lab.database(), "--attest", ",".join(names), "--yes", "--json", "--socket", door]
    environment = {**os.environ, "PYTHONPATH": str(Path(binome.__file__).parents[1])}
    done = subprocess.run(
        [sys.executable, "-m", "binome.cli.entry", *arguments], capture_output=True, env=environment, check=False
    )
    sys.stdout.write(done.stdout.decode() + done.stderr.decode())
    return done.returncode, json.loads(done.stdout)


def lacking(lab: Lab, service: str) -> list[str]:
    """The members that do not work yet. Patroni is started where it has ended, as systemd would: it may end at once
    where its own etcd is away."""
    for server in lab.estate.services[service].on:
        file = f"{Folders(str(lab.root(server))).configuration}/{service}.patroni.yml"
        if not find(started_with(Path(file))):
            log = lab.folder / "logs" / f"{server}.{service}.patroni.log"
            sys.stdout.write(f"Patroni on {server} had ended: {log.read_text(errors='replace')[-300:]}\n")
            lab.start_member(service, server)
    return [server for server, one in lab.looks()[service].items() if one.state != "up"]


def test_a_person_attests_that_two_sites_are_off_and_the_third_goes_on(night: Night) -> None:
    lab = night.lab
    until_connected(lab)
    watching = lookouts.names(lab.estate)
    own = night.site_of(night.standby)
    (lookout,) = [one for one in watching if night.site_of(one) == own]
    lost = [night.site_of(one) for one in watching if night.site_of(one) not in (own, night.site_of(night.primary))]
    lost.append(night.site_of(night.primary))
    for site in lost:
        lab.burn(site)
    burned_s = time.monotonic()
    night.until(lambda: is_fenced(lab, night.standby), "the survivor's fence", 10)

    def waits() -> bool:
        said = lookouts.said(lab.root(lookout))
        offered = said["attestable"] if said is not None and not said["leader"] else []
        return [sorted(one["names"]) for one in offered] == [sorted(lost)]

    night.until(waits, "a status that says what a person can do", 20)
    said = lookouts.said(lab.root(lookout))
    assert said is not None
    (one,) = said["attestable"]
    assert (one["survivor"], one["whole"]) == (night.standby, True)
    time.sleep(max(0.0, burned_s + 10 - time.monotonic()))  # nothing ever comes of waiting: for as long as this
    assert lab.look(night.service, night.standby).role != "primary"
    code, answer = attested(lab, lookout, lost[:1])
    assert (code, answer["answer"]) == (1, Refused.OTHER_NAMES.value)
    asked_s = time.monotonic()
    code, answer = attested(lab, lookout, lost)
    assert (code, answer.get("answer")) == (0, "granted")
    sys.stdout.write(f"writable {time.monotonic() - asked_s:.1f} s after the person's word\n")
    night.until_writes_flow(timeout_s=20)
    sys.stdout.write(f"writes flow {time.monotonic() - asked_s:.1f} s after the person's word\n")
    back_s = time.monotonic()
    for site in lost:
        lab.rebuild(site, waits=False)
    night.until(lambda: all(one.state == "up" for one in lab.looks()["coordination"].values()), "etcd's members", 90)
    sys.stdout.write(f"etcd has all members {time.monotonic() - back_s:.1f} s after the sites are back\n")
    lab.wait_for(lambda: lacking(lab, night.service), "the database", 120)
    lab.wait_until_whole(timeout_s=60)
    sys.stdout.write(f"whole {time.monotonic() - back_s:.1f} s after the sites are back\n")
    assert lab.primary(night.service) == night.standby
    night.until(lambda: not any(is_fenced(lab, one) for one in lab.estate.servers), "all servers in service", 30)
    said = lookouts.said(lab.root(lookout))
    assert said is not None
    assert (said["absent"], said["attestable"]) == ([], [])
