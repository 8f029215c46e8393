"""Scope: the causes that are known now, each with one identity from its first sign to its end.

    found (causes.py, sightlines.py) ► matched with the open scopes ► ScopeOpened, ScopeChanged, ScopeEnded ► ScopeSlice

A *scope* is a cause in time. What is found anew at every change is matched with the scopes that are open:

    what is found                                           becomes of the open scope
    the same kind and subject                               goes on; says so where more is known, or something else
    something else that explains a target of it             is corrected: same id, new subject, the earlier one is kept
    one thing that explains the targets of several          the oldest is corrected, the others are joined to it
    nothing of its targets is down, some are not up         stays as it is: nobody knows
    every target of it is up (a sight line: is seen again)  ends

A scope whose targets come up again one by one is *coming back*. What is not up yet stays with it, and so does what
falls again meanwhile: a site that comes back piece by piece is one scope until its last target. Ten minutes after the
last return the rest is explained afresh.

A new scope is opened once its oldest fallen target fell a period and a quarter ago: by then everything that fell with
it has been looked at. A whole place that explains everything that fell in this time needs no such wait. What is
unsteady waits ten periods: it is told from what is lost only slowly, and of some targets sooner than of others.

Ids follow from kind, subject and how many scopes opened like that before: whoever knows the same journal gives the
same one. A scope hides that alerts are *created* for its targets (`hides`), never that they are resolved, and never
that anybody looks.
"""

from __future__ import annotations

from enum import StrEnum
from typing import NamedTuple

import msgspec

from binome.core.causes import RANK, Kind
from binome.core.entry import Fact
from binome.core.verdict import Verdict

CAPABILITY = "scope"
RETURNING_MS = 600_000


class Manner(StrEnum):
    """What is the matter with the subject of a cause."""

    LOST = "lost"
    UNSTEADY = "unsteady"  # it comes and goes
    CUT = "cut"  # it is well, and not all reach it
    SILENT = "silent"  # a lookout that says nothing, on a server that is up


class Confidence(StrEnum):
    """How much is behind a cause."""

    CONFIRMED = "confirmed"
    PARTLY = "confirmed, but not all of it could be asked"
    UNCONFIRMED = "unconfirmed: fewer than three independent vantage points"
    PROVISIONAL = "unconfirmed: one lookout's own view"


class Cause(msgspec.Struct, frozen=True):
    """A cause with its evidence, as of the moment at which it was recorded.

    `silent` of the `of` targets that it speaks of are down (or flapping) since `since_ms`, the earliest of them; that
    is seen from the sites `seen_from`, or, for a network, from the ends of it that see the other one down. `lookouts`
    are those in it that are silent too. `services` cannot work because of it, `products` need those. `probe` is the
    kind of probe that asks a target which is neither a server nor a member's: an internet name, what `probes` says.
    """

    kind: Kind
    subject: str
    manner: Manner
    since_ms: int
    silent: int
    of: int
    seen_from: tuple[str, ...]
    confidence: Confidence
    lookouts: tuple[str, ...] = ()
    services: tuple[str, ...] = ()
    products: tuple[str, ...] = ()
    probe: str = ""

    @property
    def name(self) -> str:
        """Kind and subject: `site/strasbourg`."""
        return f"{self.kind}/{self.subject}"

    @property
    def width(self) -> int:
        """How much it says is lost, to compare: least where a lookout alone is silent, as after its site came back."""
        return -1 if self.kind is Kind.VANTAGE else RANK[self.kind]


class ScopeOpened(Fact, frozen=True, tag="scope-opened"):
    """A cause is known from now on. `targets` are those that it explains, its effects among them."""

    scope: str
    cause: Cause
    targets: tuple[str, ...]


class ScopeChanged(Fact, frozen=True, tag="scope-changed"):
    """More is known of a scope. `targets` are those that it explains as well from now on."""

    scope: str
    cause: Cause
    targets: tuple[str, ...]


class Ended(StrEnum):
    """Why a scope ended."""

    UP_AGAIN = "all of it is up again"
    SEEN_AGAIN = "it is no longer seen"
    JOINED = "it is a part of another"
    REMOVED = "nothing of it is in the estate any more"


class ScopeEnded(Fact, frozen=True, tag="scope-ended"):
    """A scope is over. Where it was joined, `into` is the one that goes on with its targets."""

    scope: str
    why: Ended
    into: str = ""


FACTS = (ScopeOpened, ScopeChanged, ScopeEnded)


