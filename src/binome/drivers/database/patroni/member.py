"""One member of a database on its own server, in the hands of its agent: a `Driver`.

    database.fence    service                      PostgreSQL is stopped, and Patroni cannot start it
    database.unfence  service                      Patroni works again, and does as etcd says
    database.rejoin   service [, rewind_s, copy_s] a former primary follows the new one, rewound or copied anew
    database.verify   service                      a write that the primary acknowledged, and that leaves nothing

**Fencing** asks nobody who may be frozen. What is wanted is written down first, so that an agent that is started anew
goes on (`keep`, once a second); then Patroni is stopped where it stands (SIGSTOP), then PostgreSQL ends: at once, as in
an immediate shutdown, and by SIGKILL where it does not hear that. Patroni is not killed: its supervisor would start it
again. Unfenced it goes on, finds that its lease is over, asks etcd who leads, and never starts a primary without it.

**Rejoining** is Patroni's work first: it rewinds a former primary by itself. Where that does not lead to a stream
within `rewind_s`, its data folder is moved aside, to `NAME.old-TIME`, and Patroni copies the new primary. Nothing is
ever deleted: at most KEPT folders lie aside, within `kept_bytes`; beyond that a person has to choose. Nothing is moved
while no other member leads, while something still works on the folder, or where its contents lie elsewhere too.

**Verifying** writes a message into the write-ahead log (`pg_logical_emit_message`): a transaction that waits for the
synchronous standby as any other, and is no row of any table. A server that hangs makes the outcome unknown.
"""

from __future__ import annotations

import asyncio
import os
import pwd
import shutil
import signal
import time
from collections.abc import Awaitable, Callable, Mapping
from contextlib import suppress
from dataclasses import dataclass
from enum import StrEnum
from pathlib import Path
from typing import Literal

import msgspec

from binome.core.plan import Command, Outcome
from binome.drivers.database.patroni import processes, rest

KEPT = 2
"""So many old data folders of a member lie aside at most."""
GENTLY_S, STOP_WITHIN_S = 0.2, 2.0
LOOK_EVERY_S = 0.1
REWIND_S, COPY_S, LONGEST_S = 30.0, 300.0, 86_400.0
VERIFY_WITHIN_S = 3.0
UNHURRIED_S = 3.0
"""How long Patroni may take to say what it is, before anything is moved; it is slow while PostgreSQL does not run."""

PROOF = "SELECT pg_logical_emit_message(true, 'binome', 'verify')"
WITNESSES = """\
SELECT coalesce(string_agg(application_name, ',' ORDER BY application_name), 'none') FROM pg_stat_replication
WHERE sync_state IN ('sync', 'quorum')"""


class Refused(StrEnum):
    """Why a member was left as it is."""

    NO_SUCH_MEMBER = "no member of such a database on this server"
    BAD_TIME = "rewind_s and copy_s are numbers of seconds, up to a day"
    UNKNOWN_VERB = "this verb is not known here"
    IS_PRIMARY = "this member leads: its data is the database"
    SILENT = "its Patroni does not say what it is"
    NOBODY_LEADS = "no other member leads: this may be the only copy"
    STILL_AT_WORK = "the data folder is still being rewound or copied"
    TOO_MANY_KEPT = "old data folders lie aside already: a person has to remove one"
    NO_ROOM = "there is no room for another copy beside the old one"
    ELSEWHERE_TOO = "a part of the data lies outside of its folder (tablespaces, pg_wal)"
    FENCED = "it is fenced"


@dataclass(frozen=True, slots=True)
class Member:
    """Where a member is on this server."""

    data: Path
    configuration: Path  # the file that its Patroni was started with
    rest: rest.Place
    sockets: Path  # the folder of PostgreSQL's unix socket
    user: str = "postgres"
    kept_bytes: int = 1 << 40


State = Literal["open", "fenced", "moving", "opening"]


class _Kept(msgspec.Struct):
    """What is remembered of a member: whether it is to stand still, and which plan moved its data aside."""

    state: State = "open"
    moved_by: str = ""


