"""Scoping: decides which scopes open, change and end. The rules stand in scope.py."""

from __future__ import annotations

from collections import Counter
from collections.abc import Collection, Mapping
from dataclasses import dataclass
from typing import NamedTuple

import msgspec

from binome.core.causes import RANK, Found, Kind, explains, found, width
from binome.core.decision import Decision, View
from binome.core.entry import Draft, Fact
from binome.core.graph import Graph, Graphs, worked
from binome.core.looking import LookingSlice, VerdictsAgreed
from binome.core.quorum import Agreed
from binome.core.scope import (
    CAPABILITY,
    RETURNING_MS,
    Cause,
    Confidence,
    Ended,
    LookedAt,
    Manner,
    Scope,
    ScopeChanged,
    ScopeEnded,
    ScopeOpened,
    ScopeSlice,
)
from binome.core.sightlines import Sighted, sighted
from binome.core.verdict import Judged, Verdict
from binome.estate import Estate

TARGETS_AT_ONCE = 3000
"""So many targets at most are named by the facts of one decision: one append must fit into one request to etcd."""

graphs = Graphs()


class Known(NamedTuple):
    """A cause with its id and all targets that it explains."""

    scope: str
    cause: Cause
    targets: list[str]


def decide(estate: Estate, view: View, now_ms: int) -> Decision:
    """What becomes of the scopes now. Where nothing has changed since the last time this costs nothing."""
    looking, scopes = view.looking, view.scope
    if looking.more or not (looking.fallen or looking.contradicted or looking.silent or scopes.open):
        return Decision()
    graph = graphs.of(estate)
    note = scopes.looked_at
    if note is not None and note.holds(graph, looking.count, scopes.count, now_ms):
        return Decision(wake_at_ms=note.wake_ms)
    record, wake_ms = _Matching(graph, looking, scopes, now_ms).decided()
    if not record:
        scopes.looked_at = LookedAt(graph, looking.count, scopes.count, now_ms, wake_ms)
    drafts = (Draft(f"{CAPABILITY}/{name}", now_ms, CAPABILITY, fact) for name, fact in record)
    return Decision(tuple(drafts), wake_at_ms=wake_ms)


@dataclass(slots=True)
class _New:
    """A cause that is possible now. It may open a scope of its own from `ready_ms` on."""

    cause: Cause
    targets: list[str]
    ready_ms: int
    scope: str = ""


