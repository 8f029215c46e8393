"""A scene of `tests/transcripts`, lived through by simulated lookouts instead of played on the stage.

    script ► World (production watch, prober, loop, journal; links, etcd, disks modelled) ► agreed journal ► steps
    transcript, as it is written down ────────────────────────────────────────────────────────────────────► steps

A *step* is a scope that opens, becomes another cause, or ends. When it does depends on whose looks came when, and so do
the counts on the way (*5 of 6*, then *6 of 6*): they are left out of both. What is open at the end is whole sentences,
without the times in them.

The stage has no etcd: here each site has a member of it, which has power as long as any server of its site has. And
here chance says who leads: a scene begins in the first of its worlds in which the one leads who does in the transcript.
"""

from __future__ import annotations

import gc
import re
from random import Random
from typing import NamedTuple

from binome.analysis.domains import Domains
from binome.core.entry import Entry
from binome.core.evidence import scope_sentence, sentence
from binome.core.scope import ScopeChanged, ScopeEnded, ScopeOpened
from binome.core.scoping import graphs
from binome.core.state import State
from binome.estate import Estate
from binome.sim.checkers_of_looking import verdicts
from binome.sim.history import Agreed, Leads
from binome.sim.shape import LOOKING
from binome.sim.world import World
from tests.transcripts.estates import ESTATES
from tests.transcripts.script import Cue, Script, names, read, servers

WARM_S = 15.0
"""So long after somebody leads the script begins, as on the stage."""
WORLDS = 20
LINE = "----\n"
STEP = re.compile(r"\S+ (OPENED|CHANGED|ENDED) +(\S+?)(?:, no longer \S+)?: (.*)")
TIME = re.compile(r" since \d\d:\d\d:\d\d UTC")
LEADS = re.compile(r"; (\S+) leads$", re.MULTILINE)
OPEN = "open at the end: "


class Step(NamedTuple):
    """A scope opens, becomes another cause, or ends: what it is called then (*Server par-1 is down*), or why."""

    scope: str
    what: str
    words: str


class Course(NamedTuple):
    """The steps of a scene, and the sentences about what is open at its end.

    Each scope's steps are in their order, the scopes in that of their names: which of two things that have nothing to
    do with each other is known first depends on whose looks came first.
    """

    steps: tuple[Step, ...]
    open: tuple[str, ...]

    def comes_to(self) -> tuple[tuple[str, str], ...]:
        """What the last scope is taken for in the end, and how it ends; not its name, which is of its first sign."""
        return tuple((step.what.replace("OPENED", "CHANGED"), step.words) for step in self.steps[-2:])


class _Steps:
    """Collects steps; a scope that only has other counts, or more evidence, makes none."""

    def __init__(self) -> None:
        self._all: list[Step] = []
        self._causes: dict[str, str] = {}

    def add(self, what: str, scope: str, words: str) -> None:
        if what != "ENDED":
            words = re.split(": | since ", words)[0]
        if self._causes.get(scope) != words:
            self._all.append(Step(scope, what, words))
        self._causes[scope] = words

    def course(self, left: list[str]) -> Course:
        steps = sorted(self._all, key=lambda step: step.scope)
        return Course(tuple(steps), tuple(sorted(TIME.sub("", line).strip() for line in left)))


def written(scene: str) -> Course:
    """What a scene's transcript says."""
    _, _, transcript = scene.partition(LINE)
    told, _, at_end = transcript.partition(OPEN)
    steps = _Steps()
    for line in told.splitlines():
        if found := STEP.fullmatch(line):
            steps.add(*found.groups())
    return steps.course(at_end.splitlines()[1:])


class Platform:
    """`sim.shape.Place`, of an estate. The site of `first`, who leads first, comes last: there nobody stands back."""

    def __init__(self, estate: Estate, first: str) -> None:
        self.night, self.servers, self.members = LOOKING, list[str](), list[str]()
        self._estate, self._site = estate, graphs.of(estate).site
        assert estate.lookout is not None
        self.nodes = list(estate.lookout.on)
        self.sites = sorted(estate.sites, key=lambda site: (site == self._site[first], site))

    def site_of(self, name: str) -> str:
        """Where a server stands."""
        return self._site[name]

    def groups(self) -> dict[str, list[str]]:
        """The lookouts by site: in a scene no two of them share less."""
        found: dict[str, list[str]] = {}
        for name in self.nodes:
            found.setdefault(self.site_of(name), []).append(name)
        return found

    def estate(self) -> Estate:
        """The estate of the script."""
        return self._estate


