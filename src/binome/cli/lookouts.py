"""A lookout's part among the others: its identity, what it hears of them, the renewal of certificates."""

from __future__ import annotations

import asyncio
import secrets
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

from binome.cli.ca import opened
from binome.core.target import targets
from binome.core.verdict import Judged
from binome.estate import Estate
from binome.ports import Clock
from binome.render import Folders, RenderError
from binome.render.places import PEER_PORT, address_of
from binome.runtime.agents import Agents, Word
from binome.runtime.identity import Authority, Identity, IdentityError
from binome.runtime.peer_messages import Refused, Reply, Request
from binome.runtime.peer_tls import TlsTransport
from binome.runtime.peer_transport import Channel
from binome.runtime.peers import Jobs, Peers
from binome.runtime.renewal import Renewal
from binome.runtime.ticks import Ticks

GONE_S = 3.0
"""After so long a silence nobody waits for what a lookout may tell of pages: longer than a start takes."""
LOOK_AGAIN_S = 5.0
"""How often a lookout without an identity looks whether it has got one."""


class Lookouts:
    """The other lookouts of the estate, as this one hears them. Without an identity it says so, and waits for one."""

    def __init__(
        self,
        estate: Estate,
        server: str,
        folders: Folders,
        clock: Clock,
        *,
        word: Word = lambda _server: None,
        jobs: Jobs | None = None,
        changed: Callable[[], None] = lambda: None,
        told: Callable[[str, Mapping[str, Judged], bool], None] = lambda _peer, _of, _whole: None,
        pages: Callable[[bytes], None] = lambda _told: None,
        ticks: Ticks | None = None,
    ) -> None:
        self.peers: Peers[Judged] | None = None
        self._estate, self._server, self._folders, self._clock = estate, server, folders, clock
        self._jobs, self._changed, self._told, self._pages, self._ticks = jobs, changed, told, pages, ticks
        self._renewal: Renewal | None = None
        self._trouble = ""
        self.agents = Agents(
            tuple(estate.servers),
            lambda: self._own().hello(),
            clock,
            word=word,
            ticks=ticks,
            answers=self._answer,
            newer_list=lambda number: self._own().newer_list(number),
            list_came=lambda pem: self._own().list_came(pem),
        )

    async def run(self) -> None:
        """Speaks with the others until it is cancelled."""
        names = self._estate.lookout.on if self._estate.lookout else ()
        try:
            places = {name: (address_of(self._estate, name), PEER_PORT) for name in names}
        except RenderError as error:  # it decides and keeps the journal all the same
            self._trouble = f"lookouts do not hear each other: {error}"
            return
        identity = await self._identity()
        servers = {name: one.address for name, one in self._estate.servers.items()}
        renewal = Renewal(identity, servers, self._authority(), self._clock)
        peers = Peers(
            self._estate,
            self._server,
            TlsTransport(identity, places, self._clock),
            self._clock,
            judged=Judged,
            targets=[target.name for target in targets(self._estate)],
            boot=secrets.token_hex(8),
            identity=identity,
            answers=renewal.answer,
            jobs=self._jobs,
            agents=self.agents,
            changed=self._changed,
            told=self._told,
            pages=self._pages,
            ticks=self._ticks,
        )
        self.peers, self._renewal = peers, renewal
        async with asyncio.TaskGroup() as group:
            group.create_task(peers.run())
            group.create_task(renewal.run(peers.others, peers.ask))

    def _own(self) -> Peers[Judged]:
        """Ourselves among the others: nobody is connected before."""
        assert self.peers is not None  # noqa: S101 - connections come from there
        return self.peers

    async def _answer(self, channel: Channel, wanted: Request) -> Reply:
        """An agent may ask for what a lookout may: a new certificate of its own."""
        return await self._renewal.answer(channel, wanted) if self._renewal else Refused("not yet")

    def heard(self) -> list[str]:
        """The other lookouts that are heard now."""
        if self.peers is None:
            return []
        silent = {one.peer for one in self.peers.silent()}
        return [peer for peer in self.peers.heard if peer not in silent]

    def gone(self) -> list[str]:
        """The other lookouts that have been silent for a while; nobody is called so in our own first seconds."""
        return [one.peer for one in self.peers.silent() if one.since_s >= GONE_S] if self.peers else []

    def tell(self, told: bytes) -> None:
        """Tells the others what became of pages, as far as they are reached."""
        if self.peers is not None:
            self.peers.tell_pages(told)

    async def _identity(self) -> Identity:
        """This server's identity; waits until there is a good one."""
        while True:
            try:
                identity = Identity(Path(self._folders.tls), self._estate.estate, self._server)
            except IdentityError as error:
                self._trouble = (
                    f"{self._server} has no identity, so no other lookout hears it: {error}.  "
                    f"Make one: binome ca issue {self._server}"
                )
                await self._clock.sleep(LOOK_AGAIN_S)
            else:
                self._trouble = ""
                return identity

    def _authority(self) -> Authority | None:
        """The CA, where this lookout holds it."""
        folder = Path(self._folders.ca)
        if not (folder / "ca.key").exists():
            return None
        try:
            return opened(folder)
        except IdentityError as error:
            self._trouble = f"the CA cannot be used: {error}"
            return None

    def problems(self) -> list[str]:
        """What a person should see to."""
        found = [self._trouble] if self._trouble else []
        found += self.peers.problems() if self.peers else []
        return found + (self._renewal.problems() if self._renewal else []) + self.agents.problems()

    def shown(self) -> list[dict[str, Any]]:
        """Each other lookout: when it was last heard, whether it is silent, for how long and why."""
        if self.peers is None:
            return []
        heard, silent = self.peers.heard, {one.peer: one for one in self.peers.silent()}
        return [
            {
                "peer": peer,
                "heard_ms": round(heard[peer] * 1000) if peer in heard else None,
                "silent": peer in silent,
                "silent_ms": round(silent[peer].since_s * 1000) if peer in silent else None,
                "why": silent[peer].why if peer in silent else "",
            }
            for peer in self.peers.others
        ]
