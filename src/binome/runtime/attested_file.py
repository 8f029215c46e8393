"""Which lookouts a person has attested to be off, in a file of the agent's: they count for no isolation meanwhile.

The agent puts it there when it is told to, or the command of a person does, on a server that no lookout reaches; so it
is looked at again and again. A lookout that answers after all is struck out.
"""

from __future__ import annotations

from collections.abc import Iterable
from pathlib import Path

import msgspec

from binome.runtime.accepted import write_whole

_decoder = msgspec.json.Decoder(list[str])


class AttestedFile:
    """The lookouts that are attested to be off."""

    def __init__(self, path: Path) -> None:
        self._path = path
        self._stamp: tuple[int, int] | None = None
        self.lost: frozenset[str] = frozenset()

    def look(self) -> None:
        """Takes in what the file says by now; one that cannot be read attests nothing."""
        try:
            found = self._path.stat()
            stamp = (found.st_ino, found.st_mtime_ns)
            if stamp != self._stamp:
                self._stamp, self.lost = stamp, frozenset(_decoder.decode(self._path.read_bytes()))
        except (OSError, msgspec.DecodeError):
            self._stamp, self.lost = None, frozenset()

    def put(self, lost: Iterable[str]) -> None:
        """These and no others are attested to be off, durably. Raises OSError."""
        if names := sorted(lost):
            write_whole(self._path, msgspec.json.encode(names))
        else:
            self._path.unlink(missing_ok=True)
        self.look()
