"""What can happen to a page at one lookout: its stages, the notes of which they are the sum, what lookouts tell others.

core/paging.py has the theory and draws the table of transitions; the outbox keeps the notes in the order in which they
were taken.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from contextlib import suppress
from enum import StrEnum

import msgspec

from binome.core.page import Page


class Sent(StrEnum):
    """What came of one attempt to send."""

    ACCEPTED = "accepted"
    REFUSED = "refused"  # not sent, and the same again will be refused again
    LATER = "later"  # not sent, and may well be accepted later
    UNKNOWN = "unknown"  # perhaps sent


class Stage(StrEnum):
    """How far a page is."""

    UNHEARD = "unheard"  # no sender has accepted it yet
    UNTOLD = "untold"  # the same, and nobody is asked for anything
    UNANSWERED = "unanswered"  # accepted, and nobody has acknowledged
    TOLD = "told"
    ACKNOWLEDGED = "acknowledged"
    EXHAUSTED = "exhausted"  # everybody was asked as often as it is done, and nobody has acknowledged


class Happening(StrEnum):
    """What moves a page from one stage to another."""

    ACCEPTED = "accepted"
    ACKNOWLEDGED = "acknowledged"
    OVER = "over"
    SPENT = "spent"


TRANSITIONS: Mapping[tuple[Stage, Happening], Stage] = {
    (Stage.UNHEARD, Happening.ACCEPTED): Stage.UNANSWERED,
    (Stage.UNHEARD, Happening.OVER): Stage.UNTOLD,
    (Stage.UNTOLD, Happening.ACCEPTED): Stage.TOLD,
    (Stage.UNTOLD, Happening.SPENT): Stage.EXHAUSTED,
    (Stage.UNANSWERED, Happening.OVER): Stage.TOLD,
    (Stage.UNANSWERED, Happening.SPENT): Stage.EXHAUSTED,
    **{
        (stage, Happening.ACKNOWLEDGED): Stage.ACKNOWLEDGED
        for stage in (Stage.UNHEARD, Stage.UNTOLD, Stage.UNANSWERED, Stage.TOLD, Stage.EXHAUSTED)
    },
}
"""What is not in the table changes nothing."""
ASKING = (Stage.UNHEARD, Stage.UNANSWERED)
OPEN = (*ASKING, Stage.UNTOLD)


# -- notes


class Note(msgspec.Struct, frozen=True, tag_field="kind", forbid_unknown_fields=False):
    """Something that happened to this lookout's pages; `at_ms` is by its own paging time."""

    at_ms: int


class Began(Note, frozen=True, tag="began"):
    """This lookout pages since then, and so knows which routes were proven since."""

    since_ms: int


class Wanted(Note, frozen=True, tag="wanted"):
    """Somebody is to be paged, in this order; this lookout is late by `wait_ms`."""

    page: Page
    order: tuple[str, ...]
    wait_ms: int


class Begun(Note, frozen=True, tag="begun"):
    """An attempt, written down before it is made. `pages` are the pages in the message, each with its round."""

    attempt: str
    message: str
    person: str
    via: str
    address: str
    pages: tuple[tuple[str, int], ...]


class Ended(Note, frozen=True, tag="ended"):
    """What came of an attempt. `said` is what the sender said, one line."""

    attempt: str
    outcome: Sent
    said: str


class Receipt(msgspec.Struct, frozen=True, tag_field="kind", tag="receipt"):
    """What one lookout tells the others of a message that a sender accepted."""

    lookout: str
    message: str
    person: str
    via: str
    address: str
    pages: tuple[tuple[str, int], ...]


class Heard(Note, frozen=True, tag="heard"):
    """Another lookout's receipt."""

    receipt: Receipt


class Acknowledgement(msgspec.Struct, frozen=True, tag_field="kind", tag="acknowledgement"):
    """A person's word that somebody is on it: by a link of a message, or by a command. Lookouts tell each other.

    `reference` is the beginning of the identity of a page or of a digest; `via` is the sender by which the link came.
    """

    reference: str
    who: str
    via: str = ""


class Acknowledged(Note, frozen=True, tag="acknowledged"):
    """An acknowledgement, given here or heard."""

    acknowledgement: Acknowledgement


class Over(Note, frozen=True, tag="over"):
    """An episode is over: its pages ask for nothing any more."""

    cause: str
    episode: str


class Spent(Note, frozen=True, tag="spent"):
    """Everybody was asked for a page as often as it is done."""

    page: str


AnyNote = Began | Wanted | Begun | Ended | Heard | Acknowledged | Over | Spent
Told = Receipt | Acknowledgement
"""What lookouts tell each other."""


def encoded(told: Sequence[Told]) -> bytes:
    """What is told, as it goes over the wire: a JSON list."""
    return msgspec.json.encode(told)


def frames(told: Sequence[Told], most_bytes: int) -> Iterator[bytes]:
    """What is told, in as few lists as hold it, each of at most so many bytes; in its order.

    What alone is longer (the receipt of a digest of thousands of pages) is not told: then it may be sent twice.
    """
    begun: list[bytes] = []
    length = 2
    for one in told:
        raw = msgspec.json.encode(one)
        if len(raw) + 2 > most_bytes:
            continue
        if begun and length + len(raw) + 1 > most_bytes:
            yield b"[" + b",".join(begun) + b"]"
            begun, length = [], 2
        begun.append(raw)
        length += len(raw) + 1
    if begun:
        yield b"[" + b",".join(begun) + b"]"


def decoded(raw: bytes) -> tuple[Told, ...]:
    """What another lookout tells; what this version does not know is passed over.

    Raises ValueError for what is no list.
    """
    told: list[Told] = []
    for one in msgspec.json.decode(raw, type=list[msgspec.Raw]):
        with suppress(msgspec.MsgspecError):
            told.append(msgspec.json.decode(one, type=Told))
    return tuple(told)
