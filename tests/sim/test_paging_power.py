"""Nights of paging with the outbox of production, whose disk loses its power with every lookout that dies."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator
from functools import partial
from pathlib import Path
from random import Random
from typing import NamedTuple

import pytest

from binome.runtime.outbox import SqliteOutbox
from binome.sim.checkers_of_paging import Violation
from binome.sim.paging import NAMES, World, drawn
from binome.sim.paging_desk import DeskWorld
from binome.sim.paging_desk import drawn as drawn_for_desk
from tests.journal.power import EVERYTHING, NOTHING, Fate, Torn
from tests.sim.mutants import Mutant, applied
from tests.sim.paging_power import Disks

NIGHTS = 12
QUIET_PAGES = 2
UNSYNCED = Mutant("an outbox that does not sync", SqliteOutbox._begin, '"EXTRA"', '"OFF"', 0)


def fates(seed: int) -> Iterator[Fate]:
    chance = Random(f"fate/{seed}")
    while True:
        yield chance.choice((NOTHING, EVERYTHING, Torn(chance.randrange(1 << 30))))


class Night(NamedTuple):
    """A night that is over, and what it broke."""

    world: World
    broken: list[Violation]


def played(folder: Path, seed: int, *, dies_at: int | None = None, alive: tuple[str, ...] = NAMES) -> Night:
    """A night in which each death takes the power with it; quiet besides where it says at which boundary."""
    lost = fates(seed)
    disks = Disks(folder, lambda: next(lost))
    if dies_at is None:
        world = World(str(seed), drawn(str(seed)), alive=alive, outbox=disks.outbox)
    else:
        world = World("steps", [], dies_at=dies_at, pages=QUIET_PAGES, alive=alive, outbox=disks.outbox)
    broken = world.play()
    disks.close()
    return Night(world, broken)


def test_bad_nights_with_the_real_outbox_break_nothing(tmp_path: Path) -> None:
    for seed in range(1, NIGHTS + 1):
        alive = ("par",) if seed % 3 == 0 else NAMES
        assert played(tmp_path, seed, alive=alive).broken == [], f"again: played(tmp_path, {seed}, alive={alive})"


def test_nights_of_the_desk_with_the_real_outbox_break_nothing(tmp_path: Path) -> None:
    for seed in range(1, 5):
        lost = fates(seed)
        disks = Disks(tmp_path, partial(next, lost))
        world = DeskWorld(f"desk/{seed}", drawn_for_desk(f"desk/{seed}"), outbox=disks.outbox)
        assert world.play() == [], seed
        disks.close()


@pytest.mark.parametrize(("alive", "every"), [(("par",), 1), (NAMES, 9)])
def test_the_power_may_fail_at_any_call_of_the_outbox_and_between_any_two_steps(
    tmp_path: Path, alive: tuple[str, ...], every: int
) -> None:
    quiet = played(tmp_path, 0, dies_at=0, alive=alive)
    assert quiet.broken == []
    assert quiet.world.history.boundaries >= 60
    for step in range(1, quiet.world.history.boundaries + 1, every):
        night = played(tmp_path, step, dies_at=step, alive=alive)
        assert night.broken == [], f"the power failed at boundary {step}"
        sent = Counter((step, one.person, one.via) for one in night.world.history.delivered for step in one.steps)
        # One message may have been on its way, and come again: from the one who died, and from one that waited.
        assert max(sent.values()) <= min(len(alive) + 1, 3), f"the power failed at boundary {step}"
        assert len([key for key, count in sent.items() if count > 1]) <= 1, f"the power failed at boundary {step}"


def test_an_outbox_that_does_not_sync_is_found(tmp_path: Path) -> None:
    with applied(UNSYNCED):
        nights = [played(tmp_path, step, dies_at=step, alive=("par",)) for step in range(1, 88, 2)]
    found = {one.invariant for night in nights for one in night.broken}
    assert found & {"lost", "doubled"}, found
