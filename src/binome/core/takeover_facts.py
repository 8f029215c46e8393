"""What the journal says of takeovers: facts, what people may ask for, and the slice of the state that they make.

Decisions are takeover.py's; a person's word where nobody can agree is attested.py's.
"""

from __future__ import annotations

from collections.abc import Iterator
from enum import StrEnum
from typing import NamedTuple

from binome.core.database import Database, DatabaseSeen
from binome.core.entry import Fact
from binome.core.maintenance import GRANTED
from binome.core.plan import Command, Plan

CAPABILITY = "takeover"
REJOIN_AGAIN_MS, REJOIN_AGAIN_AT_MOST_MS = 15_000, 1_800_000
"""How long after its first failure a member is made to follow anew; it doubles with each, up to the second."""
FAILURES_BEFORE_PAGE = 3
PROMOTE, RELEASE, SWITCH = "database.takeover", "database.release", "database.switchover"


class Refused(StrEnum):
    """Why there is no takeover, or no switchover."""

    NO_QUORUM = "no quorum: fewer than three independent vantage points"
    MAINTENANCE = "people work on what is lost"
    NOT_SYNCHRONOUS = "no standby that lives has every acknowledged write"
    LAG = "the standby is behind by more than its lag allows, or nobody knows"
    CAPACITY = "too few members live to do the work"
    COOLDOWN = "the last takeover was too short a time ago"
    TRIED_ENOUGH = "it was tried, and failed, too often"
    MANUAL = "takeover is manual"
    HELD = "another plan holds the database"
    NO_SUCH_DATABASE = "no such database"
    NOT_A_MEMBER = "it is no member of the database"
    PRIMARY_ALREADY = "it is primary already"
    NOTHING_LOST = "its primary is not lost"
    WRONG_CODE = "the code is not the one of this loss"
    SOMETHING_LOST = "something is lost that it needs"
    NOT_AGREED = "what is lost is not agreed on by enough vantage points"
    NOT_WHOLE = "the database is not whole: a member does not follow, or is fenced off"


class TakeoverRefused(Fact, frozen=True, tag="takeover-refused"):
    """A loss is not taken over, for now, and why."""

    service: str
    loss: str
    reason: str


class TakeoverShadowed(Fact, frozen=True, tag="takeover-shadowed"):
    """What would have been done: the estate says `shadow`."""

    service: str
    loss: str
    survivor: str


class TakeoverWanted(Fact, frozen=True, tag="takeover-wanted"):
    """A person is asked to confirm, by a code that is good for this loss alone."""

    service: str
    loss: str
    survivor: str
    code: str


class StandbyBehind(Fact, frozen=True, tag="standby-behind"):
    """How far a member of an asynchronous database is behind a lost primary, at most (lag.py)."""

    service: str
    loss: str
    member: str
    behind_ms: int


class TakeoverAsked(Fact, frozen=True, tag="takeover-asked"):
    """A person wants a lost primary taken over. `code` is that of the page that asked; empty where nobody asked."""

    request: str
    service: str
    who: str
    code: str = ""


class SwitchoverAsked(Fact, frozen=True, tag="switchover-asked"):
    """A person wants a healthy database to move. `to` is a member; empty: any that may."""

    request: str
    service: str
    to: str
    who: str


class FailbackAsked(Fact, frozen=True, tag="failback-asked"):
    """A person wants a healthy database back on the member that the estate names first."""

    request: str
    service: str
    who: str


class TakeoverAttested(Fact, frozen=True, tag="takeover-attested"):
    """A person attested that what is lost is off, and a database goes on without it, in an etcd of what was left.

    `sites` are the lost servers by what they stand in; `members` are those of them with a member of etcd, whose
    service is `agreement`; `lossy` says that the survivor was not known to have every acknowledged write, `anew` that
    it has none: it founds the database again, empty, for a copy to be restored into.
    """

    request: str
    service: str
    survivor: str
    who: str
    generation: int
    sites: dict[str, tuple[str, ...]]
    agreement: str
    members: tuple[str, ...]
    lossy: bool = False
    anew: bool = False


class RejoinEnded(Fact, frozen=True, tag="rejoin-ended"):
    """A member that was let in again does not follow: its job ended with that, or is not known of any more."""

    service: str
    server: str
    loss: str
    job: str
    detail: str


class AskedRefused(Fact, frozen=True, tag="takeover-request-refused"):
    """A request was not granted."""

    request: str
    reason: str


class SwitchoverBegun(Fact, frozen=True, tag="switchover-begun"):
    """Patroni was asked to move a database, in the very transaction that this fact is a part of. Nothing moved yet."""

    plan: str
    service: str
    to: str


