"""Takeover: a database's primary is lost, and its synchronous standby takes its place; once, and never twice.

    loss of the primary     ► may it be taken over? ► plan: fence, promote, move traffic, verify, tell
    loss of a standby       ► plan: release it, so that writes wait for it no longer
    a person asks           ► the same questions, less those that the person answers; or a switchover between the living

A server is *lost* where its whole site has been silent for `act_after` (silence.py), or where a quorum holds it and
its database down and a confirmed scope explains that by the server or something that it stands in. Every question has
a named answer; the first that says no is recorded once a loss, shown, and asked again when something has changed:

    question                                                        else
    is there a quorum to say so?                                    no quorum
    has it lasted for `act_after`?                                  wait
    is the lost server, or what it stands in, left alone by people? maintenance
    does a standby live that has every acknowledged write?          survivor not synchronous
    (asynchronous databases only) is it not behind by too much?     lag
    do enough members live to do the work?                          capacity
    has the last takeover been long enough ago?                     cooldown
    has this loss not been tried too often already?                 tried enough
    what does the estate's `takeover` say?                          shadow: recorded; confirm: a person is asked; manual

There is no failback by itself. Who returns is let in again: its routes are opened at once, so that it can follow as a
standby; traffic comes back once the database is whole. It moves back only by a switchover that a person asks for.

Whatever is decided here is decided once more where it lands: the transaction that promotes compares Patroni's own
keys, and those of our leadership, and is refused where anything has moved on.
"""

from __future__ import annotations

from collections.abc import Iterator
from enum import StrEnum
from hashlib import sha256
from typing import NamedTuple

from binome.analysis.outcome import required
from binome.core.database import Database, DatabaseSeen
from binome.core.decision import Decision, View
from binome.core.entry import Draft, Fact
from binome.core.lost import Loss, all_lost, losses
from binome.core.maintenance import CAPABILITY as MAINTENANCE
from binome.core.maintenance import GRANTED
from binome.core.plan import Command, Plan, PlanMade, Priority, Step
from binome.estate import Estate
from binome.estate.model import PostgresqlService

CAPABILITY = "takeover"
ATTEMPTS = 3
"""So many plans are made for one loss; each that was undone had a reason that may pass."""

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


class AskedRefused(Fact, frozen=True, tag="takeover-request-refused"):
    """A request was not granted."""

    request: str
    reason: str


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
    TakeoverRefused,
    TakeoverShadowed,
    TakeoverWanted,
    TakeoverAsked,
    SwitchoverAsked,
    AskedRefused,
)
REQUESTS = (TakeoverAsked, SwitchoverAsked)
Asked = TakeoverAsked | SwitchoverAsked


class Judgement(NamedTuple):
    """What was recorded last of a loss: `said` is a reason, "shadow" or "confirm"."""

    loss: str
    said: str
    survivor: str = ""
    code: str = ""


class Fenced(NamedTuple):
    """Servers that are fenced off: because of which loss, which; and whether their routes are open again."""

    loss: str
    servers: frozenset[str]
    opened: bool = False


class TakeoverSlice:
    """The databases, what was said of their losses, and what people ask."""

    def __init__(self) -> None:
        self.databases: dict[str, Database] = {}
        self.fenced: dict[str, Fenced] = {}  # service → the servers that were fenced off because of a loss
        self.judged: dict[str, Judgement] = {}  # service → of its last loss
        self.took_over_ms: dict[str, int] = {}  # service → when its last takeover began
        self.attempts: dict[str, int] = {}  # "service/loss" → plans made
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
            case TakeoverAsked() | SwitchoverAsked():
                self.asked[fact.request] = fact
            case AskedRefused():
                self.asked.pop(fact.request, None)
                yield fact.request, fact.reason

    def _database_moved(self, fact: DatabaseMoved, at_ms: int) -> None:
        before = self.databases.get(fact.service)
        if before is None:
            return
        if fact.released:
            left = tuple(one for one in before.synchronous if one != fact.released)
            self.databases[fact.service] = before._replace(synchronous=left)
        elif before.primary != fact.primary:
            self.databases[fact.service] = before._replace(primary=fact.primary, synchronous=(), leaderless=False)
            if fact.plan.startswith(f"{CAPABILITY}/loss/"):
                self.took_over_ms[fact.service] = at_ms

    def made(self, plan: Plan) -> None:
        """Takes in that a plan was made."""
        if plan.capability != CAPABILITY:
            return
        service, (kind, loss) = plan.subject, _parts(plan)
        if kind == "loss":
            self.attempts[f"{service}/{loss}"] = self.attempts.get(f"{service}/{loss}", 0) + 1
            self.judged.pop(service, None)
            self.fenced[service] = Fenced(loss, frozenset(plan.steps[0].arguments.get("lost", "").split()))
        for request, asked in list(self.asked.items()):
            if asked.service == service and (kind == "loss") is isinstance(asked, TakeoverAsked):
                del self.asked[request]
                self._waiting[plan.id] = request

    def moved(self, plan: Plan) -> Iterator[tuple[str, str]]:
        """Takes in how far a plan has come; the requests that this answers, and how."""
        if plan.capability != CAPABILITY:
            return
        service, (kind, _) = plan.subject, _parts(plan)
        if kind == "loss" and plan.state == "undone":
            self.fenced.pop(service, None)
        if plan.state == "done" and kind == "open" and service in self.fenced:
            self.fenced[service] = self.fenced[service]._replace(opened=True)
        if plan.state == "done" and kind == "unfence":
            self.fenced.pop(service, None)
        if plan.id in self._waiting and plan.state not in ("open", "undoing"):
            yield self._waiting.pop(plan.id), GRANTED if plan.state == "done" else f"it failed: {plan.trouble}"


