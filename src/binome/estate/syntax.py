"""What the YAML parser complains about, in words that say what to do.

libyaml reports what its grammar wanted, at the place where it gave up; that is often a line after the mistake. The
table says, for each of its messages that people meet, what they most likely did, and whether the beginning of
what was being read is the better place to look at.
"""

from __future__ import annotations

from typing import NamedTuple

import yaml

from binome.estate.problem import Place, Problem
from binome.shown import shown


class _Words(NamedTuple):
    found: str  # {since} is the line where the enclosing thing begins
    expected: str
    remedy: str
    at_beginning: bool = False


_ANYTHING = _Words("{message}", "YAML", "Mend the syntax here")
_LIST = _Words("a list that begins at line {since} and is not closed before this", "`,` or `]`", "Add it")
_MAPPING = _Words("a mapping that begins at line {since} and is not closed before this", "`,` or `}}`", "Add it")
_QUOTE = _Words("a quote that is never closed", "its other quote", "Close it, or remove it", True)
_ESCAPE = _Words("an escape that is no character", "a character", "Write it out, or use single quotes")
_LAYOUT = _Words(
    "a line that does not fit into the block that begins at line {since}",
    "a line indented like the others of its block",
    "Correct its indentation, or the line before it",
)
_WORDS = {
    "mapping values are not allowed in this context": _Words(
        "a `:` where no value may begin",
        "one `key: value` a line",
        "Indent the line like its neighbours, or quote the text that has the `:` in it",
    ),
    "could not find expected ':'": _Words(
        "a line without `:`", "`key: value`", "Add the `:`, or remove the line", True
    ),
    "did not find expected ',' or ']'": _LIST,
    "did not find expected ',' or '}'": _MAPPING,
    "did not find expected key": _LAYOUT,
    "did not find expected '-' indicator": _LAYOUT,
    "block sequence entries are not allowed in this context": _Words(
        "a `-` where no list may begin", "a list in a block of its own", "Put it on a line below its key"
    ),
    "found unexpected end of stream": _QUOTE,
    "found unexpected document indicator": _QUOTE,
    "found character that cannot start any token": _Words(
        "{character}, with which no value may begin", "a value", "Quote the value if it is meant"
    ),
    "did not find expected node content": _Words(
        "nothing where a value must stand", "a value", "Remove the `,` or add it"
    ),
    "found unexpected ':'": _Words("a `:` in a text without quotes", "a text in quotes", "Quote it"),
    "did not find expected alphabetic or numeric character": _Words(
        "a `&` or `*` that names nothing", "a value", "Quote the value if it is meant"
    ),
    "did not find expected comment or line break": _Words(
        "a text on the line of its `|` or `>`", "the text below it", "Quote the value if it is meant"
    ),
    "found unknown escape character": _Words(
        "a `\\` that means nothing here", "an escape that YAML knows", "Use single quotes, in which `\\` is itself"
    ),
    "did not find expected <document start>": _Words(
        "something after the end of the document", "nothing more", "Remove it"
    ),
    "did not find expected hexdecimal number": _ESCAPE,  # libyaml's spelling
    "found invalid Unicode character escape code": _ESCAPE,
    "could not find expected directive name": _Words("a line that begins with `%`", "a key", "Remove it, or quote it"),
}


def problem(error: yaml.MarkedYAMLError, lines: tuple[str, ...]) -> Problem:
    """The mistake that stopped the parser, at a place within the `lines` of the file."""
    message = error.problem or "unreadable text"
    words = _WORDS.get(message, _ANYTHING)
    mark = error.problem_mark or error.context_mark
    since = error.context_mark or mark
    place = _within(lines, since if words.at_beginning else mark)
    character = lines[place.line - 1][place.column - 1 : place.column]
    found = words.found.format(
        message=shown(message, 120),
        since=since.line + 1 if since else 1,
        character=f"`{shown(character)}`" if character else "the end of a line",
    )
    return Problem(place, found, words.expected.format(), f"{words.remedy}; what follows was not read.")


def _within(lines: tuple[str, ...], mark: yaml.Mark | None) -> Place:
    if mark is None:
        return Place(1, 1)
    if mark.line >= len(lines) or (mark.line == len(lines) - 1 and not lines[-1]):
        last = max((number for number, line in enumerate(lines, 1) if line.strip()), default=1)
        return Place(last, len(lines[last - 1].rstrip()) + 1)
    return Place(mark.line + 1, mark.column + 1)
