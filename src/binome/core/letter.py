"""The letter: what is said of each product, from its intervals alone. Words around it are templates; these are not.

    a product has intervals                     when it could not be used, for how long in all
    a database that it needs was taken over     for about how long changes could not be saved
    neither, and everything was looked at       no outage was seen
    neither, and something could not be looked at   nobody knows

So nobody has to be trusted to write them: a template is given these sentences and may put anything around them, and a
letter in which the sentence about a product that was hit is missing is refused (`left_out`). So is one that says the
contrary beside them, in the ways in which that is usually said (`denials`).
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Sequence
from typing import NamedTuple


class Span(NamedTuple):
    """A time in which a product could not be used, as people read it; `until` is empty while it lasts."""

    since: str
    until: str


class Known(NamedTuple):
    """What is known of one product during an incident. Times in milliseconds."""

    product: str
    spans: tuple[Span, ...] = ()
    unavailable_ms: int = 0
    takeover_ms: int = 0  # for how long a database that it needs was on its way to its standby
    unsure: tuple[str, ...] = ()
    confirmed: bool = True


class Statement(NamedTuple):
    """What is said of a product; `hit`: a letter without it would not be true."""

    product: str
    text: str
    hit: bool


_WORDS = {
    "en": {
        "span": "from {since} to {until}",
        "open": "since {since}, and still",
        "hit": "{product} could not be used {spans}: {duration} in all.",
        "doubt": " Too few vantage points looked to confirm this.",
        "takeover": "{product}: for about {duration} changes could not be saved, "
        "while its database moved to its standby.",
        "unsure": "{product}: nobody knows yet whether it was hit; not all of it could be looked at.",
        "well": "{product}: no outage was seen.",
        "and": " and ",
    },
    "fr": {
        "span": "de {since} à {until}",
        "open": "depuis {since}, et encore maintenant",
        "hit": "{product} n'a pas pu être utilisé {spans} : {duration} au total.",
        "doubt": " Trop peu de points d'observation pour le confirmer.",
        "takeover": "{product} : pendant {duration} environ, rien n'a pu être enregistré, "
        "le temps que sa base de données passe à son double.",
        "unsure": "{product} : personne ne sait encore s'il a été touché ; tout n'a pas pu être observé.",
        "well": "{product} : aucune interruption n'a été constatée.",
        "and": " et ",
    },
}
LANGUAGES = tuple(_WORDS)
_DENIALS = re.compile(
    r"\b(?:no|not any|zero|without(?: any)?) (?:\w+ )?"
    r"(?:impacts?|outages?|interruptions?|downtime|disruptions?|effects?)\b"
    r"|\b(?:\w+n't|not|never|nobody|no one|no customers?|no products?)(?: \w+){0,2} "
    r"(?:affected|impacted|interrupted|hit)\b"
    r"|\bunaffected\b"
    r"|\b(?:aucune?|sans(?: aucune?)?) (?:\w+ )?"
    r"(?:impacts?|interruptions?|incidences?|conséquences?|effets?|coupures?|perturbations?)\b"
    r"|\b(?:pas|jamais|aucun client n'a|personne n'a)(?: \w+){0,2} "
    r"(?:affectée?s?|touchée?s?|impactée?s?|interrompue?s?)\b",
    re.IGNORECASE,
)
"""How people usually deny: no list is whole, and what it misses stands beside the statement that it denies."""


def statements(known: Iterable[Known], language: str) -> list[Statement]:
    """What is said of each product. Raises KeyError for a language that there is not."""
    return [_statement(one, _WORDS[language]) for one in known]


def left_out(letter: str, said: Sequence[Statement]) -> list[str]:
    """The products that were hit and whose sentence a letter does not have, whatever lines it is broken into."""
    flat = " ".join(letter.split())
    return [one.product for one in said if one.hit and " ".join(one.text.split()) not in flat]


def denials(letter: str, said: Sequence[Statement], quoted: Iterable[str] = ()) -> list[str]:
    """The words of a letter that deny what its statements say; none where no product was hit.

    What is `quoted` (lines of the log book) is not the template's word, and is passed over, as the statements are.
    """
    if not any(one.hit for one in said):
        return []
    flat = " ".join(letter.replace("\u2019", "'").split())
    for text in sorted((*(one.text for one in said), *quoted), key=len, reverse=True):
        plain = " ".join(text.replace("\u2019", "'").split())
        if plain:  # whole words only: what is left of a part of one could be a denial, or hide one
            flat = re.sub(rf"(?<![\w-]){re.escape(plain)}(?![\w-])", "", flat)
    return [found.group() for found in _DENIALS.finditer(flat)]


def duration(ms: int) -> str:
    """A duration in whole seconds, minutes or hours, never shorter than it was: `42 s`, `4 min`, `3 h 20 min`."""
    seconds = -(-ms // 1000)
    if seconds < 120:
        return f"{seconds} s"
    minutes = -(-seconds // 60)
    if minutes < 120:
        return f"{minutes} min"
    hours, left = divmod(minutes, 60)
    return f"{hours} h {left} min" if left else f"{hours} h"


def _statement(one: Known, words: dict[str, str]) -> Statement:
    told = []
    if one.spans:
        spans = words["and"].join(
            words["span" if span.until else "open"].format(since=span.since, until=span.until) for span in one.spans
        )
        told.append(words["hit"].format(product=one.product, spans=spans, duration=duration(one.unavailable_ms)))
        told.append("" if one.confirmed else words["doubt"].strip())
    if one.takeover_ms:
        told.append(words["takeover"].format(product=one.product, duration=duration(one.takeover_ms)))
    hit = bool(told)
    if not told:
        told.append(words["unsure" if one.unsure else "well"].format(product=one.product))
    return Statement(one.product, " ".join(filter(None, told)), hit or bool(one.unsure))
