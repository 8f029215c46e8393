"""This server's member of etcd, in the hands of its agent: a `Driver` for the time after a majority was lost.

    agreement.alone   service             this member goes on alone, with the data that it has
    agreement.join    service, through    this member comes back to the one that went on; its old data is kept aside

**Alone.** Only on the word of a person who attests that the other members are off (docs/adr/0052). The data is copied
aside; etcd is started once with `force-new-cluster`, which strikes the others out of the membership that the data
holds, then again as ever. A member that was struck out and comes back asks this one, is told that it was removed for
good, and ends by itself: it finds no majority of the old membership while this one answers. Where there is no data, a
new and empty etcd begins here. Members of the old one know nothing of that: a majority of them could agree again.

**Joining.** `through` names the members that went on; only these are asked, never what is left of the old membership.
The new member enters as a learner, which counts for no majority until it has everything, and is then promoted: so a
member that does not start costs nothing. Old data is moved to `etcd.old-TIME`; nothing is ever deleted, and after KEPT
times a person has to look.
"""

from __future__ import annotations

import asyncio
import os
import shutil
import ssl
import time
from collections.abc import Mapping
from contextlib import suppress
from dataclasses import dataclass
from enum import StrEnum
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import msgspec

from binome.core.plan import Command, Outcome
from binome.drivers.host.supervised import Supervised, SupervisionError

ASK_S, LOOK_EVERY_S = 1.0, 0.05
AGAIN_S = 0.5
TAKEN_IN_WITHIN_S, UP_WITHIN_S, PROMOTED_WITHIN_S = 10.0, 15.0, 20.0
KEPT = 5
"""So many old data folders lie aside at most."""
UNIT = "binome-{}.service"
"""The unit of a service of the estate (render/systemd.py)."""
EMPTY = "it had no data: etcd begins anew, empty"


class Refused(StrEnum):
    """Why a member was left as it is."""

    NO_SUCH_MEMBER = "no member of such an etcd on this server"
    UNKNOWN_VERB = "this verb is not known here"
    NOBODY_TO_ASK = "there is nobody named to come back to"
    TOO_MANY_KEPT = "old data folders of etcd lie aside already: a person has to remove one"


@dataclass(frozen=True, slots=True)
class EtcdMember:
    """Where a member of etcd is on this server. `clients` and `peers` are URLs by member, this one's among them."""

    name: str
    configuration: Path
    data: Path
    clients: Mapping[str, str]
    peers: Mapping[str, str]
    tls: tuple[str, str, str] | None = None  # CA, certificate, key


class SilentError(Exception):
    """No answer of etcd's, or one that says no: the message says which."""


