"""The acknowledgement page: a small HTTP listener on every lookout, behind the link of a page.

    GET  /TOKEN    shows the page and a button, and changes nothing: mail scanners and previews follow links
    POST /TOKEN    what the button does: acknowledges, once; the same again is refused, and says who was first

It may stand in the open: whatever is not a good token gets a short page and nothing else, no answer says whether
anything exists, and a token can acknowledge its own page and nothing more. A question has at most 8 KiB and 10 s, and
64 are served at once. The parser reads what a browser sends and closes after each answer; all else is refused.
Pages are plain HTML without scripts, with the little style that a phone needs.
"""

from __future__ import annotations

import asyncio
import os
import re
import ssl
from collections.abc import Sequence
from contextlib import suppress
from datetime import tzinfo
from html import escape
from http import HTTPStatus
from pathlib import Path
from typing import NamedTuple

from binome.core.acknowledgement import KEY_BYTES, TOKEN_LENGTH, Refused, Ticket, ticket
from binome.core.oncall import clock as clock_in
from binome.core.page import Page, one_line
from binome.estate.model import People
from binome.ports import Clock
from binome.runtime.pager import Pager

LONGEST_BYTES = 8 << 10
LONGEST_BODY = 1 << 10
HEARD_OUT_BYTES = 1 << 20
ASKED_WITHIN_S = 10.0
AT_ONCE = 64
_REQUEST = re.compile(r"(GET|HEAD|POST) (/[!-~]{0,500}) HTTP/1\.[01]")
_HEADER = re.compile(r"([!#$%&'*+.^_`|~0-9A-Za-z-]+):[ \t]*([^\r\n\0]*)")


class Shown(NamedTuple):
    """An answer: its status, a title, and paragraphs; `button` is where its button leads, empty for none."""

    status: HTTPStatus
    title: str
    lines: Sequence[str]
    button: str = ""


def read_key(path: Path) -> bytes:
    """The key that the lookouts share, from its file. Raises OSError, or ValueError where it is no key.

    Its file belongs to one account alone: whoever reads it can acknowledge in anybody's name.
    """
    with path.open("rb") as file:
        raw = file.read(1_000)
        if os.fstat(file.fileno()).st_mode & 0o077:
            raise ValueError(f"{path}: others may read it.  chmod 600 it.")
    if len(raw.strip()) < KEY_BYTES:
        raise ValueError(f"{path}: a key of at least {KEY_BYTES} bytes is needed.  Copy it from another lookout.")
    return raw.strip()


class AckServer:
    """Answers. `serve` is for asyncio.start_server; `answer` is all that it does with a question."""

    def __init__(self, people: People, pager: Pager, key: bytes, zone: tzinfo, clock: Clock) -> None:
        self._people, self._pager, self._key, self._zone, self._clock = people, pager, key, zone, clock
        self._open = 0

    async def serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        """One connection: one question, one answer."""
        self._open += 1
        try:
            with suppress(OSError, asyncio.IncompleteReadError):
                shown, body = await self._shown(reader)
                writer.write(_response(shown, body=body))
                async with asyncio.timeout(ASKED_WITHIN_S):
                    await writer.drain()
                if shown.status is not HTTPStatus.OK:
                    await _hear_out(reader, writer)
        except TimeoutError:
            pass
        finally:
            self._open -= 1
            writer.close()

    async def _shown(self, reader: asyncio.StreamReader) -> tuple[Shown, bool]:
        if self._open > AT_ONCE:
            return Shown(HTTPStatus.SERVICE_UNAVAILABLE, "Busy", ["Too many ask at once. Try again."]), True
        try:
            async with asyncio.timeout(ASKED_WITHIN_S):
                head = (await reader.readuntil(b"\r\n\r\n")).decode("latin-1")
                method, target = await _understood(head, reader)
        except (asyncio.LimitOverrunError, ValueError):
            return Shown(HTTPStatus.BAD_REQUEST, "Not understood", ["This is no question that can be answered."]), True
        except TimeoutError:
            return Shown(HTTPStatus.REQUEST_TIMEOUT, "Too slow", ["The question did not end."]), True
        return self.answer(method, target), method != "HEAD"

    def answer(self, method: str, target: str) -> Shown:
        """What is shown for a method and the target of a request; a POST with a good token acknowledges."""
        text = target.partition("?")[0].rpartition("/")[2]
        now_ms = self._clock.now_ms()
        good = ticket(self._key, text, self._people, now_ms) if len(text) == TOKEN_LENGTH else Refused.FORGED
        if isinstance(good, Refused):
            gone = good is Refused.EXPIRED
            status = HTTPStatus.GONE if gone else HTTPStatus.NOT_FOUND
            return Shown(status, "Nothing acknowledged", [f"{good.value.capitalize()}.", "Use binome ack instead."])
        pages = self._pager.state.referred(good.reference)
        lines = [self._line(page) for page in pages] or ["This lookout has not heard of that page; others have."]
        if method != "POST":
            first = self._pager.state.acknowledged(good.reference)
            if first is not None:
                return Shown(HTTPStatus.OK, "Acknowledged", [f"{first.who} has acknowledged.", *lines])
            return Shown(HTTPStatus.OK, f"{good.person}, are you on it?", lines, text)
        return self._acknowledge(good, lines)

    def _acknowledge(self, good: Ticket, lines: Sequence[str]) -> Shown:
        if self._pager.acknowledge(good.reference, good.person, good.via):
            return Shown(HTTPStatus.OK, "Acknowledged", [f"{good.person} has it. Nobody else is woken.", *lines])
        first = self._pager.state.acknowledged(good.reference)
        who = first.who if first is not None else "somebody"
        said = f"{Refused.DONE.value.capitalize()}, by {who}; nothing was changed."
        return Shown(HTTPStatus.CONFLICT, "Acknowledged already", [said, *lines])

    def _line(self, page: Page) -> str:
        since = clock_in(page.since_ms, self._zone)
        return f"[{one_line(page.name)}] {one_line(page.what)} since {since:%Y-%m-%d %H:%M} {since.tzname() or ''}"


