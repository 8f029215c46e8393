"""Backups by schedule: what is due, what becomes of jobs, what people hear; a dumb oracle keeps the calendar."""

from __future__ import annotations

import re
from datetime import UTC, datetime, timedelta
from itertools import pairwise
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from binome.core.alarm import BACKUP, alarms
from binome.core.backup_concerns import Wrong, concerns, measured
from binome.core.backup_facts import (
    FORGET,
    PROVE,
    TAKE,
    BackupScheduled,
    CopyFailed,
    CopyTaken,
    ProofFailed,
    ProofMade,
    Work,
)
from binome.core.backups import BEGUN_WITHIN_MS, DAY_MS, HOUR_MS, MINUTE_MS, moment, next_moment
from binome.core.database import DatabaseSeen
from binome.core.incident import SilenceAsked
from binome.core.maintenance import MaintenanceAsked
from binome.core.page import Severity
from binome.core.plan import Command, PlanMade
from binome.core.proofs import Verdict
from binome.estate import Estate, load
from binome.estate.model import Backup
from tests.core.test_takeover import BEGIN_MS, Night

TEXT = (Path(__file__).parents[2] / "examples" / "littoral" / "estate.yaml").read_text()
TWO_AM_MS = 1_700_013_600_000  # 2023-11-15 02:00 UTC, the first after BEGIN_MS
SEEN = DatabaseSeen("database", "sbg-db", ("gra-db",))
VAULTS = ("vault-ams", "vault-par")


def littoral(**changes: str) -> Estate:
    """The example with other keys of its backup."""
    text = TEXT
    for key, value in changes.items():
        text, count = re.subn(rf"(?m)^(    {key}:).*$", rf"\1 {value}", text)
        assert count == 1, key
    return load(text.encode())


class Nights(Night):
    """Nights whose agents take and prove what they are told within `takes_ms`, unless `broken` says why not."""

    def __init__(self, estate: Estate | None = None) -> None:
        self.jobs: dict[str, tuple[Work, int]] = {}
        self.taken = 0
        self.broken: dict[str, str] = {}  # by what a job is for
        self.verdicts: dict[str, Verdict] = {}
        self.takes_ms = 10 * MINUTE_MS
        self.step_ms = MINUTE_MS
        self.lost: set[str] = set()  # jobs that nobody hears of any more
        super().__init__(estate or littoral(), SEEN)

    def until(self, at_ms: int) -> None:
        """Minute after minute, or step after step."""
        while self.now_ms < at_ms:
            self.now_ms = min(self.now_ms + self.step_ms, at_ms)
            for work in list(self.state.backups.works.values()):
                plan = self.state.plans.get(work.plan)
                begun = plan is not None and plan.position > 0
                ended = work.plan in self.state.backups.ended or work.plan in self.lost
                if begun and not ended and self.now_ms >= work.begun_ms + self.takes_ms:
                    self.happens(self.end(work))
            self.settle()

    def end(self, work: Work) -> CopyTaken | CopyFailed | ProofMade | ProofFailed:
        broken = self.broken.get(work.what)
        of = (work.plan, work.backup, work.server)
        if work.verb == TAKE:
            if broken:
                return CopyFailed(*of, broken)
            self.taken += 1
            stored = {vault: f"{vault}-{self.taken}" for vault in VAULTS}
            return CopyTaken(*of, work.begun_ms, 1000, stored, {})
        vault, copy, of_ms = work.arguments["vault"], work.arguments["copy"], int(work.arguments["of_ms"])
        damaged = work.what == "damaged"
        if broken:
            return ProofFailed(*of, vault, copy, broken, damaged)
        verdict = self.verdicts.get(work.what, Verdict.ALTERED if damaged else Verdict.PROVEN)
        found = "" if verdict is Verdict.PROVEN else "contacts/toc.dat: its content is not what was saved"
        return ProofMade(*of, vault, copy, of_ms, verdict.value, 6 * MINUTE_MS, found, damaged)

    def begun(self, verb: str) -> list[Command]:
        return [one for one in self.done if one.verb == verb]

    def wrong(self) -> list[tuple[Wrong, str]]:
        return [(one.wrong, one.vault) for one in concerns(self.estate, self.state, self.now_ms)]

    def pages(self) -> list[str]:
        return [one.page.id for one in alarms(self.estate, self.state, self.now_ms, {}) if one.page.cause == BACKUP]


# -- the calendar


def oracle(at: str | None, every_ms: int, since_ms: int, now_ms: int) -> int | None:
    """Counts the moments one after the other, from 1970 or from when it was scheduled."""
    if at is None:
        counted = since_ms
    else:
        clock = datetime(1970, 1, 1, int(at[:2]), int(at[3:]), tzinfo=UTC)
        counted = round(clock.timestamp() * 1000)
        while counted - every_ms >= 0:
            counted -= every_ms
    found = None
    while counted <= now_ms:
        found = counted if counted >= since_ms else None
        counted += every_ms
    return found