class Scope:
    """A cause in time. Read-only for everyone but the slice."""

    def __init__(self, scope_id: str, cause: Cause, at_ms: int) -> None:
        self.id = scope_id
        self.cause = cause
        self.opened_ms = at_ms
        self.earlier: tuple[str, ...] = ()  # what it was taken for before: `server/sbg-web`
        self.changes = 0
        self.targets: dict[str, None] = {}  # all that it has explained
        self.remaining: dict[str, None] = {}  # those that are not up again
        self.returned_ms = 0  # when the last one came up

    def is_returning(self, now_ms: int) -> bool:
        """Whether it is coming back: some of it is up again, the last not long ago."""
        return len(self.remaining) < len(self.targets) and now_ms - self.returned_ms < RETURNING_MS


class LookedAt(NamedTuple):
    """What was decided on last, with nothing to do until `wake_ms`: these facts, at that time."""

    graph: object
    looking: int
    scopes: int
    now_ms: int
    wake_ms: int | None

    def holds(self, graph: object, looking: int, scopes: int, now_ms: int) -> bool:
        """Whether there is still nothing to do. A clock that went back proves nothing."""
        same = self.graph is graph and (self.looking, self.scopes) == (looking, scopes)
        return same and self.now_ms <= now_ms and (self.wake_ms is None or now_ms < self.wake_ms)


class ScopeSlice:
    """The scopes that are open, the oldest first, and which target belongs to which."""

    def __init__(self) -> None:
        self.open: dict[str, Scope] = {}
        self.of_target: dict[str, str] = {}
        self.opened: dict[str, int] = {}  # kind and subject → how many scopes opened with them
        self.count = 0  # of the facts that made it
        self.looked_at: LookedAt | None = None  # a note of decide's

    def copy(self) -> ScopeSlice:
        """As it is now, for somebody who reads it while facts go on coming; the scopes themselves are shared."""
        copied = ScopeSlice()
        copied.open, copied.of_target, copied.opened = dict(self.open), dict(self.of_target), dict(self.opened)
        copied.count = self.count
        return copied

    def apply(self, fact: Fact, at_ms: int) -> None:
        """Takes in a fact of this capability."""
        match fact:
            case ScopeOpened() if fact.scope not in self.open:
                self.open[fact.scope] = Scope(fact.scope, fact.cause, at_ms)
                self.opened[fact.cause.name] = self.opened.get(fact.cause.name, 0) + 1
                self._move(fact.targets, fact.scope)
            case ScopeChanged() if fact.scope in self.open:
                scope = self.open[fact.scope]
                if fact.cause.name != scope.cause.name:
                    scope.earlier = (*(one for one in scope.earlier if one != fact.cause.name), scope.cause.name)
                    self._forget_returned(scope)
                scope.cause = fact.cause
                scope.changes += 1
                self._move(fact.targets, fact.scope)
            case ScopeEnded() if fact.scope in self.open:
                self._ended(self.open.pop(fact.scope), self.open.get(fact.into))
            case _:
                return
        self.count += 1

    def seen(self, target: str, verdict: Verdict, at_ms: int) -> None:
        """Takes in what is agreed of a target from now on."""
        holder = self.of_target.get(target)
        if holder is None:
            return
        scope = self.open[holder]
        if verdict is not Verdict.UP:
            if verdict is not Verdict.UNSURE:
                scope.remaining[target] = None
        elif scope.remaining.pop(target, self) is None:
            scope.returned_ms = at_ms

    def next_id(self, name: str) -> str:
        """The id of a scope that opens now: `site/strasbourg/2` is the second with that kind and subject."""
        return f"{name}/{self.opened.get(name, 0) + 1}"

    def _move(self, targets: tuple[str, ...], to: str) -> None:
        for target in targets:
            before = self.open.get(self.of_target.get(target, ""))
            if before is not None:
                before.targets.pop(target, None)
                before.remaining.pop(target, None)
            self.of_target[target] = to
            self.open[to].targets[target] = self.open[to].remaining[target] = None

    def _forget_returned(self, scope: Scope) -> None:
        """What has come back was no part of what the scope turns out to be."""
        for target in [one for one in scope.targets if one not in scope.remaining]:
            del scope.targets[target], self.of_target[target]

    def _ended(self, scope: Scope, into: Scope | None) -> None:
        for target in scope.targets:
            if into is not None and target in scope.remaining:
                self.of_target[target] = into.id
                into.targets[target] = into.remaining[target] = None
            else:
                del self.of_target[target]


def hides(scopes: ScopeSlice, target: str) -> Scope | None:
    """The scope that explains a target that is not up: no alert is to be created for it beside that of the scope.

    None where nothing explains it. An alert that there is already is resolved as if there were no scope.
    """
    holder = scopes.of_target.get(target)
    scope = scopes.open[holder] if holder is not None else None
    return scope if scope is not None and target in scope.remaining else None