class _Matching:
    """What is found, beside the scopes that are open."""

    def __init__(self, graph: Graph, looking: LookingSlice, scopes: ScopeSlice, now_ms: int) -> None:
        self.graph, self.looking, self.scopes, self.now_ms = graph, looking, scopes, now_ms
        self.returning = {one.id: one for one in scopes.open.values() if self._is_returning(one)}
        self.taken: dict[str, _New] = {}
        self.news = self._found() + self._sighted()

    def _is_returning(self, scope: Scope) -> bool:
        """Whether something comes back that the cause itself speaks of: an effect may be up though the cause lasts."""
        if not scope.is_returning(self.now_ms):
            return False
        key = scope.cause.kind, scope.cause.subject
        back = (one for one in scope.targets if one not in scope.remaining and self.graph.target(one) is not None)
        return any(explains(self.graph, key, one) for one in back)

    def decided(self) -> tuple[list[tuple[str, Fact]], int | None]:
        """The facts to record, each with its name; when to look again."""
        self._match()
        over = self._over()
        joined = {fact.scope: fact.into for _, fact in over}
        record: list[tuple[str, Fact]] = [*over]
        wakes = [one.returned_ms + RETURNING_MS for one in self.returning.values()]
        left = TARGETS_AT_ONCE
        for new in self.news:
            if not new.scope:
                wakes.append(new.ready_ms)
                continue
            moved = [one for one in new.targets if self._moves(one, new.scope, joined)][:left]
            left -= len(moved)
            fact = self._said(new, tuple(moved))
            if fact is not None:
                record = [fact, *record] if isinstance(fact[1], ScopeOpened) else [*record, fact]
        return record, min((wake for wake in wakes if wake > self.now_ms), default=None)

    # -- what is possible

    def _found(self) -> list[_New]:
        settled = {target for one in self.returning.values() for target in one.remaining}
        verdict, fallen = self.looking.verdict, self.looking.fallen
        by_key: dict[tuple[Kind, str], tuple[Found, Manner]] = {}
        for manner, word in ((Manner.LOST, Verdict.DOWN), (Manner.UNSTEADY, Verdict.FLAPPING)):
            for one in found(self.graph, verdict, fallen, word, settled):
                known = by_key.setdefault(one.key, (one, manner))[0]
                if known is not one:
                    known.own += one.own
        news = [
            _New(
                cause_of(self.graph, self.looking, one, manner),
                one.own + one.effects,
                ready_ms(self.graph, fallen, one, manner, self.now_ms),
            )
            for one, manner in by_key.values()
        ]
        return sorted(news, key=lambda new: -len(new.targets))

    def _sighted(self) -> list[_New]:
        return [
            _New(_between(self.graph, self.looking, one), [], one.ready_ms)
            for one in sighted(self.graph, self.looking, settle_ms(self.graph))
        ]

    # -- which scope is which

    def _match(self) -> None:
        by_name = {one.cause.name: one.id for one in self.scopes.open.values()}
        for new in self.news:
            self._take(new, by_name.get(new.cause.name))
        for new in self.news:
            if not new.scope:
                self._take(new, self._oldest_of(new))
        for new in self.news:
            if not new.scope and new.ready_ms <= self.now_ms:
                new.scope = self.scopes.next_id(new.cause.name)

    def _take(self, new: _New, scope: str | None) -> None:
        if scope is not None and scope not in self.taken:
            self.taken[scope] = new
            new.scope = scope

    def _oldest_of(self, new: _New) -> str | None:
        """The oldest scope, not taken yet, that explains some of the same targets, or a lookout that stands on one."""
        targets = set(new.targets)
        names = {self.scopes.of_target.get(target) for target in targets}
        for one in self.scopes.open.values():
            about_lookout = one.cause.kind is Kind.VANTAGE and one.cause.subject in targets
            if one.id in self.taken or one.id in self.returning:
                continue
            if about_lookout or (one.id in names and not targets.isdisjoint(one.remaining)):
                return one.id
        return None

    def _over(self) -> list[tuple[str, ScopeEnded]]:
        """The scopes that end."""
        holder = {target: new for new in self.news for target in new.targets}
        record = []
        for one in self.scopes.open.values():
            if one.id in self.taken:
                continue
            into = ""
            if one.cause.kind in (Kind.NETWORK, Kind.VANTAGE):
                why = Ended.SEEN_AGAIN
            elif not one.remaining:
                why = Ended.UP_AGAIN
            elif all(self.graph.target(target) is None for target in one.remaining):
                why = Ended.REMOVED
            else:
                parts = [holder[target] for target in one.remaining if target in holder]
                if one.id in self.returning or not parts or not all(part.scope for part in parts):
                    continue
                why, into = Ended.JOINED, Counter(part.scope for part in parts).most_common(1)[0][0]
            record.append((f"{one.id}/ended", ScopeEnded(one.id, why, into)))
        return record

    # -- what is said of it

    def _moves(self, target: str, scope: str, joined: Mapping[str, str]) -> bool:
        holder = self.scopes.of_target.get(target, "")
        return holder != scope and joined.get(holder) != scope and holder not in self.returning

    def _said(self, new: _New, moved: tuple[str, ...]) -> tuple[str, Fact] | None:
        scope = self.scopes.open.get(new.scope)
        if scope is None:
            return f"{new.scope}/opened", ScopeOpened(new.scope, new.cause, moved)
        cause = _together(scope.cause, new.cause)
        if not moved and not _tells_more(scope.cause, cause):
            return None
        return f"{new.scope}/changed/{scope.changes + 1}", ScopeChanged(new.scope, cause, moved)


def settle_ms(graph: Graph) -> int:
    """A period and a quarter: after so long everything that fell with a target has been looked at too."""
    lookout = graph.estate.lookout
    return lookout.every_ms * 5 // 4 if lookout is not None else 0


def ready_ms(graph: Graph, fallen: Mapping[str, int], one: Found, manner: Manner, now_ms: int) -> int:
    """When a cause that was found may open a scope; `fallen` says when each target fell."""
    first_ms = min((fallen[target] for target in one.own), default=now_ms)
    if first_ms > now_ms:
        return now_ms  # the clock went back
    settle = settle_ms(graph)
    if manner is Manner.UNSTEADY:
        return first_ms + settle * 8
    if RANK[one.kind] >= RANK[Kind.SITE] and len(one.own) == width(graph, one.key):
        explained = {*one.own, *one.effects}
        if not any(at_ms > now_ms - settle and name not in explained for name, at_ms in fallen.items()):
            return now_ms
    return first_ms + settle


def _together(before: Cause, now: Cause) -> Cause:
    """What is found now, with what was known before of the same cause."""
    if (before.name, before.manner) != (now.name, now.manner):
        return now
    seen_from = tuple(dict.fromkeys((*before.seen_from, *now.seen_from)))
    return msgspec.structs.replace(now, since_ms=min(before.since_ms, now.since_ms), seen_from=seen_from)


def _tells_more(before: Cause, now: Cause) -> bool:
    """Whether more is different than the numbers, which follow from the verdicts."""
    return msgspec.structs.replace(now, since_ms=before.since_ms, silent=before.silent, of=before.of) != before


def cause_of(
    graph: Graph, looking: LookingSlice, one: Found, manner: Manner, confidence: Confidence | None = None
) -> Cause:
    """What was found, with its evidence."""
    agreed = [looking.agreed[target] for target in one.own]
    by = {vantage for vantages in {each.by for each in agreed} for vantage in vantages}
    own = [worked(target) == target for target in one.own] if one.kind is Kind.SERVICE else one.own
    silent = sum(map(bool, own))
    of = len(graph.work[one.subject]) if one.kind is Kind.SERVICE else width(graph, one.key)
    products = dict.fromkeys(product for service in one.failed for product in graph.products_of[service])
    return Cause(
        kind=one.kind,
        subject=one.subject,
        manner=manner,
        since_ms=min((each.since_ms for each in agreed), default=0),
        silent=silent,
        of=of,
        seen_from=_sites(graph, by),
        confidence=confidence or _confidence(looking.confirmed, not _unsure(graph, looking, one)),
        lookouts=tuple(vantage for vantage in graph.vantages if vantage in looking.silent and _in(graph, vantage, one)),
        services=tuple(one.failed),
        products=tuple(products),
        probe=_probe(graph, one),
    )


