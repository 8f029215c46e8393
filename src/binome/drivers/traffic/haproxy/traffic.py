"""What an edge sends where, by order: a `Driver` of the server that the edge stands on.

    traffic.maint     edge, servers            no traffic to them; a database's sessions are cut off
    traffic.drain     edge, servers            no new traffic; what runs there may end by itself
    traffic.ready     edge, servers            traffic again, as HAProxy's own checks allow
    traffic.weight    edge, servers, weight    0 to 256
    traffic.close     edge, servers            what runs there is cut off
    traffic.withdraw  edge, frontends          the edge itself takes no connections, and cuts off those that it has
    traffic.restore   edge, frontends          it takes them again

`servers` is BACKEND/SERVER, several with commas between them; `frontends` is NAME, likewise: the names that
`render/haproxy.py` gives. Anything else, such as a blank, a newline or a semicolon, is refused before it reaches a
socket.

**HAProxy forgets.** What is said to its socket is gone when it is started anew. So what is wanted stands in a file
before it is said, and `keep` says again whatever is not so: the agent calls it when it starts, and once a second. A
state counts as done when HAProxy itself says that it is so.
"""

from __future__ import annotations

import os
from collections.abc import Mapping, Sequence
from enum import StrEnum
from pathlib import Path

import msgspec

from binome.core.plan import Command, Outcome
from binome.drivers.traffic.haproxy import runtime
from binome.drivers.traffic.haproxy.runtime import SocketError, State

STATISTICS = "binome-statistics"
"""The frontend by which probes see an edge: it carries no traffic, and stays when the edge withdraws."""
LARGEST_WEIGHT = 256
MANY = 200
"""So many servers or frontends in one command at most: HAProxy reads a line of 16 kB."""


class Refused(StrEnum):
    """Why an edge was left as it is."""

    NO_SUCH_EDGE = "no such edge on this server"
    BAD_NAME = "a name that no rendered edge has"
    BAD_WEIGHT = "a weight is a number from 0 to 256"
    UNKNOWN_VERB = "this verb, with these arguments, is not known here"
    NO_SUCH_SERVER = "the edge has no such server or frontend"


class Wanted(msgspec.Struct):
    """What one edge is to be: only what differs from its configuration."""

    states: dict[str, State] = {}
    weights: dict[str, int] = {}
    withdrawn: list[str] = []


_STATES: Mapping[str, State] = {"traffic.maint": "maint", "traffic.drain": "drain", "traffic.ready": "ready"}


