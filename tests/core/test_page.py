"""A page fits one text message whatever it says; its link is whole; nothing in it begins a line or a header."""

from __future__ import annotations

import unicodedata
from zoneinfo import ZoneInfo

import msgspec
import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from binome.core.page import Page, Severity, fits, identity, is_gsm, one_line, room_of, text_of, written

PARIS = ZoneInfo("Europe/Paris")
LINK = "https://watch.example/a/" + "k3J9_-" * 4 + "abc"
NIGHT = Page(
    cause="site/strasbourg",
    episode="1",
    stage="opened",
    severity=Severity.CRITICAL,
    name="littoral 14",
    what="Site strasbourg lost",
    since_ms=1_770_000_000_000,
    detail="12/12 silent, 2 vantages",
    doing="database took over in 1 s, customers ok. Alone now: database, edge",
    asked="Nothing urgent",
)


def test_what_when_what_is_done_and_what_is_asked() -> None:
    assert text_of([NIGHT], PARIS, "").sms == (
        "[littoral 14] Site strasbourg lost since 03:40 (12/12 silent, 2 vantages). database took over in 1 s, "
        "customers ok. Alone now: database, edge. Nothing urgent."
    )


def test_what_does_not_fit_is_cut_from_the_least_important_and_the_link_is_whole() -> None:
    text = text_of([NIGHT], PARIS, LINK).sms
    assert (
        text
        == f"[littoral 14] Site strasbourg lost since 03:40. database took over in 1 s.. Nothing urgent. Ack: {LINK}"
    )
    assert fits(text)


@pytest.mark.parametrize(
    ("text", "room"),
    [("a" * 160, 160), ("€", 2), ("[ok]", 6), ("à", 1), ("ê", 1), ("火", 1), ("👋", 2), ("ok 火", 4), ("~|^{}\\", 12)],
)
def test_room_is_counted_as_the_network_counts(text: str, room: int) -> None:
    assert room_of(text) == room


def test_the_limit_is_exact() -> None:
    assert fits("a" * 160)
    assert not fits("a" * 161)
    assert fits("€" * 80)
    assert not fits("€" * 81)
    assert fits("火" * 70)
    assert not fits("火" * 71)
    assert fits("👋" * 35)
    assert not fits("👋" * 36)


def test_what_costs_nothing_is_written_otherwise() -> None:
    assert written("“tête” — 3 × 4… cœur ‘naïve’ Łódź") == "\"tete\" - 3 x 4... coeur 'naive' Lodz"
    assert written("à é è ù ò ñ ö ü ß Ç €") == "à é è ù ò ñ ö ü ß Ç €"  # the alphabet has these


def test_a_few_characters_that_nothing_replaces_do_not_halve_the_room() -> None:
    text = text_of([msgspec.structs.replace(NIGHT, what="Site 斯 of strasbourg is lost")], PARIS, LINK).sms
    assert "Site ? of strasbourg" in text
    short = Page(cause="a", episode="1", stage="b", severity=Severity.INFO, name="x", what="火", since_ms=0)
    assert "火" in text_of([short], PARIS, "").sms


def test_several_pages_are_one_digest_that_counts_those_it_has_no_room_for() -> None:
    pages = [msgspec.structs.replace(NIGHT, episode=str(one), what=f"Server sbg-{one} lost") for one in range(40)]
    worst = msgspec.structs.replace(NIGHT, what="Database lost")
    infos = [msgspec.structs.replace(page, severity=Severity.INFO) for page in pages]
    text = text_of([*infos, worst], PARIS, LINK)
    assert fits(text.sms)
    assert text.sms.startswith("[littoral] 41 pages: Database lost; Server sbg-0 lost; ")
    named = text.sms.count("lost")
    assert f"; {41 - named} more in binome incidents" in text.sms
    assert text.sms.endswith(f"Ack: {LINK}")
    assert all(f"sbg-{one} lost" in text.body for one in range(40))


@pytest.mark.parametrize(
    "link", ["https://watch.example/" + "a" * 60, "https://watch.example/a b", "http://x/é", "a\nb"]
)
def test_a_link_that_cannot_be_carried_is_refused(link: str) -> None:
    with pytest.raises(ValueError, match="a link"):
        text_of([NIGHT], PARIS, link)


anything = st.text(st.characters(), max_size=300)


@given(anything, anything, anything, anything, anything, st.sampled_from(["", LINK]), st.integers(1, 5))
@example("火" * 300, "火" * 200, "", "", "", LINK, 1)
@example("x\r\nBcc: all@example.org", "a\u2028b\u202e", "\x00", "\ud800", "é" * 200, LINK, 2)
def test_any_words_fit_one_message_of_one_visible_line(  # noqa: PLR0917
    name: str, what: str, doing: str, asked: str, detail: str, link: str, count: int
) -> None:
    page = Page(
        cause="a", episode="1", stage="b", severity=Severity.WARNING, name=name, what=what, since_ms=0,
        doing=doing, asked=asked, detail=detail,
    )  # fmt: skip
    text = text_of([page] * count, PARIS, link)
    assert fits(text.sms)
    assert not link or text.sms.endswith(f" Ack: {link}")
    for line in (text.sms, text.subject, *text.body.split("\n")):
        assert all(one.isprintable() for one in line), line
        assert not any(unicodedata.category(one) in ("Cc", "Cf", "Cs", "Zl", "Zp") for one in line)


@given(st.text())
def test_what_is_written_otherwise_costs_no_more_room_than_the_other_alphabet(text: str) -> None:
    line = one_line(text)
    if is_gsm(written(line)):
        assert not any(unicodedata.combining(one) for one in written(line))
    assert one_line(line) == line


def test_identity_is_of_cause_episode_and_stage_alone() -> None:
    assert msgspec.structs.replace(NIGHT, what="11 of 12 silent", severity=Severity.INFO, name="x").id == NIGHT.id
    others = [{"cause": "site/paris"}, {"episode": "2"}, {"stage": "grown"}]
    assert len({msgspec.structs.replace(NIGHT, **change).id for change in others} | {NIGHT.id}) == 4
    assert identity("a", "bc") != identity("ab", "c")
    assert NIGHT.id == "c2e0f79d77205d49"
