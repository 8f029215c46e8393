"""From bytes to plain data, every value with its place in the file.

The file is YAML with the scalar rules of YAML 1.2: `no` and `12:30` are strings. It is read event by event
and never recursively, so that depth and aliases are bounded while it is read: whoever hands in a megabyte
of brackets gets an error with a line number, in milliseconds.

Problems of the text (encoding, tabs, characters that deceive) are all collected in one pass over the lines.
A syntax error ends the reading where it stands; everything that YAML can read is then checked to the end.
"""

from __future__ import annotations

import re
import unicodedata
from dataclasses import dataclass, field
from typing import Any, NoReturn

import yaml

from binome.estate.problem import EstateError, Place, Problem, shown

MAX_DEPTH = 32
MAX_BYTES = 64 * 1024 * 1024
MAX_NODES = 2_000_000  # aliases count each time they are used: this is what stops them from exploding

# Control characters, the bidirectional overrides of "Trojan Source" (CVE-2021-42574), zero-width characters,
# and the separators that YAML, editors and people count as lines differently.
_DECEPTIVE = re.compile(
    "[\x00-\x08\x0b\x0c\x0e-\x1f\x7f-\x9f\u061c\u200b-\u200f\u2028-\u202e\u2060-\u2069\ufeff\ufff9-\uffff]"
)
_INDENTATION_TAB = re.compile(r"^ *\t", re.MULTILINE)

_NULL = frozenset({"", "~", "null", "Null", "NULL"})
_BOOLEAN = {"true": True, "True": True, "TRUE": True, "false": False, "False": False, "FALSE": False}
_INTEGER = re.compile(r"[-+]?[0-9]+")
_FLOAT = re.compile(r"[-+]?(\.[0-9]+|[0-9]+(\.[0-9]*)?)([eE][-+]?[0-9]+)?")
_OCTAL_LIKE = re.compile(r"[-+]?0[0-9]+")


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
    problems = [_deceptive(text, found.start()) for found in _DECEPTIVE.finditer(text)]
    tabs = [_tab(text, found.end() - 1) for found in _INDENTATION_TAB.finditer(text)]
    if tabs:
        raise EstateError(problems + tabs)
    if any(character == "\x00" or not _yaml_readable(character) for character in set(text)):
        raise EstateError(problems)
    composer = _Composer()
    try:
        data, marks = composer.compose(text)
    except EstateError as error:
        raise EstateError([*problems, *composer.problems, *error.problems]) from None
    except yaml.MarkedYAMLError as error:
        raise EstateError([*problems, *composer.problems, _syntax(error)]) from None
    if not isinstance(data, dict):
        found = "an empty file" if data is None else f"a {_noun(data)} instead of sections"
        raise EstateError(
            [
                *problems,
                Problem(marks.place, found, "sections such as sites: and servers:", "See `binome estate schema`."),
            ]
        )
    return Document(data, marks, tuple(text.splitlines()), tuple(problems + composer.problems))


def _decode(raw: bytes) -> str:
    if len(raw) > MAX_BYTES:
        raise EstateError(
            [Problem(Place(1, 1), f"{len(raw):,} bytes", f"at most {MAX_BYTES:,} bytes", "Split the estate.")]
        )
    try:
        text = raw.decode("utf-8")
    except UnicodeDecodeError as error:
        before = raw[: error.start].decode("utf-8")
        found = f"byte 0x{raw[error.start]:02x}, which is not UTF-8 here"
        raise EstateError(
            [Problem(_place(before, len(before)), found, "text in UTF-8", "Save the file as UTF-8.")]
        ) from None
    return text.removeprefix("\ufeff").replace("\r\n", "\n")


def _yaml_readable(character: str) -> bool:
    """Whether libyaml's reader takes this character; it stops at others without saying where."""
    code = ord(character)
    return code in (0x9, 0xA, 0xD, 0x85) or 0x20 <= code <= 0x7E or 0xA0 <= code <= 0xD7FF or code >= 0xE000


def _place(text: str, offset: int) -> Place:
    return Place(text.count("\n", 0, offset) + 1, offset - text.rfind("\n", 0, offset))


def _deceptive(text: str, offset: int) -> Problem:
    character = text[offset]
    name = unicodedata.name(character, "a control character")
    return Problem(
        _place(text, offset),
        f"U+{ord(character):04X} ({name.lower()}), which hides or reorders what is read",
        "visible characters",
        "Delete it.",
    )


def _tab(text: str, offset: int) -> Problem:
    return Problem(_place(text, offset), "a tab in the indentation", "spaces", "Replace the tab by spaces.")


