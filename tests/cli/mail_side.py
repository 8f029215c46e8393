"""A mail server on loopback in a thread of its own, for commands that speak SMTP from a loop of their own."""

from __future__ import annotations

import asyncio
import threading
from collections.abc import Mapping
from email import message_from_bytes
from email.message import EmailMessage
from email.policy import default

_ANSWERS = {"DATA": b"354 go on\r\n", "QUIT": b"221 bye\r\n"}


class MailSide:
    """Takes mail without encryption and without an account. `answers` are what it says to a command, by its verb."""

    def __init__(self, answers: Mapping[str, bytes] | None = None) -> None:
        self.answers = {**_ANSWERS, **(answers or {})}
        self.commands: list[str] = []
        self.mails: list[EmailMessage] = []
        self.connections = 0
        self._loop = asyncio.new_event_loop()
        self._thread = threading.Thread(target=self._loop.run_forever, daemon=True)

    def __enter__(self) -> MailSide:
        self._thread.start()
        starting = asyncio.run_coroutine_threadsafe(asyncio.start_server(self._serve, "127.0.0.1", 0), self._loop)
        self._server = starting.result(10)
        self.port: int = self._server.sockets[0].getsockname()[1]
        return self

    def __exit__(self, *_: object) -> None:
        self._loop.call_soon_threadsafe(self._server.close)
        self._loop.call_soon_threadsafe(self._loop.stop)
        self._thread.join(10)
        self._loop.close()

    async def _serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self.connections += 1
        writer.write(b"220 mx.example ESMTP\r\n")
        while line := (await reader.readline()).decode().strip():
            self.commands.append(line)
            verb = line.split()[0].upper()
            answer = self.answers.get(verb, b"250 fine\r\n")
            writer.write(answer)
            if verb == "DATA" and answer.startswith(b"354"):
                raw = (await reader.readuntil(b"\r\n.\r\n"))[:-5]
                self.mails.append(message_from_bytes(raw, policy=default))
                writer.write(self.answers.get("end", b"250 queued\r\n"))
            if verb == "QUIT" or not answer:
                break
        writer.close()
