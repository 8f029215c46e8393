"""What people are told of backups: which have no copy, or none that is known to be good; what a restore would take.

What is late follows from the schedule (backups.py). GRACE is half an `every`, at most two hours, and as much more as
the last copy and the last proofs took together, at most one `every`:

    no copy                  GRACE after a moment that has none
    no proven copy           one `every` (where proofs are rarer: one `proof.every` and half an `every`) and GRACE after
                             the moment that the newest proven copy is of; where none ever was, twice GRACE after the
                             first moment, or, while the first try still goes on, one `every` and GRACE
    its proof has expired    one `proof.every` (and half an `every`) and GRACE after it was made
    a proof failed           at once, until a later one is good
    a damaged copy passed    at once, until a later one fails as it should: proofs that cannot fail prove nothing

One page a backup at a time, about what is worst; the next good proof ends it. A lie is a page of its own.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from enum import StrEnum
from typing import NamedTuple

from binome.analysis.times import duration
from binome.core.backup_facts import COPY, PROVEN, Known, Tried
from binome.core.backups import HOUR_MS, is_scheduled, moment, next_moment, takers
from binome.core.decision import View
from binome.core.sources import SourceError, sources
from binome.estate import Estate
from binome.estate.model import Backup

GRACE_AT_MOST_MS = 2 * HOUR_MS


class Wrong(StrEnum):
    """What is wrong with a backup, worst first."""

    LIE = "a damaged copy was called proven"
    FAILED = "the proof failed"
    NOT_PROVEN = "no proven copy"
    NO_COPY = "no copy"


_ORDER = tuple(Wrong)


class Concern(NamedTuple):
    """What people are to hear of a backup: since when it is so, and how old the newest good thing was then.

    `age_ms` is None where there never was one. `episode` is the same for as long as nothing got better.
    """

    backup: str
    wrong: Wrong
    vault: str
    since_ms: int
    age_ms: int | None
    why: str
    episode: str


def concerns(estate: Estate, view: View, now_ms: int) -> list[Concern]:
    """What is wrong with backups now: of each at most one thing, and its lie."""
    found = []
    for name in estate.backups if is_scheduled(estate) else ():
        known = view.backups.known.get(name)
        if known is None:
            continue
        if (lie := known.lie) is not None:
            found.append(Concern(name, Wrong.LIE, lie.vault, known.lie_ms, None, "", f"{name}/{lie.job}"))
        judged = _Judged(estate, view, name, known, now_ms)
        worst = [*judged.vaults(), *judged.copies()]
        found += sorted(worst, key=lambda one: (_ORDER.index(one.wrong), one.since_ms))[:1]
    return found


class _Judged:
    """One backup, held against its schedule."""

    def __init__(self, estate: Estate, view: View, name: str, known: Known, now_ms: int) -> None:
        self.estate, self.view, self.name, self.known, self.now_ms = estate, view, name, known, now_ms
        self.backup = estate.backups[name]
        self.grace_ms = grace_ms(self.backup, known)

    def vaults(self) -> Iterator[Concern]:
        """The vaults whose newest proof failed, or is late."""
        for vault in self.backup.to if self.backup.proof is not None else ():
            there = self.known.in_vault(vault)
            proven, tried = there.proven, there.tried
            if tried is not None and tried.verdict != PROVEN:
                said = f"{tried.verdict}: {tried.found}" if tried.found else tried.verdict
                episode = f"{self.name}/{vault}/{proven.made_ms if proven else self.known.since_ms}"
                yield Concern(self.name, Wrong.FAILED, vault, tried.made_ms, None, said, episode)
            elif self.now_ms > (late_ms := self._late_ms(proven)):
                failures = self.known.failures.get(vault) or self.known.failures.get(COPY)
                age_ms = late_ms - proven.copy_at_ms if proven else None
                why, episode = failures.why if failures else "", self._episode()
                if proven and late_ms < proven.copy_at_ms + proven_within_ms(self.backup, self.known):
                    episode += f"/expired/{proven.made_ms}"
                yield Concern(self.name, Wrong.NOT_PROVEN, vault, late_ms, age_ms, why, episode)

    def _late_ms(self, proven: Tried | None) -> int:
        """Until when the newest proof in a vault, or that there is none, is good enough."""
        if proven is None:
            first_ms = next_moment(self.backup, self.known.since_ms, self.known.since_ms - 1)
            return first_ms + self.grace_ms + self._waits_ms()
        copy_ms = proven.copy_at_ms + proven_within_ms(self.backup, self.known)
        return min(copy_ms, proven.made_ms + proof_within_ms(self.backup, self.known))

    def copies(self) -> Iterator[Concern]:
        """That a moment has come which has no copy, long ago."""
        known, newest_ms = self.known, moment(self.backup, self.known.since_ms, self.now_ms)
        if newest_ms is None or known.slot_ms >= newest_ms:
            return
        late_ms = next_moment(self.backup, known.since_ms, known.slot_ms) + self._waits_ms()
        if self.now_ms > late_ms:
            copies = [there.copy.at_ms for there in known.vaults.values() if there.copy is not None]
            age_ms = late_ms - max(copies) if copies else None
            failures = known.failures.get(COPY)
            why = failures.why if failures else self._why_nobody()
            yield Concern(self.name, Wrong.NO_COPY, "", late_ms, age_ms, why, self._episode())

    def _waits_ms(self) -> int:
        """How long is waited: longer for a first try that still goes on."""
        tries = bool(self.view.backups.working(self.name)) and not self.known.failures
        return max(self.backup.every_ms, self.grace_ms) if tries else self.grace_ms

    def _episode(self) -> str:
        """The same until the vault that has waited longest for a proven copy gets a newer one."""
        proven = [self.known.in_vault(vault).proven for vault in self.backup.to]
        return f"{self.name}/{min(one.copy_at_ms if one else self.known.since_ms for one in proven)}"

    def _why_nobody(self) -> str:
        """Why no server can take it; empty where one can."""
        if takers(self.estate, self.view, self.name):
            return ""
        members = self.estate.services[self.estate.data[self.backup.of[0]].in_].on
        try:
            sources(self.estate, self.name, members[0])
        except SourceError as error:
            return str(error)
        return "people work on every server that could take it"


def grace_ms(backup: Backup, known: Known) -> int:
    """How much later than its time a copy or a proof may be."""
    proofs = [there.tried.took_ms for there in known.vaults.values() if there.tried is not None]
    return min(backup.every_ms // 2, GRACE_AT_MOST_MS) + min(backup.every_ms, known.took_ms + sum(proofs))


def proven_within_ms(backup: Backup, known: Known) -> int:
    """How old the moment of the newest proven copy may be."""
    rarer = backup.proof is not None and backup.proof.every_ms > backup.every_ms
    return proof_within_ms(backup, known) if rarer else backup.every_ms + grace_ms(backup, known)


def proof_within_ms(backup: Backup, known: Known) -> int:
    """How old the proof of a copy may be."""
    if backup.proof is None:
        return 0
    waits_ms = backup.every_ms // 2 if backup.proof.every_ms > backup.every_ms else 0
    return backup.proof.every_ms + waits_ms + grace_ms(backup, known)


def sentence_of(one: Concern, of: Sequence[str]) -> str:
    """A concern in words, behind which stands since when."""
    data = " and ".join(of)
    match one.wrong:
        case Wrong.LIE:
            return f"A copy of {data} from {one.vault} was damaged on purpose, and passes its proof"
        case Wrong.FAILED:
            return f"The newest copy of {data} in {one.vault} is not good"
        case Wrong.NOT_PROVEN if one.age_ms is not None:
            return f"No proven copy of {data} in {one.vault} is younger than {duration(one.age_ms / 1000)}"
        case Wrong.NOT_PROVEN:
            return f"No copy of {data} in {one.vault} is proven"
    return f"No copy of {data}" + (f" is younger than {duration(one.age_ms / 1000)}" if one.age_ms is not None else "")


# -- what was measured


class Measures(NamedTuple):
    """What is measured of a backup: how long a restore takes, and which moment it leads to; by its worst vault."""

    restored_ms: int
    copy_at_ms: int


def measured(backup: Backup, known: Known) -> Measures | None:
    """What a restore would take and lose, whichever vault is left; None where one of them has no proven copy."""
    proven = [known.in_vault(vault).proven for vault in backup.to]
    good = [one for one in proven if one is not None]
    if len(good) < len(proven):
        return None
    return Measures(max(one.restored_ms for one in good), min(one.copy_at_ms for one in good))