@given(
    st.sampled_from([None, "00:00", "02:00", "23:59"]),
    st.sampled_from([HOUR_MS, 12 * HOUR_MS, DAY_MS, 7 * DAY_MS, 95 * MINUTE_MS]),
    st.integers(0, 20 * DAY_MS),
    st.integers(0, 20 * DAY_MS),
)
def test_the_moments_are_those_that_are_counted(at: str | None, every_ms: int, since_ms: int, later_ms: int) -> None:
    backup = littoral().backups["nightly"].model_copy(update={"at": at, "every_ms": every_ms})
    now_ms = since_ms + later_ms
    assert moment(backup, since_ms, now_ms) == oracle(at, every_ms, since_ms, now_ms)
    following = next_moment(backup, since_ms, now_ms)
    assert now_ms < following <= now_ms + every_ms
    assert moment(backup, since_ms, following) == following
    assert moment(backup, since_ms, following - 1) == moment(backup, since_ms, now_ms)


def test_at_is_a_time_of_utc() -> None:
    backup: Backup = littoral().backups["nightly"]
    newest = moment(backup, BEGIN_MS, BEGIN_MS + 2 * DAY_MS)
    assert newest is not None
    assert datetime.fromtimestamp(newest / 1000, UTC).strftime("%H:%M") == "02:00"
    assert moment(backup, BEGIN_MS, BEGIN_MS) is None, "what had its time before it was scheduled is nobody's"
    assert next_moment(backup, BEGIN_MS, BEGIN_MS) == TWO_AM_MS


# -- what is due


def test_a_night_takes_a_copy_at_a_standby_and_proves_it_in_every_vault() -> None:
    nights = Nights()
    nights.until(TWO_AM_MS - 1)
    assert nights.done == []
    nights.until(TWO_AM_MS + HOUR_MS)
    (take,) = nights.begun(TAKE)
    take_ms = next(draft.at_ms for draft in nights.drafts if isinstance(draft.fact, PlanMade))
    assert TWO_AM_MS <= take_ms < TWO_AM_MS + MINUTE_MS
    assert (take.server, take.subject, take.arguments["backup"]) == ("gra-db", "nightly", "nightly")
    proofs = [(one.server, one.arguments["what"], one.arguments["copy"]) for one in nights.begun(PROVE)]
    assert proofs == [
        ("par-spare", "vault-ams", "vault-ams-1"),
        ("par-spare", "vault-par", "vault-par-1"),
        ("par-spare", "damaged", proofs[2][2]),
    ]
    assert len(nights.begun(FORGET)) == 4, "whoever has a result is told that the journal has it"
    assert not [one for one in nights.state.plans.values() if one.capability == "backup"]
    assert nights.wrong() == []
    known = nights.state.backups.known["nightly"]
    found = measured(nights.estate.backups["nightly"], known)
    assert found is not None
    assert (found.restored_ms, found.copy_at_ms) == (6 * MINUTE_MS, take_ms)


def test_many_nights_have_a_copy_each_and_a_damaged_one_a_week() -> None:
    nights = Nights()
    nights.takes_ms, nights.step_ms = 40 * MINUTE_MS, 20 * MINUTE_MS
    for day in range(15):
        nights.until(TWO_AM_MS + day * DAY_MS + 20 * HOUR_MS)
        assert nights.wrong() == []
    assert len(nights.begun(TAKE)) == 15
    what = [one.arguments["what"] for one in nights.begun(PROVE)]
    assert [what.count(one) for one in (*VAULTS, "damaged")] == [15, 15, 3]
    assert {one.arguments["vault"] for one in nights.begun(PROVE) if one.arguments["what"] == "damaged"} == set(VAULTS)


@pytest.mark.parametrize(
    ("every", "proof", "days", "copies", "proofs"),
    [
        ("1d", "{every: 7d, on: par-spare}", 22, 22, 4),  # on the nights 0, 7, 14 and 21
        ("7d", "{every: 1d, on: par-spare}", 14, 2, 14),  # what was good is tried again each day
        ("12h", "{every: 1d, on: par-spare}", 6, 12, 6),
    ],
)
def test_proofs_have_a_rhythm_of_their_own(every: str, proof: str, days: int, copies: int, proofs: int) -> None:
    nights = Nights(littoral(every=every, proof=proof))
    nights.step_ms = 15 * MINUTE_MS
    first_ms = next_moment(nights.estate.backups["nightly"], BEGIN_MS, BEGIN_MS)
    for hour in range(days * 24):
        nights.until(first_ms + hour * HOUR_MS)
        assert nights.wrong() == [], timedelta(hours=hour)
    what = [one.arguments["what"] for one in nights.begun(PROVE)]
    assert len(nights.begun(TAKE)) == copies
    assert what.count("vault-ams") == pytest.approx(proofs, abs=1)


