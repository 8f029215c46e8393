"""A stand-in for one provider of messages: takes SMS, webhooks or mail, and writes down each attempt with its time.

    python -m binome.lab.receivers SETTINGS        until it is ended

It stands outside of every site, so that what it wrote down survives any fire. Each attempt is one line of JSON, written
before it is answered: what was accepted may yet be lost on the way back, as everywhere. How it behaves is a word in a
file that is read anew for each message, so that a test may change its mind:

    well        accepts and delivers                    swallows   says yes and delivers nothing
    twice       answers everything twice                hangs      takes all of it and never answers
    html        answers with a page of HTML             refuses    says no
    greylists   puts a recipient off the first time, and accepts the second
"""

from __future__ import annotations

import asyncio
import json
import ssl
import sys
import time
from email import message_from_bytes
from email.policy import default
from enum import StrEnum
from http import HTTPStatus
from pathlib import Path
from typing import Any, NamedTuple
from urllib.parse import parse_qsl, urlsplit

from binome.lab.providers import Provider, values

LONGEST = 1 << 20
_PAGE = "<!doctype html><title>Welcome</title><p>It works!"


class Manner(StrEnum):
    """How a receiver behaves."""

    WELL = "well"
    HANGS = "hangs"
    REFUSES = "refuses"
    HTML = "html"
    SWALLOWS = "swallows"
    TWICE = "twice"
    GREYLISTS = "greylists"


class Said(StrEnum):
    """What an attempt was answered."""

    ACCEPTED = "accepted"
    REFUSED = "refused"
    LATER = "later"
    NONSENSE = "nonsense"
    NOTHING = "nothing"


class Attempt(NamedTuple):
    """A line of what a receiver wrote down: `at_s` is of the monotonic clock of the machine, `at_ms` since 1970.

    Of a mail `text` is the subject and `body` the rest; where it was refused before its data came, both are empty.
    """

    at_s: float
    at_ms: int
    to: str
    text: str
    body: str
    said: Said
    delivered: bool


class Settings(NamedTuple):
    """What a receiver needs: its provider, its address, and its files."""

    provider: Provider
    address: str
    certificate: str  # a file with it and its key
    attempts: str  # where it writes
    manner: str  # the file with its manner; it behaves well without

    def save(self, path: Path) -> None:
        path.write_text(json.dumps(self._replace(provider=self.provider._asdict())._asdict()))  # type: ignore[arg-type]

    @classmethod
    def read(cls, path: Path) -> Settings:
        found = json.loads(path.read_text())
        return cls(**{**found, "provider": Provider(**found["provider"])})


