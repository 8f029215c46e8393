"""What the journal knows of backups: which are scheduled, the copies that were taken, the proofs that were made.

A backup is *scheduled* from when a leader first reads of it in the estate. Each job (a copy, a proof, a proof of a copy
that was damaged on purpose) is a plan of two steps:

    begin (backup.take, backup.prove) ► the agent has it, and goes on by itself ► its end is a fact ► backup.forget

Until the end of a job is in the journal its agent keeps it, and tells every lookout of it: so whoever leads next adopts
it. A plan that ends without such a fact is a job that failed to begin. Of each backup the newest copy and proof in each
vault is kept here, and what has failed since; all that was before is in the journal, and beside the copies.
"""

from __future__ import annotations

from typing import NamedTuple

from binome.core.entry import Fact
from binome.core.plan import Plan
from binome.core.proofs import Verdict

CAPABILITY = "backup"
TAKE, PROVE, FORGET = "backup.take", "backup.prove", "backup.forget"
"""What an agent is ordered: to begin a job, and to tell of one no longer."""
COPY, DAMAGED = "copy", "damaged"
"""What fails and is tried again: the copy, the proof of a damaged one, else the proof in a vault of that name."""
PROVEN = Verdict.PROVEN.value
NO_BEGIN = "it could not be begun"


class BackupScheduled(Fact, frozen=True, tag="backup-scheduled"):
    """A backup is in the estate, and what is due of it counts from now."""

    backup: str


class CopyTaken(Fact, frozen=True, tag="copy-taken"):
    """A job took a copy of the moment `copy_at_ms`: its id in each vault that has it, the trouble of the others."""

    job: str
    backup: str
    server: str
    copy_at_ms: int
    size_bytes: int
    stored: dict[str, str]
    failed: dict[str, str]


class CopyFailed(Fact, frozen=True, tag="copy-failed"):
    """A job took no copy, or nobody knows."""

    job: str
    backup: str
    server: str
    why: str


class ProofMade(Fact, frozen=True, tag="proof-made"):
    """A job restored a copy, or tried; `verdict` is one of proofs.Verdict, `found` the first line for people.

    `restored_ms` is how long it took from the vault to an engine that answers. `damaged`: of a copy of this copy that
    was damaged on purpose, so that a verdict of *proven* is a lie.
    """

    job: str
    backup: str
    server: str
    vault: str
    copy: str
    copy_at_ms: int
    verdict: str
    restored_ms: int
    found: str = ""
    damaged: bool = False


class ProofFailed(Fact, frozen=True, tag="proof-failed"):
    """A job could not try a copy, or nobody knows what came of it: that says nothing of the copy."""

    job: str
    backup: str
    server: str
    vault: str
    copy: str
    why: str
    damaged: bool = False


FACTS = (BackupScheduled, CopyTaken, CopyFailed, ProofMade, ProofFailed)
Ended = CopyTaken | CopyFailed | ProofMade | ProofFailed


class Copy(NamedTuple):
    """The newest copy in a vault: the moment that it is of, and when it was there."""

    id: str
    at_ms: int
    taken_ms: int


class Tried(NamedTuple):
    """The newest proof in a vault, or the newest that was good: of which copy, of what moment, made when, what it says.

    `took_ms` is how long its job took.
    """

    copy: str
    copy_at_ms: int
    made_ms: int
    verdict: str
    restored_ms: int
    found: str
    took_ms: int


class InVault:
    """What one vault has of a backup."""

    def __init__(self) -> None:
        self.copy: Copy | None = None
        self.tried: Tried | None = None
        self.proven: Tried | None = None


class Failures(NamedTuple):
    """How often something failed since it last went well, when last, and why."""

    times: int
    last_ms: int
    why: str


class Known:
    """What is known of one backup. `slot_ms` is the scheduled moment that has a copy; -1 where none has."""

    def __init__(self, since_ms: int) -> None:
        self.since_ms = since_ms
        self.slot_ms = -1
        self.took_ms = 0
        self.size_bytes = 0
        self.vaults: dict[str, InVault] = {}
        self.failures: dict[str, Failures] = {}  # by COPY, DAMAGED, or a vault
        self.damaged_ms = 0  # when a damaged copy was last seen to fail
        self.lie: ProofMade | None = None  # a damaged copy that was called proven, and nothing better since
        self.lie_ms = 0

    def in_vault(self, name: str) -> InVault:
        """What a vault has; nothing where nobody has put anything there."""
        return self.vaults.get(name) or InVault()

    def failed(self, what: str, at_ms: int, why: str) -> None:
        """One more failure."""
        before = self.failures.get(what)
        self.failures[what] = Failures(before.times + 1 if before else 1, at_ms, why)


def _number(text: str) -> int:
    return int(text) if text.isascii() and text.isdecimal() else 0