def test_without_agents_nothing_is_scheduled_or_said() -> None:
    alone = load(re.sub(r"(?m)^lookout: .*$", "lookout: {on: [par-watch]}", TEXT).encode())
    nights = Nights(alone)
    nights.until(TWO_AM_MS + 3 * DAY_MS)
    assert (nights.done, nights.wrong()) == ([], [])


def test_what_was_missed_is_made_up_for_once() -> None:
    nights = Nights()
    nights.now_ms = TWO_AM_MS + 9 * DAY_MS + HOUR_MS  # nobody led for nine days
    nights.until(nights.now_ms + 2 * HOUR_MS)
    (take,) = nights.begun(TAKE)
    assert take.arguments["slot"] == str(TWO_AM_MS + 9 * DAY_MS)


# -- what fails


def test_a_copy_that_fails_is_tried_again_later_each_time_and_by_others() -> None:
    nights = Nights()
    nights.broken["copy"] = "it is full"
    nights.takes_ms = MINUTE_MS
    nights.until(TWO_AM_MS + 4 * HOUR_MS)
    begun = [fact for fact in nights.facts if isinstance(fact, PlanMade)]
    assert [one.steps[0].server for one in begun[:4]] == ["gra-db", "sbg-db"] * 2
    at = [int(draft.at_ms) - TWO_AM_MS for draft in nights.drafts if isinstance(draft.fact, PlanMade)]
    assert [round((b - a) / MINUTE_MS) for a, b in pairwise(at)] == [6, 11, 21, 41, 61, 61]
    assert nights.wrong() == [(Wrong.NO_COPY, "")]
    nights.broken.clear()
    nights.until(nights.now_ms + 3 * HOUR_MS)
    assert nights.wrong() == []
    assert len(nights.begun(TAKE)) == len(begun) + 1


def test_an_agent_that_gives_no_answer_holds_nobody_up() -> None:
    nights = Nights()
    nights.answer = lambda command: "unknown" if command.server == "gra-db" else "done"
    nights.until(TWO_AM_MS + BEGUN_WITHIN_MS + 30 * MINUTE_MS)
    assert {one.server for one in nights.begun(TAKE)} == {"gra-db", "sbg-db"}
    assert nights.taken == 1
    nights.until(TWO_AM_MS + HOUR_MS)
    assert not [one for one in nights.state.plans.values() if one.state == "needs-person"]


def test_an_agent_that_dies_after_its_work_needs_no_person() -> None:
    nights = Nights()
    nights.answer = lambda command: "unknown" if command.verb == FORGET else "done"
    nights.until(TWO_AM_MS + 6 * HOUR_MS)
    assert (nights.taken, nights.wrong()) == (1, [])
    assert not [one for one in nights.state.plans.values() if one.capability == "backup"]


def test_a_job_that_nobody_hears_of_is_given_up_after_its_lease() -> None:
    nights = Nights()
    nights.until(TWO_AM_MS + MINUTE_MS)
    (work,) = nights.state.backups.working("nightly")
    nights.lost.add(work.plan)
    nights.until(TWO_AM_MS + DAY_MS + 5 * MINUTE_MS)
    assert len(nights.begun(TAKE)) == 1, "it may take a day"
    nights.until(TWO_AM_MS + DAY_MS + HOUR_MS)
    assert (len(nights.begun(TAKE)), nights.taken) == (2, 1)
    assert [fact.why for fact in nights.facts if isinstance(fact, CopyFailed)] == [
        "nothing came of it in the time that it had"
    ]


def test_people_who_work_on_a_server_are_left_alone() -> None:
    nights = Nights()
    nights.happens(MaintenanceAsked("r", "gra-db", TWO_AM_MS + DAY_MS, "disks", "ops-1"))
    nights.until(TWO_AM_MS + HOUR_MS)
    assert [one.server for one in nights.begun(TAKE)] == ["sbg-db"]


# -- what people hear


def test_a_proof_that_is_late_is_one_page_until_the_next_good_one() -> None:
    nights = Nights()
    nights.until(TWO_AM_MS + 12 * HOUR_MS)
    nights.broken["copy"] = "it is full"
    pages: dict[str, int] = {}
    while nights.now_ms < TWO_AM_MS + 5 * DAY_MS:
        nights.until(nights.now_ms + HOUR_MS)
        for page in nights.pages():
            pages.setdefault(page, nights.now_ms - TWO_AM_MS)
    (first_ms,) = pages.values()
    assert 26 * HOUR_MS < first_ms < 28 * HOUR_MS
    (alarm,) = [one for one in alarms(nights.estate, nights.state, nights.now_ms, {}) if one.page.cause == BACKUP]
    assert alarm.page.severity is Severity.WARNING
    assert alarm.page.what == "No proven copy of contacts in vault-ams is younger than 26.5 h"
    assert alarm.page.detail == "it is full"
    nights.broken.clear()
    nights.until(nights.now_ms + 2 * HOUR_MS)
    assert nights.pages() == []


