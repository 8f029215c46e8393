"""Fires with hands: a site burns under load, and 0.35 s later a process of the witness carries out a takeover.

Nothing decides here: what is measured is what the hands take, and what the clients see of it. Fires are repeated in one
lab; after each of them the site is rebuilt from nothing and the pair is whole again.
"""

from __future__ import annotations

import json
import os
import sys
import threading
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from statistics import median
from typing import Any

import binome
from binome.estate.model import HaproxyService
from binome.lab import checker
from binome.lab.checker import Evidence
from binome.lab.clients import Clients, held_by
from binome.lab.lab import Lab
from binome.lab.process import Program
from binome.render import Folders, etcd_endpoints
from tests.lab import hand

ACT_AFTER_S = 0.35
AGREEMENT = "coordination"
Step = Sequence[Mapping[str, Any]]


@dataclass(slots=True)
class Fire:
    """What one fire cost. Times are in seconds from the fault."""

    ended_s: dict[str, float]  # verb → when it was done
    took_s: dict[str, float]
    results: dict[str, str]
    writes_s: dict[str, float]  # by the client's name
    reads_s: dict[str, float]
    web_s: dict[str, float]
    evidence: Evidence
    details: list[str] = field(default_factory=list)


class Hands:
    """A hand that waits on a server of the lab, and what it did."""

    def __init__(
        self, lab: Lab, server: str, name: str, steps: Sequence[Step], *, race: bool = False, agent: bool = False
    ) -> None:
        self._lab, self._name = lab, name
        self._go = lab.folder / f"{name}.go"
        self._done = lab.folder / f"{name}.done"
        os.mkfifo(self._go)
        settings = {
            "endpoints": [f"http://{one}" for one in etcd_endpoints(lab.estate, AGREEMENT, server)],
            "go": str(self._go),
            "done": str(self._done),
            "race": race,
            "sockets": edges(lab),
            "addresses": [one.address for one in lab.estate.servers.values()],
            "servers": list(lab.estate.servers),
            "members": {lab.database(): member_of(lab, server)} if agent else {},
            "kept": str(lab.folder / "kept" / (server if agent else "edges")),
            "steps": steps,
        }
        path = lab.folder / f"{name}.hand.json"
        path.write_text(json.dumps(settings))
        # What runs on a server finds our code where we found it: this checkout's, not an installed one's.
        paths = f"{Path(binome.__file__).parents[1]}:{Path(__file__).parents[2]}"
        program = Program((sys.executable, "-m", hand.__name__, str(path)), environment={"PYTHONPATH": paths})
        self._process = lab.spawn(server, program, f"{name}.hand.log")
        lab.wait_for(lambda: [] if self.lines() else ["it is not ready"], f"the hand on {server}", 20)

    def go(self) -> None:
        """Now."""
        self._go.write_bytes(b"!")

    def lines(self) -> list[dict[str, Any]]:
        """What it has done."""
        return [json.loads(line) for line in self._done.read_text().splitlines()] if self._done.exists() else []

    def wait(self) -> list[dict[str, Any]]:
        """Waits until it has done all; what it did."""
        if self._process.wait(90) != 0:
            raise AssertionError((self._lab.folder / "logs" / f"{self._name}.hand.log").read_text())
        return self.lines()[1:]


def member_of(lab: Lab, server: str) -> dict[str, str]:
    """Where the database is on a server."""
    folders = Folders(str(lab.folder / "servers" / server))
    return {
        "data": f"{folders.data}/postgresql",
        "configuration": f"{folders.configuration}/{lab.database()}.patroni.yml",
        "host": lab.estate.servers[server].address or "",
        "sockets": f"{folders.run}/postgresql",
    }


def by_agent(lab: Lab, server: str, verb: str, **arguments: str) -> dict[str, Any]:
    """Has one command carried out on the server of a member; what came of it."""
    name = f"{verb}-{server}-{time.monotonic_ns()}"
    hands = Hands(lab, server, name, [[command(verb, server, service="database", **arguments)]], agent=True)
    hands.go()
    (line,) = hands.wait()
    return line


def until_known(lab: Lab, server: str, verb: str, **arguments: str) -> dict[str, Any]:
    """Has a command carried out until its outcome is known, as the loop does: five times at most."""
    for _ in range(5):
        line = by_agent(lab, server, verb, **arguments)
        if line["result"] != "unknown":
            break
    return line


def by_leader(lab: Lab, verb: str, **arguments: str) -> dict[str, Any]:
    """Has one command carried out by the witness; what came of it."""
    hands = Hands(lab, "par-watch", f"{verb}-{time.monotonic_ns()}", [[command(verb, scope="littoral", **arguments)]])
    hands.go()
    (line,) = hands.wait()
    return line


def edges(lab: Lab) -> dict[str, str]:
    """SERVER: its edge's socket."""
    return {
        server: f"{Folders(str(lab.folder / 'servers' / server)).run}/haproxy.sock"
        for options in lab.estate.services.values()
        if isinstance(options, HaproxyService)
        for server in options.on
    }


