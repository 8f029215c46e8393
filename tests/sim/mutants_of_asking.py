"""Mistakes in what people are asked, in what comes back, and in how the isolated side fences itself."""

from __future__ import annotations

from binome.core.isolation import judged
from binome.core.takeover import _Question
from binome.runtime.agent import Agent
from binome.sim.shape import ASKED, TAKEOVER
from tests.sim.mutant import Mutant

ASKED_MUTANTS = [
    Mutant(
        "confirm acts without a yes",
        _Question._on_primary,
        'case "automatic":',
        'case "automatic" | "confirm":',
        20,
        ASKED,
    ),
    Mutant(
        "shadow acts",
        _Question._on_primary,
        'case "automatic":',
        'case "automatic" | "shadow":',
        20,
        ASKED,
    ),
    Mutant(
        "a takeover that is left to people happens by itself",
        _Question._on_primary,
        "            case _:\n                return self._said(",
        "            case _:\n                return [self.plan(loss, survivor)] or self._said(",
        20,
        ASKED,
    ),
]
FENCING_MUTANTS = [
    Mutant(
        "the isolated side does not fence itself",
        Agent._watch,
        "if self.standing is not isolation.Standing.ISOLATED:",
        "if True:",
        5,
        TAKEOVER,
    ),
    Mutant(
        "an isolated side that needs all lookouts to be away",
        judged,
        "len(away) >= len(groups) // 2 + 1",
        "len(away) == len(groups)",
        5,
        TAKEOVER,
    ),
]
