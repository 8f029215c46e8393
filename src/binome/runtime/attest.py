"""A person's word, carried out by a lookout that nobody leads: the one way in which anything is done without a quorum.

    asked ► does anybody lead? is what is lost named, every place of it? does anything there answer? ► refused by name
    else  ► etcd goes on alone on one server, by its agent
          ► Patroni's keys say who is primary; in the same transaction a new generation, and the fact for the journal
          ► every agent within reach counts the lost lookouts no longer, and comes back into service
          ► a write proves that the survivor takes writes

There is no agreed journal to write ahead into: that is what was lost. What was attested lies in etcd with the change
itself, and the next leader records it. Each step can be done again; what fails is asked for again by the same command.
The generation is above every one that this mirror, these agents or etcd have seen.
"""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Collection, Mapping
from dataclasses import dataclass
from typing import Any, Protocol

from binome.core.attested import Proposal, Refused, objection, proposal
from binome.core.maintenance import GRANTED
from binome.core.plan import Command, Outcome
from binome.core.state import State
from binome.core.takeover_facts import TakeoverAttested
from binome.estate import Estate
from binome.estate.model import PostgresqlService
from binome.ports import Clock
from binome.runtime.knock import Knock, answers

ALONE_S, BACK_S, VERIFY_S, VERIFIED_S = 55.0, 25.0, 5.0, 45.0
DOORS = (22, 2379, 7117)
"""Ports at which a server that lives answers something, a refusal at least."""
AGAIN_S = 0.5


class Hands(Protocol):
    """The agents that can be ordered."""

    def is_connected(self, server: str) -> bool:
        """Whether an order could be sent now."""

    async def order(self, server: str, command: Command, timeout_s: float) -> Outcome:
        """What came of a command."""

    def newest_generation(self) -> int:
        """The newest generation that any of them says it has seen."""


Change = Callable[[Proposal, TakeoverAttested, bool], Awaitable[str]]
"""Changes Patroni's keys and puts the fact for the journal; why it is not done, empty where it is."""


@dataclass(frozen=True, slots=True)
class Attest:
    """A lookout's answers to a person who attests. `heard` are the lookouts that are heard, `led` whether one leads."""

    estate: Estate
    server: str
    state: Callable[[], State]
    hands: Hands
    clock: Clock
    led: Callable[[], bool]
    heard: Callable[[], Collection[str]]
    change: Change
    knock: Knock = answers

    def shown(self, question: Mapping[str, Any]) -> dict[str, Any]:
        """What a person's word would do for a database, or why nothing."""
        found = self._proposal(str(question.get("service", "")))
        return {"refused": found.value} if isinstance(found, Refused) else as_json(found)

    def all(self) -> list[dict[str, Any]]:
        """The databases that a person's word could bring back, for the status."""
        if self.led():
            return []
        names = [name for name, one in self.estate.services.items() if isinstance(one, PostgresqlService)]
        found = [self._proposal(name) for name in names]
        return [as_json(one) for one in found if not isinstance(one, Refused)]

    async def asked(self, question: Mapping[str, Any]) -> dict[str, Any]:
        """Takes a person's word: `answer`, or `unknown` where nobody can say how far it came."""
        request, who = str(question.get("request", ""))[:64], str(question.get("who", ""))[:100]
        names = [str(one) for one in question.get("names", ())]
        found = self._proposal(str(question.get("service", "")))
        if isinstance(found, Refused):
            return {"answer": found.value}
        answering = await self._answering(found)
        accepts, anew = (question.get(name) == found.survivor for name in ("accepts_loss", "anew"))
        reason = objection(found, names, answering, accepts_loss=accepts, anew=anew)
        if reason is not None:
            return {"answer": reason.value, "answering": answering, **as_json(found)}
        generation = 1 + max(self.state().head.generation, self.hands.newest_generation())
        fact = TakeoverAttested(
            request=request,
            service=found.service,
            survivor=found.survivor,
            who=who,
            generation=generation,
            sites=found.lost,
            agreement=found.agreement,
            members=found.members,
            lossy=not found.whole,
            anew=anew,
        )
        trouble = await self._carried_out(found, fact, accepts_loss=accepts)
        return {"unknown": trouble} if trouble else {"answer": GRANTED, **as_json(found)}

    # -- within

    def _proposal(self, service: str) -> Proposal | Refused:
        connected = {one for one in self.estate.servers if self.hands.is_connected(one)}
        return proposal(self.estate, self.state(), service, {self.server, *self.heard(), *connected}, led=self.led())

    async def _answering(self, found: Proposal) -> list[str]:
        """The lost servers at which anything answers."""
        servers = [one for servers in found.lost.values() for one in servers]
        doors = [(one, port) for one in servers if self.estate.servers[one].address for port in DOORS]
        said = await asyncio.gather(*(self.knock(self.estate.servers[one].address or "", port) for one, port in doors))
        return list(dict.fromkeys(one for (one, _), answers in zip(doors, said, strict=True) if answers))

    async def _carried_out(self, found: Proposal, fact: TakeoverAttested, *, accepts_loss: bool) -> str:
        """What went wrong; empty where the survivor takes writes."""
        steps = self._steps(found, fact)
        alone = await self.hands.order(found.host, steps[0], ALONE_S)
        if alone.result != "done":
            return f"etcd does not go on alone: {alone.detail or alone.result}"
        if trouble := await self.change(found, fact, accepts_loss):
            return f"etcd goes on alone, and the database was not given to {found.survivor}: {trouble}"
        servers = [one for one in found.reached if self.hands.is_connected(one)] if found.lookouts else []
        outcomes = await asyncio.gather(*(self.hands.order(one, steps[1], BACK_S) for one in servers))
        told = [f"{one}: {said.detail}" for one, said in zip(servers, outcomes, strict=True) if said.result != "done"]
        proof = await self._proved(found.survivor, steps[2])
        if proof.result != "done":
            return "; ".join([f"{found.survivor} is to be primary, and takes no writes yet: {proof.detail}", *told])
        return ""

    async def _proved(self, survivor: str, verify: Command) -> Outcome:
        until_s = self.clock.monotonic_s() + VERIFIED_S
        while True:
            said = await self.hands.order(survivor, verify, VERIFY_S)
            if said.result == "done" or self.clock.monotonic_s() > until_s:
                return said
            await self.clock.sleep(AGAIN_S)

    def _steps(self, found: Proposal, fact: TakeoverAttested) -> list[Command]:
        """What agents are ordered, in this order: etcd alone, the lost lookouts attested, a write."""
        plan = f"attested/{fact.request}"
        verbs: list[tuple[str, dict[str, str]]] = [
            ("agreement.alone", {"service": found.agreement}),
            ("isolation.attest", {"lost": " ".join(found.lookouts)}),
            ("database.verify", {"service": found.service}),
        ]
        return [
            Command(f"{plan}/{step}", plan, step, False, verb, "", found.service, arguments, fact.generation)
            for step, (verb, arguments) in enumerate(verbs)
        ]


def as_json(one: Proposal) -> dict[str, Any]:
    """A proposal for people and programs."""
    return {
        "service": one.service,
        "survivor": one.survivor,
        "primary": one.primary,
        "whole": one.whole,
        "known_ms": one.known_ms,
        "names": list(one.lost),
        "lost": {name: list(servers) for name, servers in one.lost.items()},
    }
