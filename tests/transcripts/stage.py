"""The stage of the transcripts: a platform in virtual time, watched by lookouts that run the core's own code.

Each vantage point looks at each target once a period, spread over it; a look that gets no answer takes its timeout.
What it judges its lookout tells the leader, the living vantage point that hears most others. The leader does what the
runtime does: compare, seal, apply, decide, until nothing more is to be recorded. Everything is printed as it happens.
"""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Iterable
from datetime import UTC, datetime
from random import Random

from binome.analysis.domains import Domains
from binome.core.backup_facts import BackupScheduled
from binome.core.decide import decide
from binome.core.entry import Draft, Fact, seal
from binome.core.evidence import scope_sentence, sentence
from binome.core.impact import ProductUnusable, ProductUsable
from binome.core.incident import IncidentJoined, IncidentOpened, IncidentResolved, IncidentReturned
from binome.core.logbook import line
from binome.core.looking import Comparison, LookoutsHeard, VerdictsAgreed
from binome.core.quorum import Tally
from binome.core.scope import ScopeChanged, ScopeEnded, ScopeOpened
from binome.core.scoping import graphs, provisional
from binome.core.state import State
from binome.core.target import Answer, Observation, Target, targets
from binome.core.verdict import Judges
from tests.transcripts.estates import ESTATES
from tests.transcripts.script import names, read, servers

TICK_MS = 100
BEGIN_MS = int(datetime(2021, 3, 10, 0, 46, 55, tzinfo=UTC).timestamp() * 1000)
SILENT_AFTER_MS = 1_000


def clock(at_ms: int) -> str:
    return f"{datetime.fromtimestamp(at_ms / 1000, UTC):%H:%M:%S} UTC"