class Receiver:
    """One provider. `serve` never ends."""

    def __init__(self, settings: Settings) -> None:
        self._settings, self._provider = settings, settings.provider
        self._put_off: set[str] = set()
        self._tls: ssl.SSLContext | None = None
        if self._provider.tls != "none":
            self._tls = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
            self._tls.load_cert_chain(settings.certificate)

    async def listen(self) -> asyncio.Server:
        """Begins to listen."""
        serve = self._mail if self._provider.kind == "smtp" else self._http
        tls = self._tls if self._provider.tls == "implicit" else None
        return await asyncio.start_server(
            lambda reader, writer: self._served(serve, reader, writer),
            self._settings.address,
            self._provider.port,
            ssl=tls,
            limit=LONGEST,
        )

    async def _served(self, serve: Any, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        try:
            await serve(reader, writer)
        except (OSError, ValueError, asyncio.IncompleteReadError, asyncio.LimitOverrunError):
            pass  # whoever hangs up, or speaks something else, has said nothing
        finally:
            writer.close()

    # -- what is taken

    def _answer(self, to: str) -> Said:
        """What is said of a message to somebody, as things are now."""
        match self._manner():
            case Manner.HANGS:
                return Said.NOTHING
            case Manner.REFUSES:
                return Said.REFUSED
            case Manner.HTML:
                return Said.NONSENSE
            case Manner.GREYLISTS if to not in self._put_off:
                self._put_off.add(to)
                return Said.LATER
        return Said.ACCEPTED

    def _manner(self) -> Manner:
        path = Path(self._settings.manner)
        return Manner(path.read_text().strip()) if path.exists() else Manner.WELL

    def _note(self, to: str, said: Said, text: str = "", body: str = "") -> None:
        delivered = said is Said.ACCEPTED and self._manner() is not Manner.SWALLOWS
        attempt = Attempt(time.monotonic(), time.time_ns() // 1_000_000, to, text, body, said, delivered)
        with Path(self._settings.attempts).open("a", encoding="utf-8") as file:
            file.write(json.dumps(attempt._asdict(), ensure_ascii=False) + "\n")

    def _times(self) -> int:
        """So often a message is answered."""
        return 2 if self._manner() is Manner.TWICE else 1

    async def _say(self, writer: asyncio.StreamWriter, answer: bytes, said: Said) -> None:
        if said is Said.NOTHING:
            await asyncio.get_running_loop().create_future()
        writer.write(answer)
        await writer.drain()

    # -- SMS and webhooks

    async def _http(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        first, *lines = (await reader.readuntil(b"\r\n\r\n")).decode("latin-1").splitlines()
        headers = {name.lower(): value.strip() for name, _, value in (line.partition(":") for line in lines)}
        method, target, _ = first.split(" ")
        body = (await reader.readexactly(int(headers.get("content-length", "0")))).decode()
        if self._provider.form:
            raw = urlsplit(target).query if method == "GET" else body
            found: Any = [list(field) for field in parse_qsl(raw, keep_blank_values=True)]
        else:
            found = json.loads(body)
        asked = values(self._provider.template, found)
        if not asked.get("to") or not asked.get("text"):
            await self._say(writer, _http_answer(400, "no number, or no text"), Said.REFUSED)
            return
        said = self._answer(asked["to"])
        self._note(asked["to"], said, asked["text"])
        status, words = {
            Said.ACCEPTED: (self._provider.status, self._provider.answer),
            Said.REFUSED: (403, "no such account"),
            Said.LATER: (503, "come back later"),
        }.get(said, (200, _PAGE))
        answer = _http_answer(status, words, "text/html" if said is Said.NONSENSE else "")
        await self._say(writer, answer * self._times(), said)

    # -- mail

    async def _mail(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        host, offer = self._provider.host, self._provider.tls == "starttls"
        await self._say(writer, f"220 {host} ESMTP\r\n".encode(), Said.ACCEPTED)
        to = ""
        while line := (await reader.readline()).decode("latin-1").strip():
            verb, said, answer = line.split(" ")[0].upper(), Said.ACCEPTED, "250 fine"
            match verb:
                case "EHLO":
                    answer = f"250-{host}\r\n{'250-STARTTLS' + chr(13) + chr(10) if offer else ''}250 AUTH PLAIN"
                case "AUTH":
                    answer = "235 welcome"
                case "RCPT":
                    to = line.partition("<")[2].partition(">")[0]
                    said = self._answer(to)
                    answer = {Said.REFUSED: "550 no such user", Said.LATER: "451 greylisted"}.get(said, answer)
                    if said in (Said.REFUSED, Said.LATER):
                        self._note(to, said)
                    else:
                        said = Said.ACCEPTED  # the other manners begin with the data
                case "DATA":
                    answer = "354 go on"
                case "STARTTLS" | "QUIT":
                    answer = "220 go on" if verb == "STARTTLS" else "221 bye"
            await self._say(writer, f"{answer}\r\n".encode(), said)
            if verb == "QUIT":
                return
            if verb == "STARTTLS" and self._tls is not None:
                await writer.start_tls(self._tls)
                offer = False
            elif verb == "DATA":
                await self._take_mail(reader, writer, to)

    async def _take_mail(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter, to: str) -> None:
        raw = (await reader.readuntil(b"\r\n.\r\n"))[:-3].replace(b"\r\n..", b"\r\n.")
        mail = message_from_bytes(raw, policy=default)
        said = Said.ACCEPTED if self._manner() is Manner.GREYLISTS else self._answer(to)
        self._note(to, said, str(mail["Subject"]), str(mail.get_content()))
        answer = "250 queued" if said is Said.ACCEPTED else _PAGE
        await self._say(writer, f"{answer}\r\n".encode() * self._times(), said)


def _http_answer(status: int, body: str, kind: str = "") -> bytes:
    raw = body.encode()
    head = (
        f"HTTP/1.1 {status} {HTTPStatus(status).phrase}",
        f"Content-Type: {kind or ('application/json' if body[:1] in ('{', '[') else 'text/plain')}",
        f"Content-Length: {len(raw)}",
    )
    return "\r\n".join((*head, "", "")).encode() + raw


async def _run(settings: Settings) -> None:
    async with await Receiver(settings).listen() as server:
        await server.serve_forever()


if __name__ == "__main__":
    asyncio.run(_run(Settings.read(Path(sys.argv[1]))))
