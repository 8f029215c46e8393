"""What an edge does by order, on a model of HAProxy's runtime socket and on HAProxy itself: the same cases for both."""

from __future__ import annotations

import asyncio
import socket
import subprocess
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any, Protocol

import pytest

from binome.core.plan import Command, Outcome
from binome.drivers.traffic.haproxy import runtime
from binome.drivers.traffic.haproxy.runtime import Server
from binome.drivers.traffic.haproxy.traffic import STATISTICS, HaproxyTraffic, Refused

BACKENDS: dict[str, tuple[str, ...]] = {"database": ("gra-db", "sbg-db"), "web": ("gra-web", "sbg-web"), STATISTICS: ()}
UNTOUCHED = Server("ready", 1)


class Edge(Protocol):
    """An edge with the backends above."""

    path: Path

    def start(self) -> None:
        """It runs, and knows nothing of what it was told before."""

    def stop(self) -> None:
        """It is gone."""

    async def served(self) -> None:
        """Returns when its socket answers."""


class Model:
    """What the guide says of the runtime socket, as far as we use it."""

    def __init__(self, folder: Path) -> None:
        self.path = folder / "haproxy.sock"
        self.silent = False

    def start(self) -> None:
        self.servers = {f"{backend}/{name}": [0, 1] for backend, names in BACKENDS.items() for name in names}
        self.stopped = dict.fromkeys(BACKENDS, False)
        self.heard: list[str] = []
        self.server: asyncio.Server | None = None

    def stop(self) -> None:
        if self.server is not None:
            self.server.close()
        self.path.unlink(missing_ok=True)

    async def served(self) -> None:
        self.path.unlink(missing_ok=True)
        self.server = await asyncio.start_unix_server(self._answer, str(self.path))

    async def _answer(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        line = (await reader.readline()).decode().rstrip("\n")
        if not self.silent:
            answers = [self._said(one.split(" ")) for one in line.split(";")]
            writer.write("".join(f"{answer}\n" for answer in answers).encode())
            writer.close()

    def _said(self, words: list[str]) -> str:
        self.heard.append(" ".join(words))
        match words:
            case ["set", "server", name, "state", state] if name in self.servers:
                self.servers[name][0] = {"ready": 0, "maint": 1, "drain": 8}[state]
            case ["set", "weight", name, weight] if name in self.servers:
                self.servers[name][1] = int(weight)
            case ["shutdown", "sessions", "server", name] if name in self.servers:
                pass
            case ["disable" | "enable" as what, "frontend", name] if name in self.stopped:
                self.stopped[name] = what == "disable"
            case ["show", "servers", "state"]:
                rows = [
                    f"3 {name.split('/')[0]} 1 {name.split('/')[1]} 127.0.0.1 2 {admin} {weight} 1 5 1 0 0 0"
                    for name, (admin, weight) in self.servers.items()
                ]
                return "\n".join(["1", "# be_id be_name srv_id srv_name srv_addr srv_op_state", *rows])
            case ["show", "stat", "-1", "1", "-1"]:
                rows = [f"{name},FRONTEND,{'PAUSED' if off else 'OPEN'}," for name, off in self.stopped.items()]
                return "\n".join(["# pxname,svname,status,", *rows])
            case _:
                return "Unknown command."
        return ""


def free_port() -> int:
    with socket.create_server(("127.0.0.1", 0)) as listening:
        return int(listening.getsockname()[1])


class Engine:
    """HAProxy itself, on a socket of its own."""

    def __init__(self, folder: Path) -> None:
        self.path = folder / "haproxy.sock"
        self._file = folder / "haproxy.cfg"
        parts = [f"global\n    stats socket {self.path} mode 600 level admin", "defaults\n    timeout connect 1s"]
        parts[1] += "\n    timeout client 1s\n    timeout server 1s\n    mode tcp"
        for backend, names in BACKENDS.items():
            parts.append(f"frontend {backend}\n    bind 127.0.0.1:{free_port()}\n    default_backend {backend}")
            servers = "\n".join(f"    server {name} 127.0.0.1:{9}" for name in names)
            parts.append(f"backend {backend}\n{servers}")
        self._file.write_text("\n\n".join(parts) + "\n")
        self._process: subprocess.Popen[bytes] | None = None

    def start(self) -> None:
        self._process = subprocess.Popen(["haproxy", "-db", "-f", str(self._file)])

    def stop(self) -> None:
        if self._process is not None:
            self._process.kill()
            self._process.wait()

    async def served(self) -> None:
        deadline = time.monotonic() + 10
        while True:
            try:
                await runtime.say(self.path, ["show info"])
                return
            except runtime.SocketError:
                assert time.monotonic() < deadline, "HAProxy did not start"
                await asyncio.sleep(0.02)


@pytest.fixture(params=[Model, pytest.param(Engine, marks=pytest.mark.lab)])
def edge(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[Edge]:
    edge: Edge = request.param(tmp_path)
    edge.start()
    yield edge
    edge.stop()


def order(verb: str, **arguments: str) -> Command:
    return Command("p/0", "p", 0, False, f"traffic.{verb}", "gra-edge", "web", {"edge": "edge"} | arguments, 1)


async def ordered(edge: Edge, *commands: Command) -> list[Outcome]:
    """What came of each, by a driver that begins anew for each: an agent may be started between any two."""
    return [await driver(edge).carry_out(command) for command in commands]


def driver(edge: Edge) -> HaproxyTraffic:
    return HaproxyTraffic({"edge": edge.path}, edge.path.parent / "wanted")


def run(edge: Edge, do: Callable[[], Any]) -> Any:
    async def served() -> Any:
        await edge.served()
        return await do()

    return asyncio.run(served())


@pytest.mark.parametrize("verb", ["maint", "drain"])
def test_taken_out_and_put_back_as_often_as_one_likes(edge: Edge, verb: str) -> None:
    async def do() -> None:
        both = "database/gra-db,web/gra-web"
        assert await ordered(edge, order(verb, servers=both), order(verb, servers=both)) == [Outcome("done")] * 2
        seen = await runtime.servers(edge.path)
        assert {name: one.state for name, one in seen.items()} == {
            "database/gra-db": verb,
            "web/gra-web": verb,
            "database/sbg-db": "ready",
            "web/sbg-web": "ready",
        }
        assert await ordered(edge, order("ready", servers=both)) == [Outcome("done")]
        assert set((await runtime.servers(edge.path)).values()) == {UNTOUCHED}

    run(edge, do)


def test_weights_are_set_and_read_back(edge: Edge) -> None:
    async def do() -> None:
        assert await ordered(edge, order("weight", servers="web/gra-web", weight="256")) == [Outcome("done")]
        assert (await runtime.servers(edge.path))["web/gra-web"].weight == 256
        for weight in ("257", "-1", "50%", "1;shutdown sessions server web/gra-web", "", "٣"):
            assert await ordered(edge, order("weight", servers="web/gra-web", weight=weight)) == [
                Outcome("failed", Refused.BAD_WEIGHT)
            ]
        assert (await runtime.servers(edge.path))["web/gra-web"].weight == 256

    run(edge, do)


def test_an_edge_is_withdrawn_and_restored(edge: Edge) -> None:
    async def do() -> None:
        assert await ordered(edge, order("withdraw", frontends="database,web")) == [Outcome("done")]
        assert await ordered(edge, order("withdraw", frontends="web")) == [Outcome("done")]
        assert await runtime.stopped_frontends(edge.path) == {"database": True, "web": True, STATISTICS: False}
        assert await ordered(edge, order("restore", frontends="web")) == [Outcome("done")]
        assert await runtime.stopped_frontends(edge.path) == {"database": True, "web": False, STATISTICS: False}

    run(edge, do)


def test_an_edge_withdraws_by_itself_though_nothing_can_be_written_down(edge: Edge) -> None:
    async def do() -> None:
        assert await driver(edge).withdraw("edge") == Outcome("done")
        assert await runtime.stopped_frontends(edge.path) == {"database": True, "web": True, STATISTICS: False}
        assert await ordered(edge, order("restore", frontends="database,web")) == [Outcome("done")]
        folder = edge.path.parent / "wanted"
        (folder / "edge.json").unlink()
        (folder / "edge.json.new").mkdir()
        assert (await driver(edge).withdraw("edge")).result == "unknown"
        assert await runtime.stopped_frontends(edge.path) == {"database": True, "web": True, STATISTICS: False}

    run(edge, do)


def test_an_edge_that_was_started_anew_is_told_again(edge: Edge) -> None:
    async def before() -> None:
        commands = (
            order("maint", servers="web/gra-web"),
            order("weight", servers="web/sbg-web", weight="7"),
            order("withdraw", frontends="database"),
        )
        assert await ordered(edge, *commands) == [Outcome("done")] * 3

    async def after() -> None:
        assert (await runtime.servers(edge.path))["web/gra-web"] == UNTOUCHED, "HAProxy forgets"
        assert await driver(edge).keep() == {"edge": Outcome("done")}
        seen = await runtime.servers(edge.path)
        assert (seen["web/gra-web"].state, seen["web/sbg-web"].weight) == ("maint", 7)
        assert await runtime.stopped_frontends(edge.path) == {"database": True, "web": False, STATISTICS: False}

    run(edge, before)
    edge.stop()
    assert asyncio.run(driver(edge).keep())["edge"].result == "unknown"
    edge.start()
    run(edge, after)


@pytest.mark.parametrize(
    ("arguments", "refused"),
    [
        ({"servers": "web/gra-web;show info"}, Refused.BAD_NAME),
        ({"servers": "web/gra-web\nshow info"}, Refused.BAD_NAME),
        ({"servers": "web/gra web"}, Refused.BAD_NAME),
        ({"servers": "web/gra-web "}, Refused.BAD_NAME),
        ({"servers": "web/GRA"}, Refused.BAD_NAME),
        ({"servers": "web"}, Refused.BAD_NAME),
        ({"servers": "web/gra-web/x"}, Refused.BAD_NAME),
        ({"servers": ""}, Refused.BAD_NAME),
        ({}, Refused.BAD_NAME),
        ({"servers": ",".join(["web/gra-web"] * 201)}, Refused.BAD_NAME),
        ({"servers": "web/ams-web"}, Refused.NO_SUCH_SERVER),
        ({"servers": "web/gra-web", "edge": "other"}, Refused.NO_SUCH_EDGE),
    ],
)
def test_a_name_that_no_edge_has_is_refused_before_it_is_said(
    edge: Edge, arguments: dict[str, str], refused: Refused
) -> None:
    async def do() -> None:
        for verb in ("maint", "close", "weight"):
            assert await ordered(edge, order(verb, **arguments, weight="1")) == [Outcome("failed", refused)]
        assert set((await runtime.servers(edge.path)).values()) == {UNTOUCHED}

    run(edge, do)


def test_verbs_that_are_none_are_refused(edge: Edge) -> None:
    async def do() -> None:
        assert await ordered(edge, order("burn", servers="web/gra-web")) == [Outcome("failed", Refused.UNKNOWN_VERB)]
        assert await ordered(edge, order("weight", servers="web/gra-web")) == [Outcome("failed", Refused.UNKNOWN_VERB)]

    run(edge, do)


def test_what_an_edge_says_nothing_of_is_unknown(tmp_path: Path) -> None:
    model = Model(tmp_path)
    model.start()

    async def do() -> None:
        model.silent = True
        (outcome,) = await ordered(model, order("maint", servers="web/gra-web"))
        assert (outcome.result, "no answer within" in outcome.detail) == ("unknown", True)

    run(model, do)
    model.stop()


def test_only_what_is_not_so_is_said(tmp_path: Path) -> None:
    model = Model(tmp_path)
    model.start()
    commands = [order(verb, servers="web/gra-web") for verb in ("maint", "maint", "close")]
    assert run(model, lambda: ordered(model, *commands)) == [Outcome("done")] * 3
    said = [line for line in model.heard if not line.startswith("show")]
    assert said == ["set server web/gra-web state maint", "shutdown sessions server web/gra-web"]
    model.stop()


def test_an_edge_that_does_not_do_what_it_was_told_is_unknown(tmp_path: Path) -> None:
    model = Model(tmp_path)
    model.start()
    said = model._said
    model._said = lambda words: "" if words[0] == "set" else said(words)  # type: ignore[method-assign]
    (outcome,) = run(model, lambda: ordered(model, order("maint", servers="web/gra-web")))
    assert outcome.result == "unknown"
    model.stop()
