"""The hands of a takeover on real engines: fires with data wiped, refusals, fencing of what is frozen, the return.

Every test runs under load, and its fixture checks at the end that no acknowledged write is lost, that no two primaries
acknowledged, and that the pair is whole again. Bounds are those of the goals with room for a busy machine; the figures
are `bench/takeover.py`'s.
"""

from __future__ import annotations

import json
import os
import signal
import sys
import time
from pathlib import Path

import pytest

from binome.drivers.database.patroni import cluster
from binome.drivers.database.patroni.processes import find, runs_in, started_with
from binome.lab.clients import held_by
from binome.lab.lab import Lab
from binome.lab.process import Program
from binome.lab.workload import DATABASE, ROLE
from tests.lab import fires, local_writer
from tests.lab.conftest import ENGINES_ALONE, Night
from tests.lab.fires import by_agent, by_leader, member_of, until_known

pytestmark = pytest.mark.lab
ESTATE = ENGINES_ALONE


def test_the_survivor_takes_over_in_about_a_second_though_all_data_is_gone(lab: Lab) -> None:
    lab.wait_until_whole()
    fire = fires.fire(lab, "burnt-primary")
    assert fire.results == {"traffic.maint": "done", "database.takeover": "done"}
    assert fire.ended_s["database.takeover"] < 1.5
    assert fire.writes_s["impatient"] < 2.0
    assert (fire.evidence.lost, fire.evidence.double_primary) == ((), ())


def test_writes_go_on_when_the_standby_is_lost(lab: Lab) -> None:
    lab.wait_until_whole()
    fire = fires.fire(lab, "burnt-standby", standby=True)
    assert fire.results == {"traffic.maint": "done", "database.release": "done"}
    assert fire.writes_s["impatient"] < 1.5
    assert (fire.evidence.lost, fire.evidence.double_primary) == ((), ())


def test_a_switchover_and_the_same_once_more(night: Night) -> None:
    asked = {"primary": night.primary, "to": night.standby}
    assert by_leader(night.lab, "database.switchover", **asked)["result"] == "done"
    assert night.lab.primary(night.service) == night.standby
    assert by_leader(night.lab, "database.switchover", **asked)["result"] == "done"
    refused = by_leader(night.lab, "database.switchover", primary=night.primary, to="par-spare")
    assert refused["detail"] == cluster.Refused.PRIMARY_CHANGED


def test_what_would_lose_a_write_or_end_no_wait_is_refused(night: Night) -> None:
    lab, primary, standby = night.lab, night.primary, night.standby
    alive = by_leader(lab, "database.release", primary=primary, lost=standby)
    assert (alive["result"], alive["detail"]) == ("failed", cluster.Refused.STANDBY_ALIVE)
    other_way = by_leader(lab, "database.takeover", survivor=primary, lost=standby)
    assert other_way["result"] == "done", "it leads already: nothing was to be done"
    assert lab.primary(night.service) == primary

    site = night.site_of(standby)
    lab.burn(site)
    night.until_writes_flow()  # Patroni has released it by itself: the primary goes on alone
    refused = by_leader(lab, "database.takeover", survivor=standby, lost=primary)
    assert (refused["result"], refused["detail"]) == ("failed", cluster.Refused.NOT_SYNCHRONOUS)
    assert lab.primary(night.service) == primary
    lab.rebuild(site)


def test_a_write_proves_the_primary_and_is_bounded_where_it_hangs(night: Night) -> None:
    lab = night.lab
    done = by_agent(lab, night.primary, "database.verify")
    assert (done["result"], f"synchronous: {night.standby}" in done["detail"]) == ("done", True), done
    assert by_agent(lab, night.standby, "database.verify")["result"] == "failed"
    postgresql = find(runs_in(Path(member_of(lab, night.primary)["data"])))
    assert postgresql
    for pid in postgresql:
        os.kill(pid, signal.SIGSTOP)
    try:
        hung = by_agent(lab, night.primary, "database.verify")
    finally:
        for pid in postgresql:
            os.kill(pid, signal.SIGCONT)
    assert (hung["result"], hung["ended_s"] - hung["begun_s"] < 4) == ("unknown", True), hung


