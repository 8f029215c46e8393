"""One HTTP request, and exactly what is known afterwards.

Not sent: the connection could not be made, or the other side said so by its status. Accepted is the caller's to judge,
from a whole answer. Everything between, once the request may have left, is unknown. Redirects are not followed: a
secret would go along. Answers are read up to 64 KiB.
"""

from __future__ import annotations

import asyncio
import ssl
from collections.abc import Iterable, Mapping
from typing import NamedTuple

import aiohttp

from binome.core.paging_notes import Sent
from binome.drivers.notify.shared.said import said
from binome.ports import Delivery

CONNECT_S = 5.0
TOTAL_S = 15.0
LONGEST_ANSWER = 64 << 10
_NOT_NOW = frozenset({429, 503})


class Answer(NamedTuple):
    """A whole answer with a status from 200 to 299. `whole` is false where it had more than is read."""

    status: int
    body: bytes
    whole: bool


class Request(NamedTuple):
    """What is asked."""

    method: str
    url: str
    headers: Mapping[str, str]
    body: bytes | None


async def exchange(request: Request, secrets: Iterable[str], total_s: float) -> Answer | Delivery:
    """Asks once, within `total_s`; what came back, or what that comes to. Raises nothing but what cancels it."""
    hidden = tuple(secrets)
    timeout = aiohttp.ClientTimeout(total=total_s, sock_connect=min(CONNECT_S, total_s))
    try:
        async with (
            aiohttp.ClientSession(
                timeout=timeout, cookie_jar=aiohttp.DummyCookieJar(), auto_decompress=False
            ) as session,
            session.request(
                request.method, request.url, headers=request.headers, data=request.body, allow_redirects=False
            ) as response,
        ):
            read = await _read(response)
            if not 200 <= response.status < 300:
                return _refused(response.status, read, hidden)
            return Answer(response.status, read[:LONGEST_ANSWER], len(read) <= LONGEST_ANSWER)
    except (aiohttp.ConnectionTimeoutError, aiohttp.ClientConnectorError, ssl.SSLError) as error:
        return Delivery(Sent.LATER, said(f"no connection: {_reason(error)}", hidden))
    except (aiohttp.InvalidURL, ValueError) as error:
        return Delivery(Sent.REFUSED, said(f"not asked: {_reason(error)}", hidden))
    except TimeoutError:
        return Delivery(Sent.UNKNOWN, f"no answer within {total_s:g} s")
    except (aiohttp.ClientError, OSError, asyncio.IncompleteReadError) as error:
        return Delivery(Sent.UNKNOWN, said(f"no whole answer: {_reason(error)}", hidden))


async def _read(response: aiohttp.ClientResponse) -> bytes:
    parts = b""
    async for part in response.content.iter_chunked(8 << 10):
        parts += part
        if len(parts) > LONGEST_ANSWER:
            break
    return parts


def _refused(status: int, body: bytes, secrets: tuple[str, ...]) -> Delivery:
    """What a status says that is not from 200 to 299."""
    words = said(f"status {status}: {said(body, secrets)}", secrets)
    if status in _NOT_NOW:
        return Delivery(Sent.LATER, words)
    if 300 <= status < 500 and status != 408:
        return Delivery(Sent.REFUSED, words)
    return Delivery(Sent.UNKNOWN, words)


def _reason(error: Exception) -> str:
    text = getattr(error, "strerror", None) or str(error) or type(error).__name__
    return text if isinstance(text, str) else type(error).__name__
