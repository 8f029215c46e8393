"""Kind `http`: the target answers a GET as it should: status, a text in the body, headers; over TLS too.

What is asked (`Target.options`, the keys of a probe in the estate file):

    path, host         the path of the URL, and the name that is asked for; the target's address unless given
    tls, ca            whether over TLS, and a file of authorities instead of the system's
    status             the statuses that are good; 200 unless given
    contains           a text that the first MiB of the body must contain
    headers            texts that headers must contain, by name
    redirects          how many redirects are followed; none unless given, and then a redirect is the answer

A redirect is followed where it leads to an address that may be reached (shared/reach.py), and there only; https never
leads back to http.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from http import HTTPStatus
from urllib.parse import urljoin, urlsplit

from binome.core.target import Target
from binome.drivers.probe.shared.findings import Details, WrongError, printable, timed, up
from binome.drivers.probe.shared.http_client import Request, Response, exchange
from binome.drivers.probe.shared.reach import Reach
from binome.drivers.probe.shared.thorough import clock_of, thoroughly
from binome.drivers.probe.shared.tls import context
from binome.ports import Finding, Surroundings

_REDIRECTS = frozenset({301, 302, 303, 307, 308})
_HOST = re.compile(r"[A-Za-z0-9.:-]+")
_GOOD: tuple[int, ...] = (200,)


class HttpProbe:
    """A `Probe` with a new connection for each look."""

    def __init__(self, surroundings: Surroundings) -> None:
        self._clock = surroundings.clock
        self._reach = Reach(surroundings.named)

    async def look(self, target: Target) -> Finding:
        """Up when the answer, at the end of its redirects, is as the options say.

        Details of a thorough look: `clock_least_ms`, `clock_most_ms`.
        """
        found = await timed(target, self._clock, self._ask(target))
        return await thoroughly(found, target, [lambda: self._time(target)])

    async def _time(self, target: Target) -> Details:
        return await clock_of(await self._request(target), self._clock)()

    async def _request(self, target: Target) -> Request:
        options = target.options
        tls = context(str(options.get("ca", ""))) if options.get("tls") else None
        host, path = str(options.get("host", target.address)), str(options.get("path", "/"))
        return Request(await self._reach.address_of(target.address), target.port, host, path, tls)

    async def _ask(self, target: Target) -> Finding:
        options, authorities = target.options, str(target.options.get("ca", ""))
        request = await self._request(target)
        response = await exchange(request)
        followed, most = 0, int(options.get("redirects", 0))
        while most and response.status in _REDIRECTS:
            if followed == most:
                raise WrongError(
                    f"more than {most} redirects, the last to {response.headers.get('location', 'nowhere')}"
                )
            request = await self._redirected(request, response, authorities)
            response = await exchange(request)
            followed += 1
        return judged(response, options)

    async def _redirected(self, request: Request, response: Response, authorities: str) -> Request:
        """The request that a redirect leads to. Raises WrongError where it must not be followed."""
        location = response.headers.get("location", "")
        scheme = "https" if request.tls else "http"
        host = f"[{request.host}]" if ":" in request.host else request.host
        try:
            url = urlsplit(urljoin(f"{scheme}://{host}:{request.port}{request.path}", location))
            port = url.port or (443 if url.scheme == "https" else 80)
        except ValueError:
            raise WrongError(f"a redirect to what is no URL: {location}") from None
        path = (url.path or "/") + (f"?{url.query}" if url.query else "")
        if not location or url.scheme not in ("http", "https") or not _HOST.fullmatch(url.hostname or ""):
            raise WrongError(f"a redirect to what is no URL: {location}")
        if not path.isascii() or not path.isprintable() or " " in path or len(path) > 8000:
            raise WrongError(f"a redirect to what is no URL: {location}")
        if request.tls and url.scheme == "http":
            raise WrongError(f"a redirect from https to http: {location}")
        name = (url.hostname or "").lower()
        tls = context(authorities) if url.scheme == "https" else None
        return Request(await self._reach.address_of(name), port, name, path, tls)


def judged(response: Response, options: Mapping[str, object]) -> Finding:
    """Whether an answer is as the options say. Raises WrongError where it is not."""
    good = options.get("status", _GOOD)
    words = f"{response.status} {response.reason or _phrase(response.status)}".strip()
    if not isinstance(good, tuple) or response.status not in good:
        raise WrongError(words)
    contains = str(options.get("contains", ""))
    if contains and contains.encode() not in response.body:
        raise WrongError(f'{words}, without "{contains}"' + ("" if response.whole else " in its first MiB"))
    headers = options.get("headers", {})
    for name, text in headers.items() if isinstance(headers, Mapping) else ():
        value = response.headers.get(str(name).lower())
        if value is None or str(text) not in value:
            raise WrongError(f"{words}, with {name}: {printable(value)}" if value else f"{words}, without {name}")
    return up(words)


def _phrase(status: int) -> str:
    try:
        return HTTPStatus(status).phrase
    except ValueError:
        return ""
