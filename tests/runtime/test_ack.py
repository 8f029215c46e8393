"""The acknowledgement page: scanners change nothing, the button does once, and whatever else comes is refused."""

from __future__ import annotations

import asyncio
import html as markup
from collections.abc import Awaitable, Callable
from datetime import UTC
from pathlib import Path

import msgspec
import pytest

from binome.core.acknowledgement import VALID_MS, token
from binome.core.paging_notes import Stage
from binome.runtime import ack
from binome.runtime.ack import AckServer, listen, read_key
from binome.runtime.clock import SystemClock
from binome.runtime.outbox import SqliteOutbox
from binome.runtime.pager import Pager, words
from tests.runtime.test_outbox import PAGE
from tests.runtime.test_pager import KEY, PEOPLE, Sender

EVIL = msgspec.structs.replace(PAGE, cause="evil", what='<script>alert("1")</script>', name="<b>")


@pytest.fixture
def pager(tmp_path: Path) -> Pager:
    made = Pager(
        PEOPLE,
        estate="littoral",
        name="gra",
        rank=0,
        outbox=SqliteOutbox(tmp_path / "outbox.sqlite"),
        senders={"sms": Sender()},
        clock=SystemClock(),
        order=lambda _at_ms: ("ann", "bob"),
        words=words(PEOPLE, UTC, KEY),
    )
    made.want(PAGE)
    return made


def link(page: str = PAGE.id, person: str = "ann", *, ago_ms: int = 0) -> str:
    return token(KEY, page, person, "sms", SystemClock().now_ms() - ago_ms)


def asked(pager: Pager, *raw: bytes, hang_up: bool = False) -> list[str]:
    """What the server answers to each question, over a connection of its own."""

    async def conversation() -> list[str]:
        server = await listen(AckServer(PEOPLE, pager, KEY, UTC, SystemClock()), "127.0.0.1", 0)
        answers = []
        for question in raw:
            reader, writer = await asyncio.open_connection("127.0.0.1", server.sockets[0].getsockname()[1])
            writer.write(question)
            if hang_up:
                writer.write_eof()
            try:
                answers.append((await asyncio.wait_for(reader.read(), 10)).decode())
            except ConnectionError:
                answers.append("")
            writer.close()
        server.close()
        return answers

    return asyncio.run(conversation())


def get(path: str) -> bytes:
    return f"GET /a/{path} HTTP/1.1\r\nHost: watch.example\r\nUser-Agent: scanner\r\n\r\n".encode()


def post(path: str) -> bytes:
    return f"POST /a/{path} HTTP/1.1\r\nHost: watch.example\r\nContent-Length: 0\r\n\r\n".encode()


def stage(pager: Pager) -> Stage:
    return pager.state.pages[PAGE.id].stage


def test_looking_changes_nothing_and_the_button_acknowledges_once(pager: Pager) -> None:
    head = get(link()).replace(b"GET", b"HEAD", 1)
    first, again, headed = asked(pager, get(link()), get(link()), head)
    assert first.startswith("HTTP/1.1 200 OK")
    assert "ann, are you on it?" in first
    assert f'<form method="post" action="{link()}">' in first
    assert first == again
    assert headed.partition("\r\n\r\n")[2] == ""
    assert stage(pager) is Stage.UNHEARD
    (pressed,) = asked(pager, post(link()))
    assert pressed.startswith("HTTP/1.1 200 OK")
    assert "ann has it" in pressed
    assert stage(pager) is Stage.ACKNOWLEDGED
    assert pager.state.proven.keys() == {("ann", "sms")}
    replayed, by_another, looked = asked(pager, post(link()), post(link(person="bob")), get(link(person="bob")))
    assert replayed.startswith("HTTP/1.1 409 ")
    assert "acknowledged already, by ann; nothing was changed" in replayed
    assert by_another.startswith("HTTP/1.1 409 ")
    assert "ann has acknowledged" in looked
    assert "<form" not in looked


@pytest.mark.parametrize(
    ("path", "status", "said"),
    [
        (link(ago_ms=VALID_MS + 3_600_000), 410, "too old"),
        (token(b"x" * 32, PAGE.id, "ann", "sms", SystemClock().now_ms()), 404, "not one of ours"),
        (link(person="cyd"), 404, "not in the estate any more"),
        (link()[:-1] + ("A" if link()[-1] != "A" else "B"), 404, "not one of ours"),
        ("", 404, "not one of ours"),
        ("../../etc/passwd", 404, "not one of ours"),
    ],
)
@pytest.mark.parametrize("method", [get, post])
def test_a_link_that_is_not_good_says_why_and_does_nothing(
    pager: Pager, method: Callable[[str], bytes], path: str, status: int, said: str
) -> None:
    (answer,) = asked(pager, method(path))
    assert answer.startswith(f"HTTP/1.1 {status} ")
    assert said in answer
    assert stage(pager) is Stage.UNHEARD


