"""Starting a program on a server of the lab: in its network, in its group, with its user's rights.

A program is started by a chain of the system's own small tools, each of which becomes the next: nsenter (network),
sh (group and mounts), setpriv (user). The mounts are private to the program and end with it: names resolve to the lab's
servers alone, and our virtual environment can be read wherever the checkout lies.
"""

from __future__ import annotations

import os
import pwd
import subprocess
import sys
from dataclasses import dataclass, field
from pathlib import Path

from binome.lab import network

# $1 the group, $2 the folder that all servers share, $3 our virtual environment; the rest is the program. A lookup of a
# name that went on to the machine's own resolver would hang for seconds: there is no way to it from here.
_ENTER = """\
echo $$ > "$1/cgroup.procs" &&
mount --bind "$3" "$2/venv" &&
mount --bind "$2/hosts" /etc/hosts || exit 1
[ ! -e /etc/resolv.conf ] || mount --bind "$2/resolv.conf" /etc/resolv.conf || exit 1
shift 3
exec "$@"
"""


@dataclass(frozen=True, slots=True)
class Program:
    """A program: what to run, as whom, with what of its own environment."""

    arguments: tuple[str, ...]
    user: str | None = None
    environment: dict[str, str] = field(default_factory=dict)


def start(program: Program, server: str, group: Path, log: Path, shared: Path) -> subprocess.Popen[bytes]:
    """Starts a program on a server; what it prints is appended to `log`. It outlives this process."""
    chain = ["nsenter", f"--net={network.namespace_path(server)}", "--"]
    chain += ["unshare", "--mount", "--propagation", "private", "--"]
    chain += ["sh", "-c", _ENTER, "sh", str(group), str(shared), str(virtual_environment())]
    if program.user:
        chain += [
            "setpriv",
            f"--reuid={program.user}",
            f"--regid={pwd.getpwnam(program.user).pw_gid}",
            "--init-groups",
            "--",
        ]
    environment = {"PATH": "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin", "LANG": "C.UTF-8"}
    with log.open("ab") as output:
        return subprocess.Popen(
            [*chain, *program.arguments],
            stdin=subprocess.DEVNULL,
            stdout=output,
            stderr=subprocess.STDOUT,
            cwd=shared,
            env=environment | program.environment,
            start_new_session=True,
        )


def virtual_environment() -> Path:
    """The environment that this program runs from; Patroni is installed in it."""
    return Path(sys.prefix)


def base_python() -> str:
    """The interpreter below the virtual environment."""
    return os.path.realpath(sys.executable)
