"""The table of the fault matrix: what was seen in all runs of each row, as a page of the documentation.

The runs are kept beside the page as lines of JSON, one a run, so that a few rows can be run again without forgetting
the others. A run of another version than the newest of its row is left out of that row.
"""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping, Sequence
from statistics import median
from typing import Any

from binome.lab.rows import ROWS

Run = Mapping[str, Any]
"""The record of a row that was run, with `date` (a day), `load` (that of a core) and `versions`."""

HEAD = """\
# The fault matrix: what happens in the unclean cases

Each row is a fault in the lab, under the load of the demonstration (two clients, 100 writes a second each), on the
example estate with `act_after` of 350 ms and a cooldown of 10 s. In every row no acknowledged write may be lost, no two
primaries may acknowledge, and everything must be whole again within 120 s after the fault has ended; *seen* says what
was otherwise. *Outage* is the longest time in which the client of 1 s patience got no write acknowledged, in seconds,
min / median / max. *Takeovers* are promotions, and how many of them were planned by the leading lookout; the others
are Patroni's own, after its timer of 20 s; "+ 1" is one after the end of the fault. *Whole*: seconds from the end of
the fault. *Load*: how many processes wanted each core, at most: above 2 the times are those of a machine that did
other things as well.

How to run it, and what a row is: [lab.md](lab.md#the-fault-matrix). `binome lab matrix --write` writes this page.
"""


def page(runs: Iterable[Run], remarks: Mapping[str, str], not_built: Sequence[tuple[str, str]]) -> str:
    """The page, as text. `remarks` stand below the table, by row; `not_built` are faults that have no row, and why."""
    by_row: dict[str, list[Run]] = {}
    for run in runs:
        by_row.setdefault(run["row"], []).append(run)
    lines = [
        HEAD,
        "| row | expected | seen | outage | takeovers (planned) | whole | n | load | date |",
        f"|{'---|' * 9}",
    ]
    for row in ROWS:
        lines.append(_line(row.fault, row.expected, by_row.get(row.name, [])))
    told = [f"- *{next(row.fault for row in ROWS if row.name == name)}*: {words}" for name, words in remarks.items()]
    lines += ["", *told, ""] if told else [""]
    lines += ["## Faults without a row", "", "| fault | why |", "|---|---|"]
    lines += [f"| {fault} | {why} |" for fault, why in not_built]
    versions = sorted({_versions(some[-1]) for some in by_row.values()})
    lines += ["", f"Versions: {'; '.join(versions) or 'none was run'}.", ""]
    return "\n".join(lines)


def _line(fault: str, expected: str, runs: Sequence[Run]) -> str:
    if not runs:
        return f"| {fault} | {expected} | not run | – | – | – | 0 | – | – |"
    amiss = list(dict.fromkeys(why for run in runs for why in run["amiss"]))
    held = sum(not run["amiss"] for run in runs)
    seen = "holds" if held == len(runs) else f"**{held} of {len(runs)} hold**: {'; '.join(amiss)}"
    moved = _few(sorted({_moved(run) for run in runs}))
    whole = _few_s([run["whole_s"] for run in runs if run["whole_s"] is not None])
    outage = _few_s([run["outage_s"]["write"] for run in runs if run["outage_s"]])
    load = f"{max(run['load'] for run in runs):g}"
    cells = (fault, expected, seen.replace("|", "\\|"), outage, moved, whole, str(len(runs)), load, runs[-1]["date"])
    return f"| {' | '.join(cells)} |"


def _moved(run: Run) -> str:
    later = f" + {run['later']}" if run.get("later") else ""
    return f"{run['takeovers']}{later} ({run['planned']})"


def _few(words: Sequence[str]) -> str:
    return ", ".join(words)


def _few_s(values: Sequence[float]) -> str:
    """min / median / max; the value alone where there is only one."""
    if not values:
        return "–"
    if len(values) == 1:
        return f"{values[0]:.1f}"
    return f"{min(values):.1f} / {median(values):.1f} / {max(values):.1f}"


def _versions(run: Run) -> str:
    return ", ".join(f"{name} {version}" for name, version in run["versions"].items())


def newest(runs: Sequence[Run]) -> list[Run]:
    """The runs of each row that were made with the versions of its newest run."""
    last = {run["row"]: run["versions"] for run in runs}
    return [run for run in runs if run["versions"] == last[run["row"]]]


def parse(text: str) -> list[Run]:
    """The runs that were kept. Raises ValueError where a line is none."""
    return [json.loads(line) for line in text.splitlines() if line]
