"""Pages: what one is, what makes two of them the same, and how it fits into one text message.

A page says four things: what happened, since when, what Binôme does about it, what is asked of you; and it carries the
link behind which it is acknowledged. Its *identity* is that of its cause, its episode and its stage, never its text:
two lookouts may count differently and speak of the same thing, and two fires may be told in the same words.

A text message has room for 160 characters of the GSM alphabet (3GPP TS 23.038, section 6.2.1: those of the extension
count twice), or for 70 UTF-16 units as soon as one character is in neither. So characters that the alphabet lacks are
written with those that it has, where nothing is lost by it; and what does not fit is cut from the least important part
first: details, then what is done, then the request, then what happened. Where the request is a command to be typed as
it stands (`exact`), half of it is worth nothing: then what happened is cut before it. The link is never cut. Where a
few characters that nothing can replace would halve the room, they become question marks; a text that consists of them
is short instead. A text is always one line of characters that can be seen: whatever names and notes bring along, no
header, no line and no other direction of writing begins in it.
"""

from __future__ import annotations

import unicodedata
from collections.abc import Sequence
from datetime import tzinfo
from enum import StrEnum
from hashlib import sha256
from typing import NamedTuple

import msgspec

from binome.core.oncall import clock

GSM_ROOM = 160
UCS2_ROOM = 70
MOST_TEXT = 2_000
"""Characters of one part that are looked at; a mail shows as many."""

_BASIC = (
    "@£$¥èéùìòÇ\nØø\rÅåΔ_ΦΓΛΩΠΨΣΘΞÆæßÉ !\"#¤%&'()*+,-./0123456789:;<=>?¡ABCDEFGHIJKLMNOPQRSTUVWXYZÄÖÑÜ§¿"
    "abcdefghijklmnopqrstuvwxyzäöñüà"
)
_EXTENSION = "^{}\\[~]|€"
_COST = {**dict.fromkeys(_BASIC, 1), **dict.fromkeys(_EXTENSION, 2)}
_WRITTEN = str.maketrans(
    {
        "‘": "'", "’": "'", "‚": "'", "“": '"', "”": '"', "„": '"', "«": '"', "»": '"', "‹": "'", "›": "'",
        "–": "-", "—": "-", "‐": "-", "‑": "-", "−": "-", "…": "...", "×": "x", "·": ",", "•": "-", "→": "->",
        "≤": "<=", "≥": ">=", "≠": "!=", "œ": "oe", "Œ": "OE", "`": "'", "´": "'", "°": " deg", "µ": "u", "±": "+/-",
        "ł": "l", "Ł": "L", "đ": "d", "Đ": "D", "ı": "i",
    }
)  # fmt: skip


class Severity(StrEnum):
    """How much a page wants of a person."""

    CRITICAL = "critical"  # somebody must act now: it escalates until it is acknowledged
    WARNING = "warning"  # somebody must know now: it escalates too, and may be seen to by day
    INFO = "info"  # it is told once, and asks for nothing


class Page(msgspec.Struct, frozen=True, kw_only=True):
    """One thing that a person is told.

    `cause`, `episode` and `stage` are its identity. `name` stands in front of it: the estate, and the incident's number
    where it has one. `since_ms` is since 1970; `exact` says that `asked` is of use only whole. `to` and `via`, where
    given, are the one person and the one sender that it is for, as in a proof of a route.
    """

    cause: str
    episode: str
    stage: str
    severity: Severity
    name: str
    what: str
    since_ms: int
    doing: str = ""
    asked: str = ""
    exact: bool = False
    detail: str = ""
    to: str = ""
    via: str = ""

    @property
    def id(self) -> str:
        """The identity, as 16 hexadecimal digits: the same at every lookout, in every process, for ever."""
        return identity(self.cause, self.episode, self.stage)


def identity(*parts: str) -> str:
    """A name of 16 hexadecimal digits for a tuple of texts, which no other tuple has."""
    return sha256(msgspec.json.encode(parts)).hexdigest()[:16]


class Text(NamedTuple):
    """A page in words: one text message, the subject of a mail, and its body."""

    sms: str
    subject: str
    body: str


def text_of(pages: Sequence[Page], zone: tzinfo, link: str) -> Text:
    """What a person is sent: one page, or several in a digest; at least one. `link` may be empty.

    Raises ValueError for a link with characters that a text message cannot carry, or too long for one.
    """
    if not all("!" <= character <= "~" for character in link):
        raise ValueError("a link is of printable ASCII, without spaces")
    if room_of(_ending(link)) > UCS2_ROOM - 8:
        raise ValueError(f"a link of {len(link)} characters leaves no room for a page beside it")
    ordered = sorted(pages, key=lambda page: _RANK[page.severity])
    sms = _sms(ordered[0], zone, link) if len(ordered) == 1 else _digest(ordered, link)
    return Text(sms, _subject(ordered), _body(ordered, zone, link))


def one_line(text: str) -> str:
    """A text as one line of characters that can be seen; what cannot be is a space, and several spaces are one."""
    seen = "".join(
        character if character.isprintable() or unicodedata.category(character) == "Zs" else " "
        for character in text[:MOST_TEXT]
    )
    return " ".join(seen.split())


def written(text: str) -> str:
    """A text in the GSM alphabet, as far as that loses nothing but accents and the shape of quotes."""
    return "".join(_in_alphabet(character) for character in text)


def room_of(text: str) -> int:
    """How much of GSM_ROOM a text takes, or, where it has a character that the alphabet lacks, of UCS2_ROOM."""
    if is_gsm(text):
        return sum(_COST[character] for character in text)
    return len(text.encode("utf-16-le", "surrogatepass")) // 2


