"""The invariants, checked from outside on what was observed.

Each checker goes through the events of a night in their order and yields what must not have been. None asks the
implementation anything; what a plan or a request has come to is told by the oracle.

    chain         I13: one chain, one id once
    mirrors       I13: every mirror is a beginning of the chain, and loses nothing
    acknowledged  I13: nothing acknowledged is lost or altered
    one decider   who appends leads, by etcd's word; a generation has one leader, and rises with each; nothing is begun
                  in a generation after a newer one
    generations   nothing is begun in a generation that less than a majority of the mirrors have (docs/adr/0023)
    write ahead   nothing is begun, and nothing takes effect, whose plan was not in the agreed journal at that moment
    refusal       I6: nothing takes effect that came to a server after a newer generation or a later step
    unknown       I3: nothing is told to be done that was not
    subjects      one plan a subject: nobody takes hold of what another holds
    plans         I14: every plan ends or needs a person, and what it held is free
    verdicts      I5: nothing is agreed but by a majority of all places, by looks of their own (checkers_of_looking.py)
    writes        I1, I2: what a database acknowledged is in all that are promoted later (checkers_of_takeover.py)
    silence       I4, I5: no site is called silent, but by a majority of all places, and not before its time
    once          I15: one takeover of its own accord in the cooldown
    consent       I4, I15: nobody's takeover but where the estate says so; no failback (checkers_of_asking.py)
    patience      I15: not before `act_after`, and not under people's hands
    order         fence, promotion, traffic
    isolation     who is cut off from most places of lookouts serves nobody
    convergence   I16: 120 s after the last fault all is well, every target agreed to be up, every scope ended
    survival      no lookout ends by itself
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import NamedTuple

import msgspec

from binome.core.entry import EMPTY, Entry, follows
from binome.core.plan import Command
from binome.sim.checkers_of_asking import consent, isolation, order, patience
from binome.sim.checkers_of_looking import verdicts
from binome.sim.checkers_of_takeover import once, silence, writes
from binome.sim.history import (
    Acknowledged,
    Agreed,
    Appended,
    Arrived,
    Asked,
    Begun,
    Claimed,
    Died,
    Emptied,
    Ended,
    Event,
    History,
    Leads,
    Mirrored,
    Rebuilt,
    Restarted,
    TookEffect,
)
from binome.sim.oracle import Oracle

BELIEF_AFTER_REBUILDING_S = 3.0
"""When etcd lost a lease that had not run out, its holder believes in it for as long as it would have run."""


class Violation(NamedTuple):
    """What must not have been."""

    invariant: str
    at_s: float
    what: str

    def __str__(self) -> str:
        return f"{self.at_s:7.2f} s  {self.invariant}: {self.what}"


Timed = list[tuple[float, Event]]
Told = Iterator[tuple[float, str]]


def chain(events: Timed) -> Told:
    """I13, in etcd: one chain, and nothing in it twice."""
    entries: list[Entry] = []
    ids: set[str] = set()
    for at_s, event in events:
        if not isinstance(event, Agreed):
            continue
        for entry in event.entries:
            if entry.sequence <= len(entries):
                if entry.hash != entries[entry.sequence - 1].hash:
                    yield at_s, f"{event.client} put another entry {entry.sequence} into etcd than there was"
                continue
            reason = follows(entry, entries[-1].head if entries else EMPTY)
            if reason is not None:
                yield at_s, f"{event.client} put entry {entry.sequence} into etcd, which is {reason}"
            if entry.id in ids:
                yield at_s, f"{entry.id} is in the journal twice"
            entries.append(entry)
            ids.add(entry.id)


def mirrors(events: Timed) -> Told:
    """I13, on the disks: every mirror is a beginning of the chain, and loses nothing that was durable."""
    hashes: list[str] = []
    durable: dict[str, int] = {}
    for at_s, event in events:
        match event:
            case Agreed(_, entries):
                hashes += [entry.hash for entry in entries if entry.sequence > len(hashes)]
            case Mirrored(node, entries):
                for entry in entries:
                    if hashes[entry.sequence - 1 : entry.sequence] != [entry.hash]:
                        yield at_s, f"{node} mirrored an entry {entry.sequence} that was not agreed upon"
                durable[node] = entries[-1].sequence
            case Emptied(node):
                durable[node] = 0
            case Restarted(node, sequence):
                if sequence < durable.get(node, 0):
                    yield at_s, f"{node} found {sequence} entries in its mirror, of {durable[node]}"
            case Ended(_, held, _):
                for node, entries in held.items():
                    if [entry.hash for entry in entries] != hashes[: len(entries)]:
                        yield at_s, f"the mirror of {node} is no beginning of the agreed journal"


def acknowledged(events: Timed) -> Told:
    """I13, for whoever was told: what was acknowledged is in the agreed journal, and says what was asked."""
    said: dict[str, bytes] = {}
    asked: dict[str, bytes] = {}
    promised: list[str] = []
    for at_s, event in events:
        match event:
            case Agreed(_, entries):
                said |= {entry.id: bytes(entry.fact) for entry in entries}
            case Appended(node, names):
                for name in names:
                    if name not in said:
                        yield at_s, f"{node} was told that {name} is durable, and it is not in the agreed journal"
            case Asked(draft):
                asked[draft.id] = msgspec.json.encode(draft.fact)
            case Acknowledged(name):
                promised.append(name)
            case Ended():
                for name in promised:
                    if said.get(name) != asked[name]:
                        yield at_s, f"{name} was acknowledged and is {'altered' if name in said else 'lost'}"


def one_decider(events: Timed) -> Told:
    """Who leads in which generation, as far as it shows."""
    leaders: dict[int, str] = {}
    newest, known, leader, rebuilt_s = 0, 0, "", -BELIEF_AFTER_REBUILDING_S
    for at_s, event in events:
        claims: list[tuple[int, str]] = []
        match event:
            case Claimed(node, generation):
                claims = [(generation, node)]
            case Leads(node):
                leader = node
            case Agreed(client, entries):
                if client != leader:
                    yield at_s, f"{client} appended while {leader or 'nobody'} led"
                # What was in etcd before it was rebuilt is put back by another than who appended it.
                claims = [(entry.generation, client) for entry in entries if entry.sequence > known]
                known = max(known, entries[-1].sequence)
            case Rebuilt():
                rebuilt_s, leader = at_s, ""
            case Begun(node, command) if command.generation < newest:
                if at_s - rebuilt_s > BELIEF_AFTER_REBUILDING_S:
                    yield at_s, f"{node} began {command.id} in generation {command.generation} after {newest}"
        for generation, node in claims:
            first = leaders.setdefault(generation, node)
            if first != node:
                yield at_s, f"generation {generation} is both {first}'s and {node}'s"
            if generation < newest and isinstance(event, Agreed):
                yield at_s, f"{node} appended in generation {generation} after {newest}"
            newest = max(newest, generation)


def generations(events: Timed) -> Told:
    """Whoever leads next, in whatever etcd, must find a generation that somebody has acted in.

    A mirror that has begun anew since then had it: to lose a majority at once is promised nothing. What one had taken
    in when it died it says when it starts again.
    """
    known: dict[str, int] = {}
    agreed: dict[int, int] = {}
    for at_s, event in events:
        match event:
            case Agreed(_, entries):
                agreed |= {entry.sequence: entry.generation for entry in entries}
            case Restarted(node, sequence):
                known[node] = max(known.get(node, 0), agreed.get(sequence, 0))
            case Mirrored(node, entries):
                known[node] = max(known.get(node, 0), entries[-1].generation)
            case Begun(node, command):
                having = sum(newest >= command.generation for newest in known.values())
                if known and having * 2 <= len(known):
                    told = f"which {having} of {len(known)} mirrors have"
                    yield at_s, f"{node} began {command.id} in generation {command.generation}, {told}"


def write_ahead(events: Timed) -> Told:
    """Plans before deeds."""
    planned: dict[str, int] = {}
    for at_s, event in events:
        match event:
            case Agreed(_, entries):
                for entry in entries:
                    fact = msgspec.json.decode(entry.fact)
                    if fact["kind"] == "plan-made":
                        planned[fact["plan"]] = len(fact["steps"])
            case Begun(_, command) | TookEffect(_, command):
                if command.step >= planned.get(command.plan, 0):
                    verb = "was begun" if isinstance(event, Begun) else "took effect"
                    yield at_s, f"{command.id} {verb} before its plan was in the agreed journal"


def refusal(events: Timed) -> Told:
    """I6, and the order of steps, where commands land."""
    newest: dict[str, int] = {}
    farthest: dict[tuple[str, str], tuple[bool, int]] = {}
    stale: set[tuple[str, int, str]] = set()  # commands of which no copy came in time
    fresh: set[tuple[str, int, str]] = set()
    for at_s, event in events:
        match event:
            case Arrived(server, command):
                key, place = (server, command.generation, command.id), _place(command)
                late = command.generation < newest.get(server, 0)
                late = late or place < farthest.get((server, command.plan), place)
                (stale if late else fresh).add(key)
                newest[server] = max(newest.get(server, 0), command.generation)
                farthest[server, command.plan] = max(farthest.get((server, command.plan), place), place)
            case TookEffect(server, command):
                key = (server, command.generation, command.id)
                if key in stale and key not in fresh:
                    yield at_s, f"{command.id} of generation {command.generation} took effect on {server}, too late"


def _place(command: Command) -> tuple[bool, int]:
    """Where a command stands in the course of its plan."""
    return command.undoing, -command.step if command.undoing else command.step


HURRIED = ("traffic.fence", "traffic.move")
"""A takeover does not wait for all edges: what is done then says who did not answer."""


def unknown(events: Timed) -> Told:
    """I3."""
    effects: set[tuple[str, int, bool]] = set()
    hurried: set[tuple[str, int]] = set()
    for at_s, event in events:
        match event:
            case TookEffect(_, command):
                effects.add((command.plan, command.step, command.undoing))
            case Agreed(_, entries):
                for entry in entries:
                    fact = msgspec.json.decode(entry.fact)
                    if fact["kind"] == "plan-made":
                        verbs = enumerate(step["verb"] for step in fact["steps"])
                        hurried |= {(fact["plan"], number) for number, verb in verbs if verb in HURRIED}
                    done = fact["kind"] == "step-ended" and fact["result"] == "done"
                    if done and fact["detail"] and not fact["undoing"] and (fact["plan"], fact["step"]) in hurried:
                        continue
                    if done and (fact["plan"], fact["step"], fact["undoing"]) not in effects:
                        yield at_s, f"{entry.id} tells that it is done, and it is not"


def subjects(events: Timed) -> Told:
    """One open plan a subject, as the servers see it."""
    held: dict[str, str] = {}
    for at_s, event in events:
        match event:
            case TookEffect(server, command) if command.verb == "maintenance.hold":
                if held.get(server, command.plan) != command.plan:
                    yield at_s, f"{command.plan} took hold of {server}, which {held[server]} held"
                held[server] = command.plan
            case TookEffect(server, command):
                if held.get(server) == command.plan:
                    del held[server]


def plans(events: Timed) -> Told:
    """I14."""
    oracle = Oracle()
    for at_s, event in events:
        match event:
            case Agreed(_, entries):
                oracle.take_in(entries)
            case Ended(_, _, held):
                for name in oracle.going():
                    yield at_s, f"{name} neither ended nor needs a person"
                for server, plan in held.items():
                    if plan not in oracle.plans or oracle.plans[plan].over in ("done", "undone"):
                        yield at_s, f"{server} is held by {plan}, which is over"


def convergence(events: Timed) -> Told:
    """I16."""
    for at_s, event in events:
        match event:
            case Ended(lacking, _, _) if lacking:
                yield at_s, lacking


def survival(events: Timed) -> Told:
    """Nothing but a fault ends a lookout."""
    for at_s, event in events:
        match event:
            case Died(node, why):
                yield at_s, f"{node} ended by itself: {why}"


INVARIANTS: dict[str, Callable[[Timed], Told]] = {
    "I13 chain": chain,
    "I13 mirrors": mirrors,
    "I13 acknowledged": acknowledged,
    "one decider": one_decider,
    "generations": generations,
    "write ahead": write_ahead,
    "I6 refusal": refusal,
    "I3 unknown": unknown,
    "one plan a subject": subjects,
    "I14 plans": plans,
    "I5 verdicts": verdicts,
    "I1, I2 writes": writes,
    "I4 silence": silence,
    "I15 once": once,
    "I4 consent": consent,
    "I15 patience": patience,
    "order of a takeover": order,
    "isolation": isolation,
    "I16 convergence": convergence,
    "survival": survival,
}


def check(history: History) -> list[Violation]:
    """Every violation in a night, the earliest first; at most one of each invariant."""
    found = []
    for name, checker in INVARIANTS.items():
        first = next(checker(history.events), None)
        if first is not None:
            found.append(Violation(name, *first))
    for at_s, process, what in history.loop.mishaps[:1]:
        found.append(Violation("survival", at_s, f"{process or 'the simulation'}: {what}"))
    return sorted(found, key=lambda one: one.at_s)
