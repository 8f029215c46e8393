"""Both data sites burn with all that they hold, and the platform comes back out of a vault.

    load ► a copy is taken, and proven ► more load ► both sites burn ► etcd has no majority: nothing is automatic
         ► a person makes the spare a member, and attests that the sites are off ► the spare founds the database, empty
         ► the copy is restored ► the platform's name leads to the spare ► writes flow ► judge

What was acknowledged up to the moment that the copy is of must be there. What came after it is gone, and counted: that
is what a copy a day costs, and what the other fault domain saves for as long as only one burns.
"""

from __future__ import annotations

import json
import os
import signal
import subprocess
import time
from collections.abc import Callable, Sequence
from contextlib import suppress
from dataclasses import replace
from pathlib import Path
from typing import Any, NamedTuple

from binome.estate import load
from binome.estate.model import HaproxyService
from binome.lab import checker, engines, lookouts, stage
from binome.lab.checker import Evidence
from binome.lab.clients import PATIENCES_S, Clients, held_by, prepare_ledger
from binome.lab.demo import (
    AFTERWARDS_S,
    FLOW_PER_S,
    Event,
    Outcome,
    Recovery,
    Scene,
    View,
    Watcher,
    pause,
    waited,
)
from binome.lab.engines import Look
from binome.lab.errors import LabError
from binome.lab.lab import Lab
from binome.lab.record import Record
from binome.lab.vaults import Left, Vaults, left, with_spare
from binome.render import Folders

COPIED_S, BEYOND_S = 12, 3
"""How long a copy and its proof may take, and how long writes go on after them: they are what is lost beyond it."""
OURS = "binome.cli.entry\0run\0"
KNOWN_WITHIN_S, FOUNDED_WITHIN_S, ENDED_WITHIN_S = 40.0, 90.0, 10.0


def demonstrate(lab: Lab, view: View, say: Callable[[Event], None], scene: Scene | None = None) -> Outcome:
    """Runs the demonstration on a lab that is whole. Raises LabError where the lab, a client or a command fails."""
    scene, chosen = scene or Scene(), left(lab.estate)
    database = lab.database()
    prepare_ledger(lab)
    vaults = Vaults(lab, chosen)
    vaults.serve()
    clients = Clients(lab, scene.prefix)
    clients.start()
    with Watcher(lab, clients, view, say, scene.load_s + COPIED_S + BEYOND_S) as watcher:
        watcher.happened(f"{len(PATIENCES_S)} clients write, read and fetch")
        pause(scene.load_s, watcher)
        primary = lab.primary(database)
        copy = _copied(lab, vaults, chosen, primary, watcher)
        pause(BEYOND_S, watcher)
        led_by, before = stage.now(lab), len(watcher.events)
        faulted_at_s = _burned(lab, chosen, primary, watcher)
        _spare_takes_over(lab, chosen, watcher)
        restored = _restored(lab, vaults, chosen, copy, watcher)
        restored_at_s = time.monotonic()
        edges = [server for service, server in chosen.joins.items() if service in _edges(lab)]
        clients.lead_to(edges)
        watcher.happened(f"the platform's name leads to {', '.join(edges)}")
        moved_at_s = time.monotonic()
        flow = waited(lambda: _flows(watcher, moved_at_s), watcher)
        silence = checker.outage(clients.logs["patient"].records, "write")
        watcher.happened("writes flow again" if flow else "writes do not flow", silence.end_s if flow else None)
        pause(AFTERWARDS_S, watcher)
        flow = flow and watcher.acknowledged_since(time.monotonic() - AFTERWARDS_S / 2) > 0
        clients.stop()
    point_at_s = copy.at_ms / 1000 - (time.time() - time.monotonic())
    judged = _judged(clients.records(), held_by(lab, chosen.spare), point_at_s, restored_at_s)
    by_client = {name: checker.outages(log.records) for name, log in clients.logs.items()}
    primary_at_s = watcher.role_since_s.get((chosen.spare, Look("primary", "up")))
    return Outcome(
        estate=lab.estate.estate,
        fault="both",
        site=view.site,
        evidence=judged.evidence,
        outage_s=by_client["patient"],
        outage_impatient_s=by_client["impatient"],
        unanswered=checker.unanswered(clients.records()),
        flows=flow,
        new_primary_s=None if primary_at_s is None else round(primary_at_s - faulted_at_s, 2),
        verdict_s=None,
        scope="without a majority nobody can agree on one",
        time_to_redundancy_s=None,
        events=_from_the_fault(watcher.events, before, watcher.expected_at_s - faulted_at_s),
        engines=engines.versions(),
        faulted_at_s=faulted_at_s,
        records=tuple((name, tuple(log.records)) for name, log in clients.logs.items()),
        stage=led_by,
        pages=watcher.pages.since(faulted_at_s),
        recovery=Recovery(
            backup=chosen.backup,
            vault=restored["vault"],
            proven=copy.proven,
            point_s=round(point_at_s - faulted_at_s, 2),
            restored_s=round(restored_at_s - faulted_at_s, 2),
            same=restored["same"],
            phases_s={name: round(ms / 1000, 2) for name, ms in restored["phases_ms"].items()},
            lost_beyond=judged.beyond,
        ),
    )


