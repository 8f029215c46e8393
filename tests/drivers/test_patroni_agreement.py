"""A member of etcd that goes on alone, and the others that come back to it: three real ones on loopback."""

from __future__ import annotations

import asyncio
import base64
import json
import shutil
import signal
import socket
import subprocess
import time
import urllib.request
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from binome.core.plan import Command
from binome.drivers.database.patroni import processes
from binome.drivers.database.patroni.agreement import EMPTY, EtcdAgreement, EtcdMember, Refused

NAMES = ("a", "b", "c")


def free_port() -> int:
    with socket.socket() as one:
        one.bind(("127.0.0.1", 0))
        return int(one.getsockname()[1])


class Three:
    """Three members of etcd, started from files as on servers."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.clients = {name: f"http://127.0.0.1:{free_port()}" for name in NAMES}
        self.peers = {name: f"http://127.0.0.1:{free_port()}" for name in NAMES}
        self.running: dict[str, subprocess.Popen[bytes]] = {}
        self.agreements: dict[str, EtcdAgreement] = {}
        for name in NAMES:
            own = {
                "name": name,
                "data-dir": str(folder / name / "etcd"),
                "listen-peer-urls": self.peers[name],
                "listen-client-urls": self.clients[name],
                "initial-advertise-peer-urls": self.peers[name],
                "advertise-client-urls": self.clients[name],
                "initial-cluster": ",".join(f"{one}={url}" for one, url in self.peers.items()),
                "initial-cluster-token": "three",
                "initial-cluster-state": "new",
                "heartbeat-interval": 50,
                "election-timeout": 500,
                "enable-grpc-gateway": True,
            }
            (folder / name / "etcd").mkdir(parents=True, mode=0o700)
            (folder / name / "etcd.yml").write_text("".join(f"{key}: {json.dumps(one)}\n" for key, one in own.items()))
            member = EtcdMember(name, folder / name / "etcd.yml", folder / name / "etcd", self.clients, self.peers)
            self.agreements[name] = EtcdAgreement({"coordination": member}, folder / name / "agent")

    def start(self, name: str) -> None:
        log = (self.folder / name / "log").open("ab")
        arguments = ("etcd", "--config-file", str(self.folder / name / "etcd.yml"))
        self.running[name] = subprocess.Popen(arguments, stdout=log, stderr=log)

    def kill(self, name: str) -> None:
        self.running[name].kill()
        self.running[name].wait()

    def ask(self, name: str, path: str, **body: Any) -> Any:
        request = urllib.request.Request(self.clients[name] + path, json.dumps(body).encode())
        with urllib.request.urlopen(request, timeout=2) as answer:
            return json.loads(answer.read())

    def until(self, is_so: Any, within_s: float = 15) -> None:
        until_s = time.monotonic() + within_s
        while True:
            try:
                if is_so():
                    return
            except OSError:
                pass
            assert time.monotonic() < until_s
            time.sleep(0.05)

    async def done(self, verb: str, name: str, through: str = "") -> tuple[str, str]:
        """What comes of an order that is said again, as a plan says it, until it is known."""
        for _ in range(10):
            command = Command("p/0", "p", 0, False, verb, name, "x", {"service": "coordination", "through": through}, 1)
            outcome = await self.agreements[name].carry_out(command)
            if outcome.result != "unknown":
                return outcome.result, outcome.detail
            await asyncio.sleep(0.5)
        return outcome.result, outcome.detail

    def end(self, name: str) -> None:
        """Ends a member, whoever started it last."""
        word = str(self.folder / name).encode()
        processes.send(lambda pid: word in Path(f"/proc/{pid}/cmdline").read_bytes(), signal.SIGKILL)

    def close(self) -> None:
        for name in NAMES:
            self.end(name)
        for one in self.running.values():
            one.wait()


@pytest.fixture
def three(tmp_path: Path) -> Iterator[Three]:
    members = Three(tmp_path)
    try:
        for name in NAMES:
            members.start(name)
        members.until(lambda: members.ask("a", "/v3/kv/put", key=text("x"), value=text("before")))
        yield members
    finally:
        members.close()


def text(words: str) -> str:
    return base64.b64encode(words.encode()).decode()


@pytest.mark.lab
def test_one_goes_on_alone_and_those_that_come_back_find_no_majority_of_old(three: Three) -> None:
    for name in ("b", "c"):
        three.kill(name)
    assert asyncio.run(three.done("agreement.alone", "a"))[0] == "done"
    assert asyncio.run(three.done("agreement.alone", "a")) == ("done", "")
    three.until(lambda: three.ask("a", "/v3/kv/put", key=text("x"), value=text("after")))
    assert len(list((three.folder / "a").glob("etcd.old-*"))) == 1
    for name in ("b", "c"):  # both of the old majority come back at the same time, with all that they had
        three.start(name)
    for name in ("b", "c"):
        assert three.running[name].wait(15) is not None, "it was told that it was removed for good"
    for name in ("b", "c"):
        assert asyncio.run(three.done("agreement.join", name, "a")) == ("done", "")
        assert len(list((three.folder / name).glob("etcd.old-*"))) == 1
        assert asyncio.run(three.done("agreement.join", name, "a")) == ("done", "")
    listed = three.ask("b", "/v3/cluster/member/list")["members"]
    assert sorted(one["name"] for one in listed) == ["a", "b", "c"]
    assert not any(one.get("isLearner") for one in listed)
    three.end("a")
    three.until(lambda: three.ask("c", "/v3/kv/range", key=text("x"))["kvs"][0]["value"] == text("after"))


@pytest.mark.lab
def test_one_without_data_begins_anew_and_says_so(three: Three) -> None:
    for name in NAMES:
        three.kill(name)
    shutil.rmtree(three.folder / "a" / "etcd")
    (three.folder / "a" / "etcd").mkdir(mode=0o700)
    assert asyncio.run(three.done("agreement.alone", "a")) == ("done", EMPTY)
    three.until(lambda: "kvs" not in three.ask("a", "/v3/kv/range", key=text("x")))
    three.start("b")
    three.start("c")  # a majority of old, and the new one is another cluster: see docs/takeover.md
    three.until(lambda: three.ask("b", "/v3/kv/range", key=text("x"))["kvs"])
    assert asyncio.run(three.done("agreement.join", "b", "a")) == ("done", "")
    assert "kvs" not in three.ask("b", "/v3/kv/range", key=text("x"))


def test_who_has_nobody_to_come_back_to_says_so(tmp_path: Path) -> None:
    alone = Three(tmp_path)
    assert asyncio.run(alone.done("agreement.join", "a", "a")) == ("failed", Refused.NOBODY_TO_ASK)
    assert asyncio.run(alone.done("agreement.other", "a")) == ("failed", Refused.UNKNOWN_VERB)
    other = Command("p/0", "p", 0, False, "agreement.alone", "a", "x", {"service": "other"}, 1)
    assert asyncio.run(alone.agreements["a"].carry_out(other)).detail == Refused.NO_SUCH_MEMBER
