"""I4, I14, I15 and the order of a takeover's steps: what the journal says that people said, against what was done.

consent     a takeover that nobody asked for happens only where the estate says `automatic`; a yes is good for the
            loss whose code it carries, and once; nothing moves a database that is well but a person
patience    no takeover of its own accord before the loss lasted for `act_after`, nor of what people work on
order       a survivor is promoted when its rival is fenced off, and gets traffic when it is promoted
isolation   a server that is cut off from most places of lookouts serves nobody a moment later
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import msgspec

from binome.sim.history import Agreed, Ended, Event, HandedOver, Promoted, Ruled, Stood, TookEffect

ISOLATED_FOR_S = 2.2
"""Two seconds until the fence is up, and how often we look."""


class _Asked:
    """What people asked for and nothing came of yet, and which codes are whose."""

    def __init__(self) -> None:
        self.takeovers: dict[str, str] = {}  # request → its code
        self.switches: set[str] = set()
        self.codes: dict[str, str] = {}  # loss → the code of its page

    def take_in(self, fact: dict[str, Any]) -> None:
        """Takes in a fact that is no plan."""
        match fact["kind"]:
            case "takeover-asked":
                self.takeovers[fact["request"]] = fact["code"]
            case "switchover-asked" | "failback-asked":
                self.switches.add(fact["request"])
            case "takeover-wanted":
                self.codes[fact["loss"]] = fact["code"]
            case "takeover-request-refused":
                self.takeovers.pop(fact["request"], None)
                self.switches.discard(fact["request"])

    def yes_to(self, plan: str) -> bool:
        """Whether a person wants this takeover; all that asked are answered by it."""
        loss = plan.removeprefix("takeover/loss/db/").rpartition("/")[0]
        found = any(code in ("", self.codes.get(loss, "no page")) for code in self.takeovers.values())
        self.takeovers.clear()
        return found


def facts_of(event: Event) -> list[tuple[int, dict[str, Any]]]:
    """The facts that a commit of etcd put into the journal, with their moments by the leader's clock."""
    entries = event.entries if isinstance(event, Agreed) else ()
    return [(entry.at_ms, msgspec.json.decode(entry.fact)) for entry in entries]


def consent(events: list[tuple[float, Event]]) -> Iterator[tuple[float, str]]:
    """I4 and I15: who wanted it."""
    takeover, asked = "automatic", _Asked()
    for at_s, event in events:
        if isinstance(event, Ruled):
            takeover = event.takeover
        for _, fact in facts_of(event):
            asked.take_in(fact)
            if fact["kind"] != "plan-made" or fact["capability"] != "takeover":
                continue
            verbs = {step["verb"] for step in fact["steps"]}
            moves = bool(verbs & {"database.takeover", "database.release"})
            if moves and not asked.yes_to(fact["plan"]) and takeover != "automatic":
                yield at_s, f"{fact['plan']} takes over, which nobody said yes to, and takeover is {takeover}"
            if "database.switchover" in verbs and fact["plan"].rpartition("/")[2] not in asked.switches:
                yield at_s, f"{fact['plan']} moves a database that is well, and nobody asked"
            asked.switches.discard(fact["plan"].rpartition("/")[2])


class _Worked:
    """What people work on: plans of maintenance that are not over."""

    def __init__(self) -> None:
        self._left: dict[str, tuple[str, int]] = {}  # plan → its subject, and how many steps are left

    def take_in(self, fact: dict[str, Any]) -> None:
        """Takes in a fact."""
        match fact["kind"]:
            case "plan-made" if fact["capability"] == "maintenance" and fact["subject"] not in self.subjects:
                self._left[fact["plan"]] = (fact["subject"], len(fact["steps"]))
            case "plan-cancelled":
                self._left.pop(fact["plan"], None)
            case "step-ended" if fact["plan"] in self._left and fact["result"] == "failed":
                del self._left[fact["plan"]]  # it is undone now: less than held
            case "step-ended" if fact["plan"] in self._left and fact["result"] == "done":
                subject, steps = self._left[fact["plan"]]
                if fact["step"] + 1 == steps:
                    del self._left[fact["plan"]]
                else:
                    self._left[fact["plan"]] = (subject, steps)

    @property
    def subjects(self) -> set[str]:
        """What is held."""
        return {subject for subject, _ in self._left.values()}


