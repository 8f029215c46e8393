"""`binome completion`: what a shell reads to complete Binôme's commands and options at the Tab key."""

from __future__ import annotations

import os
from typing import Annotated, Literal

import typer
from typer.completion import completion_init, get_completion_script  # type: ignore[attr-defined]

VARIABLE = "_BINOME_COMPLETE"
"""Set by the script when it asks `binome` what may come next: that is answered, and no command begins."""


def completion(shell: Annotated[Literal["bash", "zsh", "fish"], typer.Argument(help="Your shell.")]) -> None:
    """Print the script that makes a shell complete commands and options: eval "$(binome completion bash)"."""
    print(get_completion_script(prog_name="binome", complete_var=VARIABLE, shell=shell))


def begin() -> None:
    """Lets the command line answer a shell, where it is a shell that asks."""
    if VARIABLE in os.environ:
        completion_init()
