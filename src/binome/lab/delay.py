"""Distance between the sites, on kernels that cannot delay frames: a relay in each site's uplink.

A site's uplink is opened, and what arrives at one end is put out at the other when its time has come:

    core ── down1 ═ up1 ──[relay]── far1 ═ near1 ── site1        (before: core ── down1 ═ up1 ── site1)

A frame between two sites passes two relays, so each holds it for half of the delay; order is kept, nothing is lost. The
kernel hands over frames with the header of a virtual network device, in which it notes what it left for the hardware to
do (checksums, the cutting into segments), and takes them back so: nothing has to be switched off at the servers.

It is one program in the fabric's namespace. When it ends nothing passes any more, so the uplinks are closed first.
"""

from __future__ import annotations

import select
import socket
import subprocess
import sys
import time
from collections import deque
from collections.abc import Sequence

from binome.lab import cgroup, lookouts, process
from binome.lab.lab import Lab
from binome.lab.network import FABRIC
from binome.lab.process import Program
from binome.lab.shell import run

_ALL_PROTOCOLS = 0x0003
_SOL_PACKET, _VNET_HEADER, _IGNORE_OUTGOING = 263, 15, 23
_SEND_BUFFER, _RECEIVE_BUFFER = 32, 33  # SO_SNDBUFFORCE, SO_RCVBUFFORCE
_LARGEST_BYTES = 10 + 14 + 65_536
_BUFFER_BYTES = 8 << 20
_AT_ONCE = 64


class Distance:
    """The delay between the sites of a lab: `stretch` makes it, `close` takes it away."""

    def __init__(self, lab: Lab) -> None:
        self._lab = lab
        self._numbers = range(1, len(lab.estate.sites) + 1)
        self._process: subprocess.Popen[bytes] | None = None

    def stretch(self, delay_ms: float) -> None:
        """From now on every frame between two sites takes so long. Raises LabError where that cannot be done."""
        self._batch(
            "link add far{0} type veth peer name near{0}",
            "link set far{0} up",
            "link set near{0} master binome-site{0} up",
        )
        words = (sys.executable, "-m", "binome.lab.delay", str(delay_ms / 2), *(str(one) for one in self._numbers))
        group, log = cgroup.create("relay"), self._lab.folder / "logs" / "relay.log"
        program = Program(words, environment=lookouts.environment())
        self._process = process.start(program, "fabric", group, log, self._lab.folder / "shared")
        self._lab.wait_for(lambda: [] if "ready" in log.read_text() else ["the relay"], "the delay", 10)
        self._batch("link set up{0} nomaster")

    def close(self) -> None:
        """The sites are side by side again."""
        if self._process is None:
            return
        self._batch("link set up{0} master binome-site{0}")
        self._process.kill()
        self._process.wait()
        self._process = None
        self._batch("link del far{0}")

    def _batch(self, *lines: str) -> None:
        text = "".join(f"{line.format(number)}\n" for number in self._numbers for line in lines)
        run("ip", "-n", FABRIC, "-batch", "-", text=text)


class Relay:
    """Frames between pairs of interfaces, each put out `hold_s` after it came."""

    def __init__(self, pairs: Sequence[tuple[str, str]], hold_s: float) -> None:
        self._hold_s = hold_s
        self._towards: dict[socket.socket, socket.socket] = {}
        for pair in pairs:
            one, other = (_opened(name) for name in pair)
            self._towards |= {one: other, other: one}
        self._held: deque[tuple[float, socket.socket, bytes]] = deque()  # in the order of their times: all wait as long

    def turn(self) -> None:
        """Waits for a frame or for a time, takes in what came and puts out what is due."""
        wait_s = max(self._held[0][0] - time.monotonic(), 0.0) if self._held else None
        ready, _, _ = select.select(list(self._towards), [], [], wait_s)
        due_s = time.monotonic() + self._hold_s
        for source in ready:
            self._take(source, due_s)
        now_s = time.monotonic()
        while self._held and self._held[0][0] <= now_s:
            _, target, frame = self._held.popleft()
            _put(target, frame)

    def _take(self, source: socket.socket, due_s: float) -> None:
        target = self._towards[source]
        for _ in range(_AT_ONCE):
            try:
                frame = source.recv(_LARGEST_BYTES)
            except OSError:  # no more for now
                return
            self._held.append((due_s, target, frame))


def _opened(interface: str) -> socket.socket:
    opened = socket.socket(socket.AF_PACKET, socket.SOCK_RAW, 0)
    opened.setsockopt(_SOL_PACKET, _VNET_HEADER, 1)
    opened.setsockopt(_SOL_PACKET, _IGNORE_OUTGOING, 1)
    opened.setsockopt(socket.SOL_SOCKET, _RECEIVE_BUFFER, _BUFFER_BYTES)
    opened.setsockopt(socket.SOL_SOCKET, _SEND_BUFFER, _BUFFER_BYTES)
    opened.bind((interface, _ALL_PROTOCOLS))
    opened.setblocking(False)
    return opened


def _put(target: socket.socket, frame: bytes) -> None:
    try:
        target.send(frame)
    except OSError as error:  # a frame that cannot be sent is lost, as on any link
        sys.stderr.write(f"a frame of {len(frame)} bytes was lost: {error}\n")


def main(hold_ms: str, *numbers: str) -> None:
    """The relay of these uplinks, until it is killed."""
    relay = Relay([(f"up{number}", f"far{number}") for number in numbers], float(hold_ms) / 1000)
    sys.stdout.write("ready\n")
    sys.stdout.flush()
    while True:
        relay.turn()


if __name__ == "__main__":
    main(*sys.argv[1:])
