"""The stand-ins for providers: the senders' own code believes what each manner deserves, and nothing is made up.

estate ► provider (what it is asked, how a yes looks) ► receiver on loopback ◄── the production's sender
"""

from __future__ import annotations

import asyncio
import json
import socket
import ssl
import time
from pathlib import Path

import pytest

from binome.core.paging_notes import Sent
from binome.drivers.notify.sms_http import SmsHttp
from binome.drivers.notify.smtp import Smtp
from binome.drivers.notify.webhook import Webhook
from binome.estate import load
from binome.estate.model import Sender
from binome.lab import engines, outside
from binome.lab.network import Network
from binome.lab.outside import Outside, Page
from binome.lab.providers import not_built, places, providers, secrets_of, values
from binome.lab.receivers import Attempt, Manner, Receiver, Said, Settings
from binome.ports import Delivery, Notify
from binome.runtime.identity import Authority, Identity, new_key
from tests.drivers.notify_suite import MESSAGE, known
from tests.lab.conftest import LITTORAL

ALPHA = """{kind: sms-http, url: "http://localhost:PORT/v1", secret: "env:ALPHA",
  headers: {Authorization: "App {secret}"},
  body: '{"messages": [{"from": "littoral", "destinations": [{"to": "{to}"}], "text": "Page: {text}"}]}',
  accepted: {json: messages.0.status.groupName, matches: "^(PENDING|ACCEPTED)$"}}"""
BETA = """{kind: sms-http, url: "http://localhost:PORT/v1", format: form, secret: "env:BETA",
  body: "To={to}&From=%2B33700000000&Body={text}", accepted: {status: [201], json: sid}}"""
GAMMA = '{kind: sms-http, url: "http://localhost:PORT/v1?from=33", method: GET, accepted: {matches: "^OK"}}'
PLAIN = '{kind: sms-http, url: "http://localhost:PORT/v1"}'
HOOK = '{kind: webhook, url: "http://localhost:PORT/v1", secret: "env:HOOK"}'
MAIL = "{kind: smtp, host: localhost, port: PORT, from: pages@littoral.example}"
IMPLICIT = '{kind: smtp, host: localhost, port: PORT, tls: implicit, user: littoral, secret: "env:MAIL"}'
EVERY = {"alpha": ALPHA, "beta": BETA, "gamma": GAMMA, "plain": PLAIN, "hook": HOOK, "mail": MAIL, "implicit": IMPLICIT}
NOW_MS = time.time_ns() // 1_000_000


class Stand:
    """A receiver on loopback, and the production's sender that speaks to it."""

    def __init__(self, folder: Path, written: str) -> None:
        with socket.socket() as free:
            free.bind(("127.0.0.1", 0))
            port = free.getsockname()[1]
        estate = load(f"people: {{senders: {{one: {written.replace('PORT', str(port))}}}}}".encode())
        self.provider = providers(estate)["one"]
        self.attempts = folder / "attempts"
        authority, key = Authority.make(folder / "ca", "lab", days=1, now_ms=NOW_MS), new_key()
        paper = authority.issue("localhost", "127.0.0.1", key.public_key(), NOW_MS)
        Identity.put(folder / "own", ca=authority.pem, certificate=paper.pem, key=key, revoked_list=b"")
        self.manner = folder / "manner"
        settings = Settings(
            self.provider, "127.0.0.1", str(folder / "own" / "server.pem"), str(self.attempts), str(self.manner)
        )
        settings.save(folder / "settings.json")
        self.receiver = Receiver(Settings.read(folder / "settings.json"))
        self.sender = self._sender(estate.people.senders["one"], folder / "ca" / "ca.pem")

    def _sender(self, options: Sender, ca: Path) -> Notify:
        if options.kind == "smtp":
            return Smtp("one", options, known, total_s=1, tls=ssl.create_default_context(cafile=str(ca)))
        return (SmsHttp if options.kind == "sms-http" else Webhook)("one", options, known, total_s=1)

    def sent(self, manner: Manner = Manner.WELL, times: int = 1) -> list[Delivery]:
        """What the sender made of it, each time."""
        self.manner.write_text(manner)

        async def sent() -> list[Delivery]:
            async with await self.receiver.listen():
                to = "ops-1@littoral.example" if self.provider.kind == "smtp" else MESSAGE.to
                return [await self.sender.send(MESSAGE._replace(to=to)) for _ in range(times)]

        return asyncio.run(sent())

    def noted(self) -> list[dict[str, object]]:
        lines = self.attempts.read_text().splitlines() if self.attempts.exists() else []
        return [json.loads(line) for line in lines]


