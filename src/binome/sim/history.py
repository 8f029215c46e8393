"""What was observed from outside, in the order in which it happened; and the hash over all of it.

The events are all that the checkers know. They are taken where the implementation meets its world: at etcd's commits,
at the disks, at the drivers' and agents' hands, at the people. The hash also takes in every callback that ran, so that
two runs with equal hashes were the same run.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable
from hashlib import sha256
from typing import NamedTuple

from binome.core.entry import Draft, Entry
from binome.core.plan import Command
from binome.sim.loop import new_loop


class Agreed(NamedTuple):
    """A commit of etcd by `client` put these entries there."""

    client: str
    entries: tuple[Entry, ...]


class Leads(NamedTuple):
    """Etcd says that this lookout leads; nobody, where it is empty. The leader's key has been put, or is gone."""

    node: str


class Mirrored(NamedTuple):
    """These entries are durable in a lookout's mirror."""

    node: str
    entries: tuple[Entry, ...]


class Restarted(NamedTuple):
    """A lookout has begun anew, and found so many entries on its disk."""

    node: str
    sequence: int


class Killed(NamedTuple):
    """A lookout's life has ended, by a fault or by itself."""

    node: str


class Emptied(NamedTuple):
    """A lookout's disk was replaced by an empty one."""

    node: str


class Claimed(NamedTuple):
    """A lookout believes that it leads in a generation."""

    node: str
    generation: int


class Appended(NamedTuple):
    """A lookout's journal has told its loop that these drafts are durable."""

    node: str
    ids: tuple[str, ...]


class Asked(NamedTuple):
    """A person wants something."""

    draft: Draft


class Acknowledged(NamedTuple):
    """A person was told that the request is durable."""

    id: str


class Begun(NamedTuple):
    """A lookout begins to carry out a command."""

    node: str
    command: Command


class Arrived(NamedTuple):
    """A command has come to a server, whatever becomes of it."""

    server: str
    command: Command


class TookEffect(NamedTuple):
    """A command has changed a server."""

    server: str
    command: Command


class Watched(NamedTuple):
    """Lookouts look, in this night: which of them one fault could blind together, and after how many looks they say so.

    `groups` has the lookouts of each such place, `targets` is what is looked at.
    """

    groups: dict[str, tuple[str, ...]]
    targets: tuple[str, ...]
    fall: int
    rise: int


class Looked(NamedTuple):
    """A look of a lookout's has ended, and says this of a target."""

    node: str
    target: str
    answer: str


class Decided(NamedTuple):
    """A lookout wants these in the journal, from what it knows at this moment."""

    node: str
    ids: tuple[str, ...]


class Promoted(NamedTuple):
    """A database has become primary, with these writes on its disk."""

    member: str
    writes: tuple[str, ...]


class Wrote(NamedTuple):
    """A database has acknowledged a client's write."""

    member: str
    name: str


class HandedOver(NamedTuple):
    """A lookout's transaction has given the leader's key of a database to a member."""

    node: str
    member: str


class Heard(NamedTuple):
    """A lookout has heard a beat of another one."""

    node: str
    peer: str


class Stood(NamedTuple):
    """A server is cut off from most places of lookouts, or not, by the truth; and whether it serves all the same."""

    server: str
    isolated: bool
    serves: bool


class Ruled(NamedTuple):
    """What the estate says of takeovers: `takeover` is automatic, confirm, shadow or manual."""

    takeover: str
    act_after_ms: int


class Held(NamedTuple):
    """At the end of the night this database is primary, with these writes."""

    member: str
    writes: tuple[str, ...]


class Rebuilt(NamedTuple):
    """Etcd has begun again from nothing."""


class Died(NamedTuple):
    """A lookout ended though no fault ended it."""

    node: str
    why: str


class Ended(NamedTuple):
    """The night is over. `lacking`: what has not converged in the time that it had; `held`: subject → plan."""

    lacking: str
    mirrors: dict[str, tuple[Entry, ...]]
    held: dict[str, str]


Event = (
    Agreed
    | Leads
    | Mirrored
    | Restarted
    | Killed
    | Emptied
    | Claimed
    | Appended
    | Asked
    | Acknowledged
    | Begun
    | Arrived
    | TookEffect
    | Watched
    | Looked
    | Decided
    | Promoted
    | Wrote
    | HandedOver
    | Heard
    | Stood
    | Ruled
    | Held
    | Rebuilt
    | Died
    | Ended
)


class History:
    """The events of one night, with their times in seconds of the world."""

    def __init__(self) -> None:
        self.events: list[tuple[float, Event]] = []
        self.seen: Counter[str] = Counter()  # situations that came up
        self.watchers: list[Callable[[Event], None]] = []  # faults that wait for their moment
        self.loop = new_loop(self._ran)
        self._hash = sha256()

    def add(self, event: Event) -> None:
        """Takes an event down; then whatever waits for such a moment happens."""
        self.events.append((self.loop.now_s, event))
        self._hash.update(_spoken(event))
        for meets in tuple(self.watchers):
            meets(event)

    def note(self, situation: str) -> None:
        """Counts a situation, to tell afterwards what was covered."""
        self.seen[situation] += 1
        self._hash.update(situation.encode())

    def _ran(self, now_s: float, name: str) -> None:
        self._hash.update(b"%.6f %b\n" % (now_s, name.encode()))

    def digest(self) -> str:
        """The hash over everything so far."""
        return self._hash.hexdigest()


def _spoken(event: Event) -> bytes:
    return "|".join((type(event).__name__, *map(_said, event))).encode()


def _said(part: object) -> str:
    """A part of an event in a form that has no address of memory in it."""
    match part:
        case Entry():
            return part.hash
        case Command():
            return f"{part.generation} {part.id}"
        case tuple():
            return ",".join(map(_said, part))
        case dict():
            return ",".join(f"{name}={_said(value)}" for name, value in part.items())
        case _:
            return repr(part)
