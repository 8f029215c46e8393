"""Faults: what goes wrong in a night, as data.

A *schedule* is a list of faults, each with a moment, a kind, a target, a length and a value. It is made from a seed,
every kind by a generator of its own; and in the night every link, disk and agent draws from a generator of its own. So
a fault can be taken out of a schedule without anything else becoming another night, and a schedule that fails can be
shrunk. Which kinds occur in a night, and how often, is drawn too: a night with one kind of fault gets further into it
than one with all.

A new kind is one function that begins it, returns what ends it, and stands in `KINDS`.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from random import Random
from typing import TYPE_CHECKING

from binome.sim.disk import BOUNDARIES
from binome.sim.fault import BEGIN_S, END_S, End, Fault, Kind, Targets
from binome.sim.faults_of_looking import LOOKING_KINDS, SPARED
from binome.sim.loop import KilledError
from binome.sim.moments import TAKES_THE_LEAD, at_a_moment
from binome.sim.process import current_name

if TYPE_CHECKING:
    from binome.sim.node import Node
    from binome.sim.world import World

# -- the network


def _cut(world: World, fault: Fault) -> End:
    """One direction between two sites."""
    link = world.link(fault.target)
    link.cuts += 1

    def end() -> None:
        link.cuts -= 1

    return end


def _isolate(world: World, fault: Fault) -> End:
    """A site, from all others."""
    links = [link for ends, link in world.network.links.items() if fault.target in ends and ends[0] != ends[1]]
    for link in links:
        link.cuts += 1

    def end() -> None:
        for link in links:
            link.cuts -= 1

    return end


def _slow(world: World, fault: Fault) -> End:
    """Up to so many seconds more, one way: what is sent later may arrive earlier."""
    link = world.link(fault.target)
    link.slow_s += fault.value

    def end() -> None:
        link.slow_s = max(0.0, link.slow_s - fault.value)

    return end


def _lossy(world: World, fault: Fault) -> End:
    """A share of the messages is lost, one way, and as many are doubled."""
    link = world.link(fault.target)
    link.loss += fault.value
    link.doubled += fault.value

    def end() -> None:
        link.loss = max(0.0, link.loss - fault.value)
        link.doubled = max(0.0, link.doubled - fault.value)

    return end


# -- lookouts and their disks


def _crash(world: World, fault: Fault) -> End:
    """A lookout loses its power."""
    node = world.node(fault.target)
    node.set_down(True)
    return lambda: node.set_down(False)


def _crash_in_append(world: World, fault: Fault) -> None:
    """A lookout loses its power at a boundary of its next append to the mirror."""
    world.node(fault.target).die_at(BOUNDARIES[int(fault.value)], fault.for_s, END_S)


def _pause(world: World, fault: Fault) -> End:
    """A lookout stands still, and does not know it."""
    node = world.node(fault.target)
    node.set_paused(True)
    return lambda: node.set_paused(False)


def _at_a_moment(world: World, fault: Fault, strike: Callable[[Node], object]) -> None:
    """Strikes the next lookout that comes to the fault's moment, early enough for it to be over in time."""
    at_a_moment(world, int(fault.value), END_S - fault.for_s, strike)


def _crash_at(world: World, fault: Fault) -> None:
    """A lookout loses its power at a moment."""

    def strike(node: Node) -> None:
        node.set_down(True)
        world.loop.after(fault.for_s, node.set_down, False)
        if current_name() == node.name:
            raise KilledError(node.name)

    _at_a_moment(world, fault, strike)


def _pause_at(world: World, fault: Fault) -> None:
    """A lookout stands still from a moment on."""

    def strike(node: Node) -> None:
        node.set_paused(True)
        world.loop.after(fault.for_s, node.set_paused, False)

    _at_a_moment(world, fault, strike)


def _etcd_leader_at(world: World, fault: Fault) -> None:
    """So many seconds after a moment in a lookout's life another member becomes etcd's leader."""
    _at_a_moment(world, fault, lambda _node: world.loop.after(fault.for_s, world.cluster.move_leader))


def _etcd_quota_at(world: World, fault: Fault) -> None:
    """From a moment in a lookout's life on etcd is over its quota, until somebody sees to it."""

    def strike(_node: Node) -> None:
        world.cluster.state.alarmed = True
        world.loop.after(fault.for_s, world.cluster.disarm)

    _at_a_moment(world, fault, strike)


