"""A backup and its proof against the bare tools doing the same work, on a pgbench database, one after the other.

    sudo .venv/bin/python bench/backup.py [--scale 100] [--repeat 2] [--method dump]

Scale 100 is a database of about 1.5 GB. The bare tools: pg_dump or pg_basebackup, restic into a new repository and out
of it again, pg_verifybackup of a base backup, initdb, an engine with the settings of ours, pg_restore, pg_amcheck with
heaps and indexes. Ours is `take` and `prove` by the same tools, with and without fingerprints; the ratio is of the
shortest runs: the first of all pays for what nothing had read before. Memory is the peak of this process, in which all
of ours runs, without the tools that it starts.
"""

from __future__ import annotations

import argparse
import asyncio
import os
import pwd
import resource
import shutil
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any
from unittest.mock import patch

ROOT = Path(__file__).parents[1]
sys.path[:0] = [str(ROOT), str(ROOT / "src")]

import goals  # noqa: E402
from tests.drivers.postgres_server import Server, running  # noqa: E402

from binome.core.copies import Progress  # noqa: E402 - of this checkout
from binome.drivers.backup.basebackup import BaseBackup  # noqa: E402
from binome.drivers.backup.dump import MOST_JOBS, Dump  # noqa: E402
from binome.drivers.backup.shared.postgres import program  # noqa: E402
from binome.drivers.files import files_of  # noqa: E402
from binome.drivers.restore.basebackup import RestoreBaseBackup  # noqa: E402
from binome.drivers.restore.dump import RestoreDump  # noqa: E402
from binome.drivers.scratch.postgres import SETTINGS, ScratchPostgres  # noqa: E402
from binome.drivers.scratch.sandbox import FencedSandbox  # noqa: E402
from binome.drivers.vault.restic import ResticVault  # noqa: E402
from binome.estate import load  # noqa: E402
from binome.ports_of_copies import VaultPlace  # noqa: E402
from binome.runtime.copying import Hands, take  # noqa: E402
from binome.runtime.proving import Tools, Wanted, prove  # noqa: E402

WITHOUT, WITH, MEMORY_MB = 1.10, 1.25, 200
METHODS: dict[str, tuple[Any, Any]] = {"dump": (Dump, RestoreDump), "basebackup": (BaseBackup, RestoreBaseBackup)}
ESTATE = """
sites: {{gra: {{}}, par: {{}}}}
servers: {{gra-db: {{site: gra}}, par-spare: {{site: par}}}}
services: {{database: {{kind: postgresql, on: [gra-db]}}}}
data: {{bench: {{in: database, user: postgres, socket: {socket}}}}}
vaults: {{away: {{kind: restic, on: par-spare, path: /srv/away, key: "env:KEY"}}}}
backups:
  dump: {{of: bench, method: dump, every: 1d, to: [away]}}
  basebackup: {{of: bench, method: basebackup, every: 1d, to: [away]}}
"""
JOBS = min(MOST_JOBS, len(os.sched_getaffinity(0)))


def main() -> None:
    parser = argparse.ArgumentParser()
    parser.add_argument("--scale", type=int, default=100)
    parser.add_argument("--repeat", type=int, default=2)
    parser.add_argument("--method", choices=list(METHODS), action="append")
    asked = parser.parse_args()
    if os.geteuid() != 0 or shutil.which("restic") is None:
        print("a sandbox needs root, and the vaults restic: skipped")
        return
    with tempfile.TemporaryDirectory(prefix="binome-bench-", dir="/var/tmp") as name, running() as server:
        folder = Path(name)
        folder.chmod(0o755)
        server.execute("CREATE DATABASE bench", "ALTER SYSTEM SET max_wal_size = '4GB'", "SELECT pg_reload_conf()")
        server.run("pgbench", "-i", "-q", f"--scale={asked.scale}", f"--host={server.folder}", "-Upostgres", "bench")
        server.execute("CHECKPOINT")
        with server.connect("bench") as connection:
            ((size,),) = connection.execute("SELECT pg_database_size('bench')").fetchall()
        print(f"a database of {size / 1e9:.2f} GB, {JOBS} processes at once")
        for method in asked.method or METHODS:
            measured(server, folder, method, asked.repeat)
    peak_mb = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024
    print(f"peak memory  {peak_mb:6.0f} MB  {goals.at_most('peak memory', round(peak_mb), MEMORY_MB)}")
    goals.end()