class PatroniMember:
    """A `Driver` for the members on this server, by the name of their database. `folder` outlives restarts."""

    def __init__(self, members: Mapping[str, Member], folder: Path) -> None:
        self._members, self._folder = members, folder
        self._rejoining = {service: asyncio.Lock() for service in members}

    async def carry_out(self, command: Command) -> Outcome:
        """Does it, again without harm; unknown where an engine does not say in time that it is so."""
        service = command.arguments.get("service", "")
        member = self._members.get(service)
        if member is None:
            return Outcome("failed", Refused.NO_SUCH_MEMBER)
        try:
            match command.verb:
                case "database.fence":
                    return await self.fence(service)
                case "database.unfence":
                    return await self._unfence(service)
                case "database.rejoin":
                    async with self._rejoining[service]:  # an order that is said again waits for the first
                        return await self._rejoin(service, member, command)
                case "database.verify":
                    return Outcome("failed", Refused.FENCED) if self.is_fenced(service) else await verify(member)
        except OSError as error:
            return Outcome("unknown", f"{error.filename}: {error.strerror}")
        return Outcome("failed", Refused.UNKNOWN_VERB)

    # -- fencing

    async def fence(self, service: str) -> Outcome:
        """Stops a member, and keeps it stopped. An agent that has lost the majority calls it of its own accord."""
        return await self._stop(service, "fenced")

    async def _stop(self, service: str, state: State) -> Outcome:
        member = self._members[service]
        trouble = self._remember(service, state)
        patroni, postgresql = processes.started_with(member.configuration), processes.runs_in(member.data)
        try:
            processes.send(patroni, signal.SIGSTOP)
            if not await processes.end(postgresql, within_s=STOP_WITHIN_S, gently_s=GENTLY_S):
                trouble = f"PostgreSQL did not end within {STOP_WITHIN_S:g} s"
            elif not await processes.stand_still(patroni, within_s=STOP_WITHIN_S):
                trouble = "Patroni does not stand still"
        except OSError as error:  # without the right to look, nobody can say that nothing runs
            trouble = f"{error.filename}: {error.strerror}"
        return Outcome("unknown", trouble) if trouble else Outcome("done")

    async def keep(self) -> Mapping[str, Outcome]:
        """Makes what was written down so again: when the agent starts, and once a second. Service → outcome."""
        outcomes = {}
        for service in self._members:
            try:
                match self._kept(service).state:
                    case "fenced" | "moving" as state:
                        outcomes[service] = await self._stop(service, state)
                    case "opening":
                        outcomes[service] = await self._unfence(service)
            except OSError as error:
                outcomes[service] = Outcome("unknown", f"{error.filename}: {error.strerror}")
        return outcomes

    def is_fenced(self, service: str) -> bool:
        """Whether a member is to be fenced. Raises OSError."""
        return self._kept(service).state == "fenced"

    async def _unfence(self, service: str) -> Outcome:
        if self._kept(service).state == "open":
            return Outcome("done")
        member = self._members[service]
        patroni = processes.started_with(member.configuration)
        trouble = self._remember(service, "opening")
        if trouble:
            return Outcome("unknown", trouble)
        if not member.data.exists() and kept(member):  # we ended between moving it aside and making a new one
            _make_like(kept(member)[-1], member.data)
        processes.send(patroni, signal.SIGCONT)
        trouble = self._remember(service, "open")
        return Outcome("unknown", trouble) if trouble else Outcome("done")

    # -- rejoining

    def is_at_work(self, service: str) -> bool:
        """Whether something copies or rewinds a member's data just now."""
        return bool(processes.find(processes.works_on(self._members[service].data)))

    async def _rejoin(self, service: str, member: Member, command: Command) -> Outcome:
        try:
            rewind_s = float(command.arguments.get("rewind_s", REWIND_S))
            copy_s = float(command.arguments.get("copy_s", COPY_S))
        except ValueError:
            return Outcome("failed", Refused.BAD_TIME)
        if not (0 < rewind_s <= LONGEST_S and 0 < copy_s <= LONGEST_S):
            return Outcome("failed", Refused.BAD_TIME)
        opened = await self._unfence(service)
        if opened.result != "done":
            return opened
        moved = self._kept(service).moved_by == command.plan
        if await self._until_it_streams(member, copy_s if moved else rewind_s):
            return Outcome("done")
        if moved:
            return Outcome("unknown", "it is copied anew, and does not stream yet")
        refused = await self._may_move(member)
        if refused in (Refused.STILL_AT_WORK, Refused.NOBODY_LEADS, Refused.SILENT):
            return Outcome("unknown", refused)
        if refused is not None:
            return Outcome("failed", refused)
        trouble = await self._move_aside(service, member, command.plan)
        if trouble is not None:
            return Outcome("unknown", trouble)
        if await self._until_it_streams(member, copy_s):
            return Outcome("done")
        return Outcome("unknown", "it is copied anew, and does not stream yet")

    async def _until_it_streams(self, member: Member, within_s: float) -> bool:
        async def streams() -> bool:
            return rest.streams(await rest.ask(member.rest))

        return await _until(streams, within_s)

    async def _may_move(self, member: Member) -> Refused | None:
        """Why the data folder must stay; None where it may be moved aside."""
        try:
            said = await rest.ask(member.rest, "/cluster", UNHURRIED_S)
        except rest.SilentError:
            return Refused.SILENT
        own = await _role(member)
        if own in ("primary", "master"):
            return Refused.IS_PRIMARY
        if not own:
            return Refused.SILENT
        leads = [
            one for one in said.get("members", ()) if one.get("role") == "leader" and one.get("state") == "running"
        ]
        if len(leads) != 1 or leads[0].get("host") == member.rest.host:
            return Refused.NOBODY_LEADS
        if processes.find(processes.works_on(member.data)):
            return Refused.STILL_AT_WORK
        if (member.data / "pg_wal").is_symlink() or any((member.data / "pg_tblspc").glob("*")):
            return Refused.ELSEWHERE_TOO
        aside = [_size_bytes(path) for path in kept(member)]
        size_bytes = _size_bytes(member.data)
        if len(aside) >= KEPT or sum(aside) + size_bytes > member.kept_bytes:
            return Refused.TOO_MANY_KEPT
        return Refused.NO_ROOM if shutil.disk_usage(member.data).free < size_bytes else None

    async def _move_aside(self, service: str, member: Member, plan: str) -> str | None:
        """Moves the data folder aside while nobody works on it; what went wrong, None where nothing did."""
        stopped = await self._stop(service, "moving")  # whatever ends us here, nothing starts on half a folder
        if stopped.result != "done":
            return stopped.detail
        if self._kept(service).state != "moving":
            return Refused.FENCED
        aside = member.data.with_name(f"{member.data.name}.old-{time.strftime('%Y%m%dT%H%M%SZ', time.gmtime())}")
        member.data.rename(aside)
        _make_like(aside, member.data)
        trouble = self._remember(service, "opening", moved_by=plan)
        if not trouble:
            trouble = (await self._unfence(service)).detail
        return trouble or None

    # -- what is remembered

    def _kept(self, service: str) -> _Kept:
        try:
            return msgspec.json.decode((self._folder / f"{service}.json").read_bytes(), type=_Kept)
        except FileNotFoundError:
            return _Kept()
        except msgspec.DecodeError:
            return _Kept("fenced")  # nobody can say what was wanted: the side that loses nothing

    def _remember(self, service: str, state: State, moved_by: str | None = None) -> str:
        """Durable when it returns; what went wrong, empty where nothing did."""
        path = self._folder / f"{service}.json"
        try:
            before = self._kept(service)
            after = _Kept(state, before.moved_by if moved_by is None else moved_by)
            if before == after and path.exists():
                return ""
            self._folder.mkdir(parents=True, exist_ok=True)
            temporary = path.with_name(path.name + ".new")
            with temporary.open("wb") as file:
                file.write(msgspec.json.encode(after))
                file.flush()
                os.fsync(file.fileno())
            temporary.replace(path)
        except OSError as error:
            return f"{error.filename}: {error.strerror}"
        return ""


