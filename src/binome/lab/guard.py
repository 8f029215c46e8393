"""The guard: a process that outlives its starter just long enough to take the lab down.

It waits on a pipe that only its starter holds. However the starter ends, by an answer, by Ctrl-C or by SIGKILL, the
pipe closes, and the guard removes every process, namespace, group and folder of the lab that is left. A starter that
wants the lab to stay (`binome lab up`) says so before it ends.
"""

from __future__ import annotations

import signal
import subprocess
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from types import TracebackType

from binome.lab.errors import LabError
from binome.lab.lab import Lab
from binome.lab.state import FOLDER, tear_down

_KEEP = b"keep"


class Guard:
    """A context: when it is left, or this process dies, the lab in `folder` goes, unless `release` was called."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        self._released = False

    def __enter__(self) -> Guard:
        self._process = subprocess.Popen(
            [sys.executable, "-m", "binome.lab.guard", str(self._folder)],
            stdin=subprocess.PIPE,
            start_new_session=True,  # Ctrl-C in the terminal is not for the guard
        )
        return self

    def release(self) -> None:
        """The lab stays when this context is left."""
        self._released = True

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        # An impatient second Ctrl-C would leave the rest to the guard, and a prompt that comes too early.
        before = signal.signal(signal.SIGINT, signal.SIG_IGN)
        try:
            if not self._released:
                tear_down(self._folder)
            self._process.communicate(_KEEP if self._released else None)
        finally:
            signal.signal(signal.SIGINT, before)


@contextmanager
def passing_lab(
    text: bytes,
    folder: Path = FOLDER,
    say: Callable[[str], None] = lambda _: None,
    salvage: Path | None = None,
    before: Callable[[Lab], None] = lambda _: None,
) -> Iterator[Lab]:
    """A lab of the estate in `text` that is gone when the context is left, or when this process dies.

    `before` is done to it when it is claimed and nothing is built yet.

    Where the context ends with an error, its logs are kept in `salvage`, and the error says so.
    """
    lab = Lab.claim(text, folder)
    with Guard(folder):
        try:
            before(lab)
            lab.build(say)
            yield lab
        except LabError as error:
            if salvage is None:
                raise
            lab.keep_evidence(salvage, engines=True)
            raise type(error)(f"{error}\nThe logs: {salvage}") from None


def _watch(folder: Path) -> None:
    if sys.stdin.buffer.read() != _KEEP:
        tear_down(folder)


if __name__ == "__main__":
    _watch(Path(sys.argv[1]))