def _syntax(error: yaml.MarkedYAMLError) -> Problem:
    mark = error.problem_mark or error.context_mark
    place = Place(mark.line + 1, mark.column + 1) if mark else Place(1, 1)
    found = shown(error.problem or "unreadable text", 120)
    if error.context and error.context_mark:
        found += f" ({error.context} that begins at line {error.context_mark.line + 1})"
    return Problem(place, found, "YAML", "Mend the syntax here; what follows was not read.")


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
        self._nodes = 0
        self._root: tuple[Any, Marks] | None = None

    def compose(self, text: str) -> tuple[Any, Marks]:
        documents = 0
        for event in yaml.parse(text, Loader=yaml.CSafeLoader):
            if isinstance(event, yaml.ScalarEvent):
                self._scalar(event)
            elif isinstance(event, yaml.MappingStartEvent):
                self._begin({}, event)
            elif isinstance(event, yaml.SequenceStartEvent):
                self._begin([], event)
            elif isinstance(event, yaml.CollectionEndEvent):
                done = self._stack.pop()
                self._anchor(done.anchor, _Anchored(done.value, done.marks, done.size, done.depth))
                self._add(done.value, done.marks, done.size, done.depth)
            elif isinstance(event, yaml.AliasEvent):
                self._alias(event)
            elif isinstance(event, yaml.DocumentStartEvent):
                documents += 1
                if documents > 1:
                    self._refuse(event, "a second document after `---`", "one document", "Keep one file an estate.")
        return self._root if self._root is not None else (None, Marks(Place(1, 1)))

    def _scalar(self, event: yaml.ScalarEvent) -> None:
        place = _mark(event)
        top = self._stack[-1] if self._stack else None
        if top is not None and isinstance(top.value, dict) and top.key is None:
            self._key(top, event.value, place)
            return
        if event.tag not in (None, "!", "tag:yaml.org,2002:str"):
            self.problems.append(Problem(place, f"the tag {shown(event.tag)}", "a plain value", "Remove the tag."))
        value = _resolve(event.value) if event.implicit[0] else event.value
        marks = Marks(place)
        self._anchor(event.anchor, _Anchored(value, marks, 1, 0))
        self._add(value, marks, 1, 0)

    def _key(self, top: _Open, key: str, place: Place) -> None:
        first = top.marks.keys.get(key)
        if key == "<<":
            self.problems.append(
                Problem(place, "the merge key `<<`", "keys that are written out", "Write the keys themselves.")
            )
        elif first is not None:
            self.problems.append(
                Problem(
                    place,
                    f"`{shown(key)}` is given twice (first at line {first.line})",
                    "every key once",
                    "Remove one.",
                )
            )
        top.key, top.key_place = key, place

    def _begin(self, value: dict[str, Any] | list[Any], event: Any) -> None:
        if self._stack and isinstance(self._stack[-1].value, dict) and self._stack[-1].key is None:
            self._refuse(event, f"a {_noun(value)} as a key", "a name as a key", "Quote it if it is a name.")
        if len(self._stack) >= MAX_DEPTH:
            self._refuse(event, f"more than {MAX_DEPTH} levels of nesting", "a flat file", "Close the brackets.")
        self._stack.append(_Open(value, Marks(_mark(event)), event.anchor))

    def _alias(self, event: yaml.AliasEvent) -> None:
        anchored = self._anchors.get(event.anchor or "")
        if anchored is None:
            self._refuse(event, f"the alias *{shown(event.anchor)} of no anchor", "a known anchor", "Write it out.")
        elif self._stack and isinstance(self._stack[-1].value, dict) and self._stack[-1].key is None:
            self._refuse(event, "an alias as a key", "a name as a key", "Write the name.")
        else:
            marks = Marks(_mark(event), anchored.marks.keys, anchored.marks.children)
            self._bound(event, anchored)
            self._add(anchored.value, marks, anchored.size, anchored.depth)

    def _bound(self, alias: yaml.AliasEvent, anchored: _Anchored) -> None:
        size = sum(opened.size for opened in self._stack) + anchored.size
        if size > MAX_NODES:
            found = f"more than {MAX_NODES:,} values once aliases are expanded"
            self._refuse(alias, found, "aliases that stay small", "Write the values out.")
        if len(self._stack) + anchored.depth > MAX_DEPTH:
            found = f"more than {MAX_DEPTH} levels of nesting once aliases are expanded"
            self._refuse(alias, found, "a flat file", "Write the values out.")

    def _anchor(self, anchor: str | None, anchored: _Anchored) -> None:
        if anchor is not None:
            self._anchors[anchor] = anchored

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
        if key is not None and place is not None and key not in top.value and key != "<<":
            top.value[key] = value
            top.marks.keys[key] = place
            top.marks.children[key] = marks

    def _refuse(self, event: Any, found: str, expected: str, remedy: str) -> NoReturn:
        raise EstateError([Problem(_mark(event), found, expected, remedy)])


def _mark(event: Any) -> Place:
    return Place(event.start_mark.line + 1, event.start_mark.column + 1)


def _resolve(text: str) -> Any:
    """A plain scalar by the core schema of YAML 1.2, without its octal and hexadecimal notations."""
    if text in _NULL:
        return None
    if text in _BOOLEAN:
        return _BOOLEAN[text]
    if _OCTAL_LIKE.fullmatch(text):
        return AmbiguousInteger(text)
    if _INTEGER.fullmatch(text):
        return int(text) if len(text) < 20 else text
    if _FLOAT.fullmatch(text):
        return float(text)
    return text