def kept(member: Member) -> list[Path]:
    """The old data folders of a member that lie aside, the oldest first."""
    return sorted(member.data.parent.glob(f"{member.data.name}.old-*"))


def _make_like(old: Path, new: Path) -> None:
    """An empty folder that belongs to whom the old one belongs to."""
    status = old.stat()
    new.mkdir(mode=0o700)
    os.chown(new, status.st_uid, status.st_gid)


async def verify(member: Member, within_s: float = VERIFY_WITHIN_S) -> Outcome:
    """A write through this server's PostgreSQL: done with what acknowledged it, failed where it takes no writes."""
    user = pwd.getpwnam(member.user)
    environment = {"PATH": os.environ.get("PATH", "/usr/bin:/bin"), "PGOPTIONS": "-c synchronous_commit=on"}
    arguments = ("-XqAt", "-v", "ON_ERROR_STOP=1", "-h", str(member.sockets), "-d", "postgres")
    try:
        process = await asyncio.create_subprocess_exec(
            "psql",
            *arguments,
            *("-c", PROOF, "-c", WITNESSES),
            stdin=asyncio.subprocess.DEVNULL,
            stdout=asyncio.subprocess.PIPE,
            stderr=asyncio.subprocess.PIPE,
            env=environment | {"PGCONNECT_TIMEOUT": "2"},
            user=user.pw_uid if os.geteuid() == 0 else None,
            group=user.pw_gid if os.geteuid() == 0 else None,
            extra_groups=[] if os.geteuid() == 0 else None,
        )
    except FileNotFoundError:
        return Outcome("failed", "psql is not installed here")
    try:
        async with asyncio.timeout(within_s):
            answer, complaint = await process.communicate()
    except TimeoutError:
        process.kill()  # psql, not the statement: cancelling that needs the server that does not answer
        await process.wait()
        return Outcome("unknown", f"the write was not acknowledged within {within_s:g} s")
    lines, words = answer.decode().split(), " ".join(complaint.decode(errors="replace").split())[:200]
    if len(lines) == 2 and not words:
        return Outcome("done", f"acknowledged at {lines[0]}; synchronous: {lines[1]}")
    return Outcome("failed" if "recovery" in words else "unknown", words or "an answer that is none of PostgreSQL's")


async def _role(member: Member) -> str:
    try:
        return str((await rest.ask(member.rest, timeout_s=UNHURRIED_S)).get("role"))
    except rest.SilentError:
        return ""


async def _until(so: Callable[[], Awaitable[bool]], within_s: float) -> bool:
    loop = asyncio.get_running_loop()
    until_s = loop.time() + within_s
    while loop.time() < until_s:
        with suppress(rest.SilentError):
            if await so():
                return True
        await asyncio.sleep(LOOK_EVERY_S)
    return False


def _size_bytes(folder: Path) -> int:
    """What the files below a folder take, as far as they are there while we count."""
    total = 0
    for path, _, names in os.walk(folder):
        for name in names:
            with suppress(OSError):
                total += (Path(path) / name).lstat().st_size
    return total
