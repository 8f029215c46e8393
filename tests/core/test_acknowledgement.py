"""Links: what is signed is what is read; everything else is refused, with its reason."""

from __future__ import annotations

from base64 import urlsafe_b64decode, urlsafe_b64encode

import pytest
from hypothesis import given
from hypothesis import strategies as st

from binome.core.acknowledgement import TOKEN_LENGTH, VALID_MS, Refused, Ticket, ticket, token
from binome.estate import load

KEY = b"k" * 32
PAGE = "00112233445566ff"
NOW_MS = 1_764_000_000_000
PEOPLE = load(b"people: {contacts: {ann: {}, bob: {}}, senders: {sms: {kind: sms-http}, mail: {kind: smtp}}}").people
GOOD = token(KEY, PAGE, "ann", "sms", NOW_MS)


def test_a_token_says_of_which_page_to_whom_and_by_which_way() -> None:
    assert len(GOOD) == TOKEN_LENGTH
    read = ticket(KEY, GOOD, PEOPLE, NOW_MS)
    assert isinstance(read, Ticket)
    assert (read.reference, read.person, read.via) == (PAGE[:12], "ann", "sms")
    assert NOW_MS + VALID_MS <= read.until_ms < NOW_MS + VALID_MS + 3_600_000
    assert ticket(KEY, token(KEY, PAGE, "bob", "mail", NOW_MS), PEOPLE, NOW_MS) != read


def test_it_expires() -> None:
    assert isinstance(ticket(KEY, GOOD, PEOPLE, NOW_MS + VALID_MS - 1), Ticket)
    assert ticket(KEY, GOOD, PEOPLE, NOW_MS + VALID_MS + 3_600_000) is Refused.EXPIRED


def test_it_is_of_one_key_and_of_people_of_the_estate() -> None:
    assert ticket(b"x" * 32, GOOD, PEOPLE, NOW_MS) is Refused.FORGED
    assert ticket(KEY, token(KEY, PAGE, "cyd", "sms", NOW_MS), PEOPLE, NOW_MS) is Refused.NOBODY
    with pytest.raises(ValueError, match="32 are the least"):
        token(b"k" * 31, PAGE, "ann", "sms", NOW_MS)


def test_no_bit_of_it_can_be_another() -> None:
    raw = bytearray(urlsafe_b64decode(GOOD + "="))
    for place in range(len(raw) * 8):
        changed = bytearray(raw)
        changed[place // 8] ^= 1 << place % 8
        text = urlsafe_b64encode(bytes(changed)).decode().rstrip("=")
        assert ticket(KEY, text, PEOPLE, NOW_MS) is Refused.FORGED


def test_a_token_has_one_spelling() -> None:
    alphabet = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_+/="
    good = [last for last in alphabet if isinstance(ticket(KEY, GOOD[:-1] + last, PEOPLE, NOW_MS), Ticket)]
    assert good == [GOOD[-1]]


@given(st.text(max_size=40) | st.text("abcdefXYZ019-_", min_size=27, max_size=27))
def test_any_other_text_is_refused(text: str) -> None:
    assert text == GOOD or ticket(KEY, text, PEOPLE, NOW_MS) is Refused.FORGED