def test_a_page_that_this_lookout_has_not_heard_of_can_be_acknowledged_and_is_when_it_comes(pager: Pager) -> None:
    other = msgspec.structs.replace(PAGE, cause="other")
    (shown, pressed) = asked(pager, get(link(other.id)), post(link(other.id)))
    assert "has not heard of that page" in shown
    assert "ann has it" in pressed
    pager.want(other)
    assert pager.state.pages[other.id].stage is Stage.ACKNOWLEDGED
    assert stage(pager) is Stage.UNHEARD


def test_nothing_that_is_shown_is_markup(pager: Pager) -> None:
    pager.want(EVIL)
    (shown,) = asked(pager, get(link(EVIL.id)))
    assert "<script" not in shown
    assert "<b>" not in shown
    assert markup.escape(EVIL.what) in shown
    assert "Content-Security-Policy: default-src 'none'" in shown


@pytest.mark.parametrize(
    "raw",
    [
        b"GET / HTTP/2\r\n\r\n",
        b"DELETE /a HTTP/1.1\r\n\r\n",
        b"GET  /a HTTP/1.1\r\n\r\n",
        b"GET /a b HTTP/1.1\r\n\r\n",
        b"\x16\x03\x01\x02\x00\r\n\r\n",
        b"\r\n\r\n",
        b"GET /a HTTP/1.1\r\n: x\r\n\r\n",
        b"GET /a HTTP/1.1\r\nA b: x\r\n\r\n",
        b"GET /" + b"a" * 2_000 + b" HTTP/1.1\r\n\r\n",
        b"GET /a HTTP/1.1\r\nA: " + b"a" * 9_000 + b"\r\n\r\n",
        b"POST /a HTTP/1.1\r\nContent-Length: 5000\r\n\r\n",
        b"POST /a HTTP/1.1\r\nContent-Length: -1\r\n\r\n",
        b"POST /a HTTP/1.1\r\nContent-Length: 1\r\nContent-Length: 2\r\n\r\nxx",
        b"POST /a HTTP/1.1\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n",
    ],
)
def test_what_no_browser_sends_is_refused(pager: Pager, raw: bytes) -> None:
    (answer,) = asked(pager, raw)
    assert answer == "" or answer.startswith("HTTP/1.1 400 ")


def test_endless_input_is_refused(pager: Pager) -> None:
    answers = asked(pager, b"GET /a HTTP/1.1\r\n" + b"A: b\r\n" * 200_000, b"x" * 2_000_000)
    assert all(answer == "" or answer.startswith("HTTP/1.1 400 ") for answer in answers)
    (good,) = asked(pager, get(link()))
    assert good.startswith("HTTP/1.1 200 OK")


def test_who_hangs_up_or_never_ends_holds_nothing(pager: Pager, monkeypatch: pytest.MonkeyPatch) -> None:
    assert asked(pager, b"GET /a", hang_up=True) == [""]
    monkeypatch.setattr(ack, "ASKED_WITHIN_S", 0.2)
    (slow,) = asked(pager, b"GET /a HTTP/1.1\r\n")
    assert slow.startswith("HTTP/1.1 408 ")


def test_so_many_at_once_and_no_more(pager: Pager) -> None:
    async def crowd() -> bytes:
        server = await listen(AckServer(PEOPLE, pager, KEY, UTC, SystemClock()), "127.0.0.1", 0)
        port = server.sockets[0].getsockname()[1]
        idle = [await asyncio.open_connection("127.0.0.1", port) for _ in range(ack.AT_ONCE)]
        await _until(lambda: asyncio.sleep(0.01), lambda: len(asyncio.all_tasks()) > ack.AT_ONCE)
        reader, writer = await asyncio.open_connection("127.0.0.1", port)
        writer.write(get(link()))
        answer = await asyncio.wait_for(reader.read(), 5)
        for _, one in [*idle, (reader, writer)]:
            one.close()
        server.close()
        return answer

    assert asyncio.run(crowd()).startswith(b"HTTP/1.1 503 ")


async def _until(wait: Callable[[], Awaitable[None]], holds: Callable[[], bool]) -> None:
    for _ in range(500):
        if holds():
            return
        await wait()


def test_the_key_is_a_file_that_others_cannot_read(tmp_path: Path) -> None:
    path = tmp_path / "ack.key"
    path.write_bytes(b"k" * 32 + b"\n")
    path.chmod(0o600)
    assert read_key(path) == b"k" * 32
    path.chmod(0o640)
    with pytest.raises(ValueError, match="others may read it"):
        read_key(path)
    path.chmod(0o600)
    path.write_bytes(b"short")
    with pytest.raises(ValueError, match="at least 32 bytes"):
        read_key(path)
