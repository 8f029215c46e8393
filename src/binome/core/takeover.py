"""Takeover: a database's primary is lost, and its synchronous standby takes its place; once, and never twice.

    loss of the primary     ► may it be taken over? ► plan: fence, promote, move traffic, verify, tell
    loss of a standby       ► plan: release it, so that writes wait for it no longer
    a person asks           ► the same questions, less those that the person answers; or a switchover between the living

A server is *lost* where its whole site has been silent for `act_after` (silence.py), or where a quorum holds it and
its database down and a confirmed scope explains that by the server or something that it stands in. Every question has
a named answer; the first that says no is recorded once a loss, shown, and asked again when something has changed:

    question                                                        else
    are there enough vantage points to ever say so?                 no quorum
    do they agree on it?                                            not agreed
    has it lasted for `act_after`?                                  wait
    is the lost server, or what it stands in, left alone by people? maintenance
    does a standby live that has every acknowledged write?          survivor not synchronous
    (asynchronous databases only) is it not behind by too much?     lag
    do as many members live as it needs (`need`)?                   capacity
    has the last takeover been long enough ago?                     cooldown
    has this loss not been tried too often already?                 tried enough
    what does the estate's `takeover` say?                          shadow: recorded; confirm: a person is asked; manual

A takeover that leaves too little for the load is made, and says so: degraded is better than down (docs/adr/0053). Where
the primary is lost while a switchover is under way, that one ends, and the takeover begins at once. A standby is
released once a loss.

Where nobody can agree any more a person's word is needed (attested.py). What was lost then comes back the same way, and
its members of etcd one after the other.

There is no failback by itself. Who returns is let in again: its routes are opened at once, so that it can follow as a
standby; traffic comes back once the database is whole. To follow may take hours, so it is a job of the member's agent
(runtime/rejoins.py): one that failed, or that nobody knows of any more, is begun anew after a while. A database moves
back only by a switchover that a person asks for.

Whatever is decided here is decided once more where it lands: the transaction that promotes compares Patroni's own
keys, and those of our leadership, and is refused where anything has moved on.
"""

from __future__ import annotations

from collections.abc import Iterator
from hashlib import sha256

from binome.analysis.outcome import required, required_for_load
from binome.core.decision import Decision, View
from binome.core.entry import Draft, Fact
from binome.core.lost import Loss, all_lost, losses
from binome.core.maintenance import CAPABILITY as MAINTENANCE
from binome.core.plan import Plan, PlanCancelled, PlanMade, Priority, Step
from binome.core.quorum import GROUPS_TO_CONFIRM, groups
from binome.core.takeover_facts import (
    CAPABILITY,
    FACTS,
    PROMOTE,
    RELEASE,
    REQUESTS,
    SWITCH,
    Asked,
    AskedRefused,
    DatabaseMoved,
    FailbackAsked,
    Fenced,
    Refused,
    RejoinEnded,
    SwitchoverAsked,
    TakeoverAsked,
    TakeoverAttested,
    TakeoverRefused,
    TakeoverShadowed,
    TakeoverSlice,
    TakeoverWanted,
    is_switchover,
    moved,
)
from binome.core.verdict import Verdict
from binome.estate import Estate
from binome.estate.model import PostgresqlService

__all__ = [
    "CAPABILITY",
    "FACTS",
    "PROMOTE",
    "RELEASE",
    "REQUESTS",
    "SWITCH",
    "AskedRefused",
    "DatabaseMoved",
    "FailbackAsked",
    "Refused",
    "RejoinEnded",
    "SwitchoverAsked",
    "TakeoverAsked",
    "TakeoverAttested",
    "TakeoverRefused",
    "TakeoverShadowed",
    "TakeoverSlice",
    "TakeoverWanted",
    "decide",
    "moved",
]

ATTEMPTS = 3
"""So many plans are made for one loss; each that was undone had a reason that may pass."""

JOIN = "agreement.join"
MEASURED_WITHIN_MS = 3_000
"""So long after a loss it is waited for how far an asynchronous standby is behind."""