class DatabaseMoved(Fact, frozen=True, tag="database-moved"):
    """A database was changed by a plan, in the very transaction that this fact is a part of.

    `primary` is primary from now on; `released` is a standby that it waits for no longer, empty where there is none.
    """

    plan: str
    service: str
    primary: str
    released: str = ""


FACTS = (
    DatabaseSeen,
    DatabaseMoved,
    SwitchoverBegun,
    TakeoverRefused,
    TakeoverShadowed,
    TakeoverWanted,
    StandbyBehind,
    TakeoverAsked,
    SwitchoverAsked,
    FailbackAsked,
    TakeoverAttested,
    RejoinEnded,
    AskedRefused,
)
REQUESTS = (TakeoverAsked, SwitchoverAsked, FailbackAsked)
Asked = TakeoverAsked | SwitchoverAsked | FailbackAsked


ASKED_FOR: dict[str, tuple[type[Asked], ...]] = {
    "loss": (TakeoverAsked,),
    "switch": (SwitchoverAsked, FailbackAsked),
}
"""Of each kind of plan the requests that it answers."""


class Judgement(NamedTuple):
    """What was recorded last of a loss: `said` is a reason, "shadow" or "confirm"."""

    loss: str
    said: str
    survivor: str = ""
    code: str = ""


class Fenced(NamedTuple):
    """Servers that are fenced off: because of which loss, which; and whether they may follow again.

    `job` is the one by which they follow: the plan that began it. Where it failed, `trouble` says why, and it is begun
    anew at `again_ms`; `failures` counts.
    """

    loss: str
    servers: frozenset[str]
    opened: bool = False
    job: str = ""
    trouble: str = ""
    failures: int = 0
    again_ms: int = 0


