"""The windows of a lookout: what people and programs are shown of it, at the door and as metrics."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from binome.cli.eyes import Eyes
from binome.cli.moments import moment
from binome.ports import Standing
from binome.runtime.door import Shown
from binome.runtime.explained import explain_turns
from binome.runtime.loop import Loop
from binome.runtime.report import Sources, status_turns
from binome.runtime.turns import in_turns


def sources_of(
    loop: Loop,
    eyes: Eyes,
    *,
    standing: Callable[[], Standing],
    peers: Callable[[], list[dict[str, Any]]],
    problems: Callable[[], list[str]],
    agents: Callable[[], list[dict[str, Any]]] = list,
    attestable: Callable[[], list[dict[str, Any]]] = list,
) -> Sources:
    """What a report of this lookout is gathered from."""
    return Sources(
        loop=loop,
        watch=eyes.watch,
        findings=eyes.prober.findings,
        lag_s=lambda: eyes.prober.lag_s,
        standing=standing,
        peers=peers,
        problems=problems,
        moment=lambda at_ms: moment(at_ms, loop.clock.now_ms()),
        agents=agents,
        attestable=attestable,
    )


def shown(sources: Sources) -> dict[str, Shown]:
    """The questions at the door that change nothing."""
    return {
        "status": lambda _: in_turns(status_turns(sources)),
        "explain": lambda question: in_turns(explain_turns(sources, question.get("target"))),
    }
