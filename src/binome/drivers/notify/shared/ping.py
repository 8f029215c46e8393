"""One ping of a heartbeat outside: a URL is fetched, and an answer from 200 to 299 says that it was taken."""

from __future__ import annotations

from collections.abc import Callable

from binome.drivers.notify.shared.http import Answer, Request, exchange

TOTAL_S = 10.0


async def ping(place: str, secret: Callable[[str], str], *, total_s: float = TOTAL_S) -> str:
    """Fetches the URL that is kept at `place`; empty where it was taken, else in one line why not, without the URL."""
    try:
        url = secret(place)
    except OSError as error:
        return f"its URL cannot be read: {error.strerror or error}"
    if not url.startswith(("https://", "http://")):
        return f"{place} is no URL"
    answer = await exchange(Request("GET", url, {}, None), [url, url.partition("://")[2]], total_s)
    return "" if isinstance(answer, Answer) else answer.said
