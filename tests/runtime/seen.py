"""A lookout that has seen a night: its loop, its watch and the others, put together as `binome run` does it."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from typing import Any

from binome.cli.moments import moment
from binome.core.backup_facts import BackupScheduled, CopyTaken, ProofMade
from binome.core.decide import decide
from binome.core.entry import Draft, Fact, seal
from binome.core.leadership import LeadershipTaken
from binome.core.target import Answer, Observation, targets
from binome.core.verdict import Judged, Verdict
from binome.estate import Estate
from binome.ports import Finding, Standing
from binome.runtime.report import Sources
from binome.runtime.watch import Watch
from tests.runtime.test_watch import Others, Quiet
from tests.runtime.world import LITTORAL, World

BEGIN_S = 1_615_333_620  # 2021-03-10 00:47:00 in Paris
OTHERS = ("gra-edge", "sbg-edge")


class Seen:
    """par-watch, that leads unless `leads` is taken from it."""

    def __init__(self, estate: Estate = LITTORAL) -> None:
        self.world, self.others = World(), Others()
        self.loop, self.clock = self.world.loop, self.world.clock
        self.clock.now_s = BEGIN_S
        self.loop.estate = estate
        self.targets = targets(estate)
        self.watch = Watch(
            estate, "par-watch", self.targets, self.clock, hearing=lambda: self.others, changed=lambda: None
        )
        self.findings: dict[str, Finding] = {}
        self.stand = Standing("par-watch", 0.012, 3 << 20)
        self.troubles: list[str] = []
        self.sources = Sources(
            loop=self.loop,
            watch=self.watch,
            findings=self.findings,
            lag_s=lambda: 0.004,
            standing=lambda: self.stand,
            peers=self.peers,
            problems=lambda: self.troubles,
            moment=lambda at_ms: moment(at_ms, self.clock.now_ms()),
        )
        self.fact(LeadershipTaken("par-watch"))

    def peers(self) -> list[dict[str, Any]]:
        silent = {one.peer: one for one in self.others.quiet}
        return [
            {
                "peer": peer,
                "heard_ms": round(silent[peer].since_s * 1000) if peer in silent else 64,
                "silent": peer in silent,
                "silent_ms": round(silent[peer].since_s * 1000) if peer in silent else None,
                "why": "no connection in time" if peer in silent else "",
            }
            for peer in OTHERS
        ]

    def nobody_leads(self) -> None:
        self.world.journal.generation = None
        self.stand = Standing("")
        self.troubles = ["nobody leads"]

    def fact(self, *facts: Fact) -> None:
        drafts = [Draft(f"test/{number}", self.clock.now_ms(), "test", fact) for number, fact in enumerate(facts)]
        self._sealed(drafts)

    def _sealed(self, drafts: Iterable[Draft]) -> None:
        for entry in seal(tuple(drafts), self.loop.state.head, 7):
            self.loop.state.apply(entry)

    def look(self, answers: Mapping[str, Answer], said: Callable[[str], str] = lambda _: "") -> None:
        """All are looked at from here often enough for a verdict; the others say the same. Up where not given."""
        for _ in range(3):
            self.clock.now_s += 1
            for one in self.targets:
                answer = answers.get(one.name, Answer.UP)
                words = said(one.name) or ("no answer within 800 ms" if answer is Answer.DOWN else "200 OK")
                self.findings[one.name] = Finding(answer, words, 0.0042)
                self.watch.saw(Observation(one.name, self.clock.monotonic_s(), answer, words))
        silent = {one.peer for one in self.others.quiet}
        for peer in OTHERS:
            if peer not in silent:
                self.watch.told(peer, dict(self.watch.own()), True)

    def decided(self) -> None:
        """Everything that follows is recorded, as the leader does it."""
        for _ in range(2):
            while True:
                now_ms = self.clock.now_ms()
                drafts = self.watch.observed(self.loop.state, now_ms)
                drafts = [*drafts, *decide(self.loop.estate, self.loop.state, now_ms, generation=7).record]
                if not drafts:
                    break
                self._sealed(drafts)
            self.clock.now_s += 2


def down(*servers: str) -> dict[str, Answer]:
    return {one.name: Answer.DOWN for one in targets(LITTORAL) if one.server in servers}


STRASBOURG = down("sbg-edge", "sbg-web", "sbg-db")


def well() -> Seen:
    """A quiet night."""
    seen = Seen()
    seen.look({})
    seen.decided()
    return seen


def fire() -> Seen:
    """Strasbourg is lost, agreed by the two that are left."""
    seen = well()
    seen.others.quiet = [Quiet("sbg-edge", 8.0)]
    seen.look(STRASBOURG)
    seen.decided()
    return seen


def leaderless() -> Seen:
    """Strasbourg is lost, and nobody leads."""
    seen = well()
    seen.nobody_leads()
    seen.others.quiet = [Quiet("sbg-edge", 8.0)]
    seen.look(STRASBOURG)
    seen.clock.now_s += 4
    return seen


def cut_off() -> Seen:
    """par-watch reaches nothing outside of its site, and hears nobody."""
    seen = well()
    seen.nobody_leads()
    seen.others.quiet = [Quiet(one, 12.0) for one in OTHERS]
    outside = [one.server for one in seen.targets if not one.server.startswith("par-")]
    seen.look(down(*outside))
    seen.clock.now_s += 4
    return seen


HOSTILE = '\x1b[2J\x1b]0;owned\x07\x9b31m\r\n\u202egnp.exe\x00{"}\\'


def hostile() -> Seen:
    """What a peer passes on of a target, and a third party's probe here, is made to command a terminal."""
    seen = well()
    seen.look({"gra-web": Answer.DOWN}, lambda _: HOSTILE)
    judged = Judged(Verdict.DOWN, seen.clock.now_ms(), HOSTILE)
    seen.watch.told("gra-edge", {"gra-web": judged, "web@gra-web": judged}, False)
    seen.troubles = [HOSTILE]
    seen.decided()
    return seen


def backed_up(*, lie: bool = False) -> Seen:
    """A morning after a backup, whose copy in one vault is proven, and in the other not good."""
    seen = well()
    now_ms = seen.clock.now_ms()
    copy_ms = now_ms - 3 * 3_600_000
    seen.fact(BackupScheduled("nightly"))
    seen.fact(CopyTaken("t", "nightly", "gra-db", copy_ms, 15 << 30, {"vault-ams": "a1", "vault-par": "p1"}, {}))
    seen.fact(ProofMade("a", "nightly", "par-spare", "vault-ams", "a1", copy_ms, "proven", 372_000))
    if lie:
        seen.fact(ProofMade("p", "nightly", "par-spare", "vault-par", "p1", copy_ms, "proven", 412_000))
        seen.fact(ProofMade("d", "nightly", "par-spare", "vault-par", "p1", copy_ms, "proven", 1, damaged=True))
    else:
        found = "contacts/toc.dat: its content is not what was saved"
        seen.fact(ProofMade("p", "nightly", "par-spare", "vault-par", "p1", copy_ms, "altered", 0, found))
    return seen
