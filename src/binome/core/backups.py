"""Backups by schedule: what is due, which job does it, and what is to be told of proofs that are late, failed or lies.

    moments of a copy     every `every`, at `at` by UTC, counted from 1970; without `at` from when it was scheduled
    a copy is due         once a moment has come that has none yet; of several that were missed, one is made up for
    a proof is due        of the newest copy in each vault: at once, where proofs are no rarer than copies;
                          else of the first that is taken when `proof.every` is over since the last proof, or will be in
                          half an `every`
                          Of a copy that was tried already once `proof.every` is over: what was good may be damaged now
    a damaged one is due  a week after the last: of a proven copy, damaged on purpose, whose proof must fail

One job a subject goes on at a time: copies of a backup are one subject, all its proofs another. What failed is tried
again after five minutes, then twice as long each time, up to an hour; by another member of the service, where there is
one. Copies of databases are taken at a standby, which serves nobody; the primary is the last choice. A job may take as
long as its backup's `every`, an hour at least; whoever leads gives a job up that says nothing for longer.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import NamedTuple

from binome.core.backup_facts import (
    CAPABILITY,
    COPY,
    DAMAGED,
    FORGET,
    PROVE,
    PROVEN,
    TAKE,
    BackupScheduled,
    CopyFailed,
    Failures,
    InVault,
    Known,
    ProofFailed,
    Work,
)
from binome.core.decision import Decision, View
from binome.core.entry import Draft, Fact
from binome.core.maintenance import CAPABILITY as MAINTENANCE
from binome.core.plan import Plan, PlanCancelled, PlanMade, Priority, Step, StepHastened
from binome.core.proofs import Verdict
from binome.core.sources import OF_DATABASES, SourceError, sources
from binome.estate import Estate
from binome.estate.model import Backup

MINUTE_MS, HOUR_MS, DAY_MS = 60_000, 3_600_000, 86_400_000
DAMAGED_EVERY_MS = 7 * DAY_MS
AGAIN_MS, AGAIN_AT_MOST_MS = 5 * MINUTE_MS, HOUR_MS
BEGUN_WITHIN_MS = 5 * MINUTE_MS
"""So long an agent may take to accept a job; then another time, or another server, is tried."""
SILENT_AFTER_LEASE_MS = 10 * MINUTE_MS
BAD_AGAIN_MS = 6 * HOUR_MS
"""When a copy that is not good is tried once more; one that only could not be read is tried again as what failed is."""
FORGET_ATTEMPTS = 3
NOT_BEGUN = "the agent of {server} gave no answer within 5 min"
NOTHING_CAME = "nothing came of it in the time that it had"


def is_scheduled(estate: Estate) -> bool:
    """Whether schedules are kept at all: agents do the work, and there are agents where several lookouts agree."""
    return bool(estate.backups) and estate.lookout is not None and len(estate.lookout.on) > 1


# -- the calendar


def moment(backup: Backup, since_ms: int, now_ms: int) -> int | None:
    """The newest moment of a copy, by now; None where none has come since it was scheduled."""
    anchor_ms = since_ms if backup.at is None else _of_day_ms(backup.at)
    found = now_ms - (now_ms - anchor_ms) % backup.every_ms
    return found if found >= since_ms else None


def next_moment(backup: Backup, since_ms: int, now_ms: int) -> int:
    """The first moment of a copy that is still to come."""
    anchor_ms = since_ms if backup.at is None else _of_day_ms(backup.at)
    after_ms = max(now_ms, since_ms - 1)
    return after_ms - (after_ms - anchor_ms) % backup.every_ms + backup.every_ms


def _of_day_ms(at: str) -> int:
    hours, _, minutes = at.partition(":")
    return int(hours) * HOUR_MS + int(minutes) * MINUTE_MS


def again_ms(failures: Failures | None) -> int:
    """When what failed may be tried again; 0 where it has not."""
    if failures is None:
        return 0
    return failures.last_ms + min(AGAIN_MS << min(failures.times - 1, 10), AGAIN_AT_MOST_MS)


def proof_due_ms(backup: Backup, there: InVault) -> int | None:
    """When the newest copy in a vault is to be proven; 0 for at once, None where it is not to be."""
    if backup.proof is None or there.copy is None:
        return None
    every_ms, tried = backup.proof.every_ms, there.tried
    if tried is None:
        return 0
    if tried.copy != there.copy.id:
        rhythm_ms = 0 if every_ms <= backup.every_ms else tried.made_ms + every_ms - backup.every_ms // 2
        return 0 if there.copy.taken_ms >= rhythm_ms else tried.made_ms + every_ms
    if tried.verdict == PROVEN:
        return tried.made_ms + every_ms
    return 0 if tried.verdict == Verdict.UNREADABLE else tried.made_ms + min(every_ms, BAD_AGAIN_MS)


# -- what is due


class Due(NamedTuple):
    """A job that is due: what it is for (a vault, COPY, DAMAGED), where, and what its agent is told."""

    what: str
    subject: str
    verb: str
    server: str
    arguments: dict[str, str]
    number: str  # what makes it this one and no other


class Agenda(NamedTuple):
    """What is due of a backup now, and when the next thing is."""

    due: tuple[Due, ...]
    wake_at_ms: int


def agenda(estate: Estate, view: View, name: str, now_ms: int) -> Agenda:
    """What is due of a backup: at most a copy and a proof. Whether its subject is free is for the plans to say."""
    backup, known = estate.backups[name], view.backups.known[name]
    wakes = [next_moment(backup, known.since_ms, now_ms)]
    due = [*_copy(estate, view, name, now_ms, wakes), *_proof(name, backup, known, now_ms, wakes)]
    return Agenda(tuple(due), min(wakes))


def _copy(estate: Estate, view: View, name: str, now_ms: int, wakes: list[int]) -> Iterator[Due]:
    backup, known = estate.backups[name], view.backups.known[name]
    at_ms, failures = moment(backup, known.since_ms, now_ms), known.failures.get(COPY)
    servers = takers(estate, view, name)
    if at_ms is None or known.slot_ms >= at_ms or not servers:
        return
    if again_ms(failures) > now_ms:
        wakes.append(again_ms(failures))
        return
    tries = failures.times if failures else 0
    arguments = {"backup": name, "what": COPY, "slot": str(at_ms), "lease_ms": str(_lease_ms(backup))}
    yield Due(COPY, name, TAKE, servers[tries % len(servers)], arguments, f"take/{at_ms}/{_again(failures)}")


def _proof(name: str, backup: Backup, known: Known, now_ms: int, wakes: list[int]) -> Iterator[Due]:
    """The proof that has waited longest; the damaged one only where no other is due."""
    if backup.proof is None:
        return
    found: list[tuple[int, Due]] = []
    for vault in backup.to:
        there, failures = known.in_vault(vault), known.failures.get(vault)
        due_ms = proof_due_ms(backup, there)
        if due_ms is None or there.copy is None:
            continue
        at_ms = max(due_ms, again_ms(failures))
        if at_ms > now_ms:
            wakes.append(at_ms)
            continue
        tried_ms = there.tried.made_ms if there.tried else 0
        of = _Of(vault, there.copy.id, there.copy.at_ms)
        number = f"prove/{vault}/{of.copy[:12]}/{tried_ms}/{_again(failures)}"
        found.append((tried_ms, _proving(name, backup, vault, of, number)))
    if found:
        yield min(found, key=lambda one: one[0])[1]
    else:
        yield from _damaged(name, backup, known, now_ms, wakes)


def _damaged(name: str, backup: Backup, known: Known, now_ms: int, wakes: list[int]) -> Iterator[Due]:
    """A proven copy that is to be damaged: each time in the next vault that has one."""
    proven = [(vault, tried) for vault in backup.to if (tried := known.in_vault(vault).proven) is not None]
    if not proven:
        return
    failures = known.failures.get(DAMAGED)
    at_ms = max(known.damaged_ms + DAMAGED_EVERY_MS if known.damaged_ms else 0, again_ms(failures))
    if at_ms > now_ms:
        wakes.append(at_ms)
        return
    vault, tried = proven[now_ms // DAMAGED_EVERY_MS % len(proven)]
    of = _Of(vault, tried.copy, tried.copy_at_ms)
    yield _proving(name, backup, DAMAGED, of, f"damaged/{known.damaged_ms}/{_again(failures)}")


class _Of(NamedTuple):
    """Which copy a proof is of."""

    vault: str
    copy: str
    at_ms: int


def _proving(name: str, backup: Backup, what: str, of: _Of, number: str) -> Due:
    arguments = {
        "backup": name,
        "what": what,
        "vault": of.vault,
        "copy": of.copy,
        "of_ms": str(of.at_ms),
        "lease_ms": str(_lease_ms(backup)),
    }
    return Due(what, _proofs_of(name), PROVE, backup.proof.on if backup.proof else "", arguments, number)


def takers(estate: Estate, view: View, name: str) -> list[str]:
    """The servers that can take a backup, the best first: of a database a standby before the primary."""
    backup = estate.backups[name]
    service = estate.data[backup.of[0]].in_
    found = [one for one in estate.services[service].on if _can_take(estate, name, one) and not _is_held(view, one)]
    database = view.takeover.databases.get(service)
    if backup.method in OF_DATABASES and database is not None:
        found.sort(key=lambda one: (one == database.primary, one not in database.synchronous))
    return found


def _can_take(estate: Estate, name: str, server: str) -> bool:
    try:
        return bool(sources(estate, name, server))
    except SourceError:
        return False


def _is_held(view: View, server: str) -> bool:
    holder = view.plan_of(server)
    return holder is not None and holder.capability == MAINTENANCE


def _lease_ms(backup: Backup) -> int:
    return max(backup.every_ms, HOUR_MS)


def _proofs_of(name: str) -> str:
    return f"{name}/proof"


def _again(failures: Failures | None) -> int:
    """Counts what is tried again, for as long as the journal lasts."""
    return failures.last_ms if failures else 0


# -- what is decided


def decide(estate: Estate, view: View, now_ms: int) -> Decision:
    """Begins what is due, and ends the plans of jobs that are over."""
    if not is_scheduled(estate):
        return Decision()
    record: list[Draft] = []
    wakes: list[int] = []
    for work in view.backups.works.values():
        record += _seen_through(view, work, now_ms, wakes)
    for name in estate.backups:
        if name not in view.backups.known:
            record.append(Draft(f"{CAPABILITY}/{name}/scheduled", now_ms, CAPABILITY, BackupScheduled(name)))
            continue
        found = agenda(estate, view, name, now_ms)
        wakes.append(found.wake_at_ms)
        record += [_job(name, due, now_ms) for due in found.due if view.plan_of(due.subject) is None]
    return Decision(tuple(record), wake_at_ms=min(wakes, default=None))


def _job(name: str, due: Due, now_ms: int) -> Draft:
    id_ = f"{CAPABILITY}/{name}/{due.number}"
    lease_ms = int(due.arguments["lease_ms"])
    steps = (
        Step(due.verb, due.server, due.arguments),
        Step(FORGET, due.server, not_before_ms=now_ms + lease_ms + 2 * SILENT_AFTER_LEASE_MS),
    )
    return Draft(id_, now_ms, CAPABILITY, PlanMade(id_, CAPABILITY, due.subject, Priority.BACKUP, steps))


def _seen_through(view: View, work: Work, now_ms: int, wakes: list[int]) -> Iterator[Draft]:
    """What is recorded of a job that goes on, or is over: an agent that is not there must hold nobody up."""
    plan = view.plans.get(work.plan)
    if plan is None or plan.state != "open":
        return
    if plan.position == 0:
        if now_ms < work.begun_ms + BEGUN_WITHIN_MS:
            wakes.append(work.begun_ms + BEGUN_WITHIN_MS)
        else:
            yield _cancelled(plan, now_ms, NOT_BEGUN.format(server=work.server))
    elif work.plan in view.backups.ended:
        if plan.attempts >= FORGET_ATTEMPTS:
            yield _cancelled(plan, now_ms, "its agent cannot be told")
        elif plan.hastened != plan.position:
            yield Draft(f"{plan.id}/over", now_ms, CAPABILITY, StepHastened(plan.id, plan.position))
    else:
        until_ms = work.begun_ms + work.lease_ms + SILENT_AFTER_LEASE_MS
        if now_ms < until_ms:
            wakes.append(until_ms)
        else:
            yield Draft(f"{plan.id}/ended", now_ms, CAPABILITY, given_up(work, NOTHING_CAME))


def _cancelled(plan: Plan, now_ms: int, why: str) -> Draft:
    return Draft(f"{plan.id}/cancelled", now_ms, CAPABILITY, PlanCancelled(plan.id, why))


def given_up(work: Work, why: str) -> Fact:
    """The fact that a job came to nothing."""
    if work.verb == TAKE:
        return CopyFailed(work.plan, work.backup, work.server, why)
    vault, copy = work.arguments["vault"], work.arguments["copy"]
    return ProofFailed(work.plan, work.backup, work.server, vault, copy, why, damaged=work.what == DAMAGED)
