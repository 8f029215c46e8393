"""A scene's script: on which platform, what happens to it when, and what its words stand for.

estate littoral
2s silence sbg-web        silence, restore   servers, or all in a domain: without power, and with it again
2s stop database          stop, start        a target, or all of a service: it answers no more, its server does
2s cut one other          cut, mend          two sites
2s isolate par-1          isolate, join      a vantage point, from all other sites
2s flap rack-2            flap, calm         servers, or all in a domain: every other answer is lost, by chance
1s prefer par-watch                          a vantage point that leads from now on
40s end
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import NamedTuple

from binome.analysis.domains import Domains
from binome.core.target import Target
from binome.estate import Estate


class Cue(NamedTuple):
    """Something happens, so many seconds after the script's beginning."""

    at_s: float
    verb: str
    subjects: tuple[str, ...] = ()


class Script(NamedTuple):
    """What `tests.transcripts.estates` calls the estate, and the cues in their order; the last is `end`."""

    estate: str
    cues: tuple[Cue, ...]


def read(text: str) -> Script:
    """A script from the lines of a scene before the dashes."""
    lines = [line.split() for line in text.splitlines() if line.strip() and not line.startswith("#")]
    assert lines[0][0] == "estate", lines[0]
    cues = tuple(Cue(float(at.removesuffix("s")), verb, tuple(rest)) for at, verb, *rest in lines[1:])
    assert cues[-1].verb == "end", cues[-1]
    return Script(lines[0][1], cues)


def servers(estate: Estate, domains: Domains, subject: str) -> list[str]:
    """The servers that a subject stands for: itself, or all in that domain."""
    found = [one for one in estate.servers if domains.holds(subject, one)]
    assert found, subject
    return found


def names(targets: Iterable[Target], subject: str) -> list[str]:
    """The targets that a subject stands for: itself, or all of that service."""
    found = [one.name for one in targets if subject in (one.name, one.service)]
    assert found, subject
    return found
