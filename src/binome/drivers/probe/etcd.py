"""Kind `etcd`: the member says that it is healthy, which it says only while it has a leader and can read with a quorum.

    ca, cert, key, tls     over TLS, with a file of authorities, and a certificate of ours where the member asks for one

A thorough look asks for the member's state and for the list of members as well, and for the clock.
(etcd's documentation, "Monitoring etcd", `/health`; the gateway's `/v3/maintenance/status`, `/v3/cluster/member/list`.)
"""

from __future__ import annotations

from binome.core.target import Target
from binome.drivers.probe.shared.findings import Details, WrongError, printable, timed, up
from binome.drivers.probe.shared.http_client import Request
from binome.drivers.probe.shared.json_answers import asked, number, text
from binome.drivers.probe.shared.reach import Reach
from binome.drivers.probe.shared.thorough import clock_of, thoroughly
from binome.drivers.probe.shared.tls import context
from binome.ports import Finding, Surroundings

_MEMBERS = 100


class EtcdProbe:
    """A `Probe` that asks one member for its health."""

    def __init__(self, surroundings: Surroundings) -> None:
        self._clock = surroundings.clock
        self._reach = Reach(surroundings.named)

    async def look(self, target: Target) -> Finding:
        """Up when the member is healthy.

        Details of a thorough look: `member`, `leader` (ids), `leads`, `version`, `size_bytes`; `members` is how many it
        knows, `member/ID` is `NAME PEER-URLS`, with `-` for the name of one that never ran; `clock_least_ms`,
        `clock_most_ms`.
        """
        found = await timed(target, self._clock, self._ask(target))
        questions = [lambda: self._state(target), lambda: self._members(target), lambda: self._time(target)]
        return await thoroughly(found, target, questions)

    async def _ask(self, target: Target) -> Finding:
        request = await self._request(target)
        response, said = await asked(request)
        if text(said.get("health")) != "true" or response.status != 200:
            reason = text(said.get("reason"))
            raise WrongError("it is not healthy" + (f": {reason}" if reason else ""))
        return up("it is healthy")

    async def _request(self, target: Target) -> Request:
        address, options = await self._reach.address_of(target.address), target.options
        files = (str(options.get(key, "")) for key in ("ca", "cert", "key"))
        tls = context(*files) if options.get("tls") else None
        return Request(address, target.port, target.address, "/health", tls)

    async def _members(self, target: Target) -> Details:
        request = (await self._request(target))._replace(path="/v3/cluster/member/list", body=b"{}")
        _, said = await asked(request)
        members = said.get("members")
        found: dict[str, str | int | float | bool | None] = {}
        for one in members[:_MEMBERS] if isinstance(members, list) else ():
            identity = number(one.get("ID")) if isinstance(one, dict) else None
            if identity is not None:
                urls = one.get("peerURLs")
                places = [text(url) for url in urls[:4]] if isinstance(urls, list) else []
                found[f"member/{identity:x}"] = printable(" ".join([text(one.get("name")) or "-", *places]))
        return {**found, "members": len(found)} if found else {}

    async def _time(self, target: Target) -> Details:
        request = (await self._request(target))._replace(path="/version")
        return await clock_of(request, self._clock)()

    async def _state(self, target: Target) -> Details:
        """What the member says of itself."""
        request = (await self._request(target))._replace(path="/v3/maintenance/status", body=b"{}")
        _, said = await asked(request)
        header = said.get("header")
        member = number(header.get("member_id")) if isinstance(header, dict) else None
        leader = number(said.get("leader"))
        return {
            "member": None if member is None else f"{member:x}",
            "leader": None if leader is None else f"{leader:x}",
            "leads": member is not None and member == leader,
            "version": text(said.get("version"))[:40],
            "size_bytes": number(said.get("dbSize")),
        }