class Scene:
    """A scene that is being lived through."""

    def __init__(self, name: str, text: str) -> None:
        self.script: Script = read(text.partition(LINE)[0])
        self._first = self._leads_first(text)
        self.place = Platform(ESTATES[self.script.estate](), self._first)
        self._estate = self.place.estate()
        self._domains = Domains(self._estate)
        self.world = self._led(name)
        self._dead: set[str] = set()
        self._stopped: set[str] = set()
        self._flapping: set[str] = set()
        self._chance = Random(f"{name}/flap")
        self.world.sights.watch_services(self._lost)

    def _leads_first(self, text: str) -> str:
        """Who is to lead when things begin to happen: the one whom the script prefers, or else who did on the stage."""
        preferred = [cue.subjects[0] for cue in self.script.cues if cue.verb == "prefer"]
        found = LEADS.search(text)
        assert found is not None, text
        return (preferred or [found[1]])[0]

    def _led(self, name: str) -> World:
        """A world that has just come to be led by the right one."""
        for number in range(WORLDS):
            world = World(f"{name}/{number}", self.place, (), ())
            while world.loop.now_s < WARM_S and not (led := _leads(world)):
                world.loop.run_until(world.loop.now_s + 0.1)
            if led == [self._first]:
                return world
            world.loop.dispose()
            world.servers.dispose()
        raise AssertionError(f"{self._first} leads in none of {WORLDS} worlds")

    def live(self) -> Course:
        """Lives through the scene: what the agreed journal says of it. Fails where what is agreed has no ground."""
        collecting = gc.isenabled()
        gc.disable()  # as in `World.run`
        try:
            self._live()
        finally:
            self.world.loop.dispose()
            self.world.servers.dispose()
            if collecting:
                gc.enable()
        assert list(verdicts(self.world.history.events)) == []
        return self._course()

    def _live(self) -> None:
        begin_s = self.world.loop.now_s + WARM_S
        for cue in self.script.cues:
            self.world.loop.run_until(begin_s + cue.at_s)
            self._happens(cue)

    # -- what the script says

    def _happens(self, cue: Cue) -> None:
        match cue.verb:
            case "silence":
                self._set_dead(self._dead | self._servers(cue))
            case "restore":
                self._set_dead(self._dead - self._servers(cue))
            case "stop":
                self._set_stopped(self._stopped | self._targets(cue))
            case "start":
                self._set_stopped(self._stopped - self._targets(cue))
            case "flap":
                self._flapping |= self._servers(cue)
            case "calm":
                self._flapping.clear()
            case "cut" | "mend":
                one, other = cue.subjects
                self._cut({(one, other), (other, one)}, cue.verb == "cut")
            case "isolate" | "join":
                self._set_alone(cue.subjects, cue.verb == "isolate")
            case "prefer" | "end":
                pass
            case verb:
                raise ValueError(f"nobody knows how to {verb}")

    def _servers(self, cue: Cue) -> set[str]:
        return {one for subject in cue.subjects for one in servers(self._estate, self._domains, subject)}

    def _targets(self, cue: Cue) -> set[str]:
        return {one for subject in cue.subjects for one in names(self.world.sights.targets.values(), subject)}

    def _set_dead(self, dead: set[str]) -> None:
        """These servers have no power: with them lookouts, and, where a whole site is dead, its member of etcd."""
        before, self._dead = self._dead, dead
        for name in sorted(before ^ dead):
            self.world.sights.downs[name] += 1 if name in dead else -1
        for node in self.world.nodes:
            if node.name in before ^ dead:
                node.set_down(node.name in dead)
        for site in self.place.sites:
            there = {name for name in self._estate.servers if self.place.site_of(name) == site}
            if (there <= before) != (there <= dead):
                self.world.cluster.set_down(self.world.cluster.member(f"etcd-{site}"), there <= dead)

    def _set_stopped(self, stopped: set[str]) -> None:
        for name in self._stopped ^ stopped:
            self.world.sights.downs[name] += 1 if name in stopped else -1
        self._stopped = stopped

    def _set_alone(self, vantages: tuple[str, ...], alone: bool) -> None:
        """A vantage point that is all there is of its site reaches no other site, and none of them reaches it."""
        for name in vantages:
            site = self.place.site_of(name)
            assert [one for one in self._estate.servers if self.place.site_of(one) == site] == [name]
            self._cut({ends for ends in self.world.network.links if site in ends and ends[0] != ends[1]}, alone)

    def _cut(self, links: set[tuple[str, str]], cut: bool) -> None:
        for ends in links:
            self.world.network.links[ends].cuts += 1 if cut else -1

    def _lost(self, target: str) -> bool:
        """Whether a look at a target finds nobody, because its server flaps: by chance, one in two."""
        server = self.world.sights.targets[target].server
        return server in self._flapping and self._chance.random() < 0.5

    # -- what came of it

    def _agreed(self) -> list[Entry]:
        entries: dict[int, Entry] = {}
        for _, event in self.world.history.events:
            if isinstance(event, Agreed):
                entries |= {entry.sequence: entry for entry in event.entries}
        return [entries[sequence] for sequence in sorted(entries)]

    def _course(self) -> Course:
        steps, state = _Steps(), State()
        for entry in self._agreed():
            match fact := state.apply(entry):
                case ScopeOpened() | ScopeChanged():
                    what = "OPENED" if isinstance(fact, ScopeOpened) else "CHANGED"
                    steps.add(what, fact.scope, sentence(fact.cause, _no_clock))
                case ScopeEnded():
                    steps.add("ENDED", fact.scope, f"{fact.why.value}{f', {fact.into}' if fact.into else ''}")
        return steps.course([f"{one.id}: {scope_sentence(one, _no_clock)}" for one in state.scope.open.values()])


def _leads(world: World) -> list[str]:
    """Who has led so far, one after the other."""
    return [event.node for _, event in world.history.events if isinstance(event, Leads) and event.node]


def _no_clock(_at_ms: int) -> str:
    return "00:00:00 UTC"