async def listen(server: AckServer, host: str, port: int, tls: ssl.SSLContext | None = None) -> asyncio.Server:
    """Begins to listen. Raises OSError where that cannot be. Close what it returns to end."""
    return await asyncio.start_server(server.serve, host, port, ssl=tls, limit=LONGEST_BYTES)


async def _understood(head: str, reader: asyncio.StreamReader) -> tuple[str, str]:
    """Method and target of a request. Raises ValueError for what is none, or asks for more than it may."""
    first, *lines = head.removesuffix("\r\n\r\n").split("\r\n")
    found = _REQUEST.fullmatch(first)
    headers = [_HEADER.fullmatch(line) for line in lines]
    if found is None or None in headers or len(head) > LONGEST_BYTES:
        raise ValueError("no request")
    named = [(one[1].lower(), one[2].strip()) for one in headers if one is not None]
    lengths = {value for name, value in named if name == "content-length"}
    if any(name == "transfer-encoding" for name, _ in named) or len(lengths) > 1:
        raise ValueError("a body of no known length")
    length = next(iter(lengths), "0")
    if not re.fullmatch(r"[0-9]{1,6}", length) or int(length) > LONGEST_BODY:
        raise ValueError("a body that is too long")
    await reader.readexactly(int(length))
    return found[1], found[2]


async def _hear_out(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    """Lets somebody end who says too much: a connection that is closed with words unread takes the answer with it."""
    if writer.can_write_eof():
        writer.write_eof()
    with suppress(TimeoutError):
        async with asyncio.timeout(1):
            for _ in range(HEARD_OUT_BYTES // LONGEST_BYTES):
                if not await reader.read(LONGEST_BYTES):
                    return


_STYLE = (
    "body{font:18px/1.5 system-ui,sans-serif;margin:2rem auto;max-width:34rem;padding:0 1rem;"
    "color:#111;background:#fff}"
    "h1{font-size:1.5rem}p{overflow-wrap:anywhere}"
    "button{font:inherit;font-weight:bold;padding:1rem;width:100%;border:2px solid #111;border-radius:.5rem;"
    "background:#111;color:#fff}"
)


def html(shown: Shown) -> str:
    """The page. Nothing of what it shows can be markup."""
    lines = "".join(f"<p>{escape(line)}</p>" for line in shown.lines)
    button = (
        f'<form method="post" action="{escape(shown.button)}"><button>I am on it</button></form>'
        if shown.button
        else ""
    )
    return (
        '<!doctype html><html lang="en"><head><meta charset="utf-8">'
        '<meta name="viewport" content="width=device-width,initial-scale=1"><meta name="robots" content="noindex">'
        f"<title>{escape(shown.title)}</title><style>{_STYLE}</style></head>"
        f"<body><h1>{escape(shown.title)}</h1>{lines}{button}</body></html>"
    )


def _response(shown: Shown, *, body: bool) -> bytes:
    raw = html(shown).encode()
    head = [
        f"HTTP/1.1 {shown.status.value} {shown.status.phrase}",
        "Content-Type: text/html; charset=utf-8",
        f"Content-Length: {len(raw)}",
        "Cache-Control: no-store",
        "Referrer-Policy: no-referrer",
        "X-Content-Type-Options: nosniff",
        "Content-Security-Policy: default-src 'none'; style-src 'unsafe-inline'; form-action 'self'; "
        "frame-ancestors 'none'; base-uri 'none'",
        "Connection: close",
        "",
        "",
    ]
    return "\r\n".join(head).encode() + (raw if body else b"")