def test_a_copy_that_never_was_is_told_two_hours_after_the_first_moment() -> None:
    nights = Nights()
    nights.broken["copy"] = "what is to be saved cannot be reached"
    nights.until(TWO_AM_MS + 2 * HOUR_MS)
    assert nights.wrong() == []
    nights.until(TWO_AM_MS + 2 * HOUR_MS + MINUTE_MS)
    (one,) = concerns(nights.estate, nights.state, nights.now_ms)
    assert (one.wrong, one.age_ms, one.since_ms) == (Wrong.NO_COPY, None, TWO_AM_MS + 2 * HOUR_MS)
    first = nights.pages()
    nights.until(TWO_AM_MS + 2 * DAY_MS)
    assert nights.wrong() == [(Wrong.NOT_PROVEN, "vault-ams")]
    assert nights.pages() == first, "it is the same page"


def test_a_long_first_job_is_waited_for() -> None:
    nights = Nights()
    nights.takes_ms, nights.step_ms = 5 * HOUR_MS, 10 * MINUTE_MS
    for _ in range(60):
        nights.until(nights.now_ms + HOUR_MS)
        assert nights.wrong() == []


@pytest.mark.parametrize("verdict", [one for one in Verdict if one is not Verdict.PROVEN])
def test_a_proof_that_failed_is_told_at_once_until_a_later_one_is_good(verdict: Verdict) -> None:
    nights = Nights()
    nights.until(TWO_AM_MS + 12 * HOUR_MS)
    nights.verdicts["vault-par"] = verdict
    nights.until(TWO_AM_MS + DAY_MS + 2 * HOUR_MS)
    assert nights.wrong() == [(Wrong.FAILED, "vault-par")]
    (page,) = nights.pages()
    nights.until(TWO_AM_MS + DAY_MS + 20 * HOUR_MS)
    assert nights.pages() == [page]
    nights.verdicts.clear()
    nights.until(TWO_AM_MS + 2 * DAY_MS + 2 * HOUR_MS)
    assert nights.pages() == []
    tries = [one for one in nights.begun(PROVE) if one.arguments["copy"] == "vault-par-2"]
    assert len(tries) > 2
    assert len(tries) < 30, "a restore is heavy work"


def test_a_damaged_copy_that_passes_is_the_incident() -> None:
    nights = Nights()
    nights.verdicts["damaged"] = Verdict.PROVEN
    nights.until(TWO_AM_MS + 2 * HOUR_MS)
    (alarm,) = [one for one in alarms(nights.estate, nights.state, nights.now_ms, {}) if one.page.cause == BACKUP]
    assert (alarm.page.severity, alarm.muted) == (Severity.CRITICAL, False)
    assert "was damaged on purpose, and passes its proof" in alarm.page.what
    nights.verdicts.clear()
    nights.until(TWO_AM_MS + 8 * DAY_MS)
    assert nights.pages() == []


def test_a_silence_of_the_service_mutes() -> None:
    nights = Nights()
    nights.broken["copy"] = "no"
    nights.until(TWO_AM_MS + 3 * HOUR_MS)
    nights.happens(SilenceAsked("r", "database", nights.now_ms + DAY_MS, "moving", "ops-1"))
    (alarm,) = [one for one in alarms(nights.estate, nights.state, nights.now_ms, {}) if one.page.cause == BACKUP]
    assert alarm.muted


# -- the fold


def test_what_came_of_no_job_of_ours_is_kept() -> None:
    nights = Nights()
    nights.until(TWO_AM_MS + 30 * MINUTE_MS)
    known = nights.state.backups.known["nightly"]
    nights.happens(ProofMade("by-hand", "nightly", "par-spare", "vault-old", "x", 5, Verdict.PROVEN.value, 7))
    assert known.in_vault("vault-old").proven is not None
    nights.happens(CopyTaken("by-hand-2", "later", "gra-db", 5, 7, {"vault-ams": "y"}, {}))
    nights.happens(BackupScheduled("later"))
    assert nights.state.backups.known["later"].in_vault("vault-ams").copy is not None


def test_a_plan_of_another_version_is_no_job_here() -> None:
    nights = Nights()
    nights.until(TWO_AM_MS)
    (made,) = [fact for fact in nights.facts if isinstance(fact, PlanMade)]
    other = PlanMade("backup/x", "backup", "other", 5, (made.steps[1],))
    nights.happens(other)
    assert "backup/x" not in nights.state.backups.works
