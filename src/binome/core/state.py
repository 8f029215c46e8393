"""The state: what the facts of the journal add up to.

Only `apply` changes it, one entry at a time and in their order; everybody else reads. Each capability has a slice of
its own. The same entries give the same state, on every server and in every version of the simulation.

The state keeps what `decide` would otherwise search for: which plans can go on now, and which wait until when. So a
decision costs what has changed, not what there is.
"""

from __future__ import annotations

from bisect import bisect_left, insort
from collections.abc import Iterable, Iterator

from binome.core import backup_facts, impact, incident, leadership, looking, maintenance, plan, scope, silence, takeover
from binome.core.backup_facts import BackupSlice
from binome.core.entry import EMPTY, Entry, Fact, Vocabulary
from binome.core.impact import ImpactSlice, ProductUnusable, ProductUsable
from binome.core.incident import IncidentSlice
from binome.core.leadership import LeadershipTaken
from binome.core.looking import LookingSlice, LookoutsHeard, VerdictsAgreed
from binome.core.maintenance import GRANTED, MaintenanceSlice
from binome.core.plan import Plan, PlanCancelled, PlanClosed, PlanMade, StepEnded, StepHastened
from binome.core.scope import ScopeChanged, ScopeEnded, ScopeOpened, ScopeSlice
from binome.core.silence import SilenceSlice, SiteHeard, SiteSilent
from binome.core.takeover import TakeoverSlice
from binome.core.verdict import Verdict

ANSWERS_KEPT = 1000
NOT_CLOSABLE = "no plan of that name needs a person"

VOCABULARY = Vocabulary(
    *leadership.FACTS,
    *plan.FACTS,
    *maintenance.FACTS,
    *looking.FACTS,
    *scope.FACTS,
    *silence.FACTS,
    *takeover.FACTS,
    *impact.FACTS,
    *incident.FACTS,
    *backup_facts.FACTS,
)


