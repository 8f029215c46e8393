"""What etcd holds: keys in versions, leases, a quota; one revision a transaction. Pure: the time comes from outside.

Answers as etcd 3.5 gives them, as far as `ports.Etcd` can see: a transaction that changes nothing raises no revision;
an expired or revoked lease takes its keys with it in one revision; a range at a compacted revision is refused with the
revision that was compacted; over its quota etcd refuses what would put anything, until the alarm is disarmed.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from hashlib import sha256

from binome.ports import Change, Committed, CompactedError, Compare, Delete, EtcdError, KeyValue, Put, Range

OVERHEAD_BYTES = 80
"""What etcd keeps for a version beside key and value."""


@dataclass(frozen=True, slots=True)
class Version:
    """A key as one revision left it; `value` is None where that removed it."""

    revision: int
    created: int
    value: bytes | None
    lease: int = 0


@dataclass(slots=True)
class EtcdState:
    """The replicated state. `history` is every change still known; `epoch` tells one cluster's data from the next's."""

    quota_bytes: int = 1 << 40
    epoch: int = 0
    revision: int = 1
    compacted: int = 0
    alarmed: bool = False
    size_bytes: int = 0
    keys: dict[str, list[Version]] = field(default_factory=dict)
    leases: dict[int, int] = field(default_factory=dict)  # id → seconds to live
    history: dict[int, tuple[Change, ...]] = field(default_factory=dict)
    _leases_granted: int = 0

    # -- reading

    def range(self, key: str, *, prefix: bool = False, limit: int = 0, revision: int = 0, after: str = "") -> Range:
        """Keys as they were at a revision. Raises CompactedError, or EtcdError for a revision of the future."""
        if revision > self.revision:
            raise EtcdError("etcdserver: mvcc: required revision is a future revision", "OutOfRange")
        if revision and revision < self.compacted:
            raise CompactedError(self.compacted)
        at = revision or self.revision
        names = sorted(name for name in self.keys if name.startswith(key) and name > after) if prefix else [key]
        found = [one for name in names if (one := self._at(name, at)) is not None]
        more = bool(limit) and len(found) > limit
        return Range(tuple(found[:limit] if limit else found), self.revision, more)

    def _at(self, name: str, revision: int) -> KeyValue | None:
        for version in reversed(self.keys.get(name, ())):
            if version.revision <= revision:
                if version.value is None:
                    return None
                return KeyValue(name, version.value, version.created, version.revision, version.lease)
        return None

    def changes(self, prefix: str, from_revision: int, to_revision: int) -> Iterable[tuple[int, tuple[Change, ...]]]:
        """What happened below a prefix, a revision at a time. Raises CompactedError."""
        if from_revision < self.compacted:
            raise CompactedError(self.compacted)
        for revision in range(from_revision, to_revision + 1):
            seen = tuple(change for change in self.history.get(revision, ()) if change.key.startswith(prefix))
            if seen:
                yield revision, seen

    # -- changing

    def transact(self, compares: Sequence[Compare], actions: Sequence[Put | Delete]) -> Committed:
        """One transaction. Raises EtcdError, with nothing done."""
        self._check(actions)
        if not all(self._holds(compare) for compare in compares):
            return Committed(False, self.revision)
        changes: list[Change] = []
        for action in actions:
            if isinstance(action, Put):
                self._put(action, changes)
            else:
                self._delete(action.key, prefix=action.prefix, changes=changes)
        self._close(changes)
        return Committed(True, self.revision)

    def _check(self, actions: Sequence[Put | Delete]) -> None:
        puts = [action for action in actions if isinstance(action, Put)]
        names = [put.key for put in puts]
        if len(set(names)) < len(names):
            raise EtcdError("etcdserver: duplicate key given in txn request", "InvalidArgument")
        if any(put.lease and put.lease not in self.leases for put in puts):
            raise EtcdError("etcdserver: requested lease not found", "NotFound")
        if puts and (self.alarmed or self.size_bytes > self.quota_bytes):
            self.alarmed = True
            raise EtcdError("etcdserver: mvcc: database space exceeded", "ResourceExhausted")

    def _holds(self, compare: Compare) -> bool:
        found = self._at(compare.key, self.revision)
        if compare.target == "value":
            return found is not None and found.value == compare.value
        return (getattr(found, compare.target) if found is not None else 0) == compare.value

    def _put(self, put: Put, changes: list[Change]) -> None:
        revision = self.revision + 1
        found = self._at(put.key, revision)
        created = found.create_revision if found is not None else revision
        self._add(put.key, Version(revision, created, put.value, put.lease))
        changes.append(Change(put.key, put.value, revision))

    def _delete(self, key: str, *, prefix: bool, changes: list[Change]) -> None:
        revision = self.revision + 1
        for name in sorted(name for name in self.keys if name.startswith(key)) if prefix else [key]:
            if self._at(name, revision) is not None:
                self._add(name, Version(revision, 0, None))
                changes.append(Change(name, None, revision))

    def _add(self, name: str, version: Version) -> None:
        self.keys.setdefault(name, []).append(version)
        self.size_bytes += _size_bytes(name, version)

    def _close(self, changes: Sequence[Change]) -> None:
        if changes:
            self.revision += 1
            self.history[self.revision] = tuple(changes)

    # -- leases

    def grant(self, ttl_s: int) -> int:
        """A new lease. Raises EtcdError over the quota."""
        if self.alarmed:
            raise EtcdError("etcdserver: mvcc: database space exceeded", "ResourceExhausted")
        self._leases_granted += 1
        # Etcd draws them at random: one of a cluster that was is none in the cluster that is.
        lease = int.from_bytes(sha256(f"{self.epoch}/{self._leases_granted}".encode()).digest()[:7], "big")
        self.leases[lease] = ttl_s
        return lease

    def revoke(self, lease: int) -> None:
        """Ends a lease, with its keys. Raises EtcdError where there is none."""
        if self.leases.pop(lease, None) is None:
            raise EtcdError("etcdserver: requested lease not found", "NotFound")
        changes: list[Change] = []
        for name in sorted(self.keys):
            found = self._at(name, self.revision)
            if found is not None and found.lease == lease:
                self._delete(name, prefix=False, changes=changes)
        self._close(changes)

    # -- housekeeping

    def compact(self, revision: int) -> None:
        """Forgets versions that were replaced before `revision`. Raises EtcdError for one of the past or the future."""
        if revision > self.revision:
            raise EtcdError("etcdserver: mvcc: required revision is a future revision", "OutOfRange")
        if revision <= self.compacted:
            raise EtcdError("etcdserver: mvcc: required revision has been compacted", "OutOfRange")
        self.compacted = revision
        for name, versions in list(self.keys.items()):
            kept = [one for one in versions if one.revision > revision]
            before = [one for one in versions if one.revision <= revision]
            if before and before[-1].value is not None:
                kept.insert(0, before[-1])  # still what a range at the compacted revision finds
            if kept:
                self.keys[name] = kept
            else:
                del self.keys[name]
        self.history = {at: changes for at, changes in self.history.items() if at >= revision}
        self.size_bytes = sum(_size_bytes(name, one) for name, versions in self.keys.items() for one in versions)


def _size_bytes(name: str, version: Version) -> int:
    return len(name) + len(version.value or b"") + OVERHEAD_BYTES
