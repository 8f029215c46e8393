"""Alarms: what people are to be paged about, as it follows from the state; and from one lookout's own view without it.

    incident                            page                                            asks
    open                                its cause, once more where it turns out wider   until acknowledged
    a product cannot be used            the same, critical                              until acknowledged
    resolved by itself, was paged       that it is over                                 nothing
    takeover refused, or to confirm     why not, or the command with its code           until acknowledged
    a plan needs a person               which, and its trouble                          until acknowledged
    a database is alone for a minute    where no open incident explains it              until acknowledged
    a proof is late, or failed          which data, and why (backup_concerns.py)        until acknowledged
    nobody leads for half a minute      that nothing is automatic now                   until acknowledged
    this lookout has trouble            its first problem                               until acknowledged

All of it is pure: whoever asks again gets the same pages with the same identities, and the pager takes each up once. An
alarm that is muted (somebody has silenced its subject) makes no page now; when the silence is over, it does. What other
things are wrong because of an incident stands in its page: one cause is one page.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from typing import NamedTuple

from binome.core.backup_concerns import Wrong, concerns, sentence_of
from binome.core.causes import Kind
from binome.core.decision import View
from binome.core.evidence import headline
from binome.core.graph import Graph
from binome.core.incident import Incident, Resolved, servers_of
from binome.core.lost import losses
from binome.core.muting import covers, covers_service
from binome.core.page import Page, Severity
from binome.core.scope import Cause, Manner
from binome.core.scoping import graphs
from binome.core.stopped import in_doubt
from binome.core.takeover import CAPABILITY as TAKEOVER
from binome.core.takeover import Refused as NoTakeover
from binome.core.takeover_facts import FAILURES_BEFORE_PAGE
from binome.estate import Estate
from binome.estate.model import PostgresqlService

INCIDENT, WANTED, PLAN, ALONE, NOBODY, TROUBLE = "incident", "takeover", "plan", "alone", "nobody-leads", "trouble"
BACKUP = "backup"
"""The causes of pages that are made here."""
ALONE_MS = 60_000
RESOLVED_TOLD_MS = 3_600_000
"""So long after an incident was resolved a lookout that was away still tells that."""
OPENED, HIT, RESOLVED = "opened", "hit", "resolved"


class Alarm(NamedTuple):
    """A page that is wanted; `muted` while somebody has silenced it. `incident` is its number, 0 for none."""

    page: Page
    muted: bool = False
    incident: int = 0


class Name(NamedTuple):
    """Under which episode and stage an incident was paged before it had a number, and as which cause."""

    episode: str
    stage: str
    cause: str


def alarms(estate: Estate, view: View, now_ms: int, known_as: Mapping[str, Name]) -> list[Alarm]:
    """What people are to be paged about now. `known_as` has what this lookout paged without a leader, by episode."""
    graph = graphs.of(estate)
    return [
        *_incidents(graph, view, now_ms, known_as),
        *_takeovers(graph, view, now_ms),
        *_plans(graph, view, now_ms),
        *_alone(graph, view, now_ms),
        *_rejoins(graph, view, now_ms),
        *_backups(graph, view, now_ms),
    ]


def provisional_page(estate: Estate, cause: Cause, name: Name) -> Page:
    """The page about a cause that one lookout alone sees."""
    return Page(
        cause=INCIDENT,
        episode=name.episode,
        stage=name.stage,
        severity=Severity.CRITICAL if cause.products else Severity.WARNING,
        name=estate.estate,
        what=f"Unconfirmed: {headline(cause)}",
        since_ms=cause.since_ms,
        doing="Nobody leads: nothing is done by itself",
        asked="Look now",
        detail=_counts(cause),
    )


def nobody_leads_page(estate: Estate, generation: int, since_ms: int) -> Page:
    """The page that nothing is automatic. The same at every lookout that has the same journal."""
    return Page(
        cause=NOBODY,
        episode=str(generation),
        stage=OPENED,
        severity=Severity.CRITICAL,
        name=estate.estate,
        what="Nobody leads, or etcd has no majority",
        since_ms=since_ms,
        doing="Nothing automatic",
        asked="See: binome status",
    )


def trouble_page(estate: Estate, server: str, problem: str, since_ms: int) -> Page:
    """The page that a lookout cannot do its work; once for the same trouble in the same day."""
    return Page(
        cause=TROUBLE,
        episode=f"{server}/{since_ms // 86_400_000}",
        stage=OPENED,
        severity=Severity.WARNING,
        name=estate.estate,
        what=f"Lookout {server} has trouble",
        since_ms=since_ms,
        asked="See: binome status",
        detail=problem,
    )


# -- incidents


def _incidents(graph: Graph, view: View, now_ms: int, known_as: Mapping[str, Name]) -> Iterator[Alarm]:
    for one in view.incident.all.values():
        name = known_as.get(one.episode)
        if one.is_open:
            page = _incident_page(graph, view, one, name, now_ms)
            yield Alarm(page, covers(graph, view, one.cause, now_ms), one.number)
        elif one.why == Resolved.UP_AGAIN.value and one.told and now_ms - (one.resolved_ms or 0) < RESOLVED_TOLD_MS:
            yield Alarm(_resolved_page(graph, one, name), False, one.number)


def _incident_page(graph: Graph, view: View, one: Incident, name: Name | None, now_ms: int) -> Page:
    hit = [product for product in view.impact.unusable() if _is_hit(graph, view, one, product)]
    stage = f"now/{one.widened[-1]}" if one.widened else OPENED
    if name is not None and name.cause == one.widest.name:
        stage = name.stage
    return Page(
        cause=INCIDENT,
        episode=name.episode if name else one.episode,
        stage=HIT if hit else stage,
        severity=Severity.CRITICAL if hit else Severity.WARNING,
        name=f"{graph.estate.estate} {one.number}",
        what=headline(one.cause),
        since_ms=one.since_ms,
        doing=_doing(graph, view, one, hit, now_ms),
        asked=f"See: binome incident {one.number}" if hit else "Nothing urgent",
        detail=_counts(one.cause),
    )


def _is_hit(graph: Graph, view: View, one: Incident, product: str) -> bool:
    """Whether an incident is why a product cannot be used: it says so, or what does not work is on its servers."""
    if product in one.cause.products or product in one.names:
        return True
    interval, touched = view.impact.open(product), servers_of(graph, one.cause)
    known = graph.estate.services  # an interval may name one that the estate has no more
    hurt = interval.services if interval is not None else ()
    return any(not touched.isdisjoint(known[name].on) for name in hurt if name in known)


def _resolved_page(graph: Graph, one: Incident, name: Name | None) -> Page:
    return Page(
        cause=INCIDENT,
        episode=name.episode if name else one.episode,
        stage=RESOLVED,
        severity=Severity.INFO,
        name=f"{graph.estate.estate} {one.number}",
        what=f"Over: {headline(one.widest)}; all of it is well again",
        since_ms=one.quiet_ms or one.resolved_ms or one.since_ms,
    )


def _counts(cause: Cause) -> str:
    if cause.of <= 1 or cause.manner is not Manner.LOST:
        return ""
    seen = f", seen from {' and '.join(cause.seen_from)}" if cause.seen_from else ""
    return f"{cause.silent}/{cause.of} {'down' if cause.kind is Kind.SERVICE else 'silent'}{seen}"


def _doing(graph: Graph, view: View, one: Incident, hit: Sequence[str], now_ms: int) -> str:
    """What Binôme does about it, whom it hurts, and what has no partner now."""
    said, alone = [], []
    touched = servers_of(graph, one.cause)
    for name, service in graph.estate.services.items():
        if not isinstance(service, PostgresqlService) or touched.isdisjoint(service.on):
            continue
        plan = view.plan_of(name)
        took_over_ms = view.takeover.took_over_ms.get(name)
        if plan is not None and plan.capability == TAKEOVER:
            said.append(f"takeover of {name} under way" if plan.state == "open" else f"takeover of {name} failed")
        elif took_over_ms is not None and took_over_ms >= one.since_ms:
            said.append(f"{name} took over")
        database = view.takeover.databases.get(name)
        if database is not None and not database.synchronous:
            alone.append(name)
    doubted = in_doubt(graph.estate, view, now_ms)
    unsure = {product: None for name in doubted for product in graph.products_of[name] if product not in hit}
    if hit:
        said.append(f"{', '.join(hit)} cannot be used")
    if unsure:
        said.append(f"{', '.join(unsure)} perhaps hit")
    if graph.estate.products and not (hit or unsure or view.impact.unusable()):
        said.append("products ok")
    text = ", ".join(said)
    return f"{text}. Alone now: {', '.join(alone)}" if alone else text


# -- the rest


def _takeovers(graph: Graph, view: View, now_ms: int) -> Iterator[Alarm]:
    """What a person must decide: while the loss lasts."""
    if not view.takeover.judged:
        return
    current = {one.id: one for one in losses(graph.estate, view, now_ms)}
    for service, judged in view.takeover.judged.items():
        loss = current.get(judged.loss)
        if loss is None or judged.said in ("shadow", NoTakeover.MAINTENANCE.value):
            continue
        confirm = judged.said == "confirm"
        page = Page(
            cause=WANTED,
            episode=f"{service}/{judged.loss}",
            stage=judged.said,
            severity=Severity.CRITICAL,
            name=graph.estate.estate,
            what=f"{service} is down: {loss.subject} lost",
            since_ms=loss.since_ms,
            doing=f"{judged.survivor} can take over" if confirm else f"No takeover: {judged.said}",
            asked=f"Confirm: binome takeover {service} --code {judged.code}" if confirm else "You decide",
            exact=confirm,
        )
        yield Alarm(page, covers_service(graph, view, service, now_ms))


def _plans(graph: Graph, view: View, now_ms: int) -> Iterator[Alarm]:
    for plan in view.plans.values():
        if plan.state == "needs-person":
            page = Page(
                cause=PLAN,
                episode=plan.id,
                stage=plan.state,
                severity=Severity.CRITICAL if plan.capability == TAKEOVER else Severity.WARNING,
                name=graph.estate.estate,
                what=f"{plan.capability} of {plan.subject} needs a person",
                since_ms=plan.made_at_ms,
                asked="See: binome plan list",
                detail=plan.trouble,
            )
            yield Alarm(page, covers_service(graph, view, plan.subject, now_ms))


def _alone(graph: Graph, view: View, now_ms: int) -> Iterator[Alarm]:
    """Databases without a partner that no open incident explains."""
    explained = [servers_of(graph, one.widest) for one in view.incident.open()]
    for name, database in view.takeover.databases.items():
        service = graph.estate.services.get(name)
        if not isinstance(service, PostgresqlService) or len(service.on) < 2 or service.replication != "synchronous":
            continue
        lasts = now_ms - database.since_ms >= ALONE_MS and not database.leaderless and not database.synchronous
        if lasts and all(servers.isdisjoint(service.on) for servers in explained):
            page = Page(
                cause=ALONE,
                episode=f"{name}/{database.since_ms}",
                stage=OPENED,
                severity=Severity.WARNING,
                name=graph.estate.estate,
                what=f"{name} is alone: {database.primary} has no synchronous standby",
                since_ms=database.since_ms,
                doing="The next loss would take data with it",
                asked="Rebuild its standby",
            )
            yield Alarm(page, covers_service(graph, view, name, now_ms))


def _rejoins(graph: Graph, view: View, now_ms: int) -> Iterator[Alarm]:
    """Members that were let in again, and do not follow however often they are made to."""
    for name, fenced in view.takeover.fenced.items():
        for one in fenced.values():
            if one.failures < FAILURES_BEFORE_PAGE:
                continue
            page = Page(
                cause=PLAN,
                episode=f"rejoin/{name}/{one.loss}",
                stage=OPENED,
                severity=Severity.WARNING,
                name=graph.estate.estate,
                what=f"{name} is not whole: a member does not follow",
                since_ms=view.takeover.databases[name].since_ms if name in view.takeover.databases else now_ms,
                doing="It is tried again and again",
                asked="See: binome status",
                detail=one.trouble,
            )
            yield Alarm(page, covers_service(graph, view, name, now_ms))


def _backups(graph: Graph, view: View, now_ms: int) -> Iterator[Alarm]:
    """Backups of which there is no copy, or none that is known to be good."""
    for one in concerns(graph.estate, view, now_ms):
        of = graph.estate.backups[one.backup].of
        lie = one.wrong is Wrong.LIE
        page = Page(
            cause=BACKUP,
            episode=one.episode,
            stage=OPENED,
            severity=Severity.CRITICAL if lie else Severity.WARNING,
            name=graph.estate.estate,
            what=sentence_of(one, of),
            since_ms=one.since_ms,
            doing="Proofs of this backup mean nothing until one fails" if lie else "It is tried again and again",
            asked="See: binome status",
            detail=one.why,
        )
        services = {graph.estate.data[name].in_ for name in of}
        yield Alarm(page, all(covers_service(graph, view, name, now_ms) for name in services))
