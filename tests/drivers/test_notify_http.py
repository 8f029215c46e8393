"""The senders that ask by HTTP: each as the suite asks, and what providers answer at their worst."""

from __future__ import annotations

import asyncio
import json
from collections.abc import Callable
from urllib.parse import parse_qs

import pytest

from binome.core.paging_notes import Sent
from binome.drivers.notify.shared.http import LONGEST_ANSWER
from binome.drivers.notify.sms_http import SmsHttp
from binome.drivers.notify.webhook import Webhook, signature
from binome.estate import load
from binome.estate.model import Sender
from binome.ports import Notify
from tests.drivers.notify_suite import MESSAGE, SECRET, Listening, NotifySuite, known

NESTED = '{"messages": [{"to": "{to}", "text": "{text}", "id": "{id}"}], "from": "littoral"}'


def sender(text: str) -> Sender:
    return load(f"people: {{senders: {{s: {{{text}}}}}}}".encode()).people.senders["s"]


def answer(body: str, status: str = "200 OK", kind: str = "application/json") -> bytes:
    raw = body.encode()
    head = f"HTTP/1.1 {status}\r\nContent-Type: {kind}\r\nContent-Length: {len(raw)}\r\nConnection: close\r\n\r\n"
    return head.encode() + raw


GOOD = answer('{"status": "accepted"}')
KEPT = GOOD.replace(b"Connection: close\r\n", b"")
BEHAVIOURS = {
    "accept": GOOD,
    "refuse": answer('{"error": "unknown number"}', "422 Unprocessable"),
    "later": answer("slow down", "429 Too Many Requests", "text/plain"),
}