class EtcdAgreement:
    """A `Driver` for the members of etcd on this server, by the name of their service. `folder` is the agent's own."""

    def __init__(self, members: Mapping[str, EtcdMember], folder: Path) -> None:
        self._members, self._folder = members, folder
        self._busy = {service: asyncio.Lock() for service in members}
        self._processes: dict[str, Supervised] = {}

    async def carry_out(self, command: Command) -> Outcome:
        """Does it, again without harm; unknown where etcd does not say in time that it is so."""
        service = command.arguments.get("service", "")
        member = self._members.get(service)
        if member is None:
            return Outcome("failed", Refused.NO_SUCH_MEMBER)
        try:
            async with self._busy[service]:
                match command.verb:
                    case "agreement.alone":
                        return await self._alone(service, member)
                    case "agreement.join":
                        return await self._join(service, member, command.arguments.get("through", "").split())
        except (SilentError, SupervisionError) as error:
            return Outcome("unknown", str(error))
        except OSError as error:
            return Outcome("unknown", f"{error.filename}: {error.strerror}")
        return Outcome("failed", Refused.UNKNOWN_VERB)

    # -- alone

    async def _alone(self, service: str, member: EtcdMember) -> Outcome:
        if await self._is_alone(member):
            return Outcome("done")
        if len(_kept(member)) >= KEPT:
            return Outcome("failed", Refused.TOO_MANY_KEPT)
        process = self._process(service, member)
        await process.stop()
        if (member.data / "member").is_dir():
            await asyncio.to_thread(_copy, member.data, _aside(member))
            forced, said = f"{member.configuration.read_text()}\nforce-new-cluster: true\n", "with the data it had"
        else:
            forced, said = _beginning(member, {member.name: member.peers[member.name]}, "new"), EMPTY
        await self._once(process, self._written(service, forced), lambda: self._is_alone(member))
        await _until(lambda: self._is_alone(member), UP_WITHIN_S, "etcd does not answer yet, alone")
        return Outcome("done", said)

    async def _is_alone(self, member: EtcdMember) -> bool:
        """Whether it can agree with itself: it is the only member, and says so after having asked itself."""
        own = member.clients[member.name]
        with suppress(SilentError):
            listed = await _ask(own, "/v3/cluster/member/list", {}, member.tls)
            if len(listed.get("members", ())) == 1:
                said = await _ask(own, "/health", None, member.tls)
                return said.get("health") in ("true", True)
        return False

    # -- joining

    async def _join(self, service: str, member: EtcdMember, through: list[str]) -> Outcome:
        there = [member.clients[one] for one in through if one in member.clients and one != member.name]
        if not there:
            return Outcome("failed", Refused.NOBODY_TO_ASK)
        process = self._process(service, member)
        entry = await self._entry(member, there)
        mine = await self._own_id(member)
        if entry is not None and not entry.get("isLearner") and entry["ID"] != mine:
            if process.pids():  # it counts there, and is on its way
                return Outcome("unknown", "etcd here does not answer yet")
            await process.start()
        elif entry is None or entry["ID"] != mine:
            if len(_kept(member)) >= KEPT:
                return Outcome("failed", Refused.TOO_MANY_KEPT)
            await self._enter(service, member, there, process, entry)
        return await self._promoted(member, there)

    async def _enter(
        self, service: str, member: EtcdMember, there: list[str], process: Supervised, entry: Mapping[str, Any] | None
    ) -> None:
        """Begins anew as a learner, with nothing; what was here is moved aside."""
        if entry is not None:
            await _first(there, "/v3/cluster/member/remove", {"ID": entry["ID"]}, member.tls)
        said = await self._added(member, there)
        await process.stop()
        if (member.data / "member").exists():
            aside, owner = _aside(member), member.data.stat()
            member.data.rename(aside)
            member.data.mkdir(mode=0o700)
            os.chown(member.data, owner.st_uid, owner.st_gid)
        members = {one.get("name") or member.name: one["peerURLs"][0] for one in said["members"]}
        joining = self._written(service, _beginning(member, members, "existing"))

        async def began() -> bool:
            return await self._own_id(member) == str(said["member"]["ID"])

        await self._once(process, joining, began)

    async def _added(self, member: EtcdMember, there: list[str]) -> Any:
        """What they say who took this member in; for some seconds after anything else etcd takes in nobody."""
        asked = {"peerURLs": [member.peers[member.name]], "isLearner": True}
        loop = asyncio.get_running_loop()
        until_s = loop.time() + TAKEN_IN_WITHIN_S
        while True:
            try:
                return await _first(there, "/v3/cluster/member/add", asked, member.tls)
            except SilentError:
                if loop.time() > until_s:
                    raise
            await asyncio.sleep(AGAIN_S)

    async def _promoted(self, member: EtcdMember, there: list[str]) -> Outcome:
        """Waits until it has everything, and counts from then on."""

        async def counts() -> bool:
            with suppress(SilentError):
                entry, mine = await self._entry(member, there), await self._own_id(member)
                if entry is None or entry["ID"] != mine:
                    return False
                if not entry.get("isLearner"):
                    return True
                await _first(there, "/v3/cluster/member/promote", {"ID": mine}, member.tls)
            return False

        await _until(counts, PROMOTED_WITHIN_S, "etcd here does not have everything yet")
        return Outcome("done")

    async def _entry(self, member: EtcdMember, there: list[str]) -> Mapping[str, Any] | None:
        """What the ones that went on have of this member; None where it is no member. Raises SilentError."""
        listed = await _first(there, "/v3/cluster/member/list", {}, member.tls)
        url = member.peers[member.name]
        found = [one for one in listed["members"] if one.get("name") == member.name or url in one.get("peerURLs", ())]
        return found[0] if found else None

    async def _own_id(self, member: EtcdMember) -> str:
        """The id by which etcd here runs; empty where it does not answer."""
        with suppress(SilentError):
            said = await _ask(member.clients[member.name], "/v3/maintenance/status", {}, member.tls)
            return str(said["header"]["member_id"])
        return ""

    # -- its process and its files

    async def _once(self, process: Supervised, configuration: Path, is_so: Any) -> None:
        """Runs it with another configuration until that has done its work, then as ever."""
        child = await process.start_with(configuration)
        try:
            await _until(is_so, UP_WITHIN_S, "etcd does not do with its own data what it was told to")
        finally:
            with suppress(ProcessLookupError):
                child.terminate()
            await child.wait()
            await process.start()

    def _process(self, service: str, member: EtcdMember) -> Supervised:
        if service not in self._processes:
            place = member.data if member.data.exists() else member.configuration
            owner = place.stat()
            self._processes[service] = Supervised(
                "etcd", member.configuration, owner.st_uid, owner.st_gid, UNIT.format(service)
            )
        return self._processes[service]

    def _written(self, service: str, text: str) -> Path:
        self._folder.mkdir(parents=True, exist_ok=True)
        path = self._folder / f"{service}.etcd.yml"
        path.write_text(text)
        path.chmod(0o644)
        return path