class HaproxyTraffic:
    """A `Driver` for the edges of this server. `sockets`: edge → its runtime socket. `folder` outlives restarts."""

    def __init__(self, sockets: Mapping[str, Path], folder: Path) -> None:
        self._sockets, self._folder = sockets, folder

    async def carry_out(self, command: Command) -> Outcome:
        """Writes down what is wanted, says it, and reads back whether it is so."""
        edge = command.arguments.get("edge", "")
        if edge not in self._sockets:
            return Outcome("failed", Refused.NO_SUCH_EDGE)
        names = command.arguments.get("servers", command.arguments.get("frontends", "")).split(",")
        if len(names) > MANY or not all(runtime.is_name(part) for name in names for part in name.split("/")):
            return Outcome("failed", Refused.BAD_NAME)
        try:
            return await self._carry_out(command, edge, names)
        except (SocketError, OSError) as error:
            return Outcome("unknown", str(error))

    async def _carry_out(self, command: Command, edge: str, names: list[str]) -> Outcome:
        path, wanted = self._sockets[edge], self.wanted(edge)
        of_frontends = command.verb in ("traffic.withdraw", "traffic.restore")
        if any(name.count("/") != (0 if of_frontends else 1) for name in names):
            return Outcome("failed", Refused.BAD_NAME)
        there = await runtime.stopped_frontends(path) if of_frontends else await runtime.servers(path)
        if not set(names) <= set(there):
            return Outcome("failed", Refused.NO_SUCH_SERVER)
        now: list[str] = []  # what is said once, and is no state
        match command.verb, command.arguments:
            case "traffic.maint" | "traffic.drain" | "traffic.ready" as verb, _:
                wanted.states |= dict.fromkeys(names, _STATES[verb])
            case "traffic.weight", {"weight": weight}:
                if not (weight.isascii() and weight.isdecimal() and int(weight) <= LARGEST_WEIGHT):
                    return Outcome("failed", Refused.BAD_WEIGHT)
                wanted.weights |= dict.fromkeys(names, int(weight))
            case "traffic.close", _:
                now = [f"shutdown sessions server {name}" for name in names]
            case "traffic.withdraw", _:
                wanted.withdrawn = sorted({*wanted.withdrawn, *names})
            case "traffic.restore", _:
                wanted.withdrawn = sorted({*wanted.withdrawn} - {*names})
            case _:
                return Outcome("failed", Refused.UNKNOWN_VERB)
        self._write(edge, wanted)
        return await self._make_so(edge, wanted, now, restored=names if command.verb == "traffic.restore" else ())

    async def withdraw(self, edge: str) -> Outcome:
        """Takes an edge out of service, all of it: what an agent that has lost the majority does of its own accord."""
        trouble = ""
        try:
            wanted = self.wanted(edge)
            wanted.withdrawn = sorted({*await runtime.stopped_frontends(self._sockets[edge])} - {STATISTICS})
            try:
                self._write(edge, wanted)
            except OSError as error:  # a full disk keeps no edge in service
                trouble = f"{error.filename}: {error.strerror}"
            outcome = await self._make_so(edge, wanted, ())
        except (SocketError, OSError) as error:
            return Outcome("unknown", str(error))
        return Outcome("unknown", trouble) if trouble and outcome.result == "done" else outcome

    async def keep(self) -> Mapping[str, Outcome]:
        """Says again whatever an edge no longer does: after it, or we, were started anew. Edge → what came of it."""
        outcomes = {}
        for edge in self._sockets:
            wanted = self.wanted(edge)
            try:
                outcomes[edge] = await self._make_so(edge, wanted, ())
            except (SocketError, OSError) as error:
                outcomes[edge] = Outcome("unknown", str(error))
        return outcomes

    def wanted(self, edge: str) -> Wanted:
        """What an edge is to be, as it was written down. Raises OSError."""
        try:
            return msgspec.json.decode((self._folder / f"{edge}.json").read_bytes(), type=Wanted)
        except (FileNotFoundError, msgspec.DecodeError):
            return Wanted()

    async def _make_so(self, edge: str, wanted: Wanted, now: Sequence[str], *, restored: Sequence[str] = ()) -> Outcome:
        path = self._sockets[edge]
        there, stopped = await runtime.servers(path), await runtime.stopped_frontends(path)
        say = list(_differences(wanted, there, stopped, restored))
        if say or now:
            # Each command is asked for in the order: first what turns traffic away, then what ends it.
            complaint = await runtime.say(path, [*say, *now])
            there, stopped = await runtime.servers(path), await runtime.stopped_frontends(path)
            if list(_differences(wanted, there, stopped, restored)):
                return Outcome("unknown", f"{edge} does not do what was asked: {' '.join(complaint.split())[:200]}")
        return Outcome("done")

    def _write(self, edge: str, wanted: Wanted) -> None:
        """Whole or not at all, and durable when it returns."""
        content = msgspec.json.encode(wanted)
        path = self._folder / f"{edge}.json"
        if path.exists() and path.read_bytes() == content:
            return
        self._folder.mkdir(parents=True, exist_ok=True)
        temporary = path.with_name(path.name + ".new")
        with temporary.open("wb") as file:
            file.write(content)
            file.flush()
            os.fsync(file.fileno())
        temporary.replace(path)


def _differences(
    wanted: Wanted, there: Mapping[str, runtime.Server], stopped: Mapping[str, bool], restored: Sequence[str]
) -> list[str]:
    """The commands that make an edge what it is to be; what it has not, or no longer, is passed over."""
    say = [
        f"set server {name} state {state}"
        for name, state in wanted.states.items()
        if name in there and there[name].state != state
    ]
    say += [
        f"set weight {name} {weight}"
        for name, weight in wanted.weights.items()
        if name in there and there[name].weight != weight
    ]
    for name in wanted.withdrawn:
        if stopped.get(name) is False:
            say.append(f"disable frontend {name}")
            say += [f"shutdown sessions server {server}" for server in there if server.startswith(f"{name}/")]
    say += [f"enable frontend {name}" for name in restored if stopped.get(name)]
    return say