def decide(estate: Estate, view: View, now_ms: int) -> Decision:
    """What becomes of every database whose primary or standby is lost, and of what people ask."""
    slice_ = view.takeover
    if not (slice_.asked or view.silence.sites or view.scope.open or slice_.fenced or slice_.absent):
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
    record += _joins(estate, view, all_lost(known), now_ms)
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
        if holder is not None and holder.capability == CAPABILITY and not is_switchover(holder):
            return []  # it is being seen to, or a person is asked to
        lost = all_lost(losses)
        for loss in losses:
            if self.known.primary in loss.servers:
                return self.instead_of(holder, self._on_primary(loss, lost))
        if holder is not None and holder.capability == CAPABILITY:
            return []
        for loss in losses:
            gone = [one for one in self.known.synchronous if one in loss.servers]
            if gone and not self.known.leaderless:
                return self._on_standby(loss, gone)
        return []

    def instead_of(self, holder: Plan | None, drafts: list[Draft]) -> list[Draft]:
        """A plan of ours where nothing of ours holds the database; else the end of the switchover that does, first.

        Patroni would wait for the lost primary until its lease is over. A switchover has nothing to undo: what it asked
        of Patroni goes with the transaction that promotes, and if it was through before, that one finds so.
        """
        if holder is None or holder.capability != CAPABILITY:
            return drafts
        cancelled = PlanCancelled(holder.id, "its primary is lost, and is taken over from")
        end = Draft(f"{holder.id}/cancelled", self.now_ms, CAPABILITY, cancelled)
        return [end if isinstance(draft.fact, PlanMade) else draft for draft in drafts]

    def _on_primary(self, loss: Loss, lost: frozenset[str]) -> list[Draft]:
        survivor = self.survivor(loss, lost)
        if self._is_being_measured(loss, survivor):
            return []
        reason = self.objection(loss, survivor, lost)
        if reason in (Refused.NO_QUORUM, Refused.NOT_AGREED) and self.service.takeover == "confirm":
            reason = self.objection(loss._replace(confirmed=True), survivor, lost)  # a person answers for that
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
        slice_, key = self.view.takeover, f"{self.name}/{loss.id}"
        attempts = slice_.attempts.get(key, 0)
        if attempts >= ATTEMPTS or key in slice_.released or self.view.plan_of(self.name) is not None:
            return []  # whom the primary waits for once more after its release is back, though its loss is not over
        steps = (
            Step("traffic.fence", arguments=self._arguments(loss), undo="traffic.unfence"),
            Step(RELEASE, arguments=self._keys(primary=self.known.primary, lost=gone[0])),
            Step("database.verify", server=self.known.primary, arguments={"service": self.name}),
        )
        return [self._made(f"loss/{self.name}/{loss.id}/{attempts + 1}", steps, f"{loss.subject} is lost")]

    def on_return(self, losses: list[Loss]) -> list[Draft]:
        """The plan that lets in again who was fenced off: first the routes; once the database is whole, traffic."""
        if self.view.plan_of(self.name) is not None:
            return []
        lost = all_lost(losses)
        for fenced in self.view.takeover.fenced.get(self.name, {}).values():
            if made := self._let_in(fenced) if fenced.servers.isdisjoint(lost) else None:
                return [made]  # one at a time; the next when this has ended
        return []

    def _let_in(self, fenced: Fenced) -> Draft | None:
        """The next plan that lets in who was fenced off because of one loss; None while it is not whole."""
        arguments = {"service": self.name, "lost": " ".join(sorted(fenced.servers))}
        whole = self.is_whole(fenced.servers)
        due = bool(fenced.again_ms) and self.now_ms >= fenced.again_ms
        if not fenced.opened or (due and not whole):
            plan = f"open/{self.name}/{fenced.loss}/{self.known.number}-{fenced.failures}"
            why = "it does not follow yet" if fenced.opened else "it is heard again"
            return self._made(plan, (Step("traffic.open", arguments=arguments),), why)
        if not whole:
            self.wakes += [fenced.again_ms] if fenced.again_ms else []
            return None
        plan = f"unfence/{self.name}/{fenced.loss}/{self.known.number}"
        return self._made(plan, (Step("traffic.unfence", arguments=arguments),), "it is whole again")

    @property
    def is_synchronous(self) -> bool:
        """Whether a write is acknowledged when a standby has it."""
        return self.service.replication == "synchronous"

    def _is_being_measured(self, loss: Loss, survivor: str) -> bool:
        """Whether it will soon be known how far the survivor of an asynchronous database is behind."""
        until_ms = loss.since_ms + MEASURED_WITHIN_MS
        known = self.view.takeover.behind_ms(self.name, loss.id, survivor) is not None
        if self.service.lag_ms is None or self.is_synchronous or not survivor or known or self.now_ms >= until_ms:
            return False
        self.wakes.append(until_ms)
        return True

    def is_whole(self, among: frozenset[str]) -> bool:
        """Whether each member among these servers leads, or has every acknowledged write.

        Of a database that is asynchronous that is not known of any, and asked of none.
        """
        if not self.is_synchronous:
            return True
        members = [one for one in self.service.on if one in among]
        return all(one in self.known.synchronous or one == self.known.primary for one in members)

    def survivor(self, loss: Loss, lost: frozenset[str]) -> str:
        """The member that may take over; empty where there is none. After one that failed, another that is as good.

        A server that lives may have a member that does not, so one that is not known to be down goes first.
        """
        living = [one for one in self.service.on if one not in lost and one != self.known.primary]
        if self.is_synchronous:
            living = [one for one in living if one in self.known.synchronous]
        working = [one for one in living if self.view.looking.verdict(f"{self.name}@{one}") is not Verdict.DOWN]
        equals = working or living
        if not self.is_synchronous:
            behind = {one: self.view.takeover.behind_ms(self.name, loss.id, one) for one in equals}
            known = [ms for ms in behind.values() if ms is not None]
            equals = [one for one in equals if behind[one] == min(known)] if known else equals
        tried = self.view.takeover.attempts.get(f"{self.name}/{loss.id}", 0)
        return equals[tried % len(equals)] if equals else ""

    def objection(self, loss: Loss, survivor: str, lost: frozenset[str], *, attested: bool = False) -> Refused | None:
        """Why this loss must not be taken over now; None where it may. `attested`: a person answers for it."""
        slice_, name = self.view.takeover, self.name
        took_over_ms = slice_.took_over_ms.get(name)
        if not loss.confirmed and not attested:
            few = len(groups(self.estate)) < GROUPS_TO_CONFIRM
            return Refused.NO_QUORUM if few else Refused.NOT_AGREED
        if not attested and self._worked_on(loss):
            return Refused.MAINTENANCE
        if not survivor:
            return Refused.NOT_SYNCHRONOUS
        if not self.is_synchronous and not attested:
            behind_ms = slice_.behind_ms(name, loss.id, survivor)
            if behind_ms is None or self.service.lag_ms is None or behind_ms > self.service.lag_ms:
                return Refused.LAG
        if self._left(lost) < required(self.service):
            return Refused.CAPACITY  # less load than that is degraded, which is better than nothing
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
        lost = frozenset({*loss.servers, self.known.primary})
        why = f"{loss.subject} is lost{self._behind(loss, survivor)}{self._short(lost)}"
        return self._made(f"loss/{self.name}/{loss.id}/{attempt}", steps, why)

    def _behind(self, loss: Loss, survivor: str) -> str:
        """What may be lost with the primary, in words; empty where nothing can be."""
        if self.is_synchronous:
            return ""
        behind_ms = self.view.takeover.behind_ms(self.name, loss.id, survivor)
        return f"; {survivor} is behind by {'nobody knows what' if behind_ms is None else f'{behind_ms / 1000:g} s'}"

    def _left(self, lost: frozenset[str]) -> int:
        return sum(one not in lost for one in self.service.on)

    def _short(self, lost: frozenset[str]) -> str:
        """How much less than its load what is left carries, in words; empty where it carries it."""
        left = self._left(lost)
        if left >= required_for_load(self.service):
            return ""
        carried = left * (self.service.capacity or 0)
        return f"; degraded: what is left carries {carried:g} of {self.service.load:g}"

    def switch(self, asked: SwitchoverAsked | FailbackAsked, to: str) -> Draft:
        """The plan of a switchover."""
        switch = Step(SWITCH, arguments=self._keys(primary=self.known.primary, to=to))
        steps = (switch, Step("database.verify", server=to, arguments={"service": self.name}))
        return self._made(f"switch/{self.name}/{asked.request}", steps, f"asked by {asked.who}")

    def _keys(self, **names: str) -> dict[str, str]:
        """The arguments of what is done by Patroni's keys."""
        lossy = {} if self.is_synchronous else {"asynchronous": "yes"}
        return {"scope": self.service.patroni.scope or self.name, **names, **lossy}

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
        return _switchover(question, asked, asked.to, lost)
    if isinstance(asked, FailbackAsked):
        return _failback(question, asked, lost)
    holder = question.view.plan_of(question.name)
    if holder is not None and holder.capability == CAPABILITY and not is_switchover(holder):
        return Refused.HELD
    loss = next((one for one in losses if question.known.primary in one.servers), None)
    if loss is None:
        return Refused.NOTHING_LOST
    if asked.code and asked.code != _code(question.estate, question.name, loss):
        return Refused.WRONG_CODE
    survivor = question.survivor(loss, lost)
    reason = question.objection(loss, survivor, lost, attested=True)
    return reason if reason is not None else question.instead_of(holder, [question.plan(loss, survivor)])[0]