def _from_the_fault(events: Sequence[Event], before: int, early_s: float) -> tuple[Event, ...]:
    """The events in their order, those `before` it from when the fault came and not from when it was expected."""
    moved = [replace(one, at_s=round(one.at_s + early_s, 2)) for one in events[:before]]
    return tuple(sorted([*moved, *events[before:]], key=lambda event: event.at_s))


class Copied(NamedTuple):
    """The copy that is taken under load: the moment that it is of, in milliseconds since 1970."""

    at_ms: int
    proven: bool


def _copied(lab: Lab, vaults: Vaults, chosen: Left, primary: str, watcher: Watcher) -> Copied:
    """Takes the backup, on a standby where there is one, and proves it."""
    members = lab.estate.services[lab.database()].on
    source = next((one for one in members if one != primary), primary)
    watcher.happened(f"{chosen.backup} is taken on {source}, under load")
    taken = vaults.run(source, "backup", "take", chosen.backup)
    if taken["failed"]:
        raise LabError(f"the backup is not in every vault: {taken['failed']}")
    watcher.happened(f"it is in {' and '.join(taken['stored'])}, of {taken['size_bytes']:,} bytes")
    tls = Folders(str(lab.root(chosen.spare))).tls
    words = ("backup", "prove", chosen.backup, "--vault", chosen.vault, "--tls", tls)
    proof = vaults.run(chosen.spare, *words, user=None)
    took_s, rows = sum(proof["phases_ms"].values()) / 1000, proof["compared"].get("rows", 0)
    if proof["verdict"] != "proven" or not proof["stored"]:
        raise LabError(f"the copy is not proven: {proof['verdict']}, {'; '.join(proof['found']) or proof['trouble']}")
    watcher.happened(f"it is proven on {chosen.spare} in {took_s:.1f} s: {rows:,} rows are what was saved")
    return Copied(taken["at_ms"], proven=True)


def _burned(lab: Lab, chosen: Left, primary: str, watcher: Watcher) -> float:
    """Burns all sites of the database, the primary's first; when it came."""
    first = lab.estate.servers[primary].site
    sites = sorted(chosen.sites, key=lambda site: site != first)
    watcher.view.site, watcher.view.faulted_at_s = " and ".join(sites), time.monotonic()
    watcher.happened(f"{' and '.join(sites)} burn with all that they hold", watcher.view.faulted_at_s)
    for site in sites:
        lab.burn(site, wipe=True)
    return watcher.view.faulted_at_s


def _spare_takes_over(lab: Lab, chosen: Left, watcher: Watcher) -> None:
    """A person makes the spare a member, and attests what is off; then the spare's database is there, and empty."""
    watcher.happened(f"etcd has no majority: nothing is automatic, {chosen.lookout} waits for a person")
    text = with_spare(lab, chosen)
    (lab.folder / "estate.yaml").write_bytes(text)
    lab.estate = load(text)
    words = ", ".join(f"{server} a member of {service}" for service, server in chosen.joins.items())
    watcher.happened(f"a person makes {words}")
    for server in (*lookouts.names(lab.estate), *lookouts.agents(lab.estate)):
        if lab.estate.servers[server].site not in chosen.sites:
            _started_again(lab, server)
    database = lab.database()
    others = {service: server for service, server in chosen.joins.items() if service != database}
    for service, server in others.items():
        lab.start_member(service, server, from_nothing=True)
    lacking = lambda: [service for service, one in others.items() if lab.look(service, one).state != "up"]  # noqa: E731
    lab.wait_for(lacking, "what begins again", KNOWN_WITHIN_S)

    def waits() -> bool:
        said = lookouts.said(lab.root(chosen.lookout))
        offered = said["attestable"] if said else []
        return [sorted(one["names"]) for one in offered] == [sorted(chosen.sites)]

    if not waited(waits, watcher, KNOWN_WITHIN_S):
        raise LabError(f"{chosen.lookout} does not say what a person can do: {lookouts.said(lab.root(chosen.lookout))}")
    watcher.happened(f"a person attests that {' and '.join(chosen.sites)} are off, and {chosen.spare} begins anew")
    lab.start_member(database, chosen.spare, from_nothing=True)
    _attested(lab, chosen, watcher)
    empty = lambda: lab.look(database, chosen.spare) == Look("primary", "up")  # noqa: E731
    if not waited(empty, watcher, FOUNDED_WITHIN_S):
        raise LabError(f"{chosen.spare} does not become primary.")


