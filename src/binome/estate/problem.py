"""What is wrong with an estate file: one record a mistake, with its place and its remedy."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from difflib import get_close_matches
from typing import NamedTuple


class Place(NamedTuple):
    """A position in the file; both numbers start at 1, and a column counts characters."""

    line: int
    column: int


@dataclass(frozen=True, slots=True, order=True)
class Problem:
    """One mistake: where it is, what was found, what was expected, what to do."""

    place: Place
    found: str
    expected: str
    remedy: str

    def as_json(self) -> dict[str, str | int]:
        """The record that `binome estate show --json` prints."""
        return {
            "line": self.place.line,
            "column": self.place.column,
            "found": self.found,
            "expected": self.expected,
            "remedy": self.remedy,
        }

    def __str__(self) -> str:
        return f"{self.place.line}:{self.place.column}: {self.found}; expected {self.expected}.  {self.remedy}"


class EstateError(Exception):
    """The estate file is refused. `problems` holds every mistake, in the order of the file."""

    def __init__(self, problems: Iterable[Problem]) -> None:
        self.problems = tuple(sorted(set(problems)))
        super().__init__("\n".join(map(str, self.problems)))


def shown(value: object, limit: int = 60) -> str:
    """A value as an error message may show it: one line of printable ASCII, never longer than `limit`."""
    text = value if isinstance(value, str) else repr(value)
    text = text.encode("unicode_escape").decode("ascii")
    return text if len(text) <= limit else text[: limit - 1] + "…"


def did_you_mean(word: str, known: Iterable[str], otherwise: str) -> str:
    """The remedy for a misspelt `word`: the nearest of the `known` words, else `otherwise`."""
    near = get_close_matches(word, list(known), n=1)
    return f"Did you mean {near[0]}?" if near else otherwise