def _failback(question: _Question, asked: FailbackAsked, lost: frozenset[str]) -> Draft | Refused:
    """Back to the member that the estate names first; not before everything that was lost is whole again."""
    members = question.service.on
    if question.known.primary == members[0]:
        return Refused.PRIMARY_ALREADY
    if not question.is_whole(frozenset(members)) or question.name in question.view.takeover.fenced:
        return Refused.NOT_WHOLE
    return _switchover(question, asked, members[0], lost)


def _switchover(
    question: _Question, asked: SwitchoverAsked | FailbackAsked, wanted: str, lost: frozenset[str]
) -> Draft | Refused:
    members, known = question.service.on, question.known
    if wanted and wanted not in members:
        return Refused.NOT_A_MEMBER
    if wanted == known.primary:
        return Refused.PRIMARY_ALREADY
    if question.view.plan_of(question.name) is not None:
        return Refused.HELD
    if known.leaderless or known.primary in lost or (wanted and wanted in lost):
        return Refused.SOMETHING_LOST
    may = known.synchronous if question.is_synchronous else [one for one in members if one != known.primary]
    to = wanted or next((one for one in may if one not in lost), "")
    if to not in may:
        return Refused.NOT_SYNCHRONOUS
    return question.switch(asked, to)


def _joins(estate: Estate, view: View, lost: frozenset[str], now_ms: int) -> Iterator[Draft]:
    """The plan by which a member of etcd comes back that etcd went on without; one at a time, as etcd wants it."""
    absent = view.takeover.absent
    for server, agreement in absent.items():
        attempt = view.takeover.attempts.get(f"{agreement}/{server}", 0) + 1
        service = estate.services.get(agreement)
        if service is None or server in lost or view.plan_of(agreement) is not None or attempt > ATTEMPTS:
            continue
        through = " ".join(one for one in service.on if one not in absent)
        step = Step(JOIN, server=server, arguments={"service": agreement, "through": through})
        plan = f"{CAPABILITY}/join/{agreement}/{server}/{attempt}"
        why = "etcd went on without it"
        yield Draft(plan, now_ms, CAPABILITY, PlanMade(plan, CAPABILITY, agreement, Priority.TAKEOVER, (step,), why))
        return


def _refusal(request: str, reason: Refused, now_ms: int) -> Draft:
    return Draft(f"{CAPABILITY}/{request}/refused", now_ms, CAPABILITY, AskedRefused(request, reason.value))