def _etcd_rebuilt_at(world: World, fault: Fault) -> None:
    """So many seconds after a moment in a lookout's life all of etcd's data is lost, if a majority has it all.

    And once more, just as somebody takes the lead in what was begun anew.
    """

    def lose() -> None:
        if world.can_lose_etcd():
            world.forget_etcd()

    def strike(_node: Node) -> None:
        world.loop.after(fault.for_s, lose)

    def strike_first(node: Node) -> None:
        strike(node)
        at_a_moment(world, TAKES_THE_LEAD, END_S, strike)

    _at_a_moment(world, fault, strike_first)


def _last_words(world: World, fault: Fault) -> None:
    """A lookout stands still just after it asked etcd for a change on conditions, and that is long under way."""
    node = world.node(fault.target)

    def strike() -> float:
        if not node.pauses and world.loop.now_s < END_S - fault.for_s:
            node.set_paused(True)
            world.loop.after(fault.for_s, node.set_paused, False)
        return fault.value

    if node.etcd is not None:
        node.etcd.last_words = strike


def _clock_wrong(world: World, fault: Fault) -> End:
    """A lookout's idea of the time of day is wrong by so many milliseconds."""
    clock = world.node(fault.target).clock
    clock.offset_ms += int(fault.value)

    def end() -> None:
        clock.offset_ms -= int(fault.value)

    return end


def _clock_rate(world: World, fault: Fault) -> End:
    """A lookout's clocks run at another rate."""
    clock = world.node(fault.target).clock
    clock.set_rate(clock.rate * fault.value)
    return lambda: clock.set_rate(clock.rate / fault.value)


def _disk_full(world: World, fault: Fault) -> End:
    """A lookout's disk takes nothing more."""
    file = world.node(fault.target).file
    file.full += 1

    def end() -> None:
        file.full -= 1

    return end


def _disk_fails(world: World, fault: Fault) -> End:
    """A lookout's disk fails to sync."""
    file = world.node(fault.target).file
    file.failing += 1

    def end() -> None:
        file.failing -= 1

    return end


def _disk_lost(world: World, fault: Fault) -> None:
    """A lookout's disk is replaced by an empty one, if a majority still has everything without it."""
    node = world.node(fault.target)
    if world.holding(node):
        world.history.note("a mirror begun anew")
        _empty(world, node, fault.for_s)


def _empty(world: World, node: Node, for_s: float) -> None:
    node.lose_disk()
    node.set_down(True)
    world.loop.after(for_s, node.set_down, False)


# -- etcd


def _etcd_down(world: World, fault: Fault) -> End:
    """A member is killed, and started again."""
    member = world.cluster.member(fault.target)
    world.cluster.set_down(member, True)
    return lambda: world.cluster.set_down(member, False)


def _etcd_pause(world: World, fault: Fault) -> End:
    """A member hangs."""
    member = world.cluster.member(fault.target)
    world.cluster.set_paused(member, True)
    return lambda: world.cluster.set_paused(member, False)


def _etcd_clock(world: World, fault: Fault) -> End:
    """A member's clock, by which leases end while it leads, runs at another rate."""
    member = world.cluster.member(fault.target)
    member.rate *= fault.value

    def end() -> None:
        member.rate /= fault.value

    return end


def _etcd_leader(world: World, _fault: Fault) -> None:
    """Another member becomes etcd's leader."""
    world.cluster.move_leader()


def _etcd_replies(world: World, fault: Fault) -> End:
    """A share of etcd's answers is lost."""
    world.cluster.lost_replies += fault.value

    def end() -> None:
        world.cluster.lost_replies = max(0.0, world.cluster.lost_replies - fault.value)

    return end


def _etcd_compact(world: World, _fault: Fault) -> None:
    """Somebody compacts etcd up to now."""
    state = world.cluster.state
    if state.revision > state.compacted:
        state.compact(state.revision)


def _etcd_quota(world: World, _fault: Fault) -> End:
    """Etcd is over its quota until somebody sees to it."""
    world.cluster.state.alarmed = True
    return world.cluster.disarm