def _attested(lab: Lab, chosen: Left, watcher: Watcher) -> None:
    """Gives the command, and starts Patroni where it ends meanwhile, as systemd would."""
    database = lab.database()
    options = ("--attest", ",".join(chosen.sites), "--anew", chosen.spare, "--yes", "--json")
    door = ("--socket", str(lookouts.door(lab.root(chosen.lookout))))
    asked = subprocess.Popen(
        lookouts.command("takeover", database, *options, *door),
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        env=os.environ | lookouts.environment(),
    )
    patroni = f"\0{Folders(str(lab.root(chosen.spare))).configuration}/{database}.patroni.yml\0"

    def ended() -> bool:
        if not _started_with(lab, chosen.spare, patroni):
            lab.start_member(database, chosen.spare)
        return asked.poll() is not None

    if not waited(ended, watcher, FOUNDED_WITHIN_S, every_s=1.0):
        asked.kill()
    said, trouble = asked.communicate()
    if asked.returncode != 0:
        words = trouble.decode(errors="replace").strip() or said.decode(errors="replace")
        raise LabError(f"`binome takeover --attest` ended with {asked.returncode}: {words}")


def _started_again(lab: Lab, server: str) -> None:
    """`binome run` on a server reads the estate anew."""
    mine = _started_with(lab, server, OURS)
    for pid in mine:
        with suppress(ProcessLookupError):
            os.kill(pid, signal.SIGTERM)
    gone = lambda: [str(pid) for pid in _started_with(lab, server, OURS) if pid in mine]  # noqa: E731
    lab.wait_for(gone, f"binome on {server} ends", ENDED_WITHIN_S)
    lab.start_lookout(server)


def _started_with(lab: Lab, server: str, words: str) -> list[int]:
    """The processes of a server in whose command line these words stand, each ended by a zero byte."""
    found = []
    for pid in lab.pids(server):
        with suppress(OSError):
            if words.encode() in Path(f"/proc/{pid}/cmdline").read_bytes():
                found.append(pid)
    return found


def _restored(lab: Lab, vaults: Vaults, chosen: Left, copy: Copied, watcher: Watcher) -> dict[str, Any]:
    """Restores the copy onto the spare; what the command says."""
    watcher.happened(f"{chosen.data} is restored onto {chosen.spare}, from the vault alone")
    tls = Folders(str(lab.root(chosen.spare))).tls
    words = ("--into", chosen.spare, "--yes", "--tls", tls, *(() if copy.proven else ("--unproven",)))
    said = vaults.run(chosen.spare, "restore", chosen.data, *words)
    if not said.get("done"):
        raise LabError(f"`binome restore` did nothing: {json.dumps(said)}")
    took_s = sum(said["phases_ms"].values()) / 1000
    state = "it is what was saved" if said["same"] else "IT IS NOT WHAT WAS SAVED"
    rows = said["compared"].get("rows", 0)
    watcher.happened(f"restored from {said['vault']} in {took_s:.1f} s, {rows:,} rows: {state}")
    return said


def _edges(lab: Lab) -> list[str]:
    return [name for name, one in lab.estate.services.items() if isinstance(one, HaproxyService)]


def _flows(watcher: Watcher, since_s: float) -> bool:
    """Whether writes were acknowledged throughout the last second."""
    now = time.monotonic()
    return now - since_s > 1 and watcher.acknowledged_since(now - 1) >= FLOW_PER_S


class Judged(NamedTuple):
    """What the logs prove; `beyond` was acknowledged after the moment of the copy, and is gone."""

    evidence: Evidence
    beyond: tuple[str, ...]


def _judged(records: Sequence[Record], held: set[str], point_at_s: float, restored_at_s: float) -> Judged:
    """Judges what came before the fire and what came after the restore, each on timelines of its own."""
    before = checker.check((one for one in records if one.at_s < restored_at_s), held)
    after = checker.check((one for one in records if one.at_s >= restored_at_s), held)
    writes = [one for one in records if one.operation == "write" and one.state == "acknowledged"]
    early = {one.id for one in writes if one.at_s <= point_at_s}
    beyond = tuple(id_ for id_ in before.lost if id_ not in early)
    return Judged(
        Evidence(
            acknowledged=before.acknowledged + after.acknowledged,
            lost=(*(id_ for id_ in before.lost if id_ in early), *after.lost),
            unknown_found=before.unknown_found + after.unknown_found,
            unknown_missing=before.unknown_missing + after.unknown_missing,
            double_primary=(*before.double_primary, *after.double_primary),
        ),
        beyond,
    )
