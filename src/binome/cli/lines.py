"""Lines for people: at most 100 columns, of characters that can be seen, whatever names and notes bring along."""

from __future__ import annotations

import textwrap

from binome.cli.journal_text import printable

WIDTH = 100
LONGEST_HEAD = 40


def wrapped(head: str, text: str) -> list[str]:
    """A text behind `head`: its further lines begin below its first, or, where the head is long, a little indented.

    A name is broken nowhere, so that it can be copied.
    """
    head, text = printable(head), printable(text)
    if len(head) > LONGEST_HEAD:
        return textwrap.wrap(f"{head}{text}", WIDTH, subsequent_indent="    ", break_on_hyphens=False)
    indent = " " * len(head)
    lines = textwrap.wrap(text, WIDTH, initial_indent=head, subsequent_indent=indent, break_on_hyphens=False)
    return lines or [head.rstrip()]


def show(text: str, head: str = "") -> None:
    """Prints a text behind `head`."""
    for line in wrapped(head, text):
        print(line)
