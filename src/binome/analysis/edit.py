"""Remedies as lines to change: the file's own line, then the line as it should be.

An estate keeps the text that it was read from. `put` finds a key in it and writes another value there, or adds the
key to its record, in the style that the record is written in. Where the text has a form that it does not know (a
list over several lines, an estate that came from no file) there is no change, and the words of the remedy stand alone.
"""

from __future__ import annotations

import re
from dataclasses import dataclass

from binome.estate import Estate


@dataclass(frozen=True, slots=True)
class Change:
    """Line `line` of the file, `now`, becomes the lines `then`."""

    line: int
    now: str
    then: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class Remedy:
    """What to do, in words; and as lines where they can be written."""

    words: str
    changes: tuple[Change, ...] = ()

    def __str__(self) -> str:
        lines = [f"line {change.line}: {' / '.join(map(str.strip, change.then))}" for change in self.changes]
        return "  ".join([self.words, *lines])


def put(estate: Estate, path: tuple[str, ...], value: str, words: str) -> Remedy:
    """The remedy that sets the key at `path` (`("services", "database", "on")`) to `value`, written as in the file."""
    place, record = estate.place(*path), estate.place(*path[:-1])
    key = path[-1]
    if place != record:
        change = _replaced(estate.line(place.line), place.line, place.column, key, value)
    else:
        change = _added(estate, record.line, path[-2], key, value)
    return Remedy(words, (change,) if change else ())


def _replaced(line: str, number: int, column: int, key: str, value: str) -> Change | None:
    before, rest = line[: column - 1], line[column - 1 :]
    found = re.match(
        rf'({re.escape(key)}: *)(\[[^\]]*\]|\{{[^}}]*\}}|"[^"]*"|[^\s,\[{{}}#][^,}}#]*?)(\s*(?:[,}}#].*)?)$', rest
    )
    if found is None:
        return None
    after = found[3]
    if after.lstrip().startswith("#"):  # keeps the comment in its column
        room = len(found[2]) + len(after) - len(after.lstrip()) - len(value)
        after = " " * max(2, room) + after.lstrip()
    return Change(number, line, (before + found[1] + value + after,))


def _added(estate: Estate, number: int, name: str, key: str, value: str) -> Change | None:
    line = estate.line(number)
    opened = re.match(rf"\s*{re.escape(name)}: *", line)
    if opened is None:
        return None
    rest = line[opened.end() :]
    if not rest or rest.startswith("#"):  # a record in lines of its own
        following = estate.line(number + 1)
        indent = " " * (len(following) - len(following.lstrip()))
        return Change(number, line, (line, f"{indent}{key}: {value}"))
    code = re.sub(r"\s+#.*$", "", line)
    if not rest.startswith("{") or not code.endswith("}") or code.count("{") != code.count("}"):
        return None
    inner = code[:-1].rstrip()
    comma = "" if inner.endswith("{") else ", "
    return Change(number, line, (f"{inner}{comma}{key}: {value}}}{line[len(code) :]}",))


def as_list(names: list[str]) -> str:
    """Names as a list of the file: `[sbg-db, gra-db]`."""
    return f"[{', '.join(names)}]"
