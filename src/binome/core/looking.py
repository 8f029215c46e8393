"""Looking: what is agreed of every target, as facts.

    verdicts of vantage points ► Tally (quorum.py) ► agreed_drafts ► VerdictsAgreed, LookoutsHeard ► LookingSlice

Only the leader records. It records what differs from what the journal has: a verdict, a vantage point that contradicts
it, one more that says so too. That somebody has no word any more is not recorded while a majority still has one, and
that a verdict is the same as before never is. So the journal grows with what happens, not with the time.

One fact holds many changes, and what is recorded at once is bounded (`CHANGES_AT_ONCE`), since one append must fit
into one request to etcd. `more` says that changes of the same moment are still to come: nobody judges half of a loss.
"""

from __future__ import annotations

from collections.abc import Iterable

from binome.core.entry import Draft, Fact
from binome.core.quorum import NOTHING_KNOWN, Agreed, Tally
from binome.core.verdict import Verdict

CAPABILITY = "looking"
CHANGES_AT_ONCE = 3000


class VerdictsAgreed(Fact, frozen=True, tag="verdicts-agreed"):
    """What is agreed of some targets from now on. `confirmed`: whether enough vantage points look to act on it."""

    verdicts: dict[str, Agreed]
    confirmed: bool
    more: bool = False


class LookoutsHeard(Fact, frozen=True, tag="lookouts-heard"):
    """Which lookouts are silent from now on, each since when; all others are heard."""

    silent: dict[str, int]


FACTS = (VerdictsAgreed, LookoutsHeard)


class LookingSlice:
    """What is agreed of every target; a target that is not in it is unsure."""

    def __init__(self) -> None:
        self.agreed: dict[str, Agreed] = {}
        self.fallen: dict[str, int] = {}  # targets that are down or flapping, and when that was recorded
        self.contradicted: dict[str, int] = {}  # targets that not all vantage points say the same of, and since when
        self.silent: dict[str, int] = {}
        self.returned: dict[str, int] = {}  # lookouts that were silent, and when they were heard again
        self.confirmed = False
        self.more = False
        self.count = 0  # of the facts that made it

    def apply(self, fact: Fact, at_ms: int) -> None:
        """Takes in a fact of this capability."""
        match fact:
            case VerdictsAgreed():
                for target, agreed in fact.verdicts.items():
                    self._take(target, agreed, at_ms)
                self.confirmed, self.more = fact.confirmed, fact.more
            case LookoutsHeard():
                for lookout in self.silent.keys() - fact.silent.keys():
                    self.returned[lookout] = at_ms
                self.silent = dict(fact.silent)
            case _:
                return
        self.count += 1

    def _take(self, target: str, agreed: Agreed, at_ms: int) -> None:
        before = self.agreed.get(target, NOTHING_KNOWN)
        if agreed == NOTHING_KNOWN:
            self.agreed.pop(target, None)
        else:
            self.agreed[target] = agreed
        if agreed.verdict not in (Verdict.DOWN, Verdict.FLAPPING):
            self.fallen.pop(target, None)
        elif before.verdict is not agreed.verdict:
            self.fallen[target] = at_ms
        if not agreed.dissent:
            self.contradicted.pop(target, None)
        elif before.dissent != agreed.dissent or before.verdict is not agreed.verdict:
            self.contradicted[target] = at_ms

    def verdict(self, target: str) -> Verdict:
        """What is agreed of a target."""
        return self.agreed.get(target, NOTHING_KNOWN).verdict


class Comparison:
    """A tally beside what the journal has of it: finds what is to be recorded without looking at everything again."""

    def __init__(self, tally: Tally) -> None:
        self.tally = tally
        self._compared: tuple[LookingSlice, int] | None = None

    def drafts(self, looking: LookingSlice, known: Iterable[str], now_ms: int) -> list[Draft]:
        """What is to be recorded, as `agreed_drafts`. `known` are the names of all targets of the estate."""
        if self._compared != (looking, looking.count):  # another leader may have recorded something else
            self.tally.touched.update(dict.fromkeys((*looking.agreed, *self.tally.targets())))
            self._compared = (looking, looking.count)
        return agreed_drafts(self.tally, looking, known, now_ms)


def agreed_drafts(tally: Tally, looking: LookingSlice, known: Iterable[str], now_ms: int) -> list[Draft]:
    """What differs between the tally's touched targets and the slice, as drafts; empty where nothing does.

    Made again from the same slice the drafts have the same ids, so that the journal takes them once; folded, they
    leave no difference. What is the same is taken out of `touched`; what is drafted stays there until it is recorded.
    Targets that the estate does not have (any more) are forgotten: unsure.
    """
    drafts = []
    if tally.silent.keys() != looking.silent.keys():
        heard = LookoutsHeard(dict(tally.silent))
        drafts.append(Draft(f"{CAPABILITY}/{looking.count}/lookouts", now_ms, CAPABILITY, heard))
    names = known if isinstance(known, frozenset | set | dict) else frozenset(known)
    changes: dict[str, Agreed] = {}
    same = []
    more = False
    for target in tally.touched:
        agreed = tally.agreed(target) if target in names else NOTHING_KNOWN
        if not _differs(looking.agreed.get(target, NOTHING_KNOWN), agreed):
            same.append(target)
        elif len(changes) == CHANGES_AT_ONCE:
            more = True
            break
        else:
            changes[target] = _not_ahead(agreed, now_ms)
    for target in same:
        del tally.touched[target]
    if changes or looking.more or (looking.agreed and looking.confirmed is not tally.confirmed):
        fact = VerdictsAgreed(changes, tally.confirmed, more)
        drafts.append(Draft(f"{CAPABILITY}/{looking.count}/verdicts", now_ms, CAPABILITY, fact))
    return drafts


def _differs(recorded: Agreed, now: Agreed) -> bool:
    if recorded.verdict is not now.verdict:
        return True
    if recorded.dissent != now.dissent:
        return True
    return not set(now.by) <= set(recorded.by)


def _not_ahead(agreed: Agreed, now_ms: int) -> Agreed:
    """The same, with no beginning in the future: one wall clock may be ahead of the leader's."""
    if agreed.since_ms <= now_ms:
        return agreed
    return Agreed(agreed.verdict, now_ms, agreed.by, agreed.dissent, agreed.said)
