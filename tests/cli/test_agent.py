"""The agent's process: small, without a shell, and alive while the lookout beside it stands still."""

from __future__ import annotations

import asyncio
import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest

from binome.cli import agent_hands
from binome.cli.agent_hands import AgentHands
from binome.cli.agent_start import settings_of, written
from binome.core.plan import Command, Outcome
from binome.render import Folders, render
from binome.runtime.agent_settings import read
from binome.runtime.peer_messages import Job
from tests.runtime.world import LITTORAL

LARGE = ("aiohttp", "pydantic", "yaml", "rich", "typer", "numpy", "binome.estate", "binome.render", "binome.analysis")
PROGRAM = f"""\
import re, sys
import binome.cli.agent, binome.cli.agent_hands
print([one for one in {LARGE!r} if one in sys.modules])
print(re.search(r"^Pss:\\s+(\\d+)", open("/proc/self/smaps_rollup").read(), re.MULTILINE)[1])
"""


def test_the_agent_brings_in_nothing_large() -> None:
    told = subprocess.run([sys.executable, "-c", PROGRAM], check=True, capture_output=True, text=True).stdout
    large, pss_kb = told.splitlines()
    assert large == "[]"
    assert int(pss_kb) < 35_000


def test_its_settings_say_what_stands_on_its_server_and_survive_the_file(tmp_path: Path) -> None:
    path = written(LITTORAL, "gra-edge", Folders(str(tmp_path)))
    edge = read(path)
    assert edge == settings_of(LITTORAL, "gra-edge", Folders(str(tmp_path)))
    assert path.stat().st_mode & 0o777 == 0o600
    assert (edge.renews, edge.members, list(edge.edges)) == (False, {}, ["edge"])
    assert edge.edges["edge"].servers["database"] == (
        "database/gra-db",
        "database/sbg-db",
        "database-reads/gra-db",
        "database-reads/sbg-db",
    )
    assert edge.edges["edge"].servers["web"] == ("web/gra-web", "web/sbg-web")
    assert set(edge.edges["edge"].frontends) == {"web", "database", "database-reads"}
    assert edge.groups == (("gra-edge",), ("sbg-edge",), ("par-watch",))
    member = settings_of(LITTORAL, "gra-db", Folders(str(tmp_path)))
    assert (member.renews, list(member.members), member.edges) == (True, ["database"], {})
    assert member.members["database"].host not in member.addresses


def test_the_frontends_are_those_that_are_rendered() -> None:
    text = render(LITTORAL, "gra-edge")["/etc/binome/edge.haproxy.cfg"]
    rendered = {line.split()[1] for line in text.splitlines() if line.startswith("frontend ")}
    assert rendered - {"binome-statistics"} == set(settings_of(LITTORAL, "gra-edge", Folders()).edges["edge"].frontends)


class Edge:
    """HAProxy's socket as the hands see it: servers with an administrative state, frontends that are open or not."""

    def __init__(self, path: Path) -> None:
        self.path = path
        self.states = {
            f"{backend}/{server}": 0
            for backend, server in (
                ("web", "gra-web"),
                ("web", "sbg-web"),
                ("database", "gra-db"),
                ("database", "sbg-db"),
                ("database-reads", "gra-db"),
                ("database-reads", "sbg-db"),
            )
        }
        self.open = dict.fromkeys(("binome-statistics", "web", "database", "database-reads"), True)

    async def serve(self) -> asyncio.Server:
        self.path.parent.mkdir(parents=True, exist_ok=True)
        return await asyncio.start_unix_server(self._serve, self.path)

    async def _serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        for words in (one.split() for one in (await reader.readline()).decode().strip().split(";")):
            match words:
                case ["show", "servers", "state"]:
                    for number, (name, state) in enumerate(self.states.items()):
                        backend, server = name.split("/")
                        writer.write(f"1 {backend} {number} {server} 10.0.0.1 2 {state} 1\n".encode())
                case ["show", "stat", *_]:
                    writer.write(b"# pxname,svname,status\n")
                    for name, is_open in self.open.items():
                        writer.write(f"{name},FRONTEND,{'OPEN' if is_open else 'STOP'}\n".encode())
                case ["set", "server", name, "state", state]:
                    self.states[name] = {"ready": 0, "drain": 8, "maint": 1}[state]
                case ["disable", "frontend", name]:
                    self.open[name] = False
                case ["enable", "frontend", name]:
                    self.open[name] = True
        writer.close()


def order(hands: AgentHands, verb: str, **arguments: str) -> Any:
    command = Command("p/0", "p", 0, False, verb, "gra-edge", "database", {"service": "database"} | arguments, 1)
    return hands.verbs[verb](command)


