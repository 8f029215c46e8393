"""Explained: all that is known of one thing: a target, a service, a server, or a fault domain with servers in it.

Who looks at it and what each vantage point says; what is agreed; which scope explains it; what it would take down. The
last is not from looking: it is the estate's own arithmetic (`binome check`) for the loss of that thing.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from typing import Any

from binome.analysis.explain import sentence
from binome.analysis.outcome import Effect, Evaluation, Platform, details
from binome.core.graph import Graph
from binome.core.quorum import NOTHING_KNOWN
from binome.core.scoping import graphs
from binome.core.verdict import Judged, Verdict
from binome.estate.problem import did_you_mean, shown
from binome.runtime.report import Picture, Sources, pictured, quorum
from binome.runtime.turns import Turns, at_once

MOST = 500
"""So many targets are told of one by one, those that are not up first."""
_REASONS = 3

_WORST_FIRST = (Verdict.DOWN, Verdict.FLAPPING, Verdict.UNSURE, Verdict.UP)


def explain(sources: Sources, name: object) -> dict[str, Any]:
    """All about `name`: what `binome explain --json` prints. `{"error": …}` where nothing of that name is looked at."""
    return at_once(explain_turns(sources, name))


def explain_turns(sources: Sources, name: object) -> Turns[dict[str, Any]]:
    """The same in parts, between which the loop goes on."""
    graph = graphs.of(sources.loop.estate)
    kind = _kind(graph, name) if isinstance(name, str) else None
    if kind is None or not isinstance(name, str):
        return {"error": _unknown(graph, name)}
    now_ms = sources.loop.clock.now_ms()
    seen = yield from pictured(sources, now_ms)
    names = _targets(graph, kind, name)
    names.sort(key=lambda one: _WORST_FIRST.index(seen.agreed.get(one, NOTHING_KNOWN).verdict))
    own = sources.watch.own()
    scopes = {seen.of_target[one] for one in names if one in seen.of_target}
    return {
        "name": name,
        "kind": kind,
        "at_ms": now_ms,
        "leader": seen.leader,
        "view": "agreed" if seen.leader else "own",
        "quorum": quorum(sources.watch),
        "up": sum(seen.agreed.get(one, NOTHING_KNOWN).verdict is Verdict.UP for one in names),
        "of": len(names),
        "targets": [_target(sources, graph, seen, one, own.get(one)) for one in names[:MOST]],
        "left_off": max(0, len(names) - MOST),
        "scopes": [one for one in seen.causes if one["scope"] in scopes],
        "products": list(_products(graph, kind, name)),
    }


def _kind(graph: Graph, name: str) -> str | None:
    """What a name stands for; None where nothing of it is looked at. A server goes before the target of its name."""
    if name in graph.estate.servers:
        return "server" if name in graph.on else None
    if name in graph.estate.services:
        return "service" if graph.served.get(name) else None
    if name in graph.count:
        return graph.domains.kinds[name]
    return "target" if name in graph.targets or name in graph.outside else None


def _targets(graph: Graph, kind: str, name: str) -> list[str]:
    match kind:
        case "target":
            return [name]
        case "service":
            return [one for one, target in graph.targets.items() if target.service == name]
        case "server":
            return list(graph.on[name])
    return [one for server, names in graph.on.items() if graph.stands_in(server, name) for one in names]


def _unknown(graph: Graph, name: object) -> str:
    """That there is no such thing, and what may have been meant; `SERVICE@SERVER` is mended part by part."""
    words = shown(name)
    everything = frozenset({*graph.targets, *graph.outside, *graph.estate.services, *graph.on, *graph.count})
    if not isinstance(name, str) or "@" not in name:
        remedy = did_you_mean(str(name), [everything], "Name a target, service, server or site that is looked at.")
        return f"nothing is looked at that is named {words}.  {remedy}"
    service, _, server = name.partition("@")
    server, stroke, helper = server.partition("/")
    for near_service in _near(service, graph.work):
        for near_server in _near(server, graph.estate.servers):
            near = f"{near_service}@{near_server}"
            for meant in (f"{near}{stroke}{helper}", near):
                if meant in graph.targets:
                    return f"nothing is looked at that is named {words}.  Did you mean {meant}?"
    return f"nothing is looked at that is named {words}.  Try the service or the server alone."


def _near(word: str, known: Iterable[str]) -> list[str]:
    """A word itself, or the nearest of those that are known."""
    among = frozenset(known)
    if word in among:
        return [word]
    said = did_you_mean(word, [among], "")
    return [said.removeprefix("Did you mean ").removesuffix("?")] if said else []


def _target(sources: Sources, graph: Graph, seen: Picture, name: str, own: Judged | None) -> dict[str, Any]:
    target, agreed = graph.targets.get(name) or graph.outside[name], seen.agreed.get(name, NOTHING_KNOWN)
    finding = sources.findings.get(name)
    return {
        "target": name,
        "probe": target.kind,
        "address": target.address,
        "port": target.port,
        "server": target.server,
        "service": target.service,
        "every_ms": target.every_ms,
        "timeout_ms": target.timeout_ms,
        "fall": target.fall,
        "rise": target.rise,
        "agreed": {
            "verdict": agreed.verdict.value,
            "since_ms": agreed.since_ms or None,
            "by": list(agreed.by),
            "dissent": {vantage: verdict.value for vantage, verdict in agreed.dissent.items()},
            "said": agreed.said,
        },
        "vantages": list(_vantages(sources, graph, name, own)),
        "last": None
        if finding is None
        else {"answer": finding.answer.value, "said": finding.said, "took_ms": round(finding.took_s * 1000, 1)},
        "scope": seen.of_target.get(name),
    }


def _vantages(sources: Sources, graph: Graph, name: str, own: Judged | None) -> Iterator[dict[str, Any]]:
    """Each vantage point with its word; who has none says so. Its own is asked of its own judges."""
    watch = sources.watch
    views, heard = watch.tally.views(name), watch.heard()
    for vantage in watch.tally.vantages:
        judged = own if vantage == watch.name else views.get(vantage)
        yield {
            "vantage": vantage,
            "site": graph.site[vantage],
            "heard": vantage in heard,
            "verdict": judged.verdict.value if judged is not None else None,
            "since_ms": judged.since_ms if judged is not None else None,
            "said": judged.said if judged is not None else "",
        }


def _products(graph: Graph, kind: str, name: str) -> Iterator[dict[str, Any]]:
    """What products need it, and what becomes of each when it is lost; nothing of those that are not touched."""
    if kind in ("target", "service"):
        service = (graph.targets.get(name) or graph.outside[name]).service if kind == "target" else name
        for product in graph.products_of.get(service, ()):
            yield {"product": product, "outcome": None, "why": [service]}
        return
    platform = Platform(graph.estate)
    evaluation = Evaluation(platform, [(name,)])
    for product in platform.products:
        touched = details(evaluation, product).get(0)
        if touched is not None:
            by_subject: dict[str, list[Effect]] = {}
            for effect in touched.effects:
                by_subject.setdefault(effect.subject, []).append(effect)
            why = [f"{one}: {sentence(platform, one, effects, (name,))}" for one, effects in by_subject.items()]
            yield {"product": product, "outcome": str(touched.outcome), "why": why[:_REASONS]}
