"""Goals of benchmarks: printed beside what was measured, and counted, so that `bench/run` ends with 1 for one missed.

It is no benchmark itself: run alone it says nothing.
"""

from __future__ import annotations

import sys

_missed: list[str] = []


def at_most(what: str, measured: float, goal: float) -> str:
    """The words for a goal, with whether it was met."""
    return _words(what, f"at most {goal:g}", met=measured <= goal)


def at_least(what: str, measured: float, goal: float) -> str:
    """The same where more is better."""
    return _words(what, f"at least {goal:g}", met=measured >= goal)


def _words(what: str, goal: str, *, met: bool) -> str:
    if not met:
        _missed.append(what)
    return f"(goal: {goal}: {'met' if met else 'MISSED'})"


def end() -> None:
    """Ends the benchmark: with 1 where a goal was missed."""
    if _missed:
        print(f"  missed: {', '.join(_missed)}")
        sys.exit(1)