def test_what_a_plan_orders_becomes_what_this_edge_is_told(tmp_path: Path) -> None:
    async def test() -> None:
        settings = settings_of(LITTORAL, "gra-edge", Folders(str(tmp_path)))
        edge = Edge(Path(settings.edges["edge"].socket))
        async with await edge.serve():
            hands = AgentHands(settings)
            assert (await order(hands, "traffic.fence", lost="sbg-db sbg-edge sbg-web")).result == "done"
            assert [name for name, state in edge.states.items() if state] == [
                "database/sbg-db",
                "database-reads/sbg-db",
            ]
            assert (await order(hands, "traffic.move", lost="sbg-db", survivor="gra-db")).result == "done"
            assert (await order(hands, "traffic.unfence", lost="sbg-db sbg-edge sbg-web")).result == "done"
            assert not any(edge.states.values())
            assert [one.result for one in await hands.fence()] == ["done"]
            assert [name for name, is_open in edge.open.items() if is_open] == ["binome-statistics"]
            edge.open = dict.fromkeys(edge.open, True)  # started anew: it has forgotten
            assert [one.result for one in await hands.keep()] == ["done"]
            assert [name for name, is_open in edge.open.items() if is_open] == ["binome-statistics"]
            assert [one.result for one in await hands.free()] == ["done"]
            assert all(edge.open.values())
            assert [one.result for one in await hands.keep()] == ["done"]
            assert all(edge.open.values())

    asyncio.run(test())


def test_a_server_without_edge_or_member_has_nothing_to_do() -> None:
    async def test() -> None:
        hands = AgentHands(settings_of(LITTORAL, "par-spare", Folders("/nowhere")))
        assert (await order(hands, "traffic.fence", lost="sbg-db")).result == "done"
        assert (await order(hands, "traffic.open", lost="sbg-db")).result == "done"
        assert (await order(hands, "database.verify")).result == "failed"
        assert await hands.fence() == []

    asyncio.run(test())


def test_a_member_that_is_to_follow_is_a_job_that_is_told_of_until_another_one_begins(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    async def test() -> None:
        hands = AgentHands(settings_of(LITTORAL, "gra-db", Folders("/nowhere")))
        ends: list[asyncio.Future[Outcome]] = []

        async def rejoin(command: Command) -> Outcome:
            assert (command.verb, command.arguments) == ("database.rejoin", {"service": "database"})
            ends.append(asyncio.get_running_loop().create_future())
            return await ends[-1]

        async def opened(plan: str) -> str:
            arguments = {"service": "database"}
            command = Command(f"{plan}/0", plan, 0, False, "traffic.open", "gra-db", "database", arguments, 1)
            said = await hands.verbs["traffic.open"](command)
            assert said.result == "done", "what becomes of it is told by the job, not by the plan"
            return said.detail

        monkeypatch.setattr(agent_hands, "SOON_S", 0.05)
        monkeypatch.setattr(hands._databases, "carry_out", rejoin)
        assert [await opened("p"), await opened("p")] == ["it rejoins"] * 2
        assert (len(ends), hands.jobs()) == (1, [Job("p", "database", "running")])
        at_work = iter([True, False])
        monkeypatch.setattr(hands._databases, "is_at_work", lambda _service: next(at_work))
        ends[0].set_result(Outcome("unknown", "it is copied anew, and does not stream yet"))
        await asyncio.sleep(0.2)
        assert (len(ends), hands.jobs()[0].state) == (2, "running"), "something still copies"
        ends[1].set_result(Outcome("unknown", "no stream"))
        await asyncio.sleep(0.1)
        assert hands.jobs() == [Job("p", "database", "failed", "no stream")]
        await opened("q")
        ends[2].set_result(Outcome("done"))
        await asyncio.sleep(0.1)
        assert hands.jobs() == [Job("q", "database", "done")]

    asyncio.run(test())


# -- the process


@contextmanager
def process(tmp_path: Path, *arguments: str) -> Iterator[subprocess.Popen[bytes]]:
    path = written(LITTORAL, "par-spare", Folders(str(tmp_path)))
    one = subprocess.Popen(
        [sys.executable, "-m", "binome.cli.agent", str(path), *arguments],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
    )
    try:
        assert one.stdout is not None
        assert b"has no identity, so its agent reaches no lookout" in one.stdout.readline()
        yield one
    finally:
        one.kill()
        one.wait()
        one.stdout.close()  # type: ignore[union-attr]


def test_it_ends_with_the_lookout_beside_it_and_by_sigterm(tmp_path: Path) -> None:
    with process(tmp_path, "--with-parent") as one:
        time.sleep(0.2)
        assert one.poll() is None
        assert one.stdin is not None
        one.stdin.close()
        assert one.wait(5) == 0
    with process(tmp_path) as one:
        os.kill(one.pid, signal.SIGTERM)
        assert one.wait(5) == 0


def test_settings_that_cannot_be_read_are_said_in_one_line(tmp_path: Path) -> None:
    (tmp_path / "x.json").write_text(json.dumps({"estate": 1}))
    for name, words in (("x.json", "Expected `str`"), ("nothing.json", "No such file")):
        arguments = [sys.executable, "-m", "binome.cli.agent", str(tmp_path / name)]
        told = subprocess.run(arguments, capture_output=True, text=True, check=False)
        assert (told.returncode, told.stderr.count("\n"), words in told.stderr) == (3, 1, True), told.stderr


def test_where_there_is_one_lookout_other_servers_have_nothing_to_run(tmp_path: Path) -> None:
    text = b"estate: x\nsites: {gra: {}}\nservers: {a: {site: gra}, b: {site: gra}}\nservices: {}\nlookout: {on: [a]}\n"
    (tmp_path / "x.yaml").write_bytes(text)
    told = subprocess.run(
        [sys.executable, "-m", "binome.cli.entry", "run", str(tmp_path / "x.yaml"), "--as", "b"],
        capture_output=True,
        text=True,
        check=False,
    )
    assert (told.returncode, "gives b nothing to run" in told.stderr) == (2, True), told.stderr
