"""Short certificates that renew themselves.

A certificate past half of its life is replaced: this server makes a new key, and asks the lookouts, one after the
other, for a certificate for it. The one that holds the CA's folder signs, for exactly the name that the asker's own
certificate has; whoever has the wrong certificate cannot even ask. The old key stays until the new certificate is
there. Where nobody signs, that is a problem days before anything ends, with what to do.

A list of what was revoked goes the other way: from the CA's folder to the lookout beside it, and on to its peers.
"""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Mapping, Sequence

from binome.ports import Clock
from binome.runtime.identity import Authority, Identity, IdentityError, Named, new_key, request
from binome.runtime.identity.certificates import moment
from binome.runtime.peer_link import NoAnswerError, NotAskedError
from binome.runtime.peer_messages import Refused, Renew, Renewed, Reply, Request
from binome.runtime.peer_transport import Channel

LOOK_EVERY_S = 5.0
"""How often files are looked at."""
TRY_AGAIN_S = 60.0
"""How long it waits after nobody signed; there are days for it."""
ANSWER_S = 10.0
NOBODY = "it does not hold the key of the CA"


class Renewal:
    """One server's part: renews its own certificate, and, where it has the CA, signs others'.

    `servers` are those of the estate with their addresses. What is revoked is in the identity, from where peers hand
    it on.
    """

    def __init__(
        self, identity: Identity, servers: Mapping[str, str | None], authority: Authority | None, clock: Clock
    ) -> None:
        self._identity, self._servers, self._authority, self._clock = identity, servers, authority, clock
        self._again_s = 0.0  # not before this moment of the monotonic clock
        self._problems: dict[str, str] = {}

    async def run(
        self,
        lookouts: Sequence[str],
        ask: Callable[[str, Request, float], Awaitable[Reply]],
    ) -> None:
        """Looks after both until it is cancelled. Raises nothing: what goes wrong is a problem, and tried again."""
        while True:
            self._identity.refresh()
            await self._in_step_with_the_ca()
            now_ms, now_s = self._clock.now_ms(), self._clock.monotonic_s()
            if not self._identity.is_due(now_ms):
                self._problems.pop("renewing", None)
            elif now_s >= self._again_s:
                self._again_s = now_s + TRY_AGAIN_S
                await self._renew(lookouts, ask)
            await self._clock.sleep(LOOK_EVERY_S)

    async def _in_step_with_the_ca(self) -> None:
        """The newest list counts on both sides, whichever has it: the CA's folder may be an old copy."""
        if self._authority is None:
            return
        now_ms = self._clock.now_ms()
        try:
            found = await asyncio.to_thread(self._authority.revoked, now_ms)
            if found.number > self._identity.revoked.number:
                self._identity.adopt(found.pem)
            elif found.number < self._identity.revoked.number:
                await asyncio.to_thread(self._authority.adopt, self._identity.revoked, now_ms)
            doubt = self._authority.doubt(now_ms)
        except (IdentityError, OSError) as error:
            doubt = f"the CA in {self._authority.folder} cannot be used: {error}"
        self._problems["ca"] = doubt
        if not doubt:
            del self._problems["ca"]

    async def _renew(self, lookouts: Sequence[str], ask: Callable[[str, Request, float], Awaitable[Reply]]) -> None:
        own = self._identity
        key = new_key()
        wanted = Renew(request(key, own.estate, own.server))
        reasons = []
        for server in (own.server, *lookouts):
            try:
                if server == own.server:
                    if self._authority is None:
                        continue
                    reply = await self._signed(self._authority, own.named, wanted)
                else:
                    reply = await ask(server, wanted, ANSWER_S)
                if isinstance(reply, Renewed):
                    own.install(reply.certificate, key, self._clock.now_ms())
                    self._problems.pop("renewing", None)
                    return
                reasons.append(f"{server}: {reply.why}")
            except (NotAskedError, NoAnswerError) as error:
                reasons.append(str(error))
            except IdentityError as error:
                reasons.append(f"{server}: {error}")
        self._problems["renewing"] = (
            f"the certificate of {own.server} ends {moment(own.named.ends_ms)} and nobody renews it "
            f"({'; '.join(reasons) or 'there is no other lookout'}): binome ca issue {own.server}"
        )

    async def _signed(self, authority: Authority, holder: Named, wanted: Request) -> Reply:
        """The CA beside us is asked; in a thread, for it waits for the disk. Raises IdentityError."""
        now_ms = self._clock.now_ms()
        return Renewed(await asyncio.to_thread(authority.renew, holder, wanted.request, self._servers, now_ms))

    async def answer(self, channel: Channel, wanted: Request) -> Reply:
        """Answers another server that wants a new certificate (`peers.Handler`)."""
        if self._authority is None:
            return Refused(NOBODY)
        try:
            return await self._signed(self._authority, channel.named, wanted)
        except IdentityError as error:
            return Refused(str(error))

    def problems(self) -> list[str]:
        """What a person should see to."""
        return list(self._problems.values())
