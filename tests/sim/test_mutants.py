"""Mistakes are found: by the invariants alone, within a stated number of nights, which the code as it is passes.

`pytest -s tests/sim/test_mutants.py` prints the table.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence

import pytest

from binome.sim.checkers import Violation
from binome.sim.episode import Episode, play
from tests.sim.mutants import MUTANTS, Mutant, applied


@pytest.fixture(scope="module")
def table() -> Iterator[list[str]]:
    """What was found, a line a mutant."""
    lines = [f"{'mutant':<52} {'night':>10} {'within':>6}  invariant"]
    yield lines
    print("\n" + "\n".join(lines))  # noqa: T201


@pytest.mark.parametrize("mutant", MUTANTS, ids=lambda mutant: mutant.what)
def test_the_mistake_is_found(mutant: Mutant, all_nights: Sequence[Episode], table: list[str]) -> None:
    known = {night.seed: night for night in all_nights}
    assert [seed for seed in mutant.seeds() if (known.get(seed) or play(seed, twice=False)).violations] == []
    found = _found(mutant)
    assert found is not None, f"not found in {mutant.within} nights"
    table.append(f"{mutant.what:<52} {found[0]:>10} {mutant.within:>6}  {found[1].invariant}: {found[1].what[:60]}")


def _found(mutant: Mutant) -> tuple[str, Violation] | None:
    with applied(mutant):
        for seed in mutant.seeds():
            episode = play(seed, twice=False)
            if episode.violations:
                return seed, episode.violations[0]
    return None
