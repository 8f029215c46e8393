"""The report: the estate at a glance, as one lookout knows it, as data for people and programs.

    who leads and what is agreed    ► the state: scopes, verdicts, databases, as the journal has them
    nobody leads, or not known      ► this lookout's own view and its provisional causes, *unconfirmed*; what had been
                                      agreed before stays in sight, marked as *stale*

Nothing is decided here, and nothing is kept. Words come from the core where a decision is behind them (evidence.py);
all others are the commands'. What targets and peers said is passed on as it is: whoever shows it escapes it.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass
from functools import partial
from typing import Any

from binome.core.alone import alone
from binome.core.causes import Kind
from binome.core.evidence import scope_sentence, sentence
from binome.core.graph import Graph
from binome.core.plan import Plan
from binome.core.quorum import Agreed
from binome.core.scope import Cause, Manner, Scope
from binome.core.scoping import Known, graphs, provisional
from binome.core.state import State
from binome.core.verdict import Judged, Verdict
from binome.ports import Finding, Standing
from binome.runtime.backup_report import backups
from binome.runtime.loop import Loop
from binome.runtime.turns import Turns, at_once
from binome.runtime.watch import Watch

NAMED = 20
"""So many targets that nothing explains yet are named; the others are counted."""


@dataclass(frozen=True, slots=True)
class Sources:
    """What a report is gathered from. `moment` puts milliseconds since 1970 into words, with the zone.

    `peers` are the other lookouts as they are heard here, `agents` those of all servers;
    `attestable` are the databases that a person's word could bring back;
    `findings` are this lookout's newest looks, by target.
    """

    loop: Loop
    watch: Watch
    findings: Mapping[str, Finding]
    lag_s: Callable[[], float]
    standing: Callable[[], Standing]
    peers: Callable[[], list[dict[str, Any]]]
    problems: Callable[[], list[str]]
    moment: Callable[[int], str]
    agents: Callable[[], list[dict[str, Any]]] = list
    attestable: Callable[[], list[dict[str, Any]]] = list


@dataclass(frozen=True, slots=True)
class Picture:
    """What is believed at one moment: agreed where somebody leads, else this lookout's own view.

    `causes` are the scopes, the oldest first, as JSON; `of_target` says which of them explains a target.
    """

    leader: str
    agreed: Mapping[str, Agreed]
    fallen: Mapping[str, Verdict]
    causes: list[dict[str, Any]]
    of_target: Mapping[str, str]


def pictured(sources: Sources, now_ms: int) -> Turns[Picture]:
    """What is believed now."""
    loop = sources.loop
    leader = loop.name if loop.journal.generation is not None else sources.standing().leader
    if not leader:
        return (yield from _own(sources, now_ms))
    looking, scopes = loop.state.looking, loop.state.scope
    causes = [_scope(one, scope_sentence(one, sources.moment)) for one in scopes.open.values()]
    fallen = {name: looking.verdict(name) for name in looking.fallen}
    of_target = {name: one.id for one in scopes.open.values() for name in one.remaining}
    yield None
    return Picture(leader, looking.agreed, fallen, sorted(causes, key=_age), of_target)


def _own(sources: Sources, now_ms: int) -> Turns[Picture]:
    """One lookout's own view. Where it is cut off, it says nothing of what is out there."""
    estate, name, scopes = sources.loop.estate, sources.watch.name, sources.loop.state.scope.copy()
    judged, graph = sources.watch.own(), graphs.of(sources.loop.estate)
    heard = sources.watch.heard() - {name}
    known = yield partial(provisional, estate, scopes, name, judged, heard=heard, now_ms=now_ms)
    causes = [_provisional(one, sources.moment) for one in known]
    found = {one.scope for one in known}
    for scope in scopes.open.values():
        if scope.id not in found:
            causes.append({**_scope(scope, scope_sentence(scope, sources.moment)), "stale": True})
    cut = any(one.cause.kind is Kind.VANTAGE and one.cause.manner is Manner.CUT for one in known)
    agreed = {target: _alone(one, name) for target, one in judged.items() if not cut or _is_here(graph, target, name)}
    yield None
    fallen = {target: one.verdict for target, one in agreed.items() if one.verdict in (Verdict.DOWN, Verdict.FLAPPING)}
    of_target = {target: one.scope for one in known for target in one.targets}
    return Picture("", agreed, fallen, sorted(causes, key=_age), of_target)


