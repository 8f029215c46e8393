"""How both ends of a connection between servers speak: what the links of lookouts and of agents have in common.

Nobody waits for ever. Who takes no word for a second, or says none in the time that he is given, is let go.
"""

from __future__ import annotations

import asyncio
from collections.abc import Coroutine
from typing import Any

from binome.runtime.peer_messages import SAID_LENGTH, BreachError, Hello, Message, Refused, decode, encode
from binome.runtime.peer_transport import Channel, ChannelError, RefusedError
from binome.shown import shown

SILENT_S = 1.0
"""After so long without a word a connection is given up, and a peer is called silent."""


async def put(channel: Channel, message: Message) -> None:
    """Says one message. Raises ChannelError, also where it is not read in time."""
    if channel.hand_over(encode(message)):
        return  # nearly always: nothing is made that could wait
    try:
        async with asyncio.timeout(SILENT_S):
            await channel.drained()
    except TimeoutError:
        raise ChannelError(f"it read nothing for {SILENT_S:g} s") from None


async def heard(channel: Channel, within_s: float) -> Message:
    """The next message. Raises ChannelError, also where none comes in time, or BreachError."""
    return decode(await channel.receive(within_s))


async def greeting(channel: Channel, within_s: float) -> Hello:
    """The other one's first word. Raises ChannelError, RefusedError where it is a refusal, or BreachError."""
    match await heard(channel, within_s):
        case Hello() as theirs:
            return theirs
        case Refused(why):
            raise refusal(why)
    raise BreachError("its first word is no greeting")


def refusal(why: str) -> RefusedError:
    """What to raise where the other one refuses."""
    return RefusedError(f"it refuses this server: {shown(why, SAID_LENGTH)}")


async def until_one_ends(*sides: Coroutine[Any, Any, None]) -> None:
    """Runs both sides of a connection until one ends, and ends the other. Raises what that one raised."""
    tasks = [asyncio.ensure_future(side) for side in sides]
    try:
        done, _ = await asyncio.wait(tasks, return_when=asyncio.FIRST_COMPLETED)
    finally:
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)
    for task in done:
        task.result()
