"""The fuzzer: episodes of drawn faults (fuzz_plan.py) in a lab under load, and whether what is promised held.

    whole ► load ► faults come and go ► all are healed ► whole again ► judge ► the next episode, in the same lab

What is promised whatever is done, and judged after each episode:

    no acknowledged write is lost, none acknowledged by two primaries      the clients' logs, and the rows
    no entry of the journal is of an older generation than one before      the journal
    no takeover of a service in the cooldown of its last one               the journal
    at most one promotion a loss, and one where an agreement came back     the database's timeline
    everything whole within `WHOLE_S` after healing, and it stays so       engines, lookouts
    writes are acknowledged again                                          the clients' logs

How long writes were out is shown and not judged: faults that overlap have no bound but their own length. An act that
cannot be done, such as freezing what another fault has killed, is passed over, and said.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Collection, Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from binome.core.takeover import CAPABILITY, DatabaseMoved
from binome.lab import checker, lookouts
from binome.lab.acts import Acts, cast
from binome.lab.checker import Evidence
from binome.lab.clients import Clients, held_by, prepare_ledger
from binome.lab.errors import LabError
from binome.lab.fuzz_plan import Episode, Strike, written
from binome.lab.grey import Grey
from binome.lab.guard import passing_lab
from binome.lab.lab import Lab
from binome.lab.matrix import COOLDOWN_S, promotes, quickened, timeline, two_minds, unwhole
from binome.lab.record import Record
from binome.lab.rows import WHOLE_S
from binome.render import Folders

BEFORE_S = 2.0
STEADY_S = 3.0
FLOWS_S = 2.0
_HARMLESS = frozenset({"haproxy", "agent"})
_OF_QUORUM = frozenset(
    {"cut", "flap", "burn", "wipe", "part", "one-way", "loss", "slow-etcd", "fill-quota", "lose-data"}
)

Say = Callable[[str], None]


@dataclass(slots=True)
class Held:
    """What came of an episode. Lengths are in seconds; `whole_s` is None where it never was."""

    episode: Episode
    evidence: Evidence = field(default_factory=lambda: Evidence(0, (), 0, 0, ()))
    outage_s: float = 0.0
    takeovers: int = 0
    planned: int = 0
    whole_s: float | None = None
    struck: list[Strike] = field(default_factory=list)
    passed_over: list[str] = field(default_factory=list)
    wiped: set[str] = field(default_factory=set)  # servers that lost their data
    ended: list[str] = field(default_factory=list)  # programs that had ended by themselves, and were started again
    amiss: list[str] = field(default_factory=list)

    def as_json(self) -> dict[str, Any]:
        """The record of an episode."""
        return {
            "episode": self.episode.name,
            "strikes": [str(one).strip() for one in self.episode.strikes],
            "passed_over": self.passed_over,
            "ended": self.ended,
            "acknowledged": self.evidence.acknowledged,
            "lost": len(self.evidence.lost),
            "double_primary": len(self.evidence.double_primary),
            "outage_s": self.outage_s,
            "takeovers": self.takeovers,
            "planned": self.planned,
            "whole_s": self.whole_s,
            "amiss": self.amiss,
        }

    def line(self) -> str:
        """It in a line."""
        answer = "held" if not self.amiss else f"VIOLATED: {'; '.join(self.amiss)}"
        whole = "never whole" if self.whole_s is None else f"whole after {self.whole_s:.1f} s"
        return (
            f"  {answer}  ({self.evidence.acknowledged:,} acknowledged, writes out for {self.outage_s:.1f} s, "
            f"{self.takeovers} takeovers, {self.planned} planned, {whole})"
        )


def most_takeovers(struck: Sequence[Strike]) -> int:
    """So many promotions these faults may bring about: one each, and one more where they end and had a quorum.

    Whoever held Patroni's lease loses it with the quorum; when that is back, whoever is quicker gets it.
    """
    moving = [one for one in struck if not _HARMLESS & set(one.act)]
    return len(moving) + sum("etcd" in one.act or one.act[0] in _OF_QUORUM for one in moving)


def too_soon(moves: Sequence[tuple[int, DatabaseMoved]], cooldown_ms: int) -> list[str]:
    """Automatic takeovers, each with when it was recorded (ms since 1970), in the cooldown of the one before."""
    amiss = []
    last: dict[str, tuple[int, str]] = {}
    for at_ms, fact in moves:
        before_ms, primary = last.get(fact.service, (0, ""))
        if primary and primary != fact.primary and at_ms - before_ms < cooldown_ms:
            amiss.append(f"{fact.service} was taken over again after {(at_ms - before_ms) / 1000:.1f} s: {fact.plan}")
        last[fact.service] = at_ms, fact.primary
    return amiss


def automatic(fact: DatabaseMoved) -> bool:
    """Whether it is a takeover that nobody asked for."""
    return not fact.released and fact.plan.startswith(f"{CAPABILITY}/loss/")


def flows(records: Sequence[Record]) -> bool:
    """Whether a client that went on writing got writes acknowledged until it was stopped."""
    end_s = max((one.at_s for one in records), default=0.0)
    last_s = max((one.at_s for one in records if (one.operation, one.state) == ("write", "acknowledged")), default=0.0)
    return end_s > 0 and end_s - last_s < FLOWS_S


def run(text: bytes, episodes: Iterator[Episode], seconds: float, say: Say, salvage: Path | None) -> Iterator[Held]:
    """Plays episodes on the estate in `text` until `seconds` have passed; a new lab after each violation.

    What is left of a violation, and the schedule that plays it again, is kept in `salvage`.
    """
    until_s = time.monotonic() + seconds
    one = next(episodes, None)
    while one is not None and time.monotonic() < until_s:
        with passing_lab(quickened(text), say=lambda _: None, salvage=salvage and salvage / "lab") as lab:
            prepare_ledger(lab)
            fuzz = Fuzz(lab, say)
            good = True
            while good and one is not None and time.monotonic() < until_s:
                held = fuzz.play(one)
                good = not held.amiss
                if salvage is not None and not good:
                    lab.keep_evidence(salvage / one.name, engines=True)
                    (salvage / one.name / "schedule.json").write_text(written([one]))
                yield held
                one = next(episodes, None)
            if good and (lost := fuzz.lost_later()):
                yield Held(Episode("all of them", ()), amiss=[f"{lost} acknowledged writes lost in later episodes"])


class Fuzz:
    """A lab in which one episode after the other is played."""

    def __init__(self, lab: Lab, say: Say) -> None:
        self.lab, self._say = lab, say
        self.service = lab.database()
        self._following = lookouts.Following({name: lab.root(name) for name in lookouts.names(lab.estate)})
        self._acknowledged: set[str] = set()
        self._moves: list[tuple[int, DatabaseMoved]] = []

    def play(self, episode: Episode) -> Held:
        """Plays one episode, and judges it."""
        self._say(f"{episode.name}:")
        held = Held(episode)
        grey, prefix = Grey(self.lab), f"fuzz-{episode.name}-"
        clients = Clients(self.lab, prefix)
        acts = Acts(self.lab, grey, prefix)
        try:
            self._until_whole(lambda: WHOLE_S, lambda: None)
            list(self._following.grown())
            acts.names = cast(self.lab)
            before = timeline(self.lab, self.service)
        except LabError as error:
            held.amiss.append(f"what was whole is so no more: {error}")
            return held
        clients.start()
        time.sleep(BEFORE_S)
        self._strike(episode, acts, held)
        self._heal(grey, held)
        self._judge(held, clients, prefix, before)
        self._say(held.line())
        return held

    def lost_later(self) -> int:
        """How many writes that were there after their own episode are there no more."""
        held = held_by(self.lab, self.lab.primary(self.service))
        return sum(one not in held for one in self._acknowledged)

    def _strike(self, episode: Episode, acts: Acts, held: Held) -> None:
        """Lets the faults come and go at their times; those that last to the end stay."""
        begun_s = time.monotonic()
        undo: dict[int, list[str]] = {}
        for at_s, begins, number in moments(episode):
            time.sleep(max(0.0, begun_s + at_s - time.monotonic()))
            one, now_s = episode.strikes[number], time.monotonic() - begun_s
            try:
                if begins:
                    standing = set(acts.grey.standing())
                    self._say(f"  {one}" + (f"  (at {now_s:.1f} s)" if now_s > at_s + 0.5 else ""))
                    acts.do(one.act, f"{one.act[0]} {number}")
                    undo[number] = [name for name in acts.grey.standing() if name not in standing]
                    held.struck.append(one)
                    if one.act[0] == "wipe":
                        held.wiped |= set(self.lab.servers_of(acts.names[one.act[1]]))
                else:
                    for name in undo.get(number, ()):
                        acts.grey.undo(name)
            except (LabError, OSError) as error:
                held.passed_over.append(f"{'' if begins else 'the end of '}{' '.join(one.act)}: {error}")
                self._say(f"    passed over: {error}")
        time.sleep(max(0.0, begun_s + episode.lasts_s - time.monotonic()))

    def _heal(self, grey: Grey, held: Held) -> None:
        """Heals everything, and waits until all is whole and stays so for a while."""
        ended_s = time.monotonic()
        left = lambda: max(ended_s + WHOLE_S - time.monotonic(), 0.1)  # noqa: E731
        try:
            grey.heal(within_s=WHOLE_S / 2)
            while held.whole_s is None:
                self._until_whole(left, lambda: self._supervise(grey, held))
                whole_s = round(time.monotonic() - ended_s, 1)
                time.sleep(STEADY_S)
                held.whole_s = None if unwhole(self.lab) else whole_s
        except LabError as error:
            held.amiss.append(f"not whole within {WHOLE_S} s: {error}")

    def _supervise(self, grey: Grey, held: Held) -> None:
        """Does what systemd and a person would: who lost its disk lost the key that it signs with."""
        for file in heads_of_the_wiped(self.lab, held.wiped):
            file.unlink(missing_ok=True)
        for what in grey.supervise():
            self._say(f"    had ended, and is started again: {what}")
            held.ended.append(what)

    def _until_whole(self, left_s: Callable[[], float], meanwhile: Callable[[], None]) -> None:
        def missing() -> list[str]:
            meanwhile()
            return unwhole(self.lab)

        self.lab.wait_for(missing, "the estate", left_s())
        self.lab.wait_until_whole(timeout_s=left_s())

    def _judge(self, held: Held, clients: Clients, prefix: str, before: int) -> None:
        try:
            clients.stop()
            entries = list(self._following.grown())
            held.planned = sum(promotes(told.fact) for told in entries)
            held.amiss += two_minds(entries)
            self._moves = self._moves[-1:]
            moved = ((told.entry.at_ms, told.fact) for told in entries if isinstance(told.fact, DatabaseMoved))
            self._moves += [(at_ms, fact) for at_ms, fact in moved if automatic(fact)]
            held.amiss += too_soon(self._moves, COOLDOWN_S * 1000)
            self.lab.wait_until_whole()
            primary = self.lab.primary(self.service)
            rows = held_by(self.lab, primary, prefix)
            held.takeovers = timeline(self.lab, self.service) - before
        except LabError as error:
            held.amiss.append(f"nothing can be judged: {error}")
            return
        held.evidence = checker.check(clients.records(), rows)
        held.outage_s = checker.outages(clients.logs["patient"].records)["write"]
        held.amiss += judge(held, {name: log.records for name, log in clients.logs.items()})
        if not held.amiss:
            self._acknowledged |= rows
            for path in self.lab.folder.glob(f"{prefix}*.jsonl"):
                path.unlink()  # hours of logs would fill the disk


def heads_of_the_wiped(lab: Lab, wiped: Collection[str]) -> Iterator[Path]:
    """What a person removes where a lookout says so: the heads that others keep of one whose disk was replaced."""
    for name, said in lab.lookouts().items():
        kept = Path(Folders(str(lab.root(name))).data) / "heads"
        for problem in said["problems"] if said else ():
            yield from (
                file
                for file in (kept / f"{lab.estate.estate}-{server}.head" for server in wiped)
                if f"move {file} away" in problem
            )


def moments(episode: Episode) -> list[tuple[float, bool, int]]:
    """What happens when in an episode: the second, whether a fault begins (else it ends), and its number."""
    comes = [(one.at_s, True, number) for number, one in enumerate(episode.strikes)]
    goes = [(one.ends_s, False, number) for number, one in enumerate(episode.strikes) if one.lasts_s is not None]
    return sorted([*comes, *goes], key=lambda one: one[0])


def judge(held: Held, logs: dict[str, list[Record]]) -> list[str]:
    """What an episode's evidence says against what is promised; `logs` are the clients' records."""
    amiss = []
    if held.evidence.lost:
        amiss.append(f"{len(held.evidence.lost)} acknowledged writes lost")
    if held.evidence.double_primary:
        amiss.append(f"{len(held.evidence.double_primary)} writes acknowledged by two primaries")
    most = most_takeovers(held.struck)
    if held.takeovers > most:
        amiss.append(f"{held.takeovers} takeovers, of faults that may bring about {most}")
    if held.whole_s is not None:
        amiss += [f"the {name} client gets no writes acknowledged" for name, log in logs.items() if not flows(log)]
    return amiss