def patience(events: list[tuple[float, Event]]) -> Iterator[tuple[float, str]]:
    """I15: nothing of its own accord too early, or under people's hands."""
    act_after_ms, asked, worked = 0, _Asked(), _Worked()
    since_ms: dict[str, int] = {}  # loss → since when, as the journal has it
    silent_ms: dict[str, int] = {}
    for at_s, event in events:
        if isinstance(event, Ruled):
            act_after_ms = event.act_after_ms
        for at_ms, fact in facts_of(event):
            asked.take_in(fact)
            worked.take_in(fact)
            match fact["kind"]:
                case "scope-opened" | "scope-changed":
                    since_ms[f"scope/{fact['scope']}"] = fact["cause"]["since_ms"]
                case "site-silent":
                    silent_ms[fact["site"]] = fact["lasted_ms"]
                case "plan-made" if fact["plan"].startswith("takeover/loss/") and not asked.yes_to(fact["plan"]):
                    loss = fact["plan"].removeprefix("takeover/loss/db/").rpartition("/")[0]
                    lasted_ms = at_ms - since_ms[loss] if loss in since_ms else silent_ms.get(loss.split("/")[1], 0)
                    if lasted_ms < act_after_ms:
                        yield at_s, f"{fact['plan']} after {lasted_ms} ms, of {act_after_ms}"
                    lost = fact["steps"][1]["arguments"].get("lost", "")
                    if fact["steps"][1]["verb"] == "database.takeover" and lost in worked.subjects:
                        yield at_s, f"{fact['plan']} takes over from {lost}, which people work on"


def order(events: list[tuple[float, Event]]) -> Iterator[tuple[float, str]]:
    """First the fence, then the promotion, then traffic. In a switchover the rival has stopped of its own accord."""
    verbs: dict[tuple[str, int], str] = {}
    fenced: set[str] = set()
    switching: set[str] = set()
    promoted: set[str] = set()
    handed = False
    for at_s, event in events:
        for _, fact in facts_of(event):
            if fact["kind"] == "plan-made":
                verbs |= {(fact["plan"], number): step["verb"] for number, step in enumerate(fact["steps"])}
                switching |= {fact["plan"]} if verbs[fact["plan"], 0] == "database.switchover" else set()
            elif fact["kind"] == "step-ended" and fact["result"] == "done" and not fact["undoing"]:
                if verbs.get((fact["plan"], fact["step"])) == "traffic.fence":
                    fenced.add(fact["plan"])
            elif fact["kind"] == "database-moved" and handed and fact["plan"] not in fenced | switching:
                yield at_s, f"{fact['plan']} made {fact['primary']} primary before its rival was fenced off"
        handed = isinstance(event, HandedOver)
        match event:
            case Promoted(member):
                promoted.add(member)
            case TookEffect(server, command) if command.verb == "traffic.move" and not command.undoing:
                if command.arguments["survivor"] not in promoted:
                    yield at_s, f"{server} sends to {command.arguments['survivor']}, which was not promoted"


def isolation(events: list[tuple[float, Event]]) -> Iterator[tuple[float, str]]:
    """Who is cut off from most places of lookouts serves nobody for longer than it takes to notice."""
    since_s: dict[str, float] = {}  # server → since when it has been cut off and has served all the same
    for at_s, event in events:
        if isinstance(event, Stood):
            if event.isolated and event.serves:
                since_s.setdefault(event.server, at_s)
                continue
            begun_s = since_s.pop(event.server, at_s)
            if at_s - begun_s > ISOLATED_FOR_S:
                yield at_s, f"{event.server} served for {at_s - begun_s:.1f} s while it was cut off"
        elif isinstance(event, Ended):
            for server, begun_s in since_s.items():
                yield at_s, f"{server} serves, and has been cut off since {begun_s:.1f} s"
