"""Nights of paging: nothing is lost, doubled, or let go of; each of the mistakes that somebody could make is found.

`pytest -s tests/sim/test_paging.py` prints what the mutants broke.
"""

from __future__ import annotations

from collections import Counter

import pytest

from binome.core.paging import Paging
from binome.runtime.pager import Pager
from binome.sim.paging import FAULT_KINDS, NAMES, World, drawn
from tests.sim.mutants import Mutant, applied

NIGHTS = 45
QUIET_PAGES = 2

MUTANTS = [
    Mutant(
        "marked sent before accepted",
        Pager._send,
        "        delivery = await self._delivered(send)",
        '        self._record(Ended(self._now_ms(), send.attempt, Sent.ACCEPTED, ""))\n'
        "        delivery = await self._delivered(send)",
        30,
    ),
    Mutant(
        "deduplicated by text instead of identity",
        Paging.wanted,
        "if page.id in self.pages:",
        "if any(page.what == one.page.what for one in self.pages.values()):",
        5,
    ),
    Mutant(
        "escalation forgotten after a restart",
        Pager._take_in,
        "        self.state.apply(note)",
        "        self.state.apply(note)\n"
        "        for one in self.state.pages.values():\n"
        "            one.stage = one.stage if not one.accepted else type(one.stage).TOLD",
        30,
    ),
    Mutant(
        "the budget drops instead of digesting",
        Paging._free,
        "            later += [free_ms + one.wait_ms for one in waiting if one not in now]",
        "            for one in waiting:\n"
        "                if one not in now:\n"
        "                    self.pages[one.page].stage = Stage.TOLD",
        10,
    ),
    Mutant(
        "the budget forgotten",
        Paging._free,
        "+ BUDGET_MS",
        "",
        10,
    ),
    Mutant(
        "an acknowledgement that ends nothing",
        Paging._end,
        "paged.happens(Happening.ACKNOWLEDGED)",
        "pass",
        10,
    ),
]


def night(seed: int) -> World:
    """The night of a seed; in every third one lookout of three is left, and it is the last in line."""
    return World(str(seed), drawn(str(seed)), alive=("par",) if seed % 3 == 0 else NAMES)


def broken(seed: int) -> list[str]:
    return [f"{one.invariant}: {one.what}" for one in night(seed).play()]


def test_bad_nights_break_nothing_and_meet_every_kind_of_bad_luck() -> None:
    met: Counter[str] = Counter()
    for seed in range(1, NIGHTS + 1):
        assert broken(seed) == [], f"again: night({seed}).play()"
        met.update(fault.kind for fault in drawn(str(seed)))
    assert set(met) == set(FAULT_KINDS)


def test_a_quiet_night_sends_each_step_once() -> None:
    for seed in ("quiet", "still", "calm"):
        world = World(seed, [])
        assert world.play() == []
        steps = Counter((step, one.person, one.via) for one in world.history.delivered for step in one.steps)
        assert max(steps.values()) == 1
        assert len(world.history.wanted) == 8


def test_the_same_seed_is_the_same_night() -> None:
    nights = [World("7", drawn("7")) for _ in range(2)]
    assert nights[0].play() == nights[1].play()
    assert nights[0].history.delivered == nights[1].history.delivered


def interrupted(step: int, alive: tuple[str, ...]) -> World:
    """A night without any bad luck but one crash."""
    return World("steps", [], dies_at=step, pages=QUIET_PAGES, alive=alive)


@pytest.mark.parametrize("alive", [NAMES, ("par",)])
def test_a_crash_between_any_two_steps_loses_nothing_and_doubles_only_what_was_on_its_way(
    alive: tuple[str, ...],
) -> None:
    quiet = interrupted(0, alive)
    assert quiet.play() == []
    assert quiet.history.boundaries >= 20
    for step in range(1, quiet.history.boundaries + 1):
        world = interrupted(step, alive)
        assert world.play() == [], f"a crash at boundary {step}"
        sent = Counter((step, one.person, one.via) for one in world.history.delivered for step in one.steps)
        # One message may have been on its way, and come again: from the one who crashed, and from one that waited.
        assert max(sent.values()) <= min(len(alive) + 1, 3), f"a crash at boundary {step}"
        assert len([key for key, count in sent.items() if count > 1]) <= 1, f"a crash at boundary {step}"


def test_an_attempt_that_was_cut_short_is_not_believed() -> None:
    believed = Mutant("an attempt that was cut short believed", Paging.restarted, "Sent.UNKNOWN", "Sent.ACCEPTED", 0)
    with applied(believed):
        found = [one for step in range(1, 41) for one in interrupted(step, ("par",)).play()]
    assert {one.invariant for one in found} == {"lost"}


@pytest.mark.parametrize("mutant", MUTANTS, ids=lambda mutant: mutant.what)
def test_the_mistake_is_found(mutant: Mutant) -> None:
    with applied(mutant):
        for seed in range(1, mutant.within + 1):
            found = broken(seed)
            if found:
                print(f"{mutant.what:<44} night {seed:>2}: {found[0][:90]}")  # noqa: T201
                return
    pytest.fail(f"not found in {mutant.within} nights")
