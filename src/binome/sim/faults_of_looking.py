"""Faults of what is looked at, and of the eyes that look. They strike in nights of looking alone."""

from __future__ import annotations

from functools import partial
from typing import TYPE_CHECKING

import msgspec

from binome.core.target import Answer
from binome.ports import Put
from binome.sim.etcd import Member, Proposal
from binome.sim.fault import END_S, End, Fault, Kind
from binome.sim.history import Agreed, Begun, Event, TookEffect
from binome.sim.loop import KilledError
from binome.sim.pair import ROOT
from binome.sim.process import current_name

if TYPE_CHECKING:
    from binome.sim.world import World

CONFIG = "/service/db/config"
ETCD_LOST = ("etcd rebuilt", "etcd rebuilt at moment", "etcd lost")
SPARED = frozenset({*ETCD_LOST, "disk lost"})
"""Faults that nights of looking are spared: what they do to a journal, plain nights show."""


def _hold(world: World, name: str) -> End:
    """A target, a server or a site is down until the end."""
    world.sights.downs[name] += 1

    def end() -> None:
        world.sights.downs[name] -= 1

    return end


def _all(*ends: End) -> End:
    def end() -> None:
        for one in ends:
            one()

    return end


# -- what is looked at


def _target_down(world: World, fault: Fault) -> End:
    """A target does not answer."""
    return _hold(world, fault.target)


def _target_flaps(world: World, fault: Fault) -> None:
    """A target is down and up again in turns of so many seconds."""
    until_s = world.loop.now_s + fault.for_s

    def turn() -> None:
        if world.loop.now_s < until_s:
            world.loop.after(min(fault.value, until_s - world.loop.now_s), _hold(world, fault.target))
            world.loop.after(2 * fault.value, turn)

    turn()


def _server_down(world: World, fault: Fault) -> End:
    """A server has no power, and its agent none."""
    return _all(_hold(world, fault.target), _fell(world, [fault.target]), _agents_down(world, [fault.target]))


def _agents_down(world: World, servers: list[str]) -> End:
    """What works for lookouts on these servers is killed, and started again."""
    agents = [agent for server in servers for agent in world.agents_on(server)]
    for agent in agents:
        agent.set_down(True)
    return _all(*(partial(agent.set_down, False) for agent in agents))


def _fell(world: World, servers: list[str]) -> End:
    """Databases that lose their power with their servers."""
    members = [one for name, one in world.pair.members.items() if name in servers]
    for member in members:
        member.falls(1)

    def end() -> None:
        for member in members:
            member.falls(-1)

    return end


def _primary_burns(world: World, _fault: Fault) -> End | None:
    """The site of whoever is primary then has no power."""
    primary = world.pair.primary()
    return _site_dark(world, primary.site) if primary is not None else None


def _primary_cut(world: World, _fault: Fault) -> End | None:
    """The site of whoever is primary then is cut from all others."""
    primary = world.pair.primary()
    if primary is None:
        return None
    links = [link for ends, link in world.network.links.items() if primary.site in ends and ends[0] != ends[1]]
    for link in links:
        link.cuts += 1

    def end() -> None:
        for link in links:
            link.cuts -= 1

    return end


def _killed_at_step(world: World, fault: Fault) -> None:
    """Whoever decides is killed at a step of the next takeover: as it begins it, or, from 10 on, after its effect."""
    after, step = divmod(int(fault.value), 10)
    leads = ""

    def meets(event: Event) -> None:
        nonlocal leads
        if not isinstance(event, (Begun, TookEffect)) or not event.command.plan.startswith("takeover/loss/"):
            return
        leads = event.node if isinstance(event, Begun) else leads
        if event.command.step == step and isinstance(event, TookEffect) == bool(after) and leads:
            world.history.watchers.remove(meets)
            node = world.node(leads)
            if world.loop.now_s < END_S - fault.for_s and not node.downs:
                node.set_down(True)
                world.loop.after(fault.for_s, node.set_down, False)
                if current_name() == node.name:
                    raise KilledError(node.name)

    world.history.watchers.append(meets)


