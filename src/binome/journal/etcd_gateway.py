"""Asking etcd's members one after the other: which of them, how long, and when not again.

    range, status        change nothing: any trouble sends us on to the next endpoint
    keep-alive, login    may be done twice: the same, but the last word is *unknown* if one of them may have done it
    everything else      goes on to the next endpoint only when it is certain that nothing was done

One call asks every endpoint at most once, in the order they were given, the local one first; who wants more calls
again. An endpoint that does not answer in time comes last for a while. A change is sent only to an endpoint that was
heard from a moment ago, or answers a harmless question first: a member that hangs would take the change, and its
answer, with it, and nobody would know. Every request asks for a leader, so that a member that has none says so at once
instead of waiting for one. With a password we carry a token, and get a new one when it is refused.
"""

from __future__ import annotations

import asyncio
import socket
import ssl
from collections.abc import AsyncGenerator, Sequence
from enum import Enum, auto
from typing import NamedTuple, TypeVar

import aiohttp
import msgspec
from yarl import URL

from binome.journal import etcd_wire as wire
from binome.journal.etcd_answers import ElsewhereError, failure, token_refused
from binome.ports import EtcdError, EtcdUnknownError

Answer = TypeVar("Answer")

RANGE = "/v3/kv/range"
STATUS = "/v3/maintenance/status"

_HEADERS = {"Grpc-Metadata-hasleader": "true"}
_NEVER = -float("inf")


def now_s() -> float:
    """The loop's own clock, which only rises."""
    return asyncio.get_running_loop().time()


class Timing(NamedTuple):
    """How long we wait. The defaults fit heartbeats of 50 ms and elections of 500 ms."""

    patience_s: float = 0.5
    """For a connection, and for the answer to what may be asked twice while there are others to ask."""
    answer_s: float = 3.0
    """For the answer to a change; to what may be asked twice, in all."""
    fresh_s: float = 1.0
    """An endpoint that was heard from this long ago is believed to live."""
    avoid_s: float = 10.0
    """For this long an endpoint that did not answer in time is asked last."""
    progress_s: float = 660.0
    """The longest silence of a watch that we believe: etcd says every ten minutes that there was nothing."""


class Effect(Enum):
    """What it means to send a request a second time."""

    NONE = auto()
    REPEATABLE = auto()
    ONCE = auto()


class Endpoint:
    """One member's address, and how it has been lately."""

    def __init__(self, url: str) -> None:
        self._url = URL(url)
        self.heard_s = _NEVER
        self.avoided_until_s = _NEVER
        self._urls: dict[str, URL] = {}

    def heard(self) -> None:
        """It has just said something."""
        self.heard_s = now_s()
        self.avoided_until_s = _NEVER

    def url_of(self, path: str) -> URL:
        """The address of a call; made once, which is a good part of a call's cost."""
        if path not in self._urls:
            self._urls[path] = self._url.with_path(path)
        return self._urls[path]

    def __str__(self) -> str:
        return self._url.authority


