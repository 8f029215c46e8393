"""Remedies as lines to change: the file's own line, then the line as it should be.

An estate keeps the text that it was read from. `put` finds a key in it and writes another value there, or adds the
key to its record, in the style that the record is written in. Where the text has a form that it does not know (a
list over several lines, an estate that came from no file) there is no change, and the words of the remedy stand alone.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
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
    return put_all(estate, path[:-1], {path[-1]: value}, words)


def put_all(estate: Estate, path: tuple[str, ...], values: Mapping[str, str], words: str) -> Remedy:
    """The remedy that sets several keys of the record at `path`: all of them, or none where one cannot be written."""
    changes: dict[int, Change] = {}
    places = {key: estate.place(*path, key) for key in values}
    record = estate.place(*path)
    for key in sorted(
        values, key=lambda one: places[one], reverse=True
    ):  # from the right: what is left keeps its place
        number = places[key].line
        line = changes[number].then[0] if number in changes else estate.line(number)
        if places[key] == record:
            change = _added(estate, record.line, line, (*path, key), values[key])
        else:
            change = _replaced(line, places[key], values[key])
        if change is None:
            return Remedy(words)
        later = changes[number].then[1:] if number in changes else ()
        changes[number] = Change(number, estate.line(number), (*change.then, *later))
    return Remedy(words, tuple(changes[number] for number in sorted(changes)))


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


def _added(estate: Estate, number: int, line: str, path: tuple[str, ...], value: str) -> Change | None:
    """The line `line` with number `number`, which opens a record, with the last key of `path` in that record."""
    name, key = path[-2:]
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