def _etcd_watches(world: World, fault: Fault) -> None:
    """A member's connections all break."""
    world.cluster.break_streams(world.cluster.member(fault.target))


def _etcd_rebuilt(world: World, fault: Fault) -> None:
    """All of etcd's data is lost, as soon as the mirrors have it all."""
    world.rebuild_etcd(world.loop.now_s + fault.for_s)


def _etcd_lost(world: World, fault: Fault) -> None:
    """All of etcd's data is lost and a lookout's disk with it, while the mirror of another, which is away, is behind.

    What is promised then is what a majority of the mirrors had, so it strikes at a moment at which they have it all.
    The lookout that is away stays away for the time given, or, where the value is 1, comes back and one goes whose
    mirror was whole. Within ten seconds, or not at all.
    """
    place = next(place for place, node in enumerate(world.nodes) if node.name == fault.target)
    emptied, behind, whole = (world.nodes[(place + n) % len(world.nodes)] for n in range(3))
    until_s = min(world.loop.now_s + 10, END_S - 1)
    behind.set_down(True)

    def strike() -> None:
        if world.loop.now_s > until_s:
            behind.set_down(False)
        elif behind.mirrored == world.oracle.count or not world.can_lose_etcd(emptied):
            world.loop.after(0.1, strike)
        else:
            world.history.note("etcd and a mirror lost, another behind")
            world.forget_etcd()
            _empty(world, emptied, 0.5)
            away = behind
            if fault.value:
                away = whole
                whole.set_down(True)
                behind.set_down(False)
            world.loop.at(min(world.loop.now_s + fault.for_s, END_S), away.set_down, False)

    strike()


# -- agents


def _agent_down(world: World, fault: Fault) -> End:
    """An agent is killed, and started again."""
    agents = world.agents_on(fault.target)
    for agent in agents:
        agent.set_down(True)

    def end() -> None:
        for agent in agents:
            agent.set_down(False)

    return end


def _agent_slow(world: World, fault: Fault) -> End:
    """An agent needs longer for everything."""
    agents = world.agents_on(fault.target)
    for agent in agents:
        agent.slow_s += fault.value

    def end() -> None:
        for agent in agents:
            agent.slow_s = max(0.0, agent.slow_s - fault.value)

    return end


def _agent_replies(world: World, fault: Fault) -> End:
    """A share of an agent's answers is lost."""
    agents = world.agents_on(fault.target)
    for agent in agents:
        agent.lost_replies += fault.value

    def end() -> None:
        for agent in agents:
            agent.lost_replies = max(0.0, agent.lost_replies - fault.value)

    return end


def _late_command(world: World, fault: Fault) -> None:
    """The next command that a lookout gives is under way for so many seconds, long after it was given up."""
    driver = world.node(fault.target).driver
    driver.late_s = fault.value

    def in_time() -> None:
        driver.late_s = 0.0

    world.loop.at(END_S, in_time)


def _agent_fails(world: World, fault: Fault) -> End:
    """An agent cannot do a share of what it is told to."""
    agent = world.agents[fault.target]
    agent.failing += fault.value

    def end() -> None:
        agent.failing = max(0.0, agent.failing - fault.value)

    return end


