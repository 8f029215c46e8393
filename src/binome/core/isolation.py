"""Isolation: whether a server stands on the side that may have been given up, as its agent sees it; and its way back.

Those who could decide against a server are the lookouts, by quorum (quorum.py). While an agent reaches enough of them
no majority can hold its server to be lost; once a majority of their groups is out of its reach there may be one, on the
other side of whatever has broken. Then the server fences itself: its edge takes no more connections, its PostgreSQL is
stopped.

    a lookout is reached        its server's kernel has answered within SILENT_MS: it took what we sent, let us connect,
                                or refused to. Whether the lookout itself runs, answers or likes us does not matter:
                                one that is restarted, frozen or of another version fences nobody
    a group is reached          one of its members is; the agent's own server always is
    the server is isolated      the groups that are out of reach are more than half of all configured ones

    groups   out of reach   own among them    verdict
    1, 2     any                              too few: nothing is ever taken over by itself
    3        1                                connected
    3        2                                isolated
    4        2                                connected: the two others are no majority, and cannot take over either
    4        3                                isolated
    5        3                                isolated

Time in which the agent itself stood still is no silence: it has heard nobody because it listened to nobody.

Lookouts that a person attests to be off count for nothing, and neither do groups of them alone: those that are left are
then too few for anything to be taken over by itself, and the side that a person chose need not fence itself.

Who has fenced himself comes back when he is connected again and the leader says that nothing was taken over from him;
what was, is brought back by the plan that took it over. A word of an older generation than the newest that was seen
counts for nothing.
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Mapping, Sequence
from enum import StrEnum
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from binome.core.decision import View

GROUPS_TO_DECIDE = 3
"""As many groups of lookouts must there be for anything to be taken over by itself (quorum.GROUPS_TO_CONFIRM)."""
SILENT_MS = 1_300
"""Who has not answered for so long is out of reach: more than two reports, and the fence is up within two seconds."""
STEP_AT_MOST_MS = 500
"""So much silence is counted at most between two looks; where more has passed, we have stood still ourselves."""


class Standing(StrEnum):
    """How a server stands to the lookouts."""

    TOO_FEW = "fewer than three groups of lookouts: nothing is taken over by itself"
    CONNECTED = "no majority of the lookouts' groups is out of reach"
    ISOLATED = "a majority of the lookouts' groups is out of reach"


def judged(groups: Sequence[Sequence[str]], own: str, silent_ms: Mapping[str, int]) -> Standing:
    """How server `own` stands. `groups` are the lookouts' (quorum.groups), `silent_ms` since each of them answered."""
    if len(groups) < GROUPS_TO_DECIDE:
        return Standing.TOO_FEW
    away = [group for group in groups if all(one != own and silent_ms[one] >= SILENT_MS for one in group)]
    return Standing.ISOLATED if len(away) >= len(groups) // 2 + 1 else Standing.CONNECTED


def without(groups: Sequence[Sequence[str]], attested: Collection[str]) -> list[Sequence[str]]:
    """The groups that count while a person attests that these lookouts are off (attested.py)."""
    return [group for group in groups if any(one not in attested for one in group)]


class Silences:
    """For how long each lookout has not answered, counted only while we look."""

    def __init__(self, lookouts: Sequence[str]) -> None:
        self.ms: dict[str, int] = dict.fromkeys(lookouts, 0)

    def passed(self, since_last_ms: int, answered_ms: Callable[[str], int]) -> None:
        """Takes in a look, and how long ago the last one was; `answered_ms` says how long ago each lookout answered.

        The first counts only up to a step, the second as it is: what is known for certain needs no watching.
        """
        step_ms = min(since_last_ms, STEP_AT_MOST_MS)
        for lookout, known_ms in self.ms.items():
            self.ms[lookout] = min(known_ms + step_ms, answered_ms(lookout))


def is_free(view: View, server: str, site: str) -> bool:
    """Whether nothing was taken over from a server, or all of it was brought back, and nobody is about to."""
    fenced = any(server in one.servers for losses in view.takeover.fenced.values() for one in losses.values())
    return not fenced and site not in view.silence.sites
