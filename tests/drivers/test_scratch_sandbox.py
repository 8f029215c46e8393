"""The sandbox: another user, no network, so many bytes and files; and nothing is left of it, whatever ends it."""

from __future__ import annotations

import asyncio
import os
import re
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path

import pytest

from binome.drivers import tool
from binome.drivers.scratch import sandbox
from binome.drivers.scratch.sandbox import FIRST_UID, FencedSandbox
from binome.ports_of_copies import NoSandboxError

real = [pytest.mark.lab, pytest.mark.skipif(os.geteuid() != 0, reason="a sandbox needs root")]
MIB = 1 << 20


def tried(tmp_path: Path, *scripts: str, files: int = 1000) -> list[list[str]]:
    """What scripts say that run in a sandbox of 32 MiB, one after the other."""

    async def work() -> list[list[str]]:
        answers = []
        async with FencedSandbox(tmp_path).opened(32 * MIB, files) as place:
            for script in scripts:
                said: list[str] = []
                ended = await tool.run([*place.within, "sh", "-c", script], output=said.append, folder=Path("/"))
                answers.append([*said, f"ended with {ended.code}"])
        return answers

    return asyncio.run(work())


class TestReal:
    pytestmark = real

    def test_it_is_nobody_alone_and_without_a_network(self, tmp_path: Path) -> None:
        who, links, processes, rights, files = tried(
            tmp_path,
            "id -u; id -G",
            "tail -n +3 /proc/net/dev | cut -d: -f1; cat /proc/net/route | tail -n +2",
            "ps -e -o comm=",
            "grep -E '^(Cap(Prm|Bnd)|NoNewPrivs)' /proc/self/status | cut -f2",
            "ls /; cat /etc/passwd | wc -l; touch /x /usr/x /etc/x /dev/x /dev/shm/x /tmp/x /work/x; ls /home",
        )
        assert int(who[0]) >= FIRST_UID and who[1] == who[0]
        assert [one.strip() for one in links[:-1]] == ["lo"]
        assert sorted(processes[:-1]) == ["ps", "sh", "sleep"]
        assert rights[:3] == ["0" * 16, "0" * 16, "1"]
        assert {*files} & {"home", "root", "var", "srv"} == set() and files[-1] == "ended with 2"

    def test_it_holds_so_many_bytes_and_files_and_no_more(self, tmp_path: Path) -> None:
        big, temporary, many = tried(
            tmp_path,
            "head -c 200M /dev/zero > /work/big 2>/dev/null; wc -c < /work/big; rm /work/big",
            "head -c 200M /dev/zero > /tmp/big 2>/dev/null; wc -c < /tmp/big; rm /tmp/big",
            "mkdir /work/d; cd /work/d; for n in $(seq 5000); do true > $n || break; done 2>/dev/null; ls | wc -l",
        )
        assert 30 * MIB < int(big[0]) < 100 * MIB and int(temporary[0]) < 100 * MIB
        assert int(many[0]) < 2000

    def test_nothing_is_left_of_it(self, tmp_path: Path) -> None:
        tried(tmp_path, "sleep 1000 > /dev/null 2>&1 & true")
        until(lambda: not left())
        assert list(tmp_path.iterdir()) == []

    def test_killed_outright_nothing_is_left_either(self, tmp_path: Path) -> None:
        script = (
            "import asyncio, sys\n"
            "from pathlib import Path\n"
            "from binome.drivers import tool\n"
            "from binome.drivers.scratch.sandbox import FencedSandbox\n"
            "async def work():\n"
            "    async with FencedSandbox(Path(sys.argv[1])).opened(32 << 20, 1000) as place:\n"
            "        print('open', flush=True)\n"
            "        await tool.run([*place.within, 'sleep', '1000'])\n"
            "asyncio.run(work())\n"
        )
        process = subprocess.Popen([sys.executable, "-c", script, str(tmp_path)], stdout=subprocess.PIPE)
        assert process.stdout is not None and process.stdout.readline() == b"open\n"
        uid = FIRST_UID + process.pid
        until(lambda: bool(left(uid)))
        assert loops(tmp_path)
        process.send_signal(signal.SIGKILL)
        process.wait()
        until(lambda: not left(uid) and not loops(tmp_path))
        assert list(tmp_path.iterdir()) == []

    def test_a_disk_with_little_room_makes_a_smaller_one(self, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
        usage = type("Usage", (), {"free": 300 * MIB})
        monkeypatch.setattr("binome.drivers.scratch.sandbox.shutil.disk_usage", lambda _: usage)

        async def work() -> int:
            async with FencedSandbox(tmp_path).opened(1 << 40, 1000) as place:
                found = os.statvfs(place.seen(place.folder))
                return found.f_blocks * found.f_frsize

        assert 200 * MIB < asyncio.run(work()) < 400 * MIB


def left(uid: int | None = None) -> list[str]:
    """The processes of sandboxes that this process, or another, has opened."""
    owner = FIRST_UID + os.getpid() if uid is None else uid
    found = subprocess.run(["ps", "-e", "-o", "uid=,pid="], capture_output=True, text=True, check=True).stdout
    return [line for line in found.splitlines() if line.split()[0] == str(owner)]


def loops(folder: Path) -> list[str]:
    """The loop devices of files without a name below a folder."""
    found = []
    for path in Path("/sys/block").glob("loop*/loop/backing_file"):
        with suppress(OSError):
            if re.match(re.escape(str(folder)), path.read_text()):
                found.append(path.parts[3])
    return found


def until(done: Callable[[], bool]) -> None:
    deadline_s = time.monotonic() + 20
    while not done():
        assert time.monotonic() < deadline_s, "it did not come to pass"
        time.sleep(0.05)


def refused(tmp_path: Path) -> str:
    async def work() -> None:
        async with FencedSandbox(tmp_path).opened(MIB, 10):
            pass

    with pytest.raises(NoSandboxError) as error:
        asyncio.run(work())
    return str(error.value)


def test_what_is_missing_is_said(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("os.geteuid", lambda: 1000)
    assert refused(tmp_path).startswith("a sandbox needs root")
    monkeypatch.setattr("os.geteuid", lambda: 0)
    monkeypatch.setattr(sandbox, "_NEEDED", ("unshare", "no-such-tool"))
    assert refused(tmp_path).startswith("no-such-tool is not installed")
    monkeypatch.setattr(sandbox, "_NEEDED", ())
    assert refused(tmp_path / "none") == f"{tmp_path}/none: No such file or directory"
    monkeypatch.setattr(sandbox, "LEAST_BYTES", 1 << 60)
    assert "MiB left" in refused(tmp_path)
