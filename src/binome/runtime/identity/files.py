"""Files of an identity: whole or not at all, durable, and keys for nobody's eyes but their owner's."""

from __future__ import annotations

import fcntl
import os
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

MAX_BYTES = 4 << 20
"""No file of an identity is longer."""


class IdentityError(Exception):
    """A key, a certificate or a list that cannot be used; the message says which, why and what to do."""


def read(path: Path) -> bytes:
    """What is in a file. Raises IdentityError."""
    try:
        with path.open("rb") as file:
            content = file.read(MAX_BYTES + 1)
    except OSError as error:
        raise IdentityError(f"{path}: {error.strerror}") from error
    if len(content) > MAX_BYTES:
        raise IdentityError(f"{path}: longer than {MAX_BYTES} bytes; this is no file of an identity")
    return content


def read_key(path: Path) -> bytes:
    """What is in a file that holds a key. Raises IdentityError, also where others than its owner may read it."""
    try:
        if path.stat().st_mode & 0o077:
            raise IdentityError(f"{path}: others may read this key.  chmod 600, or better: make a new one")
    except OSError as error:
        raise IdentityError(f"{path}: {error.strerror}") from error
    return read(path)


def write(path: Path, content: bytes, *, secret: bool = False) -> None:
    """Writes a file as a whole or not at all; durable, and so is its name, when this returns. Raises IdentityError.

    With `secret` nobody but the owner may ever read it, not even while it is being written.
    """
    temporary = path.with_name(f".{path.name}.{os.getpid()}")
    try:
        path.parent.mkdir(mode=0o700 if secret else 0o755, parents=True, exist_ok=True)
        temporary.unlink(missing_ok=True)  # of a process that had our number and died
        flags = os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_NOFOLLOW | os.O_CLOEXEC
        file = os.open(temporary, flags, 0o600 if secret else 0o644)
        try:
            with os.fdopen(file, "wb") as stream:
                stream.write(content)
                stream.flush()
                os.fsync(file)
            temporary.replace(path)
        finally:
            temporary.unlink(missing_ok=True)
        folder = os.open(path.parent, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
        try:
            os.fsync(folder)
        finally:
            os.close(folder)
    except OSError as error:
        raise IdentityError(f"{error.filename or path}: {error.strerror}") from error


@contextmanager
def alone(folder: Path) -> Iterator[None]:
    """While this is held no other process holds it for the same folder. Raises IdentityError."""
    try:
        file = os.open(folder / ".lock", os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
    except OSError as error:
        raise IdentityError(f"{folder}: {error.strerror}") from error
    try:
        fcntl.flock(file, fcntl.LOCK_EX)
        yield
    finally:
        os.close(file)