def command(verb: str, server: str = "", **arguments: str) -> dict[str, Any]:
    """A command, as a hand reads it."""
    return {"verb": verb, "server": server, "arguments": arguments}


def agreement_led_by(lab: Lab, server: str) -> None:
    """etcd's leader stands on this server: on the witness, where no fire of these comes, or in the fire."""
    lab.move_leader(AGREEMENT, server)
    lab.wait_for(lambda: [] if lab.look(AGREEMENT, server).role == "leader" else ["etcd's leader"], "etcd's leader", 10)


def site_of(lab: Lab, server: str) -> str:
    """The site of a server."""
    return lab.estate.servers[server].site or ""


def maint(lab: Lab, lost_site: str) -> Step:
    """The lost site's servers taken out of every edge that is left."""
    lost = lab.servers_of(lost_site)
    names = [
        f"{backend}/{server}"
        for backend, service in (("database", "database"), ("database-reads", "database"), ("web", "web"))
        for server in lab.estate.services[service].on
        if server in lost
    ]
    return [
        command("traffic.maint", edge, edge=edge, servers=",".join(names)) for edge in edges(lab) if edge not in lost
    ]


def blocked(lab: Lab, lost_site: str) -> Step:
    """The lost site made unreachable on every member that is left, and on the witness."""
    lost = lab.servers_of(lost_site)
    addresses = ",".join(lab.estate.servers[one].address or "" for one in lost)
    on = [one for one in lab.estate.services[AGREEMENT].on if one not in lost]
    return [command("routes.block", server, addresses=addresses) for server in on]


def unblocked(lab: Lab, name: str, lost_site: str) -> None:
    """The routes as before: whoever comes back could not talk to anybody."""
    lifted = [{**one, "verb": "routes.unblock"} for one in blocked(lab, lost_site)]
    hands = Hands(lab, "par-watch", f"{name}-unblocked", [lifted])
    hands.go()
    hands.wait()


def fire(
    lab: Lab,
    name: str,
    *,
    standby: bool = False,
    routes: bool = False,
    race: bool = False,
    leader_burns: bool = False,
) -> Fire:
    """Burns the primary's site, or the standby's, and takes over."""
    lab.wait_until_whole()
    service, witness = lab.database(), "par-watch"
    primary = lab.primary(service)
    (other,) = (one for one in lab.estate.services[service].on if one != primary)
    lost, left = (other, primary) if standby else (primary, other)
    site = site_of(lab, lost)
    agreement_led_by(lab, lost if leader_burns else witness)
    steps: list[Step] = [[*maint(lab, site), *(blocked(lab, site) if routes else ())]]
    if standby:
        steps.append([command("database.release", scope="littoral", primary=left, lost=lost)])
    else:
        steps.append([command("database.takeover", scope="littoral", survivor=left, lost=lost)])
    hands = Hands(lab, witness, name, steps, race=race)
    clients = Clients(lab, f"{name}-")
    clients.start()
    time.sleep(3)  # the load that the fire comes under
    faulted_s = time.monotonic()
    timer = threading.Timer(ACT_AFTER_S, hands.go)
    timer.start()
    lab.burn(site, wipe=True)
    lines = hands.wait()
    time.sleep(3)  # whoever is slow to come back is seen
    clients.stop()
    result = _judged(lab, left, clients, lines, faulted_s)
    if routes:
        unblocked(lab, name, site)
    lab.rebuild(site)
    back_in_service(lab, f"{name}-back", site)
    return result


def _judged(lab: Lab, left: str, clients: Clients, lines: Sequence[Mapping[str, Any]], faulted_s: float) -> Fire:
    """What the hands' lines and the clients' logs say."""
    outages = {one: checker.outages(log.records) for one, log in clients.logs.items()}
    return Fire(
        ended_s={line["verb"]: round(line["ended_s"] - faulted_s, 3) for line in lines},
        took_s={line["verb"]: round(line["ended_s"] - line["begun_s"], 3) for line in lines},
        results={line["verb"]: line["result"] for line in lines},
        writes_s={one: some["write"] for one, some in outages.items()},
        reads_s={one: some["read"] for one, some in outages.items()},
        web_s={one: some["web"] for one, some in outages.items()},
        evidence=checker.check(clients.records(), held_by(lab, left)),
        details=[line["detail"] for line in lines if line["detail"]],
    )


def back_in_service(lab: Lab, name: str, site: str) -> None:
    """A site that was rebuilt gets traffic again."""
    back = [command("traffic.ready", one["server"], **one["arguments"]) for one in maint(lab, site)]
    hands = Hands(lab, "par-watch", name, [back])
    hands.go()
    hands.wait()


def summary(values: Sequence[float]) -> str:
    """min / median / max."""
    return f"{min(values):.2f} / {median(values):.2f} / {max(values):.2f}" if values else "-"