BEGUN, DONE, TOLD = 0, 1, 2
"""A lookout is killed in a plan as it begins a step, after its effect, or as its outcome comes into the journal."""


def _killed_in_plan(world: World, fault: Fault) -> None:
    """Whoever decides is killed at a step of a plan, by what its name begins with. In written nights only.

    The value is the moment times 100, and the step; half a thousand more while the plan is undone.
    """
    undoing, place = divmod(int(fault.value), 500)
    moment, step = divmod(place, 100)

    def is_it(event: Event) -> bool:
        if isinstance(event, Agreed):
            facts = [msgspec.json.decode(entry.fact) for entry in event.entries] if moment == TOLD else []
            ended = [fact for fact in facts if fact["kind"] == "step-ended" and fact["plan"].startswith(fault.target)]
            return any((fact["step"], fact["undoing"]) == (step, bool(undoing)) for fact in ended)
        if isinstance(event, (Begun, TookEffect)) and moment == (BEGUN if isinstance(event, Begun) else DONE):
            one = event.command
            return one.plan.startswith(fault.target) and (one.step, one.undoing) == (step, bool(undoing))
        return False

    def meets(event: Event) -> None:
        if not is_it(event):
            return
        world.history.watchers.remove(meets)
        world.history.note("killed in a plan")
        leading = [node for node in world.nodes if node.journal is not None and node.journal.generation is not None]
        for node in leading:
            node.set_down(True)
            world.loop.after(fault.for_s, node.set_down, False)
        if any(current_name() == node.name for node in leading):
            raise KilledError(current_name())

    world.history.watchers.append(meets)


def _standby_let_go(world: World, fault: Fault) -> None:
    """A primary that lives after all goes on alone in the middle of its takeover. In written nights only.

    It takes its standby out of `sync`, and acknowledges a write that the standby never has: before the driver looks at
    the keys (0), or after it has looked and before etcd takes its transaction (1).
    """
    cluster = world.cluster
    propose = cluster.propose

    def let_go() -> None:
        primary = world.pair.primary()
        if primary is not None:
            agreed = {"leader": primary.name, "sync_standby": None, "quorum": 0}
            cluster.state.transact((), [Put(f"{ROOT}sync", msgspec.json.encode(agreed))])
            primary.waits_for = ""
            primary.write("alone")
            world.history.note("a standby let go in the middle of a takeover")

    def proposed(member: Member, proposal: Proposal) -> None:
        if proposal.client == decider:
            cluster.propose = propose  # type: ignore[method-assign]
            let_go()
        propose(member, proposal)

    decider = ""

    def meets(event: Event) -> None:
        nonlocal decider
        if isinstance(event, Begun) and event.command.verb == "database.takeover":
            world.history.watchers.remove(meets)
            if fault.value:
                decider, cluster.propose = event.node, proposed  # type: ignore[method-assign]
            else:
                let_go()

    world.history.watchers.append(meets)


def _patroni_frozen(world: World, _fault: Fault) -> End | None:
    """The Patroni of whoever is primary then stands still; its database does not."""
    primary = world.pair.primary()
    if primary is None:
        return None
    life = primary.process
    primary.set_frozen(True)

    def end() -> None:
        if life is not None and life is primary.process:
            primary.set_frozen(False)

    return end


def _patroni_paused(world: World, _fault: Fault) -> End:
    """Somebody has told Patroni to keep its hands off: a takeover is refused at its promotion."""
    world.cluster.state.transact((), [Put(CONFIG, b'{"pause": true}')])

    def end() -> None:
        world.cluster.state.transact((), [Put(CONFIG, b"{}")])

    return end


def _site_lost(world: World, fault: Fault) -> End:
    """A site has no power: lookouts, etcd's member, servers and agents, all at once; and nobody is there to refuse."""
    return _site_dark(world, fault.target)


def _site_dark(world: World, site: str) -> End:
    ends: list[End] = [_hold(world, site)]
    ends.append(_fell(world, [name for name, one in world.pair.members.items() if one.site == site]))
    for node in world.nodes:
        if node.site == site:
            node.set_down(True)
            ends.append(partial(node.set_down, False))
    ends.append(_agents_down(world, [name for name, agent in world.agents.items() if agent.site == site]))
    member = world.cluster.member(f"etcd-{site}")
    world.cluster.set_down(member, True)
    ends.append(partial(world.cluster.set_down, member, False))
    return _all(*ends)


