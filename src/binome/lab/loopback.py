"""A real etcd of three members on this machine's loopback: for tests and benchmarks, without root.

Members end with the process that started them, whatever ends it: the kernel sees to that. What a lab of data centres
shows and this does not is the network: a member that is killed here answers with a reset at once.
"""

from __future__ import annotations

import json
import shutil
import signal
import socket
import ssl
import subprocess
import time
import urllib.request
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path
from random import SystemRandom
from typing import Any

from binome.lab.errors import LabTimeoutError

MEMBERS = 3
_WITHIN_S = 20.0
_QUICK = ("--heartbeat-interval=50", "--election-timeout=500")  # as `render/etcd.py` has it


def free_ports(count: int) -> list[int]:
    """Ports that nobody listens on, below those that the system gives to outgoing connections."""
    found: list[int] = []
    chance = SystemRandom()
    while len(found) < count:
        port = chance.randrange(20_000, 32_000)
        with socket.socket() as probe:
            if port not in found and probe.connect_ex(("127.0.0.1", port)):
                found.append(port)
    return found


class LoopbackEtcd:
    """Three members in `folder`. `options` are further options of etcd's; with `tls` clients speak TLS, and trust so.

    Start members in the main thread: they end with the thread that started them.
    """

    def __init__(self, folder: Path, *options: str, tls: ssl.SSLContext | None = None) -> None:
        self._tls = tls
        self._folder = folder
        self._options = options
        ports = free_ports(2 * MEMBERS)
        self.ports = ports[:MEMBERS]
        scheme = "https" if tls else "http"
        self.urls = [f"{scheme}://127.0.0.1:{port}" for port in self.ports]
        self._peers = [f"http://127.0.0.1:{port}" for port in ports[MEMBERS:]]
        self._processes: dict[int, subprocess.Popen[bytes]] = {}

    def __enter__(self) -> LoopbackEtcd:
        for member in range(MEMBERS):
            self.start(member, "new")
        try:
            self.wait_until_whole()
        except BaseException:
            self.__exit__()
            raise
        return self

    def __exit__(self, *_: object) -> None:
        self._end_all()

    def start(self, member: int, state: str = "existing") -> None:
        """Starts a member; with nothing in its folder it founds a cluster (`new`) or joins one (`existing`)."""
        cluster = ",".join(f"member-{n}={url}" for n, url in enumerate(self._peers))
        self._folder.mkdir(parents=True, exist_ok=True)
        with (self._folder / f"member-{member}.log").open("ab") as log:
            self._processes[member] = subprocess.Popen(
                [
                    *("setpriv", "--pdeathsig", "KILL", "etcd"),
                    *("--name", f"member-{member}", "--data-dir", str(self._data(member))),
                    *("--listen-client-urls", self.urls[member], "--advertise-client-urls", self.urls[member]),
                    *("--listen-peer-urls", self._peers[member], "--initial-advertise-peer-urls", self._peers[member]),
                    *("--initial-cluster", cluster, "--initial-cluster-state", state),
                    *("--logger", "zap", "--log-level", "warn", *_QUICK, *self._options),
                ],
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=subprocess.STDOUT,
            )

    def _data(self, member: int) -> Path:
        return self._folder / f"member-{member}"

    def pid(self, member: int) -> int:
        """A member's process."""
        return self._processes[member].pid

    def kill(self, member: int) -> None:
        """Ends a member at once."""
        process = self._processes.pop(member)
        process.kill()
        process.wait()

    def pause(self, member: int) -> None:
        """A member stands still; its kernel goes on taking connections for it."""
        self._processes[member].send_signal(signal.SIGSTOP)

    def resume(self, member: int) -> None:
        """It goes on."""
        self._processes[member].send_signal(signal.SIGCONT)

    def expel(self, member: int) -> None:
        """Kills a member, takes it out of the cluster, and lets a new one in under its address: `start` that."""
        self.kill(member)
        helper = self.leader()  # if it led, the others first elect another one
        members = self.ask(helper, "/v3/cluster/member/list")["members"]
        (gone,) = (one["ID"] for one in members if one["peerURLs"] == [self._peers[member]])
        self.ask(helper, "/v3/cluster/member/remove", ID=gone)
        shutil.rmtree(self._data(member))
        self.ask(helper, "/v3/cluster/member/add", peerURLs=[self._peers[member]])

    def found_anew(self) -> None:
        """All members lose their disks, and found an etcd that has never held anything."""
        self._end_all()
        for member in range(MEMBERS):
            shutil.rmtree(self._data(member))
            self.start(member, "new")

    def save(self, into: Path) -> None:
        """Copies what all members hold, at one moment: they are killed for it, and started again."""
        self._end_all()
        into.mkdir()
        for member in range(MEMBERS):
            _copy(self._data(member), into)
            self.start(member)

    def put_back(self, saved: Path) -> None:
        """All members go on with what they held when it was saved, as if nothing had happened since."""
        self._end_all()
        for member in range(MEMBERS):
            shutil.rmtree(self._data(member))
            _copy(saved / self._data(member).name, self._folder)
            self.start(member)

    def _end_all(self) -> None:
        for member in tuple(self._processes):
            self.kill(member)

    def ask(self, member: int, path: str, timeout_s: float = 5.0, **body: Any) -> dict[str, Any]:
        """A member's answer, by the plainest of clients. Raises OSError where there is none."""
        document = json.dumps(body).encode()
        request = urllib.request.Request(self.urls[member] + path, data=document)  # noqa: S310
        with urllib.request.urlopen(request, timeout=timeout_s, context=self._tls) as response:  # noqa: S310
            answer: dict[str, Any] = json.load(response)
        return answer

    def wait_until_whole(self) -> None:
        """Returns when every member answers, follows the same leader, and has applied what the others have."""
        self._until(self._whole, "every member takes part")

    def _whole(self) -> bool:
        found = list(self._statuses().values())
        leaders = {one.get("leader") for one in found}
        applied = {one["raftAppliedIndex"] for one in found}
        return len(found) == MEMBERS and len(leaders) == 1 and None not in leaders and len(applied) == 1

    def leader(self) -> int:
        """The member that leads; waits for one that a majority follows and that answers."""
        leaders: list[int] = []

        def known() -> bool:
            found = self._statuses()
            followed = [one.get("leader") for one in found.values()]
            leaders[:] = [
                member for member, one in found.items() if followed.count(one["header"]["member_id"]) > MEMBERS // 2
            ]
            return bool(leaders)

        self._until(known, "a majority follows a leader")
        return leaders[0]

    def _statuses(self) -> dict[int, dict[str, Any]]:
        """What the members that answer say of themselves."""
        found = {}
        for member in tuple(self._processes):
            with suppress(OSError):
                found[member] = self.ask(member, "/v3/maintenance/status", timeout_s=0.5)
        return found

    def _until(self, condition: Callable[[], bool], what: str) -> None:
        end_s = time.monotonic() + _WITHIN_S
        while not condition():
            if time.monotonic() > end_s or any(one.poll() is not None for one in self._processes.values()):
                raise LabTimeoutError(f"not so within {_WITHIN_S:.0f} s, or a member ended: {what}; see {self._folder}")
            time.sleep(0.05)


def _copy(data: Path, into: Path) -> None:
    """A member's folder; its files are mostly room that was set aside, which is not copied."""
    subprocess.run(["cp", "-a", "--sparse=always", str(data), str(into)], check=True)
