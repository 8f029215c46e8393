"""Which keys a probe has, by its kind: what a kind needs, and what it has no use for."""

from __future__ import annotations

from collections.abc import Mapping

COMMON_PROBE_KEYS = ("kind", "of", "on", "every", "timeout", "fall", "rise")
_PLACE = ("address", "host", "port")
PROBE_KEYS: Mapping[str, tuple[str, ...]] = {
    "dns": (*_PLACE, "name", "type", "expect"),
    "etcd": (*_PLACE, "ca"),
    "haproxy": _PLACE,
    "heartbeat": ("grace", "token"),
    "http": ("url", "status", "contains", "headers", "redirects", "ca"),
    "icmp": ("address", "host"),
    "patroni": _PLACE,
    "postgresql": (*_PLACE, "user", "password", "database"),
    "tcp": _PLACE,
    "tls": (*_PLACE, "ca", "days"),
}
"""The keys that each built-in kind of probe has, besides the common ones."""
FOREIGN_PROBE_KEYS = ("url", *_PLACE, "options")
"""The keys of a kind that somebody else's package brings."""
NEEDED_PROBE_KEYS: Mapping[str, tuple[str, ...]] = {
    "dns": ("name",),
    "heartbeat": ("every", "token"),
    "http": ("url",),
    "tcp": ("port",),
}
