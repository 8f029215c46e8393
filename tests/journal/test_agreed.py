"""What the lookouts agree on, as far as it is plain arithmetic."""

from __future__ import annotations

import pytest

from binome.journal.agreed import LEAP, above


@pytest.mark.parametrize(
    ("generation", "seen", "after"),
    [
        (1, 0, 1),
        (8, 7, 8),
        (8, 8, 9),
        (8, 9, 10),  # an etcd and mirrors that were rebuilt, and an agent that remembers
        (1, 41, 42),
        (8, 1 << 50, 9 + LEAP),  # a number that nobody can have seen
    ],
)
def test_a_new_generation_is_above_all_that_agents_have_seen(generation: int, seen: int, after: int) -> None:
    assert above(generation, seen) == after
