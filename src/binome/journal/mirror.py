"""The mirror: what etcd holds of the journal, kept on this server's own disk, entry by entry and each one checked."""

from __future__ import annotations

from collections.abc import Sequence

from binome.core.entry import Entry, Head, follows
from binome.journal.agreed import ForkError, GapError
from binome.ports import Store


def mirror(store: Store, entries: Sequence[Entry]) -> bool:
    """Adds what the store does not have; whether there was anything.

    Raises ForkError where it has another entry under the same number, GapError where some are missing, and StoreError.
    """
    head = store.head()
    known = [entry for entry in entries if entry.sequence <= head.sequence][-1:]  # its hash is over all before it
    if known:
        compare(store, known[0].head)
    new = [entry for entry in entries if entry.sequence > head.sequence]
    if not new:
        return False
    reason = follows(new[0], head)
    if reason == "missing":
        raise GapError(f"entries {head.sequence + 1} to {new[0].sequence - 1} are not in etcd any more")
    if reason is not None:
        raise ForkError(f"entry {new[0].sequence} in etcd is {reason}")
    store.append(new)
    return True


def compare(store: Store, head: Head) -> None:
    """Raises ForkError where the store has another entry than `head` tells of, and so perhaps others before it.

    Entries are compared as they come, but where etcd has trimmed them, its head is all that is left to tell by.
    """
    if 0 < head.sequence <= store.head().sequence:
        (ours,) = store.read(head.sequence - 1, 1)
        if ours.hash != head.hash:
            raise ForkError(f"entry {head.sequence} is another one in etcd than in our mirror")