@pytest.fixture(params=EVERY, ids=str)
def stand(request: pytest.FixtureRequest, tmp_path: Path) -> Stand:
    return Stand(tmp_path, EVERY[request.param])


def test_what_is_sent_is_accepted_and_written_down(stand: Stand) -> None:
    before_s = time.monotonic()
    (delivery,) = stand.sent()
    assert delivery.outcome is Sent.ACCEPTED, delivery.said
    (note,) = stand.noted()
    is_mail = stand.provider.kind == "smtp"
    assert (note["to"], note["text"]) == (
        ("ops-1@littoral.example", MESSAGE.subject) if is_mail else (MESSAGE.to, MESSAGE.sms)
    )
    assert (note["said"], note["delivered"]) == (Said.ACCEPTED, True)
    assert str(note["body"]).replace("\r\n", "\n") == (MESSAGE.body if is_mail else "")
    assert isinstance(note["at_s"], float)
    assert before_s <= note["at_s"] <= time.monotonic()


@pytest.mark.parametrize(
    ("manner", "expected"),
    [
        (Manner.HANGS, [(Sent.UNKNOWN, Said.NOTHING, False)]),
        (Manner.REFUSES, [(Sent.REFUSED, Said.REFUSED, False)]),
        (Manner.SWALLOWS, [(Sent.ACCEPTED, Said.ACCEPTED, False)]),
        (Manner.TWICE, [(Sent.ACCEPTED, Said.ACCEPTED, True)] * 2),
        (Manner.GREYLISTS, [(Sent.LATER, Said.LATER, False), (Sent.ACCEPTED, Said.ACCEPTED, True)]),
    ],
)
@pytest.mark.parametrize("written", [ALPHA, MAIL], ids=["sms", "mail"])
def test_each_manner_is_what_it_says(
    written: str, manner: Manner, expected: list[tuple[Sent, Said, bool]], tmp_path: Path
) -> None:
    stand = Stand(tmp_path, written)
    sent = stand.sent(manner, times=len(expected))
    found = [(one.outcome, note["said"], note["delivered"]) for one, note in zip(sent, stand.noted(), strict=True)]
    assert found == expected, sent


@pytest.mark.parametrize("written", [ALPHA, PLAIN, MAIL], ids=["sms", "sms believed by its status", "mail"])
def test_a_page_of_html_is_believed_by_nobody(written: str, tmp_path: Path) -> None:
    stand = Stand(tmp_path, written)
    assert [one.outcome for one in stand.sent(Manner.HTML)] == [Sent.UNKNOWN]
    assert [one["said"] for one in stand.noted()] == [Said.NONSENSE]


def test_what_is_no_message_is_not_written_down(tmp_path: Path) -> None:
    stand = Stand(tmp_path, ALPHA)

    async def asked() -> bytes:
        async with await stand.receiver.listen():
            reader, writer = await asyncio.open_connection("127.0.0.1", stand.provider.port)
            writer.write(b'POST / HTTP/1.1\r\nContent-Length: 15\r\n\r\n{"messages":[]}')
            found = await reader.read()
            writer.close()
            return found

    assert asyncio.run(asked()).startswith(b"HTTP/1.1 400 ")
    assert stand.noted() == []


def test_values_are_found_where_the_template_has_their_places() -> None:
    template = {"a": [{"number": "tel:{to}"}], "b": {"text": "{id}: {text}"}, "fixed": 7}
    found = {"a": [{"number": "tel:+33"}], "b": {"text": "x: two\nlines"}, "more": "ignored"}
    assert values(template, found) == {"to": "+33", "id": "x", "text": "two\nlines"}
    assert values(template, {"a": "other", "b": []}) == {}
    assert values("tel:{to}", "mail:me") == {}


