"""From what happens to a look to what it found.

Three answers, and the whole judgement of a lookout rests on not mixing them up:

    up       the target answered as it should
    down     it answered otherwise, or not in time: a word about the target
    unsure   we could not ask: no descriptor, no buffer, no way out of this server. No word about the target

"No route" is both. A router that is far away and says so speaks of the target (a burnt site's routes are withdrawn, and
every vantage point hears it); this server's own table speaks of this server. Which one it was is asked of the kernel.

What a target says is not ours: every character that is not plain is escaped before it goes any further.
"""

from __future__ import annotations

import asyncio
import errno
import os
import socket
import ssl
from collections.abc import Awaitable, Mapping

from binome.core.target import Answer, Target
from binome.ports import Clock, Finding
from binome.shown import shown

Details = Mapping[str, str | int | float | bool | None]

LONGEST = 200
"""Characters of `said`."""

_OURS = frozenset(
    {
        *(errno.EMFILE, errno.ENFILE, errno.ENOBUFS, errno.ENOMEM, errno.EAGAIN, errno.EADDRNOTAVAIL),
        *(errno.EACCES, errno.EPERM, errno.ENETDOWN, errno.EAFNOSUPPORT, errno.EADDRINUSE, errno.EBADF, errno.EINVAL),
    }
)
_SHORT = {errno.ECONNREFUSED: "connection refused", errno.ECONNRESET: "connection reset", errno.EPIPE: "it hung up"}


class WrongError(Exception):
    """The target answered otherwise than it should; the message says what it did."""


class NotAskedError(Exception):
    """The target could not be asked; the message says why."""


def up(said: str, details: Details | None = None) -> Finding:
    """The target answered as it should."""
    return Finding(Answer.UP, said, 0.0, details or {})


def down(said: str, details: Details | None = None) -> Finding:
    """The target answered otherwise, or not at all."""
    return Finding(Answer.DOWN, said, 0.0, details or {})


def unsure(said: str) -> Finding:
    """The target could not be asked."""
    return Finding(Answer.UNSURE, said, 0.0)


def printable(said: str | bytes) -> str:
    """What a target says as one line of at most 200 plain characters; all others are escaped."""
    if isinstance(said, bytes):
        said = said[: LONGEST + 1].decode("utf-8", "backslashreplace")
    if len(said) <= LONGEST and said.isascii() and said.isprintable() and "\\" not in said:
        return said  # nearly always
    return shown(said, LONGEST)


async def timed(target: Target, clock: Clock, look: Awaitable[Finding]) -> Finding:
    """What `look` found within the target's time, with how long it took; whatever it raised as an answer."""
    began_s = clock.monotonic_s()
    try:
        async with asyncio.timeout(target.timeout_ms / 1000):
            found = await look
    except TimeoutError as error:
        found = down("the connection timed out" if error.errno else f"no answer within {target.timeout_ms} ms")
    except WrongError as error:
        found = down(str(error))
    except NotAskedError as error:
        found = unsure(str(error))
    except EOFError:
        found = down("it closed the connection without an answer")
    except OSError as error:
        found = of_error(error, target.address)
    except Exception as error:  # a mistake of ours is no word about the target
        found = unsure(f"the probe failed: {type(error).__name__}: {error}")
    return Finding(found.answer, printable(found.said), clock.monotonic_s() - began_s, found.details)


def of_error(error: OSError, address: str) -> Finding:
    """What an error of the operating system means for the target at `address`."""
    if isinstance(error, ssl.SSLCertVerificationError):
        return down(f"its certificate is refused: {error.verify_message}")
    if isinstance(error, ssl.SSLError):
        return down(f"no TLS: {(error.reason or str(error)).replace('_', ' ').lower()}")
    number = error.errno or 0
    if not number:  # asyncio's own
        return down("it hung up" if isinstance(error, ConnectionError) else str(error) or type(error).__name__)
    words = _SHORT.get(number) or os.strerror(number).lower()
    if number in _OURS:
        return unsure(f"this server could not ask: {words}")
    if number == errno.ENETUNREACH and not has_route(address):
        return unsure("this server has no route to it")
    return down(words, {"refused": True} if number == errno.ECONNREFUSED else {})


def has_route(address: str) -> bool:
    """Whether this server's own table leads to an address; nothing is sent."""
    family = socket.AF_INET6 if ":" in address else socket.AF_INET
    try:
        with socket.socket(family, socket.SOCK_DGRAM) as asked:
            asked.connect((address, 9))
    except OSError as error:
        return error.errno != errno.ENETUNREACH
    return True