class Gateway:
    """The members of one etcd cluster behind their JSON gateways."""

    def __init__(
        self,
        endpoints: Sequence[str],
        tls: ssl.SSLContext | None = None,
        user: str = "",
        password: str = "",
        timing: Timing | None = None,
    ) -> None:
        self.timing = timing or Timing()
        self._endpoints = [Endpoint(url) for url in endpoints]
        self._tls = tls
        self._user, self._password = user, password
        self._token = ""
        self._login = asyncio.Lock()
        self._session: aiohttp.ClientSession | None = None

    async def close(self) -> None:
        """Lets all connections go."""
        if self._session:
            await self._session.close()

    def in_order(self) -> list[Endpoint]:
        """The endpoints, those that did not answer lately last."""
        now = now_s()
        return sorted(self._endpoints, key=lambda endpoint: endpoint.avoided_until_s > now)

    async def ask(self, path: str, body: bytes, reader: msgspec.json.Decoder[Answer], effect: Effect) -> Answer:
        """The answer of the first endpoint that gives one."""
        until_s = now_s() + self.timing.answer_s
        troubles: list[str] = []
        code, unknown = "Unavailable", False
        endpoints = self.in_order()
        for endpoint in endpoints:
            rest_s = max(until_s - now_s(), self.timing.patience_s)
            patient = effect is Effect.ONCE or endpoint is endpoints[-1]
            try:
                if effect is Effect.ONCE:
                    await self._hear(endpoint)
                return await self.ask_one(endpoint, path, body, reader, rest_s if patient else self.timing.patience_s)
            except ElsewhereError as error:
                troubles.append(f"{endpoint}: {error}")
                code = error.code
            except EtcdUnknownError as error:
                if effect is Effect.ONCE:
                    raise
                troubles.append(f"{endpoint}: {error}")
                unknown = effect is Effect.REPEATABLE
        message = "; ".join(troubles)
        raise EtcdUnknownError(message) if unknown else EtcdError(message, code)

    async def answers(self, path: str, body: bytes, reader: msgspec.json.Decoder[Answer]) -> list[Answer]:
        """What every endpoint answers in `patience_s`; those that do not are left out."""
        asked = (self.ask_one(one, path, body, reader, self.timing.patience_s) for one in self._endpoints)
        said = await asyncio.gather(*asked, return_exceptions=True)
        for one in said:
            if isinstance(one, BaseException) and not isinstance(one, EtcdError | EtcdUnknownError):
                raise one
        return [one for one in said if not isinstance(one, BaseException)]

    async def ask_all(self, path: str, body: bytes) -> None:
        """Asks every endpoint for what only one of them can do. Raises EtcdError where none did it."""
        troubles: list[str] = []
        for endpoint in self.in_order():
            try:
                await self.ask_one(endpoint, path, body, wire.DONE, self.timing.answer_s)
            except (EtcdError, EtcdUnknownError) as error:
                troubles.append(f"{endpoint}: {error}")
            else:
                return
        raise EtcdError("; ".join(troubles), "FailedPrecondition")

    async def _hear(self, endpoint: Endpoint) -> None:
        """Returns if the endpoint was heard from, or answers now. Raises ElsewhereError."""
        if now_s() - endpoint.heard_s < self.timing.fresh_s:
            return
        try:
            await self._post(endpoint, STATUS, b"{}", wire.DONE, self.timing.patience_s)
        except (EtcdError, EtcdUnknownError) as error:
            raise ElsewhereError(str(error), "Unavailable") from error

    async def ask_one(
        self, endpoint: Endpoint, path: str, body: bytes, reader: msgspec.json.Decoder[Answer], timeout_s: float
    ) -> Answer:
        """One endpoint's answer, with a new token if the old one is refused."""
        token = await self.token(endpoint)
        try:
            return await self._post(endpoint, path, body, reader, timeout_s, token=token)
        except EtcdError as error:
            if not (token and token_refused(str(error))):
                raise
        token = await self.token(endpoint, refused=token)
        return await self._post(endpoint, path, body, reader, timeout_s, token=token)

    def forget_token(self) -> bool:
        """Whether there was one that may be too old; the next request gets a new one."""
        had, self._token = self._token, ""
        return bool(had)

    async def token(self, endpoint: Endpoint, refused: str | None = None) -> str:
        """What to log in with; another one than what was `refused`. Empty where no password is needed."""
        if not self._user or (self._token and self._token != refused):
            return self._token
        async with self._login:
            if self._token and self._token != refused:
                return self._token  # somebody else has just got it
            body = wire.encode({"name": self._user, "password": self._password})
            path = "/v3/auth/authenticate"
            try:
                answer = await self._post(endpoint, path, body, wire.AUTHENTICATED, self.timing.answer_s)
            except EtcdUnknownError as error:  # what we wanted the token for has not been sent
                raise ElsewhereError(str(error), "Unavailable") from error
            except EtcdError as error:
                # Who asks for no password lets everybody in: to refuse here would protect nothing.
                if error.code != "FailedPrecondition":
                    raise
                return ""
            self._token = answer.token
            return self._token

    async def _post(
        self,
        endpoint: Endpoint,
        path: str,
        body: bytes,
        reader: msgspec.json.Decoder[Answer],
        timeout_s: float,
        *,
        token: str = "",
    ) -> Answer:
        """One request to one endpoint. Raises EtcdError or EtcdUnknownError as for a change."""
        limit = aiohttp.ClientTimeout(total=timeout_s, sock_connect=self.timing.patience_s)
        try:
            async with self._request(endpoint, path, body, limit, token) as response:
                document = await response.read()
        except (aiohttp.ClientError, OSError) as error:  # TimeoutError is an OSError
            raise _lost(endpoint, error, self.timing) from error
        endpoint.heard()
        if response.status != 200:
            raise failure(response.status, document)
        try:
            return reader.decode(document)
        except msgspec.DecodeError as error:
            raise EtcdUnknownError(f"an answer that is none of etcd's: {error}") from error

    async def lines(self, endpoint: Endpoint, path: str, body: bytes) -> AsyncGenerator[bytes, None]:
        """The lines of an answer that goes on for ever. Raises ElsewhereError when it does not, for whatever reason."""
        token = await self.token(endpoint)
        limit = aiohttp.ClientTimeout(total=None, sock_connect=self.timing.patience_s)
        try:
            async with asyncio.timeout(self.timing.patience_s):
                response = await self._request(endpoint, path, body, limit, token)
            async with response:
                if response.status != 200:
                    raise failure(response.status, await response.read())
                _notice_death(response, self.timing)
                parts: list[bytes] = []
                while chunk := await self._chunk(endpoint, response.content):
                    *whole, rest = chunk.split(b"\n")
                    for line in whole:
                        yield b"".join([*parts, line])
                        parts = []
                    parts.append(rest)
        except (aiohttp.ClientError, OSError) as error:
            trouble = _lost(endpoint, error, self.timing)
            raise ElsewhereError(str(trouble), "Unavailable") from error
        except EtcdUnknownError as error:  # whoever only listens has changed nothing
            raise ElsewhereError(str(error), "Unavailable") from error
        raise ElsewhereError("the stream has ended", "Unavailable")

    async def _chunk(self, endpoint: Endpoint, content: aiohttp.StreamReader) -> bytes:
        """What comes next; empty at the end. While nothing comes, the endpoint is asked whether it still lives."""
        until_s = now_s() + self.timing.progress_s
        while now_s() < until_s:
            try:
                async with asyncio.timeout(self.timing.fresh_s):
                    chunk = await content.readany()
            except TimeoutError:
                await self._hear(endpoint)
            else:
                endpoint.heard()
                return chunk
        raise ElsewhereError("the stream has gone silent", "Unavailable")

    def _request(
        self, endpoint: Endpoint, path: str, body: bytes, limit: aiohttp.ClientTimeout, token: str
    ) -> aiohttp.client._RequestContextManager:
        if self._session is None:  # made late: it belongs to the loop that it is used in
            self._session = aiohttp.ClientSession(
                connector=aiohttp.TCPConnector(limit=0, ssl=self._tls or True),
                cookie_jar=aiohttp.DummyCookieJar(),
            )
        headers = _HEADERS | {"Authorization": token} if token else _HEADERS
        return self._session.post(
            endpoint.url_of(path), data=body, headers=headers, timeout=limit, allow_redirects=False
        )