def test_littoral_has_two_providers_outside_of_every_site() -> None:
    estate = load(LITTORAL.read_bytes())
    found = providers(estate)
    assert {name: (one.host, one.port, one.tls) for name, one in found.items()} == {
        "sms-gateway": ("page.example", 443, "implicit"),
        "mail": ("mx.page.example", 587, "starttls"),
    }
    assert [host for host, _, _ in places(estate).values()] == ["page.example", "mx.page.example"]
    assert secrets_of(estate) == ["PAGE"]
    assert not [one for one in engines.not_built(estate) if one.startswith("pages")]
    net = Network.of(estate)
    assert net.outside == {"client": ("198.18.0.1",), "outside1": ("198.18.1.1",), "outside2": ("198.18.1.2",)}
    assert {"binome-outside1", "binome-outside2", "binome-client"} <= set(net.names())


def test_senders_that_nobody_stands_in_for_are_named_with_the_reason() -> None:
    estate = load(b"""
people:
  senders:
    literal: {kind: smtp, host: "10.1.1.1"}
    filed: {kind: sms-http, url: "https://a.example", secret: "file:/etc/page"}
    odd: {kind: sms-http, url: "https://b.example", accepted: {matches: "^[0-9]{32}$"}}
    good: {kind: sms-http, url: "https://b.example"}
""")
    assert set(providers(estate)) == {"good"}
    assert not_built(estate) == [
        "pages by literal (10.1.1.1 is no name)",
        "pages by filed (its secret is file:, and the lab has those of env: alone)",
        "pages by odd (no answer is known that matches ^[0-9]{32}$)",
    ]


def test_pages_are_told_as_they_come_with_the_names_of_people(tmp_path: Path) -> None:
    estate = load(LITTORAL.read_bytes())
    place = Outside(tmp_path, estate, Network.of(estate), lambda *_: pytest.fail("nothing is started here"))
    following = outside.Following(place)
    assert list(following.grown()) == []

    def took(sender: str, at_s: float, to: str, said: Said = Said.ACCEPTED) -> None:
        attempt = Attempt(at_s, 0, to, "[littoral 1] lost", "", said, said is Said.ACCEPTED)
        with (tmp_path / f"{sender}.pages.jsonl").open("a") as file:
            file.write(json.dumps(attempt._asdict()) + "\n")

    took("sms-gateway", 104.5, "+33600000002", Said.REFUSED)
    took("sms-gateway", 105.0, "+33600000002")
    assert list(following.grown()) == [(105.0, "page to ops-2 (sms-gateway): accepted by page.example")]
    took("mail", 107.25, "else@littoral.example")
    with (tmp_path / "mail.pages.jsonl").open("a") as file:
        file.write('{"at_s": 1')  # it is just being written
    assert list(following.grown()) == [(107.25, "page to else@littoral.example (mail): accepted by mx.page.example")]
    assert list(following.grown()) == []
    assert list(outside.Following(place).grown()) == [], "a second fire has pages of its own"
    pages = following.since(100.0)
    assert pages[0] == Page(5.0, "ops-2", "sms-gateway", "[littoral 1] lost", "", True)
    assert outside.as_json(pages)[1] == {
        "at_s": 7.25, "to": "else@littoral.example", "via": "mail", "text": "[littoral 1] lost",
    }  # fmt: skip


def test_lookouts_of_a_lab_get_its_secrets_and_its_trust(tmp_path: Path) -> None:
    estate = load(LITTORAL.read_bytes())
    place = Outside(tmp_path, estate, Network.of(estate), lambda *_: pytest.fail("nothing is started here"))
    found = place.environment({"PAGE": "s3", "client": "not for them"})
    assert found == {"PAGE": "s3", "SSL_CERT_FILE": str(tmp_path / "ca" / "ca.pem")}
    assert place.hosts() == ["198.18.1.1 page.example", "198.18.1.2 mx.page.example"]
