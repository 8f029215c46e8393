"""The stage of a fault: who leads the lookouts, and who leads etcd, when it comes. That decides how long it takes.

    decider elsewhere     neither stands in the fire: nothing has to be elected before a takeover can be decided
    etcd's leader in it   etcd elects another one first; until then nobody can agree on anything
    the decider in it     its lease has to end, and another lookout has to take the lead, before anybody decides

The product arranges for the first by itself where it can. To show the other two, the lab arranges for them. A lookout
is made leader without a word to it: the others stand still until it calls the roll, and lead no more by then.
"""

from __future__ import annotations

import base64
import os
import signal
from collections.abc import Iterable, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any, Literal, NamedTuple, get_args

from binome.estate.model import EtcdService
from binome.lab import lookouts
from binome.lab.errors import LabError, LabTimeoutError
from binome.lab.lab import Lab

Together = Literal["etcd-leader", "decider"]
"""What burns with a site, besides what stands there anyway."""
TOGETHER: tuple[Together, ...] = get_args(Together)
TRIES = 8
ELECTED_WITHIN_S = 10.0


class Stage(NamedTuple):
    """The servers of the lookouts' leader and of etcd's leader; empty where there is none."""

    decider: str
    etcd_leader: str


NOBODY = Stage("", "")


def now(lab: Lab) -> Stage:
    """Who leads at this moment."""
    agreement = _agreement(lab)
    members = lab.estate.services[agreement].on if agreement else ()
    looks = {member: lab.look(agreement, member) for member in members}
    return Stage(_leading(lab), next((one for one, look in looks.items() if look.role == "leader"), ""))


def arranged(lab: Lab, site: str, together: frozenset[Together] | None) -> Stage:
    """Who leads now that everybody stands where a loss of `site` is to find them; with None as they happen to.

    Raises LabError where that cannot be had.
    """
    if together is None:
        return now(lab)
    choice = wanted(lab, site, together)
    for _ in range(TRIES):
        set_decider(lab, choice.decider)
        set_etcd_leader(lab, choice.etcd_leader)
        found = now(lab)
        if found == choice:
            return found
    raise LabError(f"the leaders do not stay where they are put: {found.decider} and {found.etcd_leader} lead.")


def wanted(lab: Lab, site: str, together: Iterable[Together]) -> Stage:
    """Who should lead when `site` is lost. Raises LabError where the estate has nobody there, or nobody elsewhere."""
    agreement = _agreement(lab)
    if not agreement or len(lookouts.names(lab.estate)) < 2:
        raise LabError(f"{lab.estate.estate} has no lookouts that agree through etcd; there is nobody to choose from.")
    members = lab.estate.services[agreement].on
    return Stage(
        _one_of(lab, lookouts.names(lab.estate), site, inside="decider" in together, what="lookout"),
        _one_of(lab, members, site, inside="etcd-leader" in together, what=f"member of {agreement}"),
    )


def set_decider(lab: Lab, server: str) -> None:
    """Makes a lookout the one that leads. Raises LabError where it does not come to lead, however often it is tried."""
    for _ in range(TRIES):
        if _leading(lab) == server:
            return
        with suppress(LabTimeoutError):  # the roll was called before the others stood still, or another was quicker
            _let_it_win(lab, server)
            lab.wait_for(lambda: [] if _leading(lab) else ["a leader"], "the lookouts", ELECTED_WITHIN_S)
    raise LabError(f"{server} does not come to lead the lookouts.")


def set_etcd_leader(lab: Lab, server: str) -> None:
    """Makes a member of etcd its leader. Raises LabError where it does not become so, however often it is tried.

    The lookouts hand etcd's leadership back every few seconds, so this is for the moment before a fault.
    """
    agreement = _agreement(lab)
    for _ in range(TRIES):
        if lab.look(agreement, server).role == "leader":
            return
        with suppress(LabError):  # an election is under way
            lab.move_leader(agreement, server)
            is_leader = lambda: [] if lab.look(agreement, server).role == "leader" else [server]  # noqa: E731
            lab.wait_for(is_leader, "etcd's leader", 1)
    raise LabError(f"{server} does not come to lead {agreement}.")


def _let_it_win(lab: Lab, server: str) -> None:
    """The lease of whoever leads runs out; the others come back when the roll is called, as voters."""
    others = [one for one in lookouts.names(lab.estate) if one != server]
    leader = _leading(lab)
    before = _key(lab, "call")
    with _standing_still(lab, [leader]):
        with _standing_still(lab, [one for one in others if one != leader]):
            calls = lambda: [] if _key(lab, "call") not in (None, before) else ["a roll call"]  # noqa: E731
            lab.wait_for(calls, f"{server} calls the roll", ELECTED_WITHIN_S)
        leads = lambda: [] if _key(lab, "leader") else ["a leader"]  # noqa: E731
        lab.wait_for(leads, "somebody leads", ELECTED_WITHIN_S)


def _key(lab: Lab, name: str) -> tuple[bytes, str] | None:
    """The value and the revision of one of the lookouts' keys in etcd; None where it is not there."""
    agreement = _agreement(lab)
    members = lab.estate.services[agreement].on
    key = base64.b64encode(f"/binome/{lab.estate.estate}/{name}".encode()).decode()
    said: dict[str, Any] = lab.ask_etcd(members[0], "/v3/kv/range", {"key": key})
    for one in said.get("kvs", ()):
        return base64.b64decode(one.get("value", "")), one["mod_revision"]
    return None


@contextmanager
def _standing_still(lab: Lab, names: Iterable[str]) -> Iterator[None]:
    """The lookouts of these servers stand still; their agents, engines and the network go on."""
    pids = [pid for name in names for pid in lab.pids(name) if _is_lookout(pid)]
    try:
        for pid in pids:
            os.kill(pid, signal.SIGSTOP)
        yield
    finally:
        for pid in pids:
            with suppress(ProcessLookupError):
                os.kill(pid, signal.SIGCONT)


def _is_lookout(pid: int) -> bool:
    with suppress(OSError):
        return b"binome.cli.entry\0run\0" in Path(f"/proc/{pid}/cmdline").read_bytes()
    return False


def _leading(lab: Lab) -> str:
    return next((name for name, said in lab.lookouts().items() if said and said["leads"] is not None), "")


def _agreement(lab: Lab) -> str:
    return next((name for name, one in lab.estate.services.items() if isinstance(one, EtcdService)), "")


def _one_of(lab: Lab, servers: Iterable[str], site: str, *, inside: bool, what: str) -> str:
    """One of the servers in the site, or outside of it; there, one that stands beside no database, if there is one."""
    members = {lab.estate.servers[one].site for one in lab.estate.services[lab.database()].on}
    found = [one for one in servers if (lab.estate.servers[one].site == site) is inside]
    if not found:
        raise LabError(f"{lab.estate.estate} has no {what} {'in' if inside else 'outside of'} {site}.")
    return min(found, key=lambda one: lab.estate.servers[one].site in members)
