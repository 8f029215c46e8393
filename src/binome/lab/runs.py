"""Many runs of one fault, in figures: what `report.json` has under `runs` and `figures`, and a table for people.

A run is a demonstration that began whole and ended whole. A figure is the least, the median and the greatest of what
all runs saw, with how many saw it; what never came is counted and is no number.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from html import escape
from statistics import median
from typing import Any

from binome.estate import Estate
from binome.lab.checker import outage
from binome.lab.demo import Outcome
from binome.lab.faults import KEEPS_PRIMARY
from binome.lab.record import OPERATIONS, Record

Run = Mapping[str, Any]
NOUNS = {"write": "writes_down_s", "read": "reads_down_s", "web": "web_down_s"}
DELAY_MS = 0
"""Between the sites of a lab there is no distance."""


def run(outcome: Outcome, estate: Estate, *, act_after_s: float, together: Sequence[str] = ()) -> Run:
    """The record of one run. Times are in seconds; `null` is what never came."""

    def place(server: str) -> dict[str, str | None] | None:
        return {"server": server, "site": estate.servers[server].site} if server in estate.servers else None

    return {
        "fault": outcome.fault,
        "with": list(together),
        "site": outcome.site,
        "good": outcome.good,
        "act_after_s": act_after_s,
        "delay_ms": DELAY_MS,
        "new_primary_s": outcome.new_primary_s,
        **{
            key: {"impatient": outcome.outage_impatient_s[one], "patient": outcome.outage_s[one]}
            for one, key in NOUNS.items()
        },
        "writes_down_from_s": {name: _down_from_s(outcome, some) for name, some in outcome.records},
        "acknowledged": outcome.evidence.acknowledged,
        "lost": len(outcome.evidence.lost),
        "double_primary": len(outcome.evidence.double_primary),
        "unanswered": outcome.unanswered,
        "verdict_s": outcome.verdict_s,
        "scope": outcome.scope,
        "led": place(outcome.stage.decider),
        "decider": place(outcome.decider),
        "etcd_leader": place(outcome.stage.etcd_leader),
        "time_to_redundancy_s": outcome.time_to_redundancy_s,
    }


def _down_from_s(outcome: Outcome, records: Sequence[Record]) -> float:
    """When a client's longest silence of writes began, from the fault: at the fire, or not before the return."""
    return round(outage(records, "write").begin_s - outcome.faulted_at_s, 2)


def values(runs: Sequence[Run]) -> dict[str, list[float]]:
    """What the runs saw, by figure: `new_primary_s`, `writes_down_impatient_s` and so on. What never came is not in."""
    found: dict[str, list[float]] = {
        key: [one[key] for one in runs if one[key] is not None]
        for key in ("new_primary_s", "verdict_s", "time_to_redundancy_s")
    }
    for operation in OPERATIONS:
        for client in ("impatient", "patient"):
            key = NOUNS[operation]
            found[key.replace("_s", f"_{client}_s")] = [one[key][client] for one in runs]
    return found


def figures(runs: Sequence[Run]) -> dict[str, dict[str, float | int] | None]:
    """Least, median and greatest of each figure, and of how many runs; None where no run has it."""
    return {key: figure(some) for key, some in values(runs).items()}


def figure(some: Sequence[float]) -> dict[str, float | int] | None:
    """Least, median, greatest, and of how many; None of none."""
    if not some:
        return None
    return {
        "min": round(min(some), 3),
        "median": round(median(some), 3),
        "max": round(max(some), 3),
        "n": len(some),
    }


def lines(runs: Sequence[Run]) -> list[tuple[str, str, str]]:
    """The figures for people: what, least / median / greatest, and of how many."""
    rows = []
    for key, one in figures(runs).items():
        name = key.removesuffix("_s").replace("_", " ")
        never = len(runs) - (int(one["n"]) if one else 0)
        missing = f", {never} never" if never else ""
        if one is None:
            continue
        rows.append((name, f"{one['min']:.2f} / {one['median']:.2f} / {one['max']:.2f} s", f"n = {one['n']}{missing}"))
    return rows


def line(number: int, one: Run) -> str:
    """One run in a line of text."""
    writes = one["writes_down_s"]
    decider = one["decider"]
    parts = [
        f"run {number}: {one['site']}",
        f"new primary {_new_primary(one)}",
        f"writes down {writes['impatient']:.2f} s, {writes['patient']:.2f} s",
        f"lost {one['lost']}, double {one['double_primary']}",
        f"decided by {decider['server']} in {decider['site']}" if decider else "decided by no lookout",
    ]
    return "; ".join(parts)


def page(runs: Sequence[Run]) -> str:
    """The runs as a part of the HTML page."""
    heads = ("", "site", "new primary", "writes, impatient", "patient", "lost", "double", "decider", "etcd's leader")
    cells = "".join(f"<th>{escape(head)}</th>" for head in heads)
    rows = "\n".join(f"<tr>{''.join(f'<td>{escape(one)}</td>' for one in row)}</tr>" for row in _cells(runs))
    seen = "\n".join(f"<tr><th>{name}</th><td>{value}</td><td>{of}</td></tr>" for name, value, of in lines(runs))
    return (
        f"<h2>Every run</h2>\n<table>\n<tr>{cells}</tr>\n{rows}\n</table>\n"
        f'<h2>All runs: least, median, greatest</h2>\n<table class="figures">{seen}</table>\n'
    )


def _cells(runs: Sequence[Run]) -> Iterator[tuple[str, ...]]:
    for number, one in enumerate(runs, 1):
        decider, leader, writes = one["decider"] or {}, one["etcd_leader"] or {}, one["writes_down_s"]
        yield (
            str(number),
            one["site"],
            _new_primary(one),
            _seconds(writes["impatient"]),
            _seconds(writes["patient"]),
            str(one["lost"]),
            str(one["double_primary"]),
            f"{decider.get('server', '-')} ({decider.get('site', '-')})",
            f"{leader.get('server', '-')} ({leader.get('site', '-')})",
        )


def _new_primary(one: Run) -> str:
    return "not needed" if one["fault"] in KEEPS_PRIMARY else _seconds(one["new_primary_s"])


def _seconds(value: float | None) -> str:
    return "never" if value is None else f"{value:.2f} s"