KINDS: dict[str, Kind] = {
    "cut": Kind(_cut, "links", 6, (1, 20)),
    "isolate": Kind(_isolate, "sites", 3, (1, 20)),
    "slow": Kind(_slow, "links", 6, (3, 25), (0.1, 0.5, 2.0, 6.0)),
    "lossy": Kind(_lossy, "links", 6, (3, 25), (0.05, 0.2, 0.5)),
    "crash": Kind(_crash, "nodes", 5, (0.1, 15)),
    "crash in append": Kind(_crash_in_append, "nodes", 4, (0.1, 8), (0, 1, 2)),
    "pause": Kind(_pause, "nodes", 5, (0.5, 12)),
    "crash at moment": Kind(_crash_at, "any", 5, (0.1, 8), (0, 1, 2, 3, 4, 5)),
    "pause at moment": Kind(_pause_at, "any", 6, (3, 12), (0, 1, 2, 3, 4, 5, 6, 6, 6)),
    "last words": Kind(_last_words, "nodes", 6, (1, 10), (0.5, 2.0, 2.8, 3.2, 4.0, 6.0)),
    "clock wrong": Kind(_clock_wrong, "nodes", 3, (5, 30), (-20_000, -1500, 1500, 20_000)),
    "clock rate": Kind(_clock_rate, "nodes", 3, (5, 40), (0.9, 0.98, 1.02, 1.1)),
    "disk full": Kind(_disk_full, "nodes", 3, (1, 12)),
    "disk fails": Kind(_disk_fails, "nodes", 2, (1, 8)),
    "disk lost": Kind(_disk_lost, "nodes", 2, (0.1, 8)),
    "etcd down": Kind(_etcd_down, "members", 4, (0.5, 15)),
    "etcd pause": Kind(_etcd_pause, "members", 3, (0.5, 10)),
    "etcd clock": Kind(_etcd_clock, "members", 2, (5, 40), (0.9, 1.1)),
    "etcd leader": Kind(_etcd_leader, "etcd", 6, (0, 0)),
    "etcd replies": Kind(_etcd_replies, "etcd", 4, (2, 15), (0.1, 0.4)),
    "etcd compact": Kind(_etcd_compact, "etcd", 5, (0, 0)),
    "etcd quota": Kind(_etcd_quota, "etcd", 2, (2, 15)),
    "etcd watches": Kind(_etcd_watches, "members", 6, (0, 0)),
    "etcd rebuilt": Kind(_etcd_rebuilt, "etcd", 1, (10, 10)),
    "etcd leader at moment": Kind(_etcd_leader_at, "any", 4, (0, 0.1), (0, 5)),
    "etcd quota at moment": Kind(_etcd_quota_at, "any", 2, (1, 10), (0, 5)),
    "etcd rebuilt at moment": Kind(_etcd_rebuilt_at, "any", 5, (0, 0.05), (4, 5, 5)),
    "etcd lost": Kind(_etcd_lost, "nodes", 2, (1, 20), (0, 1)),
    "agent down": Kind(_agent_down, "servers", 4, (0.2, 10)),
    "agent slow": Kind(_agent_slow, "servers", 3, (3, 20), (0.5, 1.5, 3.0)),
    "agent replies": Kind(_agent_replies, "servers", 3, (3, 20), (0.3, 0.9)),
    "late command": Kind(_late_command, "nodes", 5, (0, 0), (1.0, 3.0, 6.0, 10.0)),
    "agent fails": Kind(_agent_fails, "servers", 2, (3, 20), (0.5,)),
} | LOOKING_KINDS


def schedule(seed: str, targets: Targets) -> list[Fault]:
    """The faults of a night, in their order."""
    share = Random(f"{seed}/faults").choice((0.1, 0.25, 0.5, 0.8))
    if not targets.vantages:
        return sorted(fault for name in KINDS for fault in _of_kind(name, seed, targets, share))
    # Where there is more to see the journal's own troubles are rarer, and some are left to the other nights.
    shares = {name: share if name in LOOKING_KINDS else share / 3 for name in KINDS if name not in SPARED}
    if targets.goes_by_clocks:
        del shares["clock back"]
    shares |= {name: max(share, 0.7) for name in shares if KINDS[name].targets == "pair"}
    return sorted(fault for name in shares for fault in _of_kind(name, seed, targets, shares[name]))


def _of_kind(name: str, seed: str, targets: Targets, share: float) -> Iterator[Fault]:
    kind, chance = KINDS[name], Random(f"{seed}/faults/{name}")
    if chance.random() > share or not targets.of(kind):
        return
    for _ in range(chance.randint(1, kind.at_most)):
        at_s = round(chance.uniform(BEGIN_S, END_S - 2), 3)
        for_s = round(min(chance.uniform(*kind.for_s), END_S - at_s), 3)
        yield Fault(at_s, name, chance.choice(targets.of(kind)), for_s, chance.choice(kind.values))


def plant(world: World, faults: Sequence[Fault]) -> None:
    """Lets the faults begin and end at their times."""
    for fault in faults:
        world.loop.at(fault.at_s, _begin, world, fault)


def _begin(world: World, fault: Fault) -> None:
    world.history.note(f"fault: {fault.kind}")
    end = KINDS[fault.kind].begin(world, fault)
    if end is not None:
        world.loop.after(fault.for_s, end)
