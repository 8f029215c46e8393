"""Commands whose extras are not installed: listed all the same, and they say what to install.

The core install reads, checks and renders an estate, and asks a Binôme that runs. The rest of the commands need
libraries that stand in extras of the package, named after what they serve.
"""

from __future__ import annotations

from importlib import import_module
from types import ModuleType

import typer

from binome.cli.exits import Exit, fail

_ANYTHING = {"ignore_unknown_options": True, "allow_extra_args": True, "help_option_names": []}


def with_extras(app: typer.Typer, name: str, module: str, extras: str) -> ModuleType | None:
    """The module of a command; where a library lacks, None, and a command of this name that says so is in `app`."""
    try:
        return import_module(module)
    except ModuleNotFoundError as error:
        if error.name is None or error.name.partition(".")[0] == "binome":
            raise
        missing = error.name.partition(".")[0]

    def lacks() -> None:
        fail(
            f"binome: `binome {name}` needs {missing}, which is not installed.  pip install 'binome[{extras}]'",
            Exit.ENVIRONMENT,
        )

    app.command(name, context_settings=_ANYTHING, help=f"Not installed: binome[{extras}].")(lacks)
    return None
