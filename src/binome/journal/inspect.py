"""The verification of a journal's file: what can be read of it is judged, and what cannot is named."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from pathlib import Path

from binome.core.entry import EMPTY, Entry
from binome.journal.sqlite import DamagedError, SqliteReader
from binome.journal.verify import Fault, Finding, Verdict, Witness, verify

_BATCH = 1000


def inspect(path: Path, witnesses: Sequence[Witness] = (), *, vfs: str | None = None) -> Verdict:
    """Verifies a file, also while it is written. Raises StoreError where there is none that can be opened."""
    try:
        reader = SqliteReader(path, vfs=vfs)
    except DamagedError as error:
        return Verdict(EMPTY, 0, Finding(Fault.DAMAGED, 1, str(error)))
    try:
        legible = _Legible(reader)
        verdict = verify(legible, witnesses)
        if legible.damage and (verdict.finding is None or verdict.finding.fault is Fault.CUT_OFF):
            finding = Finding(Fault.DAMAGED, verdict.head.sequence + 1, legible.damage)
            return verdict._replace(finding=finding)
        if verdict.finding is None and (damage := reader.damage()):
            # The chain is whole, and what leads to it or is left over is not: an index, a page that nobody uses.
            return verdict._replace(finding=Finding(Fault.DAMAGED, verdict.head.sequence + 1, damage))
        return verdict
    finally:
        reader.close()


class _Legible:
    """The entries of a file, as they stand there, up to the first that cannot be read."""

    def __init__(self, reader: SqliteReader) -> None:
        self._reader = reader
        self.damage: str | None = None

    def __iter__(self) -> Iterator[Entry]:
        after, limit = -(2**63), _BATCH  # numbers from below 1 on: an entry that was put before the first is found too
        while True:
            try:
                entries = self._reader.unchecked(after, limit)
            except DamagedError as error:
                if limit == 1:
                    self.damage = str(error)
                    return
                limit = 1  # find the place
                continue
            if not entries:
                return
            yield from entries
            after = entries[-1].sequence