def _beginning(member: EtcdMember, members: Mapping[str, str], state: str) -> str:
    """The configuration of a member that begins without data, with these members."""
    lines = member.configuration.read_text().splitlines()
    kept = [one for one in lines if not one.startswith(("initial-cluster:", "initial-cluster-state:"))]
    together = ",".join(f"{name}={url}" for name, url in members.items())
    return "\n".join([*kept, f"initial-cluster: {together}", f"initial-cluster-state: {state}", ""])


def _kept(member: EtcdMember) -> list[Path]:
    return sorted(member.data.parent.glob(f"{member.data.name}.old-*"))


def _aside(member: EtcdMember) -> Path:
    return member.data.with_name(f"{member.data.name}.old-{time.strftime('%Y%m%dT%H%M%SZ', time.gmtime())}")


def _copy(data: Path, aside: Path) -> None:
    """A copy with the same owners. Raises OSError."""
    shutil.copytree(data, aside)
    for path in (data, *data.rglob("*")):
        owner = path.stat()
        os.chown(aside / path.relative_to(data), owner.st_uid, owner.st_gid)


async def _until(is_so: Any, within_s: float, not_so: str) -> None:
    """Raises SilentError where it is not so in time."""
    loop = asyncio.get_running_loop()
    until_s = loop.time() + within_s
    while not await is_so():
        if loop.time() > until_s:
            raise SilentError(not_so)
        await asyncio.sleep(LOOK_EVERY_S)


async def _first(urls: list[str], path: str, body: Mapping[str, Any], tls: tuple[str, str, str] | None) -> Any:
    """What the first of them says that answers. Raises SilentError."""
    said = SilentError("nobody to ask")
    for url in urls:
        try:
            return await _ask(url, path, body, tls)
        except SilentError as error:
            said = error
    raise said


async def _ask(url: str, path: str, body: Mapping[str, Any] | None, tls: tuple[str, str, str] | None) -> Any:
    """A request to one member of etcd: POST where it has a body, else GET. Raises SilentError."""
    try:
        async with asyncio.timeout(ASK_S):
            said = await _asked(url, path, body, tls)
    except TimeoutError:
        raise SilentError(f"{url}{path}: no answer within {ASK_S:g} s") from None
    except (OSError, ValueError, asyncio.IncompleteReadError, msgspec.DecodeError) as error:
        raise SilentError(f"{url}{path}: {error or type(error).__name__}") from None
    if not isinstance(said, dict) or "error" in said:
        raise SilentError(f"{url}{path}: {said['error'] if isinstance(said, dict) else 'no answer of etcd'}")
    return said


async def _asked(url: str, path: str, body: Mapping[str, Any] | None, tls: tuple[str, str, str] | None) -> Any:
    parts = urlsplit(url)
    context = None
    if tls is not None:
        context = ssl.create_default_context(cafile=tls[0])
        context.load_cert_chain(tls[1], tls[2])
    reader, writer = await asyncio.open_connection(parts.hostname, parts.port, ssl=context)
    try:
        content = b"" if body is None else msgspec.json.encode(body)
        verb = "GET" if body is None else "POST"
        head = f"{verb} {path} HTTP/1.0\r\nHost: {parts.netloc}\r\nContent-Length: {len(content)}\r\n\r\n"
        writer.write(head.encode() + content)
        answer = await reader.read()
    finally:
        writer.transport.abort()
    return msgspec.json.decode(answer.partition(b"\r\n\r\n")[2])
