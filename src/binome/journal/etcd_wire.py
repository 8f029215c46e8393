"""The gateway's JSON: what we send, and as much of the answers as we read.

Bytes travel as base64, which msgspec does by itself; 64-bit integers come as strings, which its lax mode reads; what is
zero or empty is left out. Keys are text to us; a foreign key that is not UTF-8 survives the way there and back.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import msgspec

from binome.ports import Change, Compare, Delete, KeyValue, Put

_TARGETS = {"value": "VALUE", "create_revision": "CREATE", "mod_revision": "MOD"}

encode = msgspec.json.Encoder().encode


def key_bytes(key: str) -> bytes:
    """A key as etcd has it."""
    return key.encode(errors="surrogateescape")


def _key_text(key: bytes) -> str:
    return key.decode(errors="surrogateescape")


def span(key: str, prefix: bool) -> dict[str, bytes]:
    """One key, or all that begin with it: from it up to the first that does not."""
    start = key_bytes(key)
    if not prefix:
        return {"key": start}
    end = start.rstrip(b"\xff")
    if not end:
        return {"key": start or b"\0", "range_end": b"\0"}  # to the end of all keys
    return {"key": start, "range_end": end[:-1] + bytes([end[-1] + 1])}


def transaction(compares: Sequence[Compare], actions: Sequence[Put | Delete]) -> bytes:
    """The body of a transaction."""
    return encode({"compare": [_compare(one) for one in compares], "success": [_action(one) for one in actions]})


def _compare(compare: Compare) -> dict[str, Any]:
    return {
        "key": key_bytes(compare.key),
        "target": _TARGETS[compare.target],
        "result": "EQUAL",
        compare.target: compare.value,
    }


def _action(action: Put | Delete) -> dict[str, Any]:
    if isinstance(action, Delete):
        return {"request_delete_range": span(action.key, action.prefix)}
    return {"request_put": {"key": key_bytes(action.key), "value": action.value, "lease": action.lease}}


class Header(msgspec.Struct, frozen=True):
    """Who answered, and the revision that it had then."""

    member_id: int = 0
    revision: int = 0


class _KeyValue(msgspec.Struct, frozen=True):
    key: bytes = b""
    value: bytes = b""
    create_revision: int = 0
    mod_revision: int = 0
    lease: int = 0

    def public(self) -> KeyValue:
        return KeyValue(_key_text(self.key), self.value, self.create_revision, self.mod_revision, self.lease)


class Ranged(msgspec.Struct, frozen=True):
    """The answer to a range."""

    header: Header
    kvs: list[_KeyValue] = []
    more: bool = False


class Transacted(msgspec.Struct, frozen=True):
    """The answer to a transaction."""

    header: Header
    succeeded: bool = False


class Granted(msgspec.Struct, frozen=True, rename={"lease": "ID"}):
    """The answer to a grant."""

    lease: int


class _Lifetime(msgspec.Struct, frozen=True, rename={"ttl_s": "TTL"}):
    ttl_s: int = 0


class KeptAlive(msgspec.Struct, frozen=True):
    """The answer to a keep-alive; a lease that is gone has no time to live."""

    result: _Lifetime


class Statused(
    msgspec.Struct,
    frozen=True,
    rename={"size_bytes": "dbSize", "committed": "raftIndex", "applied": "raftAppliedIndex"},
):
    """What a member says of itself; `committed` and `applied` are places in the log of the agreement."""

    header: Header
    leader: int = 0
    size_bytes: int = 0
    committed: int = 0
    applied: int = 0


class Member(msgspec.Struct, frozen=True, rename={"id": "ID"}):
    """A member of the cluster. One that has not started yet has no name."""

    id: int
    name: str = ""


class Listed(msgspec.Struct, frozen=True):
    """The members of the cluster."""

    members: tuple[Member, ...] = ()


class Authenticated(msgspec.Struct, frozen=True):
    """The answer to a login."""

    token: str


class _Event(msgspec.Struct, frozen=True):
    kv: _KeyValue
    type: str = "PUT"

    def public(self) -> Change:
        value = None if self.type == "DELETE" else self.kv.value
        return Change(_key_text(self.kv.key), value, self.kv.mod_revision)


class Watched(msgspec.Struct, frozen=True):
    """One answer of a watch: that it was made or ended, that there is nothing new, or some events."""

    header: Header
    created: bool = False
    canceled: bool = False
    compact_revision: int = 0
    cancel_reason: str = ""
    fragment: bool = False
    events: list[_Event] = []


class WatchLine(msgspec.Struct, frozen=True):
    """One line of a watch's stream."""

    result: Watched | None = None
    error: msgspec.Raw = msgspec.Raw()


class Done(msgspec.Struct, frozen=True):
    """An answer of which nothing is read but that it is one."""

    header: Header


DONE = msgspec.json.Decoder(Done, strict=False)
RANGED = msgspec.json.Decoder(Ranged, strict=False)
TRANSACTED = msgspec.json.Decoder(Transacted, strict=False)
GRANTED = msgspec.json.Decoder(Granted, strict=False)
KEPT_ALIVE = msgspec.json.Decoder(KeptAlive, strict=False)
STATUSED = msgspec.json.Decoder(Statused, strict=False)
LISTED = msgspec.json.Decoder(Listed, strict=False)
AUTHENTICATED = msgspec.json.Decoder(Authenticated, strict=False)
WATCH_LINE = msgspec.json.Decoder(WatchLine, strict=False)
