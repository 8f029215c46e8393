"""Secrets, read from where the estate says that they are: `env:NAME` or `file:PATH`."""

from __future__ import annotations

import os
from pathlib import Path

MAX_BYTES = 4096


class SecretError(Exception):
    """A secret that is not where it should be; the message says where, never what."""


def secret(where: str) -> str:
    """The secret at `env:NAME` or `file:PATH`, of a file its first line. Raises SecretError."""
    kind, _, name = where.partition(":")
    if kind == "env" and name:
        found = os.environ.get(name, "")
        if not found:
            raise SecretError(f"the variable {name} is not set, and {where} stands for a secret")
        return found
    if kind != "file" or not name:
        raise SecretError(f"{where}: expected env:NAME or file:PATH")
    try:
        with Path(name).open("rb") as file:
            first = file.read(MAX_BYTES).split(b"\n", 1)[0].decode().strip("\r")
    except OSError as error:
        raise SecretError(f"{name}: {error.strerror}") from error
    except UnicodeDecodeError as error:
        raise SecretError(f"{name}: this is no text") from error
    if not first:
        raise SecretError(f"{name}: its first line is empty")
    return first
