"""Kind `patroni`: Patroni answers for its member. Up when it does; what the member is, is in the details.

`GET /patroni` says the same with status 200 and 503, so the status is no word about Patroni. A thorough look asks for
the members and for the settings that they keep in etcd as well, and for the clock.
(Patroni's documentation, "Patroni REST API".)
"""

from __future__ import annotations

from typing import Any

from binome.core.target import Target
from binome.drivers.probe.shared.findings import Details, WrongError, printable, timed, up
from binome.drivers.probe.shared.http_client import Request
from binome.drivers.probe.shared.json_answers import asked, number, text
from binome.drivers.probe.shared.reach import Reach
from binome.drivers.probe.shared.thorough import clock_of, flat, thoroughly
from binome.ports import Finding, Surroundings

_STANDBYS = 20
_MEMBERS = 100


class PatroniProbe:
    """A `Probe` that asks Patroni's REST API."""

    def __init__(self, surroundings: Surroundings) -> None:
        self._clock = surroundings.clock
        self._reach = Reach(surroundings.named)

    async def look(self, target: Target) -> Finding:
        """Up when Patroni answers.

        Details: `role`, `state`, `timeline`, `scope`, `name`, `version`; of a standby `lag_bytes` (received and not yet
        replayed) and `synchronous`; of a primary `synchronous_standbys`; `paused`, and `dcs_age_s` since it saw etcd.
        Of a thorough look besides: `cluster` is how many members it knows and `config` how many settings there are;
        `member/NAME` is `ROLE STATE HOST PORT`, and `config/…` each setting; `clock_least_ms`, `clock_most_ms`.
        """
        found = await timed(target, self._clock, self._ask(target))
        return await thoroughly(
            found,
            target,
            [
                lambda: self._members(target),
                lambda: self._settings(target),
                lambda: self._time(target),
            ],
        )

    async def _ask(self, target: Target) -> Finding:
        _, said = await asked(await self._request(target, "/patroni"))
        role, state = text(said.get("role")), text(said.get("state"))
        if not role or not state:
            raise WrongError("JSON without role and state: that is not Patroni")
        return up(f"{role}, {state}", self._details(said, role, state))

    async def _request(self, target: Target, path: str) -> Request:
        return Request(await self._reach.address_of(target.address), target.port, target.address, path)

    async def _members(self, target: Target) -> Details:
        _, said = await asked(await self._request(target, "/cluster"))
        members = said.get("members")
        found: dict[str, str | int | float | bool | None] = {}
        for one in members[:_MEMBERS] if isinstance(members, list) else ():
            if isinstance(one, dict) and text(one.get("name")):
                words = [text(one.get(key)) or "-" for key in ("role", "state", "host")]
                found[printable(f"member/{one['name']}")] = printable(" ".join([*words, str(number(one.get("port")))]))
        return {**found, "cluster": len(found)} if found else {}

    async def _settings(self, target: Target) -> Details:
        response, said = await asked(await self._request(target, "/config"))
        found = flat(said, "config") if response.status == 200 else {}
        return {**found, "config": len(found)} if found else {}

    async def _time(self, target: Target) -> Details:
        return await clock_of(await self._request(target, "/liveness"), self._clock)()

    def _details(self, said: dict[str, Any], role: str, state: str) -> Details:
        xlog, patroni = (one if isinstance(one := said.get(key), dict) else {} for key in ("xlog", "patroni"))
        received, replayed = number(xlog.get("received_location")), number(xlog.get("replayed_location"))
        seen_s = number(said.get("dcs_last_seen"))
        primary = role in ("primary", "master")
        details: dict[str, str | int | float | bool | None] = {
            "role": "primary" if primary else printable(role),
            "state": printable(state),
            "timeline": number(said.get("timeline")),
            "paused": bool(said.get("pause", False)),
            "dcs_age_s": None if seen_s is None else max(0, self._clock.now_ms() // 1000 - seen_s),
            **{key: printable(text(patroni.get(key))) for key in ("scope", "name", "version")},
        }
        if primary:
            details["synchronous_standbys"] = printable(", ".join(_synchronous(said.get("replication"))))
        else:
            details["synchronous"] = bool(said.get("sync_standby") or said.get("quorum_standby"))
            if received is not None and replayed is not None:
                details["lag_bytes"] = max(0, received - replayed)
        return details


def _synchronous(replication: Any) -> list[str]:
    """The names of the standbys that a primary waits for."""
    standbys = replication[:_STANDBYS] if isinstance(replication, list) else []
    return [
        text(one.get("application_name"))
        for one in standbys
        if isinstance(one, dict) and one.get("sync_state") in ("sync", "quorum")
    ]