def _alone(judged: Judged, vantage: str) -> Agreed:
    return Agreed(judged.verdict, judged.since_ms, (vantage,), said=judged.said)


def _is_here(graph: Graph, target: str, vantage: str) -> bool:
    return target in graph.targets and graph.site[graph.targets[target].server] == graph.site[vantage]


def _age(scope: dict[str, Any]) -> tuple[bool, int]:
    return scope["stale"], scope["since_ms"]


def _scope(scope: Scope, words: str) -> dict[str, Any]:
    return {
        **_cause(scope.id, scope.cause, words),
        "earlier": list(scope.earlier),
        "targets": len(scope.targets),
        "remaining": len(scope.remaining),
    }


def _provisional(one: Known, moment: Callable[[int], str]) -> dict[str, Any]:
    words = sentence(one.cause, moment)
    return {
        **_cause(one.scope, one.cause, words),
        "earlier": [],
        "targets": len(one.targets),
        "remaining": len(one.targets),
    }


def _cause(scope: str, cause: Cause, words: str) -> dict[str, Any]:
    return {
        "scope": scope,
        "sentence": words,
        "kind": cause.kind.value,
        "subject": cause.subject,
        "manner": cause.manner.value,
        "confidence": cause.confidence.value,
        "since_ms": cause.since_ms,
        "silent": cause.silent,
        "of": cause.of,
        "seen_from": list(cause.seen_from),
        "lookouts": list(cause.lookouts),
        "services": list(cause.services),
        "products": list(cause.products),
        "probe": cause.probe,
        "stale": False,
    }


def status(sources: Sources) -> dict[str, Any]:
    """The estate at a glance: what `binome status --json` prints. docs/looking.md names every key."""
    return at_once(status_turns(sources))


def status_turns(sources: Sources) -> Turns[dict[str, Any]]:
    """The same in parts, between which the loop goes on."""
    now_ms = sources.loop.clock.now_ms()
    estate, state = sources.loop.estate, sources.loop.state
    seen, graph = (yield from pictured(sources, now_ms)), graphs.of(estate)
    lonely = [one._asdict() for one in alone(graph, seen.agreed, state.takeover.databases)]
    yield None
    counts = _counts((*graph.targets, *graph.outside), seen.agreed)
    yield None
    sites = list(_sites(graph, seen.agreed))
    yield None
    problems = sources.problems()
    plans = [_plan(one) for one in state.plans.values()]
    bare = sorted(name for name in seen.fallen if name not in seen.of_target)
    takeovers, silent = list(_takeovers(state)), state.silence.sites
    copies = list(backups(estate, state, now_ms))
    lacking = any(one["wrong"] for one in copies)
    headless = any(one.leaderless for one in state.takeover.databases.values())
    troubled = any((problems, seen.causes, bare, lonely, not seen.leader, takeovers, silent, headless, lacking))
    return {
        "estate": estate.estate,
        "server": sources.loop.name,
        "at_ms": now_ms,
        "good": not troubled and not any(one["state"] == "needs-person" for one in plans),
        "leads": sources.loop.journal.generation,
        "leader": seen.leader,
        "led_last": state.leader,
        "generation": sources.loop.journal.generation or state.head.generation,
        "entries": state.head.sequence,
        "view": "agreed" if seen.leader else "own",
        "quorum": quorum(sources.watch),
        "targets": counts,
        "sites": sites,
        "scopes": seen.causes,
        "unexplained": {"count": len(bare), "targets": bare[:NAMED]},
        "alone": lonely,
        "databases": list(databases(state)),
        "takeovers": takeovers,
        "silent_sites": [{"site": site, "since_ms": one.since_ms} for site, one in silent.items()],
        "products": list(_products(graph, state, seen)),
        "problems": problems,
        "peers": sources.peers(),
        "agents": sources.agents(),
        "attestable": sources.attestable(),
        "rejoins": list(_rejoins(state)),
        "absent": [{"server": one, "service": etcd} for one, etcd in state.takeover.absent.items()],
        "backups": copies,
        "plans": plans,
    }


