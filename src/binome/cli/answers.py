"""What the running Binôme answers to people's questions about incidents, products and pages: plain values for JSON."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from datetime import tzinfo
from typing import Any

from binome.core import oncall
from binome.core.evidence import Clock as Shown
from binome.core.evidence import headline, sentence
from binome.core.impact import Interval, unavailable_ms
from binome.core.incident import Incident
from binome.core.logbook import kind_of, line
from binome.core.lost import losses
from binome.core.plan import PlanMade, StepEnded
from binome.core.scoping import graphs
from binome.core.state import State
from binome.core.stopped import in_doubt
from binome.core.takeover import CAPABILITY as TAKEOVER
from binome.core.takeover import PROMOTE
from binome.core.verdict import Verdict
from binome.estate import Estate
from binome.ports import Clock
from binome.runtime.desk import Desk
from binome.runtime.door import Shown as Answers


def clock_of(zone: tzinfo) -> Shown:
    """How a moment is written: the time of day with its zone."""
    return lambda at_ms: f"{oncall.clock(at_ms, zone):%H:%M:%S %Z}"


def answers(
    estate: Estate, state: Callable[[], State], desk: Desk, zone: tzinfo, clock: Clock
) -> Mapping[str, Answers]:
    """The answers by the word after `do`. `state` gives the state as it is now."""

    def incidents(_: dict[str, Any]) -> dict[str, Any]:
        known = state()
        return {
            "estate": estate.estate,
            "zone": str(zone),
            "now_ms": clock.now_ms(),
            "incidents": [summary(one, known, zone, clock.now_ms()) for one in known.incident.all.values()],
            "unconfirmed": [page.what for page in desk.shown()],
            "silenced": [
                {"subject": name, "until_ms": one.until_ms, "why": one.why, "who": one.who}
                for name, one in known.incident.silenced.items()
                if one.until_ms > clock.now_ms()
            ],
            "overrides": [
                {"who": one.who, "from_ms": one.from_ms, "until_ms": one.until_ms}
                for one in known.incident.overrides
                if one.until_ms > clock.now_ms()
            ],
        }

    def incident(question: dict[str, Any]) -> dict[str, Any]:
        known = state()
        one = known.incident.all.get(_number(question.get("incident")))
        if one is None:
            return {"incident": None}
        return {"estate": estate.estate, "incident": whole(estate, one, known, zone, clock.now_ms())}

    def affected(question: dict[str, Any]) -> dict[str, Any]:
        product = str(question.get("product", ""))
        if product not in estate.products:
            return {"product": None, "known": list(estate.products)}
        return {"product": of_product(estate, state(), product, zone, clock.now_ms())}

    def acknowledge(question: dict[str, Any]) -> dict[str, Any]:
        number = question.get("incident")
        count = desk.acknowledge(_text(question.get("who")), None if number is None else _number(number))
        return {"acknowledged": count}

    def test(question: dict[str, Any]) -> dict[str, Any]:
        said = [_text(question.get(key, "")) for key in ("request", "person", "via")]
        tried = desk.pager.prove(*said)
        return {"routes": [{"person": route.person, "via": route.via, "page": took.value} for route, took in tried]}

    return {
        "incidents": incidents,
        "incident": incident,
        "affected": affected,
        "acknowledge": acknowledge,
        "page-test": test,
    }


def summary(one: Incident, state: State, zone: tzinfo, now_ms: int) -> dict[str, Any]:
    """An incident in few values."""
    return {
        "incident": one.number,
        "episode": one.episode,
        "cause": one.cause.name,
        "since_ms": one.since_ms,
        "day": f"{oncall.clock(one.since_ms, zone):%Y-%m-%d}",
        "since": clock_of(zone)(one.since_ms),
        "lasted_ms": max((one.resolved_ms or now_ms) - one.since_ms, 0),
        "state": "open" if one.is_open and one.quiet_ms is None else "quiet" if one.is_open else "resolved",
        "why": one.why,
        "into": goes_on_as(one, state),
        "sentence": sentence(one.cause, clock_of(zone)),
        "acknowledged_by": one.acknowledged_by or None,
        "paged": [f"{person} by {via}" for person, via in sorted(one.told)],
        "unusable": [name for name in state.impact.unusable() if name in one.names],
    }


def goes_on_as(one: Incident, state: State) -> int | None:
    """The incident that goes on in the place of one that was joined to it; None for one that is its own."""
    into = one.into
    while into in state.incident.all and state.incident.all[into].into:
        into = state.incident.all[into].into
    return into or None


def whole(estate: Estate, one: Incident, state: State, zone: tzinfo, now_ms: int) -> dict[str, Any]:
    """An incident with its log book and the products' minutes."""
    clock = clock_of(zone)
    until_ms = one.resolved_ms or now_ms
    takeovers = takeover_ms(estate, one, now_ms)
    return {
        **summary(one, state, zone, now_ms),
        "headline": headline(one.widest),
        "until": clock(one.quiet_ms or until_ms) if not one.is_open else None,
        "products": {
            product: {
                **_intervals(state.impact.intervals.get(product, ()), one.since_ms, until_ms, zone),
                "takeover_ms": takeovers.get(product, 0),
                "unsure": _unsure(estate, state, product, now_ms) if one.is_open else [],
            }
            for product in estate.products
        },
        "left_out": one.left_out,
        "moments": [
            {
                "at_ms": moment.at_ms,
                "at": clock(moment.at_ms),
                "kind": kind_of(moment.fact),
                "origin": moment.origin,
                "said": line(moment.fact, clock),
            }
            for moment in one.moments()
        ],
    }