def measured(server: Server, folder: Path, method: str, repeat: int) -> None:
    """Times one method, by all three."""
    kinds: dict[str, Callable[[Path], dict[str, float]]] = {
        "bare tools": lambda into: bare(server, into, method),
        "without fingerprints": lambda into: ours(server, into, method, fingerprints=False),
        "with fingerprints": lambda into: ours(server, into, method, fingerprints=True),
    }
    best: dict[str, float] = {}
    for _ in range(repeat):
        for name, work in kinds.items():
            into = folder / "run"
            into.mkdir(mode=0o755)
            subprocess.run(["sync"], check=True)
            spent = work(into)
            shutil.rmtree(into)
            total = sum(spent.values())
            best[name] = min(total, best.get(name, total))
            parts = ", ".join(f"{part} {taken_s:.1f}" for part, taken_s in spent.items())
            print(f"{method:<11} {name:<21} {total:6.1f} s  ({parts})", flush=True)
    for name, goal in (("without fingerprints", WITHOUT), ("with fingerprints", WITH)):
        ratio = best[name] / best["bare tools"]
        print(f"{method:<11} {name:<21} {ratio:6.2f} ×  {goals.at_most(f'{method} {name}', ratio, goal)}", flush=True)


# -- ours


def ours(server: Server, into: Path, method: str, *, fingerprints: bool) -> dict[str, float]:
    """Seconds of taking and of proving."""
    (into / "disk").mkdir()
    estate = load(ESTATE.format(socket=server.folder).encode())
    copier, restorer = METHODS[method]
    vault = ResticVault(VaultPlace("away", "restic", str(into / "disk" / "vault"), "key"), lambda _: "weak")
    hands = Hands(copier(lambda _: ""), {"away": vault}, summed, now_ms)
    began_s = time.monotonic()
    with patch("binome.drivers.backup.dump.fingerprint", no_rows) if not fingerprints else patch.dict({}):
        done = asyncio.run(take(estate, method, "gra-db", scratch=into, hands=hands, tell=silent))
    taken_s = time.monotonic()
    must(not done.failed, done.failed)
    stored = asyncio.run(vault.list())
    tools = Tools(
        vault=vault,
        restorer=restorer(),
        sandbox=FencedSandbox(into),
        engine=ScratchPostgres,
        sums=summed,
        now_ms=now_ms,
        sign=lambda proof: proof,
        versions={},
        fingerprints=fingerprints,
    )
    proof = asyncio.run(prove(estate, method, Wanted("away", stored[0], stored), tools=tools, tell=silent))
    must(proof.verdict == "proven", (proof.verdict, proof.found))
    phases = {name: ms / 1000 for name, ms in proof.phases_ms.items()}
    rest = time.monotonic() - taken_s - sum(phases.values())
    return {"take": taken_s - began_s, **phases, "rest": rest}


async def no_rows(reading: Any, _: Callable[[int], None]) -> dict[str, Any]:
    """The fingerprint without what costs: no row is read."""
    names = await (await reading.execute("SELECT schemaname || '.' || tablename FROM pg_tables")).fetchall()
    kept = {name: [0, "", ""] for (name,) in names if name.startswith("public.")}
    return {"tables": kept, "large_objects": [0, "", ""], "extensions": {}, "roles": {}}


# -- the bare tools


