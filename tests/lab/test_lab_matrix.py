"""Grey failures on the real engines: the quick rows of the fault matrix, or all of them with `make lab-test ALL=1`.

The faults themselves are tested first: a row whose fault does nothing would hold for the wrong reason.
"""

from __future__ import annotations

import os
import subprocess
import sys

import pytest

from binome.lab import network
from binome.lab.errors import LabError
from binome.lab.frames import Loss
from binome.lab.grey import Grey, processes
from binome.lab.lab import Lab
from binome.lab.matrix import Trial, quickened
from binome.lab.rows import ROWS, Row
from tests.lab.conftest import LITTORAL

pytestmark = pytest.mark.lab
ESTATE = quickened(LITTORAL.read_bytes())
CHOSEN = [row for row in ROWS if row.quick or os.environ.get("BINOME_MATRIX") == "all"]

_COUNT = """
import socket, sys
with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as one:
    one.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 1 << 20)
    one.bind((sys.argv[1], 9999))
    one.settimeout(1.5)
    print("ready", flush=True)
    count = 0
    try:
        while True:
            one.recv(16)
            count += 1
    except TimeoutError:
        print(count)
"""
_SEND = """
import socket, sys, time
with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as one:
    for number in range(1000):
        one.sendto(b"frame", (sys.argv[1], 9999))
        if number % 50 == 0:
            time.sleep(0.005)
"""


def arrived(lab: Lab, source: str, target: str) -> int:
    """How many of a thousand frames from one server arrive at another."""
    address = lab.estate.servers[target].address or ""

    def on(server: str, code: str) -> list[str]:
        return ["ip", "netns", "exec", network.namespace(server), sys.executable, "-c", code, address]

    with subprocess.Popen(on(target, _COUNT), stdout=subprocess.PIPE, text=True) as counting:
        assert counting.stdout is not None
        assert counting.stdout.readline() == "ready\n"
        subprocess.run(on(source, _SEND), check=True)
        return int(counting.stdout.read())


def test_frames_are_lost_in_one_direction_and_by_a_share(lab: Lab) -> None:
    grey = Grey(lab)
    one, other = "gra-web", "sbg-web"
    assert arrived(lab, one, other) == 1000
    grey.lose("a way", [Loss(one, other)])
    assert (arrived(lab, one, other), arrived(lab, other, one)) == (0, 1000)
    assert arrived(lab, one, "par-spare") == 1000
    grey.lose("a share", [Loss(other, one, 30)])
    assert arrived(lab, one, other) == 0, "one fault does not end another"
    assert 640 < arrived(lab, other, one) < 760
    grey.heal()
    assert (arrived(lab, one, other), arrived(lab, other, one)) == (1000, 1000)


def test_what_is_frozen_does_nothing_and_goes_on_when_it_is_thawed(lab: Lab) -> None:
    grey, server = Grey(lab), "gra-web"
    (pid,) = processes(lab, server, "web")
    with pytest.raises(LabError, match="etcd does not run on gra-web"):
        grey.freeze(server, "etcd")
    grey.freeze(server, "web")
    assert processes(lab, server, "web") == {pid}, "it is still there"
    assert lab.look("web", server).state == "down"
    grey.thaw(server, "web")
    assert lab.look("web", server).state == "up"
    assert list(grey.standing()) == []
    grey.freeze(server, "web")
    grey.kill(server, "web")
    assert not processes(lab, server, "web"), "what is frozen can be killed"
    grey.heal()
    lab.wait_for(lambda: [] if lab.look("web", server).state == "up" else ["web"], "its return", 10)


@pytest.mark.parametrize("row", [row for row in CHOSEN if not (row.disks or row.clocks)], ids=lambda row: row.name)
def test_row(lab: Lab, row: Row) -> None:
    trial = Trial(lab, row, print)
    trial.prepare()
    seen = trial.run()
    sys.stdout.write(f"{row.name}: outage {seen.outage_s}, takeovers {seen.takeovers}, whole {seen.whole_s}\n")
    assert seen.amiss == []