def quorum(watch: Watch) -> dict[str, Any]:
    """How many groups of lookouts are heard, of how many; how many it takes; whether that is enough to act on."""
    heard, tally = watch.heard(), watch.tally
    return {
        "heard": sum(not heard.isdisjoint(group) for group in tally.groups),
        "groups": len(tally.groups),
        "needed": tally.majority,
        "confirmed": tally.confirmed,
    }


def _counts(names: Iterable[str], agreed: Mapping[str, Agreed]) -> dict[str, int]:
    counted = Counter(agreed[name].verdict if name in agreed else Verdict.UNSURE for name in names)
    return {verdict.value: counted[verdict] for verdict in Verdict}


def _sites(graph: Graph, agreed: Mapping[str, Agreed]) -> Iterator[dict[str, Any]]:
    """The sites with something in them that is looked at."""
    for site, names in graph.in_site.items():
        lookouts = [one for one in graph.vantages if graph.site[one] == site]
        yield {"site": site, "lookouts": lookouts, "of": len(names), **_counts(names, agreed)}


def databases(state: State) -> Iterator[dict[str, Any]]:
    """The databases, as Patroni's keys say."""
    for name, one in state.takeover.databases.items():
        yield {
            "database": name,
            "primary": one.primary,
            "leaderless": one.leaderless,
            "synchronous": list(one.synchronous),
            "since_ms": one.since_ms,
        }


def _takeovers(state: State) -> Iterator[dict[str, Any]]:
    """What was said of losses that are not over: why there is no takeover, or that it waits for a person."""
    losses = {f"site/{site}/{one.number}" for site, one in state.silence.sites.items()}
    losses |= {f"scope/{scope}" for scope in state.scope.open}
    for service, one in state.takeover.judged.items():
        if one.loss in losses:
            yield {
                "service": service,
                "loss": one.loss,
                "said": one.said,
                "survivor": one.survivor,
                "code": one.code,
            }


def _rejoins(state: State) -> Iterator[dict[str, Any]]:
    """Members that were let in again and do not follow yet."""
    for service, losses in state.takeover.fenced.items():
        for one in losses.values():
            if one.opened:
                yield {
                    "service": service,
                    "servers": sorted(one.servers),
                    "trouble": one.trouble,
                    "failures": one.failures,
                    "again_ms": one.again_ms or None,
                }


def _products(graph: Graph, state: State, seen: Picture) -> Iterator[dict[str, Any]]:
    """Each product with the causes that hit it, and the databases that it needs and that have no primary."""
    headless = [name for name, one in state.takeover.databases.items() if one.leaderless]
    for product in graph.estate.products:
        yield {
            "product": product,
            "hit_by": [one["scope"] for one in seen.causes if product in one["products"]],
            "no_primary": [name for name in headless if product in graph.products_of.get(name, ())],
        }


def _plan(one: Plan) -> dict[str, Any]:
    return {
        "plan": one.id,
        "capability": one.capability,
        "subject": one.subject,
        "state": one.state,
        "step": min(one.position + 1, len(one.steps)),
        "steps": len(one.steps),
        "trouble": one.trouble,
        "why": one.why,
        "until_ms": one.steps[-1].not_before_ms,
    }
