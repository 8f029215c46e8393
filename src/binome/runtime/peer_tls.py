"""Channels over mutual TLS 1.3 (tls.py). A frame is four bytes of length, highest first, and the message.

Whoever comes is first asked for a certificate of our CA, by OpenSSL, and then judged by ours (identity/own.py). While
that lasts he is one of few, and has two seconds; what he sends before is not read. Who is turned away after he has
proved his name is told why in one last frame; who has not, is told by TLS itself.
"""

from __future__ import annotations

import asyncio
import os
import socket
import ssl
from collections.abc import Awaitable, Callable, Mapping
from typing import Protocol

from binome.ports import Clock
from binome.runtime.identity import Identity, IdentityError, Named
from binome.runtime.peer_messages import MAX_BYTES, Refused, encode
from binome.runtime.peer_transport import Channel, ChannelError, RefusedError
from binome.runtime.tls import LateError, Tls
from binome.shown import shown

HANDSHAKE_S = 2.0
AT_ONCE = 64
"""Connections that others may hold open, and as many again that have not shown who they are."""
TRY_AGAIN_S = 2.0
_REMEMBERED_S = 60.0
_HEAD_BYTES = 4
_ALERTS = {
    "TLSV1_ALERT_UNKNOWN_CA": "it does not know our CA",
    "SSLV3_ALERT_CERTIFICATE_EXPIRED": "it says that our certificate is not valid now; look at the clocks",
    "SSLV3_ALERT_BAD_CERTIFICATE": "it says that our certificate is bad",
    "TLSV13_ALERT_CERTIFICATE_REQUIRED": "it wants a certificate",
}


class Signs(Protocol):
    """Who wants to know what dialling tells of a server, before anybody there has said a word (reach.py)."""

    def connected(self, server: str, connection: socket.socket) -> None:
        """A connection is open."""

    def refused(self, server: str) -> None:
        """The server is there, and refused."""


class TlsTransport:
    """The channels of one server. `places` is where each server is reached: name → (address, port).

    `handshake_s` is how long the other end may take to show who it is; `signs` is told of every attempt.
    """

    def __init__(
        self,
        identity: Identity,
        places: Mapping[str, tuple[str, int]],
        clock: Clock,
        *,
        handshake_s: float = HANDSHAKE_S,
        signs: Signs | None = None,
    ) -> None:
        self._identity = identity
        self._handshake_s, self._signs = handshake_s, signs
        self._places = places
        self._clock = clock
        self._strangers: dict[str, tuple[float, str]] = {}  # by address: when, why
        self._port_trouble = ""
        self._unknown = 0  # connections whose other end has not shown who it is
        self._open: set[asyncio.Task[None]] = set()

    async def dial(self, server: str) -> Channel:
        """A channel to a server of the estate. Raises ChannelError, or RefusedError."""
        tls: Tls | None = None
        try:
            async with asyncio.timeout(HANDSHAKE_S):
                _, tls = await asyncio.get_running_loop().create_connection(
                    lambda: Tls(self._identity.dialling, server), *self._places[server]
                )
            if self._signs is not None:
                self._signs.connected(server, tls.transport.get_extra_info("socket"))
            async with asyncio.timeout(self._handshake_s):
                await tls.handshake()
                return self._judged(tls, server)
        except TimeoutError:
            raise ChannelError("no connection in time") from None
        except OSError as error:
            if self._signs is not None and isinstance(error, ConnectionRefusedError):
                self._signs.refused(server)
            raise _lost(error) from error
        except BaseException:
            if tls is not None:
                tls.transport.close()
            raise

    async def listen(self, met: Callable[[Channel], Awaitable[None]]) -> None:
        """Serves this server's own place until it is cancelled; a port that is taken is a problem, and tried again."""
        address, port = self._places[self._identity.server]

        def accept(tls: Tls) -> None:
            self._accept(tls, met)

        while True:
            try:
                server = await asyncio.get_running_loop().create_server(
                    lambda: Tls(self._identity.listening, met=accept), address, port, backlog=AT_ONCE
                )
            except OSError as error:
                reason = os.strerror(error.errno) if error.errno else str(error)
                self._port_trouble = f"no lookout can reach this one: {address} port {port}: {reason}"
                await self._clock.sleep(TRY_AGAIN_S)
                continue
            self._port_trouble = ""
            try:
                await asyncio.get_running_loop().create_future()
            finally:
                server.close()
                for task in self._open:
                    task.cancel()

    def _accept(self, tls: Tls, met: Callable[[Channel], Awaitable[None]]) -> None:
        whence = str((tls.transport.get_extra_info("peername") or ("somewhere",))[0])
        if self._unknown >= AT_ONCE or len(self._open) >= 2 * AT_ONCE:
            tls.transport.abort()
            self._turned_away(whence, "too many connections at once")
            return
        task = asyncio.ensure_future(self._serve(tls, whence, met))
        self._open.add(task)
        task.add_done_callback(self._open.discard)

    async def _serve(self, tls: Tls, whence: str, met: Callable[[Channel], Awaitable[None]]) -> None:
        try:
            channel = await self._welcome(tls, whence)
            if channel is not None:
                await met(channel)
        finally:
            tls.transport.close()

    async def _welcome(self, tls: Tls, whence: str) -> TlsChannel | None:
        """The channel to whoever came; None where he was turned away."""
        self._unknown += 1
        try:
            async with asyncio.timeout(HANDSHAKE_S):
                await tls.handshake()
                return self._judged(tls, None)
        except TimeoutError:
            self._turned_away(whence, "no certificate was shown in time")
        except OSError as error:
            if tls.heard:  # who leaves without a word only looked whether the port is open
                self._turned_away(whence, str(_lost(error)))
        except ChannelError as error:
            self._turned_away(whence, str(error))
        finally:
            self._unknown -= 1
        return None

    def _judged(self, tls: Tls, server: str | None) -> TlsChannel:
        """The channel to whom the certificate names, who must be `server` where we dialled it. Raises RefusedError."""
        try:
            named = self._identity.judge(tls.certificate(), self._clock.now_ms())
            if server is not None and named.server != server:
                raise IdentityError(f"the certificate of {shown(named.server)}, at the address of {server}")
        except IdentityError as error:
            tls.write(_framed(encode(Refused(str(error)))))
            tls.close()
            raise RefusedError(str(error)) from error
        return TlsChannel(tls, named, self._identity, self._clock)

    def problems(self) -> list[str]:
        """A port that cannot be had; who was turned away within the last minute."""
        oldest_s = self._clock.monotonic_s() - _REMEMBERED_S
        self._strangers = {whence: one for whence, one in self._strangers.items() if one[0] > oldest_s}
        away = [f"somebody at {whence} was turned away: {why}" for whence, (_, why) in self._strangers.items()]
        return ([self._port_trouble] if self._port_trouble else []) + away

    def _turned_away(self, whence: str, why: str) -> None:
        self._strangers.pop(whence, None)
        if len(self._strangers) >= 8:
            del self._strangers[next(iter(self._strangers))]
        self._strangers[whence] = (self._clock.monotonic_s(), why)