def takeover_ms(estate: Estate, one: Incident, now_ms: int) -> dict[str, int]:
    """For how long each product waited for a database that was taken over: from the first sign to the promotion."""
    products_of = graphs.of(estate).products_of
    plans: dict[str, tuple[str, int]] = {}  # plan → its database, and the step that promotes
    took: dict[str, int] = {}
    for moment in one.moments():
        match moment.fact:
            case PlanMade() as made if made.capability == TAKEOVER:
                steps = [index for index, step in enumerate(made.steps) if step.verb == PROMOTE]
                if steps:
                    plans[made.plan] = made.subject, steps[0]
                    took[made.subject] = max(now_ms - one.since_ms, 1)  # until it is known that it is done
            case StepEnded() as ended if ended.plan in plans and ended.result == "done" and not ended.undoing:
                service, step = plans[ended.plan]
                if ended.step == step:
                    took[service] = max(moment.at_ms - one.since_ms, 1)
    found: dict[str, int] = {}
    for service, ms in took.items():
        for product in products_of.get(service, ()):
            found[product] = max(found.get(product, 0), ms)
    return found


def _unsure(estate: Estate, state: State, product: str, now_ms: int) -> list[str]:
    """The services of a product of which nobody knows whether they work."""
    graph = graphs.of(estate)
    doubted = in_doubt(estate, state, now_ms)
    return [
        name
        for name, products in graph.products_of.items()
        if product in products
        and (name in doubted or any(state.looking.verdict(work) is Verdict.UNSURE for work in graph.work.get(name, ())))
    ]


def of_product(estate: Estate, state: State, product: str, zone: tzinfo, now_ms: int) -> dict[str, Any]:
    """What is known of a product: whether it can be used, since when not, and by which incident."""
    graph = graphs.of(estate)
    services = [name for name, products in graph.products_of.items() if product in products]
    open_ = state.impact.open(product)
    unsure = _unsure(estate, state, product, now_ms)
    return {
        "product": product,
        "usable": None if open_ is None and unsure else open_ is None,
        "since_ms": open_.since_ms if open_ else None,
        "since": clock_of(zone)(open_.since_ms) if open_ else None,
        "services": list(open_.services) if open_ else [],
        "confirmed": open_.confirmed if open_ else True,
        "unsure": unsure,
        "incidents": [one.number for one in state.incident.open() if one.names & {product, *services}],
        "decisions": decisions(estate, state, services, now_ms),
        "taking_over": [name for name in services if (plan := state.plan_of(name)) and plan.capability == TAKEOVER],
        "last_day": _intervals(state.impact.intervals.get(product, ()), now_ms - 86_400_000, now_ms, zone),
    }


def decisions(estate: Estate, state: State, services: Iterable[str], now_ms: int) -> list[dict[str, str]]:
    """What was decided of the databases among some services that are lost now: why not, or who is asked."""
    current = {one.id for one in losses(estate, state, now_ms)}
    found = []
    for name in services:
        judged = state.takeover.judged.get(name)
        if judged is None or judged.loss not in current:
            continue
        if judged.said == "confirm":
            said = f"a person is asked whether {judged.survivor} shall take over"
        elif judged.said == "shadow":
            said = f"{judged.survivor} would have taken over (shadow)"
        else:
            said = f"no takeover: {judged.said}"
        found.append({"service": name, "said": said})
    return found


def _intervals(intervals: Iterable[Interval], from_ms: int, until_ms: int, zone: tzinfo) -> dict[str, Any]:
    known = list(intervals)
    clock = clock_of(zone)
    return {
        "unavailable_ms": unavailable_ms(known, from_ms, until_ms),
        "confirmed": all(one.confirmed for one in known if (one.until_ms or until_ms) > from_ms),
        "intervals": [
            {
                "since_ms": one.since_ms,
                "since": clock(one.since_ms),
                "until_ms": one.until_ms,
                "until": clock(one.until_ms) if one.until_ms is not None else None,
                "services": list(one.services),
            }
            for one in known
            if (one.until_ms is None or one.until_ms > from_ms) and one.since_ms < until_ms
        ],
    }


def _number(value: Any) -> int:
    if not isinstance(value, int) or isinstance(value, bool):
        raise ValueError("incident: expected a number")
    return value


def _text(value: Any) -> str:
    if not isinstance(value, str) or len(value) > 200 or not value.isprintable():
        raise ValueError("expected one line of at most 200 characters")
    return value