def moved(command: Command) -> DatabaseMoved:
    """What is true once a database's command is carried out; it belongs into the transaction that does it."""
    arguments = command.arguments
    if command.verb == RELEASE:
        return DatabaseMoved(command.plan, command.subject, arguments["primary"], arguments["lost"])
    return DatabaseMoved(command.plan, command.subject, arguments["survivor" if command.verb == PROMOTE else "to"])


def _parts(plan: Plan) -> tuple[str, str]:
    """Of a plan's id the kind, and the loss that it is for: without the number of the attempt."""
    kind, _, rest = plan.id.removeprefix(f"{CAPABILITY}/").partition("/")
    return kind, rest.removeprefix(f"{plan.subject}/").rpartition("/")[0]


def decide(estate: Estate, view: View, now_ms: int) -> Decision:
    """What becomes of every database whose primary or standby is lost, and of what people ask."""
    slice_ = view.takeover
    if not (slice_.asked or view.silence.sites or view.scope.open or slice_.fenced):
        return Decision()
    record: list[Draft] = []
    wakes: list[int] = []
    known = losses(estate, view, now_ms)
    for name, service in estate.services.items():
        if isinstance(service, PostgresqlService) and name in slice_.databases:
            question = _Question(estate, view, name, service, now_ms)
            record += question.on_loss(known) or question.on_return(known)
            wakes += question.wakes
    record += _answers(estate, view, known, now_ms)
    return Decision(tuple(record), wake_at_ms=min(wakes, default=None))