class HttpSide:
    """A provider on loopback."""

    def __init__(self, make: Callable[[str], Callable[..., Notify]]) -> None:
        self._make = make
        self._listening = Listening()
        self.requests: list[tuple[str, dict[str, str], bytes]] = []
        self.raw: bytes | None = None  # what it answers, whatever its behaviour

    async def start(self, behaviour: str) -> None:
        async def one(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
            head = (await reader.readuntil(b"\r\n\r\n")).decode()
            first, *lines = head.strip().split("\r\n")
            headers = {line.partition(":")[0].lower(): line.partition(":")[2].strip() for line in lines}
            body = await reader.readexactly(int(headers.get("content-length", "0")))
            self.requests.append((first, headers, body))
            if behaviour == "hang":
                await asyncio.Event().wait()
            if behaviour == "echo":
                writer.write(answer(f"{head} {body!r} {SECRET}", "400 Bad Request", "text/plain"))
            elif behaviour != "drop":
                writer.write(self.raw if self.raw is not None else BEHAVIOURS[behaviour])
            await writer.drain()

        await self._listening.start(one)

    async def stop(self) -> None:
        await self._listening.stop()

    def notify(self, *, total_s: float, secret: Callable[[str], str]) -> Notify:
        return self._make(f"http://127.0.0.1:{self._listening.port}/send")(secret, total_s=total_s)

    def texts(self) -> list[str]:
        return [body.decode() for _, _, body in self.requests]


def sms(more: str) -> Callable[[str], Callable[..., Notify]]:
    def at(url: str) -> Callable[..., Notify]:
        options = sender(f'kind: sms-http, url: "{url}", secret: "env:PAGE", {more}')
        return lambda secret, total_s: SmsHttp("s", options, secret, total_s=total_s)

    return at


JSON = sms(
    f'headers: {{Authorization: "Bearer {{secret}}", Idempotency-Key: "{{id}}"}}, body: \'{NESTED}\', '
    "accepted: {json: status, matches: accepted}"
)
FORM = sms(
    'format: form, headers: {X-Key: "{secret}"}, body: "To={to}&From=littoral&Body={text}", '
    "accepted: {matches: accepted}"
)


def webhook(url: str) -> Callable[..., Notify]:
    options = sender(f'kind: webhook, url: "{url}", secret: "env:PAGE"')
    return lambda secret, total_s: Webhook("s", options, secret, total_s=total_s)


class TestSmsHttpByJson(NotifySuite):
    @pytest.fixture
    def side(self) -> HttpSide:
        return HttpSide(JSON)

    def test_the_template_is_filled(self, side: HttpSide) -> None:
        assert self.said(side, "accept").outcome is Sent.ACCEPTED
        first, headers, body = side.requests[0]
        assert first == "POST /send HTTP/1.1"
        assert (headers["authorization"], headers["idempotency-key"]) == (f"Bearer {SECRET}", MESSAGE.id)
        assert headers["content-type"] == "application/json"
        assert json.loads(body) == {
            "messages": [{"to": MESSAGE.to, "text": MESSAGE.sms, "id": MESSAGE.id}],
            "from": "littoral",
        }

    @pytest.mark.parametrize(
        "text", ['", "from": "me', "{to} {secret} {text}", "\\", "\r\nX: y", "<&>%00%0d%0a&to=x", "火 ünï", "{}" * 50]
    )
    def test_no_text_becomes_another_field(self, side: HttpSide, text: str) -> None:
        assert self.said(side, "accept", MESSAGE._replace(sms=text)).outcome is Sent.ACCEPTED
        said = json.loads(side.requests[0][2])
        assert said["messages"][0]["text"] == text
        assert said["from"] == "littoral"
        assert SECRET.encode() not in side.requests[0][2]


class TestSmsHttpByForm(NotifySuite):
    @pytest.fixture
    def side(self) -> HttpSide:
        return HttpSide(FORM)

    @pytest.mark.parametrize("text", ["a&From=me", "a\r\nb: c", "a=b;c&d", "%26From=me", "+ +", "火"])
    def test_no_text_becomes_another_field(self, side: HttpSide, text: str) -> None:
        assert self.said(side, "accept", MESSAGE._replace(sms=text)).outcome is Sent.ACCEPTED
        assert parse_qs(side.requests[0][2].decode()) == {"To": [MESSAGE.to], "From": ["littoral"], "Body": [text]}


class TestWebhook(NotifySuite):
    address = "ops-1"

    @pytest.fixture
    def side(self) -> HttpSide:
        return HttpSide(webhook)

    def test_it_is_signed_with_its_time(self, side: HttpSide) -> None:
        assert self.said(side, "accept").outcome is Sent.ACCEPTED
        _, headers, body = side.requests[0]
        assert headers["x-binome-timestamp"] == "1764000000"
        assert headers["x-binome-signature"] == f"v1={signature(SECRET, '1764000000', body)}"
        assert signature(SECRET, "1764000001", body) != signature(SECRET, "1764000000", body)
        assert signature("k", "1", b"{}") == "3dd49b2593d0f9a349e9e71c4bde3e2b862c2be4003fe9b4ba81332029310158"
        assert SECRET.encode() not in body
        assert json.loads(body)["to"] == "ops-1"


@pytest.mark.parametrize(
    ("raw", "outcome"),
    [
        (answer('{"status": "accepted"}'), Sent.ACCEPTED),
        (KEPT * 2, Sent.ACCEPTED),  # it answers twice: the first counts
        (answer('{"status": "accepted"}') * 2, Sent.UNKNOWN),  # and where it had said that it would close, none does
        (answer("<html>Welcome to the portal</html>", kind="text/html"), Sent.UNKNOWN),
        (answer("<html>accepted</html>", kind="text/html"), Sent.UNKNOWN),
        (answer('{"status": "queued for review"}'), Sent.UNKNOWN),
        (answer('{"state": "accepted"}'), Sent.UNKNOWN),
        (answer('["accepted"]'), Sent.UNKNOWN),
        (answer("[" * 60_000), Sent.UNKNOWN),
        (answer('{"status": "accepted", "more": "' + "x" * LONGEST_ANSWER + '"}'), Sent.UNKNOWN),
        (answer(""), Sent.UNKNOWN),
        (answer("\x00\x01\x02", kind="text/plain"), Sent.UNKNOWN),
        (b'HTTP/1.1 200 OK\r\nContent-Length: 100\r\n\r\n{"status": "accepted"}', Sent.UNKNOWN),  # cut short
        (b"\x16\x03\x01garbage\r\n\r\n", Sent.UNKNOWN),
        (b"HTTP/1.1 200 OK\r\nX: " + b"y" * 100_000 + b"\r\n\r\n", Sent.UNKNOWN),
        (answer("", "500 Oops"), Sent.UNKNOWN),
        (answer("", "502 Bad Gateway"), Sent.UNKNOWN),
        (answer("", "503 Service Unavailable"), Sent.LATER),
        (answer("", "401 Unauthorized"), Sent.REFUSED),
        (answer("", "404 Not Found"), Sent.REFUSED),
        (b"HTTP/1.1 302 Found\r\nLocation: http://127.0.0.1:1/\r\nContent-Length: 0\r\n\r\n", Sent.REFUSED),
    ],
)
def test_what_providers_answer_at_their_worst(raw: bytes, outcome: Sent) -> None:
    side = HttpSide(JSON)
    side.raw = raw
    assert TestSmsHttpByJson().said(side, "accept").outcome is outcome
    assert len(side.requests) == 1  # it is asked once, whatever it answers


@pytest.mark.parametrize(
    ("rule", "raw", "outcome"),
    [
        ("", answer("{}"), Sent.ACCEPTED),
        ("", answer(""), Sent.ACCEPTED),
        ("", answer("<html>ok</html>", kind="text/html"), Sent.UNKNOWN),
        ("", answer("OK 1234", kind="text/plain"), Sent.UNKNOWN),  # the body is JSON, the answer should be
        (", accepted: {status: [201]}", answer("{}"), Sent.UNKNOWN),
        (", accepted: {status: [201]}", answer("{}", "201 Created"), Sent.ACCEPTED),
        (", accepted: {json: messages.0.id}", answer('{"messages": [{"id": 7}]}'), Sent.ACCEPTED),
        (", accepted: {json: messages.0.id}", answer('{"messages": []}'), Sent.UNKNOWN),
        (", accepted: {json: messages.0.id}", answer('{"messages": [{"id": null}]}'), Sent.UNKNOWN),
        (", accepted: {json: ok, matches: '^true$'}", answer('{"ok": true}'), Sent.ACCEPTED),
        (", accepted: {json: ok, matches: '^true$'}", answer('{"ok": false}'), Sent.UNKNOWN),
        (", accepted: {matches: '^OK'}", answer("OK 1234", kind="text/plain"), Sent.ACCEPTED),
        (", accepted: {matches: '^OK'}", answer("ERROR", kind="text/plain"), Sent.UNKNOWN),
    ],
)
def test_how_an_answer_looks_that_says_accepted(rule: str, raw: bytes, outcome: Sent) -> None:
    side = HttpSide(sms(f"body: '{NESTED}'{rule}"))
    side.raw = raw
    assert TestSmsHttpByJson().said(side, "accept").outcome is outcome


@pytest.mark.parametrize(
    ("raw", "outcome"),
    [
        (answer("OK 1234", kind="text/plain"), Sent.ACCEPTED),
        (answer("<html>OK</html>", kind="text/html"), Sent.UNKNOWN),
        (answer("\x00\x01", kind="text/plain"), Sent.UNKNOWN),
        (answer("x" * (LONGEST_ANSWER + 1), kind="text/plain"), Sent.UNKNOWN),
    ],
)
def test_without_a_rule_a_form_is_answered_in_plain_words(raw: bytes, outcome: Sent) -> None:
    side = HttpSide(sms('format: form, body: "To={to}&Body={text}"'))
    side.raw = raw
    assert TestSmsHttpByForm().said(side, "accept").outcome is outcome


def test_a_get_carries_its_form_in_the_url() -> None:
    side = HttpSide(sms("method: GET, body: 'to={to}&text={text}', accepted: {matches: accepted}"))
    assert TestSmsHttpByJson().said(side, "accept", MESSAGE._replace(sms="a&b ü")).outcome is Sent.ACCEPTED
    assert side.requests[0][0] == "GET /send?to=%2B33600000001&text=a%26b+%C3%BC HTTP/1.1"


def test_without_a_body_a_provider_is_told_the_plain_things_and_the_secret_as_a_token() -> None:
    one = SmsHttp("s", sender('kind: sms-http, url: "https://x.example", secret: "env:P"'), known)
    values = {"to": "+336", "text": 'a "b"', "id": "7", "secret": "word"}
    assert json.loads(one._body(values)) == {"to": "+336", "text": 'a "b"', "id": "7"}
    assert one._headers(values)["Authorization"] == "Bearer word"
    told = SmsHttp(
        "s", sender('kind: sms-http, url: "https://x.example", secret: "env:P", headers: {X-Key: "k"}'), known
    )
    assert "Authorization" not in told._headers(values)


@pytest.mark.parametrize(
    ("factory", "text", "said"),
    [
        (SmsHttp, "kind: sms-http", "`url`"),
        (SmsHttp, 'kind: sms-http, url: "https://x.example", format: form, body: "nothing"', "no {text}"),
        (Webhook, 'kind: webhook, url: "https://x.example"', "`secret`"),
    ],
)
def test_a_sender_that_could_not_send_is_refused_at_the_start(
    factory: Callable[..., Notify], text: str, said: str
) -> None:
    with pytest.raises(ValueError, match=said):
        factory("s", sender(text), known)


def test_a_secret_with_a_line_end_reaches_no_header() -> None:
    side = HttpSide(JSON)
    delivery = TestSmsHttpByJson().said(side, "accept", secret=lambda _: f"{SECRET}\r\nX-Evil: 1")
    assert delivery.outcome is Sent.REFUSED
    assert side.requests == []
