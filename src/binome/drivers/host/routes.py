"""Routes to servers that are lost, made unreachable on this server for a few seconds: a `Driver`.

    routes.block     addresses [, for_s]    what is sent there fails at once, instead of waiting for an answer
    routes.unblock   addresses              as before

A program that asks a burnt server waits for its own timeout; with "no route to host" it goes on at once. The addresses
are those of the estate, and never this server's own. A route of ours carries its own protocol number, so that it can
be told from everybody else's: `tidy` removes all of them when the agent starts. No block outlives `for_s` (at most
LONGEST_S): while it lasts, nobody here can see that the server is back.
"""

from __future__ import annotations

import asyncio
from collections.abc import Iterable, Sequence
from enum import StrEnum
from ipaddress import ip_address

from binome.core.plan import Command, Outcome

PROTOCOL = "187"
"""The routes' `proto`: a number that neither the kernel nor a routing daemon uses (iproute2's rt_protos)."""
ANSWER_WITHIN_S = 2.0
FOR_S, LONGEST_S = 10.0, 60.0


class Refused(StrEnum):
    """Why the routes were left as they are."""

    NOT_OF_THE_ESTATE = "an address that is none of the estate's other servers"
    BAD_TIME = "for_s is a number of seconds, up to 60"
    UNKNOWN_VERB = "this verb is not known here"


class UnreachableRoutes:
    """A `Driver` for `routes.block` and `routes.unblock`. `addresses`: of the estate's other servers."""

    def __init__(self, addresses: Iterable[str], *, prefix: Sequence[str] = ("ip",)) -> None:
        self._allowed = {str(ip_address(one)) for one in addresses}
        self._prefix = tuple(prefix)
        self._ends: dict[str, asyncio.TimerHandle] = {}
        self._tasks: set[asyncio.Task[Outcome]] = set()

    async def carry_out(self, command: Command) -> Outcome:
        """Makes the routes what was asked for, again without harm."""
        addresses = command.arguments.get("addresses", "").split(",")
        if not set(addresses) <= self._allowed:
            return Outcome("failed", Refused.NOT_OF_THE_ESTATE)
        match command.verb:
            case "routes.block":
                try:
                    for_s = float(command.arguments.get("for_s", FOR_S))
                except ValueError:
                    return Outcome("failed", Refused.BAD_TIME)
                if not 0 < for_s <= LONGEST_S:
                    return Outcome("failed", Refused.BAD_TIME)
                self._end_in(addresses, for_s)
                return await self._add(addresses)
            case "routes.unblock":
                for address in addresses:
                    if (timer := self._ends.pop(address, None)) is not None:
                        timer.cancel()
                return await self._remove(addresses)
        return Outcome("failed", Refused.UNKNOWN_VERB)

    async def tidy(self) -> Outcome:
        """Removes every route of ours: what an agent does when it starts, and before it ends."""
        for timer in self._ends.values():
            timer.cancel()
        self._ends.clear()
        for family in ("-4", "-6"):
            error = await self._ip(family, "route", "flush", "proto", PROTOCOL)
            if error is not None:
                return Outcome("unknown", error)
        return Outcome("done")

    def _end_in(self, addresses: Sequence[str], for_s: float) -> None:
        """Sees to it that the block ends; it is set first, so that no block is without an end."""
        loop = asyncio.get_running_loop()
        for address in addresses:
            if (timer := self._ends.pop(address, None)) is not None:
                timer.cancel()
            self._ends[address] = loop.call_later(for_s, self._ended, address)

    def _ended(self, address: str) -> None:
        self._ends.pop(address, None)
        task = asyncio.get_running_loop().create_task(self._remove([address]))
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)

    async def _add(self, addresses: Sequence[str]) -> Outcome:
        for address in addresses:
            route = (_family(address), "route", "add", "unreachable", _alone(address), "proto", PROTOCOL)
            error = await self._ip(*route)
            # A host's own route is not ours to replace: "add" fails there, and where ours is there already.
            if error is not None and not (error.endswith("File exists") and await self._is_ours(address)):
                return Outcome("unknown", error)
        return Outcome("done")

    async def _is_ours(self, address: str) -> bool:
        found = await self._ip(_family(address), "route", "show", "exact", _alone(address), "proto", PROTOCOL)
        return found is not None and found.startswith("unreachable")

    async def _remove(self, addresses: Sequence[str]) -> Outcome:
        for address in addresses:
            # "flush" is satisfied where there is none, and takes only ours.
            error = await self._ip(_family(address), "route", "flush", "exact", _alone(address), "proto", PROTOCOL)
            if error is not None:
                return Outcome("unknown", error)
        return Outcome("done")

    async def _ip(self, *arguments: str) -> str | None:
        """Runs iproute2; what it said, None where that is nothing and it did what was asked."""
        process = await asyncio.create_subprocess_exec(
            *self._prefix,
            *arguments,
            stdin=asyncio.subprocess.DEVNULL,
            stdout=asyncio.subprocess.PIPE,
            stderr=asyncio.subprocess.STDOUT,
        )
        try:
            async with asyncio.timeout(ANSWER_WITHIN_S):
                said, _ = await process.communicate()
        except TimeoutError:
            process.kill()
            return f"ip gave no answer within {ANSWER_WITHIN_S:g} s"
        words = " ".join(said.decode(errors="replace").split())
        return words or (None if process.returncode == 0 else f"ip ended with {process.returncode}")


def _alone(address: str) -> str:
    return f"{address}/128" if ":" in address else f"{address}/32"


def _family(address: str) -> str:
    return "-6" if ":" in address else "-4"