def test_a_frozen_side_is_fenced_stays_so_and_comes_back_rewound(night: Night) -> None:
    """The primary's site is cut off, and its Patroni stands still: only its own agent can stop it."""
    lab, lost = night.lab, night.primary
    place = member_of(lab, lost)
    postgresql, patroni = runs_in(Path(place["data"])), started_with(Path(place["configuration"]))
    site = night.site_of(lost)
    for pid in find(patroni):
        os.kill(pid, signal.SIGSTOP)
    lab.cut(site)
    taken = by_leader(lab, "database.takeover", survivor=night.standby, lost=lost)
    assert taken["result"] == "done", taken
    assert find(postgresql), "nobody else stops it"
    fenced = by_agent(lab, lost, "database.fence")
    assert (fenced["result"], fenced["ended_s"] - fenced["begun_s"] < 2, find(postgresql)) == ("done", True, set())
    night.until_writes_flow()
    lab.heal(site)
    time.sleep(2)  # whatever would start it again has had two of its loops
    assert find(postgresql) == set(), "it stays fenced when the network is back"
    back = until_known(lab, lost, "database.rejoin")
    assert back["result"] == "done", back
    assert lab.look(night.service, lost).role == "standby"
    assert not list(Path(place["data"]).parent.glob("postgresql.old-*")), "it was rewound, not copied"


def test_a_member_that_cannot_be_rewound_is_copied_and_its_old_data_kept(night: Night) -> None:
    lab, lost = night.lab, night.standby
    place = member_of(lab, lost)
    data = Path(place["data"])
    assert by_agent(lab, lost, "database.fence")["result"] == "done"
    (data / "global" / "pg_control").write_bytes(b"")
    back = until_known(lab, lost, "database.rejoin", rewind_s="5", copy_s="60")
    assert back["result"] == "done", back
    (aside,) = data.parent.glob("postgresql.old-*")
    assert (aside / "global" / "pg_control").read_bytes() == b""
    assert lab.look(night.service, lost).role == "standby"


@pytest.mark.parametrize("fenced_after_s", [None, 2.0])
def test_what_an_isolated_primary_acknowledges(night: Night, fenced_after_s: float | None) -> None:
    """With `synchronous_commit = local` it does so until it is stopped; with any other session it does not.

    Where nobody fences, Patroni demotes it when it has waited for etcd for long enough; its own agent is quicker.
    """
    lab, lost = night.lab, night.primary
    site = night.site_of(lost)
    file = lab.folder / f"isolated-{fenced_after_s}.jsonl"
    dsn = f"host={lab.estate.servers[lost].address} dbname={DATABASE} user={ROLE} password={lab.client_password()}"
    code = Path(local_writer.__file__)
    writer = lab.spawn(lost, Program((sys.executable, str(code), dsn, str(file), "15")), "isolated.log")
    agent = [fires.command("database.fence", lost, service="database")]
    hands = fires.Hands(lab, lost, f"fence-{fenced_after_s}", [agent], agent=True)
    night.until(lambda: file.exists() and file.read_text().count("plain") > 5, "writes of both sessions")
    cut_s = time.monotonic()
    lab.cut(site)
    taken = by_leader(lab, "database.takeover", survivor=night.standby, lost=lost)
    taken_s = taken["ended_s"] - cut_s
    if fenced_after_s is not None:
        time.sleep(max(cut_s + fenced_after_s - time.monotonic(), 0))
        hands.go()
        assert hands.wait()[0]["result"] == "done"
    assert writer.wait(30) == 0
    if fenced_after_s is None:
        hands.go()
        hands.wait()
    acknowledged = [json.loads(line) for line in file.read_text().splitlines()]
    window_s = {
        session: max(one["at_s"] for one in acknowledged if one["session"] == session) - cut_s
        for session in local_writer.SESSIONS
    }
    lab.heal(site)
    assert until_known(lab, lost, "database.rejoin")["result"] == "done"
    lab.wait_until_whole()
    held = held_by(lab, night.standby)
    lost_rows = dict.fromkeys(local_writer.SESSIONS, 0)
    for one in acknowledged:
        lost_rows[one["session"]] += one["id"] not in held
    figures = f"fenced after {fenced_after_s} s, taken over after {taken_s:.2f} s: acknowledged for {window_s} s"
    sys.stdout.write(f"{figures}, lost {lost_rows}\n")
    assert taken["result"] == "done"
    assert lost_rows["plain"] == 0
    assert window_s["plain"] < 0.2, "what waits for the standby is acknowledged no more once it is cut off"
    assert lost_rows["local"] > 0, "what does not wait is lost, as documented"
    assert window_s["local"] < (14 if fenced_after_s is None else fenced_after_s + 0.5)
