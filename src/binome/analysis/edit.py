"""Remedies as lines to change: the file's own line, then the line as it should be.

An estate keeps the text that it was read from. `put` finds a key in it and writes another value there, or adds the
key to its record, in the style that the record is written in. Where the text has a form that it does not know (a
list over several lines, an estate that came from no file) there is no change, and the words of the remedy stand alone.
"""

from __future__ import annotations

import re
from dataclasses import dataclass

from binome.estate import Estate, Place


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
    if place == record:
        change = _added(estate, record.line, path[-2], path[-1], value)
    else:
        change = _replaced(estate.line(place.line), place, value)
    return Remedy(words, (change,) if change else ())


def grown(estate: Estate, path: tuple[str, ...], entry: str, words: str) -> Remedy:
    """The remedy that adds an entry (`beta: {url: …}`) to the record at `path`."""
    place = estate.place(*path)
    line = estate.line(place.line)
    start, end = _value(line, place.column - 1)
    if end is None:
        return Remedy(words)
    if start < end:
        old = line[start:end]
        change = _replaced(line, place, f"{old[:-1]}, {entry}}}") if old.endswith("}") else None
    else:
        change = _added(estate, place.line, path[-1], *entry.split(": ", 1))
    return Remedy(words, (change,) if change else ())


def _replaced(line: str, place: Place, value: str) -> Change | None:
    start, end = _value(line, place.column - 1)
    if end is None or start == end:
        return None
    after = line[end:]
    if after.lstrip().startswith("#"):  # keeps the comment in its column
        room = end - start + len(after) - len(after.lstrip()) - len(value)
        after = " " * max(2, room) + after.lstrip()
    return Change(place.line, line, (line[:start] + value + after,))


def _value(line: str, key: int) -> tuple[int, int | None]:
    """Where the value of the key at column `key` begins and ends; no end where it goes on in the next line."""
    start = line.find(":", key) + 1
    start += len(line[start:]) - len(line[start:].lstrip())
    depth, quoted = 0, ""
    for at in range(start, len(line)):
        character = line[at]
        if quoted:
            quoted = "" if character == quoted else quoted
        elif character in "\"'":
            quoted = character
        elif character in "[{":
            depth += 1
        elif depth == 0 and (character in ",]}" or (character == "#" and line[at - 1] == " ")):
            return start, start + len(line[start:at].rstrip())
        elif character in "]}":
            depth -= 1
    return start, None if depth or quoted else len(line.rstrip())


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
