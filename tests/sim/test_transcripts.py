"""The scenes of `tests/transcripts` come to the same in the simulation: the same scopes, corrected and ended alike."""

from __future__ import annotations

from pathlib import Path

import pytest

from binome.core import scope, sightlines
from binome.core.scoping import _Matching as Matching
from tests.sim.mutant import Mutant, applied
from tests.sim.scene import Course, Scene, written

FOLDER = Path(__file__).parents[1] / "transcripts" / "scenes"
SCENES = sorted(path.stem for path in FOLDER.glob("*.txt"))

BY_CHANCE = {
    "half-dead-switch": "every other answer is lost, by chance: what falls first, and what it is taken for until all "
    "of the rack is known to flap, is another in every world; compared is what it comes to, and that all of it ends",
}
"""Scenes of which not every step is compared, and why."""


def both(name: str) -> tuple[Course, Course]:
    """What came of a scene in the simulation, and what is written down of it."""
    text = (FOLDER / f"{name}.txt").read_text()
    return Scene(name, text).live(), written(text)


@pytest.mark.parametrize("name", [name for name in SCENES if name not in BY_CHANCE])
def test_simulated_lookouts_come_to_the_same_scopes(name: str) -> None:
    lived, told = both(name)
    assert told.steps != ()
    assert lived == told


@pytest.mark.parametrize("name", BY_CHANCE)
def test_what_chance_begins_comes_to_the_same(name: str) -> None:
    lived, told = both(name)
    assert len(told.comes_to()) == 2
    assert (lived.comes_to(), lived.open) == (told.comes_to(), told.open)


MISTAKES = [
    ("server-then-site", Mutant("a scope is never corrected", Matching._oldest_of, "in names", "in ()", 1)),
    (
        "single-server",
        Mutant("a scope never ends", Matching._over, "elif not one.remaining:", "elif False:", 1),
    ),
    ("piece-by-piece", Mutant("nothing comes back", scope.Scope.is_returning, "return len", "return False and len", 1)),
    ("network-seen-from-an-end", Mutant("no network is cut", sightlines._is_well, "or Verdict.UP in", "and () in", 1)),
]


@pytest.mark.parametrize(("name", "mistake"), MISTAKES, ids=[mistake.what for _, mistake in MISTAKES])
def test_a_mistake_in_the_product_shows_in_its_scene(name: str, mistake: Mutant) -> None:
    with applied(mistake):
        lived, told = both(name)
    assert lived != told