# -- who looks


def _sees(world: World, names: list[str], value: float) -> End:
    """Eyes that see all down (0), all up (1), or anything by chance (2)."""
    eyes = [world.sights.eyes[name] for name in names]

    def change(by: int) -> None:
        for eye in eyes:
            if value == 2:
                eye.unsteady += by
            else:
                eye.says[(Answer.DOWN, Answer.UP)[int(value)]] += by

    change(1)
    return lambda: change(-1)


def _vantage_lies(world: World, fault: Fault) -> End:
    """A lookout sees what is not so."""
    return _sees(world, [fault.target], fault.value)


def _vantages_lie_together(world: World, fault: Fault) -> End:
    """All lookouts in one fault domain see what is not so."""
    return _sees(world, fault.target.split("+"), fault.value)


def _vantage_lags(world: World, fault: Fault) -> End:
    """A lookout's looks take so many seconds longer."""
    eye = world.sights.eyes[fault.target]
    eye.late_s += fault.value

    def end() -> None:
        eye.late_s = max(0.0, eye.late_s - fault.value)

    return end


def _vantage_starved(world: World, fault: Fault) -> None:
    """A lookout gets the processor only now and then: it stands still for so many seconds, again and again."""
    node, until_s = world.node(fault.target), world.loop.now_s + fault.for_s

    def turn() -> None:
        if world.loop.now_s + fault.value < until_s:
            node.set_paused(True)
            world.loop.after(fault.value, node.set_paused, False)
            world.loop.after(fault.value * 1.3, turn)

    turn()


def _vantage_alone(world: World, fault: Fault) -> End:
    """All lookouts but one lose their power."""
    ends: list[End] = []
    for node in world.nodes:
        if node.name != fault.target:
            node.set_down(True)
            ends.append(partial(node.set_down, False))
    return _all(*ends)


def _clock_back(world: World, fault: Fault) -> None:
    """A lookout's time of day goes back by so many milliseconds, and stays so."""
    world.node(fault.target).clock.offset_ms -= int(fault.value)


LOOKING_KINDS: dict[str, Kind] = {
    "target down": Kind(_target_down, "looked_at", 6, (1, 25)),
    "target flaps": Kind(_target_flaps, "looked_at", 3, (5, 40), (0.4, 1.1, 2.3, 5.0)),
    "server down": Kind(_server_down, "servers", 3, (2, 25)),
    "site lost": Kind(_site_lost, "sites", 2, (2, 25)),
    "vantage lies": Kind(_vantage_lies, "vantages", 3, (5, 40), (0, 1, 2)),
    "vantages lie together": Kind(_vantages_lie_together, "together", 3, (5, 40), (0, 0, 1, 2)),
    "vantage lags": Kind(_vantage_lags, "vantages", 3, (5, 40), (0.3, 0.7, 1.5)),
    "vantage starved": Kind(_vantage_starved, "vantages", 3, (3, 20), (0.3, 0.6, 1.2)),
    "vantage alone": Kind(_vantage_alone, "vantages", 2, (3, 15)),
    "primary burns": Kind(_primary_burns, "pair", 4, (2, 20)),
    "primary cut": Kind(_primary_cut, "pair", 3, (1, 20)),
    "killed at step": Kind(_killed_at_step, "pair", 3, (0.5, 10), (0, 1, 2, 3, 10, 11, 12, 13)),
    "killed in plan": Kind(_killed_in_plan, "plans", 1, (2, 6)),
    "standby let go": Kind(_standby_let_go, "plans", 1, (0, 0), (0, 1)),
    "patroni frozen": Kind(_patroni_frozen, "pair", 3, (2, 20)),
    "patroni paused": Kind(_patroni_paused, "plans", 1, (2, 6)),
    "clock back": Kind(_clock_back, "vantages", 2, (0, 0), (2_000, 20_000, 300_000)),
}