class _Question:
    """What is asked of one database."""

    def __init__(self, estate: Estate, view: View, name: str, service: PostgresqlService, now_ms: int) -> None:
        self.estate, self.view, self.name, self.service, self.now_ms = estate, view, name, service, now_ms
        self.known = view.takeover.databases[name]
        self.wakes: list[int] = []

    def on_loss(self, losses: list[Loss]) -> list[Draft]:
        """What is recorded because of the losses: a plan, or why there is none, unless it was said already."""
        holder = self.view.plan_of(self.name)
        if holder is not None and holder.capability == CAPABILITY:
            return []  # it is being seen to, or a person is asked to
        lost = all_lost(losses)
        for loss in losses:
            if self.known.primary in loss.servers:
                return self._on_primary(loss, lost)
        for loss in losses:
            gone = [one for one in self.known.synchronous if one in loss.servers]
            if gone and not self.known.leaderless:
                return self._on_standby(loss, gone)
        return []

    def _on_primary(self, loss: Loss, lost: frozenset[str]) -> list[Draft]:
        survivor = self.survivor(lost)
        reason = self.objection(loss, survivor, lost)
        if reason is not None:
            return self._said(loss, TakeoverRefused(self.name, loss.id, reason.value), reason.value)
        if loss.lasted_ms < self.service.act_after_ms:
            self.wakes.append(self.now_ms + self.service.act_after_ms - loss.lasted_ms)
            return []
        match self.service.takeover:
            case "automatic":
                return [self.plan(loss, survivor)]
            case "shadow":
                return self._said(loss, TakeoverShadowed(self.name, loss.id, survivor), "shadow")
            case "confirm":
                wanted = TakeoverWanted(self.name, loss.id, survivor, _code(self.estate, self.name, loss))
                return self._said(loss, wanted, "confirm")
            case _:
                return self._said(loss, TakeoverRefused(self.name, loss.id, Refused.MANUAL.value), Refused.MANUAL.value)

    def _on_standby(self, loss: Loss, gone: list[str]) -> list[Draft]:
        if not loss.confirmed or self.service.takeover != "automatic":
            return []  # Patroni's own timer will release it
        if loss.lasted_ms < self.service.act_after_ms:
            self.wakes.append(self.now_ms + self.service.act_after_ms - loss.lasted_ms)
            return []
        attempts = self.view.takeover.attempts.get(f"{self.name}/{loss.id}", 0)
        if attempts >= ATTEMPTS or self.view.plan_of(self.name) is not None:
            return []
        steps = (
            Step("traffic.fence", arguments=self._arguments(loss), undo="traffic.unfence"),
            Step(RELEASE, arguments=self._keys(primary=self.known.primary, lost=gone[0])),
            Step("database.verify", server=self.known.primary, arguments={"service": self.name}),
        )
        return [self._made(f"loss/{self.name}/{loss.id}/{attempts + 1}", steps, f"{loss.subject} is lost")]

    def on_return(self, losses: list[Loss]) -> list[Draft]:
        """The plan that lets in again who was fenced off: first the routes; once the database is whole, traffic."""
        fenced = self.view.takeover.fenced.get(self.name)
        if fenced is None or self.view.plan_of(self.name) is not None or fenced.servers & all_lost(losses):
            return []
        arguments = {"service": self.name, "lost": " ".join(sorted(fenced.servers))}
        if not fenced.opened:
            plan = f"open/{self.name}/{fenced.loss}/{self.view.takeover.databases[self.name].number}"
            return [self._made(plan, (Step("traffic.open", arguments=arguments),), "it is heard again")]
        members = [one for one in self.service.on if one in fenced.servers]
        whole = all(one in self.known.synchronous or one == self.known.primary for one in members)
        if self.service.replication == "synchronous" and not whole:
            return []
        plan = f"unfence/{self.name}/{fenced.loss}/{self.known.number}"
        return [self._made(plan, (Step("traffic.unfence", arguments=arguments),), "it is whole again")]

    def survivor(self, lost: frozenset[str]) -> str:
        """The member that may take over; empty where there is none."""
        living = [one for one in self.service.on if one not in lost and one != self.known.primary]
        if self.service.replication == "synchronous":
            living = [one for one in living if one in self.known.synchronous]
        return living[0] if living else ""

    def objection(self, loss: Loss, survivor: str, lost: frozenset[str], *, attested: bool = False) -> Refused | None:
        """Why this loss must not be taken over now; None where it may. `attested`: a person answers for it."""
        slice_, name = self.view.takeover, self.name
        took_over_ms = slice_.took_over_ms.get(name)
        if not loss.confirmed and not attested:
            return Refused.NO_QUORUM
        if not attested and self._worked_on(loss):
            return Refused.MAINTENANCE
        if not survivor:
            return Refused.NOT_SYNCHRONOUS
        if self.service.replication != "synchronous" and not attested:
            return Refused.LAG
        if sum(one not in lost for one in self.service.on) < required(self.service):
            return Refused.CAPACITY
        if not attested and took_over_ms is not None and self.now_ms < took_over_ms + self.service.cooldown_ms:
            self.wakes.append(took_over_ms + self.service.cooldown_ms)
            return Refused.COOLDOWN
        if not attested and slice_.attempts.get(f"{name}/{loss.id}", 0) >= ATTEMPTS:
            return Refused.TRIED_ENOUGH
        return None

    def _worked_on(self, loss: Loss) -> bool:
        holders = [self.view.plan_of(one) for one in {loss.subject, self.known.primary}]
        return any(holder is not None and holder.capability == MAINTENANCE for holder in holders)

    def plan(self, loss: Loss, survivor: str) -> Draft:
        """The plan of a takeover."""
        attempt = self.view.takeover.attempts.get(f"{self.name}/{loss.id}", 0) + 1
        steps = (
            Step("traffic.fence", arguments=self._arguments(loss), undo="traffic.unfence"),
            Step(PROMOTE, arguments=self._keys(survivor=survivor, lost=self.known.primary)),
            Step("traffic.move", arguments={**self._arguments(loss), "survivor": survivor}),
            Step("database.verify", server=survivor, arguments={"service": self.name}),
        )
        return self._made(f"loss/{self.name}/{loss.id}/{attempt}", steps, f"{loss.subject} is lost")

    def switch(self, asked: SwitchoverAsked, to: str) -> Draft:
        """The plan of a switchover."""
        switch = Step(SWITCH, arguments=self._keys(primary=self.known.primary, to=to))
        steps = (switch, Step("database.verify", server=to, arguments={"service": self.name}))
        return self._made(f"switch/{self.name}/{asked.request}", steps, f"asked by {asked.who}")

    def _keys(self, **names: str) -> dict[str, str]:
        """The arguments of what is done by Patroni's keys."""
        return {"scope": self.service.patroni.scope or self.name, **names}

    def _arguments(self, loss: Loss) -> dict[str, str]:
        return {"service": self.name, "lost": " ".join(sorted(loss.servers))}

    def _made(self, plan: str, steps: tuple[Step, ...], why: str) -> Draft:
        fact = PlanMade(f"{CAPABILITY}/{plan}", CAPABILITY, self.name, Priority.TAKEOVER, steps, why)
        return Draft(f"{CAPABILITY}/{plan}", self.now_ms, CAPABILITY, fact)

    def _said(self, loss: Loss, fact: Fact, said: str) -> list[Draft]:
        """The fact, unless it is what was said of this loss last."""
        before = self.view.takeover.judged.get(self.name)
        if before is not None and (before.loss, before.said) == (loss.id, said):
            return []
        return [Draft(f"{CAPABILITY}/{self.name}/{loss.id}/{said}/{self.now_ms}", self.now_ms, CAPABILITY, fact)]


