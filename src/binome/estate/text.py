"""From bytes to plain data, every value with its place in the file.

The file is YAML with the scalar rules of YAML 1.2: `no` and `12:30` are strings. It is read event by event
and never recursively, so that depth and aliases are bounded while it is read: whoever hands in a megabyte
of brackets gets an error with a line number, in milliseconds.

Problems of the text (encoding, tabs, characters that deceive) are all collected in one pass over the lines.
A syntax error ends the reading where it stands; everything that YAML can read is then checked to the end.
"""

from __future__ import annotations

import re
from bisect import bisect_right
from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import Any, NoReturn

import yaml

from binome.estate import syntax
from binome.estate.problem import EstateError, Place, Problem, character_name
from binome.shown import shown

MAX_DEPTH = 32
MAX_BYTES = 16 * 1024 * 1024  # ten thousand servers are about 2 MiB
MAX_EXPANDED = 200_000  # values that aliases may add to the file: this is what stops them from exploding

# Control characters, the bidirectional overrides of "Trojan Source" (CVE-2021-42574), zero-width characters,
# and the line ends that YAML, editors and people count differently.
_DECEPTIVE_CHARACTER = "[\x00-\x08\x0b-\x1f\x7f-\x9f\u061c\u200b-\u200f\u2028-\u202e\u2060-\u2069\ufeff\ufff9-\uffff]"
_DECEPTIVE = re.compile(f"{_DECEPTIVE_CHARACTER}+")
STAND_IN = "\ufffd"  # takes the place of a deceptive character, so that the reading can go on; deceptive itself
# A tab in the indentation; or, there or after a key, a space of another kind, which YAML takes for a letter.
# (Possessive, so that a long line is passed over once.)
_WRONG_SPACE = re.compile(
    r"^ *+(\t)|^[ -]*+(?:[\w.-]++:)? *+([\u00a0\u1680\u2000-\u200a\u202f\u205f\u3000])", re.MULTILINE
)

_NULL = frozenset({"", "~", "null", "Null", "NULL"})
_BOOLEAN = {"true": True, "True": True, "TRUE": True, "false": False, "False": False, "FALSE": False}
_INTEGER = re.compile(r"[-+]?[0-9]+")
_FLOAT = re.compile(r"[-+]?(\.[0-9]+|[0-9]+(\.[0-9]*)?)([eE][-+]?[0-9]+)?")
_OCTAL_LIKE = re.compile(r"[-+]?0[0-9]+")
_NUMBER_BEGINS = frozenset("+-.0123456789")
_STRING_TAGS = (None, "!", "tag:yaml.org,2002:str")
_MAPPING_TAGS = (None, "!", "tag:yaml.org,2002:map")
_LIST_TAGS = (None, "!", "tag:yaml.org,2002:seq")


@dataclass(slots=True)
class Marks:
    """Where a value stands, beside the value itself: `children` by key or index, `keys` where each key stands."""

    place: Place
    keys: dict[str, Place] = field(default_factory=dict)
    children: dict[str | int, Marks] = field(default_factory=dict)

    def find(self, path: tuple[str | int, ...], *, key: bool = False) -> Place:
        """The place of the value at `path`, or of its key; of the nearest parent where there is no such value.

        Steps that name nothing in the file (such as the tag of a union) are passed over.
        """
        here = self
        place = here.place
        for step in path:
            child = here.children.get(step)
            if child is not None:
                place = here.keys.get(str(step), child.place) if key else child.place
                here = child
        return place


@dataclass(frozen=True, slots=True)
class Document:
    """An estate file as plain data (mappings, lists, strings, numbers), with the marks of all of it."""

    data: dict[str, Any]
    marks: Marks
    lines: tuple[str, ...]
    problems: tuple[Problem, ...]


class AmbiguousInteger(str):
    """A number with a leading zero: ten to YAML 1.2, eight to YAML 1.1. Only its position decides if it matters."""


def read(raw: bytes) -> Document:
    """Reads the bytes of an estate file.

    Raises EstateError where they are not text, not YAML, or not a mapping. Problems that do not stop the
    reading (a key given twice, a deceptive character) are in the document's `problems`.
    """
    text = _decode(raw)
    problems = _characters(text)
    if any(found[1] or found[2] for found in _WRONG_SPACE.finditer(text)):
        raise EstateError([*problems, *_wrong_spaces(text)])
    lines = tuple(text.split("\n"))
    composer = _Composer()
    try:
        data, marks = composer.compose(_DECEPTIVE.sub(lambda found: STAND_IN * len(found[0]), text))
    except EstateError as error:
        raise EstateError([*problems, *composer.problems, *error.problems]) from None
    except yaml.MarkedYAMLError as error:
        stopped = syntax.problem(error, lines)
        follows = any(problem.place.line == stopped.place.line for problem in problems)  # from a deceptive character
        raise EstateError([*problems, *composer.problems, *([] if follows else [stopped])]) from None
    problems.extend(composer.problems)
    if not isinstance(data, dict):
        found = "an empty file" if data is None else f"a {_noun(data)} instead of sections"
        expected = "sections such as sites: and servers:"
        place = Place(1, 1) if data is None else marks.place
        problems.append(Problem(place, found, expected, "See `binome estate schema`."))
        raise EstateError(problems)
    return Document(data, marks, lines, tuple(problems))


