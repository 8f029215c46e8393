"""Acknowledgement links: who was sent what, proven by a code that only the lookouts can make.

A link ends in a *token* of 27 characters: 6 bytes of the page's identity (its *reference*), 3 of the person and the
sender that it went to, 3 for the hour in which it expires, 8 of an HMAC-SHA-256 over these under the key that the
lookouts share. So any lookout can check any link, also one that never heard of the page; and whoever acknowledges by a
link has proven that the route it came by works. 64 bits of the code suffice where each guess is a question to a server
that answers some hundreds a second: at 1,000 guesses/s half of the space takes 290 million years.

A token is a bearer's: who has the message may acknowledge. It can do nothing else.
"""

from __future__ import annotations

import hmac
from base64 import urlsafe_b64decode, urlsafe_b64encode
from collections.abc import Mapping
from enum import StrEnum
from hashlib import sha256
from typing import Any, NamedTuple

from binome.core.page import identity
from binome.estate.model import People

KEY_BYTES = 32
"""The least length of the key."""
TOKEN_LENGTH = 27
VALID_MS = 7 * 86_400_000
"""How long a link may be used."""
REFERENCE_LENGTH = 12
"""So many hexadecimal digits of a page's identity stand for it."""

_HOUR_MS = 3_600_000
_CODE_BYTES = 8


class Refused(StrEnum):
    """Why a link acknowledges nothing."""

    FORGED = "this link is not one of ours"
    EXPIRED = "this link is too old"
    NOBODY = "this link was for somebody who is not in the estate any more"
    DONE = "it is acknowledged already"


class Ticket(NamedTuple):
    """What a good token says: of which page, to whom, by which sender, until when (since 1970)."""

    reference: str
    person: str
    via: str
    until_ms: int


def token(key: bytes, page: str, person: str, via: str, now_ms: int) -> str:
    """The token for a page (its identity, or that of a digest), a person and the sender by which it goes.

    Valid for VALID_MS, up to the full hour. Raises ValueError for a key that is too short.
    """
    hours = -(-(now_ms + VALID_MS) // _HOUR_MS)
    said = bytes.fromhex(page[:REFERENCE_LENGTH]) + _route(person, via) + hours.to_bytes(3, "big")
    return urlsafe_b64encode(said + _code(key, said)).decode().rstrip("=")


def ticket(key: bytes, text: str, people: People, now_ms: int) -> Ticket | Refused:
    """What a token says, for the people of the estate; or why it says nothing."""
    raw = _decoded(text)
    if raw is None or not hmac.compare_digest(_code(key, raw[:-_CODE_BYTES]), raw[-_CODE_BYTES:]):
        return Refused.FORGED
    until_ms = int.from_bytes(raw[9:12], "big") * _HOUR_MS
    if until_ms <= now_ms:
        return Refused.EXPIRED
    routes: Mapping[bytes, tuple[str, str]] = {
        _route(person, via): (person, via) for person in people.contacts for via in people.senders
    }
    to = routes.get(raw[6:9])
    return Ticket(raw[:6].hex(), *to, until_ms) if to else Refused.NOBODY


def _decoded(text: str) -> bytes | None:
    if len(text) != TOKEN_LENGTH or not text.isascii():
        return None
    try:
        raw = urlsafe_b64decode(f"{text}=")
    except ValueError:
        return None
    whole = len(raw) == 20 and urlsafe_b64encode(raw).decode().rstrip("=") == text  # one token has one spelling
    return raw if whole else None


def _route(person: str, via: str) -> bytes:
    return bytes.fromhex(identity("route", person, via)[:6])


def _code(key: bytes, said: bytes) -> bytes:
    if len(key) < KEY_BYTES:
        raise ValueError(f"the key of the links has {len(key)} bytes, and {KEY_BYTES} are the least")
    code: Any = hmac.new(key, b"binome acknowledgement 1\0" + said, sha256)
    return bytes(code.digest()[:_CODE_BYTES])