def bare(server: Server, into: Path, method: str) -> dict[str, float]:
    """Seconds of the same by hand."""
    spent: dict[str, float] = {}
    owner = pwd.getpwnam("postgres")
    os.chown(into, owner.pw_uid, owner.pw_gid)
    (into / "key").write_text("weak")
    restic = ["restic", "-q", "-r", str(into / "vault"), "--password-file", str(into / "key")]
    source = [f"--host={server.folder}", "--username=postgres"]
    copy, back, cluster = into / "copy", into / "back", into / "cluster"

    def timed(part: str, *words: str, user: str = "postgres", folder: Path = into) -> None:
        began_s = time.monotonic()
        as_user: dict[str, Any] = {} if user == "root" else {"user": user, "group": user, "extra_groups": []}
        done = subprocess.run(words, cwd=folder, capture_output=True, text=True, check=False, **as_user)
        must(done.returncode == 0, (words, done.stderr))
        spent[part] = spent.get(part, 0) + time.monotonic() - began_s

    def tool(part: str, name: str, *words: str) -> None:
        timed(part, program(name, 15), *words)

    copy.mkdir()
    os.chown(copy, owner.pw_uid, owner.pw_gid)
    if method == "dump":
        words = ["--format=directory", "--compress=0", f"--jobs={JOBS}", f"--file={copy / 'd'}", "bench"]
        tool("take", "pg_dump", *source, *words)
        tool("take", "pg_dumpall", *source, "--roles-only", f"--file={copy / 'roles.sql'}")
    else:
        words = ["--format=plain", "--wal-method=stream", "--checkpoint=fast", f"--pgdata={copy / 'd'}"]
        tool("take", "pg_basebackup", *source, *words)
    timed("take", *restic, "init", user="root")
    timed("take", *restic, "backup", ".", user="root", folder=copy)
    timed("fetch", *restic, "restore", "latest", "--target", str(back), user="root")
    timed("fetch", "chown", "-R", "postgres:postgres", str(back), user="root")
    if method == "dump":
        tool("start", "initdb", "--auth=trust", "--username=postgres", "--no-sync", "--no-locale", f"-D{cluster}")
    else:
        tool("verify", "pg_verifybackup", "--quiet", str(back / "d"))
        (back / "d").rename(cluster)
        cluster.chmod(0o700)
        (cluster / "postgresql.auto.conf").write_text("")
    settings = "".join(f"{name} = '{value}'\n" for name, value in SETTINGS.items())
    (cluster / "postgresql.conf").write_text(f"{settings}unix_socket_directories = '{into}'\n")
    engine = [f"--host={into}", "--username=postgres"]
    tool("start", "pg_ctl", f"-D{cluster}", "--wait", "--timeout=600", f"--log={into / 'log'}", "start")
    try:
        if method == "dump":
            tool("restore", "psql", *engine, "--quiet", f"--file={back / 'roles.sql'}", "postgres")
            words = ["--exit-on-error", f"--jobs={JOBS}", "--create", "--dbname=postgres", str(back / "d")]
            tool("restore", "pg_restore", *engine, *words)
        for database in ("postgres", "bench"):
            tool("check", "psql", *engine, "--quiet", "--command=CREATE EXTENSION amcheck", database)
        tool("check", "pg_amcheck", *engine, "--all", "--heapallindexed", "--parent-check", f"--jobs={JOBS}")
    finally:
        tool("rest", "pg_ctl", f"-D{cluster}", "--mode=immediate", "--wait", "stop")
    return spent


def must(good: bool, said: object) -> None:
    """Ends the benchmark where something did not do its work."""
    if not good:
        sys.exit(f"it failed: {said}")


def summed(folder: Path, tell: Any) -> Any:
    return files_of(folder, tell=tell)


def now_ms() -> int:
    return time.time_ns() // 1_000_000


def silent(_: Progress) -> None:
    """Nobody listens."""


if __name__ == "__main__":
    main()
