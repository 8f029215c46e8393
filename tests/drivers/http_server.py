"""Answers of small HTTP servers, as probes meet them."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager

from tests.drivers.probe_suite import Serve, served

HEAD = b"HTTP/1.1 200 OK\r\nContent-Type: text/html\r\nServer: small\r\n"


def answer(body: bytes = b"well", status: str = "200 OK", more: str = "") -> bytes:
    return f"HTTP/1.1 {status}\r\nContent-Length: {len(body)}\r\n{more}\r\n".encode("latin-1") + body


def saying(reply: Callable[[bytes], bytes]) -> Serve:
    """A server that answers the head of each request by `reply`."""

    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        writer.write(reply(await reader.readuntil(b"\r\n\r\n")))
        await writer.drain()
        await reader.read(1)

    return serve


@asynccontextmanager
async def http(reply: Callable[[bytes], bytes]) -> AsyncIterator[int]:
    async with served(saying(reply)) as port:
        yield port


async def endless_headers(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    await reader.readuntil(b"\r\n\r\n")
    writer.write(b"HTTP/1.1 200 OK\r\n")
    while True:
        writer.write(b"X-Nothing: " + b"x" * 1000 + b"\r\n")
        await writer.drain()


async def endless_body(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    await reader.readuntil(b"\r\n\r\n")
    writer.write(HEAD + b"\r\n")
    while True:
        writer.write(b"y" * 65536)
        await writer.drain()


async def endless_chunks(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    await reader.readuntil(b"\r\n\r\n")
    writer.write(HEAD + b"Transfer-Encoding: chunked\r\n\r\n")
    while True:
        writer.write(b"1\r\nz\r\n" * 1000)
        await writer.drain()
