"""What lookouts speak over: channels of frames, whose other end has proved who it is.

TLS (peer_tls.py) on real servers; the simulation has a network of its own. Whoever makes a channel answers for the
name in it: nothing above asks again who the other one is.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from typing import Protocol

from binome.runtime.identity.certificates import Named


class ChannelError(Exception):
    """There is no channel, or none any more; the message says why."""


class RefusedError(ChannelError):
    """One side does not want the other: a person has to see to it."""


class Channel(Protocol):
    """Frames to and from one other server, in order, each whole or not at all."""

    @property
    def named(self) -> Named:
        """Who the other end has proved to be."""

    def hand_over(self, frame: bytes) -> bool:
        """Hands a frame over, and never waits; whether the other end reads, as far as is known. Raises ChannelError."""

    async def drained(self) -> None:
        """Waits while the other end does not read. Raises ChannelError."""

    async def receive(self, within_s: float | None = None) -> bytes:
        """The next frame. Raises ChannelError, also for a frame that is too long, or comes in time."""

    def hold(self) -> bool:
        """Takes no more from the other end until a frame is asked for; False where something is there already."""

    def objection(self) -> str | None:
        """Why the other end would not be let in any more, if so."""

    def close(self) -> None:
        """Ends it; what was sent may still arrive."""


class Transport(Protocol):
    """Makes channels."""

    async def dial(self, server: str) -> Channel:
        """A channel to a server of the estate, within a few seconds. Raises ChannelError, or RefusedError."""

    async def listen(self, met: Callable[[Channel], Awaitable[None]]) -> None:
        """Hands every channel that others open to `met`, each in a task of its own, until it is cancelled."""

    def problems(self) -> list[str]:
        """What a person should know: a port that is taken, strangers who were turned away."""
