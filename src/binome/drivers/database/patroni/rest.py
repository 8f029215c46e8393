"""Asking a member how it is: its Patroni by one HTTP request, its PostgreSQL by its port; all waiting has an end.

It is written on asyncio's streams, because an agent runs it, and stays small. Answers are JSON objects of a few
kilobytes; a server that sends more than LARGEST_BYTES is not Patroni.
"""

from __future__ import annotations

import asyncio
from collections.abc import Mapping
from typing import Any, NamedTuple
from urllib.parse import urlsplit

import msgspec

LARGEST_BYTES = 1_000_000


class SilentError(Exception):
    """No answer of Patroni's: refused, unreachable, in no time, or not its language. The message says which."""


class Place(NamedTuple):
    """Where a Patroni answers."""

    host: str
    port: int


def place_of(url: str) -> Place | None:
    """The place in the `api_url` that a member has in etcd; None where it has none that we can ask."""
    try:
        parts = urlsplit(url)
        port = parts.port
    except ValueError:
        return None
    return Place(parts.hostname, port) if parts.scheme == "http" and parts.hostname and port else None


async def ask(place: Place, path: str = "/patroni", timeout_s: float = 0.5) -> Mapping[str, Any]:
    """What Patroni says of itself. Raises SilentError."""
    try:
        async with asyncio.timeout(timeout_s):
            return await _asked(place, path)
    except TimeoutError:
        raise SilentError(f"{place.host} gave no answer within {timeout_s:g} s") from None
    except (OSError, ValueError, asyncio.IncompleteReadError, msgspec.DecodeError) as error:
        raise SilentError(f"{place.host}: {error or type(error).__name__}") from None


async def _asked(place: Place, path: str) -> Mapping[str, Any]:
    reader, writer = await asyncio.open_connection(place.host, place.port)
    try:
        host = f"[{place.host}]" if ":" in place.host else place.host
        writer.write(f"GET {path} HTTP/1.0\r\nHost: {host}:{place.port}\r\n\r\n".encode())
        answer = await reader.read(LARGEST_BYTES)
        while answer and not reader.at_eof() and len(answer) < LARGEST_BYTES:
            answer += await reader.read(LARGEST_BYTES - len(answer))
    finally:
        writer.transport.abort()
    _, _, body = answer.partition(b"\r\n\r\n")
    document = msgspec.json.decode(body)
    if not isinstance(document, dict):
        raise ValueError("an answer that is none of Patroni's")
    return document


async def refuses(url: str, timeout_s: float = 0.2) -> bool:
    """Whether nobody listens where a member's `conn_url` says that its PostgreSQL does: the host says so itself."""
    try:
        parts = urlsplit(url)
        host, port = parts.hostname, parts.port
    except ValueError:
        return False
    if not host or not port:
        return False
    try:
        async with asyncio.timeout(timeout_s):
            _, writer = await asyncio.open_connection(host, port)
    except ConnectionRefusedError:
        return True
    except OSError:  # TimeoutError is one: silence is no word
        return False
    writer.transport.abort()
    return False


def is_stopping(said: Mapping[str, Any]) -> bool:
    """Whether Patroni is stopping its PostgreSQL, or has."""
    return said.get("state") in ("stopping", "stopped")


def is_primary(said: Mapping[str, Any]) -> bool:
    """Whether it has promoted, and takes writes."""
    return said.get("role") in ("primary", "master") and said.get("state") == "running"


def streams(said: Mapping[str, Any]) -> bool:
    """Whether it follows a primary, and has a stream of what is written there."""
    following = said.get("role") in ("replica", "standby", "sync_standby")
    return following and "streaming" in (said.get("state"), said.get("replication_state"))