def _lost(endpoint: Endpoint, error: Exception, timing: Timing) -> EtcdError | EtcdUnknownError:
    """What it means for a change that a request ended in `error`."""
    never_sent = isinstance(error, aiohttp.ClientConnectorError | aiohttp.ConnectionTimeoutError)
    endpoint.heard_s = _NEVER
    if isinstance(error, TimeoutError):
        endpoint.avoided_until_s = now_s() + timing.avoid_s
        text = "no connection in time" if never_sent else "no answer in time"
    else:
        text = f"no connection: {error}" if never_sent else f"connection lost: {error or type(error).__name__}"
    return ElsewhereError(text, "Unavailable") if never_sent else EtcdUnknownError(text)


def _notice_death(response: aiohttp.ClientResponse, timing: Timing) -> None:
    """Lets the kernel ask the other side of a silent connection: it may have forgotten it while it was away."""
    connection = response.connection
    transport = connection.transport if connection else None
    if transport is None:
        return
    channel: socket.socket = transport.get_extra_info("socket")
    every_s = max(1, round(timing.fresh_s))
    channel.setsockopt(socket.SOL_SOCKET, socket.SO_KEEPALIVE, 1)
    channel.setsockopt(socket.IPPROTO_TCP, socket.TCP_KEEPIDLE, every_s)
    channel.setsockopt(socket.IPPROTO_TCP, socket.TCP_KEEPINTVL, every_s)
    channel.setsockopt(socket.IPPROTO_TCP, socket.TCP_KEEPCNT, 2)
