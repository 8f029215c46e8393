"""Kind `smtp`: mail, by a server that is asked to take it (RFC 5321).

    host, port, tls      the server; `starttls` unless given. What is asked for and not offered is refused: neither
                         the account nor the page goes out in the clear by accident
    user, secret         the account, where it needs one
    from                 who the mail is from

Up to the end of the data nothing has been sent: 4xx and a lost connection mean later, 5xx means refused. From there on
only 250 says accepted, and a lost connection leaves it unknown. The mail's Message-ID is the message's id, so that a
mailbox can tell that it has got one twice.
"""

from __future__ import annotations

import asyncio
import ssl
from base64 import b64encode
from collections.abc import Callable
from datetime import UTC, datetime
from email.message import EmailMessage
from email.policy import SMTP as MAIL
from email.utils import format_datetime

import aiosmtplib

from binome.core.paging_notes import Sent
from binome.drivers.notify.shared.said import said
from binome.estate.model import Sender
from binome.ports import Delivery, Message

CONNECT_S = 5.0
TOTAL_S = 18.0


class Smtp:
    """A `ports.Notify`."""

    def __init__(
        self,
        _name: str,
        options: Sender,
        secret: Callable[[str], str],
        *,
        total_s: float = TOTAL_S,
        tls: ssl.SSLContext | None = None,
    ) -> None:
        """`tls` is the context to check the server with, the system's unless given.

        Raises ValueError where the estate does not say whom to ask, or who it is from.
        """
        if options.host is None:
            raise ValueError("an smtp sender needs `host`.")
        if (options.user is None) != (options.secret is None):
            raise ValueError("an smtp sender needs `user` and `secret`, or neither.")
        if options.user is not None and options.tls == "none":
            raise ValueError("an smtp sender with an account needs `tls: starttls` or `tls: implicit`.")
        self._host, self._from, self._options = options.host, options.from_ or f"binome@{options.host}", options
        self._secret, self._total_s, self._tls = secret, total_s, tls

    async def send(self, message: Message) -> Delivery:
        """Hands the mail to the server once."""
        try:
            password = self._secret(self._options.secret) if self._options.secret else ""
        except OSError as error:
            return Delivery(Sent.LATER, said(f"its secret cannot be read: {error}"))
        try:
            raw = mail(message, self._from)
        except ValueError as error:
            return Delivery(Sent.REFUSED, said(f"it makes no mail: {error}"))
        client = aiosmtplib.SMTP(
            hostname=self._host,
            port=self._options.port,
            use_tls=self._options.tls == "implicit",
            start_tls=False,
            timeout=min(CONNECT_S, self._total_s),
            tls_context=self._tls,
        )
        attempt = _Attempt(client, self._options, password)
        try:
            async with asyncio.timeout(self._total_s):
                return await attempt.hand_over(message, self._from, raw)
        except TimeoutError:
            return attempt.ended("no answer in time")
        finally:
            client.close()


def mail(message: Message, sender: str) -> bytes:
    """The mail, as it goes over the wire. Raises ValueError where something cannot be in a header."""
    if not message.subject.isprintable():
        raise ValueError("its subject is more than one line")
    written = EmailMessage(policy=MAIL)
    written["From"] = sender
    written["To"] = message.to
    written["Subject"] = message.subject
    written["Date"] = format_datetime(datetime.fromtimestamp(message.at_ms / 1000, UTC))
    written["Message-ID"] = f"<{message.id}@{sender.partition('@')[2]}>"
    written["Auto-Submitted"] = "auto-generated"
    written.set_content(message.body, cte="quoted-printable")
    return written.as_bytes()


class _Attempt:
    """One conversation; knows whether the data may have been taken."""

    def __init__(self, client: aiosmtplib.SMTP, options: Sender, password: str) -> None:
        self._client, self._options, self._password = client, options, password
        self._data = False
        account = f"\0{options.user}\0{password}"
        self._secrets = [password, *(b64encode(one.encode()).decode() for one in (password, account))]

    async def hand_over(self, message: Message, sender: str, raw: bytes) -> Delivery:
        client = self._client
        try:
            await client.connect()
            if self._options.tls == "starttls":
                await client.ehlo()
                if not client.supports_extension("starttls"):
                    return Delivery(Sent.REFUSED, "it offers no STARTTLS; `tls: none` would send in the clear")
                await client.starttls()
            if self._options.user is not None:
                await client.login(self._options.user, self._password)
            await client.mail(sender)
            await client.rcpt(message.to)
            self._data = True
            code, answer = await client.data(raw)
        except aiosmtplib.SMTPResponseException as error:
            return self._answered(error.code, str(error.message))
        except (aiosmtplib.SMTPException, OSError, ValueError) as error:
            return self.ended(f"{type(error).__name__}: {error}")
        return self._answered(code, answer)

    def _answered(self, code: int, words: str) -> Delivery:
        """What an answer of the server comes to."""
        told = said(f"{code} {words}", self._secrets if self._password else ())
        if self._data and code == 250:
            return Delivery(Sent.ACCEPTED, told)
        if 500 <= code < 600:
            return Delivery(Sent.REFUSED, told)
        if 400 <= code < 500 and code != 421:
            return Delivery(Sent.LATER, told)
        return self.ended(told)

    def ended(self, words: str) -> Delivery:
        """What it comes to when the conversation broke off."""
        return Delivery(
            Sent.UNKNOWN if self._data else Sent.LATER, said(words, self._secrets if self._password else ())
        )