def _decode(raw: bytes) -> str:
    if len(raw) > MAX_BYTES:
        raise EstateError(
            [
                Problem(
                    Place(1, 1), f"more than {MAX_BYTES:,} bytes", f"at most {MAX_BYTES:,} bytes", "Split the estate."
                )
            ]
        )
    try:
        text = raw.decode("utf-8")
    except UnicodeDecodeError as error:
        before = raw[: error.start].decode("utf-8").removeprefix("\ufeff").replace("\r\n", "\n")
        found = f"byte 0x{raw[error.start]:02x}, which is not UTF-8 here"
        remedy = "Save the file as UTF-8; nothing of it was read."
        raise EstateError([Problem(_Positions(before).place(len(before)), found, "text in UTF-8", remedy)]) from None
    return text.removeprefix("\ufeff").replace("\r\n", "\n")


class _Positions:
    """Finds the line and column of many offsets in one text."""

    def __init__(self, text: str) -> None:
        self._starts = [0, *(found.end() for found in re.finditer("\n", text))]

    def place(self, offset: int) -> Place:
        line = bisect_right(self._starts, offset)
        return Place(line, offset - self._starts[line - 1] + 1)


def _characters(text: str) -> list[Problem]:
    """One problem for each run of deceptive characters."""
    runs = list(_DECEPTIVE.finditer(text))
    positions = _Positions(text if runs else "")
    return [_deceptive(positions.place(found.start()), found[0]) for found in runs]


def _deceptive(place: Place, characters: str) -> Problem:
    first = characters[0]
    more = f" and {len(characters) - 1:,} more such characters" if len(characters) > 1 else ""
    found = f"{character_name(first)}{more}, which {'hide or reorder' if more else 'hides or reorders'} what is read"
    remedy = "Save the file with Unix line ends." if first == "\r" else "Delete them." if more else "Delete it."
    return Problem(place, found, "visible characters", remedy)


def _wrong_spaces(text: str) -> Iterator[Problem]:
    positions = _Positions(text)
    for found in _WRONG_SPACE.finditer(text):
        what = "a tab in the indentation" if found[1] else f"{character_name(found[2])}, which YAML takes for a letter"
        remedy = f"Replace {'the tab' if found[1] else 'it'} by spaces; the rest is read when that is done."
        yield Problem(positions.place(found.end() - 1), what, "spaces", remedy)


def _noun(value: object) -> str:
    if value is None:
        return "nothing"
    return {dict: "mapping", list: "list", bool: "boolean", int: "number", float: "number"}.get(type(value), "string")


@dataclass(slots=True)
class _Open:
    """A mapping or list that is still being read; `size` and `depth` count what it holds so far."""

    value: dict[str, Any] | list[Any]
    marks: Marks
    anchor: str | None
    size: int = 1
    depth: int = 1
    key: str | None = None
    key_place: Place | None = None


@dataclass(slots=True)
class _Anchored:
    value: Any
    marks: Marks
    size: int
    depth: int