class Work(NamedTuple):
    """A job: its plan, what it is for (COPY, DAMAGED or a vault), and what its agent was ordered."""

    plan: str
    backup: str
    what: str
    verb: str
    server: str
    arguments: dict[str, str]
    begun_ms: int

    @property
    def slot_ms(self) -> int:
        """The scheduled moment that a copy is for."""
        return _number(self.arguments.get("slot", ""))

    @property
    def lease_ms(self) -> int:
        """So long it may take: its agent ends it then."""
        return _number(self.arguments["lease_ms"])


_REQUIRED = ({"backup", "what", "slot", "lease_ms"}, {"backup", "what", "vault", "copy", "lease_ms"})
"""What the plan of a copy, and that of a proof, must say: one of another version is carried out, and no job here."""


class BackupSlice:
    """What is known of all backups, and the jobs whose plans have not ended."""

    def __init__(self) -> None:
        self.known: dict[str, Known] = {}
        self.works: dict[str, Work] = {}  # by plan
        self.ended: set[str] = set()  # the plans among them whose job has ended, by a fact

    def working(self, backup: str) -> list[Work]:
        """The jobs of a backup whose end nobody knows yet."""
        return [one for one in self.works.values() if one.backup == backup and one.plan not in self.ended]

    def apply(self, fact: Fact, at_ms: int) -> None:
        """Takes in a fact of this capability."""
        if isinstance(fact, BackupScheduled):
            self.known.setdefault(fact.backup, Known(at_ms))
        elif isinstance(fact, Ended):
            self._ended(fact, at_ms)

    def made(self, plan: Plan) -> None:
        """Takes in that a plan was made."""
        step = plan.steps[0]
        if plan.capability == CAPABILITY and _REQUIRED[step.verb == PROVE] <= step.arguments.keys():
            self.works[plan.id] = Work(
                plan=plan.id,
                backup=step.arguments["backup"],
                what=step.arguments["what"],
                verb=step.verb,
                server=step.server,
                arguments=step.arguments,
                begun_ms=plan.made_at_ms,
            )

    def moved(self, plan: Plan, at_ms: int) -> None:
        """Takes in how far a plan has come: one that ends, and whose job has not, never began it."""
        if plan.ended and (work := self.works.pop(plan.id, None)) is not None:
            known = self.known.get(work.backup)
            if plan.id not in self.ended and known is not None:
                known.failed(work.what, at_ms, plan.trouble or NO_BEGIN)
            self.ended.discard(plan.id)

    def _ended(self, fact: Ended, at_ms: int) -> None:
        """Takes in what came of a job, also where its plan is gone. The fact's id keeps it from being told twice."""
        work = self.works.get(fact.job)
        if work is not None:
            self.ended.add(fact.job)
        known = self.known.setdefault(fact.backup, Known(at_ms))
        took_ms = at_ms - work.begun_ms if work is not None else 0
        match fact:
            case CopyTaken():
                _taken(known, fact, at_ms, work.slot_ms if work else at_ms, took_ms)
            case CopyFailed():
                known.failed(COPY, at_ms, fact.why)
            case ProofMade(damaged=True):
                _damaged(known, fact, at_ms)
            case ProofMade():
                _made(known, fact, at_ms, took_ms)
            case ProofFailed():
                known.failed(DAMAGED if fact.damaged else fact.vault, at_ms, fact.why)


def _taken(known: Known, fact: CopyTaken, at_ms: int, slot_ms: int, took_ms: int) -> None:
    known.failures.pop(COPY, None)
    known.slot_ms, known.took_ms, known.size_bytes = max(known.slot_ms, slot_ms), took_ms, fact.size_bytes
    for vault, id_ in fact.stored.items():
        there = known.vaults.setdefault(vault, InVault())
        if there.copy is None or fact.copy_at_ms >= there.copy.at_ms:
            there.copy = Copy(id_, fact.copy_at_ms, at_ms)
            known.failures.pop(vault, None)  # they were of another copy


def _made(known: Known, fact: ProofMade, at_ms: int, took_ms: int) -> None:
    there = known.vaults.setdefault(fact.vault, InVault())
    there.tried = Tried(fact.copy, fact.copy_at_ms, at_ms, fact.verdict, fact.restored_ms, fact.found, took_ms)
    if fact.verdict == PROVEN:
        there.proven = there.tried
        known.failures.pop(fact.vault, None)
    else:
        known.failed(fact.vault, at_ms, fact.found or fact.verdict)


def _damaged(known: Known, fact: ProofMade, at_ms: int) -> None:
    known.failures.pop(DAMAGED, None)
    known.damaged_ms = at_ms
    if fact.verdict == PROVEN:
        known.lie, known.lie_ms = fact, at_ms
    else:
        known.lie = None
