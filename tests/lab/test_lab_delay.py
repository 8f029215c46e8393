"""The relay between two hosts: what passes takes its time, in order, and nothing of it is lost or changed."""

from __future__ import annotations

import hashlib
import os
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import ExitStack

import pytest

from binome.lab import lookouts
from binome.lab.shell import run

pytestmark = pytest.mark.lab
HOLD_MS = 10
MIB = 32
_SERVE = """
import hashlib, socket
with socket.create_server(("10.9.0.2", 9000)) as door:
    print("ready", flush=True)
    for _ in range(5):
        door.accept()[0].close()
    connection, _ = door.accept()
    seen = hashlib.sha256()
    while part := connection.recv(1 << 20):
        seen.update(part)
    print(seen.hexdigest(), flush=True)
"""
_SEND = """
import socket, sys, time
for _ in range(5):
    begun_s = time.monotonic()
    socket.create_connection(("10.9.0.2", 9000)).close()
    print(time.monotonic() - begun_s, flush=True)
with socket.create_connection(("10.9.0.2", 9000)) as connection:
    for _ in range(int(sys.argv[1])):
        connection.sendall(bytes(range(256)) * 4096)
"""


def inside(name: str, *words: str) -> subprocess.Popen[str]:
    environment = os.environ | lookouts.environment()
    return subprocess.Popen(["ip", "netns", "exec", name, *words], stdout=subprocess.PIPE, text=True, env=environment)


@pytest.fixture
def hosts() -> Iterator[tuple[str, str, str]]:
    """Two hosts, and the namespace between them with one end of each one's cable: up1 and far1."""
    names = [f"relay-{os.getpid()}-{part}" for part in ("one", "two", "between")]
    with ExitStack() as stack:
        for name in names:
            run("ip", "netns", "add", name)
            stack.callback(run, "ip", "netns", "delete", name)
        for number, (name, port) in enumerate(zip(names, ("up1", "far1"), strict=False), 1):
            run("ip", "-n", names[2], "link", "add", port, "type", "veth", "peer", "name", "eth0", "netns", name)
            run("ip", "-n", names[2], "link", "set", port, "up")
            run("ip", "-n", name, "addr", "add", f"10.9.0.{number}/24", "dev", "eth0")
            run("ip", "-n", name, "link", "set", "eth0", "up")
        yield names[0], names[1], names[2]


def test_what_passes_a_relay_takes_its_time_and_arrives_whole(hosts: tuple[str, str, str]) -> None:
    one, two, between = hosts
    with inside(between, sys.executable, "-m", "binome.lab.delay", str(HOLD_MS), "1") as relay:
        try:
            assert relay.stdout is not None
            assert relay.stdout.readline() == "ready\n"
            with inside(two, sys.executable, "-c", _SERVE) as serving:
                assert serving.stdout is not None
                assert serving.stdout.readline() == "ready\n"
                begun_s = time.monotonic()
                with inside(one, sys.executable, "-c", _SEND, str(MIB)) as sending:
                    assert sending.stdout is not None
                    round_trips_s = [float(sending.stdout.readline()) for _ in range(5)]
                    assert (
                        serving.stdout.readline().strip() == hashlib.sha256(bytes(range(256)) * 4096 * MIB).hexdigest()
                    )
        finally:
            relay.kill()
    assert min(round_trips_s) >= 2 * HOLD_MS / 1000
    assert sorted(round_trips_s)[2] < 4 * HOLD_MS / 1000, "and little more"
    assert time.monotonic() - begun_s < 20, "it is no bottleneck"