def _probe(graph: Graph, one: Found) -> str:
    """How a target is asked that is neither a server nor a member's; empty for all else."""
    target = graph.target(one.subject) if one.kind is Kind.TARGET else None
    named = one.subject in graph.estate.servers or "/" in one.subject
    return target.kind if target is not None and not named else ""


def _unsure(graph: Graph, looking: LookingSlice, one: Found) -> bool:
    if one.kind is Kind.SERVICE:
        return any(looking.verdict(work) is Verdict.UNSURE for work in graph.work[one.subject])
    if one.kind in (Kind.MEMBER, Kind.TARGET):
        return looking.verdict(one.subject) is Verdict.UNSURE
    return len(one.own) < width(graph, one.key)


def _confidence(confirmed: bool, whole: bool) -> Confidence:
    if not confirmed:
        return Confidence.UNCONFIRMED
    return Confidence.CONFIRMED if whole else Confidence.PARTLY


def _sites(graph: Graph, vantages: Collection[str]) -> tuple[str, ...]:
    return tuple(dict.fromkeys(graph.site[one] for one in graph.vantages if one in vantages))


def _in(graph: Graph, vantage: str, one: Found) -> bool:
    if one.kind in (Kind.TARGET, Kind.MEMBER, Kind.SERVICE):
        return False
    return vantage == one.subject or graph.stands_in(vantage, one.subject)


def _between(graph: Graph, looking: LookingSlice, one: Sighted) -> Cause:
    silent = one.kind is Kind.VANTAGE and not one.who
    by = looking.agreed[graph.on[one.subject][0]].by if silent else ()
    seen_from = one.who if one.kind is Kind.NETWORK else _sites(graph, by)
    manner = Manner.SILENT if silent else Manner.CUT
    confidence = _confidence(looking.confirmed, whole=True)
    return Cause(one.kind, one.subject, manner, one.since_ms, one.silent, one.of, seen_from, confidence)


def provisional(
    estate: Estate,
    scopes: ScopeSlice,
    vantage: str,
    judged: Mapping[str, Judged],
    *,
    heard: Collection[str],
    now_ms: int,
) -> list[Known]:
    """What one lookout makes of its own view, where there is no leader to say more. Nothing of it is ever acted on.

    `heard` are the other lookouts that it hears. Where everything outside its own site is silent to it, and no lookout
    out there is heard, it is cut off itself: then that is the cause, and nothing outside is called down. Ids are those
    that a leader would give now.
    """
    graph = graphs.of(estate)
    looking = _alone(graph, vantage, judged, now_ms)
    site = graph.site.get(vantage, vantage)
    outside = [name for name, one in graph.targets.items() if graph.site[one.server] != site]
    down = [name for name in outside if looking.verdict(name) is Verdict.DOWN]
    causes = []
    reached = any(looking.verdict(name) is Verdict.UP for name in outside)
    if len(down) * 2 > len(outside) and not reached and all(graph.site.get(one) == site for one in heard):
        since_ms = min(judged[name].since_ms for name in down)
        cut = Cause(Kind.VANTAGE, vantage, Manner.CUT, since_ms, len(down), len(outside), (), Confidence.PROVISIONAL)
        causes.append((cut, list[str]()))
        for name in (*outside, *graph.outside):
            looking.fallen.pop(name, None)
    for manner, word in ((Manner.LOST, Verdict.DOWN), (Manner.UNSTEADY, Verdict.FLAPPING)):
        for one in found(graph, looking.verdict, looking.fallen, word):
            if ready_ms(graph, looking.fallen, one, manner, now_ms) <= now_ms:
                cause = cause_of(graph, looking, one, manner, Confidence.PROVISIONAL)
                causes.append((cause, one.own + one.effects))
    ids = {one.cause.name: one.id for one in scopes.open.values()}
    return [Known(ids.get(cause.name) or scopes.next_id(cause.name), cause, targets) for cause, targets in causes]


def _alone(graph: Graph, vantage: str, judged: Mapping[str, Judged], now_ms: int) -> LookingSlice:
    """One lookout's own view, as if it were agreed. A verdict falls so many looks after the first that went wrong."""
    looking = LookingSlice()
    agreed = {target: Agreed(one.verdict, one.since_ms, (vantage,)) for target, one in judged.items()}
    looking.apply(VerdictsAgreed(agreed, confirmed=False), now_ms)
    for name in looking.fallen:
        target = graph.target(name)
        takes_ms = target.fall * target.every_ms if target is not None else 0
        looking.fallen[name] = min(now_ms, agreed[name].since_ms + takes_ms)
    return looking
