"""Kind `etcd`: the member says that it is healthy, which it says only while it has a leader and can read with a quorum.

(etcd's documentation, "Monitoring etcd", `/health`; the gateway's `/v3/maintenance/status`.)
"""

from __future__ import annotations

from binome.core.target import Target
from binome.drivers.probe.shared.findings import Details, WrongError, timed, up
from binome.drivers.probe.shared.http_client import Request
from binome.drivers.probe.shared.json_answers import asked, number, text
from binome.drivers.probe.shared.reach import Reach
from binome.drivers.probe.shared.tls import context
from binome.ports import Finding, Surroundings


class EtcdProbe:
    """A `Probe` that asks one member for its health, then for its state."""

    def __init__(self, surroundings: Surroundings) -> None:
        self._clock = surroundings.clock
        self._reach = Reach(surroundings.named)

    async def look(self, target: Target) -> Finding:
        """Up when the member is healthy; details: `member`, `leader` (ids), `leads`, `version`, `size_bytes`."""
        return await timed(target, self._clock, self._ask(target))

    async def _ask(self, target: Target) -> Finding:
        address = await self._reach.address_of(target.address)
        tls = context(str(target.options.get("ca", ""))) if target.options.get("tls") else None
        request = Request(address, target.port, target.address, "/health", tls)
        response, said = await asked(request)
        if text(said.get("health")) != "true" or response.status != 200:
            reason = text(said.get("reason"))
            raise WrongError("it is not healthy" + (f": {reason}" if reason else ""))
        return up("it is healthy", await self._details(request))

    async def _details(self, request: Request) -> Details:
        """What the member says of itself; nothing where it does not: health was the question."""
        try:
            _, said = await asked(request._replace(path="/v3/maintenance/status", body=b"{}"))
        except (WrongError, OSError):
            return {}
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