class State:
    """What is known. Read-only for everyone but `apply`."""

    def __init__(self) -> None:
        self.head = EMPTY
        self.plans: dict[str, Plan] = {}  # by id; those that have not ended
        self.holding: dict[str, str] = {}  # subject → the id of the plan that holds it
        self.ready: dict[str, None] = {}  # plans whose next command can be carried out at once, in their order
        self.waiting: list[tuple[int, str]] = []  # (not before, plan), sorted
        self.leader = ""
        self.answers: dict[str, str] = {}  # the newest requests → "granted", or why not
        self.maintenance = MaintenanceSlice()
        self.looking = LookingSlice()
        self.scope = ScopeSlice()
        self.silence = SilenceSlice()
        self.takeover = TakeoverSlice()
        self.impact = ImpactSlice()
        self.incident = IncidentSlice()
        self.backups = BackupSlice()

    def apply(self, entry: Entry) -> Fact:
        """Takes in the next entry; what it said."""
        self.head = entry.head
        fact = VOCABULARY.read(entry)
        self._answered(self.incident.apply(fact, entry.at_ms, entry.origin, self._subject_of))
        match fact:
            case PlanMade():
                self._made(fact, entry.at_ms)
            case StepEnded() | StepHastened() | PlanCancelled() | PlanClosed():
                self._moved(fact, entry.at_ms)
            case LeadershipTaken():
                self.leader = fact.leader
            case VerdictsAgreed() | LookoutsHeard():
                self._looked(fact, entry.at_ms)
            case ScopeOpened() | ScopeChanged() | ScopeEnded():
                self._scoped(fact, entry.at_ms)
            case SiteSilent() | SiteHeard():
                self.silence.apply(fact, entry.at_ms)
            case ProductUnusable() | ProductUsable():
                self.impact.apply(fact)
            case _:
                self.backups.apply(fact, entry.at_ms)
                self._answered(self.maintenance.apply(fact, self.plan_of))
                self._answered(self.takeover.apply(fact, entry.at_ms))
        return fact

    def plan_of(self, subject: str) -> Plan | None:
        """The plan that holds a subject."""
        holder = self.holding.get(subject)
        return self.plans[holder] if holder is not None else None

    def _subject_of(self, plan_id: str) -> str:
        known = self.plans.get(plan_id)
        return known.subject if known is not None else ""

    def due(self, now_ms: int) -> Iterator[Plan]:
        """The plans whose next command may be carried out now."""
        yield from (self.plans[name] for name in self.ready)
        yield from (self.plans[name] for _, name in self.waiting[: self._waited_until(now_ms)])

    def next_due_ms(self, now_ms: int) -> int | None:
        """When the next plan that waits becomes due; None where none waits beyond `now_ms`."""
        later = self._waited_until(now_ms)
        return self.waiting[later][0] if later < len(self.waiting) else None

    def _waited_until(self, now_ms: int) -> int:
        return bisect_left(self.waiting, (now_ms + 1, ""))

    def _made(self, fact: PlanMade, at_ms: int) -> None:
        if fact.plan in self.plans or fact.subject in self.holding or not fact.steps:
            return  # decided twice, or by one who did not know of the other: the first in the journal holds
        made = Plan(fact.plan, fact.capability, fact.subject, fact.priority, fact.steps, fact.why, at_ms)
        self.plans[made.id] = made
        self.maintenance.made(made)
        self.takeover.made(made)
        self.backups.made(made)
        self.holding[made.subject] = made.id
        self._enlist(made)

    def _looked(self, fact: VerdictsAgreed | LookoutsHeard, at_ms: int) -> None:
        self.looking.apply(fact, at_ms)
        if isinstance(fact, VerdictsAgreed):
            for target, agreed in fact.verdicts.items():
                self.scope.seen(target, agreed.verdict, at_ms)

    def _scoped(self, fact: ScopeOpened | ScopeChanged | ScopeEnded, at_ms: int) -> None:
        self.scope.apply(fact, at_ms)
        for target in fact.targets if not isinstance(fact, ScopeEnded) else ():
            # Recorded together with the decision, and before it: that a target is up again. It would wait for ever.
            if self.looking.verdict(target) is Verdict.UP:
                self.scope.seen(target, Verdict.UP, at_ms)

    def _answered(self, answers: Iterable[tuple[str, str]]) -> None:
        for request, words in answers:
            self.answers[request] = words
            if len(self.answers) > ANSWERS_KEPT:
                del self.answers[next(iter(self.answers))]

    def _moved(self, fact: StepEnded | StepHastened | PlanCancelled | PlanClosed, at_ms: int) -> None:
        moved = self.plans.get(fact.plan)
        if isinstance(fact, PlanClosed) and fact.request:
            closable = moved is not None and moved.state == "needs-person"
            self._answered([(fact.request, GRANTED if closable else NOT_CLOSABLE)])
        if moved is None or moved.ended:
            return
        self._strike(moved)
        match fact:
            case StepEnded():
                moved.step_ended(fact, at_ms)
            case StepHastened():
                moved.hastened = fact.step
            case PlanCancelled():
                moved.cancelled(fact.why)
            case PlanClosed():
                moved.closed()
        self._answered(self.maintenance.moved(moved))
        self._answered(self.takeover.moved(moved))
        self.backups.moved(moved, at_ms)
        if moved.ended:
            # A plan that has ended is history, which the journal keeps; the state would grow for ever.
            del self.holding[moved.subject], self.plans[moved.id]
        else:
            self._enlist(moved)

    def _enlist(self, one: Plan) -> None:
        if one.state == "needs-person":
            return
        if one.not_before_ms:
            insort(self.waiting, (one.not_before_ms, one.id))
        else:
            self.ready[one.id] = None

    def _strike(self, one: Plan) -> None:
        if self.ready.pop(one.id, self) is self and one.not_before_ms:
            at = bisect_left(self.waiting, (one.not_before_ms, one.id))
            if self.waiting[at : at + 1] == [(one.not_before_ms, one.id)]:
                del self.waiting[at]
