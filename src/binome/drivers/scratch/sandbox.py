"""A sandbox of namespaces: what a copy brings along may run in it, and reaches nothing.

    /work     a file system of its own in a file that has no name: so many bytes and files, and no more
    /usr …    the programs of this server, read-only; nothing else of it is there

Its processes are of a user that no file belongs to, without privileges and without a way to get any, in a network
without interfaces, among none but their own. Memory is bounded by a control group where there are any, and by limits
of each process. All of it hangs on one process: when that ends, and the kernel ends it with the one who opened the
sandbox, the processes in it are killed, the file system is unmounted, and its file, which has no name, is gone.
"""

from __future__ import annotations

import asyncio
import os
import shutil
import signal
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager, contextmanager, suppress
from pathlib import Path

from binome.drivers import tool
from binome.ports_of_copies import NoSandboxError, Place
from binome.shown import shown

WORK = Path("/work")
FIRST_UID = 2_000_000_000
"""Users from here on are nobody's; each sandbox has its own, by the number of the process that opened it."""
PROCESSES = 128
LEAST_BYTES = 256 << 20
LEAVES_PERCENT = 95
"""Of what is free on the disk, so much may be taken."""
_GROUP = "binome-proof-"
_NEEDED = ("unshare", "nsenter", "setpriv", "prlimit", "mount", "pivot_root", "mkfs.ext4")
_SPACES = ("--mount", "--net", "--ipc", "--uts", "--pid")
_ROOM = 64 << 20  # of a file system for itself
_READY_S = 60.0

_FENCE = r"""
set -eu
image=$1 root=$2 uid=$3
read -r pid _ < /proc/self/stat
mount -t tmpfs -o size=4m,nr_inodes=512,mode=755 none "$root"
cd "$root"
mkdir etc proc dev work tmp
for one in usr bin sbin lib lib32 lib64 libx32 opt; do
    if [ -L "/$one" ]; then ln -s "$(readlink "/$one")" "$one"
    elif [ -d "/$one" ]; then mkdir "$one"; mount --bind "/$one" "$one"; mount -o remount,bind,ro,nosuid,nodev "$one"
    fi
done
printf 'root:x:0:0::/:/bin/sh\nproof:x:%s:%s::/work:/bin/sh\n' "$uid" "$uid" > etc/passwd
printf 'root:x:0:\nproof:x:%s:\n' "$uid" > etc/group
printf 'passwd: files\ngroup: files\nhosts: files\n' > etc/nsswitch.conf
printf '127.0.0.1 localhost\n' > etc/hosts
[ ! -f /etc/ld.so.cache ] || cp /etc/ld.so.cache etc/
mount -t proc -o nosuid,nodev,noexec none proc
mount -t tmpfs -o size=64k,nr_inodes=32,mode=755,nosuid,noexec none dev
mknod -m 666 dev/null c 1 3
mknod -m 666 dev/zero c 1 5
mknod -m 666 dev/full c 1 7
mknod -m 666 dev/random c 1 8
mknod -m 666 dev/urandom c 1 9
ln -s /proc/self/fd dev/fd
mkdir dev/shm
mount -t tmpfs -o size=256m,nr_inodes=1k,mode=1777,nosuid,nodev,noexec none dev/shm
mount -t ext4 -o loop,nosuid,nodev,noexec,noatime "$image" work
rmdir work/lost+found
mkdir -m 700 work/.tmp
chown "$uid:$uid" work work/.tmp
mount --bind work/.tmp tmp
mount -o remount,ro,bind dev
mount -o remount,ro .
pivot_root . .
umount -l .
cd /
echo "$pid"
exec sleep infinity
"""

_JOIN = 'echo $$ > "$0/cgroup.procs" && exec "$@"'


class FencedSandbox:
    """Opens sandboxes whose files lie on the disk of a scratch folder. It needs root."""

    def __init__(self, scratch: Path) -> None:
        self._scratch = scratch

    @asynccontextmanager
    async def opened(self, size_bytes: int, files: int) -> AsyncIterator[Place]:
        """See `ports_of_copies.Sandbox`. Raises NoSandboxError."""
        size_bytes = min(size_bytes, self._free_bytes())
        uid = FIRST_UID + os.getpid()
        with _image(self._scratch, size_bytes + _ROOM) as image, _group() as group:
            await _made(image, files)
            words = ["--fork", "--kill-child", "--", "sh", "-c", _FENCE, "sh", image, str(self._scratch), str(uid)]
            process = await asyncio.create_subprocess_exec(
                *("setpriv", "--pdeathsig", "KILL", "unshare", *_SPACES, *words),
                stdin=asyncio.subprocess.DEVNULL,
                stdout=asyncio.subprocess.PIPE,
                stderr=asyncio.subprocess.PIPE,
                start_new_session=True,
            )
            try:
                holder = await _ready(process)
                yield Place(WORK, _within(holder, uid, group), Path(f"/proc/{holder}/root"), uid=uid)
            finally:
                with suppress(ProcessLookupError):
                    os.killpg(process.pid, signal.SIGKILL)
                await process.wait()

    def _free_bytes(self) -> int:
        """How much room there is. Raises NoSandboxError where anything is missing that can be seen beforehand."""
        if os.geteuid() != 0:
            raise NoSandboxError(
                "a sandbox needs root: it mounts file systems, and makes users and networks of its own"
            )
        missing = [name for name in _NEEDED if shutil.which(name) is None]
        if missing:
            raise NoSandboxError(f"{', '.join(missing)} is not installed (packages util-linux, mount, e2fsprogs)")
        try:
            free = shutil.disk_usage(self._scratch).free
        except OSError as error:
            raise NoSandboxError(f"{self._scratch}: {error.strerror}") from error
        if free < LEAST_BYTES:
            raise NoSandboxError(f"{self._scratch} has {free >> 20} MiB left")
        return free // 100 * LEAVES_PERCENT

    async def own(self, place: Place, folder: Path) -> None:
        """See `ports_of_copies.Sandbox`."""
        if place.uid is not None:
            await asyncio.to_thread(_owned, place.seen(folder), place.uid)