class Stage:
    """One run of a script."""

    def __init__(self, estate: str) -> None:
        self.estate = ESTATES[estate]()
        self.domains = Domains(self.estate)
        self.site = graphs.of(self.estate).site
        self.targets = targets(self.estate)
        self.names = frozenset(one.name for one in self.targets)
        tally = Tally(self.estate)
        self.comparison = Comparison(tally)
        self.vantages = tally.vantages
        self.judges = {one: Judges(self.targets, BEGIN_MS) for one in self.vantages}
        self.heard_ms = dict.fromkeys(self.vantages, BEGIN_MS)
        self.state = State()
        self.lines: list[str] = []
        self.now_ms = BEGIN_MS
        self.leader = ""
        self.preferred = ""
        self.dead: set[str] = set()  # servers
        self.stopped: set[str] = set()  # targets
        self.flapping: set[str] = set()  # servers and targets
        self.cuts: set[frozenset[str]] = set()  # pairs of sites
        self.alone: set[str] = set()  # vantage points that reach nothing outside their site
        self._chance = Random(1)
        self._arriving: defaultdict[int, list[tuple[str, Observation, int]]] = defaultdict(list)
        self._said_alone: dict[str, tuple[str, ...]] = {}
        self._told: set[str] = set()
        self._phases = (self.estate.lookout.every_ms if self.estate.lookout else 1_000) // TICK_MS
        self._by_phase: defaultdict[int, list[Target]] = defaultdict(list)
        for number, target in enumerate(self.targets):
            self._by_phase[number * self._phases // len(self.targets)].append(target)

    # -- what the script says

    def happens(self, words: list[str]) -> None:
        """Carries out one line of the script, and prints it."""
        self.say("!", " ".join(words))
        verb, subjects = words[0], words[1:]
        match verb:
            case "silence":
                self.dead.update(one for subject in subjects for one in self._servers(subject))
            case "restore":
                self.dead.difference_update(one for subject in subjects for one in self._servers(subject))
            case "stop":
                self.stopped.update(one for subject in subjects for one in self._targets(subject))
            case "start":
                self.stopped.difference_update(one for subject in subjects for one in self._targets(subject))
            case "flap":
                self.flapping.update(one for subject in subjects for one in self._servers(subject))
            case "calm":
                self.flapping.clear()
            case "prefer":
                (self.preferred,) = subjects
            case "cut":
                self.cuts.add(frozenset(subjects))
            case "mend":
                self.cuts.discard(frozenset(subjects))
            case "isolate":
                self.alone.update(subjects)
            case "join":
                self.alone.difference_update(subjects)
            case _:
                raise ValueError(f"nobody knows how to {verb}")

    def _servers(self, subject: str) -> list[str]:
        return servers(self.estate, self.domains, subject)

    def _targets(self, subject: str) -> list[str]:
        return names(self.targets, subject)

    # -- what then happens

    def until(self, end_ms: int) -> None:
        """Lets the time pass."""
        while self.now_ms < end_ms:
            self._look()
            self._judge()
            self._lead()
            self._speak_alone()
            self.now_ms += TICK_MS

    def _look(self) -> None:
        phase = self.now_ms // TICK_MS % self._phases
        for vantage in self.vantages:
            if vantage in self.dead:
                continue
            for target in self._by_phase[phase]:
                answer, said, takes_ms = self._answer(vantage, target)
                observation = Observation(target.name, self.now_ms / 1000, answer, said)
                self._arriving[self.now_ms + takes_ms].append((vantage, observation, self.now_ms))

    def _answer(self, vantage: str, target: Target) -> tuple[Answer, str, int]:
        lost = target.server in self.flapping and vantage != target.server and self._chance.random() < 0.5
        if lost or target.server in self.dead or not self._reaches(vantage, target.server):
            return Answer.DOWN, "no answer", target.timeout_ms
        if target.name in self.stopped:
            return Answer.DOWN, "refused", TICK_MS
        return Answer.UP, "", TICK_MS

    def _reaches(self, one: str, other: str) -> bool:
        if self.site[one] == self.site[other]:
            return True
        cut = frozenset((self.site[one], self.site[other])) in self.cuts
        return not cut and one not in self.alone and other not in self.alone

    def _judge(self) -> None:
        for vantage, observation, begun_ms in self._arriving.pop(self.now_ms, ()):
            if vantage in self.dead:
                continue
            judged = self.judges[vantage].observe(observation, begun_ms)
            if judged is not None and self._hears(self.leader, vantage):
                self.comparison.tally.hear(vantage, {observation.target: judged})

    def _hears(self, one: str, other: str) -> bool:
        return one not in self.dead and other not in self.dead and (not one or self._reaches(one, other))

    def _lead(self) -> None:
        living = [one for one in self.vantages if one not in self.dead]
        heard = {one: sum(self._hears(one, other) for other in self.vantages) for one in living}
        able = [one for one in living if heard[one] > len(self.vantages) // 2] or living
        leader = max(able, key=lambda one: (one == self.preferred, one == self.leader, heard[one], one))
        if leader != self.leader:
            self.leader = leader
            self.say("", f"{leader} leads")
            self.comparison = Comparison(Tally(self.estate))
            for vantage in self.vantages:
                if self._hears(leader, vantage):
                    self.comparison.tally.hear(vantage, self.judges[vantage].judged(), whole=True)
        silent = {}
        for vantage in self.vantages:
            if self._hears(leader, vantage):
                if self.now_ms - self.heard_ms[vantage] > SILENT_AFTER_MS:  # it tells all, as after each silence
                    if vantage in self._restarted():
                        self.judges[vantage] = Judges(self.targets, self.now_ms)
                    self.comparison.tally.hear(vantage, self.judges[vantage].judged(), whole=True)
                self.heard_ms[vantage] = self.now_ms
            elif self.now_ms - self.heard_ms[vantage] > SILENT_AFTER_MS:
                silent[vantage] = self.heard_ms[vantage]
        self.comparison.tally.quiet(silent)
        self.record(self.comparison.drafts(self.state.looking, self.names, self.now_ms))
        for _ in range(20):
            record = decide(self.estate, self.state, self.now_ms, generation=1).record
            if not record:
                return
            self.record(record)
        raise AssertionError("the decision never comes to rest")

    def _restarted(self) -> Iterable[str]:
        """Vantage points whose last silence was a death: they begin anew, with everything unsure."""
        return [
            one for one in self.vantages if one not in self.alone and not any(self.site[one] in c for c in self.cuts)
        ]

    def record(self, drafts: Iterable[Draft]) -> None:
        for entry in seal(drafts, self.state.head, 1):
            assert entry.id not in self._told, f"{entry.id} is recorded twice"
            self._told.add(entry.id)
            names = {scope.id: scope.cause.name for scope in self.state.scope.open.values()}
            self._tell(self.state.apply(entry), names)

    def _speak_alone(self) -> None:
        """What a living lookout says that hears too few others for anybody to lead it."""
        for vantage in self.vantages:
            heard = [one for one in self.vantages if one != vantage and self._hears(vantage, one)]
            if vantage in self.dead or len(heard) + 1 > len(self.vantages) // 2:
                self._said_alone.pop(vantage, None)
                continue
            judged = self.judges[vantage].judged()
            known = provisional(self.estate, self.state.scope, vantage, judged, heard=heard, now_ms=self.now_ms)
            before = self._said_alone.get(vantage, ())
            for one in known:
                if one.scope not in before:
                    self.say(f"({vantage})", f"{one.scope}: {sentence(one.cause, clock)}")
            self._said_alone[vantage] = tuple(one.scope for one in known)

    # -- what is printed

    def _tell(self, fact: Fact, names: dict[str, str]) -> None:
        match fact:
            case VerdictsAgreed():
                self._tell_verdicts(fact)
            case LookoutsHeard():
                self.say("lookouts", f"silent: {', '.join(fact.silent)}" if fact.silent else "all are heard")
            case ScopeOpened():
                self.say("OPENED", f"{fact.scope}: {sentence(fact.cause, clock)}")
            case ScopeChanged():
                before = f", no longer {names[fact.scope]}" if names[fact.scope] != fact.cause.name else ""
                self.say("CHANGED", f"{fact.scope}{before}: {sentence(fact.cause, clock)}")
            case ScopeEnded():
                self.say("ENDED", f"{fact.scope}: {fact.why.value}{f', {fact.into}' if fact.into else ''}")
            case IncidentOpened() | IncidentJoined() | IncidentResolved() | IncidentReturned():
                self.say(f"#{fact.incident}", line(fact, clock))
            case ProductUnusable() | ProductUsable():
                self.say("product", line(fact, clock))
            case BackupScheduled():
                pass  # the estate's backups are no part of any scene
            case _:
                raise AssertionError(fact)

    def _tell_verdicts(self, fact: VerdictsAgreed) -> None:
        contradicted = [
            f"{vantage} says {word}"
            for one in fact.verdicts.values()
            for vantage, word in sorted(one.dissent.items())
            if one.verdict.value != "unsure"
        ]
        names = defaultdict(list)
        for name, one in fact.verdicts.items():
            names[one.verdict.value].append(name)
        parts = [
            f"{len(some)} {word} ({', '.join(some[:3])}{', …' if len(some) > 3 else ''})"
            for word, some in names.items()
        ]
        parts += [f"of which {words} of {count}" for words, count in Counter(contradicted).items()]
        self.say("agreed", "; ".join(parts))

    def say(self, what: str, words: str) -> None:
        at = datetime.fromtimestamp(self.now_ms / 1000, UTC)
        self.lines.append(f"{at:%H:%M:%S}.{self.now_ms % 1000 // 100} {what:9}{words}".rstrip())

    def close(self) -> None:
        """What is known at the end."""
        self.lines.append(f"open at the end: {len(self.state.scope.open) or 'nothing'}")
        for scope in self.state.scope.open.values():
            self.lines.append(f"    {scope.id}: {scope_sentence(scope, clock)}")


def play(script: str) -> str:
    """The transcript of a script; what happens before the first line of it is not printed."""
    estate, cues = read(script)
    stage = Stage(estate)
    stage.until(BEGIN_MS + 15_000)
    stage.lines = [f"{len(stage.targets)} targets are looked at from {', '.join(stage.vantages)}; {stage.leader} leads"]
    for cue in cues:
        stage.until(BEGIN_MS + 15_000 + round(cue.at_s * 1000))
        if cue.verb != "end":
            stage.happens([cue.verb, *cue.subjects])
    stage.close()
    return "".join(f"{line}\n" for line in stage.lines)
