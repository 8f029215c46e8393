"""The nights that several tests look at: lived through once."""

from __future__ import annotations

from collections.abc import Sequence

import pytest

from binome.sim.episode import Episode, play
from binome.sim.shape import ASKED, LOOKING, PLAIN, TAKEOVER
from tests.sim.mutants import MUTANTS

NIGHTS = max(300, *(mutant.within for mutant in MUTANTS if mutant.night == PLAIN))
LOOKING_NIGHTS, TAKEOVER_NIGHTS, ASKED_NIGHTS = 80, 30, 32
TWICE, LOOKING_TWICE = 60, 8


@pytest.fixture(scope="session")
def nights() -> Sequence[Episode]:
    """The nights of the seeds from 1 on, of the code as it is; the first of them lived through twice."""
    return [play(str(seed), twice=seed <= TWICE) for seed in range(1, NIGHTS + 1)]


@pytest.fixture(scope="session")
def looking_nights() -> Sequence[Episode]:
    """The nights in which lookouts look, as the others."""
    return [play(f"{LOOKING}/{seed}", twice=seed <= LOOKING_TWICE) for seed in range(1, LOOKING_NIGHTS + 1)]


@pytest.fixture(scope="session")
def takeover_nights() -> Sequence[Episode]:
    """The nights in which a database can be taken over."""
    return [play(f"{TAKEOVER}/{seed}", twice=seed <= LOOKING_TWICE) for seed in range(1, TAKEOVER_NIGHTS + 1)]


@pytest.fixture(scope="session")
def asked_nights() -> Sequence[Episode]:
    """The nights in which people have a say in what becomes of it."""
    return [play(f"{ASKED}/{seed}", twice=seed <= LOOKING_TWICE // 2) for seed in range(1, ASKED_NIGHTS + 1)]


@pytest.fixture(scope="session")
def all_nights(
    nights: Sequence[Episode],
    looking_nights: Sequence[Episode],
    takeover_nights: Sequence[Episode],
    asked_nights: Sequence[Episode],
) -> Sequence[Episode]:
    """The nights of every kind."""
    return (*nights, *looking_nights, *takeover_nights, *asked_nights)
