"""The table of takeovers: which faults are tried how often, what each may take, and whether it took no more.

A row is a fault with what burns with it, a number of runs, and bounds: a figure of `runs.py`, its median or its
greatest, and how many seconds that may be. A row holds when it has enough runs, every one of them was what the row says
(who led where), nothing was lost or doubled in any, and every bound holds. The last row has no runs of its own: web
pages are fetched in every fire, so all fires are its runs.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import Any, Literal, NamedTuple

from binome.lab.runs import Run, figure, values

Statistic = Literal["median", "max"]
QUICK = ("--act-after", "350ms")
FIRES = ("burn", "burn-standby")


class Bound(NamedTuple):
    """What a figure may be at most, in seconds."""

    figure: str
    statistic: Statistic
    at_most_s: float


class Row(NamedTuple):
    """One row; `options` are those of `binome demo`, of which there are none where other rows' runs count."""

    key: str
    words: str
    options: tuple[str, ...]
    n: int
    bounds: tuple[Bound, ...]
    staged: Callable[[Run], bool] = lambda run: True  # whether a run was what the row says


def _elsewhere(run: Run) -> bool:
    return run["site"] not in (run["led"]["site"], run["etcd_leader"]["site"])


def _etcd_leader_burns(run: Run) -> bool:
    return bool(run["etcd_leader"]["site"] == run["site"] != run["led"]["site"])


def _decider_burns(run: Run) -> bool:
    return bool(run["led"]["site"] == run["site"])


def _takeover(median_s: float, greatest_s: float, writes_s: float) -> tuple[Bound, ...]:
    return (
        Bound("new_primary_s", "median", median_s),
        Bound("new_primary_s", "max", greatest_s),
        Bound("writes_down_impatient_s", "median", writes_s),
    )


ROWS = (
    Row("burn", "primary's site burns", QUICK, 10, _takeover(0.95, 1.5, 1.0), _elsewhere),
    Row(
        "etcd-leader",
        "the same, and etcd's leader with it",
        (*QUICK, "--with", "etcd-leader"),
        10,
        _takeover(1.6, 2.5, 1.8),
        _etcd_leader_burns,
    ),
    Row(
        "decider",
        "the same, and the deciding lookout with it",
        (*QUICK, "--with", "decider"),
        10,
        _takeover(3.0, 4.5, 3.2),
        _decider_burns,
    ),
    Row("default", "primary's site burns, `act_after` 2 s", (), 5, _takeover(2.7, 3.5, 2.8), _elsewhere),
    Row(
        "standby",
        "standby's site burns",
        (*QUICK, "--fault", "burn-standby"),
        5,
        (Bound("writes_down_impatient_s", "median", 1.0),),
    ),
    Row("kill-postgres", "PostgreSQL killed on the primary", ("--fault", "kill-postgres"), 5, _takeover(3.5, 5.0, 3.5)),
    Row(
        "switchover",
        "planned switchover",
        ("--fault", "switchover"),
        5,
        (Bound("writes_down_impatient_s", "median", 2.5),),
    ),
    Row(
        "web",
        "web pages, in every fire above",
        (),
        5,
        (Bound("web_down_impatient_s", "median", 0.6), Bound("web_down_patient_s", "median", 1.0)),
    ),
)
MEASURED = tuple(row for row in ROWS if row.key != "web")
"""The rows with runs of their own."""
SHOWN = ("new_primary_s", "writes_down_impatient_s", "writes_down_patient_s")
SHOWN_OF_WEB = ("web_down_impatient_s", "web_down_patient_s")


class Line(NamedTuple):
    """One figure of a row, as it was seen, with what it may be."""

    figure: str
    bounds: tuple[Bound, ...]
    seen: Mapping[str, float] | None
    held: bool


class Judged(NamedTuple):
    """A row, its runs, its figures, and what is wrong with it in words; nothing where it holds."""

    row: Row
    runs: tuple[Run, ...]
    lines: tuple[Line, ...]
    wrong: tuple[str, ...]


def judged(runs: Mapping[str, Sequence[Run]]) -> list[Judged]:
    """Every row with the runs that it has, by its key; those of the web are all fires."""
    fires = [one for some in runs.values() for one in some if one["fault"] in FIRES]
    return [_judged(row, fires if row.key == "web" else runs.get(row.key, ())) for row in ROWS]


