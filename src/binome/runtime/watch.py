"""The watch: what this lookout sees itself and hears from the others, and what follows from it as facts.

    looks (prober.py) ► judges, one a target ─► own verdicts ─► told to the others
                                                     └────────┐
    verdicts of the others (peers.py) ────────────────────► tally ─► facts, where this lookout leads
    their heartbeats, and knocks where nobody speaks ─────► silences ─┘

All of it is looking: nothing is decided here, and nothing of it is lost that matters, since whoever starts anew is
unsure of everything until it has looked. Where it leads, the loop asks for what the journal does not say yet.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import Protocol

from binome.core.decision import View
from binome.core.entry import Draft
from binome.core.looking import Comparison
from binome.core.quorum import Tally
from binome.core.silence import MISSED_MS, Watchers
from binome.core.silence import drafts as silence_drafts
from binome.core.target import Observation, Target
from binome.core.verdict import Judged, Judges
from binome.estate import Estate
from binome.ports import Clock
from binome.runtime.knock import Door, Knock, Knocks, answers
from binome.runtime.ticks import Ticks

LOOK_TICKS = 1
"""How often the heartbeats are looked at."""
LAPSE_S = 1.0


class Silent(Protocol):
    """A lookout that is not heard, and for how long."""

    @property
    def peer(self) -> str: ...
    @property
    def since_s(self) -> float: ...


class Hearing(Protocol):
    """What is heard from the other lookouts; runtime/peers.py has it."""

    @property
    def heard(self) -> Mapping[str, float]:
        """Seconds since each peer was last heard."""

    @property
    def seen_by(self) -> Mapping[str, Mapping[str, int]]:
        """Milliseconds since each peer had heard each of the others, as of its last word."""

    def silent(self) -> Sequence[Silent]:
        """The peers that are not heard."""

    def publish(self, changes: Mapping[str, Judged]) -> None:
        """Tells all others these verdicts."""


class Watch:
    """One lookout's watch. `changed` is called when there may be something new for the loop to record.

    `hearing` gives what is heard from the others, once this lookout can speak with them; `knock` knocks at one door.
    """

    def __init__(
        self,
        estate: Estate,
        name: str,
        targets: Iterable[Target],
        clock: Clock,
        *,
        hearing: Callable[[], Hearing | None],
        changed: Callable[[], None],
        knock: Knock = answers,
        ticks: Ticks | None = None,
    ) -> None:
        self.name = name
        self.targets = tuple(targets)
        self.tally = Tally(estate)
        self.judges = Judges(self.targets, clock.now_ms())
        self._names = frozenset(target.name for target in self.targets)
        self._comparison = Comparison(self.tally)
        self._watchers = Watchers(estate)
        self._knocks = Knocks(_doors(self._watchers, estate, self.targets), clock, knock)
        self._clock, self._hearing, self._changed = clock, hearing, changed
        self._ticks = ticks or Ticks(clock)
        self._spoken_to: Hearing | None = None
        self._unheard: set[str] = set()  # the peers that were not heard a moment ago
        self._silences: dict[str, tuple[int, bool | None]] = {}  # what was seen of them last

    def saw(self, observation: Observation) -> None:
        """Takes in a look of ours."""
        now_ms = self._clock.now_ms() - round((self._clock.monotonic_s() - observation.at_s) * 1000)
        judged = self.judges.observe(observation, now_ms)
        if judged is not None:
            self._judged({observation.target: judged})

    def told(self, peer: str, verdicts: Mapping[str, Judged], whole: bool) -> None:
        """Takes in what another lookout believes: of some targets, or of all of them."""
        self.tally.hear(peer, verdicts, whole=whole)
        self._changed()

    async def run(self) -> None:
        """Watches heartbeats and forgets verdicts that nobody renewed, until it is cancelled."""
        lapse_s = 0.0
        try:
            while True:
                await self._ticks.next(LOOK_TICKS)
                self._speak()
                self._look_for_silence()
                now_s = self._clock.monotonic_s()
                if now_s >= lapse_s:
                    lapse_s = now_s + LAPSE_S
                    self._judged(dict(self.judges.lapse(now_s, self._clock.now_ms())))
        finally:
            self._knocks.close()

    def observed(self, view: View, now_ms: int) -> Sequence[Draft]:
        """What the journal does not say yet of what is seen and heard."""
        self._hear()
        found = self._comparison.drafts(view.looking, self._names, now_ms)
        hearing = self._hearing()
        if hearing is not None:
            found += silence_drafts(
                self._watchers,
                view.silence,
                now_ms,
                missed=self._watchers.missed(self.name, _in_ms(hearing.heard), hearing.seen_by),
                knocks=self._knocks.answered,
                heard_ms={**_in_ms(hearing.heard), self.name: 0},  # who decides speaks itself, from where it stands
            )
        return found

    def own(self) -> Mapping[str, Judged]:
        """What this lookout alone believes of every target."""
        return self.judges.judged()

    def heard(self) -> frozenset[str]:
        """The vantage points that are heard now, this one among them: it alone until it can speak with the others."""
        hearing = self._hearing()
        if hearing is None:
            return frozenset((self.name,))
        return frozenset(self.tally.vantages) - {one.peer for one in hearing.silent()} | {self.name}

    def _judged(self, changes: Mapping[str, Judged]) -> None:
        if not changes:
            return
        self.tally.hear(self.name, changes)
        hearing = self._hearing()
        if hearing is not None and hearing is self._spoken_to:
            hearing.publish(changes)
        self._changed()

    def _speak(self) -> None:
        """Tells the others everything, as soon as this lookout can speak with them."""
        hearing = self._hearing()
        if hearing is not None and hearing is not self._spoken_to:
            self._spoken_to = hearing
            hearing.publish(self.judges.judged())

    def _hear(self) -> None:
        """Takes in who says nothing."""
        hearing = self._hearing()
        if hearing is None:
            return
        now_ms = self._clock.now_ms()
        self.tally.quiet({one.peer: now_ms - round(one.since_s * 1000) for one in hearing.silent()})

    def _look_for_silence(self) -> None:
        """Knocks where somebody is missed; says when a silence has grown to a length that matters, or has ended."""
        hearing = self._hearing()
        if hearing is None:
            return
        heard_ms = _in_ms(hearing.heard)
        unheard = {peer for peer, age_ms in heard_ms.items() if age_ms >= MISSED_MS // 2}
        if not unheard and not self._unheard:
            return  # nearly always
        self._unheard = unheard
        self._knocks.at(site for site, there in self._watchers.sites.items() if set(there) <= unheard)
        missed = self._watchers.missed(self.name, heard_ms, hearing.seen_by)
        silences = {
            site: (sum(length <= one.for_ms for length in self._watchers.lengths), self._knocks.answered.get(site))
            for site, one in missed.items()
        }
        if silences != self._silences:
            self._silences = silences
            self._changed()


def _in_ms(heard_s: Mapping[str, float]) -> dict[str, int]:
    return {peer: round(age_s * 1000) for peer, age_s in heard_s.items()}


def _doors(watchers: Watchers, estate: Estate, targets: Iterable[Target]) -> dict[str, list[Door]]:
    """Where one can knock in each site that lookouts stand in: everything with a port that is looked at there."""
    doors: dict[str, list[Door]] = {site: [] for site in watchers.sites}
    for target in targets:
        site = estate.servers[target.server].site if target.server in estate.servers else None
        if target.port and site in doors:
            doors[site].append((target.address, target.port))
    return doors
