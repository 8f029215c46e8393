"""The sender of mail: as the suite asks, and what mail servers do at their worst."""

from __future__ import annotations

import asyncio
import datetime
import ssl
from base64 import b64encode
from collections.abc import Callable
from email import message_from_bytes
from email.policy import default
from pathlib import Path

import pytest
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import NameOID

from binome.core.paging_notes import Sent
from binome.drivers.notify.smtp import Smtp, mail
from binome.estate import load
from binome.estate.model import Sender
from binome.ports import Notify
from tests.drivers.notify_suite import MESSAGE, SECRET, Listening, NotifySuite, known

ACCOUNT = f"\0littoral\0{SECRET}"


def sender(more: str) -> Sender:
    return load(f"people: {{senders: {{s: {{kind: smtp, {more}}}}}}}".encode()).people.senders["s"]


@pytest.fixture(scope="session")
def certificate(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A certificate of localhost, with its key."""
    key = ec.generate_private_key(ec.SECP256R1())
    name = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, "localhost")])
    now = datetime.datetime.now(datetime.UTC)
    made = (
        x509.CertificateBuilder()
        .subject_name(name)
        .issuer_name(name)
        .public_key(key.public_key())
        .serial_number(1)
        .not_valid_before(now - datetime.timedelta(days=1))
        .not_valid_after(now + datetime.timedelta(days=2))
        .add_extension(x509.SubjectAlternativeName([x509.DNSName("localhost")]), critical=False)
        .add_extension(x509.BasicConstraints(ca=True, path_length=None), critical=True)
        .sign(key, hashes.SHA256())
    )
    path = tmp_path_factory.mktemp("tls") / "localhost.pem"
    private = key.private_bytes(
        serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption()
    )
    path.write_bytes(private + made.public_bytes(serialization.Encoding.PEM))
    return path


class MailSide:
    """A mail server on loopback, which says what it is told to at each step.

    `script` maps a step (banner, EHLO, STARTTLS, AUTH, MAIL, RCPT, DATA, end) to an answer; None hangs, empty hangs up.
    """

    def __init__(self, certificate: Path, options: str = "tls: implicit, user: littoral, secret: 'env:PAGE'") -> None:
        self.script: dict[str, bytes | None] = {}
        self.mails: list[bytes] = []
        self.commands: list[str] = []
        self._options = options
        self._listening = Listening()
        self._server = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        self._server.load_cert_chain(certificate)
        self.client = ssl.create_default_context(cafile=str(certificate))
        self._implicit = "tls: implicit" in options

    async def start(self, behaviour: str) -> None:
        steps: dict[str, dict[str, bytes | None]] = {
            "accept": {},
            "refuse": {"RCPT": b"550 5.1.1 no such user\r\n"},
            "later": {"RCPT": b"451 4.7.1 greylisted, try again\r\n"},
            "hang": {"end": None},
            "drop": {"end": b""},
            "echo": {"AUTH": f"535 no: {SECRET} {b64encode(ACCOUNT.encode()).decode()}\r\n".encode()},
        }
        self.script = {**steps[behaviour], **self.script}
        await self._listening.start(self._serve)

    async def stop(self) -> None:
        await self._listening.stop()

    def notify(self, *, total_s: float, secret: Callable[[str], str]) -> Notify:
        options = sender(
            f"host: localhost, port: {self._listening.port}, from: pages@littoral.example, {self._options}"
        )
        return Smtp("s", options, secret, total_s=total_s, tls=self.client)

    def texts(self) -> list[str]:
        return [str(message_from_bytes(raw, policy=default).get_content()) for raw in self.mails]

    async def _say(self, writer: asyncio.StreamWriter, step: str, otherwise: bytes) -> bool:
        answer = self.script.get(step, otherwise)
        if answer is None:
            await asyncio.Event().wait()
        writer.write(answer or b"")
        await writer.drain()
        return bool(answer)

    async def _serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        if self._implicit:
            await writer.start_tls(self._server)
        if not await self._say(writer, "banner", b"220 mx.example ESMTP\r\n"):
            return
        otherwise = {
            "EHLO": b"250-mx.example\r\n250-AUTH PLAIN\r\n250 8BITMIME\r\n",
            "AUTH": b"235 welcome\r\n",
            "STARTTLS": b"220 go on\r\n",
            "DATA": b"354 go on\r\n",
        }
        while line := (await reader.readline()).decode():
            self.commands.append(line.strip())
            step = line.split()[0].upper()
            if step == "QUIT" or not await self._say(writer, step, otherwise.get(step, b"250 fine\r\n")):
                return
            if step == "STARTTLS":
                await writer.start_tls(self._server)
            if step == "DATA" and self.script.get("DATA", b"354").startswith(b"354"):  # type: ignore[union-attr]
                self.mails.append((await reader.readuntil(b"\r\n.\r\n"))[:-5])
                if not await self._say(writer, "end", b"250 queued as 7\r\n"):
                    return


class TestSmtp(NotifySuite):
    address = "ops-1@littoral.example"

    @pytest.fixture
    def side(self, certificate: Path) -> MailSide:
        return MailSide(certificate)

    def test_the_mail_is_whole(self, side: MailSide) -> None:
        assert self.said(side, "accept").outcome is Sent.ACCEPTED
        read = message_from_bytes(side.mails[0], policy=default)
        assert (read["From"], read["To"]) == ("pages@littoral.example", self.address)
        assert read["Subject"] == MESSAGE.subject
        assert read["Message-ID"] == "<00ff00ff00ff00ff@littoral.example>"
        assert read["Date"] == "Mon, 24 Nov 2025 16:00:00 +0000"
        assert str(read.get_content()).replace("\r\n", "\n").rstrip() == MESSAGE.body.rstrip()
        assert f"AUTH PLAIN {b64encode(ACCOUNT.encode()).decode()}" in side.commands


@pytest.mark.parametrize(
    ("step", "said", "outcome"),
    [
        ("banner", b"554 go away\r\n", Sent.REFUSED),
        ("banner", b"421 too busy\r\n", Sent.LATER),
        ("banner", b"HTTP/1.1 400 Bad Request\r\n\r\n", Sent.LATER),
        ("banner", b"220-" + b"x" * 200_000, Sent.LATER),
        ("banner", b"220-\x1b[31m\x00\xff evil\r\n" * 50 + b"220 end\r\n", Sent.ACCEPTED),
        ("banner", None, Sent.LATER),
        ("banner", b"", Sent.LATER),
        ("EHLO", b"502 what\r\n", Sent.LATER),
        ("AUTH", b"535 wrong\r\n", Sent.REFUSED),
        ("AUTH", b"454 not now\r\n", Sent.LATER),
        ("MAIL", b"", Sent.LATER),
        ("MAIL", b"452 full\r\n", Sent.LATER),
        ("RCPT", b"421 closing\r\n", Sent.LATER),
        ("DATA", b"554 no\r\n", Sent.REFUSED),
        ("DATA", b"451 not now\r\n", Sent.LATER),
        ("DATA", b"", Sent.UNKNOWN),
        ("end", b"554 looks like spam\r\n", Sent.REFUSED),
        ("end", b"451 try again\r\n", Sent.LATER),
        ("end", b"421 closing\r\n", Sent.UNKNOWN),
        ("end", b"garbage\r\n", Sent.UNKNOWN),
        ("end", b"299 what\r\n", Sent.UNKNOWN),
    ],
)
def test_what_mail_servers_do_at_their_worst(certificate: Path, step: str, said: bytes | None, outcome: Sent) -> None:
    side = MailSide(certificate)
    side.script[step] = said
    assert TestSmtp().said(side, "accept", total_s=1.0).outcome is outcome


def test_where_starttls_is_asked_for_and_not_offered_nothing_goes_out(certificate: Path) -> None:
    side = MailSide(certificate, "tls: starttls, user: littoral, secret: 'env:PAGE'")
    delivery = TestSmtp().said(side, "accept")
    assert delivery.outcome is Sent.REFUSED
    assert "STARTTLS" in delivery.said
    assert not [line for line in side.commands if line.startswith(("AUTH", "MAIL"))]


def test_starttls_is_spoken_where_it_is_offered(certificate: Path) -> None:
    side = MailSide(certificate, "tls: starttls, user: littoral, secret: 'env:PAGE'")
    side.script["EHLO"] = b"250-mx.example\r\n250-STARTTLS\r\n250 AUTH PLAIN\r\n"
    assert TestSmtp().said(side, "accept").outcome is Sent.ACCEPTED
    assert side.commands.index("STARTTLS") < next(i for i, line in enumerate(side.commands) if line.startswith("AUTH"))


def test_a_server_that_nobody_vouches_for_gets_nothing(certificate: Path) -> None:
    side = MailSide(certificate)
    side.client = ssl.create_default_context()
    assert TestSmtp().said(side, "accept").outcome is Sent.LATER
    assert side.commands == []


@pytest.mark.parametrize("subject", ["a\r\nBcc: all@example.org", "a\nb", "a\r"])
def test_no_subject_becomes_another_header(certificate: Path, subject: str) -> None:
    side = MailSide(certificate)
    assert TestSmtp().said(side, "accept", MESSAGE._replace(subject=subject)).outcome is Sent.REFUSED
    assert side.mails == []


@pytest.mark.parametrize(
    "body", ["a\r\n.\r\nRCPT TO:<all@example.org>", ".", "..", "火 " * 500, "a\n.\nb", "x" * 5_000]
)
def test_no_body_ends_the_data(certificate: Path, body: str) -> None:
    side = MailSide(certificate)
    assert TestSmtp().said(side, "accept", MESSAGE._replace(body=f"{body}\n")).outcome is Sent.ACCEPTED
    assert len(side.mails) == 1
    raw = side.mails[0].replace(b"\r\n..", b"\r\n.")
    content = str(message_from_bytes(raw, policy=default).get_content())
    assert content.replace("\r\n", "\n").rstrip("\n") == body.replace("\r\n", "\n")
    assert sum(line.startswith("RCPT") for line in side.commands) == 1
    assert all(len(line) <= 998 for line in raw.split(b"\r\n"))


def test_the_mail_is_of_ascii_whatever_it_says() -> None:
    raw = mail(MESSAGE._replace(subject="Tête 火", body="ü\n"), "pages@littoral.example")
    assert raw.isascii()
    assert message_from_bytes(raw, policy=default)["Subject"] == "Tête 火"


@pytest.mark.parametrize(
    ("more", "said"),
    [
        ("from: a@b.example", "`host`"),
        ("host: mx.example, from: a@b.example, user: littoral", "or neither"),
        ("host: mx.example, from: a@b.example, user: l, secret: 'env:P', tls: none", "needs `tls"),
    ],
)
def test_a_sender_that_could_not_send_is_refused_at_the_start(more: str, said: str) -> None:
    with pytest.raises(ValueError, match=said):
        Smtp("s", sender(more), known)
