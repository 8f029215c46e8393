"""What is wrong with an estate file: one record a mistake, with its place and its remedy."""

from __future__ import annotations

import re
import unicodedata
from bisect import bisect_left
from collections.abc import Iterable, Iterator
from functools import lru_cache
from typing import NamedTuple

from binome.shown import shown

__all__ = ["EstateError", "Place", "Problem", "character_name", "did_you_mean", "shown"]


class Place(NamedTuple):
    """A position in the file; both numbers start at 1, and a column counts characters."""

    line: int
    column: int


class Problem(NamedTuple):
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
        super().__init__()
        self.problems = tuple(sorted(set(problems)))

    def __str__(self) -> str:
        return "\n".join(map(str, self.problems))


def character_name(character: str) -> str:
    """A character that cannot be told apart by looking at it: `U+0430 (cyrillic small letter a)`."""
    unnamed = "control character" if unicodedata.category(character) == "Cc" else "no character"
    name = "carriage return" if character == "\r" else unicodedata.name(character, unnamed).lower()
    return f"U+{ord(character):04X} ({name})"


def did_you_mean(word: str, known: Iterable[frozenset[str]], otherwise: str) -> str:
    """The remedy for a misspelt `word`: the nearest word of the `known` sets, else `otherwise`."""
    near = min(filter(None, (_Near.of(words).find(word) for words in known)), default=None)
    return f"Did you mean {near[1]}?" if near else otherwise


class _Near:
    """Finds a misspelt word among many thousands without comparing it with each.

    Two words are near when they are the same after at most one character is taken out of each (one wrong, missing,
    doubled, or two exchanged), or when one is the beginning of the other; case, `-` and `_` do not count. Made once
    for a set of words: a file may hold as many misspelt words as good ones, and their product would be hours.
    """

    def __init__(self, words: frozenset[str]) -> None:
        # A word that is itself refused is no help, and must not reach the screen as it is.
        self._words = {_bare(word): word for word in sorted(words, reverse=True) if _GOOD_WORD.fullmatch(word)}
        self._sorted = sorted(self._words)
        self._shortened = {short: bare for bare in reversed(self._sorted) for short in _shortened(bare)}

    @classmethod
    @lru_cache(maxsize=64)
    def of(cls, words: frozenset[str]) -> _Near:
        return cls(words)

    def find(self, word: str) -> tuple[int, str] | None:
        """The nearest word after its distance, or None."""
        bare = _bare(word[:100])
        found = [self._shortened[short] for short in _shortened(bare) if short in self._shortened]
        if not found:
            after = bisect_left(self._sorted, bare)
            around = self._sorted[max(0, after - 1) : after + 1]
            found = [near for near in around if near.startswith(bare) or bare.startswith(near)]
        return min(((abs(len(near) - len(bare)), self._words[near]) for near in found if len(bare) > 1), default=None)


_GOOD_WORD = re.compile(r"[a-z0-9][a-z0-9._-]*")


def _bare(word: str) -> str:
    return word.lower().replace("-", "").replace("_", "")


def _shortened(word: str) -> Iterator[str]:
    """The word, and the word without each of its characters in turn; a short word is too near to everything."""
    if len(word) <= 60:
        yield word
        yield from (word[:index] + word[index + 1 :] for index in range(len(word)) if len(word) > 2)
