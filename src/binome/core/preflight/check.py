"""Preflight: reality held against the file, before somebody relies on it.

`binome check` judges the file alone. Here the same file is held against what the platform says of itself, by one look
of the probes at each thing (asked.py says at what). Nothing is changed, and nothing is believed that was not seen:

    good      it was asked, and is as the file says
    bad       it was asked, and is otherwise: what was expected, what was found, what to do
    unknown   it could not be asked, or did not tell: never good, whatever the rest looks like

A target that does not answer is bad once, by its own check. What it alone could have told is unknown, so that a dead
member is not reported as ten faults. What preflight has no question for is listed as *not asked*: that is no state, it
only keeps anybody from believing that it was looked at.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from enum import StrEnum
from typing import NamedTuple

from binome.core.target import Answer, Target
from binome.estate import Estate


class State(StrEnum):
    """What a check came to; worst first."""

    BAD = "bad"
    UNKNOWN = "unknown"
    GOOD = "good"


class Name(StrEnum):
    """The checks, in the order in which they are shown. docs/preflight.md has a section for each."""

    SERVER = "server-answers"
    MEMBER = "member-answers"
    PORT = "port-open"
    PROBE = "probe-answers"
    CERTIFICATE = "certificate"
    DNS = "name-answers"
    ETCD_MEMBERS = "etcd-members"
    ETCD_LEADER = "etcd-leader"
    PATRONI_MEMBERS = "patroni-members"
    PATRONI_ROLES = "patroni-roles"
    PATRONI_SYNCHRONOUS = "patroni-synchronous"
    PATRONI_SETTINGS = "patroni-settings"
    CHECKSUMS = "postgresql-checksums"
    COMMIT = "postgresql-commit"
    BACKENDS = "edge-backends"
    STATES = "edge-states"
    CLOCK = "clock"


class Check(NamedTuple):
    """One thing that was held against the file. `path` is the key of the file that it is about.

    `found` and `expected` are words for people; `remedy` is empty where the state is good.
    """

    name: Name
    subject: str
    state: State
    expected: str
    found: str
    remedy: str
    path: tuple[str | int, ...]


class Seen(NamedTuple):
    """What the probe of a target found: `ports.Finding` without its time."""

    answer: Answer
    said: str
    details: Mapping[str, str | int | float | bool | None] = {}


class Sight(NamedTuple):
    """All that a check may look at: the file, what was asked, and what was seen of that by the targets' names."""

    estate: Estate
    asked: tuple[Target, ...]
    seen: Mapping[str, Seen]

    def of(self, service: str, suffix: str = "") -> dict[str, Seen]:
        """What was seen of those members of a service that were asked, by server; `suffix` as in targets' names."""
        names = {server: f"{service}@{server}{suffix}" for server in self.estate.services[service].on}
        return {server: self.seen[name] for server, name in names.items() if name in self.seen}


class Question(NamedTuple):
    """What a check asks, and what the file has for an answer."""

    name: Name
    subject: str
    expected: str
    path: tuple[str | int, ...]

    def answered(self, problems: Iterable[str], remedy: str, good: str = "") -> Check:
        """The check: bad where there are problems, else good; `good` is what was found then, if not just that."""
        found = "; ".join(dict.fromkeys(problems))
        state = State.BAD if found else State.GOOD
        return self.check(state, found or good or self.expected, remedy if found else "")

    def unknown(self, why: str, remedy: str) -> Check:
        """The check, where nothing could be asked."""
        return self.check(State.UNKNOWN, why, remedy)

    def check(self, state: State, found: str, remedy: str) -> Check:
        """The check, as it came out."""
        return Check(self.name, self.subject, state, self.expected, found, remedy, self.path)
