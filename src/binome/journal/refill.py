"""What a mirror lacks and etcd has no more: it is asked for, and the leader gives it again out of its own mirror.

Etcd keeps an entry until the mirrors have it, or until there are too many. So a lookout that got a new disk, or was
away for very long, finds a gap between its mirror and the first batch. It puts the number after which it lacks
entries below `lacking/NAME`; the leader puts a batch that begins there, and removes the question in the same
transaction. The lookout lists again, and asks again, until nothing is missing. Nobody has to copy a file.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence

from binome.core.entry import Entry, encode
from binome.journal.agreed import AT_ONCE_BYTES, UPLOADED_AT_ONCE, batch_key
from binome.ports import Delete, Put, Store


def question(root: str, name: str, after: int) -> Put:
    """Tells the leader that the mirror of `name` ends with number `after`, and that etcd does not go on from there."""
    return Put(_question_key(root, name), str(after).encode())


def answer(root: str, store: Store, name: str, after: int, batches: Mapping[int, int]) -> list[Put | Delete]:
    """What gives a lookout what it asked for. `batches` are those in etcd: first number → last number."""
    in_etcd = any(first <= after + 1 <= last for first, last in batches.items())
    entries = [] if in_etcd else first_at_once(store.read(after, UPLOADED_AT_ONCE))
    return [Delete(_question_key(root, name)), *batch(root, entries)]


def batch(root: str, entries: Sequence[Entry]) -> list[Put]:
    """Entries that follow one another, as a value of etcd; nothing for none."""
    return [Put(batch_key(root, entries[0].sequence), encode(entries))] if entries else []


def first_at_once(entries: Sequence[Entry]) -> Sequence[Entry]:
    """The first of the entries, as many as one transaction takes; at least one of them."""
    return entries[: _fitting(entries)]


def last_at_once(entries: Sequence[Entry]) -> Sequence[Entry]:
    """The last of the entries, as many as one transaction takes; at least one of them."""
    return entries[len(entries) - _fitting(reversed(entries)) :]


def _fitting(entries: Iterable[Entry]) -> int:
    """How many of the entries, from the first on, one transaction takes."""
    count = size_bytes = 0
    for entry in entries:
        size_bytes += len(entry.fact)
        if count and size_bytes > AT_ONCE_BYTES:
            break
        count += 1
    return count


def _question_key(root: str, name: str) -> str:
    return f"{root}lacking/{name}"