class _Composer:
    """Builds data and marks from the events of the parser, with a stack of its own."""

    def __init__(self) -> None:
        self.problems: list[Problem] = []
        self._stack: list[_Open] = []
        self._anchors: dict[str, _Anchored] = {}
        self._expanded = 0
        self._root: tuple[Any, Marks] | None = None

    def compose(self, text: str) -> tuple[Any, Marks]:
        for event in yaml.parse(text, Loader=yaml.CSafeLoader):
            if isinstance(event, yaml.ScalarEvent):
                self._scalar(event)
            elif isinstance(event, yaml.MappingStartEvent):
                self._begin({}, _MAPPING_TAGS, event)
            elif isinstance(event, yaml.SequenceStartEvent):
                self._begin([], _LIST_TAGS, event)
            elif isinstance(event, yaml.CollectionEndEvent):
                done = self._stack.pop()
                self._anchor(done.anchor, _Anchored(done.value, done.marks, done.size, done.depth))
                self._add(done.value, done.marks, done.size, done.depth)
            elif isinstance(event, yaml.AliasEvent):
                self._alias(event)
            elif isinstance(event, yaml.DocumentStartEvent) and self._root is not None:
                self._note(event, "a second document after `---`", "one document", "Keep one file an estate.")
                break
        return self._root if self._root is not None else (None, Marks(Place(1, 1)))

    def _scalar(self, event: yaml.ScalarEvent) -> None:
        self._tag(event, _STRING_TAGS)
        if self._awaits_key():
            self._key(self._stack[-1], event)
            return
        value = _resolve(event.value) if event.implicit[0] else event.value
        marks = Marks(_mark(event))
        size = 1 + len(event.value) // 64
        self._anchor(event.anchor, _Anchored(value, marks, size, 0))
        self._add(value, marks, size, 0)

    def _key(self, top: _Open, event: yaml.ScalarEvent) -> None:
        key = event.value
        first = top.marks.keys.get(key)
        if event.anchor is not None:
            self._note(event, f"the anchor &{shown(event.anchor)} on a key", "anchors on values", "Remove it.")
        if key == "<<":
            self._note(event, "the merge key `<<`", "keys that are written out", "Write the keys themselves.")
        elif first is not None:
            found = f"`{shown(key)}` is given twice (first at line {first.line})"
            self._note(event, found, "every key once", "Remove one.")
        top.key, top.key_place = key, _mark(event)

    def _begin(self, value: dict[str, Any] | list[Any], tags: tuple[str | None, ...], event: Any) -> None:
        self._tag(event, tags)
        if self._awaits_key():
            self._refuse(event, f"a {_noun(value)} as a key", "a name as a key", "Quote it if it is a name")
        if len(self._stack) >= MAX_DEPTH:
            remedy = "Close brackets that were left open, or indent less"
            self._refuse(event, "too many levels of nesting", f"at most {MAX_DEPTH} levels", remedy)
        self._stack.append(_Open(value, Marks(_mark(event)), event.anchor))

    def _alias(self, event: yaml.AliasEvent) -> None:
        alias = f"the alias *{shown(event.anchor or '')}"
        anchored = self._anchors.get(event.anchor or "")
        if self._awaits_key():
            self._refuse(event, f"{alias} as a key", "a name as a key", "Write the name")
        if anchored is None:
            self._refuse(event, f"{alias}, whose anchor does not stand before it", "a known anchor", "Write it out")
        self._expanded += anchored.size
        if self._expanded > MAX_EXPANDED:
            expected = f"aliases that add at most {MAX_EXPANDED:,} values"
            self._refuse(event, f"{alias}, with which the aliases explode", expected, "Write the values out")
        if len(self._stack) + anchored.depth > MAX_DEPTH:
            expected = f"at most {MAX_DEPTH} levels"
            self._refuse(event, f"{alias}, with too many levels of nesting", expected, "Write the values out")
        marks = Marks(_mark(event), anchored.marks.keys, anchored.marks.children)
        self._add(anchored.value, marks, anchored.size, anchored.depth)

    def _anchor(self, anchor: str | None, anchored: _Anchored) -> None:
        if anchor is not None:
            self._anchors[anchor] = anchored

    def _awaits_key(self) -> bool:
        return bool(self._stack) and isinstance(self._stack[-1].value, dict) and self._stack[-1].key is None

    def _add(self, value: Any, marks: Marks, size: int, depth: int) -> None:
        if not self._stack:
            self._root = (value, marks)
            return
        top = self._stack[-1]
        top.size += size
        top.depth = max(top.depth, depth + 1)
        if isinstance(top.value, list):
            top.marks.children[len(top.value)] = marks
            top.value.append(value)
            return
        key, place = top.key, top.key_place
        top.key = top.key_place = None
        if key == "<<":
            self._merge(top, value, marks)
        elif key is not None and place is not None and key not in top.marks.keys:
            top.value[key] = value
            top.marks.keys[key] = place
            top.marks.children[key] = marks

    def _merge(self, top: _Open, value: Any, marks: Marks) -> None:
        """Takes over the keys of a refused merge, so that they are not reported as missing on top of it."""
        if isinstance(top.value, dict) and isinstance(value, dict):
            for key in value:
                top.value.setdefault(key, value[key])
                top.marks.children.setdefault(key, marks.children[key])

    def _tag(self, event: Any, known: tuple[str | None, ...]) -> None:
        if event.tag not in known:
            self._note(
                event,
                f"the tag {shown(event.tag.replace('tag:yaml.org,2002:', '!!'))}",
                "a value without a tag",
                "Remove the tag.",
            )

    def _note(self, event: Any, found: str, expected: str, remedy: str) -> None:
        self.problems.append(Problem(_mark(event), found, expected, remedy))

    def _refuse(self, event: Any, found: str, expected: str, remedy: str) -> NoReturn:
        raise EstateError([Problem(_mark(event), found, expected, f"{remedy}; what follows was not read.")])


def _mark(event: Any) -> Place:
    return Place(event.start_mark.line + 1, event.start_mark.column + 1)


def _resolve(text: str) -> Any:
    """A plain scalar by the core schema of YAML 1.2, without its octal and hexadecimal notations."""
    if text in _NULL:
        return None
    if text in _BOOLEAN:
        return _BOOLEAN[text]
    if text[0] not in _NUMBER_BEGINS or len(text) > 40:
        return text
    if _OCTAL_LIKE.fullmatch(text):
        return AmbiguousInteger(text)
    if _INTEGER.fullmatch(text):
        return int(text) if len(text) < 20 else text
    if _FLOAT.fullmatch(text):
        return float(text)
    return text