def is_gsm(text: str) -> bool:
    """Whether every character is in the GSM alphabet or its extension."""
    return all(character in _COST for character in text)


def fits(text: str) -> bool:
    """Whether a text is one text message."""
    return room_of(text) <= (GSM_ROOM if is_gsm(text) else UCS2_ROOM)


_RANK = {Severity.CRITICAL: 0, Severity.WARNING: 1, Severity.INFO: 2}


def _in_alphabet(character: str) -> str:
    if character in _COST:
        return character
    replaced = character.translate(_WRITTEN)
    if replaced != character:
        return replaced
    bare = "".join(one for one in unicodedata.normalize("NFKD", character) if not unicodedata.combining(one))
    return bare if bare and is_gsm(bare) else character


def _ending(link: str) -> str:
    return f" Ack: {link}" if link else ""


def _sms(page: Page, zone: tzinfo, link: str) -> str:
    head = f"[{_part(page.name)}]"
    since = f"since {clock(page.since_ms, zone):%H:%M}"
    what, doing, asked, detail = (_part(part) for part in (page.what, page.doing, page.asked, page.detail))
    parts = [what, doing, asked, detail]
    order = (3, 1, 0, 2) if page.exact else (3, 1, 2, 0)
    whole = f"{head} {_sentences(what, since, doing, asked, detail)}{_ending(link)}"
    if not fits(whole) and _strange(what) * 4 <= len(what):
        head, parts = _plain(head), [_plain(part) for part in parts]
    while True:
        text = f"{head} {_sentences(parts[0], since, parts[1], parts[2], parts[3])}{_ending(link)}"
        over = _over(text)
        if over <= 0:
            return text
        shortened = next((index for index in order if parts[index]), None)
        if shortened is None:
            return _last_resort(head, since, link)
        parts[shortened] = _cut(parts[shortened], over)


def _sentences(what: str, since: str, doing: str, asked: str, detail: str) -> str:
    detail = f" ({detail})" if detail else ""
    told = [f"{what} {since}{detail}".strip(), doing, asked]
    return " ".join(part if part[-1] in ".!?" else f"{part}." for part in told if part)


def _last_resort(head: str, since: str, link: str) -> str:
    """A name that leaves no room beside the link is cut after all; what happened stands behind the link."""
    over = _over(f"{head} {since}.{_ending(link)}")
    return f"{_cut(head[:-1], over + 1)}] {since}.{_ending(link)}" if over > 0 else f"{head} {since}.{_ending(link)}"


def _digest(pages: Sequence[Page], link: str) -> str:
    """Several pages in one text message: as many as it has room for by what happened, all of them by their number."""
    head = f"[{_plain(_part(pages[0].name.split(' ')[0]))[:60]}] {len(pages)} pages:"
    for named in range(len(pages), 0, -1):
        rest = len(pages) - named
        more = f"; {rest} more in binome incidents" if rest else ""
        whats = "; ".join(_plain(_part(page.what)) for page in pages[:named])
        text = f"{head} {whats}{more}.{_ending(link)}"
        if _over(text) <= 0:
            return text
    text = f"{head} {{}}; {len(pages) - 1} more.{_ending(link)}"
    first = _plain(_part(pages[0].what))
    over = _over(text.format(first))
    shown = text.format(_cut(first, over)) if over > 0 else text.format(first)
    return shown if _over(shown) <= 0 else f"{len(pages)} pages.{_ending(link)}"


def _over(text: str) -> int:
    """By how much a text is too long for one message; 0 or less where it fits."""
    return room_of(text) - (GSM_ROOM if is_gsm(text) else UCS2_ROOM)


def _part(text: str) -> str:
    return written(one_line(text))


def _strange(text: str) -> int:
    """How many characters the alphabet lacks."""
    return sum(character not in _COST for character in text)


def _plain(text: str) -> str:
    """A text with a question mark for what the alphabet lacks: a few such characters would cost half of the room."""
    return "".join(character if character in _COST else "?" for character in text)


def _cut(text: str, over: int) -> str:
    """A text without its last words, shorter by at least `over`, with two dots in their place; or nothing."""
    kept, lost = text, 0
    while kept and lost < over + 2:
        lost += room_of(kept[-1])
        kept = kept[:-1]
    at_word = kept.rstrip().rpartition(" ")[0] if " " in kept and len(kept) > 12 else kept
    kept = (at_word if len(at_word) * 2 > len(kept) else kept).rstrip(" .,;:(")
    return f"{kept}.." if len(kept) > 2 else ""


def _subject(pages: Sequence[Page]) -> str:
    more = f" and {len(pages) - 1} more" if len(pages) > 1 else ""
    first = pages[0]
    return f"[{one_line(first.name)[:60]}] {first.severity.value}: {one_line(first.what)[:120]}{more}"


def _body(pages: Sequence[Page], zone: tzinfo, link: str) -> str:
    """The mail: each page whole, in lines of its own."""
    told = []
    for page in pages:
        since = clock(page.since_ms, zone)
        lines = [
            f"[{one_line(page.name)}] {one_line(page.what)}",
            f"since    {since:%Y-%m-%d %H:%M:%S} {one_line(since.tzname() or '')}",
            *(
                f"{name:<8} {one_line(said)}"
                for name, said in (("seen", page.detail), ("done", page.doing), ("asked", page.asked))
                if said
            ),
        ]
        told.append("\n".join(lines))
    if link:
        told.append(f"Acknowledge (a page with a button): {link}")
    return "\n\n".join(told) + "\n"
