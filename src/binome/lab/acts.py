"""The acts of the fault matrix, done to a lab: a verb and its arguments, with servers named by the part they play.

What the verbs are stands in rows.py. Who plays which part is settled when the first of several acts is done, and holds
for all of them: a primary that was lost is still meant when the next act names it.
"""

from __future__ import annotations

import json
import socket
import time
from collections.abc import Callable, Iterator
from contextlib import suppress

from binome.estate import Estate
from binome.estate.model import EtcdService, HaproxyService
from binome.lab import frames, lookouts
from binome.lab.disks import Disk
from binome.lab.errors import LabError
from binome.lab.grey import Grey
from binome.lab.lab import Lab
from binome.lab.rows import Act
from binome.render import Folders

PARTS = ("primary", "standby", "witness")
_LED_WITHIN_S = 30
_FILES_OF_LOG = 20
_SWITCH_LOG = "SELECT pg_switch_wal() FROM (SELECT pg_logical_emit_message(false, 'binome', 'matrix')) AS any_record"


class Acts:
    """Does acts to a lab by its `grey` hand, for what `label` says. `names` are servers and sites by part."""

    def __init__(self, lab: Lab, grey: Grey, label: str) -> None:
        self.lab, self.grey, self._label = lab, grey, label
        self.names: dict[str, str] = {}
        self._waiting: list[socket.socket] = []  # questions that nobody has answered yet

    def close(self) -> None:
        """Waits for no answers any more."""
        while self._waiting:
            self._waiting.pop().close()

    def do(self, act: Act, name: str = "") -> None:
        """Does one act; `name` tells it from another one of the same kind. Raises LabError where it cannot be done."""
        verb, *rest = act
        whom = self.names.get(rest[0], "") if rest else ""
        grey, lab = self.grey, self.lab
        doing: dict[str, Callable[[], object]] = {
            "freeze": lambda: grey.freeze(whom, rest[1]),
            "thaw": lambda: grey.thaw(whom, rest[1]),
            "kill": lambda: grey.kill(whom, rest[1]),
            "lose-data": lambda: grey.lose_data(whom),
            "fill-quota": lambda: grey.fill_quota(whom),
            "slow-etcd": lambda: grey.pulse(self._members_of_etcd(), float(rest[0]), float(rest[1])),
            "fill-disk": lambda: grey.fill_disk(Disk(whom, rest[1])),
            "switch-log": lambda: self._switch_log(whom),
            "cut": lambda: grey.cut(whom),
            "burn": lambda: grey.burn(whom),
            "wipe": lambda: grey.burn(whom, wipe=True),
            "flap": lambda: grey.flap(whom, float(rest[1])),
            "part": lambda: grey.lose(name or verb, list(self._losses(verb, rest))),
            "loss": lambda: grey.lose(name or verb, list(self._losses(verb, rest))),
            "one-way": lambda: grey.lose(name or verb, list(self._losses(verb, rest))),
            "delay": lambda: grey.delay(float(rest[0])),
            "clock": lambda: grey.turn_clock(whom, rest[1]),
            "wait": lambda: time.sleep(float(rest[0])),
            "ask": lambda: self._waiting.append(self._asked(whom, float(rest[1]))),
            "until-led": lambda: lab.wait_for(self._not_led_by_another, "another leader", _LED_WITHIN_S),
        }
        if verb not in doing:
            raise LabError(f"{self._label}: there is no act {verb}.")
        doing[verb]()

    def _members_of_etcd(self) -> list[tuple[str, str]]:
        return [(one, "etcd") for one in self.lab.estate.services[agreement(self.lab.estate)].on]

    def _switch_log(self, server: str) -> None:
        """Has PostgreSQL begin new files of its log until it has none left that it made before."""
        with suppress(LabError):  # it ends where it cannot make one
            for _ in range(_FILES_OF_LOG):
                self.lab.run_sql(self.lab.database(), server, _SWITCH_LOG)

    def _losses(self, verb: str, rest: list[str]) -> Iterator[frames.Loss]:
        some = self._servers(self.names[rest[0]])
        if verb == "one-way":
            here = {self._site(one) for one in some}
            others = [one for one in self.lab.estate.servers if self._site(one) not in here]
            yield from (frames.Loss(one, other) for one in some for other in others)
            return
        percent = float(rest[2]) if verb == "loss" else 100
        yield from frames.both_ways(some, self._servers(self.names[rest[1]]), percent)

    def _asked(self, name: str, for_s: float) -> socket.socket:
        """Asks a lookout for a maintenance of all web servers, and waits for no answer: it may stand still."""
        request = f"{self._label}-{time.time_ns()}"
        until_ms = time.time_ns() // 1_000_000 + round(for_s * 1000)
        fact = {"kind": "maintenance-asked", "request": request, "subject": "web", "until_ms": until_ms}
        fact |= {"why": f"the fault matrix: {self._label}", "who": "matrix"}
        door = socket.socket(socket.AF_UNIX)
        door.settimeout(lookouts.ANSWER_S)
        door.connect(f"{Folders(str(self.lab.root(name))).run}/binome.sock")
        door.sendall(json.dumps({"do": "ask", "request": request, "fact": fact}).encode() + b"\n")
        return door

    def _servers(self, name: str) -> list[str]:
        """The servers of a site, or the one server that has this name."""
        return self.lab.servers_of(name) or [name]

    def _site(self, server: str) -> str:
        return self.lab.estate.servers[server].site or ""

    def _not_led_by_another(self) -> list[str]:
        leading = [name for name, said in self.lab.lookouts().items() if said and said["leads"] is not None]
        return [] if any(name != self.names["leader"] for name in leading) else ["nobody else leads"]


def cast(lab: Lab) -> dict[str, str]:
    """Who plays which part now: the servers, and their sites with an apostrophe."""
    service, estate = lab.database(), lab.estate
    primary = lab.primary(service)
    database = estate.services[service]
    standby = next(one for one in database.on if one != primary)
    witness = next(one for one in estate.services[agreement(estate)].on if one not in (primary, standby))
    edges = next(one for one in estate.services.values() if isinstance(one, HaproxyService)).on
    looking = lookouts.names(estate)
    leader = next((name for name, said in lab.lookouts().items() if said and said["leads"] is not None), witness)
    names = {"primary": primary, "standby": standby, "witness": witness, "leader": leader, "edge": edges[0]}
    for part in PARTS:
        site = estate.servers[names[part]].site or ""
        names[f"{part}'s"] = site
        names[f"{part}'s-lookout"] = next((one for one in looking if estate.servers[one].site == site), "")
    return names


def agreement(estate: Estate) -> str:
    """The first service of kind etcd. Raises LabError where there is none."""
    for name, service in estate.services.items():
        if isinstance(service, EtcdService):
            return name
    raise LabError(f"{estate.estate} has no service of kind etcd.  The matrix needs one.")