def _code(estate: Estate, service: str, loss: Loss) -> str:
    """Six digits that a page can carry: good for this loss alone. It guards against slips, not against enemies."""
    drawn = sha256(f"{estate.estate}/{service}/{loss.id}".encode()).digest()
    return f"{int.from_bytes(drawn[:8], 'big') % 1_000_000:06}"


def _answers(estate: Estate, view: View, losses: list[Loss], now_ms: int) -> Iterator[Draft]:
    """Of every request what comes of it: a plan, or a refusal."""
    for request, asked in view.takeover.asked.items():
        service = estate.services.get(asked.service)
        answer: Draft | Refused = Refused.NO_SUCH_DATABASE
        if isinstance(service, PostgresqlService) and asked.service in view.takeover.databases:
            answer = _asked_answer(_Question(estate, view, asked.service, service, now_ms), asked, losses)
        yield _refusal(request, answer, now_ms) if isinstance(answer, Refused) else answer


def _asked_answer(question: _Question, asked: Asked, losses: list[Loss]) -> Draft | Refused:
    lost = all_lost(losses)
    if isinstance(asked, SwitchoverAsked):
        return _switchover(question, asked, lost)
    holder = question.view.plan_of(question.name)
    if holder is not None and holder.capability == CAPABILITY:
        return Refused.HELD
    loss = next((one for one in losses if question.known.primary in one.servers), None)
    if loss is None:
        return Refused.NOTHING_LOST
    if asked.code and asked.code != _code(question.estate, question.name, loss):
        return Refused.WRONG_CODE
    survivor = question.survivor(lost)
    reason = question.objection(loss, survivor, lost, attested=True)
    return reason if reason is not None else question.plan(loss, survivor)


def _switchover(question: _Question, asked: SwitchoverAsked, lost: frozenset[str]) -> Draft | Refused:
    members, known = question.service.on, question.known
    if asked.to and asked.to not in members:
        return Refused.NOT_A_MEMBER
    if asked.to == known.primary:
        return Refused.PRIMARY_ALREADY
    if question.view.plan_of(question.name) is not None:
        return Refused.HELD
    if known.leaderless or known.primary in lost or (asked.to and asked.to in lost):
        return Refused.SOMETHING_LOST
    to = asked.to or next((one for one in known.synchronous if one not in lost), "")
    if to not in known.synchronous and question.service.replication == "synchronous":
        return Refused.NOT_SYNCHRONOUS
    return question.switch(asked, to)


def _refusal(request: str, reason: Refused, now_ms: int) -> Draft:
    return Draft(f"{CAPABILITY}/{request}/refused", now_ms, CAPABILITY, AskedRefused(request, reason.value))