class TlsChannel:
    """A `Channel` over TLS."""

    def __init__(self, tls: Tls, named: Named, identity: Identity, clock: Clock) -> None:
        self._tls, self._named, self._identity, self._clock = tls, named, identity, clock
        self._judged_by = identity.revoked  # the list by which the other end was let in last
        self._loop = asyncio.get_running_loop()

    @property
    def named(self) -> Named:
        """Who the other end has proved to be."""
        return self._named

    def hand_over(self, frame: bytes) -> bool:
        """Hands a frame over, and never waits; whether the other end reads. Raises ChannelError."""
        try:
            self._tls.write(_framed(frame))
        except OSError as error:
            raise _lost(error) from error
        return not self._tls.is_full

    async def drained(self) -> None:
        """Waits while the other end does not read. Raises ChannelError."""
        try:
            await self._tls.drain()
        except OSError as error:
            raise _lost(error) from error

    async def receive(self, within_s: float | None = None) -> bytes:
        """The next frame. Raises ChannelError, also where none comes in time."""
        until_s = None if within_s is None else self._loop.time() + within_s
        try:
            length = int.from_bytes(await self._tls.read_exactly(_HEAD_BYTES, until_s), "big")
            if length > MAX_BYTES:
                raise ChannelError(f"a frame of {length} bytes, and the longest is {MAX_BYTES}")
            return await self._tls.read_exactly(length, until_s)
        except LateError:
            raise ChannelError(f"nothing for {within_s:g} s") from None
        except OSError as error:
            raise _lost(error) from error

    def hold(self) -> bool:
        """Takes no more from the other end until a frame is asked for; False where something is there already."""
        return self._tls.hold()

    def objection(self) -> str | None:
        """Why the other end would not be let in any more, if so: it is asked at each word of his, so cheaply."""
        now_ms, revoked = self._clock.now_ms(), self._identity.revoked
        if revoked is self._judged_by and self._named.begins_ms <= now_ms <= self._named.ends_ms:
            return None
        try:
            self._identity.judge_again(self._named, now_ms)
        except IdentityError as error:
            return str(error)
        self._judged_by = revoked
        return None

    def close(self) -> None:
        """Ends it: what was sent has a second to arrive."""
        self._tls.close()


def _framed(frame: bytes) -> bytes:
    return len(frame).to_bytes(_HEAD_BYTES, "big") + frame


def _verification(error: ssl.SSLCertVerificationError) -> str:
    """OpenSSL's reason; where it is the time, with where to look."""
    why = str(error.verify_message)
    if "not yet valid" in why:
        return f"it is from the future ({why}); look at the clocks"
    if "expired" in why:
        return f"it is from the past ({why}); look at the clocks"
    return why


def _lost(error: OSError) -> ChannelError:
    """What a connection's end means: an alert is a refusal by the other side, anything else may pass by itself."""
    if isinstance(error, ssl.SSLCertVerificationError):
        return RefusedError(f"its certificate is not believed: {_verification(error)}")
    if isinstance(error, ssl.SSLError):
        reason = str(error.reason)
        if reason in _ALERTS:
            return RefusedError(f"we were refused: {_ALERTS[reason]}")
        return ChannelError(f"TLS failed: {reason.lower().replace('_', ' ')}")
    if error.errno:
        return ChannelError(os.strerror(error.errno).lower())
    return ChannelError("the connection has ended")