def _owned(folder: Path, uid: int) -> None:
    os.chown(folder, uid, uid, follow_symlinks=False)
    for parent, folders, files in os.walk(folder):
        for name in (*folders, *files):
            os.chown(Path(parent, name), uid, uid, follow_symlinks=False)


@contextmanager
def _image(scratch: Path, size_bytes: int) -> Iterator[str]:
    """The path of a file without a name, full of holes. Raises NoSandboxError."""
    try:
        descriptor = os.open(scratch, os.O_RDWR | os.O_TMPFILE | os.O_CLOEXEC, 0o600)
    except OSError as error:
        raise NoSandboxError(f"{scratch}: {error.strerror}") from error
    try:
        os.ftruncate(descriptor, size_bytes)
        yield f"/proc/{os.getpid()}/fd/{descriptor}"
    finally:
        os.close(descriptor)


async def _made(image: str, files: int) -> None:
    """Makes a file system for that many files. Raises NoSandboxError."""
    options = ("-b", "4096", "-m", "0", "-N", str(files), "-O", "^has_journal", "-E", "lazy_itable_init=1,nodiscard")
    ended = await tool.run(["mkfs.ext4", "-q", "-F", *options, image])
    if ended.code != 0:
        raise NoSandboxError(f"mkfs.ext4: {ended.said}")


async def _ready(process: asyncio.subprocess.Process) -> int:
    """The process that a sandbox hangs on, once all is mounted. Raises NoSandboxError."""
    assert process.stdout is not None  # noqa: S101 - they are pipes
    assert process.stderr is not None  # noqa: S101
    try:
        line = await asyncio.wait_for(process.stdout.readline(), _READY_S)
    except TimeoutError:
        line = b""
    if line.strip().isdigit():
        return int(line)
    with suppress(ProcessLookupError):
        os.killpg(process.pid, signal.SIGKILL)
    said = (await process.stderr.read()).decode(errors="replace").strip().splitlines()
    raise NoSandboxError(f"this server cannot fence a sandbox off: {shown(said[-1], 300) if said else 'no answer'}")


def _within(holder: int, uid: int, group: Path | None) -> tuple[str, ...]:
    """The words before a command that is to run in a sandbox."""
    limits = (f"--nproc={PROCESSES}", f"--as={_half_of_memory()}", "--core=0", "--nofile=4096")
    user = (f"--reuid={uid}", f"--regid={uid}", "--clear-groups", "--no-new-privs", "--bounding-set=-all")
    joining = ("sh", "-c", _JOIN, str(group)) if group else ()
    entering = ("nsenter", f"--target={holder}", *_SPACES, "--")
    return (*joining, *entering, "prlimit", *limits, "setpriv", *user, "--inh-caps=-all", "--")


@contextmanager
def _group() -> Iterator[Path | None]:
    """A control group of half of the memory; None where there are none. Those of the dead are taken away."""
    mounts = (line.split(" ") for line in Path("/proc/self/mounts").read_text().splitlines())
    root = next((Path(mount) for _, mount, kind, *_ in mounts if kind == "cgroup2"), None)
    if root is None:
        yield None
        return
    for left in root.glob(f"{_GROUP}*"):
        with suppress(OSError):  # one in which somebody lives stays
            left.rmdir()
    group = root / f"{_GROUP}{os.getpid()}"
    bounded = False
    with suppress(OSError):
        group.mkdir()
        with (group / "memory.max").open("r+") as file:  # missing where nobody has switched memory on
            file.write(str(_half_of_memory()))
        bounded = True
    try:
        yield group if bounded else None
    finally:
        with suppress(OSError):  # the last of its processes may be a moment from gone; the next takes it away
            group.rmdir()


def _half_of_memory() -> int:
    return os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES") // 2
