"""The files below a folder, as a manifest says them: size and SHA-256 by path."""

from __future__ import annotations

import hashlib
import os
import stat
import threading
from pathlib import Path

from binome.core.copies import File, Progress
from binome.ports_of_copies import Tell

_CHUNK = 1 << 20


class Interrupted(Exception):  # noqa: N818
    """The work was told to stop."""


def files_of(
    folder: Path, *, tell: Tell | None = None, total_bytes: int | None = None, stop: threading.Event | None = None
) -> dict[str, File | None]:
    """What lies below a folder, by path; None for what is neither a file nor a folder: links are not followed.

    With `tell` every byte is read; without, sums are left empty. Raises OSError, and Interrupted once `stop` is set.
    """
    found: dict[str, File | None] = {}
    ahead, done = [folder], 0
    while ahead:
        with os.scandir(ahead.pop()) as entries:
            for entry in entries:
                path, kind = Path(entry.path), entry.stat(follow_symlinks=False)
                name = str(path.relative_to(folder))
                if stat.S_ISDIR(kind.st_mode):
                    ahead.append(path)
                elif not stat.S_ISREG(kind.st_mode):
                    found[name] = None
                elif tell is None:
                    found[name] = File(kind.st_size, "")
                else:
                    digest, size = hashlib.sha256(), 0
                    with os.fdopen(os.open(path, os.O_RDONLY | os.O_NOFOLLOW), "rb") as file:
                        while chunk := file.read(_CHUNK):
                            if stop is not None and stop.is_set():
                                raise Interrupted
                            digest.update(chunk)
                            size, done = size + len(chunk), done + len(chunk)
                            tell(Progress("read", done, total_bytes))
                    found[name] = File(size, digest.hexdigest())
    return found
