"""How a command ends: one meaning for each exit code, in every command."""

from __future__ import annotations

import json
import sys
from enum import IntEnum
from pathlib import Path
from typing import Any, NoReturn

import typer

from binome.estate import MAX_BYTES, Estate, EstateError, Place, Problem, load


class Exit(IntEnum):
    """The exit codes of every command."""

    GOOD = 0
    BAD_ANSWER = 1  # findings, a loss, a failed proof
    BAD_INPUT = 2
    ENVIRONMENT = 3  # privileges, an engine, already up
    UNKNOWN = 4  # unknown or timed out
    INTERRUPTED = 130


def fail(message: str, code: Exit) -> NoReturn:
    """Ends the command with one clear message on standard error."""
    print(message, file=sys.stderr)
    raise typer.Exit(code)


def print_json(value: Any) -> None:
    """The answer of a command with --json: the only thing on standard output."""
    print(json_text(value))


def json_text(value: Any, *, indent: int | None = 2) -> str:
    """A value as JSON in which everything that could command a terminal is escaped; all else is as people write it."""
    text = json.dumps(value, ensure_ascii=False, indent=indent)
    if text.isprintable():
        return text
    return "".join(letter if letter.isprintable() or letter == "\n" else json.dumps(letter)[1:-1] for letter in text)


def read_estate(path: Path, *, as_json: bool = False) -> Estate:
    """The estate at `path`; a file that is refused ends the command with every mistake and exit code 2."""
    try:
        with path.open("rb") as file:
            raw = file.read(MAX_BYTES + 1)  # one more than is accepted: what never ends, such as /dev/zero, is refused
        return load(raw)
    except OSError as error:
        found = Problem(Place(1, 1), f"no readable file ({error.strerror})", "an estate file", "Name another.")
        refused = EstateError([found])
    except EstateError as error:
        refused = error
    if as_json:
        print_json({"errors": [problem.as_json() for problem in refused.problems]})
    else:
        for problem in refused.problems:
            print(f"{path}:{problem}", file=sys.stderr)
        count = len(refused.problems)
        print(f"{count} error{'s' if count > 1 else ''}; nothing was done.", file=sys.stderr)
    raise typer.Exit(Exit.BAD_INPUT)
