"""The same fault again and again, in one lab: fires alternate to wherever the primary then is.

    settle ► arrange who leads ► demonstrate ► settle ► ...    until N, or the first lost or doubled write

The lab's site is rebuilt from nothing after each fire and rejoins. The next fault comes only when nothing of the last
one is left: every engine works, every edge sends traffic wherever it should, no plan is open, nothing is silent,
nobody stands alone, and no loss is still being explained. At the end the rows of *all* runs must be there.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from binome.estate.model import HaproxyService, PostgresqlService
from binome.lab import checker, inside, lookouts, stage
from binome.lab.clients import held_by, prepare_ledger
from binome.lab.demo import Event, Outcome, Scene, View, demonstrate
from binome.lab.errors import LabError
from binome.lab.faults import Strike
from binome.lab.lab import Lab
from binome.lab.stage import Together
from binome.render import Folders

LOAD_S = 3.0
SETTLES_WITHIN_S = 120.0


@dataclass(slots=True)
class Series:
    """What became of the runs. `trouble` says why there are fewer than asked for; `lost_later`: held once, not now."""

    outcomes: list[Outcome] = field(default_factory=list)
    settled_s: list[float] = field(default_factory=list)
    lost_later: tuple[str, ...] = ()
    trouble: str = ""

    @property
    def good(self) -> bool:
        """Every run was good, none is missing, and nothing that was acknowledged in any of them is gone."""
        return not self.trouble and not self.lost_later and all(one.good for one in self.outcomes)


def repeat(
    lab: Lab,
    times: int,
    view: View,
    say: Callable[[Event], None],
    *,
    together: Iterable[Together] = (),
    told: Callable[[Outcome], None] = lambda _: None,
) -> Series:
    """Runs the fault so many times on a lab that is up; `told` hears of each run when it has ended.

    Raises LabError where the lab does not come to rest before the first of them.
    """
    series, wanted = Series(), frozenset(together)
    settle(lab)
    prepare_ledger(lab)
    for number in range(1, times + 1):
        view.begin_again()
        try:
            # Whoever is to burn is put in its place before the load, so that the load need not see that.
            stage.arranged(lab, Strike(lab, view.fault, lab.primary(lab.database())).site, wanted)
            settle(lab)
            outcome = demonstrate(lab, view, say, Scene(f"{number}-" if times > 1 else "", LOAD_S, wanted))
        except LabError as error:
            if not series.outcomes:
                raise
            series.trouble = f"run {number}: {error}"
            return series
        series.outcomes.append(outcome)
        told(outcome)
        if not outcome.good:
            series.trouble = f"run {number} was no good one; the runs end with it"
            return series
    records = [one for outcome in series.outcomes for _, some in outcome.records for one in some]
    series.lost_later = checker.check(records, held_by(lab, lab.primary(lab.database()))).lost
    return series


def settle(lab: Lab) -> None:
    """Waits until nothing of the last fault is left. Raises LabTimeoutError, with what is, when that takes too long."""
    lab.wait_until_whole()
    lab.wait_for(lambda: unsettled(lab), "the lab", SETTLES_WITHIN_S)


def unsettled(lab: Lab) -> list[str]:
    """What is left of the last fault, or not there yet."""
    found = [f"{edge}: {what}" for edge in _edges(lab) for what in _withheld(lab, edge)]
    statuses = lab.lookouts()
    if not statuses:
        return found
    leading = [said for said in statuses.values() if said is not None and said["leads"] is not None]
    if not leading:
        return [*found, "a leader of the lookouts"]
    return found + _told(lab, leading[0])


def _told(lab: Lab, said: dict[str, Any]) -> list[str]:
    """What the lookouts' leader has to say that is not over yet. A lookout alone hears of no database: from agents."""
    found = [f"plan {one['plan']} is {one['state']}" for one in said["plans"]]
    found += [one["sentence"] for one in said["scopes"]]
    found += [f"{one['site']} is silent" for one in said["silent_sites"]]
    found += [f"{one['service']}: {one['said']}" for one in said["takeovers"]]
    waited_for = {name: getattr(one, "replication", "") == "synchronous" for name, one in lab.estate.services.items()}
    found += [
        f"{one['database']} has no synchronous standby"
        for one in said["databases"]
        if waited_for[one["database"]] and not one["synchronous"]
    ]
    found += [f"{one['peer']} is silent" for one in said["peers"] if one["silent"]]
    if lookouts.agents(lab.estate) and not said["databases"]:
        found.append("where the database's primary is")
    if said["quorum"]["heard"] < said["quorum"]["groups"]:
        found.append(f"{said['quorum']['heard']} of {said['quorum']['groups']} groups of lookouts")
    return found


def _edges(lab: Lab) -> list[str]:
    services = lab.estate.services.values()
    return [server for one in services if isinstance(one, HaproxyService) for server in one.on]


def _withheld(lab: Lab, edge: str) -> list[str]:
    """Where an edge does not send traffic though it should: a database's writes go to one server, all else to all."""
    socket = Path(Folders(str(lab.root(edge))).run) / "haproxy.sock"
    try:
        rows = [line.split(",") for line in inside.haproxy_says(socket, "show stat").splitlines() if line]
    except OSError:
        return ["no answer"]
    return withheld(rows, [name for name, one in lab.estate.services.items() if isinstance(one, PostgresqlService)])


def withheld(rows: list[list[str]], databases: Iterable[str]) -> list[str]:
    """The servers without traffic, by HAProxy's statistics as rows of cells, the first with the columns' names."""
    if not rows:
        return ["no statistics"]
    names = [name.lstrip("# ") for name in rows[0]]
    backend, server, status = names.index("pxname"), names.index("svname"), names.index("status")
    found, serving = [], dict.fromkeys(databases, 0)
    for row in rows[1:]:
        if row[server] in ("FRONTEND", "BACKEND"):
            continue
        if row[backend] not in serving:
            found += [] if row[status].startswith("UP") else [f"{row[backend]}/{row[server]} is {row[status]}"]
        elif "MAINT" in row[status] or "DRAIN" in row[status]:
            found.append(f"{row[backend]}/{row[server]} is {row[status]}")
        else:
            serving[row[backend]] += row[status].startswith("UP")
    seen = {row[backend] for row in rows[1:]}
    return found + [f"{name} has {n} servers for writes" for name, n in serving.items() if name in seen and n != 1]