class TakeoverSlice:
    """The databases, what was said of their losses, and what people ask."""

    def __init__(self) -> None:
        self.databases: dict[str, Database] = {}
        self.fenced: dict[str, dict[str, Fenced]] = {}  # service → loss → the servers that were fenced off
        self.absent: dict[str, str] = {}  # server → the etcd that goes on without its member
        self.judged: dict[str, Judgement] = {}  # service → of its last loss
        self.took_over_ms: dict[str, int] = {}  # service → when its last takeover began
        self.attempts: dict[str, int] = {}  # "service/loss" → plans made
        self._behind: dict[tuple[str, str], StandbyBehind] = {}  # (service, member) → at its last loss
        self.released: set[str] = set()  # "service/loss" whose standby was released, or could not be for a reason
        self.asked: dict[str, Asked] = {}
        self._waiting: dict[str, str] = {}  # plan → the request that waits for it

    def apply(self, fact: Fact, at_ms: int) -> Iterator[tuple[str, str]]:
        """Takes in a fact of this capability; the requests that it answers, and how."""
        match fact:
            case DatabaseSeen():
                self.databases[fact.service] = Database.seen(fact, self.databases.get(fact.service), at_ms)
            case DatabaseMoved():
                self._database_moved(fact, at_ms)
            case TakeoverRefused():
                self.judged[fact.service] = Judgement(fact.loss, fact.reason)
            case TakeoverShadowed():
                self.judged[fact.service] = Judgement(fact.loss, "shadow", fact.survivor)
            case TakeoverWanted():
                self.judged[fact.service] = Judgement(fact.loss, "confirm", fact.survivor, fact.code)
            case StandbyBehind():
                self._behind[fact.service, fact.member] = fact
            case TakeoverAsked() | SwitchoverAsked() | FailbackAsked():
                self.asked[fact.request] = fact
            case RejoinEnded():
                self._rejoin_ended(fact, at_ms)
            case TakeoverAttested():
                self._attested(fact, at_ms)
                yield fact.request, GRANTED
            case AskedRefused():
                self.asked.pop(fact.request, None)
                yield fact.request, fact.reason

    def behind_ms(self, service: str, loss: str, member: str) -> int | None:
        """How far a member is behind the primary that this loss took, at most; None where nobody knows."""
        known = self._behind.get((service, member))
        return known.behind_ms if known is not None and known.loss == loss else None

    def _database_moved(self, fact: DatabaseMoved, at_ms: int) -> None:
        before = self.databases.get(fact.service)
        if before is None:
            return
        if fact.released:
            left = tuple(one for one in before.synchronous if one != fact.released)
            self.databases[fact.service] = before._replace(synchronous=left)
        elif before.primary != fact.primary:
            self.databases[fact.service] = before._replace(
                primary=fact.primary, synchronous=(), leaderless=False, primary_ms=at_ms
            )
            if fact.plan.startswith(f"{CAPABILITY}/loss/"):
                self.took_over_ms[fact.service] = at_ms

    def _rejoin_ended(self, fact: RejoinEnded, at_ms: int) -> None:
        fenced = self.fenced.get(fact.service, {})
        one = fenced.get(fact.loss)
        if one is not None and one.job == fact.job and not one.again_ms:  # else it is old news
            after_ms = min(REJOIN_AGAIN_MS << one.failures, REJOIN_AGAIN_AT_MOST_MS)
            fenced[fact.loss] = one._replace(
                trouble=f"{fact.server}: {fact.detail}", failures=one.failures + 1, again_ms=at_ms + after_ms
            )

    def _attested(self, fact: TakeoverAttested, at_ms: int) -> None:
        before = self.databases.get(fact.service)
        if before is not None:
            self.databases[fact.service] = before._replace(
                primary=fact.survivor, synchronous=(), leaderless=False, primary_ms=at_ms
            )
        self.took_over_ms[fact.service] = at_ms
        fenced = self.fenced.setdefault(fact.service, {})
        for site, servers in fact.sites.items():  # each comes back by itself
            loss = f"attested/{fact.request}/{site}"
            fenced[loss] = Fenced(loss, frozenset(servers))
        self.absent |= dict.fromkeys(fact.members, fact.agreement)

    def made(self, plan: Plan) -> None:
        """Takes in that a plan was made."""
        if plan.capability != CAPABILITY:
            return
        service, (kind, loss) = plan.subject, _parts(plan)
        if kind == "loss":
            self.judged.pop(service, None)
            servers = frozenset(plan.steps[0].arguments.get("lost", "").split())
            self.fenced.setdefault(service, {})[loss] = Fenced(loss, servers)
        if kind in ("loss", "join"):
            self.attempts[f"{service}/{loss}"] = self.attempts.get(f"{service}/{loss}", 0) + 1
        for request, asked in list(self.asked.items()):
            if asked.service == service and isinstance(asked, ASKED_FOR.get(kind, ())):
                del self.asked[request]
                self._waiting[plan.id] = request

    def moved(self, plan: Plan) -> Iterator[tuple[str, str]]:
        """Takes in how far a plan has come; the requests that this answers, and how."""
        if plan.capability != CAPABILITY:
            return
        kind, loss = _parts(plan)
        fenced = self.fenced.get(plan.subject, {})
        if kind == "loss" and _is_settled_release(plan):
            self.released.add(f"{plan.subject}/{loss}")
        if (kind, plan.state) in (("loss", "undone"), ("unfence", "done")):
            fenced.pop(loss, None)
        if not fenced:
            self.fenced.pop(plan.subject, None)
        if (kind, plan.state) == ("open", "done") and loss in fenced:
            fenced[loss] = fenced[loss]._replace(opened=True, job=plan.id, again_ms=0)
        if (kind, plan.state) == ("join", "done"):
            self.absent.pop(loss, None)
        if plan.id in self._waiting and plan.state not in ("open", "undoing"):
            yield self._waiting.pop(plan.id), GRANTED if plan.state == "done" else f"it failed: {plan.trouble}"


def begun(command: Command) -> SwitchoverBegun:
    """What is true once Patroni was asked to carry out a switchover's command."""
    return SwitchoverBegun(command.plan, command.subject, command.arguments["to"])


def moved(command: Command) -> DatabaseMoved:
    """What is true once a database's command is carried out; it belongs into the transaction that does it."""
    arguments = command.arguments
    if command.verb == RELEASE:
        return DatabaseMoved(command.plan, command.subject, arguments["primary"], arguments["lost"])
    return DatabaseMoved(command.plan, command.subject, arguments["survivor" if command.verb == PROMOTE else "to"])


def is_switchover(plan: Plan) -> bool:
    """Whether a plan moves a database between the living, and is not over."""
    return plan.state == "open" and plan.steps[0].verb == SWITCH


def _is_settled_release(plan: Plan) -> bool:
    """Whether the release that a plan is for was done, or refused: what was refused is not asked again."""
    if len(plan.steps) < 2 or plan.steps[1].verb != RELEASE:
        return False
    return plan.state == "done" or (plan.state in ("undoing", "undone") and plan.trouble.startswith(f"{RELEASE}:"))


def _parts(plan: Plan) -> tuple[str, str]:
    """Of a plan's id the kind, and the loss that it is for: without the number of the attempt."""
    kind, _, rest = plan.id.removeprefix(f"{CAPABILITY}/").partition("/")
    return kind, rest.removeprefix(f"{plan.subject}/").rpartition("/")[0]
