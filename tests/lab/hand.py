"""A process on a server of the lab that carries out commands when it is told to: the hands, without their head.

    python hand.py SETTINGS        JSON: {"go": FIFO, "done": FILE, "steps": [[COMMAND, ...], ...], ...}

It makes its connections first, as a lookout that has run for days would have them, and says so with a first line in
`done`. Then it waits for one byte in `go`, and carries out the steps one after the other, the commands of one step side
by side. X
"""

from __future__ import annotations

import asyncio
import json
import sys
import time
from collections.abc import Sequence
from contextlib import suppress
from pathlib import Path
from typing import Any

import msgspec

from binome.core.entry import Draft, UnknownFact
from binome.core.plan import Command, Outcome
from binome.drivers.database.patroni.database import PatroniDatabase, Stage
from binome.drivers.database.patroni.member import Member, PatroniMember
from binome.drivers.database.patroni.rest import Place
from binome.drivers.host.routes import UnreachableRoutes
from binome.drivers.traffic.haproxy.traffic import HaproxyTraffic
from binome.journal.etcd import EtcdClient
from binome.journal.etcd_gateway import Timing
from binome.ports import Compare, Delete, EtcdError, EtcdUnknownError, Put
from binome.render.places import PATRONI_PORT

PATIENCE_S = 0.2
OF_THE_MEMBER = ("database.fence", "database.unfence", "database.rejoin", "database.verify")


class Hand:
    """The drivers of one process, and where they write down what they did."""

    def __init__(self, settings: dict[str, Any], etcd: EtcdClient) -> None:
        self._settings, self._etcd = settings, etcd
        self._done = Path(settings["done"]).open("a", buffering=1)  # noqa: SIM115 - for as long as the process
        self._database = PatroniDatabase(etcd, self._commit, self._facts)
        folder = Path(settings["kept"])
        self._traffic = HaproxyTraffic({edge: Path(path) for edge, path in settings["sockets"].items()}, folder)
        self._routes = {
            server: UnreachableRoutes(settings["addresses"], prefix=("ip", "-n", f"binome-{server}"))
            for server in settings["servers"]
        }
        members = {
            name: Member(
                Path(one["data"]), Path(one["configuration"]), Place(one["host"], PATRONI_PORT), Path(one["sockets"])
            )
            for name, one in settings["members"].items()
        }
        self._members = PatroniMember(members, folder)

    def _facts(self, command: Command, stage: Stage) -> Sequence[Draft]:
        return [Draft(f"{command.id}/{stage}", 0, "hand", UnknownFact(b'{"kind":"intended"}'))]

    async def _commit(
        self, drafts: Sequence[Draft], conditions: Sequence[Compare], actions: Sequence[Put | Delete]
    ) -> bool:
        """What a lookout's journal does, as far as the time that it takes: one transaction, its own keys among them."""
        if self._settings["race"]:  # what the takeover would be if the members raced for the key, for comparison
            actions = [Delete(one.key) if one.key.endswith("/leader") else one for one in actions]
        own = Put("/binome/hand/batch", msgspec.json.encode([draft.id for draft in drafts]))
        return (await self._etcd.transact(conditions, [*actions, own])).succeeded

    async def carry_out(self, plain: dict[str, Any], number: int) -> None:
        command = Command(
            f"hand/{number}", "hand", number, False, plain["verb"], plain["server"], "database", plain["arguments"], 1
        )
        begun_s = time.monotonic()
        family = "member" if command.verb in OF_THE_MEMBER else command.verb.split(".")[0]
        outcome: Outcome = await {
            "database": self._database.carry_out,
            "member": self._members.carry_out,
            "traffic": self._traffic.carry_out,
            "routes": self._routes[command.server].carry_out if command.server in self._routes else _no_such,
        }[family](command)
        self.write_down(command.verb, begun_s, outcome)

    def write_down(self, verb: str, begun_s: float, outcome: Outcome) -> None:
        line = {
            "verb": verb,
            "begun_s": begun_s,
            "ended_s": time.monotonic(),
            "result": outcome.result,
            "detail": outcome.detail,
        }
        self._done.write(json.dumps(line) + "\n")


async def _no_such(_: Command) -> Outcome:
    return Outcome("failed", "no such server")


async def main(path: Path) -> None:
    settings = json.loads(path.read_text())
    # While etcd elects a leader, whoever is asked keeps silent: to ask the next one soon, and again, is what is quick.
    async with EtcdClient(settings["endpoints"], timing=Timing(patience_s=PATIENCE_S)) as etcd:
        hand = Hand(settings, etcd)
        if not settings["members"]:
            await _connected(etcd)
        waiting = asyncio.create_task(asyncio.to_thread(Path(settings["go"]).read_bytes))
        looking = asyncio.create_task(_look(etcd)) if not settings["members"] else None
        hand.write_down("ready", time.monotonic(), Outcome("done"))
        await waiting
        for number, step in enumerate(settings["steps"]):
            await asyncio.gather(*(hand.carry_out(command, number * 10 + at) for at, command in enumerate(step)))
        if looking is not None:
            looking.cancel()


async def _connected(etcd: EtcdClient) -> None:
    """Returns when etcd has answered: it may be electing a leader just now, because that one was cut off too."""
    while True:
        try:
            await etcd.range("/service/", prefix=True)
        except (EtcdError, EtcdUnknownError):
            await asyncio.sleep(0.1)
        else:
            return


async def _look(etcd: EtcdClient) -> None:
    """Asks all the time, as a lookout does, so that its client knows who answers."""
    while True:
        with suppress(EtcdError, EtcdUnknownError):
            await etcd.range("/service/")
        await asyncio.sleep(0.2)


if __name__ == "__main__":
    asyncio.run(main(Path(sys.argv[1])))