def _judged(row: Row, runs: Sequence[Run]) -> Judged:
    seen = {key: figure(some) for key, some in values(runs).items()} if runs else {}
    lines = []
    for key in SHOWN_OF_WEB if row.key == "web" else SHOWN:
        bounds, one = tuple(bound for bound in row.bounds if bound.figure == key), seen.get(key)
        held = all(one is not None and one[bound.statistic] <= bound.at_most_s for bound in bounds)
        if bounds or one is not None:
            lines.append(Line(key, bounds, one, held))
    return Judged(row, tuple(runs), tuple(lines), tuple(_wrong(row, runs, lines)))


def _wrong(row: Row, runs: Sequence[Run], lines: Sequence[Line]) -> Iterator[str]:
    if len(runs) < row.n:
        yield f"{len(runs)} runs of {row.n}"
    for what, count in (
        ("acknowledged writes are lost", sum(one["lost"] for one in runs)),
        ("writes were acknowledged by two primaries", sum(one["double_primary"] for one in runs)),
        ("runs were no good ones", sum(not one["good"] for one in runs)),
        ("runs were not what the row says", sum(not row.staged(one) for one in runs)),
    ):
        if count:
            yield f"{count} {what}"
    for line in lines:
        if not line.held and line.seen is not None:
            yield f"{_words(line.figure)}: {_seen(line.seen)} against {_bounds(line.bounds)}"


def markdown(rows: Sequence[Judged], *, date: str, engines: Mapping[str, str], machine: str) -> str:
    """The table as a page."""
    versions = ", ".join(f"{name} {version}" for name, version in engines.items())
    body = "\n".join(line for one in rows for line in _row(one))
    wrong = [f"- **{one.row.words}**: {what}" for one in rows for what in one.wrong]
    verdict = "\n".join(["What is missed:", "", *wrong]) if wrong else "Every bound holds; nothing was lost or doubled."
    return f"""\
# The table of takeovers

Written by `make table` (`scripts/takeover-table`), not by hand; every run is in `takeover-table.json`. {date};
{machine}; {versions}. The example estate, data wiped, `act_after` 0.35 s where nothing else is said, no distance
between the sites (delay: none). Seconds from the fault: least / median / greatest. *Impatient* is the client of 0.25 s
patience, *patient* the one of 1 s, both in the same run.

| fault | figure | bound | seen | n | decided in | held |
|---|---|---|---|---|---|---|
{body}

*New primary*: until it says so, or a write on its timeline was acknowledged. *Decided in*: the site of the lookout
whose plan moved the database, with the number of runs; for a killed PostgreSQL it is Patroni that acts. What the client
sees of a takeover comes in multiples of its patience.

{verdict}
"""


def _row(one: Judged) -> Iterator[str]:
    for number, line in enumerate(one.lines or [Line("", (), None, False)]):
        first = number == 0
        held = "" if not line.bounds else "not run" if not one.runs else "yes" if line.held else "**no**"
        cells = (
            one.row.words if first else "",
            _words(line.figure) if line.figure else "not measured",
            _bounds(line.bounds),
            _seen(line.seen) if line.seen else "–",
            str(int(line.seen["n"])) if line.seen else str(len(one.runs)),
            _deciders(one.runs) if first and one.row.key != "web" else "",
            held,
        )
        yield f"| {' | '.join(cells)} |"


def _words(key: str) -> str:
    return key.removesuffix("_s").replace("_", " ").replace(" down ", " down, ")


def _bounds(bounds: Sequence[Bound]) -> str:
    return ", ".join(f"{bound.statistic} ≤ {bound.at_most_s:g}" for bound in bounds) or "–"


def _seen(one: Mapping[str, float]) -> str:
    return f"{one['min']:.2f} / {one['median']:.2f} / {one['max']:.2f}"


def _deciders(runs: Sequence[Mapping[str, Any]]) -> str:
    sites = Counter(one["decider"]["site"] if one["decider"] else "–" for one in runs)
    return ", ".join(f"{site} {count}" if site != "–" else "–" for site, count in sites.most_common())
